"""One pass over the bytes of a .bin, all cores at once: chunk hashes, ids, and where documents end;
and the checks that it answers (`check_stream`).

Chunks (64 MiB unless the mix says otherwise) are shared out to threads, which hold one block of 1
MiB each: reading, BLAKE3 and numpy's counting all release the interpreter. Memory: 1 MiB and a few
masks of that size for each core, whatever the size of the mix.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from mixtures.audit.report import Check, judge, unread
from mixtures.mix.claims import Claims
from mixtures.mix.tables import root_hash
from mixtures.words import plural
from mixtures.yaml.disk import read_at

BLOCK_BYTES = 1 << 20  # that a processor's own cache holds
CHUNK_BYTES = 64 << 20

Progress = Callable[[int, int], None]


@dataclass
class ChunkCount:
    """What one chunk, or all of a stream, holds."""

    hashes: list[str] = field(default_factory=list)
    """BLAKE3 of each chunk, hex."""
    eod_tokens: int = 0
    """Tokens that are the EOD id."""
    max_id: int = -1
    """-1 when there is no token."""
    first_bad: int | None = None
    """Index in the stream of the first id that is not below the vocabulary's size."""
    ends: int = 0
    """Documents that end here."""
    eod_ends: int = 0
    """Those of them whose last token is the EOD id."""
    first_open: int | None = None
    """Token at which the first of the others ends."""
    bos_tokens: int = 0
    """Tokens that are the BOS id, where one begins documents."""
    first_unbegun: int | None = None
    """Token at which the first document of at least two tokens begins without it."""
    last_ids: dict[int, int] = field(default_factory=dict)
    """How many documents end in each id; only where it is asked for."""

    def add(self, other: ChunkCount) -> None:
        """Add what comes after this in the stream."""
        self.hashes += other.hashes
        self.eod_tokens += other.eod_tokens
        self.bos_tokens += other.bos_tokens
        if self.first_unbegun is None:
            self.first_unbegun = other.first_unbegun
        self.max_id = max(self.max_id, other.max_id)
        self.first_bad = other.first_bad if self.first_bad is None else self.first_bad
        self.ends += other.ends
        self.eod_ends += other.eod_ends
        self.first_open = other.first_open if self.first_open is None else self.first_open
        for token, count in other.last_ids.items():
            self.last_ids[token] = self.last_ids.get(token, 0) + count


@dataclass(frozen=True)
class Stream:
    """A .bin and how to count it."""

    path: Path
    dtype: np.dtype[Any]
    """Of a token, unsigned."""
    num_tokens: int
    """Whole tokens of the file."""
    chunk_tokens: int
    eod_id: int
    vocab_size: int
    """Ids from there on are bad."""
    pointers: npt.NDArray[np.int64] | None = None
    """int64 [num_docs], ascending byte offset of each document; None where the .idx cannot be
    trusted.
    """
    bos_id: int | None = None
    """None: no token begins documents."""
    list_ends: bool = False
    """Count documents by their last id."""


def count_stream(stream: Stream, progress: Progress | None = None) -> ChunkCount:
    """Read the whole stream once.

    Raises:
        OSError: it cannot be read to its end.
    """
    starts = range(0, stream.num_tokens, stream.chunk_tokens)
    total_bytes, done, lock = stream.num_tokens * stream.dtype.itemsize, [0], Lock()

    def advance(num_bytes: int) -> None:
        with lock:
            done[0] += num_bytes
            if progress is not None:
                progress(done[0], total_bytes)

    counted = ChunkCount()
    with _opened(stream.path) as handle, ThreadPoolExecutor(cores()) as pool:
        for chunk in pool.map(lambda low: _count_chunk(stream, handle, low, advance), starts):
            counted.add(chunk)
    return counted


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _count_chunk(
    stream: Stream, handle: int, low: int, advance: Callable[[int], None]
) -> ChunkCount:
    high = min(low + stream.chunk_tokens, stream.num_tokens)
    hasher, counted = blake3(), ChunkCount()
    block = BLOCK_BYTES // stream.dtype.itemsize
    for begin in range(low, high, block):
        end = min(begin + block, high)
        content = _read(stream, handle, begin, end)
        hasher.update(content)
        counted.add(_count_block(stream, np.frombuffer(content, stream.dtype), begin))
        advance(len(content))
    counted.hashes.append(hasher.hexdigest())
    return counted


def _read(stream: Stream, handle: int, begin: int, end: int) -> bytearray:
    at, stop = begin * stream.dtype.itemsize, end * stream.dtype.itemsize
    content = bytearray(stop - at)
    if (read := read_at(handle, at, memoryview(content))) < len(content):
        raise OSError(f"{stream.path}: ends after {at + read:,} bytes while it is read")
    return content


