"""The loops by which GPT-NeoX and megatron-core find out what sample is read when, transcribed one
by one and as slow as they are.

Follows EleutherAI/gpt-neox megatron/data/gpt2_dataset.py at 0321b40e37ee (`_build_index_mappings`
of "packed", `__getitem__`) and megatron-core 0.16.1 core/datasets/gpt_dataset.py
(`_build_document_sample_shuffle_indices`, `_query_document_sample_shuffle_indices`). Shares no
formula with mixtures.trainers.training_order.
"""

from __future__ import annotations

import numpy as np

Token = tuple[int, int]
"""Position of a document in the mix, and a token's number in it."""


def neox(sizes: list[int], sequence: int, asked: int, seed: int) -> list[list[Token]]:
    """`text` of every sample that the loader serves, in the order of reading: sequence + 1 tokens
    each.
    """
    per_epoch, epochs, total = sum(sizes), 0, 0
    while True:
        epochs += 1
        total += per_epoch
        if (total - 1) // sequence >= asked:
            break
    state = np.random.RandomState(seed=seed)
    documents = np.mgrid[0:epochs, 0 : len(sizes)][1].reshape(-1).astype(np.int32)
    state.shuffle(documents)
    starts = _starts(sizes, documents, sequence, (epochs * per_epoch - 1) // sequence)
    shuffled = np.arange(len(starts) - 1, dtype=np.uint32)
    state.shuffle(shuffled)
    return [
        _text(sizes, documents, starts, int(sample)) for sample in shuffled[: len(shuffled) - 1]
    ]


def megatron(sizes: list[int], sequence: int, asked: int, seed: int) -> list[list[Token]]:
    """`text` of every sample in the order of reading: sequence + 1 tokens each."""
    per_epoch = sum(sizes)
    epochs, total, separate, before = 1, per_epoch, False, 0
    while total < asked * sequence + 1:
        epochs += 1
        total += per_epoch
    if epochs > 1:
        before = ((epochs - 1) * per_epoch - 1) // sequence
        separate = asked - before < int(0.80 * ((per_epoch - 1) // sequence))
    state = np.random.RandomState(seed)
    pieces = []
    for count in [epochs - 1, 1] if separate else [epochs]:
        pieces.append(np.mgrid[0:count, 0 : len(sizes)][1].reshape(-1).astype(np.int32))
        state.shuffle(pieces[-1])
    documents = np.concatenate(pieces)
    starts = _starts(sizes, documents, sequence, (epochs * per_epoch - 1) // sequence)
    samples = len(starts) - 1
    parts = [
        np.arange(0, before if separate else samples),
        np.arange(before if separate else samples, samples),
    ]
    for part in parts:
        state.shuffle(part)
    return [_text(sizes, documents, starts, int(sample)) for sample in np.concatenate(parts)]


def _starts(
    sizes: list[int], documents: np.ndarray, sequence: int, samples: int
) -> list[tuple[int, int]]:
    """`_build_sample_idx`: index among the shuffled documents and offset in it, where each sample
    begins and the last one ends.
    """
    starts, index, offset = [(0, 0)], 0, 0
    while len(starts) <= samples:
        remaining = sequence + 1
        while remaining != 0:
            length = sizes[documents[index]] - offset
            remaining -= length
            if remaining <= 0:
                offset += remaining + length - 1
                remaining = 0
            else:
                index += 1
                offset = 0
        starts.append((index, offset))
    return starts


def _text(
    sizes: list[int], documents: np.ndarray, starts: list[tuple[int, int]], sample: int
) -> list[Token]:
    """`__getitem__`: the rest of the first document, those between, and the beginning of the
    last.
    """
    (first, from_token), (last, to_token) = starts[sample], starts[sample + 1]
    if first == last:
        return [(int(documents[first]), token) for token in range(from_token, to_token + 1)]
    text = [(int(documents[first]), token) for token in range(from_token, sizes[documents[first]])]
    for index in range(first + 1, last):
        text += [(int(documents[index]), token) for token in range(sizes[documents[index]])]
    return text + [(int(documents[last]), token) for token in range(to_token + 1)]
