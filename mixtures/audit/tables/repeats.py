"""The rules of documents that occur again: none twice in an epoch, each from a file that its source
read, and in a later epoch (`full`) with the same tokens as the first time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.columns import InTurn, Rows, Uint64s
from mixtures.keys import order_keys
from mixtures.mix.claims import Claims
from mixtures.mix.indexed import IndexedTokens
from mixtures.words import plural


class Distinct:
    """No document occurs twice within an epoch, over all sources, but for copies, each of which has
    its original, for inserts, and for donors that are repeats (`slots`). Counts how often a copy
    stands beside an original of its text, which few can (`mixtures.stream.rotation`).

    Equal documents have equal order keys, so only the keys are kept, 8 bytes a document, and
    sorted; if two are equal, the digests are read again. Later epochs repeat the first
    (`sequence.Epochs`), so the first is enough.
    """

    name = "duplicates"

    def __init__(
        self, claims: Claims, reread: Callable[[npt.NDArray[np.uint64]], Uint64s], inner: Uint64s
    ) -> None:
        """reread: gives the digests uint64 [num_found, 2] of documents with one of some
        keys, uint64 [num_keys] ascending. inner: digests of documents that no row has, since they
        stand behind another in a slot, uint64 [num_inner, 2].
        """
        self._inserts = [number for number, source in enumerate(claims.sources) if source.insert]
        self._reread = reread
        self._inner, self._inner_keys = inner, order_keys(inner)
        self._keys: list[npt.NDArray[np.uint64]] = [self._inner_keys]
        self._copies: list[npt.NDArray[np.uint64]] = []
        self._beside = 0
        self._last = np.empty((0, 2), np.uint64), np.empty(0, np.int64)

    def add(self, rows: Rows) -> None:
        # behind the last one of the part before, so that neighbours over the edge compare
        digest = np.concatenate([self._last[0], rows.digest])
        copy = np.concatenate([self._last[1], rows.copy])
        same = (digest[1:] == digest[:-1]).all(axis=1)
        self._beside += int((same & (copy[1:] != copy[:-1])).sum())
        self._last = digest[-1:], copy[-1:]
        here = (rows.epoch == 0) & ~np.isin(rows.source, self._inserts) & ~rows.repeated
        self._keys.append(rows.order_key[here & (rows.copy == 0)])
        self._copies.append(rows.order_key[here & (rows.copy != 0)])

    def result(self) -> Check:
        keys, copies = (
            np.concatenate([np.empty(0, np.uint64), *pieces])
            for pieces in (self._keys, self._copies)
        )
        self._keys, self._copies = [], []
        keys.sort()
        without = int((~is_among(copies, keys)).sum())
        # sorted, so that equal keys are neighbours; different digests may share a key
        tied = np.unique(keys[1:][keys[1:] == keys[:-1]])
        faults = (
            [f"{plural(without, 'copy')} of documents that are not in the mix"] if without else []
        )
        if len(tied):
            found = [self._reread(tied), self._inner[is_among(self._inner_keys, tied)]]
            digests, counts = np.unique(np.concatenate(found), axis=0, return_counts=True)
            for high, low in digests[counts > 1].tolist():
                faults.append(
                    f"document {high:016x}{low:016x} occurs more than once in the first epoch"
                )
        beside = f", {plural(self._beside, 'time')} beside an original" if self._beside else ""
        copied = f", {len(copies):,} of them copied{beside}" if len(copies) else ""
        return judge(self.name, f"{plural(len(keys), 'different document')}{copied}", faults)


def is_among(values: Uint64s, ascending: Uint64s) -> npt.NDArray[np.bool_]:
    """Which of some values are among others: bool [num_values]. numpy's `isin` makes a table of
    millions of values first, however few are looked for.

    values: uint64 [num_values]. ascending: uint64 [num_others].
    """
    places = np.searchsorted(ascending, values)
    found = np.zeros(len(values), np.bool_)
    within = places < len(ascending)
    found[within] = ascending[places[within]] == values[within]
    return found


class Origins:
    """Provenance has one row a document, in the same order, and names a file of its source's
    inputs.
    """

    name = "provenance"

    def __init__(self, claims: Claims) -> None:
        self._sources = claims.sources
        self._inputs = [
            {file.path for file in claims.inputs.get(source.definition, [])}
            for source in claims.sources
        ]
        self._used: list[set[str]] = [set() for _ in claims.sources]
        self._documents = 0
        self._unread: int | None = None
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        if rows.file is None or rows.origin is None:
            self._unread = rows.part if self._unread is None else self._unread
            return
        if not np.array_equal(rows.origin, rows.position):
            self._faults.append(
                f"part {rows.part:,} of provenance does not follow the documents of its slice"
            )
            return
        for number, of_source in rows.by_source(len(self._sources)):
            own = of_source[rows.own[of_source]]
            files = {rows.files[at] for at in np.unique(rows.file[own])}
            for strange in sorted(files - self._inputs[number] - self._used[number])[:4]:
                source = self._sources[number]
                self._faults.append(
                    f"{source.name} has documents of {strange!r}, which is no input of"
                    f" {source.definition}"
                )
            self._used[number] |= files
        self._documents += len(rows)

    def result(self) -> Check:
        if self._unread is not None:
            return unread(self.name, f"part {self._unread:,} of provenance cannot be read")
        files = sum(len(used) for used in self._used)
        return judge(
            self.name,
            f"{plural(self._documents, 'document')} of {plural(files, 'input file')}",
            self._faults,
        )


class Repeats(InTurn):
    """A document that occurs again in a later epoch has the same tokens as the first time.

    Compares tokens, not digests: the last token of a cut document is EOD in both, what lies between
    may be missing.

    Keeps 8 bytes a document of the sources that are repeated.
    """

    name = "repeated tokens"

    def __init__(self, claims: Claims, pair: IndexedTokens | None) -> None:
        self._sources, self._pair = claims.sources, pair
        self._starts: dict[int, list[npt.NDArray[np.uint64]]] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self._compared = 0
        self._faults: list[str] = []

    def add(self, rows: Rows) -> None:
        for number, of_source in rows.by_source(len(self._sources)):
            if self._sources[number].epochs < 2:
                continue
            for epoch in np.unique(rows.epoch[of_source]).tolist():
                here = of_source[rows.epoch[of_source] == epoch]
                begin = self._counts.get((number, epoch), 0)
                self._counts[number, epoch] = begin + len(here)
                if epoch == 0:
                    self._starts.setdefault(number, []).append(rows.first_token[here])
                elif number in self._starts:
                    self._compare(number, begin, here, rows)

    def _compare(self, number: int, begin: int, here: npt.NDArray[np.int64], rows: Rows) -> None:
        """Compare tokens of a later epoch with those of the first. begin: the first one's place in
        its epoch. here: int64 [num_docs], rows of a source and epoch.
        """
        starts = np.concatenate(self._starts[number])
        self._starts[number] = [starts]
        for row, first in zip(
            here.tolist(), starts[begin : begin + len(here)].tolist(), strict=False
        ):
            # a cut document ends in an EOD where the first time another token may stand
            again = int(rows.first_token[row])
            length = int(rows.num_tokens[row]) - bool(rows.cut[row])
            tokens = None if self._pair is None else self._pair.tokens
            if tokens is not None and not np.array_equal(
                tokens[first : first + length], tokens[again : again + length]
            ):
                self._faults.append(
                    f"{rows.where(row)} of {self._sources[number].name} has other tokens than in"
                    " the first epoch"
                )
            self._compared += 1

    def result(self) -> Check:
        if self._pair is None:
            return unread(self.name, "the .idx and .bin do not agree")
        return judge(
            self.name,
            f"{plural(self._compared, 'repeated document')} compared token by token",
            self._faults,
        )
