"""The blocklist annotator: how many distinct terms each document holds, exactly as
`mixtures.rules.terms` says, and fast.

    texts -> batches of about 256 KB -> one buffer -> compiled kernels that look whole columns of
    keys up in a bitmap, and compare what it lets through with the terms
          -> distinct (document, term) pairs -> counts

In mode `words` the terms are n-grams of folded words, and are found as those of evaluation sets are
(`pipeline.judges.annotators.ngram_table`). In mode `published` they are substrings: of each, the
rarest 8 bytes are looked for, at every fourth byte of the text where the term is long enough to
hold such a window wherever it starts (`pipeline.judges.annotators.ngram_kernels`). A document
goes through `str.lower` only if that may change one of its characters outside ASCII.

Results depend on each text alone: not on the batches, the other texts, or threads (there are none).
Cost with 6,178 terms of two to four words, on one core: see `tests/benchmarks/bench_blocklist.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from mixtures.rules.term_places import Place, term_places
from mixtures.rules.terms import Mode, TermList
from mixtures.rules.word_characters import fold_words, leads_with_combining
from pipeline.judges.annotators.folding import Batch, WordReader, batches, to_utf8
from pipeline.judges.annotators.kernel_arrays import I64, KEPT, OPEN, Bytes, Ngrams, Substrings
from pipeline.judges.annotators.ngram_table import bitmap, held, occurrences, powers, searched

Pairs = tuple[I64, I64]
"""Documents, and a term's place in the list that each holds: int64 [num_pairs] each."""

SATURATED = 65_535

STRIDE_BYTES = 4
# Lengths of substrings, in bytes, from which on they are looked for apart from shorter ones: a
# window is of 8 bytes at most, and one at every fourth byte is whole in 11.
_GROUPS = (4, 8 + STRIDE_BYTES - 1)
_END = b"\xff" * 8  # so that 8 bytes can be read from any place of a text
_COMMON_FIRST = b" etaoinsrhldcumfpgwybvkxjqz"


class Blocklist:
    """A blocklist that is ready to search.

    Args:
        terms: as given, in their order; mode: see `mixtures.rules.terms`.

    Raises:
        RecipeError: as `TermList`.
    """

    def __init__(self, terms: Sequence[str], mode: Mode) -> None:
        self.rule = TermList(tuple(terms), mode)
        needles = [needle.encode() for needle in self.rule.needles]
        self._engine = _Words(needles) if mode == "words" else _Published(needles)

    def __len__(self) -> int:
        """The number of distinct terms."""
        return len(self.rule.needles)

    def count(self, texts: Sequence[str]) -> npt.NDArray[np.uint16]:
        """The number of distinct terms in each text: uint16 [num_docs], 65,535 where there are
        more.
        """
        return np.concatenate(
            [np.zeros(0, np.uint16), *(self.count_batch(batch) for batch in batches(texts))]
        )

    def count_batch(self, batch: Batch) -> npt.NDArray[np.uint16]:
        """`count` of a batch."""
        documents, _ = self._distinct(batch)
        num_terms = np.bincount(documents, minlength=len(batch))
        return np.minimum(num_terms, SATURATED).astype(np.uint16)

    def matches(self, text: str) -> list[str]:
        """The terms that a text holds, in the order of the list."""
        terms = list(self.rule.needles.values())
        return [terms[number] for number in self._distinct(Batch([text]))[1].tolist()]

    def places(self, texts: Sequence[str]) -> list[list[Place]]:
        """Every place of a term in each text (`mixtures.rules.term_places`). Which terms a
        text holds is known first, and each of them is looked for in the text itself.
        """
        needles, places = list(self.rule.needles), list[list[Place]]()
        for batch in batches(texts):
            documents, terms = self._distinct(batch)
            ends = np.searchsorted(documents, np.arange(1, len(batch) + 1))
            for text, numbers in zip(batch.texts, np.split(terms, ends[:-1]), strict=True):
                here = [needles[number] for number in numbers.tolist()]
                places.append(term_places(text, here, self.rule.mode) if here else [])
        return places

    def _distinct(self, batch: Batch) -> Pairs:
        """Distinct pairs of the index of a text and of a term in it, sorted."""
        documents, terms = self._engine.hits(batch)
        pairs = np.unique(documents * len(self) + terms)
        return pairs // len(self), pairs % len(self)


@cache
def term_words() -> WordReader:
    """Finds the words in which mode `words` compares."""
    return WordReader(fold_words, leads_with_combining, lambda batch: batch.joined.copy())


