"""The mask of an arm: runs of tokens that are no targets, held against the documents."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import Int64s, Rows
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import ManifestError
from mixtures.mix.claims import Claims
from mixtures.mix.judged.arms import MaskClaim, MaskedClaim
from mixtures.mix.slots import MASK, MASK_FILE, MaskRuns, windows_touched
from mixtures.mix.tables import Columns, from_arrow, part_hash
from mixtures.words import percent_text, plural

_MISS = 10  # faults of one kind that are kept


def read_mask(folder: Path, max_rows: int) -> Columns:
    """The runs of a mask, [num_runs] each.

    Raises:
        Any of UNREADABLE.
    """
    return read_part(folder / MASK_FILE, MASK, max_rows)


def mask_runs(folder: Path, mask: MaskClaim, max_rows: int) -> tuple[Int64s, Int64s]:
    """Starts and lengths of the runs that the manifest means, both int64 [num_runs], ascending.

    Raises:
        ManifestError: the table cannot be read, or is another.
    """
    try:
        runs = read_mask(folder, max_rows)
    except UNREADABLE as error:
        raise ManifestError(f"{folder / MASK_FILE}: cannot be read: {error}") from None
    if part_hash(MASK, runs) != mask.mask:
        raise ManifestError(
            f"{folder / MASK_FILE}: is not the one of the manifest; `annealmix audit {folder}` says"
            " what else is off"
        )
    return runs["start"].astype(np.int64), runs["length"].astype(np.int64)


class Masked:
    """Every run is of one document: all of it, or, where terms are masked, some of its text. A
    document that is whole is masked alike wherever it stands.
    """

    name = "mask"

    def __init__(self, folder: Path, claims: Claims, mask: MaskClaim, max_rows: int) -> None:
        self._claims, self._mask, self._fault = claims, mask, ""
        try:
            runs = read_mask(folder, max_rows)
        except UNREADABLE as error:
            runs = from_arrow(MASK, MASK.empty_table())
            self._fault = reading_fault(folder / MASK_FILE, error)
        self._hash = part_hash(MASK, runs)
        self._starts, self._lengths = (runs[name].astype(np.int64) for name in ("start", "length"))
        self._ends = self._starts + self._lengths
        self._masked_to = np.concatenate([[0], np.cumsum(self._lengths)])
        self._met = 0
        self._sources = [_Source() for _ in claims.sources]
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        first = rows.first_token.astype(np.int64)
        low, high = (np.searchsorted(self._starts, at) for at in (first, first + rows.num_tokens))
        here = high > low
        self._met += int((high - low).sum())
        self._within(rows, np.flatnonzero(here), low, high)
        tokens = self._masked_to[high] - self._masked_to[low]
        for number, of_source in rows.by_source(len(self._claims.sources)):
            source, mine = self._sources[number], of_source[here[of_source]]
            source.masked.append(rows.digest[mine])
            source.positions += len(mine)
            source.tokens += int(tokens[mine].sum())
            if self._claims.sources[number].epochs == 1:
                continue
            source.others.append(rows.digest[of_source[~here[of_source] & ~rows.cut[of_source]]])
            for row in mine[~rows.cut[mine]].tolist():
                there = slice(int(low[row]), int(high[row]))
                runs = np.stack([self._starts[there] - first[row], self._lengths[there]])
                if source.differs(rows.digest[row], runs) and len(self._faults) < _MISS:
                    self._faults.append(f"{rows.where(row)} is masked otherwise in another epoch")

    def _within(self, rows: Rows, masked: Int64s, low: Int64s, high: Int64s) -> None:
        """Note where a run is not of its document, or not all of it. masked: int64 [num], rows that
        have runs, low to high.
        """
        first, num_tokens = rows.first_token.astype(np.int64)[masked], rows.num_tokens[masked]
        start, end = self._starts[low[masked]], self._ends[high[masked] - 1]
        if self._mask.fill == "mask":
            begins, behind = first, first + num_tokens
            wrong = (start != begins) | (end != behind) | (high - low > 1)[masked]
        else:
            begins = first + (self._claims.tokenizer.bos_id is not None)
            behind = first + num_tokens - 1  # its end is a target
            wrong = (start < begins) | (end > behind)
        how = "in part" if self._mask.fill == "mask" else "beyond its text"
        self._faults += rows.first(masked[wrong], f"is masked {how}")

    def result(self) -> Check:
        if self._fault:
            return unread(self.name, self._fault)
        faults = list(self._faults)
        if self._hash != self._mask.mask:
            faults.append(f"{MASK_FILE}: is not the one of the manifest")
        # as long as can be: two that touch are one, unless they are documents
        touching = 0 if self._mask.fill == "mask" else 1
        ordered = bool((self._starts[1:] >= self._ends[:-1] + touching).all())
        if self._met != len(self._starts) or not ordered or not (self._lengths > 0).all():
            faults.append(
                f"{len(self._starts):,} runs, {self._met:,} of them in documents, in order"
            )
        else:
            faults += self._stretches()
        faults += self._counts()
        tokens, total = self._mask.tokens, max(self._claims.total_tokens, 1)
        documents = sum(source.positions for source in self._sources)
        figure = f"{plural(tokens, 'token')} in {plural(documents, 'document')} are no targets"
        return judge(self.name, f"{figure}, {percent_text(tokens, total, 4)}%", faults)

    def _stretches(self) -> list[str]:
        faults = []
        windows, _ = windows_touched(self._starts, self._lengths)
        if windows != self._mask.windows:
            faults.append(
                f"runs touch {windows:,} windows, the manifest says {self._mask.windows:,}"
            )
        runs = MaskRuns(self._starts, self._lengths)
        shares = runs.window_shares(self._claims.total_tokens)
        if shares != self._mask.shares:
            faults.append(
                f"masked tokens of windows are {shares.as_json()}, the manifest says"
                f" {self._mask.shares.as_json()}"
            )
        return faults

    def _counts(self) -> list[str]:
        faults, removed = [], [item.removed for item in self._claims.filters]
        for source, found in zip(self._claims.sources, self._sources, strict=True):
            digests, others = _distinct(found.masked), _distinct(found.others)
            none = MaskedClaim(documents=0, positions=0, tokens=0)
            said = self._mask.sources.get(source.name, none)
            documents = len(digests)
            if self._mask.fill == "mask-terms" and source.cut is not None:
                # what is left of the document that was cut may hold no term
                documents += documents + 1 == said.documents
            counted = MaskedClaim(
                documents=documents, positions=found.positions, tokens=found.tokens
            )
            if (source.copy_number or source.insert) and found.positions:
                faults.append(f"{source.label}: filters judge none of its documents")
            elif not (source.copy_number or source.insert) and counted != said:
                faults.append(
                    f"{source.name}: masked are {counted.as_json()}, the manifest says"
                    f" {said.as_json()}"
                )
            if len(_distinct([digests, others])) != len(digests) + len(others):
                faults.append(f"{source.name}: a document is masked in one epoch alone")
        for name, said in self._mask.sources.items():
            if [item[name].documents for item in removed if name in item] != [said.documents]:
                faults.append(f"{name}: masked are other documents than its filter flags")
        return faults


class _Source:
    """What is masked of a source."""

    def __init__(self) -> None:
        self.positions = self.tokens = 0
        self.masked: list[npt.NDArray[np.uint64]] = []
        """Digests of documents that have a run, and below of whole ones that have none."""
        self.others: list[npt.NDArray[np.uint64]] = []
        self._runs: dict[bytes, bytes] = {}

    def differs(self, digest: npt.NDArray[np.uint64], runs: Int64s) -> bool:
        """Whether a document was masked otherwise where it stood before. digest: uint64 [2]; runs:
        int64 [2, num_runs], from its first token on, and their lengths.
        """
        mark = blake2b(runs.tobytes(), digest_size=16).digest()
        return self._runs.setdefault(digest.tobytes(), mark) != mark


def _distinct(digests: list[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Each digest once: uint64 [num_docs, 2] in and out."""
    return np.unique(np.concatenate([np.empty((0, 2), np.uint64), *digests]), axis=0)
