"""`annealmix trace --step` and `--checkpoint`: what a trainer read of a mix in some of its steps.

    .idx sizes, trainer, seed, sequence, samples asked -> the trainer's order
                                                          (mixtures.mix.training)
    steps -> samples of each phase of the training        -> tokens read of each document -> figures
                                                          by source, exact
    one step                                           -> also every stretch of a document that it
                                                       read (spans)

Steps and samples: `mixtures.mix.training`. Tokens are those
fed to the model; the last label of a sample is told apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.errors import RecipeError
from mixtures.mix.trace import TracedMix
from mixtures.mix.training import Phase, Read, Training, TrainingOrder, masked_of_samples
from mixtures.trainers.training_order import Int64s
from pipeline.commands.destination import private_file
from pipeline.commands.trace.trace import TracedDocument, described
from pipeline.lookup.text import DocumentText, Texts

LIST_BATCH = 1 << 14  # documents of a list that are looked up at a time


@dataclass(frozen=True, kw_only=True)
class StepQuestion:
    """What is asked: steps first_step .. last_step - 1 of a training, or of one step one sample of
    its batch.
    """

    mix: Path
    training: Training
    first_step: int
    last_step: int
    sample: int | None = None
    spans: bool = False
    """Whether every stretch is asked for."""
    listing: Path | None = None
    """File that the documents are to be listed in."""
    tokenizer: Path | None = None
    filters: Path | None = None
    show_text: bool = False


@dataclass(frozen=True, kw_only=True)
class PhaseFigures:
    """Steps of one batch and sequence length as they were understood; what no trainer of this order
    needs is None.
    """

    steps: tuple[int, int]
    """First and last."""
    first_sample: int
    batch: int
    sequence: int
    samples_asked: int | None = None
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingFigures:
    """A training as it was understood; what no trainer of this order needs is None."""

    trainer: str
    steps: int
    phases: list[PhaseFigures]
    seed: int | None = None
    inferred: bool | None = None
    """Whether the user named neither steps nor samples."""

    def as_json(self) -> dict[str, object]:
        """For `--json`: the figures of a single phase stand beside those of the training."""
        values = {**vars(self), "phases": [_said(vars(phase)) for phase in self.phases]}
        if len(self.phases) == 1:
            values |= {"first_sample": None, "phases": None}
            values = vars(self.phases[0]) | values
        return _said(values)


def _said(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class SourceRead:
    """What was read of one strand of the mix."""

    name: str
    copy: int
    insert: bool
    licence: str
    non_commercial: bool
    documents: int
    """Distinct ones."""
    tokens: int
    share: str
    """Of all tokens that were read, with six decimals."""
    epochs: dict[str, int]
    """Tokens of each epoch of the source."""


@dataclass(frozen=True)
class Span:
    """A stretch of a document that a sample read."""

    sample: int
    """Of those of the step, from 0."""
    offset: int
    """Its first token in the document."""
    num_tokens: int
    token: int
    """Its first token in the stream."""
    document: TracedDocument
    text: DocumentText | None = None

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        value = {name: getattr(self, name) for name in ("sample", "offset", "num_tokens", "token")}
        value |= self.text.as_json() if self.text else {}
        return value | {"document": self.document.as_json()}


@dataclass(frozen=True)
class LastLabel:
    """The token that a sample's last input is to predict."""

    position: int
    """Of its document."""
    offset: int
    """In the document."""
    token: int
    """Of the stream."""


