"""A probe: one file of a source, read whole, from which a plan or a first ceiling estimates what the whole source holds.

Good enough for a ceiling, never for a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mixtures.filter_request import RecipeFilter
from mixtures.plan import SupplyEstimate
from mixtures.quality import Quality
from mixtures.removals import Removal
from mixtures.source import SourceDefinition
from pipeline.filters import Filter
from pipeline.inputs import InputFile
from pipeline.quality import open_steps
from pipeline.readers import DocumentReader
from pipeline.tokenizing import Tokenizer

SAMPLE_CHARS = 1 << 20  # text that is tokenized and judged


@dataclass(frozen=True)
class Sample:
    """What was read of a source. texts: the first ones of a file; documents, text_chars: of that file; times: files' bytes / its bytes."""

    texts: list[str]
    documents: int
    text_chars: int
    times: float
    basis: str

    @property
    def _sample_chars(self) -> int:
        return sum(map(len, self.texts))

    def supply(self, tokenizer: Tokenizer) -> SupplyEstimate:
        """What the whole source is thought to hold."""
        if not self._sample_chars:
            return SupplyEstimate(0, 0, self.basis)
        tokens, _ = tokenizer.encode(self.texts)
        file_tokens = len(tokens) * self.text_chars / self._sample_chars
        return SupplyEstimate(int(self.documents * self.times), int(file_tokens * self.times), self.basis)

    def removal(self, filters: Sequence[tuple[RecipeFilter, Filter]], *, copies: bool) -> Removal:
        """What filters are thought to remove: shares of the text, since tokens are what quotas count.

        A dose removes each flagged document with its fraction as the chance, a placebo any document with the chance of a flagged one.

        Args:
            filters: of a recipe, opened. copies: whether what is escalated and kept is copied.
        """
        weights = np.array([len(text) for text in self.texts], np.float64)
        if not weights.sum():
            return Removal(Fraction(0), Fraction(0), "probe")
        kept, escalated = np.ones(len(weights)), np.zeros(len(weights), np.bool_)
        for item, opened in filters:
            found = opened.judge(self.texts)
            chance = np.full(len(weights), found.flagged.mean()) if item.placebo else found.flagged.astype(np.float64)
            kept *= 1 - float(item.request.fraction) * chance
            escalated |= found.escalated & (not item.placebo)
        removed, copied = (float((weights * share).sum() / weights.sum()) for share in (1 - kept, kept * escalated * copies))
        return Removal(_rounded(removed), _rounded(copied), "probe")


def _rounded(share: float) -> Fraction:
    return Fraction(round(share * 10_000), 10_000)


def take_sample(definition: SourceDefinition, quality: Quality, files: Sequence[InputFile]) -> Sample:
    """Read the middle one, by size, of a source's files, through its quality steps."""
    file = sorted(files, key=lambda file: (file.size, file.path))[len(files) // 2]
    texts: list[str] = []
    sample_chars = text_chars = documents = 0
    for _, text in DocumentReader(file, definition, quality=open_steps(quality) if quality else None):
        documents += 1
        text_chars += len(text)
        if sample_chars < SAMPLE_CHARS:
            texts.append(text)
            sample_chars += len(text)
    times = sum(other.size for other in files) / file.size if file.size else 1.0
    return Sample(texts, documents, text_chars, times, f"probe of {file.path}")
