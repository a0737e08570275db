"""The checks that one pass over the .bin answers: chunk hashes, where documents end, EOD ids, and ids of the vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import Check, judge, unread
from mixtures.audit.stream import CHUNK_BYTES, ChunkCount, Progress, Stream, count_stream
from mixtures.mix.claims import Claims
from mixtures.mix.tables import root_hash
from mixtures.words import plural

NAMES = ("chunk hashes", "document ends", "EOD count", "token ids")


def check_stream(
    path: Path, claims: Claims, pointers: npt.NDArray[np.int64] | None, progress: Progress | None
) -> tuple[list[Check], ChunkCount]:
    """Read the .bin once. Returns the checks of `NAMES` and what was counted.

    Args:
        pointers: int64 [num_docs], byte offset of each document; None where the .idx cannot be trusted.
    """
    dtype, eod_id, vocab_size = claims.layout.dtype, claims.tokenizer.eod_id, claims.tokenizer.vocab_size
    if pointers is not None and len(pointers) and int(pointers[-1]) % dtype.itemsize:
        pointers = None
    if not path.is_file():
        return [unread(name, f"{path}: no such file") for name in NAMES], ChunkCount()
    try:
        num_tokens = path.stat().st_size // dtype.itemsize
        stream = Stream(path, dtype, num_tokens, _chunk_tokens(claims, num_tokens), eod_id, vocab_size, pointers)
        counted = count_stream(stream, progress)
    except OSError as error:
        return [unread(name, f"{path}: {error.strerror or error}") for name in NAMES], ChunkCount()
    return [_hashes(claims, counted), _ends(claims, counted, pointers is not None), _eod(claims, counted), _ids(claims, counted)], counted


def _chunk_tokens(claims: Claims, num_tokens: int) -> int:
    """The manifest's chunks, unless the file has far more of them than are listed: a crafted manifest must not ask for billions."""
    chunk_tokens = claims.layout.chunk_tokens
    if num_tokens // chunk_tokens > 2 * len(claims.hashes.chunks) + 1024:
        return CHUNK_BYTES // claims.layout.dtype.itemsize
    return chunk_tokens


def _hashes(claims: Claims, counted: ChunkCount) -> Check:
    listed, found = claims.hashes.chunks, counted.hashes
    faults = [
        f"chunk {number:,} has hash {here}, the manifest says {there}"
        for number, (here, there) in enumerate(zip(found, listed, strict=False))
        if here != there
    ]
    if len(found) != len(listed):
        faults.append(f"{plural(len(found), 'chunk')} counted, the manifest lists {len(listed):,}")
    if (root := root_hash(found)) != claims.hashes.bin:
        faults.append(f"root {root}, the manifest says {claims.hashes.bin}")
    return judge("chunk hashes", f"{plural(len(found), 'chunk')}, root {root[:16]}", faults)


def _ends(claims: Claims, counted: ChunkCount, trusted: bool) -> Check:
    if not trusted:
        return unread("document ends", "the .idx does not say where documents end")
    faults = []
    if counted.first_open is not None:
        faults.append(f"the document that ends at token {counted.first_open:,} does not end in the EOD id {claims.tokenizer.eod_id}")
    return judge("document ends", f"{counted.eod_ends:,} of {plural(counted.ends, 'document')} end in EOD", faults)


def _eod(claims: Claims, counted: ChunkCount) -> Check:
    """Where special strings stay text, EOD ids are document ends and nothing else."""
    found, documents, faults = counted.eod_tokens, claims.total_documents, []
    if found != claims.eod_tokens:
        faults.append(f"{found:,} EOD ids counted, the manifest says {claims.eod_tokens:,}")
    if claims.tokenizer.special_tokens == "text" and found != documents:
        faults.append(f"{found:,} EOD ids, but {plural(documents, 'document')}")
    elif found < documents:
        faults.append(f"{found:,} EOD ids are fewer than {plural(documents, 'document')}")
    return judge("EOD count", f"{found:,} ids {claims.tokenizer.eod_id} in {plural(documents, 'document')}", faults)


def _ids(claims: Claims, counted: ChunkCount) -> Check:
    vocab_size, faults = claims.tokenizer.vocab_size, []
    if counted.first_bad is not None:
        faults.append(
            f"token {counted.first_bad:,} is not below the vocabulary's size {vocab_size:,}; the largest id is {counted.max_id:,}"
        )
    return judge("token ids", f"largest id {counted.max_id:,} of a vocabulary of {vocab_size:,}", faults)
