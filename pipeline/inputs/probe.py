"""A probe: some files of a source, read in part, from which a plan or a first ceiling estimates
what the whole source holds.

Which files are drawn, and which of their documents are tokenized and judged, is decided by hashes
of path and row: the same files give the same answer everywhere. How the estimate and its error are
made is in `mixtures.estimates`. JSON lines are read from their beginning until there is enough;
parquet and zip files are read whole.

Quality steps are a hundred times slower than reading, so they judge the documents that were drawn
and no other: what they leave of these is counted for each character that was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from mixtures.estimates import FilePart, Floats, SupplyEstimate, TokenizedSample, estimate_supply
from mixtures.keys import KEY_SPACE
from mixtures.recipe.quality.steps import Quality
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters.rows import BadRecord, repair_surrogates
from pipeline.inputs.file import InputFile
from pipeline.inputs.quality.quality import PostponedSteps, open_steps
from pipeline.inputs.readers import DocumentReader
from pipeline.tokens.engines import NumTokens


@dataclass(frozen=True)
class ProbeSize:
    """How much a probe reads."""

    files: tuple[int, int] = (6, 48)
    """At least and at most so many, as far as there are; six give the error bar a spread."""
    bytes: int = 64 << 20
    """More files are drawn until those drawn have so many bytes, none counted above `part`."""
    part: int = 16 << 20
    """Bytes of a file, after which the rest of it is not read."""
    sample: tuple[int, int] = (64, 1 << 21)
    """Documents that are tokenized, and judged by filters, at least, whatever their characters;
    and characters of them at most.
    """
    stepped: tuple[int, int] = (24, 1 << 18)
    """The same of a source with quality steps."""


CountTokens = Callable[[list[str]], NumTokens]
"""How many tokens each of some texts has: `Tokenizer.count`."""

ONE_FILE = ProbeSize(files=(1, 1))  # enough for a ceiling, which needs no error bar


@dataclass(frozen=True)
class DrawnText:
    """A document that was drawn."""

    chars: int
    """Of its text, before quality steps."""
    text: str | None
    """As quality steps leave it; None: they drop it."""
    number: int
    """Of its file among those drawn."""
    weight: float
    """Documents of its file that it stands for: 1 over the share of the file that was read."""


@dataclass(frozen=True)
class Probe:
    """What was read of a source."""

    parts: list[FilePart]
    """Of the files that were drawn, before quality steps."""
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
        """Texts that quality steps leave."""
        return [item.text for item in self.drawn if item.text is not None]

    @cached_property
    def weights(self) -> Floats:
        """float64 [num_texts]: characters of the files that each text stands for, up to a
        factor.
        """
        return np.array(
            [item.weight * len(item.text) for item in self.drawn if item.text is not None],
            np.float64,
        )

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

    def supply(self, count: CountTokens) -> SupplyEstimate:
        """What the whole source is thought to hold."""
        return self.estimated(self.tokenized(count))

    def tokenized(self, count: CountTokens) -> TokenizedSample:
        """The documents that were drawn, with the tokens of what is left of them."""
        texts = self.texts
        left = np.array([item.text is not None for item in self.drawn], np.bool_)  # [num_docs]
        num_bytes, num_tokens = np.zeros(len(left)), np.zeros(len(left))
        num_bytes[left] = [len(text.encode()) for text in texts]
        num_tokens[left] = count(texts)
        return TokenizedSample(  # each float64 [num_docs]
            np.array([item.chars for item in self.drawn], np.float64),
            num_bytes,
            num_tokens,
            np.array([item.weight for item in self.drawn], np.float64),
            np.array([item.number for item in self.drawn], np.int64),
        )

    def estimated(self, sample: TokenizedSample) -> SupplyEstimate:
        """What the whole source is thought to hold. sample: as `tokenized` makes it."""
        return estimate_supply(self.parts, self.num_files, self.total_bytes, sample, self.basis)


def take_probe(
    definition: SourceDefinition,
    quality: Quality,
    files: Sequence[InputFile],
    size: ProbeSize = ProbeSize(),
) -> Probe:
    """Read parts of some of a source's files, and put what is drawn of them through its quality
    steps.
    """
    steps = PostponedSteps(open_steps(quality)) if quality else None
    drawing, parts = _Drawing(size.stepped if steps else size.sample), []
    for number, file in enumerate(_drawn(files, size)):
        parts.append(_read(file, number, definition, steps, drawing, size.part))
    weights = [1 / part.share for part in parts]
    drawn = [
        DrawnText(len(item.text), _left(item, steps), item.number, weights[item.number])
        for item in drawing.kept
    ]
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
    hashed = blake2b(name.encode(), digest_size=8, person=b"annealmix-probe")
    return int.from_bytes(hashed.digest(), "big")


class _Kept(NamedTuple):
    """A document while others are still drawn."""

    key: int
    """Its hash."""
    number: int
    """Of its file."""
    text: str
    row: Mapping[str, Any]
    """Columns that quality steps need."""


def _left(item: _Kept, steps: PostponedSteps | None) -> str | None:
    """What quality steps leave of a document; a row that they cannot judge is none."""
    if steps is None:
        return item.text
    try:
        outcome = steps.judge(item.text, item.row)
    except BadRecord:
        return None
    return repair_surrogates(outcome)[0] if isinstance(outcome, str) else None


class _Drawing:
    """Documents that all have the same chance: those whose hash lies below a bound that is lowered
    when they are too many. size: see `ProbeSize.sample`.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.bound, self.kept, self._chars = KEY_SPACE, list[_Kept](), 0
        self._least, self._most = size

    def offer(
        self, file: InputFile, number: int, row: int, text: str, columns: Mapping[str, Any]
    ) -> None:
        """Keep a document of file `number`, or not. columns: of its row, that steps need."""
        key = _hash(f"{file.path}\n{row}")
        if key >= self.bound:
            return
        self.kept.append(_Kept(key, number, text, columns))
        self._chars += len(text)
        while self._chars > self._most and len(self.kept) > self._least:
            self.bound = self.bound * 3 // 4
            self.kept = [item for item in self.kept if item.key < self.bound]
            self._chars = sum(len(item.text) for item in self.kept)


def _read(
    file: InputFile,
    number: int,
    definition: SourceDefinition,
    steps: PostponedSteps | None,
    drawing: _Drawing,
    part: int,
) -> FilePart:
    """Read the beginning of a file: `part` bytes, or all. A chunk is what comes out between one
    reading of its bytes and the next, and is taken whole.

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
            if len(chunks) > 2 and sum(read for _, read, _ in chunks) >= part:
                return FilePart(file.size, np.array(chunks[1:], np.float64))
            position = reader.bytes_read
        drawing.offer(file, number, row, text, steps.row if steps else {})
        chars, documents = chars + len(text), documents + 1
    chunks.append((file.size - begin, chars, documents))
    return FilePart(file.size, np.array(chunks, np.float64))
