"""The folded words of a batch of texts, without looking at a character that needs no look. What
folds is `mixtures.rules.word_characters.fold_words`, or a form of it that looks at no neighbour
beyond a word and leaves ASCII as that does.

ASCII is folded byte by byte, by the table SPACED. Each run of other characters is folded by the
reference, once for all its places, since few runs make most of a text's. A batch is one buffer in
which every text stands between spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from mixtures.rules.word_characters import fold_words, leads_with_combining

# Columns of keys of one batch stay in a core's cache. A text above it is a batch of its own.
BATCH_CHARS = 1 << 18
# Runs outside ASCII that are remembered; longer ones (text in another script) hardly come again.
MEMORY_RUNS = 1 << 16
MEMORY_BYTES = 64

KEPT, BLANK, OPEN = 0, 1, 2

# Letters, digits and bytes of other characters stay; all else of ASCII separates words. NUL becomes
# free for a mark.
SPACED = bytes(
    byte if byte >= 128 or chr(byte).isalnum() else 32 for byte in bytes(range(256)).lower()
)


class FoldedRuns:
    """Folds what is not ASCII, and remembers it. fold: folds words; leads: whether a text begins
    with a character that may compose with one before it.
    """

    def __init__(
        self,
        fold: Callable[[str], str] = fold_words,
        leads: Callable[[str], bool] = leads_with_combining,
    ) -> None:
        self._fold, self._leads = fold, leads
        self._folded: dict[bytes, bytes | None] = {}

    def fold(self, buffer: bytes) -> bytes:
        """The buffer with every run of characters outside ASCII in folded form; ASCII stays as it
        is, whether folded already or not.

        Args:
            buffer: UTF-8 (`to_utf8`) that begins and ends in a space; what stands between spaces is
                folded without a look at the rest.
        """
        high = np.frombuffer(buffer, np.uint8) >= 128
        edges = (np.flatnonzero(high[1:] != high[:-1]) + 1).tolist()
        return self.fold_at(buffer, edges[0::2], edges[1::2])

    def fold_at(self, buffer: bytes, starts: Sequence[int], ends: Sequence[int]) -> bytes:
        """The same, of some of these runs, by their first bytes and the bytes behind them."""
        return b"".join(self._pieces(buffer, starts, ends))

    def _pieces(self, buffer: bytes, starts: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
        written = 0
        for start, end in zip(starts, ends, strict=True):
            if start < written:  # folded already, with the word in which an earlier run stands
                continue
            run = buffer[start:end]
            folded = self._folded[run] if run in self._folded else self._remember(run)
            if folded is None:
                start, end = max(written, buffer.rfind(b" ", 0, start) + 1), buffer.find(b" ", end)
                # Folding drops the separators at both ends; before the first word they may part it
                # from the run before.
                folded = (b" " if SPACED[buffer[start]] == 32 else b"") + self._fold(
                    from_utf8(buffer[start:end])
                ).encode()
            yield buffer[written:start]
            yield folded
            written = end
        yield buffer[written:]

    def _remember(self, run: bytes) -> bytes | None:
        folded = self._folded_run(from_utf8(run))
        if len(run) <= MEMORY_BYTES:
            if len(self._folded) >= MEMORY_RUNS:
                self._folded.clear()
            self._folded[run] = folded
        return folded

    def _folded_run(self, run: str) -> bytes | None:
        """A run of characters outside ASCII as it stands in a folded text, separators as spaces;
        None: it needs its word.

        ASCII letters and digits compose with nothing before them, and with what comes after only if
        that is a combining character. So a run between ASCII characters stands for itself, unless
        it leads with one.
        """
        return None if self._leads(run) else self._fold(f"x{run}x").encode()[1:-1]


@cache
def settled_kinds(fold: Callable[[str], str]) -> npt.NDArray[np.uint8]:
    """What folding makes of a character outside ASCII, whatever stands beside it: uint8 [0x2C00],
    by code point; those beyond are OPEN.

    KEPT: itself, a letter that composes with no character but a combining one behind it. BLANK: a
    separator. OPEN: else, or not known here; a run with such a character is folded by the
    reference. Latin letters and general punctuation are most of what English text has.
    """
    kinds = np.full(0x2C00, OPEN, np.uint8)
    for code in (*range(0x80, 0x300), *range(0x2000, 0x2C00)):
        folded = fold(f"x{chr(code)}x")
        if (
            folded == f"x{chr(code)}x" and code < 0x300
        ):  # no second half of a composition is below U+0300
            kinds[code] = KEPT
        elif folded == "x x":
            kinds[code] = BLANK
    return kinds


def to_utf8(text: str) -> bytes:
    """UTF-8 of any string. A lone surrogate becomes bytes that no UTF-8 holds; it folds to a
    separator.
    """
    return text.encode("utf-8", "surrogatepass")


def from_utf8(content: bytes) -> str:
    """The string of which `to_utf8` made these bytes."""
    return content.decode("utf-8", "surrogatepass")


def batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Index ranges of about BATCH_CHARS characters that cover the texts."""
    first = size = 0
    for index, text in enumerate(texts):
        if size and size + len(text) > BATCH_CHARS:
            yield first, index
            first, size = index, 0
        size += len(text)
    if first < len(texts):
        yield first, len(texts)