@dataclass(frozen=True)
class StepAnswer:
    """What a trainer read."""

    mix: str
    """Its identity."""
    mix_id: str
    training: TrainingFigures
    steps: tuple[int, int]
    """First and last."""
    samples: list[tuple[int, int]]
    """First and last of each phase that was read."""
    documents: int
    tokens: int
    sources: list[SourceRead]
    masked: int | None = None
    """Of `tokens`, those that are no targets; None of a mix that is not masked."""
    spans: list[Span] | None = None
    """Of a step."""
    label: LastLabel | None = None
    """Of a sample."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        samples = [list(of_phase) for of_phase in self.samples]
        value: dict[str, object] = {
            "mix": self.mix,
            "training": self.training.as_json(),
            "steps": list(self.steps),
            "samples": samples[0] if len(samples) == 1 else samples,
            "documents": self.documents,
            "tokens": self.tokens,
            "sources": [asdict(source) for source in self.sources],
        }
        if self.masked is not None:
            value["masked"] = self.masked
        if self.spans is not None:
            value["spans"] = [span.as_json() for span in self.spans]
        if self.label is not None:
            value["label"] = asdict(self.label)
        return value


def last_save_before(checkpoint: int, interval: int | None) -> int:
    """Steps after which the save before that of `checkpoint` steps was made, of saves `interval`
    steps apart; 0 without an interval.
    """
    return (checkpoint - 1) // interval * interval if interval else 0


def trace_steps(question: StepQuestion) -> StepAnswer:
    """Answer a question.

    Raises:
        RecipeError: the training has no such step or sample, or the list cannot be made.
            ManifestError: the mix is damaged.
    """
    return _StepTrace(question).answer()


class _StepTrace:
    def __init__(self, question: StepQuestion) -> None:
        self.question = question
        self.mix = TracedMix(question.mix)
        self.training = TrainingOrder(self.mix, question.training)
        self.reads = self._reads()
        self.texts = (
            Texts(self.mix.claims, question.tokenizer, question.filters)
            if question.show_text
            else None
        )

    def _reads(self) -> list[Read]:
        """The samples of the training that are asked for."""
        asked = self.question
        reads = self.training.reads(asked.first_step, asked.last_step)
        if asked.sample is None:
            return reads
        (step,) = reads
        if asked.sample >= step.phase.batch:
            raise RecipeError(
                f"{self.mix.folder}: step {asked.first_step:,} has samples 0 to"
                f" {step.phase.batch - 1:,}; there is no --sample {asked.sample:,}"
            )
        first = step.first + asked.sample
        return [replace(step, first=first, last=first + 1)]

    def answer(self) -> StepAnswer:
        asked, read = self.question, self._tokens_read()
        answer = StepAnswer(
            mix=self.mix.claims.identity,
            mix_id=self.mix.claims.mix_id,
            training=self._training(),
            steps=(asked.first_step, asked.last_step - 1),
            samples=[(one.first, one.last - 1) for one in self.reads],
            documents=int(np.count_nonzero(read)),
            tokens=int(read.sum()),
            sources=self._by_source(read),
            masked=self._masked(),
            spans=self._spans() if asked.spans else None,
            label=None if asked.sample is None else self._last_label(),
        )
        if asked.listing is not None:
            self._list(asked.listing, read)
        return answer

    def _tokens_read(self) -> Int64s:
        """Tokens of each document of the mix that were read, int64 [num_docs]."""
        read = np.zeros(self.mix.total_documents, np.int64)
        for one in self.reads:
            read += self.training.order(one.phase).tokens_read(one.first, one.last)
        return read

    def _masked(self) -> int | None:
        """Tokens that were read and are no targets; None where there is no mask."""
        runs, index = self.mix.masked, self.mix.index
        if runs is None:
            return None
        masked = 0
        for one in self.reads:
            order = self.training.order(one.phase)
            masked += int(masked_of_samples(index, runs, order, one.first, one.last).sum())
        return masked

    def _training(self) -> TrainingFigures:
        training, shuffled = self.question.training, self.question.training.trainer != "file-order"
        return TrainingFigures(
            trainer=training.trainer,
            steps=self.training.steps,
            phases=[self._phase(phase, shuffled=shuffled) for phase in self.training.phases],
            seed=training.seed if shuffled else None,
            inferred=training.steps is None and training.samples is None if shuffled else None,
        )

    def _phase(self, phase: Phase, *, shuffled: bool) -> PhaseFigures:
        request = phase.request
        return PhaseFigures(
            steps=(phase.first_step, phase.last_step - 1),
            first_sample=phase.first_sample,
            batch=phase.batch,
            sequence=request.sequence,
            samples_asked=request.samples if shuffled else None,
            epochs=request.epochs(self.mix.total_tokens) if shuffled else None,
        )

    def _last_label(self) -> LastLabel:
        (one,) = self.reads
        position, offset = self.training.order(one.phase).label(one.first)
        return LastLabel(position, offset, self.mix.document(position).first_token + offset)

    def _by_source(self, read: Int64s) -> list[SourceRead]:
        """Figures of each strand of the mix. read: int64 [num_docs], tokens of each document."""
        strands, epochs = self.mix.strands_and_epochs()
        total, figures = int(read.sum()), []
        for number, strand in enumerate(self.mix.claims.sources):
            of_strand = (strands == number) & (read > 0)
            tokens, epoch = read[of_strand], epochs[of_strand]
            figures.append(
                SourceRead(
                    name=strand.name,
                    copy=strand.copy_number,
                    insert=strand.insert,
                    licence=strand.licence,
                    non_commercial=strand.non_commercial,
                    documents=len(tokens),
                    tokens=int(tokens.sum()),
                    share=f"{tokens.sum() / total:.6f}",
                    epochs={
                        str(one): int(tokens[epoch == one].sum())
                        for one in np.unique(epoch).tolist()
                    },
                )
            )
        return figures

    def _spans(self) -> list[Span]:
        """Every stretch that the samples read, in their order."""
        (one,) = self.reads
        spans = self.training.order(one.phase).spans(one.first, one.last)
        positions = np.unique(spans.positions).tolist()
        documents = {
            columns.position: described(self.mix, columns)
            for columns in self.mix.documents(positions)
        }
        samples = spans.reads - one.first + (self.question.sample or 0)
        columns = (samples, spans.positions, spans.offsets, spans.num_tokens)
        return [
            self._span(sample, documents[position], offset, num_tokens)
            for sample, position, offset, num_tokens in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]

    def _span(self, sample: int, document: TracedDocument, offset: int, num_tokens: int) -> Span:
        columns, text = document.columns, None
        if self.texts:
            text = self.texts.document(self.mix.tokens(columns, offset, offset + num_tokens))
        return Span(sample, offset, num_tokens, columns.first_token + offset, document, text)

    def _list(self, file: Path, read: Int64s) -> None:
        """Write the documents that were read, a line of JSON each: what the mix says of it, and
        tokens_read. As `private_file`.
        """
        positions = np.flatnonzero(read)
        with private_file(file) as lines:
            for low in range(0, len(positions), LIST_BATCH):
                for columns in self.mix.documents(positions[low : low + LIST_BATCH].tolist()):
                    line = described(self.mix, columns).as_json()
                    line["tokens_read"] = int(read[columns.position])
                    lines.write(json.dumps(line, sort_keys=True).encode() + b"\n")
