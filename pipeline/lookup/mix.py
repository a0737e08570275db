"""A finished mix opened to be read: its tokens, its documents one by one or as a table, and what a
trainer reads of it in a step.

    Mix[i]      the record of document i: its ids, and where it came from
    Mix[a:b]    those of a stretch, read as they are asked for
    documents   all of them, as a lazy frame of polars
    step        the samples of one step of a training (mixtures.mix.training)
    text        of a document (pipeline.lookup.text)

What is read is held against tokens.idx, as `annealmix trace` does; nothing is hashed
(`annealmix audit`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from mixtures.mix.manifest import Manifest
from mixtures.mix.trace import Position, TracedMix
from mixtures.mix.training import Changes, Training, TrainingOrder
from mixtures.trainers.names import OrderName
from mixtures.trainers.training_order import Spans
from pipeline.lookup.local import local_mix
from pipeline.lookup.text import Texts
from pipeline.places.places import WRITABLE, read_place

if TYPE_CHECKING:
    import polars as pl

KEPT_BLOCKS = 256
"""Some 600 MB of 16 million documents: a random order of more than these reads a block, in some 10
milliseconds, for most of its records."""

Tokens = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Record(Position):
    """A document of a mix: what its tables say, and its tokens."""

    ids: Tokens = field(repr=False, compare=False)
    """uint16 or int32 [num_tokens], a view of tokens.bin; the last is the end of the document."""


@dataclass(frozen=True)
class Step:
    """What a trainer reads in one step, its samples in the order of reading."""

    number: int
    tokens: Tokens
    """uint16 or int32 [batch, sequence + 1]: a sample, and its last label."""
    spans: Spans
    """The stretches of documents that the inputs consist of; `reads` count from 0."""

    @property
    def inputs(self) -> Tokens:
        """What is fed to the model, [batch, sequence]."""
        return self.tokens[:, :-1]

    @property
    def labels(self) -> Tokens:
        """What it is to predict, [batch, sequence]."""
        return self.tokens[:, 1:]


class Records(Sequence[Record]):
    """Documents of a mix at some positions, each read as it is asked for."""

    def __init__(self, read: Callable[[int], Record], positions: range) -> None:
        self._read = read
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return Records(self._read, self._positions[index])
        try:
            position = self._positions[index]
        except IndexError:
            raise IndexError(f"there is no document {index:,} of {len(self):,}") from None
        return self._read(position)


class Mix(Records):
    """A mix, opened without reading its documents; a sequence of their records. Made by `open_mix`.

    Attributes:
        folder: of its files. tokens: uint16 or int32 [num_tokens], all of them, memory-mapped.
        manifest: what manifest.json says.
    """

    def __init__(
        self, folder: Path, tokenizer: Path | None, opened: ExitStack, reopen: Callable[[], Mix]
    ) -> None:
        self._traced = TracedMix(folder, KEPT_BLOCKS)
        super().__init__(self._record, range(self._traced.total_documents))
        self.folder = folder
        self.manifest: Manifest = self._traced.claims.as_json()
        self.tokens: Tokens = self._traced.index.tokens
        self._ids = np.asarray(self.tokens)
        self._tokenizer = tokenizer
        self._reopen = reopen
        self._order = lru_cache(1)(lambda training: TrainingOrder(self._traced, training))
        self._opened = opened.pop_all()

    def __reduce__(self) -> tuple[Callable[[], Mix], tuple[()]]:
        """Another process opens it again."""
        return self._reopen, ()

    def __repr__(self) -> str:
        return f"<Mix {self.name}: {len(self):,} documents, {len(self.tokens):,} tokens>"

    def __enter__(self) -> Mix:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete the copy of a remote mix; of a local one there is nothing to close."""
        self._opened.close()

    @property
    def name(self) -> str:
        """Of its recipe."""
        return self._traced.claims.name

    @property
    def identity(self) -> str:
        """What the stream is, 64 hex digits: the same tokens, documents and order have the same."""
        return self._traced.claims.identity

    @property
    def mix_id(self) -> str:
        """What the mix is, 64 hex digits: of its identity, its recipe with the filters, and its
        tokenizer.
        """
        return self._traced.claims.mix_id

    @property
    def sources(self) -> list[dict[str, Any]]:
        """What the manifest says of each source, of its copies, and of inserts."""
        return list(self.manifest["sources"])

    @cached_property
    def documents(self) -> pl.LazyFrame:
        """Both tables side by side [num_docs], a row a document in the order of the stream; columns
        as `mixtures.mix.tables` names them.

        Raises:
            ManifestError: a part cannot be read, or has other rows than tokens.idx.
        """
        import polars as pl

        documents, provenance = (
            pl.scan_parquet(paths) for paths in self._traced.table_parts().values()
        )
        return pl.concat([documents, provenance.drop("position")], how="horizontal")

    def text(self, index: int) -> str:
        """The text of a document, decoded from its tokens without those that begin and end it.

        Raises:
            IndexError: there is no such document. Else as `pipeline.lookup.text.Texts`.
        """
        begins = int(self._traced.claims.tokenizer.bos_id is not None)
        return self._texts.text(self[index].ids[begins:-1])

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self._traced.claims, self._tokenizer, None)

    def step(
        self,
        number: int,
        *,
        trainer: OrderName,
        seed: int = 1234,
        batch: int | Changes | None = None,
        sequence: int | Changes | None = None,
        steps: int | None = None,
        samples: int | None = None,
    ) -> Step:
        """What a trainer reads in step `number` of a training, from 0. The order of the last
        training is kept for its next step.

        Args:
            trainer: whose order. seed: of the trainer. batch: sequences of a step. sequence: tokens
                of a sequence; both also as ((0, value), (step, value from it on), ...). steps: of
                the training. samples: that the trainer was asked for, where not steps * batch.
                None: as the mix is meant for, or as many as see no token twice.

        Raises:
            ValueError: no trainer takes such a setting. RecipeError: there is no such step, or the
                mix holds too little for one. ManifestError: the mix is damaged.
        """
        training = Training(trainer, seed, batch, sequence, steps, samples)
        order = self._order(training)
        (read_of,) = order.reads(number, number + 1)
        first, last, phase_order = read_of.first, read_of.last, order.order(read_of.phase)
        spans = phase_order.spans(first, last)
        starts = self._traced.first_tokens(spans.positions) + spans.offsets
        stretches = zip(starts.tolist(), (starts + spans.num_tokens).tolist(), strict=True)
        read = np.concatenate([self._ids[start:stop] for start, stop in stretches])
        positions, offsets = np.array([phase_order.label(one) for one in range(first, last)]).T
        last_labels = self._ids[self._traced.first_tokens(positions) + offsets]
        tokens = np.concatenate([read.reshape(last - first, -1), last_labels[:, None]], axis=1)
        return Step(number, tokens, replace(spans, reads=spans.reads - first))

    def _record(self, position: int) -> Record:
        values = self._traced.values(position)
        first, count = values[1], values[2]
        return Record(*values, self._ids[first : first + count])


def open_mix(
    path: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Mix:
    """Open a mix to read it: a folder, or a URL whose copy is deleted when the mix is closed.

    Args:
        tokenizer: the mix's tokenizer.json, for `Mix.text`; None: found as for a build. cache: of
            working copies of remote mixes (~/.cache/annealmix).

    Raises:
        RecipeError: there is no mix, or a public one, without files and rows. ManifestError: its
            files are damaged, or not what its manifest says.
    """
    with ExitStack() as opened:
        place = read_place(os.fspath(path), WRITABLE)
        copies = None if cache is None else Path(cache)
        folder = opened.enter_context(local_mix(place, copies))
        reopen = partial(open_mix, path, tokenizer=tokenizer, cache=cache)
        return Mix(folder, None if tokenizer is None else Path(tokenizer), opened, reopen)
