"""Whether mixes share a document: compared by digest over all sources, never by name or key range
alone.

The smaller mix is taken in blocks of 16M documents, each sorted; the parts of the other stream past
it. Memory: some 800 MB for a full block, and 16 bytes for each shared document. Both tables are
first held against the hashes of their own manifest, so that an edited table proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.report import Check, judge, unread
from mixtures.keys import KeyRange, digest_columns
from mixtures.words import plural

BLOCK_DOCUMENTS = 16_000_000

Uint64s = npt.NDArray[np.uint64]
SharedCounts = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Documents:
    """Some documents of a mix. digest: uint64 [num_docs, 2]; source: int32 [num_docs], index into
    the mix's sources.
    """

    digest: Uint64s
    source: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.digest)


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


def _shared(this: MixDocuments, other: MixDocuments) -> SharedCounts:
    """Different documents that two mixes share, by (source of mine, source of the other)."""
    if this.claims.total_documents <= other.claims.total_documents:
        counts = shared_documents(_parts(this), lambda: _parts(other))
        return {
            (this.names[here], other.names[there]): count for (here, there), count in counts.items()
        }
    counts = shared_documents(_parts(other), lambda: _parts(this))
    return {
        (this.names[there], other.names[here]): count for (here, there), count in counts.items()
    }


def _parts(mix: MixDocuments) -> Iterator[Documents]:
    for columns in mix.coded_parts("digest"):
        yield Documents(digest_columns(np.ascontiguousarray(columns["digest"])), columns["source"])


def shared_documents(
    small: Iterable[Documents],
    large: Callable[[], Iterable[Documents]],
    block_documents: int = BLOCK_DOCUMENTS,
) -> dict[tuple[int, int], int]:
    """Count the different documents that two mixes share, by (source of the small one, source of
    the large one).

    Args:
        small: parts, read once. large: reads the parts again for each block of `block_documents`
            documents of the small one.
    """
    shared: dict[tuple[int, int], list[Uint64s]] = {}
    for block in _blocks(small, block_documents):
        order = np.argsort(block.digest[:, 0], kind="stable")
        block = Documents(block.digest[order], block.source[order])
        for part in large():
            for pair, digests in _matches(block, part):
                shared.setdefault(pair, []).append(digests)
    return {pair: _different(np.concatenate(digests)) for pair, digests in shared.items()}


def _different(digests: Uint64s) -> int:
    """Number of different digests: an epoch's copies count once."""
    ordered = digests[np.lexsort((digests[:, 1], digests[:, 0]))]
    return 1 + int((ordered[1:] != ordered[:-1]).any(axis=1).sum())


def _blocks(parts: Iterable[Documents], size: int) -> Iterator[Documents]:
    """Join parts until they hold at least `size` documents."""
    held: list[Documents] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= size:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(parts: list[Documents]) -> Documents:
    return Documents(
        np.concatenate([part.digest for part in parts]),
        np.concatenate([part.source for part in parts]),
    )


def _matches(block: Documents, part: Documents) -> Iterator[tuple[tuple[int, int], Uint64s]]:
    """Digests that occur in both, by pair of sources. block: sorted by the first half of its
    digests.
    """
    keys, wanted = block.digest[:, 0], part.digest[:, 0]
    first, last = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
    hits = last - first
    # every (row of the block, row of the part) whose first halves agree; almost always these are
    # the same documents. Row i of the part is repeated hits[i] times; beside it stand the rows
    # first[i] .. last[i] - 1 of the block: a count from 0 within each repetition, plus first[i]
    there = np.repeat(np.arange(len(part)), hits)
    here = np.arange(len(there)) - np.repeat(np.cumsum(hits) - hits, hits) + np.repeat(first, hits)
    same = block.digest[here, 1] == part.digest[there, 1]
    here, there = here[same], there[same]
    # both sources in one number, the first in the upper half; -1, a source that is not listed,
    # survives in the lower half as an int32
    pairs = (
        block.source[here].astype(np.int64) << 32 | part.source[there].astype(np.int64) & 0xFFFFFFFF
    )
    for pair in np.unique(pairs).tolist():
        rows = here[pairs == pair]
        yield (int(block.source[rows[0]]), int(np.int64(pair).astype(np.int32))), block.digest[rows]


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