def _count_block(stream: Stream, tokens: npt.NDArray[Any], begin: int) -> ChunkCount:
    """Count a block. tokens: [num_tokens] from token `begin` of the stream on, at least one."""
    largest = int(tokens.max())
    counted = ChunkCount(eod_tokens=int(np.count_nonzero(tokens == stream.eod_id)), max_id=largest)
    if largest >= stream.vocab_size:
        counted.first_bad = begin + int(np.argmax(tokens >= stream.vocab_size))
    if stream.bos_id is not None:
        counted.bos_tokens = int(np.count_nonzero(tokens == stream.bos_id))
    if stream.pointers is None:
        return counted
    if stream.bos_id is not None:
        starts = _first_tokens(stream, begin, begin + len(tokens))
        unbegun = tokens[starts - begin] != stream.bos_id
        counted.first_unbegun = int(starts[np.argmax(unbegun)]) if unbegun.any() else None
    ends = _last_tokens(stream, begin, begin + len(tokens))
    last = tokens[ends - begin]
    closed = last == stream.eod_id
    counted.ends, counted.eod_ends = len(ends), int(closed.sum())
    if counted.eod_ends < counted.ends:
        counted.first_open = int(ends[np.argmin(closed)])  # the first that is False
    if stream.list_ends:
        ids, counts = np.unique(last, return_counts=True)
        counted.last_ids = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    return counted


def _last_tokens(stream: Stream, begin: int, end: int) -> npt.NDArray[np.int64]:
    """Index of the last token of each document that ends in [begin, end): the token before each
    later start, and the stream's last. int64 [num_ends], ascending.

    An empty document (only pairs that others wrote have them) ends nowhere.
    """
    pointers, size = stream.pointers, stream.dtype.itemsize
    assert pointers is not None
    # bisect, since numpy's searchsorted would copy all pointers each time: in an .idx they are
    # never aligned
    first, last = bisect_left(pointers, (begin + 1) * size), bisect_right(pointers, end * size)
    ends = np.asarray(pointers[first:last], np.int64) // size - 1
    if end == stream.num_tokens and len(pointers):
        ends = np.append(ends, end - 1)
    return np.unique(ends)


def _first_tokens(stream: Stream, begin: int, end: int) -> npt.NDArray[np.int64]:
    """Index of the first token of each document of at least two tokens that begins in [begin, end).
    int64 [num_starts], ascending.

    A document of one token is what a cut left: EOD alone.
    """
    pointers, size = stream.pointers, stream.dtype.itemsize
    assert pointers is not None
    first, last = bisect_left(pointers, begin * size), bisect_left(pointers, end * size)
    starts = np.asarray(pointers[first : last + 1], np.int64) // size
    if last == len(pointers):
        starts = np.append(starts, stream.num_tokens)
    return starts[:-1][np.diff(starts) > 1]


NAMES = ("chunk hashes", "document ends", "EOD count", "token ids")
BOS_NAMES = ("document starts", "BOS count")
"""Checks of a mix in which a token begins every document."""


def check_stream(
    path: Path, claims: Claims, pointers: npt.NDArray[np.int64] | None, progress: Progress | None
) -> tuple[list[Check], ChunkCount]:
    """Read the .bin once. Returns the checks of `NAMES`, with those of `BOS_NAMES` where a token
    begins documents, and what was counted.

    Args:
        pointers: int64 [num_docs], byte offset of each document; None where the .idx cannot be
            trusted.
    """
    dtype, tokenizer = claims.layout.dtype, claims.tokenizer
    # pointers of whole tokens of another size: they say nothing of where documents end here
    if pointers is not None and len(pointers) and int(pointers[-1]) % dtype.itemsize:
        pointers = None
    names = NAMES if tokenizer.bos_id is None else (*NAMES, *BOS_NAMES)
    if not path.is_file():
        return [unread(name, f"{path}: no such file") for name in names], ChunkCount()
    try:
        num_tokens = path.stat().st_size // dtype.itemsize
        stream = Stream(
            path,
            dtype,
            num_tokens,
            _chunk_tokens(claims, num_tokens),
            tokenizer.eod_id,
            tokenizer.vocab_size,
            pointers,
            tokenizer.bos_id,
        )
        counted = count_stream(stream, progress)
    except OSError as error:
        return [unread(name, f"{path}: {error.strerror or error}") for name in names], ChunkCount()
    begun = [_starts(claims, counted, pointers is not None), _bos(claims, counted)]
    return [
        _hashes(claims, counted),
        _ends(claims, counted, pointers is not None),
        _eod(claims, counted),
        _ids(claims, counted),
        *(begun if tokenizer.bos_id is not None else []),
    ], counted