class _Words:
    """Whole words in folded form: n-grams of one word, and those of more, which are looked for by
    their first two.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        from pipeline.judges.annotators.ngram_kernels import run_hashes

        self._reader = term_words()
        buffer = bytearray(b" " + b" \0 ".join(needles) + b" \0 ")
        words = self._reader.words(np.frombuffer(buffer, np.uint8))
        ends: I64 = np.searchsorted(words.starts, words.marks)
        lows = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        sizes, base = ends - lows, int(self._reader.base)
        hashes = run_hashes(words.sums, powers(base, int(sizes.max())), lows, sizes)
        order = np.argsort(hashes, kind="stable")
        self._tables: list[tuple[I64, Ngrams]] = []
        for numbers in (order[sizes[order] == 1], order[sizes[order] > 1]):
            if len(numbers):
                self._tables.append((numbers, searched(words, base, lows[numbers], sizes[numbers])))

    def hits(self, batch: Batch) -> Pairs:
        words = batch.words(self._reader)
        found = [(numbers, held(words, table)) for numbers, table in self._tables]
        return (
            np.concatenate([documents for _, (documents, _) in found]),
            np.concatenate([numbers[rows] for numbers, (_, rows) in found]),
        )


class _Published:
    """Lower-cased substrings, grouped by length: the shortest of a group bounds its windows."""

    def __init__(self, needles: Sequence[bytes]) -> None:
        sizes = np.array([len(needle) for needle in needles])
        group = np.searchsorted(_GROUPS, sizes, side="right")
        self._kinds = _lowered_kinds()
        self._tables: list[tuple[I64, Substrings]] = []
        for numbers in (np.flatnonzero(group == number) for number in np.unique(group).tolist()):
            chosen = [needles[number] for number in numbers.tolist()]
            self._tables.append((numbers, _substrings(chosen)))

    def hits(self, batch: Batch) -> Pairs:
        from pipeline.judges.annotators.ngram_kernels import find_substrings
        from pipeline.judges.annotators.text_kernels import MARK

        buffer = self._lowered(batch)
        marks = np.flatnonzero(buffer == MARK)
        documents, terms = [], []
        # a mark is behind each text, and END behind the last
        windows = np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))
        for numbers, table in self._tables:
            find = partial(find_substrings, buffer, windows, table)
            found = occurrences(find, len(buffer) // 16)
            documents.append(np.searchsorted(marks, found.word))
            terms.append(numbers[found.row])
        return np.concatenate(documents), np.concatenate(terms)

    def _lowered(self, batch: Batch) -> Bytes:
        """`str.lower` of the texts in UTF-8, MARK behind each, and END: uint8 [num_bytes]."""
        from pipeline.judges.annotators.text_kernels import lower

        buffer = _marked(batch.encoded)
        changed = np.zeros(len(batch) + 1, np.uint8)
        lower(buffer, self._kinds, changed)
        if not changed.any():
            return buffer
        encoded = list(batch.encoded)
        for at in np.flatnonzero(changed).tolist():
            encoded[at] = to_utf8(batch.texts[at].lower())
        buffer = _marked(encoded)
        lower(buffer, self._kinds, changed)
        return buffer


def _marked(encoded: Sequence[bytes]) -> Bytes:
    return np.frombuffer(bytearray(b"\xff").join([*encoded, _END]), np.uint8)


@cache
def _lowered_kinds() -> Bytes:
    """Which characters have a lower case of their own: uint8 [0x10000], OPEN or KEPT."""
    kinds = np.full(0x10000, KEPT, np.uint8)
    for first in range(0, len(kinds), 256):
        points = list(map(chr, range(first, first + 256)))
        if "".join(points).lower() != "".join(points):
            kinds[first : first + 256] = [OPEN if one.lower() != one else KEPT for one in points]
    return kinds


def _substrings(needles: Sequence[bytes]) -> Substrings:
    """Distinct needles, ready to be searched for."""
    from pipeline.judges.annotators.ngram_kernels import MIX

    shortest = min(map(len, needles))
    window = min(shortest, 8)
    stride = STRIDE_BYTES if shortest >= window + STRIDE_BYTES - 1 else 1
    rows, places, keys = [], [], []
    for row, needle in enumerate(needles):
        length = window + stride - 1
        starts = range(len(needle) - length + 1)
        best = max(starts, key=lambda place: _rarity(needle[place : place + length]))
        for place in range(best, best + stride):
            rows.append(row)
            places.append(place)
            keys.append(int.from_bytes(needle[place : place + window].rjust(8, b"\0"), "little"))
    windows = np.array(keys, np.uint64)
    mixed = windows * MIX
    order = np.argsort(mixed)
    bits = len(keys).bit_length()
    ends = np.cumsum([len(needle) for needle in needles])
    return Substrings(
        content=np.frombuffer(b"".join(needles), np.uint8),
        lows=ends - [len(needle) for needle in needles],
        highs=ends,
        window=window,
        stride=stride,
        known=bitmap(windows),
        keys=mixed[order],
        buckets=np.searchsorted(mixed[order] >> np.uint64(64 - bits), np.arange((1 << bits) + 1)),
        shift=np.uint64(64 - bits),
        rows=np.array(rows, np.int64)[order],
        places=np.array(places, np.int64)[order],
    )


def _rarity(part: bytes) -> int:
    """How rare a piece of English text is, roughly: rare letters weigh more, and a space within
    most. Decides speed, never a result.
    """
    weights = [at if (at := _COMMON_FIRST.find(byte)) >= 0 else 27 for byte in part]
    return sum(weights) + (1000 if b" " in part[STRIDE_BYTES:-STRIDE_BYTES] else 0)
