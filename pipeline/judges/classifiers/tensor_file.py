"""A strict reader and writer of small safetensors files, in plain numpy.

    header length u64 little-endian | header JSON | tensors, back to back

The header maps each name to `{"dtype", "shape", "data_offsets": [begin, end]}` and `__metadata__`
to strings. No code, no pickle, and the same tensors always make the same bytes: names sorted, no
white space, header padded with spaces to 8 bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from pipeline.store.records import unreadable

Tensor = npt.NDArray[Any]
DTYPES = {"I32": "<i4", "I64": "<i8"}
_MAX_HEADER_BYTES = 1 << 20


class TensorFile(NamedTuple):
    """tensors: read-only arrays by name. metadata: strings by name. sha256: hex, of the bytes that
    were read.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write the file under a temporary name, sync and rename it. Returns the sha256 (hex) of its
    bytes.
    """
    names = {np.dtype(code): name for name, code in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    blocks, at = [], 0
    for name, tensor in sorted(tensors.items()):
        block = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(block)],
        }
        blocks.append(block)
        at += len(block)
    head = json.dumps(header, separators=(",", ":")).encode("ascii")
    head += b" " * (-len(head) % 8)
    content = b"".join([len(head).to_bytes(8, "little"), head, *blocks])
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that its name never shows a part of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_tensors(path: Path) -> TensorFile:
    """Read and check the whole file; every byte of it belongs to the header or to exactly one
    tensor.

    Raises:
        InputError: it is missing, truncated, or not laid out as above.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(_MAX_HEADER_BYTES, len(content) - 8):
        _refuse(
            path,
            f"{len(content):,} bytes do not begin with a safetensors header of at most"
            f" {_MAX_HEADER_BYTES:,} bytes",
        )
    try:
        header = json.loads(content[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"its header is not JSON with unique names ({error})")
    if not isinstance(header, dict):
        _refuse(path, "its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        _refuse(path, "its __metadata__ is not a map of strings")
    return TensorFile(
        _tensors(path, header, content, 8 + size), metadata, hashlib.sha256(content).hexdigest()
    )


def _tensors(path: Path, header: dict[str, Any], content: bytes, first: int) -> dict[str, Tensor]:
    tensors, covered = {}, first
    try:
        entries = sorted(
            (*entry["data_offsets"], name, entry["dtype"], tuple(entry["shape"]))
            for name, entry in header.items()
        )
    except (TypeError, KeyError, ValueError):
        _refuse(path, "an entry of its header lacks dtype, shape or data_offsets")
    for entry in entries:
        if len(entry) != 5 or not all(
            type(number) is int and number >= 0 for number in (*entry[:2], *entry[4])
        ):
            _refuse(path, "an entry of its header has sizes that are not whole numbers")
        begin, end, name, code, shape = entry
        if code not in DTYPES:
            _refuse(path, f"tensor {name} is of dtype {code!r}; allowed: {', '.join(DTYPES)}")
        dtype = np.dtype(DTYPES[code])
        if (
            first + begin != covered
            or first + end > len(content)
            or end - begin != _num_elements(shape) * dtype.itemsize
        ):
            _refuse(
                path,
                f"tensor {name} is said to be bytes {begin:,} to {end:,} of shape {list(shape)};"
                " that does not fit the file",
            )
        tensors[name] = np.frombuffer(content, dtype, _num_elements(shape), covered).reshape(shape)
        covered = first + end
    if covered != len(content):
        _refuse(path, f"{len(content) - covered:,} bytes at its end belong to no tensor")
    return tensors


def _num_elements(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _refuse(path: Path, what: str) -> NoReturn:
    raise InputError(
        f"{path}: is damaged or no safetensors file of annealmix: {what}; restore the file that the"
        " filter names"
    )
