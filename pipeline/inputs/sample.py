"""A probe: some files of a source, read in part, from which a plan or a first ceiling estimates
what the whole source holds.

Which files are drawn, and which of their documents are tokenized and judged, is decided by hashes
of path and row: the same files give the same answer everywhere. How the estimate and its error are
made is in `mixtures.plan.supply`. JSON lines are read from their beginning until there is enough;
parquet and zip files are read whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from mixtures.keys import KEY_SPACE
from mixtures.plan.supply import FilePart, Floats, SupplyEstimate, TokenizedSample, estimate_supply
from mixtures.recipe.quality import Quality
from mixtures.recipe.source import SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.inputs.quality.quality import QualitySteps, open_steps
from pipeline.inputs.readers import DocumentReader
from pipeline.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class ProbeSize:
    """How much a probe reads. files: at least and at most; bytes: of the drawn files together, no
    file counted above `part`, below which more are drawn; part: characters of text of a file;
    sample: characters that are tokenized and judged, or `documents`, if that is more.
    """

    files: tuple[int, int] = (6, 48)
    bytes: int = 64 << 20
    part: int = 16 << 20
    sample: int = 1 << 21
    documents: int = 64


ONE_FILE = ProbeSize(files=(1, 1))  # enough for a ceiling, which needs no error bar


@dataclass(frozen=True)
class Kept:
    """A document of the sample. weight: documents of the files that it stands for."""

    text: str
    weight: float


@dataclass(frozen=True)
class Sample:
    """What was read of a source. parts: of the files that were drawn; kept: documents, drawn with
    equal chances from the parts.

    all: whether these are all documents of the parts. num_files, total_bytes: of the whole source.
    """

    parts: list[FilePart]
    kept: list[Kept]
    all: bool
    num_files: int
    total_bytes: int

    @property
    def texts(self) -> list[str]:
        """Texts of the sample."""
        return [item.text for item in self.kept]

    @cached_property
    def weights(self) -> Floats:
        """float64 [num_docs]: characters of the files that each document of the sample stands for,
        up to a factor.
        """
        return np.array([item.weight * len(item.text) for item in self.kept], np.float64)

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
            f"probe of {len(self.parts):,} of {self.num_files:,} files, {len(self.kept):,}"
            " documents tokenized"
        )

    def supply(self, tokenizer: Tokenizer) -> SupplyEstimate:
        """What the whole source is thought to hold."""
        texts = self.texts
        _, lengths = tokenizer.encode(texts)
        chars, sizes = (
            np.array(values, np.float64)
            for values in ([*map(len, texts)], [len(text.encode()) for text in texts])
        )
        weights = np.array([item.weight for item in self.kept], np.float64)
        tokenized = TokenizedSample(chars, sizes, lengths.astype(np.float64), weights)
        return estimate_supply(self.parts, self.num_files, self.total_bytes, tokenized, self.basis)


def take_sample(
    definition: SourceDefinition,
    quality: Quality,
    files: Sequence[InputFile],
    size: ProbeSize = ProbeSize(),
) -> Sample:
    """Read parts of some of a source's files, through its quality steps."""
    steps = open_steps(quality) if quality else None
    drawing, parts = _Drawing(size), []
    for number, file in enumerate(_drawn(files, size)):
        parts.append(_read(file, number, definition, steps, drawing))
    weights = [1 / part.share for part in parts]
    kept = [Kept(text, weights[number]) for _, number, text in drawing.kept]
    return Sample(
        parts, kept, drawing.bound == KEY_SPACE, len(files), sum(file.size for file in files)
    )


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
    """A sample whose documents all have the same chance: those whose hash lies below a bound that
    is halved when they are too many.
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
    reader, chunks = DocumentReader(file, definition, quality=steps), list[tuple[int, int, int]]()
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
