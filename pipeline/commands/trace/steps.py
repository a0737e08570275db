"""`annealmix trace --step` and `--checkpoint`: what a trainer read of a mix in some of its steps.

    .idx sizes, trainer, seed, sequence, samples asked -> the trainer's order
                                                          (mixtures.mix.training)
    steps -> samples of the training                      -> tokens read of each document -> figures
                                                          by source, exact
    one step                                           -> also every stretch of a document that it
                                                       read (spans)

Steps and samples: `mixtures.mix.training`. Tokens are those
fed to the model; the last label of a sample is told apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.errors import RecipeError
from mixtures.mix.trace import TracedMix
from mixtures.mix.training import Training, TrainingOrder
from mixtures.trainers.order import Int64s
from pipeline.commands.destination import private_file
from pipeline.commands.trace.trace import Answer, described
from pipeline.lookup.text import Texts

LIST_BATCH = 1 << 14  # documents of a list that are looked up at a time


@dataclass(frozen=True)
class StepQuestion:
    """What is asked: steps first_step .. last_step - 1 of a training, or of one step one sample of
    its batch.

    spans: every stretch is asked for. listing: file that the documents are to be listed in.
    """

    mix: Path
    training: Training
    first_step: int
    last_step: int
    sample: int | None = None
    spans: bool = False
    listing: Path | None = None
    tokenizer: Path | None = None
    filters: Path | None = None
    show_text: bool = False


def trace_steps(question: StepQuestion) -> Answer:
    """Answer a question: {training, steps, samples, documents, tokens, sources: [figures of each],
    spans: [of a step], label: of a sample}.

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
        self.order = self.training.order
        self.first, self.last = self._samples()
        self.texts = (
            Texts(self.mix.claims, question.tokenizer, question.filters)
            if question.show_text
            else None
        )

    def _samples(self) -> tuple[int, int]:
        """The samples of the training that are asked for, first and one past the last."""
        asked, batch = self.question, self.training.batch
        first, last = self.training.samples(asked.first_step, asked.last_step)
        if asked.sample is None:
            return first, last
        if asked.sample >= batch:
            raise RecipeError(
                f"{self.mix.folder}: a step has samples 0 to {batch - 1:,}; there is no"
                f" --sample {asked.sample:,}"
            )
        return first + asked.sample, first + asked.sample + 1

    def answer(self) -> Answer:
        asked, read = self.question, self.order.tokens_read(self.first, self.last)
        said: Answer = {
            "mix": self.mix.claims.identity,
            "training": self._training(),
            "steps": [asked.first_step, asked.last_step - 1],
            "samples": [self.first, self.last - 1],
            "documents": int(np.count_nonzero(read)),
            "tokens": int(read.sum()),
            "sources": self._by_source(read),
        }
        if asked.spans:
            said["spans"] = self._spans()
        if asked.sample is not None:
            position, offset = self.order.label(self.first)
            said["label"] = {
                "position": position,
                "offset": offset,
                "token": self.mix.document(position).first_token + offset,
            }
        if asked.listing is not None:
            self._list(asked.listing, read)
        return said

    def _training(self) -> Answer:
        request, training = self.order.request, self.question.training
        said = {
            "trainer": request.trainer,
            "batch": self.training.batch,
            "sequence": request.sequence,
            "steps": self.training.steps,
        }
        if request.trainer == "file-order":
            return said
        asked = {
            "seed": request.seed,
            "samples_asked": request.samples,
            "inferred": training.steps is None and training.samples is None,
        }
        return {**said, **asked, "epochs": self.order.epochs}

    def _by_source(self, read: Int64s) -> list[Answer]:
        """Figures of each strand of the mix: distinct documents, tokens, share of the tokens, and
        tokens of each epoch of the source.
        """
        strands, epochs = self.mix.strands_and_epochs()
        total, figures = int(read.sum()), []
        for number, strand in enumerate(self.mix.claims.sources):
            mine = (strands == number) & (read > 0)
            tokens, epoch = read[mine], epochs[mine]
            figures.append(
                {
                    "name": strand.name,
                    "copy": strand.copy_number,
                    "insert": strand.insert,
                    "licence": strand.licence,
                    "non_commercial": strand.non_commercial,
                    "documents": len(tokens),
                    "tokens": int(tokens.sum()),
                    "share": f"{tokens.sum() / total:.6f}",
                    "epochs": {
                        str(one): int(tokens[epoch == one].sum())
                        for one in np.unique(epoch).tolist()
                    },
                }
            )
        return figures

    def _spans(self) -> list[Answer]:
        """Every stretch that the samples read, in their order: its document, and first_token and
        num_tokens of the stretch in it.
        """
        spans = self.order.spans(self.first, self.last)
        positions = np.unique(spans.positions).tolist()
        places = dict(zip(positions, self.mix.documents(positions), strict=True))
        documents = {position: described(self.mix, place) for position, place in places.items()}
        said = []
        columns = (
            spans.reads - self.question.first_step * self.training.batch,
            spans.positions,
            spans.offsets,
            spans.num_tokens,
        )
        for sample, position, offset, count in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            place = places[position]
            one = {
                "sample": sample,
                "offset": offset,
                "num_tokens": count,
                "token": place.first_token + offset,
            }
            if self.texts:
                one |= self.texts.shown(self.mix.tokens(place, offset, offset + count))
            said.append({**one, "document": documents[position]})
        return said

    def _list(self, file: Path, read: Int64s) -> None:
        """Write the documents that were read, a line of JSON each: what the mix says of it, and
        tokens_read. As `private_file`.
        """
        positions = np.flatnonzero(read)
        with private_file(file) as lines:
            for low in range(0, len(positions), LIST_BATCH):
                for place in self.mix.documents(positions[low : low + LIST_BATCH].tolist()):
                    said: dict[str, Any] = {
                        **described(self.mix, place),
                        "tokens_read": int(read[place.position]),
                    }
                    lines.write(json.dumps(said, sort_keys=True).encode() + b"\n")
