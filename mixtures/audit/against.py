"""Whether mixes share a document: compared by digest over all sources, never by name or key range alone.

The smaller mix is taken in blocks of 16M documents, each sorted; the parts of the other stream past it. Memory: some 800 MB for a full block, and 20
bytes for each shared document. Both tables are first held against the hashes of their own manifest, so that an edited table proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures import manifest as manifests
from mixtures.audit.claims import Claims, read_claims
from mixtures.audit.files import max_rows, part_path
from mixtures.audit.parts import read_part
from mixtures.audit.report import Check, judge, plural, unread
from mixtures.keys import KeyRange, digest_columns
from mixtures.tables import DOCUMENTS, part_hash, root_hash

BLOCK_DOCUMENTS = 16_000_000
_UNREADABLE = (OSError, ValueError, pa.ArrowException)

Uint64s = npt.NDArray[np.uint64]
SharedCounts = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Documents:
    """Some documents of a mix. digest: uint64 [num_docs, 2]; source: int32 [num_docs], index into the mix's sources."""

    digest: Uint64s
    source: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.digest)


def audit_against(folder: Path, others: list[Path]) -> list[Check]:
    """Prove that other mixes share no document with this one.

    Args:
        others: mix folders, or their manifest.json. Where there is nothing but a manifest, key ranges are compared, and the check by documents
            fails, since nothing proves it.

    Returns:
        Two checks for each other mix: `shared documents` and `key ranges`, each followed by ` with OTHER`.

    Raises:
        ManifestError: a manifest is missing, damaged or edited.
    """
    mine = _Mix(folder)
    return [check for other in others for check in _compare(mine, _Mix(other))]


