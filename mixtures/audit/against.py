"""Whether mixes share a document: compared by digest over all sources, never by name or key range
alone.

The smaller mix is taken in blocks of 8M documents; the parts of the other stream past each. Memory:
some 800 MB for a full block, and 24 bytes for each shared document. Both tables are first held
against the hashes of their own manifest, so that an edited table proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.audit.documents import KEY, MixDocuments, by_digest
from mixtures.audit.report import Check, judge, unread
from mixtures.keys import KeyRange, digest_columns
from mixtures.words import plural

if TYPE_CHECKING:
    import polars as pl

BLOCK_DOCUMENTS = 8_000_000


def audit_against(folder: Path, others: list[Path]) -> list[Check]:
    """Prove that other mixes share no document with this one.

    Args:
        others: mix folders, or their manifest.json. Where there is nothing but a manifest, key
            ranges are compared, and the check by documents fails, since nothing proves it.

    Returns:
        Two checks for each other mix: `shared documents with OTHER` and `key ranges with OTHER`.
        OTHER is its name, or its folder where two of the mixes have one name.

    Raises:
        ManifestError: a manifest is missing, damaged or edited.
    """
    this, mixes = MixDocuments(folder), [MixDocuments(other) for other in others]
    names = [mix.claims.name for mix in (this, *mixes)]
    checks = []
    for mix in mixes:
        label = mix.claims.name if names.count(mix.claims.name) == 1 else str(mix.folder)
        checks += _compare(this, mix, label)
    return checks


def _compare(this: MixDocuments, other: MixDocuments, label: str) -> list[Check]:
    name = f"shared documents with {label}"
    why_not = this.fault or other.fault or this.incomparable(other)
    if why_not:
        return [unread(name, why_not), _key_ranges(this, other, None, label)]
    shared = _shared(this, other)
    total = sum(shared.values())
    most_first = sorted(shared.items(), key=lambda item: (-item[1], item[0]))
    faults = [
        f"{plural(count, 'document')} of {here} in {there}" for (here, there), count in most_first
    ]
    compared = f"{this.claims.total_documents:,} x {other.claims.total_documents:,} compared"
    sources = f"{len(this.claims.sources):,} x {plural(len(other.claims.sources), 'source')}"
    return [
        judge(name, f"{plural(total, 'document')} shared, {compared} over {sources}", faults),
        _key_ranges(this, other, total, label),
    ]


def _shared(this: MixDocuments, other: MixDocuments) -> dict[tuple[str, str], int]:
    """Different documents that two mixes share, by (source of mine, source of the other)."""
    if this.claims.total_documents <= other.claims.total_documents:
        counts = shared_documents(_parts(this), lambda: _parts(other))
    else:
        turned = shared_documents(_parts(other), lambda: _parts(this))
        counts = {(here, there): count for (there, here), count in turned.items()}
    return {
        (this.names[here], other.names[there]): count for (here, there), count in counts.items()
    }


def _parts(mix: MixDocuments) -> Iterator[pl.DataFrame]:
    """Digest and source of the documents, part by part: [num_docs of the part]."""
    for columns in mix.coded_parts("digest"):
        yield by_digest(digest_columns(columns["digest"]), source=columns["source"])


def shared_documents(
    small: Iterable[pl.DataFrame],
    large: Callable[[], Iterable[pl.DataFrame]],
    block_documents: int = BLOCK_DOCUMENTS,
) -> dict[tuple[int, int], int]:
    """Count the different documents that two mixes share, by (source of the small one, source of
    the large one).

    Args:
        small: parts, read once: columns high and low of the digest and source, [num_docs] each.
        large: reads the parts again for each block of `block_documents` documents of the small one.
    """
    import polars as pl

    pairs = [
        block.join(part, on=KEY, suffix="_large").unique()
        for block in _blocks(small, block_documents)
        for part in large()
    ]
    if not pairs:
        return {}
    counts = pl.concat(pairs).unique().group_by("source", "source_large").len()
    return {(here, there): count for here, there, count in counts.iter_rows()}


def _blocks(parts: Iterable[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """Join parts, [num_docs] each, until they hold at least `size` documents; copies of one stand
    for one, or copies of both mixes would be joined each with each.
    """
    import polars as pl

    held: list[pl.DataFrame] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= size:
            yield pl.concat(held).unique()
            held = []
    if held:
        yield pl.concat(held).unique()


def _key_ranges(this: MixDocuments, other: MixDocuments, shared: int | None, label: str) -> Check:
    """Whether the mixes are disjoint by construction: for each definition that both use, their key
    ranges do not meet.

    Ranges that meet are a fault only where the documents do not prove the mixes disjoint (shared is
    0; None where they were not compared).
    """
    meet, definitions = [], set()
    for here in this.claims.sources:
        for there in other.claims.sources:
            if here.definition != there.definition or here.copy_number or there.copy_number:
                continue
            definitions.add(here.definition)
            common = here.key_range.common(there.key_range)
            if (
                common.width > 0
                and not _excluded(this, here.definition, common)
                and not _excluded(other, here.definition, common)
            ):
                meet.append(f"{here.definition} [{', '.join(common.hex())})")
    name = f"key ranges with {label}"
    if not meet:
        return judge(name, f"disjoint in {plural(len(definitions), 'common definition')}", [])
    figure = f"meet in {', '.join(meet[:3])}{' and others' if len(meet) > 3 else ''}"
    if shared == 0:
        return judge(name, f"{figure}; disjoint at this size only, as the documents show", [])
    return judge(
        name,
        figure,
        [
            "the same keys of a definition are taken by both; give one of them another key range,"
            " or exclude the other"
        ],
    )


def _excluded(mix: MixDocuments, definition: str, keys: KeyRange) -> bool:
    """Whether a mix takes nothing that the definition has in these keys, from whatever source."""
    ranges = [item.key_range for item in mix.claims.excluded if item.definition == definition]
    return any(keys.common(item) == keys for item in ranges)
