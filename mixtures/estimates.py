"""Estimates of what a source holds, and how sure they are, from a sample of its files.

A sample is a ratio estimate in two stages (Cochran, "Sampling Techniques", third edition 1977,
chapters 6 and 11). Files are drawn with equal chances; of each a part is read from its beginning,
in chunks; of the documents that were read some are tokenized.

    text of a file    = its bytes * (text of its part / bytes of its part)
    text of a source  = bytes of all files * (text of the drawn files / their bytes)
    tokens            = text of the source * (tokens / text of the tokenized documents)

where quality steps may leave less of a document, or nothing: its text is what was read, its tokens
are of what is left.

Each line has a variance: between chunks of a file, between files, between documents; nothing is
added where all was read. Their sum makes a 95% interval by Student's t, with degrees of freedom by
Welch and Satterthwaite. Two things are assumed, and a file can break them: that the rest of a file
is like its beginning, and that no few documents hold most of the text. Copies count as often as
they are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.keys import KEY_SPACE, KeyRange

NORMAL = 1.959964  # 97.5% of a normal distribution lies below
# likewise of Student's t, with 1 to 8 degrees of freedom
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SupplyEstimate:
    """What a source is thought to hold, over all keys unless it is said otherwise."""

    documents: int
    tokens: int
    """EOD included."""
    basis: str
    """Where the figure is from."""
    low: int | None = None
    """Lower end of a 95% interval of the tokens; None: nothing tells how far off the figure is."""
    high: int | None = None
    """Upper end, likewise."""
    text_bytes: int | None = None
    """UTF-8; None: not known."""
    square_tokens: int = 0
    """Sum of the squared lengths of the documents, which says how much a key range may differ from
    its share."""

    @property
    def bounds(self) -> tuple[int, int]:
        """Ends of the interval, or twice the figure itself."""
        return (self.tokens if self.low is None else self.low), (
            self.tokens if self.high is None else self.high
        )

    def within(self, keys: KeyRange) -> SupplyEstimate:
        """The supply of a key range. Which documents fall into it is chance, and widens the
        interval.
        """
        width = keys.width
        documents, tokens = self.documents * width // KEY_SPACE, self.tokens * width // KEY_SPACE
        text_bytes = None if self.text_bytes is None else self.text_bytes * width // KEY_SPACE
        if self.low is None or self.high is None:
            return SupplyEstimate(documents, tokens, self.basis, text_bytes=text_bytes)
        share = width / KEY_SPACE
        chance = NORMAL * math.sqrt(share * (1 - share) * self.square_tokens)
        low, high = (
            math.hypot((bound - self.tokens) * share, chance) for bound in (self.low, self.high)
        )
        squares = int(self.square_tokens * share)
        least, most = max(int(tokens - low), 0), math.ceil(tokens + high)
        return SupplyEstimate(documents, tokens, self.basis, least, most, text_bytes, squares)


@dataclass(frozen=True)
class FilePart:
    """What was read of one file. size: bytes of the whole file.

    chunks: float64 [num_chunks, 3]: bytes of the file, characters of text and documents of each
        stretch of the part, before quality steps.
    """

    size: int
    chunks: Floats

    @property
    def share(self) -> float:
        """How much of the file was read."""
        return min(float(self.chunks[:, 0].sum()) / self.size, 1.0) if self.size else 1.0

    @property
    def text(self) -> float:
        """Characters of the whole file, as far as its part tells."""
        return float(self.chunks[:, 1].sum()) / self.share

    def variance(self) -> tuple[float, int]:
        """Of `text`, and its degrees of freedom; infinite where one chunk must speak for the
        others.
        """
        count = len(self.chunks)
        if self.share == 1:
            return 0.0, 0
        if count < 2:
            return math.inf, 1
        num_bytes, chars = self.chunks[:, 0], self.chunks[:, 1]
        errors = chars - chars.sum() / num_bytes.sum() * num_bytes
        return (1 - self.share) / self.share**2 * count / (count - 1) * float(
            (errors**2).sum()
        ), count - 1


@dataclass(frozen=True)
class TokenizedSample:
    """Documents that were tokenized, drawn with equal chances from the parts. All arrays
    [num_docs].

    chars: of the text as it was read; num_bytes, num_tokens: of what quality steps leave of it, EOD
        included, 0 where they drop it; weights: documents of the files that each document stands
        for; parts: int64, number of its file among those drawn.
    """

    chars: Floats
    num_bytes: Floats
    num_tokens: Floats
    weights: Floats
    parts: npt.NDArray[np.int64]

    @property
    def left(self) -> npt.NDArray[np.bool_]:
        """bool [num_docs]: whether anything is left of a document, if only its EOD."""
        return self.num_tokens > 0

    def tokens_a_char(self, num_parts: int) -> Floats:
        """float64 [num_parts]: tokens for each character of a file; of a file of which no document
        was tokenized, those of all.
        """
        tokens, chars = (
            np.bincount(self.parts, self.weights * values, num_parts)
            for values in (self.num_tokens, self.chars)
        )
        return np.where(chars > 0, tokens, tokens.sum()) / np.where(chars > 0, chars, chars.sum())


def estimate_supply(
    parts: Sequence[FilePart], num_files: int, total_bytes: int, sample: TokenizedSample, basis: str
) -> SupplyEstimate:
    """What files hold, by a sample of them.

    Args:
        parts: of the files that were drawn, at least one. num_files, total_bytes: of all files.
    """
    read = sum(part.size for part in parts)
    # files without a size (of the `datasets` library) are read whole
    scale = total_bytes / read if read else 1.0
    text = scale * sum(part.text for part in parts)
    weighted = float((sample.weights * sample.chars).sum())
    if not weighted:
        return SupplyEstimate(0, 0, basis, 0, _most_unseen(parts, num_files, total_bytes), 0)
    a_char = float((sample.weights * sample.num_tokens).sum()) / weighted
    variances = [
        _between_files(parts, num_files, scale, sample),
        *(
            (scale**2 * len(parts) / num_files * a_char**2 * value, freedom)
            for value, freedom in (part.variance() for part in parts)
        ),
        _between_documents(sample, a_char, text, len(parts) / num_files),
    ]
    tokens, error = text * a_char, half_width(variances)
    known = math.isfinite(error)
    documents = scale * sum(float(part.chunks[:, 2].sum()) / part.share for part in parts)
    documents *= float(sample.weights[sample.left].sum() / sample.weights.sum())
    if not sample.left.any() and sample.chars.sum() < text:  # a variance of nothing tells nothing
        effective = float(sample.weights.sum()) ** 2 / float((sample.weights**2).sum())
        error = share_interval(0, effective)[1] * text
    squares = text * float((sample.weights * sample.num_tokens**2).sum()) / weighted
    return SupplyEstimate(
        round(documents),
        round(tokens),
        basis,
        max(math.floor(tokens - error), int(sample.num_tokens.sum())) if known else None,
        math.ceil(tokens + error) if known else None,
        round(text * float((sample.weights * sample.num_bytes).sum()) / weighted),
        round(squares),
    )


def _most_unseen(parts: Sequence[FilePart], num_files: int, total_bytes: int) -> int:
    """Tokens that files may hold of which those that were drawn hold none: a token a byte of as
    many files as may differ from these.
    """
    if len(parts) == num_files and all(part.share == 1 for part in parts):
        return 0
    return math.ceil(share_interval(0, len(parts))[1] * total_bytes)


def _between_files(
    parts: Sequence[FilePart], num_files: int, scale: float, sample: TokenizedSample
) -> tuple[float, int]:
    """Variance of the tokens because not all files were drawn, and its degrees of freedom. Files
    differ in their text, and in how many tokens are left of it.
    """
    count = len(parts)
    if count >= num_files:
        return 0.0, 0
    if count < 2:
        return math.inf, 1
    sizes, texts = (
        np.array(values, np.float64)
        for values in ([part.size for part in parts], [part.text for part in parts])
    )
    tokens = texts * sample.tokens_a_char(count)
    errors = tokens - tokens.sum() / sizes.sum() * sizes
    spread = count / (count - 1) * float((errors**2).sum())
    return scale**2 * (1 - count / num_files) * spread, count - 1


def _between_documents(
    sample: TokenizedSample, a_char: float, text: float, drawn: float
) -> tuple[float, int]:
    """Variance of the tokens because not all documents of the files that were drawn were
    tokenized, and its degrees of freedom.

    Args:
        drawn: share of the files. What documents of the others add is in how the files that were
            drawn differ (Cochran, 10.4).
    """
    count, missing = len(sample.chars), 1 - float(sample.chars.sum()) / text
    if missing <= 0:
        return 0.0, 0
    if count < 2:
        return math.inf, 1
    errors = sample.weights * (sample.num_tokens - a_char * sample.chars)
    spread = count / (count - 1) * float((errors**2).sum())
    variance = (text / float((sample.weights * sample.chars).sum())) ** 2 * missing * spread
    # few that are left among many that are dropped tell no more than those few
    return drawn * variance, max(int(sample.left.sum()) - 1, 1)


def half_width(variances: Sequence[tuple[float, int]]) -> float:
    """Half the width of a 95% interval of a sum. variances: of its parts, each with its degrees of
    freedom; 0 for what is exact.
    """
    total = sum(value for value, _ in variances)
    if total == 0 or math.isinf(total):
        return total
    freedom = total**2 / sum(value**2 / degrees for value, degrees in variances if value)
    return math.sqrt(total) * student(freedom)


def student(freedom: float) -> float:
    """The 97.5% point of Student's t: a table, and beyond it an expansion that is right to 0.01.
    freedom: at least 1, rounded down.
    """
    degrees = max(int(freedom), 1)
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    return (
        NORMAL
        + (NORMAL**3 + NORMAL) / (4 * degrees)
        + (5 * NORMAL**5 + 16 * NORMAL**3 + 3 * NORMAL) / (96 * degrees**2)
    )


def share_interval(share: float, effective: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share (JASA 22, 1927), which is honest where nothing, or all, was
    found.

    Args:
        effective: size of the sample; of weighted documents, (sum of weights)^2 / sum of squared
            weights (Kish).
    """
    if effective <= 0:
        return 0.0, 1.0
    square = NORMAL**2 / effective
    middle = (share + square / 2) / (1 + square)
    width = (
        NORMAL
        / (1 + square)
        * math.sqrt(share * (1 - share) / effective + square / (4 * effective))
    )
    return max(middle - width, 0.0), min(middle + width, 1.0)
