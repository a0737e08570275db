r"""The Megatron / GPT-NeoX indexed dataset: `tokens.idx` beside `tokens.bin`.

Byte layout, little-endian (megatron/core/datasets/indexed_dataset.py; GPT-NeoX
megatron/data/indexed_dataset.py):

    0   9   magic  b"MMIDIDX\x00\x00"
    9   8   u64    version = 1
    17  1   u8     dtype code: 8 = uint16, 4 = int32
    18  8   u64    number of sequences N
    26  8   u64    length of the document index = N + 1
    34      i32[N]    tokens of each sequence
            i64[N]    byte offset of each sequence in the .bin
            i64[N+1]  document index 0, 1, ..., N  (one sequence a document)

Example: documents of 3 and 2 tokens -> sizes 3, 2; pointers 0, 6; document index 0, 1, 2; 34 + 8 +
16 + 24 = 82 bytes. Vocabularies above 65,536 are written as int32 (code 4): the format has no
uint32, and ids stay far below 2^31.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import AuditFailed

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES = {"uint16": 8, "int32": 4}
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}


def header(num_documents: int, token_dtype: str) -> bytes:
    """The 34 header bytes. token_dtype: numpy name, `uint16` or `int32`."""
    return HEADER.pack(MAGIC, 1, DTYPE_CODES[token_dtype], num_documents, num_documents + 1)


def file_size(num_documents: int) -> int:
    """Bytes of the whole .idx."""
    return HEADER.size + 4 * num_documents + 8 * num_documents + 8 * (num_documents + 1)


def pieces(
    num_documents: int,
    first_document: int,
    first_token: int,
    num_tokens: npt.NDArray[np.int64],
    token_bytes: int,
) -> list[tuple[int, bytes]]:
    """What consecutive documents add to the .idx, so that tasks can write it side by side.

    Args:
        num_documents: of the whole mix. first_document, first_token: where the given ones begin in
            the stream.
        num_tokens: int64 [n], tokens of each given document. token_bytes: 2 or 4.

    Returns:
        (byte offset in the file, bytes) of their sizes, pointers and document index entries. Entry
        N of the document index belongs to the last.
    """
    count = len(num_tokens)
    sizes_at = HEADER.size
    pointers_at = sizes_at + 4 * num_documents
    index_at = pointers_at + 8 * num_documents
    starts = first_token + np.cumsum(num_tokens) - num_tokens  # tokens before each document
    # entries of the document index are one more than documents: the last of all writes two
    last = first_document + count + (first_document + count == num_documents)
    return [
        (sizes_at + 4 * first_document, num_tokens.astype("<i4").tobytes()),
        (pointers_at + 8 * first_document, (starts * token_bytes).astype("<i8").tobytes()),
        (index_at + 8 * first_document, np.arange(first_document, last, dtype="<i8").tobytes()),
    ]


@dataclass(frozen=True)
class IndexedTokens:
    """A .bin/.idx pair, memory-mapped. tokens: [num_tokens]; sizes: int32 [N]; pointers: int64 [N];
    documents: int64 [M].
    """

    tokens: npt.NDArray[np.integer]
    sizes: npt.NDArray[np.int32]
    pointers: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]


def open_indexed(bin_path: Path, idx_path: Path) -> IndexedTokens:
    """Open a pair after checking that every length adds up; nothing larger than the files is ever
    allocated.

    Raises:
        AuditFailed: says which file, what was found and what the format demands.
    """
    for path in (bin_path, idx_path):
        if not path.is_file():
            raise AuditFailed(f"{path}: no such file")
    size = idx_path.stat().st_size
    with idx_path.open("rb") as file:
        start = file.read(HEADER.size)
    if len(start) < HEADER.size:
        raise AuditFailed(
            f"{idx_path}: {size} bytes, but the header alone takes {HEADER.size}: it is truncated"
            " or not an .idx"
        )
    magic, version, code, sequences, documents = HEADER.unpack(start)
    if magic != MAGIC or version != 1 or code not in _DTYPES:
        raise AuditFailed(
            f"{idx_path}: magic {magic!r}, version {version}, dtype code {code}; expected"
            f" {MAGIC!r}, 1 and one of {sorted(_DTYPES)}"
        )
    expected = HEADER.size + 12 * sequences + 8 * documents
    if size != expected:
        raise AuditFailed(
            f"{idx_path}: {size:,} bytes, but {sequences:,} sequences and {documents:,} document"
            f" entries take {expected:,}"
        )
    dtype = np.dtype(_DTYPES[code])
    bin_size = bin_path.stat().st_size
    if bin_size % dtype.itemsize:
        raise AuditFailed(
            f"{bin_path}: {bin_size:,} bytes is no whole number of {dtype.itemsize}-byte tokens: it"
            " is truncated"
        )
    return IndexedTokens(
        _mapped(bin_path, dtype, 0, bin_size // dtype.itemsize),
        _mapped(idx_path, np.dtype("<i4"), HEADER.size, sequences),
        _mapped(idx_path, np.dtype("<i8"), HEADER.size + 4 * sequences, sequences),
        _mapped(idx_path, np.dtype("<i8"), HEADER.size + 12 * sequences, documents),
    )


def _mapped(path: Path, dtype: np.dtype[Any], offset: int, count: int) -> npt.NDArray[Any]:
    """The numbers from `offset` bytes on, dtype [count], memory-mapped; an empty file cannot be."""
    if count == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r", offset, (count,))