class _Mix:
    """A mix with its documents table, if it has one."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent if path.name == manifests.MANIFEST else path
        self.claims: Claims = read_claims(manifests.load(self.folder), str(self.folder / manifests.MANIFEST))
        self.bare = not (self.folder / "documents.parquet").is_dir()
        self.names = [source.name for source in self.claims.sources]

    @property
    def max_rows(self) -> int:
        """Rows that its tables can have at most."""
        size = max_rows(self.folder, self.claims.layout.dtype.itemsize)
        return size or self.claims.total_documents

    def fault(self) -> str:
        """Why the table is not the one of the manifest; empty if it is."""
        hashes: list[str] = []
        try:
            for number in range(len(self.claims.hashes.documents_parts)):
                hashes.append(part_hash(DOCUMENTS, read_part(self._part(number), DOCUMENTS, self.max_rows)))
        except _UNREADABLE as error:
            return f"{self._part(len(hashes))}: {error}"
        if root_hash(hashes) != self.claims.hashes.documents:
            return f"{self.folder}: its documents are not those of its manifest"
        return ""

    def _part(self, number: int) -> Path:
        return part_path(self.folder, "documents", number)

    def parts(self) -> Iterator[Documents]:
        """The documents, part by part."""
        codes = {name: code for code, name in enumerate(self.names)}
        for number in range(len(self.claims.hashes.documents_parts)):
            columns = read_part(self._part(number), DOCUMENTS, self.max_rows, ["source", "digest"])
            source = np.array([codes.get(name, -1) for name in columns["source"].tolist()], np.int32)
            yield Documents(digest_columns(np.ascontiguousarray(columns["digest"])), source)


def _compare(mine: _Mix, other: _Mix) -> list[Check]:
    name = f"shared documents with {other.claims.name}"
    bare = [mix.folder for mix in (mine, other) if mix.bare]
    if bare:
        shared, proof = None, unread(name, f"{bare[0]} has a manifest but no documents: key ranges alone prove nothing of copies in other sources")
    elif fault := mine.fault() or other.fault():
        shared, proof = None, unread(name, fault)
    else:
        shared = _shared(mine, other)
        total = sum(shared.values())
        faults = [f"{plural(count, 'document')} of {here} in {there}" for (here, there), count in sorted(shared.items(), key=lambda item: -item[1])]
        compared = f"{mine.claims.total_documents:,} x {other.claims.total_documents:,} compared"
        proof = judge(name, f"{plural(total, 'document')} shared, {compared} over {len(mine.names)} x {len(other.names)} sources", faults)
    return [proof, _key_ranges(mine, other, None if shared is None else sum(shared.values()))]


def _shared(mine: _Mix, other: _Mix) -> SharedCounts:
    """Different documents that two mixes share, by (source of mine, source of the other)."""
    if mine.claims.total_documents <= other.claims.total_documents:
        counts = shared_documents(mine.parts(), other.parts)
        return {(mine.names[here], other.names[there]): count for (here, there), count in counts.items()}
    counts = shared_documents(other.parts(), mine.parts)
    return {(mine.names[there], other.names[here]): count for (here, there), count in counts.items()}


def shared_documents(
    small: Iterable[Documents], large: Callable[[], Iterable[Documents]], block_documents: int = BLOCK_DOCUMENTS
) -> dict[tuple[int, int], int]:
    """Count the different documents that two mixes share, by (source of the small one, source of the large one).

    Args:
        small: parts, read once. large: reads the parts again for each block of `block_documents` documents of the small one.
    """
    found: dict[tuple[int, int], list[Uint64s]] = {}
    for block in _blocks(small, block_documents):
        order = np.argsort(block.digest[:, 0], kind="stable")
        block = Documents(block.digest[order], block.source[order])
        for part in large():
            for pair, digests in _matches(block, part):
                found.setdefault(pair, []).append(digests)
    return {pair: len(np.unique(np.concatenate(digests), axis=0)) for pair, digests in found.items()}


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
    return Documents(np.concatenate([part.digest for part in parts]), np.concatenate([part.source for part in parts]))


def _matches(block: Documents, part: Documents) -> Iterator[tuple[tuple[int, int], Uint64s]]:
    """Digests that occur in both, by pair of sources. block: sorted by the first half of its digests."""
    keys, wanted = block.digest[:, 0], part.digest[:, 0]
    first, last = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
    hits = last - first
    # every (row of the block, row of the part) whose first halves agree; almost always these are the same documents
    there = np.repeat(np.arange(len(part)), hits)
    here = np.arange(len(there)) - np.repeat(np.cumsum(hits) - hits, hits) + np.repeat(first, hits)
    same = block.digest[here, 1] == part.digest[there, 1]
    here, there = here[same], there[same]
    pairs = np.stack([block.source[here], part.source[there]], axis=1)
    for pair in np.unique(pairs, axis=0):
        yield (int(pair[0]), int(pair[1])), block.digest[here[(pairs == pair).all(axis=1)]]


def _key_ranges(mine: _Mix, other: _Mix, shared: int | None) -> Check:
    """Whether the mixes are disjoint by construction: for each definition that both use, their key ranges do not meet.

    Ranges that meet are a fault only where the documents do not prove the mixes disjoint.
    """
    meet, definitions = [], set()
    for here in mine.claims.sources:
        for there in other.claims.sources:
            if here.definition != there.definition:
                continue
            definitions.add(here.definition)
            common = _overlap(here.key_range, there.key_range)
            if common and not _excluded(mine, here.definition, common) and not _excluded(other, here.definition, common):
                meet.append(f"{here.definition} [{common[0]:x}, {common[1]:x})")
    name = f"key ranges with {other.claims.name}"
    if not meet:
        return judge(name, f"disjoint in {plural(len(definitions), 'common definition')}", [])
    told = f"meet in {', '.join(meet[:3])}{' and others' if len(meet) > 3 else ''}"
    if shared == 0:
        return judge(name, f"{told}; disjoint at this size only, as the documents show", [])
    return judge(name, told, ["the same keys of a definition are taken by both; give one of them another key range, or exclude the other"])


def _overlap(one: KeyRange, two: KeyRange) -> KeyRange | None:
    low, high = max(one[0], two[0]), min(one[1], two[1])
    return (low, high) if low < high else None


def _excluded(mix: _Mix, definition: str, keys: KeyRange) -> bool:
    """Whether a mix takes nothing that the definition has in these keys, from whatever source."""
    return any(item.definition == definition and item.key_range[0] <= keys[0] and keys[1] <= item.key_range[1] for item in mix.claims.excluded)
