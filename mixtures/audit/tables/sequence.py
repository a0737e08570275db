"""The rules of one source's sequence: its keys, their order, its epochs, and the document that is
cut.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge
from mixtures.audit.tables.columns import Int64s, InTurn, Rows, Uint64s
from mixtures.mix.claims import Claims
from mixtures.words import plural


class KeyRanges:
    """Every document's order key, made anew from its digest, lies in its source's key range, unless
    it stands in a slot.
    """

    name = "key ranges"

    def __init__(self, claims: Claims) -> None:
        self._sources = claims.sources
        self._documents = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        for number, of_source in rows.by_source(len(self._sources)):
            key_range = self._sources[number].key_range
            outside = ~key_range.mask(rows.order_key[of_source]) & rows.own[of_source]
            if outside.any():
                row = int(of_source[np.argmax(outside)])
                self._faults.append(
                    f"{rows.where(row)} has order key {int(rows.order_key[row]):x},"
                    f" {self._sources[number].label} takes [{', '.join(key_range.hex())})"
                )
        self._documents += len(rows)

    def result(self) -> Check:
        figure = (
            f"{plural(self._documents, 'order key')} in the key ranges of"
            f" {plural(len(self._sources), 'source')}"
        )
        return judge(self.name, figure, self._faults)


_Neighbours = tuple[Int64s, Uint64s, Uint64s]
"""Epoch, order key and digest [num_docs, 2] of some documents."""


def _of(columns: _Neighbours, some: slice) -> _Neighbours:
    epoch, key, digest = columns
    return epoch[some], key[some], digest[some]


class KeyOrder:
    """Within a source and epoch, documents that stand in no slot follow each other by (order_key,
    digest), each greater than the one before. Copies begin where the manifest says, and go on
    behind their last with their first.
    """

    name = "key order"

    def __init__(self, claims: Claims) -> None:
        self._sources = claims.sources
        self._last: dict[int, _Neighbours] = {}
        self._first: dict[int, _Neighbours] = {}
        self._begun = set[int]()
        self._pairs = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        for number, every in rows.by_source(len(self._sources)):
            of_source = every[rows.own[every]]
            if not len(of_source):
                continue
            columns = (rows.epoch[of_source], rows.order_key[of_source], rows.digest[of_source])
            self._first.setdefault(number, _of(columns, slice(1)))
            last = self._last.get(number)
            if last is None:
                epoch, key, digest = columns
            else:
                # behind the last one of the part before, so that neighbours over the edge compare
                epoch, key, digest = (
                    np.concatenate([before, here])
                    for before, here in zip(last, columns, strict=True)
                )
            self._last[number] = _of((epoch, key, digest), slice(-1, None))
            ascends = _greater(key, digest)
            same_epoch = epoch[1:] == epoch[:-1]
            if rotation := self._sources[number].rotation:
                # behind the last copy of the sequence follows its first, or what stands in no slot
                # behind that
                index = rows.index[of_source]
                begins = np.zeros(len(index), np.bool_)
                behind = index >= self._sources[number].documents - rotation
                if behind.any() and number not in self._begun:
                    begins[np.argmax(behind)] = True
                    self._begun.add(number)
                same_epoch &= ~begins[1 if last is None else 0 :]
            self._pairs += int(same_epoch.sum())
            # wrong[i] is of i + 1; one less where the last one of the part before stands first
            wrong = np.flatnonzero(same_epoch & ~ascends) + 1 - (len(epoch) - len(of_source))
            self._faults += rows.first(
                of_source[wrong],
                f"of {self._sources[number].label} does not follow the one before it in key order",
            )

    def result(self) -> Check:
        for number, last in self._last.items():
            source, first = self._sources[number], self._first[number]
            if not source.rotation:
                continue
            epoch, key, digest = (
                np.concatenate([end, begin]) for end, begin in zip(last, first, strict=True)
            )
            self._pairs += 1
            if source.rotation >= source.documents or (
                epoch[0] == epoch[1] and not _greater(key, digest)[0]
            ):
                self._faults.append(
                    f"{source.label}: its first copy is not number {source.rotation:,} of"
                    f" {source.documents:,} in key order"
                )
        return judge(
            self.name,
            f"{plural(self._pairs, 'pair')} of neighbours within a source and epoch ascend",
            self._faults,
        )


def _greater(key: Uint64s, digest: Uint64s) -> npt.NDArray[np.bool_]:
    """Whether each (key, digest) but the first is greater than the one before.

    key: uint64 [num_docs]; digest: uint64 [num_docs, 2]. Returns: bool [num_docs - 1].
    """
    high, low = digest[:, 0], digest[:, 1]
    later_digest = (high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))
    result: npt.NDArray[np.bool_] = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & later_digest)
    return result


class Cuts:
    """At most one document of a source is cut: the last of its sequence, of copies in the order of
    epochs and keys, and as the manifest says.
    """

    name = "cuts"

    def __init__(self, claims: Claims) -> None:
        self._sources = claims.sources
        self._cuts: dict[int, list[tuple[int, int]]] = {}
        self._documents = [0] * len(claims.sources)

    def add(self, rows: Rows) -> None:
        for number, of_source in rows.by_source(len(self._sources)):
            self._documents[number] += len(of_source)
            cut = of_source[rows.cut[of_source]]  # one is allowed, so a few are enough to tell
            cuts = self._cuts.setdefault(number, [])
            cuts += list(
                zip(rows.index[cut[:8]].tolist(), rows.num_tokens[cut[:8]].tolist(), strict=True)
            )

    def result(self) -> Check:
        faults = []
        for number, source in enumerate(self._sources):
            cuts = self._cuts.get(number, [])
            claimed = [] if source.cut is None else [(source.cut.document, source.cut.kept_tokens)]
            if cuts != claimed:
                faults.append(f"{source.label}: {_told(cuts)}, the manifest says {_told(claimed)}")
            elif cuts and cuts[0][0] != self._documents[number] - 1 - (source.rotation or 0):
                faults.append(
                    f"{source.label}: document {cuts[0][0]:,} of {self._documents[number]:,} is"
                    " cut, only the last may be"
                )
            elif source.cut is not None and source.cut.kept_tokens >= source.cut.num_tokens:
                faults.append(
                    f"{source.label}: its cut document keeps {source.cut.kept_tokens:,} of"
                    f" {source.cut.num_tokens:,} tokens"
                )
        count = sum(len(cuts) for cuts in self._cuts.values())
        figure = (
            f"{plural(count, 'document')} cut in {plural(len(self._sources), 'source')}, each the"
            " last of its source"
        )
        return judge(self.name, figure, faults)


def _told(cuts: list[tuple[int, int]]) -> str:
    if not cuts:
        return "no document is cut"
    return " and ".join(
        f"document {index:,} of the source is cut to {plural(tokens, 'token')}"
        for index, tokens in cuts
    )


class Epochs(InTurn):
    """A source is gone through as often as the manifest says; each epoch repeats the first, whole,
    but the last may end early.

    Keeps 20 bytes a document of the sources that are repeated.
    """

    name = "epochs"

    def __init__(self, claims: Claims) -> None:
        self._sources = claims.sources
        self._digests: dict[int, list[Uint64s]] = {}
        self._lengths: dict[int, list[npt.NDArray[np.uint32]]] = {}
        self._counts: list[list[int]] = [[] for _ in claims.sources]
        self._repeated = 0
        self._faults: list[str] = []

    @property
    def first_documents(self) -> list[int]:
        """Documents of each source in its first epoch."""
        return [counts[0] if counts else 0 for counts in self._counts]

    def add(self, rows: Rows) -> None:
        for number, of_source in rows.by_source(len(self._sources)):
            counts, epochs = self._counts[number], rows.epoch[of_source]
            last = len(counts) - 1
            # from the epoch that the part before ended in; the first document of all is in epoch 0
            steps = np.diff(epochs, prepend=max(last, 0))
            if ((steps < 0) | (steps > 1)).any() or (last < 0 and epochs[0] != 0):
                row = int(of_source[np.argmax((steps < 0) | (steps > 1))])
                self._faults.append(
                    f"{rows.where(row)} of {self._sources[number].label} is in epoch"
                    f" {int(rows.epoch[row])}, out of turn"
                )
                continue
            for epoch in range(max(last, 0), int(epochs[-1]) + 1):
                self._add_epoch(number, epoch, of_source[epochs == epoch], rows)

    def _add_epoch(self, number: int, epoch: int, of_source: Int64s, rows: Rows) -> None:
        """Add documents of an epoch. of_source: int64 [num_docs], their rows, in stream order."""
        counts = self._counts[number]
        if epoch == len(counts):
            counts.append(0)
        begin, counts[epoch] = counts[epoch], counts[epoch] + len(of_source)
        if self._sources[number].epochs < 2 or not len(of_source):
            return
        if epoch == 0:
            self._digests.setdefault(number, []).append(rows.digest[of_source])
            self._lengths.setdefault(number, []).append(
                rows.num_tokens[of_source].astype(np.uint32)
            )
            return
        self._compare(number, slice(begin, counts[epoch]), of_source, rows)

    def _compare(self, number: int, there: slice, of_source: Int64s, rows: Rows) -> None:
        """Compare documents with the first epoch's at `there`. of_source: int64 [num_docs],
        rows.
        """
        digests = np.concatenate(self._digests[number])
        lengths = np.concatenate(self._lengths[number])
        self._digests[number], self._lengths[number] = [digests], [lengths]
        source, expected = self._sources[number], lengths[there].astype(np.int64)
        if len(expected) < len(of_source):
            self._faults.append(
                f"{source.label}: an epoch has more than the {len(digests):,} documents of the"
                " first"
            )
            return
        full = source.cut.num_tokens if source.cut else 0
        # a document cut here stood whole in the first epoch, with all the tokens that it had
        same_length = np.where(
            rows.cut[of_source], expected == full, rows.num_tokens[of_source] == expected
        )
        wrong = (rows.digest[of_source] != digests[there]).any(axis=1) | ~same_length
        self._repeated += len(of_source)
        what = f"of {source.label} is not the one of the first epoch at its place"
        self._faults += rows.first(of_source[wrong], what)

    def result(self) -> Check:
        faults = list(self._faults)
        for source, counts in zip(self._sources, self._counts, strict=True):
            if len(counts) != source.epochs:
                faults.append(
                    f"{source.label}: {plural(len(counts), 'epoch')}, the manifest says"
                    f" {source.epochs:,}"
                )
            elif any(count != counts[0] for count in counts[:-1]):
                sizes = ", ".join(f"{count:,}" for count in counts)
                faults.append(
                    f"{source.label}: epochs of {sizes} documents; all but the last must be whole"
                )
        most = max(len(counts) for counts in self._counts)
        figure = (
            f"at most {plural(most, 'epoch')} of a source,"
            f" {plural(self._repeated, 'repeated document')} compared"
        )
        return judge(self.name, figure, faults)
