"""A probe: some files of a source, read in part, from which a plan or a first ceiling estimates
what the whole source holds.

Which files are drawn, and which of their documents are tokenized and judged, is decided by hashes
of path and row: the same files give the same answer everywhere. How the estimate and its error are
made is in `mixtures.estimates`. JSON lines are read from their beginning until there is enough;
parquet and zip files are read whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from mixtures.estimates import FilePart, Floats, SupplyEstimate, TokenizedSample, estimate_supply
from mixtures.keys import KEY_SPACE
from mixtures.recipe.quality_steps import Quality
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.inputs.quality.quality import QualitySteps, open_steps
from pipeline.inputs.readers import DocumentReader
from pipeline.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class ProbeSize:
    """How much a probe reads."""

    files: tuple[int, int] = (6, 48)
    """At least and at most so many, as far as there are; six give the error bar a spread."""
    bytes: int = 64 << 20
    """More files are drawn until those drawn have so many bytes, none counted above `part`."""
    part: int = 16 << 20
    """Characters of text of a file, after which the rest of it is not read."""
    sample: int = 1 << 21
    """Characters that are tokenized and judged."""
    documents: int = 64
    """At least so many of them, whatever their characters."""


ONE_FILE = ProbeSize(files=(1, 1))  # enough for a ceiling, which needs no error bar


@dataclass(frozen=True)
class DrawnText:
    """A document that was drawn."""

    text: str
    weight: float
    """Documents of its file that it stands for: 1 over the share of the file that was read."""


@dataclass(frozen=True)
class Probe:
    """What was read of a source."""

    parts: list[FilePart]
    """Of the files that were drawn."""
    drawn: list[DrawnText]
    """Documents, drawn with equal chances from the parts."""
    all: bool
    """Whether these are all documents of the parts."""
    num_files: int
    """Of the whole source."""
    total_bytes: int
    """Of the whole source."""

    @property
    def texts(self) -> list[str]:
        """Texts of the documents, in the order that all columns here follow."""
        return [item.text for item in self.drawn]

    @cached_property
    def weights(self) -> Floats:
        """float64 [num_docs]: characters of the files that each document stands for, up to a
        factor.
        """
        return np.array([item.weight * len(item.text) for item in self.drawn], np.float64)

    @property
    def whole(self) -> bool:
        """Whether it is all documents of the source, so that nothing is estimated."""
        return (
            self.all
            and len(self.parts) == self.num_files
            and all(part.share == 1 for part in self.parts)
        )

    @property
    def basis(self) -> str:
        """Says what the estimate is made of."""
        return (
            f"probe of {len(self.parts):,} of {self.num_files:,} files, {len(self.drawn):,}"
            " documents tokenized"
        )

    def supply(self, tokenizer: Tokenizer) -> SupplyEstimate:
        """What the whole source is thought to hold."""
        texts = self.texts
        _, num_tokens = tokenizer.encode(texts)
        tokenized = TokenizedSample(  # each float64 [num_docs]
            np.array([len(text) for text in texts], np.float64),
            np.array([len(text.encode()) for text in texts], np.float64),
            num_tokens.astype(np.float64),
            np.array([item.weight for item in self.drawn], np.float64),
        )
        return estimate_supply(self.parts, self.num_files, self.total_bytes, tokenized, self.basis)


def take_probe(
    definition: SourceDefinition,
    quality: Quality,
    files: Sequence[InputFile],
    size: ProbeSize = ProbeSize(),
) -> Probe:
    """Read parts of some of a source's files, through its quality steps."""
    steps = open_steps(quality) if quality else None
    drawing, parts = _Drawing(size), []
    for number, file in enumerate(_drawn(files, size)):
        parts.append(_read(file, number, definition, steps, drawing))
    weights = [1 / part.share for part in parts]
    drawn = [DrawnText(text, weights[number]) for _, number, text in drawing.kept]
    total_bytes = sum(file.size for file in files)
    return Probe(parts, drawn, drawing.bound == KEY_SPACE, len(files), total_bytes)


def _drawn(files: Sequence[InputFile], size: ProbeSize) -> list[InputFile]:
    """Files in the order of their paths' hashes, until there are enough."""
    drawn: list[InputFile] = []
    num_bytes = 0
    for file in sorted(files, key=lambda file: (_hash(file.path), file.path)):
        if len(drawn) >= size.files[0] and (num_bytes >= size.bytes or len(drawn) >= size.files[1]):
            break
        drawn.append(file)
        num_bytes += min(file.size, size.part)
    return drawn


def _hash(name: str) -> int:
    return int.from_bytes(
        blake2b(name.encode(), digest_size=8, person=b"annealmix-probe").digest(), "big"
    )


class _Drawing:
    """Documents that all have the same chance: those whose hash lies below a bound that is halved
    when they are too many. kept: (hash, number of the file, text).
    """

    def __init__(self, size: ProbeSize) -> None:
        self.bound, self.kept = KEY_SPACE, list[tuple[int, int, str]]()
        self.size, self._chars = size, 0

    def offer(self, file: InputFile, number: int, row: int, text: str) -> None:
        """Keep a document of file `number`, or not."""
        key = _hash(f"{file.path}\n{row}")
        if key >= self.bound:
            return
        self.kept.append((key, number, text))
        self._chars += len(text)
        while self._chars > self.size.sample and len(self.kept) > self.size.documents:
            self.bound //= 2
            self.kept = [item for item in self.kept if item[0] < self.bound]
            self._chars = sum(len(text) for _, _, text in self.kept)


def _read(
    file: InputFile,
    number: int,
    definition: SourceDefinition,
    steps: QualitySteps | None,
    drawing: _Drawing,
) -> FilePart:
    """Read the beginning of a file. A chunk is what comes out between one reading of its bytes and
    the next, and is taken whole.

    What comes out lags behind what is read, by up to a mebibyte of text. That lag is about the same
    before each reading but the first, so the first chunk of a file that is not read whole does not
    count.
    """
    reader = DocumentReader(file, definition, quality=steps)
    chunks: list[tuple[int, int, int]] = []  # [num_chunks, 3]: bytes, characters, documents
    begin = position = chars = documents = 0
    for row, text in reader:
        if reader.bytes_read != position:
            if documents:
                chunks.append((position - begin, chars, documents))
                begin, chars, documents = position, 0, 0
            if len(chunks) > 2 and sum(read for _, read, _ in chunks) >= drawing.size.part:
                return FilePart(file.size, np.array(chunks[1:], np.float64))
            position = reader.bytes_read
        drawing.offer(file, number, row, text)
        chars, documents = chars + len(text), documents + 1
    chunks.append((file.size - begin, chars, documents))
    return FilePart(file.size, np.array(chunks, np.float64))
