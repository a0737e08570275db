"""The .idx of a pair: header, lengths and pointers, checked a block of documents at a time, so that memory does not grow with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixtures.errors import AuditFailed
from mixtures.mix.indexed import IndexedTokens, open_indexed

BLOCK_DOCUMENTS = 1 << 20


def try_open(bin_path: Path, idx_path: Path) -> tuple[IndexedTokens | None, list[str]]:
    """Open a pair. Returns (pair, no fault), or (None, why not)."""
    try:
        return open_indexed(bin_path, idx_path), []
    except AuditFailed as error:
        return None, [str(error)]
    except (OSError, ValueError) as error:
        return None, [f"{idx_path}: {error}"]


def pointer_faults(pair: IndexedTokens, one_sequence_each: bool = True) -> list[str]:
    """What is wrong with sizes, pointers and document index, one sentence each.

    Args:
        one_sequence_each: whether every document must be one sequence of at least one token, as annealmix writes them.
    """
    faults, begin, token_bytes, num_sequences = [], 0, pair.tokens.dtype.itemsize, len(pair.sizes)
    for low in range(0, num_sequences, BLOCK_DOCUMENTS):
        sizes = np.asarray(pair.sizes[low : low + BLOCK_DOCUMENTS], np.int64)
        starts = begin + np.cumsum(sizes) - sizes
        wrong = np.asarray(pair.pointers[low : low + BLOCK_DOCUMENTS]) != starts * token_bytes
        empty = sizes <= 0 if one_sequence_each else sizes < 0
        if empty.any():
            at = int(np.argmax(empty))
            faults.append(f"document {low + at:,} has {sizes[at]:,} tokens")
        if wrong.any():
            at = int(np.argmax(wrong))
            place = starts[at] * token_bytes
            faults.append(f"byte pointer of document {low + at:,} is {pair.pointers[low + at]:,}, its place is {place:,}")
        if len(faults) >= 2:
            break
        begin += int(sizes.sum())
    else:
        if begin != len(pair.tokens):
            faults.append(f"sizes sum to {begin:,} tokens, the .bin holds {len(pair.tokens):,}")
    return faults + _document_faults(pair, one_sequence_each)


def _document_faults(pair: IndexedTokens, one_sequence_each: bool) -> list[str]:
    entries, num_sequences = len(pair.documents), len(pair.sizes)
    if entries == 0 or pair.documents[0] != 0 or pair.documents[-1] != num_sequences:
        return [f"the document index of {entries:,} entries does not run from 0 to {num_sequences:,}"]
    if one_sequence_each and entries != num_sequences + 1:
        return [f"the document index has {entries:,} entries, {num_sequences:,} documents of one sequence each have {num_sequences + 1:,}"]
    for low in range(0, entries - 1, BLOCK_DOCUMENTS):
        steps = np.diff(pair.documents[low : low + BLOCK_DOCUMENTS + 1])
        wrong = (steps != 1) if one_sequence_each else (steps < 0)
        if wrong.any():
            at = low + int(np.argmax(wrong))
            return [f"the document index goes from {pair.documents[at]:,} to {pair.documents[at + 1]:,} at entry {at:,}"]
    return []
