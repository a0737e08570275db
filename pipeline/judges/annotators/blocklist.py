"""The blocklist annotator: how many distinct terms each document holds, exactly as
`mixtures.rules.terms` says, and fast.

    texts -> batches of about 256 KB -> normalised bytes, one mark a document -> spans
    (`pipeline.judges.annotators.prefilter`)
          -> Aho-Corasick automaton over the spans -> distinct (document, term) pairs -> counts

Normalising looks at no character that it need not look at. ASCII is folded by one
`bytes.translate`; in mode `words` each run of other characters is then folded by the reference,
once for all its places (`pipeline.judges.annotators.folding`); in mode `published` a document goes
through `str.lower` only if that changes one of its characters outside ASCII.

The automaton is ahocorasick-rs, a wrapper of the `aho-corasick` crate (overlapping search over
bytes). In mode `words` terms and spans are padded with spaces, which makes whole words of
substrings, without a check of boundaries.

Results depend on each text alone: not on the batches, the other texts, or threads (there are none).
Cost with 6,178 terms of two to four words, on one core: see `tests/benchmarks/bench_blocklist.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from ahocorasick_rs import BytesAhoCorasick, Implementation

from mixtures.rules.terms import Mode, TermList
from pipeline.judges.annotators.folding import SPACED, FoldedRuns, batches, from_utf8, to_utf8
from pipeline.judges.annotators.prefilter import END, I64, WINDOWED_BYTES, Windows, WordPairs

Hits = tuple[I64, I64]
"""The document of each hit, and its term's place in the list: int64 [num_hits] each."""

SATURATED = 65_535

# The compact automaton has a tenth of the table's memory. It reads spans, which are few; short
# terms are looked for everywhere.
_COMPACT, _TABLE = Implementation.ContiguousNFA, Implementation.DFA
_ASCII = bytes(range(128))
_LOWER = bytes(range(256)).lower()
_WORD_MARK = 0
_BYTE_MARK = 0xFF  # never part of UTF-8


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
        counts = np.zeros(len(texts), np.uint16)
        for first, last in batches(texts):
            documents, _ = self._distinct(texts[first:last])
            num_terms = np.bincount(documents, minlength=last - first)
            counts[first:last] = np.minimum(num_terms, SATURATED)
        return counts

    def matches(self, text: str) -> list[str]:
        """The terms that a text holds, in the order of the list."""
        terms = list(self.rule.needles.values())
        return [terms[number] for number in self._distinct([text])[1].tolist()]

    def _distinct(self, texts: Sequence[str]) -> Hits:
        """Distinct pairs of the index of a text and of a term in it, sorted."""
        documents, terms = self._engine.hits(texts)
        pairs = np.unique(documents * len(self) + terms)
        return pairs // len(self), pairs % len(self)


class _Words:
    """Whole words in folded form. A buffer is " word word \\0 word \\0", END; runs of spaces may be
    longer.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        self._prefilter = WordPairs(needles)
        self._automaton = BytesAhoCorasick(
            [b" " + needle + b" " for needle in needles], implementation=_COMPACT
        )
        self._runs = FoldedRuns()

    def hits(self, texts: Sequence[str]) -> Hits:
        documents = [to_utf8(text).translate(SPACED) for text in texts]
        buffer = b" " + b" \0 ".join(documents) + b" \0" + END
        if not all(text.isascii() for text in texts):
            buffer = self._runs.fold(buffer)
        lows, highs = self._prefilter.spans(buffer, _WORD_MARK)
        marks = np.flatnonzero(np.frombuffer(buffer, np.uint8) == _WORD_MARK)
        spans = [
            b" ".join(buffer[low:high].split())
            for low, high in zip(lows.tolist(), highs.tolist(), strict=True)
        ]
        return _search(self._automaton, spans, b" \0 ", np.searchsorted(marks, lows))


class _Published:
    """Lower-cased substrings. Terms that are too short for a window are searched for in the whole
    text.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        sizes = np.array([len(needle) for needle in needles], np.int64)
        self._long, self._short = (
            np.flatnonzero(chosen) for chosen in (sizes >= WINDOWED_BYTES, sizes < WINDOWED_BYTES)
        )
        self._prefilter = Windows([needles[number] for number in self._long.tolist()])
        self._long_automaton = BytesAhoCorasick(
            [needles[number] for number in self._long.tolist()], implementation=_COMPACT
        )
        self._short_automaton = BytesAhoCorasick(
            [needles[number] for number in self._short.tolist()], implementation=_TABLE
        )

    def hits(self, texts: Sequence[str]) -> Hits:
        documents = [_lowered(text) for text in texts]
        buffer = b"\xff".join(documents) + b"\xff"
        marks = np.cumsum([len(document) + 1 for document in documents]) - 1
        lows, highs = self._prefilter.spans(buffer, _BYTE_MARK)
        spans = [buffer[low:high] for low, high in zip(lows.tolist(), highs.tolist(), strict=True)]
        hits = [
            _search(self._long_automaton, spans, b"\xff", np.searchsorted(marks, lows), self._long)
        ]
        if len(self._short):
            hits.append(
                _search(
                    self._short_automaton, documents, b"\xff", np.arange(len(texts)), self._short
                )
            )
        columns = zip(*hits, strict=True)
        return tuple(np.concatenate(column) for column in columns)  # type: ignore[return-value]


def _search(
    automaton: BytesAhoCorasick,
    spans: Sequence[bytes],
    mark: bytes,
    documents: I64,
    numbers: I64 | None = None,
) -> Hits:
    """Run the automaton over all spans at once.

    Args:
        mark: stands before, between and after the spans, and is part of no needle but for spaces at
            its ends.
        documents: int64 [num_spans], the document of each span. numbers: int64 [num_needles], the
            term of each needle; None: needles are all terms.
    """
    if not spans:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    ends = np.cumsum([len(span) + len(mark) for span in spans]) + len(mark)
    matches = automaton.find_matches_as_indexes(mark + mark.join(spans) + mark, overlapping=True)
    matched = np.fromiter(chain.from_iterable(matches), np.int64, 3 * len(matches)).reshape(-1, 3)
    # By where a needle ends: at most its last byte, a space, lies in the mark behind its span. It
    # may begin in the mark before.
    return documents[np.searchsorted(ends, matched[:, 2])], (
        matched[:, 0] if numbers is None else numbers[matched[:, 0]]
    )


def _lowered(text: str) -> bytes:
    """`text.lower()` in UTF-8. Where no character outside ASCII has another lower case, only ASCII
    needs to be lowered.
    """
    content = to_utf8(text)
    if not text.isascii():
        others = from_utf8(content.translate(None, _ASCII))
        if others.lower() != others:
            return to_utf8(text.lower())
    return content.translate(_LOWER)