def _chunk_tokens(claims: Claims, num_tokens: int) -> int:
    """The manifest's chunks, unless the file has far more of them than are listed: a crafted
    manifest must not ask for billions.
    """
    chunk_tokens = claims.layout.chunk_tokens
    if num_tokens // chunk_tokens > 2 * len(claims.hashes.chunks) + 1024:
        return CHUNK_BYTES // claims.layout.dtype.itemsize
    return chunk_tokens


def _hashes(claims: Claims, counted: ChunkCount) -> Check:
    listed, hashes = claims.hashes.chunks, counted.hashes
    faults = [
        f"chunk {number:,} has hash {here}, the manifest says {there}"
        for number, (here, there) in enumerate(zip(hashes, listed, strict=False))
        if here != there
    ]
    if len(hashes) != len(listed):
        faults.append(f"{plural(len(hashes), 'chunk')} counted, the manifest lists {len(listed):,}")
    if (root := root_hash(hashes)) != claims.hashes.bin:
        faults.append(f"root {root}, the manifest says {claims.hashes.bin}")
    return judge("chunk hashes", f"{plural(len(hashes), 'chunk')}, root {root[:16]}", faults)


def _ends(claims: Claims, counted: ChunkCount, trusted: bool) -> Check:
    if not trusted:
        return unread("document ends", "the .idx does not say where documents end")
    faults = []
    if counted.first_open is not None:
        faults.append(
            f"the document that ends at token {counted.first_open:,} does not end in the EOD id"
            f" {claims.tokenizer.eod_id}"
        )
    return judge(
        "document ends",
        f"{counted.eod_ends:,} of {plural(counted.ends, 'document')} end in EOD",
        faults,
    )


def _eod(claims: Claims, counted: ChunkCount) -> Check:
    """Where special strings stay text, EOD ids are document ends and nothing else."""
    eod_tokens, documents, faults = counted.eod_tokens, claims.total_documents, []
    documents += claims.arm.inner_documents if claims.arm else 0
    if eod_tokens != claims.eod_tokens:
        faults.append(f"{eod_tokens:,} EOD ids counted, the manifest says {claims.eod_tokens:,}")
    if claims.tokenizer.special_tokens == "text" and eod_tokens != documents:
        faults.append(f"{eod_tokens:,} EOD ids, but {plural(documents, 'document')}")
    elif eod_tokens < documents:
        faults.append(f"{eod_tokens:,} EOD ids are fewer than {plural(documents, 'document')}")
    return judge(
        "EOD count",
        f"{eod_tokens:,} ids {claims.tokenizer.eod_id} in {plural(documents, 'document')}",
        faults,
    )


def _starts(claims: Claims, counted: ChunkCount, trusted: bool) -> Check:
    if not trusted:
        return unread("document starts", "the .idx does not say where documents begin")
    faults = []
    if counted.first_unbegun is not None:
        faults.append(
            f"the document that begins at token {counted.first_unbegun:,} does not begin with the"
            f" BOS id {claims.tokenizer.bos_id}"
        )
    return judge(
        "document starts",
        f"{plural(claims.total_documents, 'document')}, {claims.bare_cuts:,} of which a cut left"
        " EOD alone: the others begin with BOS",
        faults,
    )


def _bos(claims: Claims, counted: ChunkCount) -> Check:
    """Where special strings stay text, BOS ids are beginnings of documents and nothing else."""
    bos_tokens, faults = counted.bos_tokens, []
    begun = claims.total_documents - claims.bare_cuts
    begun += claims.arm.inner_begun if claims.arm else 0
    if bos_tokens != claims.bos_tokens:
        faults.append(f"{bos_tokens:,} BOS ids counted, the manifest says {claims.bos_tokens:,}")
    if bos_tokens < begun or (claims.tokenizer.special_tokens == "text" and bos_tokens > begun):
        faults.append(f"{bos_tokens:,} BOS ids, but {plural(begun, 'document')} that begin with it")
    figure = f"{bos_tokens:,} ids {claims.tokenizer.bos_id} in {plural(begun, 'document')}"
    return judge("BOS count", figure, faults)


def _ids(claims: Claims, counted: ChunkCount) -> Check:
    vocab_size, faults = claims.tokenizer.vocab_size, []
    if counted.first_bad is not None:
        faults.append(
            f"token {counted.first_bad:,} is not below the vocabulary's size {vocab_size:,}; the"
            f" largest id is {counted.max_id:,}"
        )
    return judge(
        "token ids", f"largest id {counted.max_id:,} of a vocabulary of {vocab_size:,}", faults
    )
