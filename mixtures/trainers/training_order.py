"""What a trainer reads when: the order in which GPT-NeoX and megatron-core go through a mix. No
trainer is imported.

Both lay whole epochs of documents end to end, cut that stream into samples of L tokens, and read
the samples shuffled:

    documents   every document once an epoch, shuffled by numpy's RandomState(seed)
    sample k    tokens k*L to (k+1)*L - 1 of those documents laid end to end; token (k+1)*L is the
                last label, and sample k+1's first
    read n-th   sample shuffled[n], shuffled by the same generator after the documents

    trainer     documents; samples
    neox        all epochs shuffled together; all shuffled together; the last one is never served
                (gpt-neox issue 972)
    megatron    the same; a separate last epoch follows the others, shuffled by itself; those before
                the separate epoch first, then the rest
    file-order  as in the mix, once; not shuffled

OLMo-core cuts a mix into windows of L tokens as it lies, and shuffles these (`olmo_windows`).

So an order is a pure function of the documents' sizes, the seed, L and the number of samples asked
for, which decides the epochs (`mixtures.trainers.epochs`). Taken for granted: the whole mix is the
training split (`split: "1"` or a training data path of its own), as one data path without weights,
packed (NeoX `pack_impl`), whole sequences only and an extra token (megatron-core's defaults in
training).

Sources: EleutherAI/gpt-neox megatron/data/gpt2_dataset.py at 0321b40e37ee (`_build_index_mappings`;
equal for "packed" to b2f1101da0e5, before packing became an option) and helpers.cpp at
b2848c1510208; megatron-core 0.16.1 core/datasets/gpt_dataset.py
(`_build_document_sample_shuffle_indices`) and helpers.cpp, with which tests/readers compare. The
loops of both become a bisection of the running total of sizes: token k*L is in the first document
whose end lies beyond it.

Cost: 12 bytes for each document of each epoch and 4 for each sample, and two shuffles, of which no
part can be left out: one second for 10,000,000 documents and 2,490,405 samples, 2.6 for three
epochs of them (2026-11-22, a 2-core x86-64 machine).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.trainers.epochs import megatron_samples, megatron_schedule, pooled_epochs
from mixtures.trainers.names import OrderName

# documents of all epochs together, which both trainers number in int32; and samples
MAX_NUMBERED = (1 << 31) - 1
_BLOCK_SAMPLES = 1 << 15  # cut into spans at a time: 32 bytes of each span are held

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OrderRequest:
    """What a trainer was told."""

    trainer: OrderName
    sequence: int
    """Tokens of a sample."""
    samples: int
    """Asked for, steps * batch; file-order ignores it and the seed."""
    seed: int

    def epochs(self, num_tokens: int) -> int:
        """Epochs that the trainer opens over a mix of `num_tokens` tokens."""
        if self.trainer == "file-order":
            return 1
        return pooled_epochs(num_tokens, self.sequence, self.samples)

    def served(self, num_tokens: int) -> int:
        """Samples that the trainer's loader can serve of those epochs; GPT-NeoX's one fewer than it
        cuts.
        """
        cut = megatron_samples(num_tokens, self.sequence, self.epochs(num_tokens))
        return max(0, cut - (self.trainer == "neox"))


@dataclass(frozen=True)
class Spans:
    """Stretches of documents in the order in which they are read, all arrays int64 [num_spans]."""

    reads: Int64s
    """Which sample each belongs to, from 0 in the order of reading."""
    positions: Int64s
    """Its document in the mix."""
    offsets: Int64s
    """Tokens of the document before it."""
    num_tokens: Int64s
    """Its length."""


class TrainerOrder:
    """The order that a request makes of a mix.

    Args:
        sizes: int32 [num_docs], tokens of each document of the mix, EOD included; all above 0.

    Attributes:
        epochs: that the trainer opens. samples: that its loader can serve of them.

    Raises:
        ValueError: the epochs hold more documents or samples than can be numbered.
    """

    def __init__(self, request: OrderRequest, sizes: npt.NDArray[np.int32]) -> None:
        """sizes: int32 [num_docs], tokens of each document, in the order of the stream."""
        self._sizes = np.ascontiguousarray(sizes)  # not aligned in an .idx
        num_tokens = int(self._sizes.sum(dtype=np.int64))
        self.request = request
        self.epochs = request.epochs(num_tokens)
        self.samples = request.served(num_tokens)
        # the same for all three
        samples = megatron_samples(num_tokens, request.sequence, self.epochs)
        if max(self.epochs * len(sizes), samples) > MAX_NUMBERED:
            raise ValueError(
                f"{self.epochs:,} epochs hold {self.epochs * len(sizes):,} documents and"
                f" {samples:,} samples, {MAX_NUMBERED:,} of each can be numbered"
            )
        state = np.random.RandomState(request.seed)
        last = self._separate_epoch(num_tokens)
        self._documents = _epochs(len(sizes), self.epochs - last, state if self._shuffles else None)
        if last:
            self._documents = np.concatenate([self._documents, _epochs(len(sizes), 1, state)])
        # int64 [epochs * num_docs]: tokens up to and with each document laid end to end
        self._ends = np.cumsum(self._sizes[self._documents], dtype=np.int64)
        self._shuffled = np.arange(samples, dtype=np.uint32)
        if self._shuffles:
            first = (
                megatron_samples(num_tokens, request.sequence, self.epochs - 1) if last else samples
            )
            state.shuffle(self._shuffled[:first])
            state.shuffle(self._shuffled[first:])

    def spans(self, first: int, last: int) -> Spans:
        """What samples first .. last - 1 of the training feed to the model, `sequence` tokens each;
        their last labels are `label`'s.
        """
        # tokens of the documents laid end to end, int64 [num_samples]
        starts = self._shuffled[first:last].astype(np.int64) * self.request.sequence
        stops = starts + self.request.sequence
        low, high = self._slots(starts), self._slots(stops - 1)
        counts = high - low + 1  # documents that each sample touches; a span for each
        sample = np.repeat(np.arange(len(starts)), counts)
        # low, low + 1 .. high of each sample, one after the other: a running number, less that of
        # the sample's first span
        slots = np.arange(int(counts.sum())) + (low - np.cumsum(counts) + counts)[sample]
        positions = self._documents[slots].astype(np.int64)
        ends = self._ends[slots]
        begins = ends - self._sizes[positions]
        from_token, to_token = np.maximum(begins, starts[sample]), np.minimum(ends, stops[sample])
        return Spans(first + sample, positions, from_token - begins, to_token - from_token)

    def label(self, read: int) -> tuple[int, int]:
        """Document and token in it that a sample of the training predicts last, without having it
        among its own.
        """
        token = (int(self._shuffled[read]) + 1) * self.request.sequence
        slot = int(self._slots(np.array([token]))[0])
        position = int(self._documents[slot])
        return position, token - int(self._ends[slot]) + int(self._sizes[position])

    def tokens_read(self, first: int, last: int) -> Int64s:
        """Tokens of each document of the mix that samples first .. last - 1 of the training feed to
        the model, int64 [num_docs].
        """
        read = np.zeros(len(self._sizes), np.int64)
        for low in range(first, last, _BLOCK_SAMPLES):
            spans = self.spans(low, min(low + _BLOCK_SAMPLES, last))
            np.add.at(read, spans.positions, spans.num_tokens)
        return read

    @property
    def _shuffles(self) -> bool:
        return self.request.trainer != "file-order"

    def _separate_epoch(self, num_tokens: int) -> int:
        """1 if the last epoch is shuffled and read by itself, else 0."""
        if self.request.trainer != "megatron":
            return 0
        return int(
            megatron_schedule(num_tokens, self.request.sequence, self.request.samples).separate
        )

    def _slots(self, tokens: Int64s) -> Int64s:
        """Which of the documents laid end to end each token is in, both int64 [num_tokens]."""
        return self._ends.searchsorted(tokens, side="right")


def olmo_windows(windows: int, seed: int, epoch: int) -> npt.NDArray[np.uint32]:
    """The windows of a mix in the order in which OLMo-core reads them: uint32 [windows].

    Source: ai2-olmo-core 3.0.0 data/data_loader.py (`NumpyFSLDataLoader._build_global_indices`),
    data/utils.py (`get_rng`).

    Args:
        windows: below 2^32. epoch: from 1.
    """
    order = np.arange(windows, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed=seed + epoch)).shuffle(order)
    return order


def _epochs(num_documents: int, epochs: int, state: Any | None) -> npt.NDArray[np.int32]:
    """Positions of all documents of some epochs, int32 [epochs * num_documents], shuffled together
    by a numpy RandomState; in order without one.
    """
    documents = np.tile(np.arange(num_documents, dtype=np.int32), epochs)
    if state is not None:
        state.shuffle(documents)
    return documents
