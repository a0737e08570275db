"""Columns as raw little-endian files: one file a column, memory-mapped, no header.

The dtype of each column is part of its name's meaning, here in one table, so that every reader
agrees with every writer.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.store.records import named

DTYPES: dict[str, str] = {
    "order_key": "<u8",
    "digest": ">u8",  # two halves a document: the file holds the digests' bytes as they are
    "file": "<u4",  # index into the group's list of inputs
    "row": "<u4",  # 0-based in its file
    "num_tokens": "<u4",  # EOD included
    "offset": "<u8",  # tokens before the document in its token file
    "start": "<u8",  # tokens before the document in its key partition
    "token_file": "<u4",  # index into the selection's list of token files
    "segment": "<u4",  # index into the selection's list of segments
    "ledger_row": "<u4",  # row in its segment's ledger
    "terms": "<u2",  # distinct terms of a blocklist (65,535: or more)
    "grams": "<u4",  # distinct n-grams of the items of evaluation sets that contaminate it
    "hit_row": "<u4",  # a document of the key range that holds an item: its row there
    "hit_item": "<u4",  # the item, counted over the sets in their order
    "hit_found": "<u4",  # how many of the item's n-grams it holds
    "score": "<i4",  # millionths; -1: not scored
    "place": "<u8",  # tokens of the quota before the document in its key partition
    "after": "<u4",  # documents of the partition that stand before a removed one
    "verdicts": "<u4",  # bit i: filter i removes the document
    "spared": "|u1",  # 1: a filter flags the document, and its dose spares it
    "of": "<u4",  # index among the partition's documents of the one that a copy is of
    "bands": "<u8",  # band keys, as many as the rule has bands, one document behind the other
    "exempt": "|u1",  # 1: the document is shorter than a shingle
    "band_key": "<u8",  # of a document that is long enough (mixtures.rules.near)
    "band_row": "<u4",  # the document's row in what its keys were made of
    "source": "<u2",  # index into the plan's list of sources
    "document": "<u8",  # counted over all documents among which near-duplicates are searched
    "linked": "<u8",  # the document at an edge's other end, always a later one
    "shingle": "<u8",  # distinct shingle hashes of documents, ascending in each
    "first_shingle": "<u8",  # place of a document's first shingle in that column
    "num_shingles": "<u4",
    "component": "<u8",  # the first document of the same cluster
    "survivor": ">u8",  # digest of the document that stays instead
    "survivor_source": "<u4",  # place of its source in the recipe
}

STRETCH = 1 << 20  # rows that are converted at a time: a column may be a good part of the memory
PAIRS = ("digest", "survivor")  # columns of 16 bytes a document, two numbers


def write_column(folder: Path, name: str, values: npt.NDArray[Any], prefix: str = "") -> None:
    """Write a column; digests are [n, 2], the others [n]."""
    path = folder / f"{prefix}{name}"
    with named(path), path.open("wb") as file:
        for at in range(0, len(values), STRETCH):
            file.write(np.ascontiguousarray(values[at : at + STRETCH], DTYPES[name]).data)


def mapped(path: str) -> memoryview:
    """The bytes of a file, read-only. Of a store with thousands of segments each partition and each
    chunk maps as many files, and np.memmap takes four times as long.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)


def read_column(folder: Path, name: str, prefix: str = "") -> npt.NDArray[Any]:
    """Memory-map a column, read-only: [num_rows], or [num_rows, 2] of PAIRS; dtype as DTYPES.
    `bands` comes flat, [num_rows * bands], for the file does not say how many a document has.
    """
    content = mapped(f"{folder}/{prefix}{name}")
    column = np.frombuffer(content, DTYPES[name]) if content else np.empty(0, DTYPES[name])
    return column.reshape(-1, 2) if name in PAIRS else column


def prefix(segment: int) -> str:
    """File name prefix of a segment."""
    return f"{segment:04d}."
