"""What can be said of a .bin/.idx pair without a manifest: that it is whole, what it holds, and how
trainers will read it.

The .idx (header, lengths, pointers, document index) is checked a block of documents at a time, so
that memory does not grow with them; `audit_mix` checks that of a mix by the same functions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.report import AuditReport, Check, judge, unread
from mixtures.audit.stream import CHUNK_BYTES, ChunkCount, Progress, Stream, count_stream
from mixtures.errors import AuditFailed, RecipeError
from mixtures.mix.indexed import IndexedTokens, open_indexed
from mixtures.trainers.fit import trainer_fit
from mixtures.words import percent_text, plural

BLOCK_DOCUMENTS = 1 << 20  # whose sizes and pointers are checked at a time


def audit_bare(
    prefix: Path, progress: Progress | None = None, vocabulary: int | None = None
) -> AuditReport:
    """Look at `PREFIX.bin` and `PREFIX.idx`, by whomever they were written.

    Args:
        prefix: path without the ending; one of the two files is understood as well.
        progress: called with (bytes read, bytes of the .bin).
        vocabulary: ids that the tokenizer has, 0 to below it; None: any that the dtype holds.

    Raises:
        RecipeError: there is neither file.
    """
    if prefix.suffix in (".bin", ".idx"):
        prefix = prefix.with_suffix("")
    bin_path, idx_path = (prefix.with_name(f"{prefix.name}.{ending}") for ending in ("bin", "idx"))
    if not bin_path.exists() and not idx_path.exists():
        raise RecipeError(
            f"{prefix}: neither a mix folder nor the prefix of a .bin/.idx pair; name one of"
            " the two"
        )
    pair, faults = try_open(bin_path, idx_path)
    if pair is None:
        checks = [judge("idx", "not readable", faults)]
        for name in ("documents", "token ids", "EOD"):
            checks.append(unread(name, "the pair cannot be opened"))
        return AuditReport(str(prefix), prefix.name, "", tuple(checks), 0, 0, 0)
    faults = pointer_faults(pair, one_sequence_each=False)
    sequences, tokens = len(pair.sizes), len(pair.tokens)
    documents = max(len(pair.documents) - 1, 0)
    figure = (
        f"{plural(documents, 'document')} in {plural(sequences, 'sequence')}, {tokens:,} tokens of"
        f" {pair.tokens.dtype.name}"
    )
    pointers = None if faults else _first_pointers(pair)
    counted, ends = _count(bin_path, pair, pointers, vocabulary, progress)
    return AuditReport(
        str(prefix),
        prefix.name,
        "",
        (judge("idx", figure, faults), _empty(pair), *ends),
        tokens,
        documents,
        counted.eod_tokens,
        fit=trainer_fit(tokens) if tokens else None,
    )


def _empty(pair: IndexedTokens) -> Check:
    empty = int((np.diff(pair.documents) == 0).sum()) + int(np.count_nonzero(pair.sizes == 0))
    faults = []
    if empty or not len(pair.sizes):
        faults = [f"{plural(empty, 'document')} without a token; trainers read nothing there"]
    return judge(
        "documents",
        f"{plural(empty, 'empty document')} of {max(len(pair.documents) - 1, 0):,}",
        faults,
    )


def _first_pointers(pair: IndexedTokens) -> npt.NDArray[np.int64]:
    """Byte offsets of the documents, int64 [num_docs]: where a document has several sequences, of
    those that begin one; one behind the last is empty.
    """
    if len(pair.documents) == len(pair.sizes) + 1:
        return pair.pointers
    begins = pair.documents[:-1]
    pointers: npt.NDArray[np.int64] = pair.pointers[np.unique(begins[begins < len(pair.sizes)])]
    return pointers


def _count(
    path: Path,
    pair: IndexedTokens,
    pointers: npt.NDArray[np.int64] | None,
    vocabulary: int | None,
    progress: Progress | None,
) -> tuple[ChunkCount, list[Check]]:
    """Ids, and whether one of them ends the documents: the candidate is the .bin's last token.

    pointers: int64 [num_docs]; None where the .idx cannot be trusted.
    """
    if not len(pair.tokens):
        return ChunkCount(), [
            unread("token ids", "the .bin is empty"),
            unread("EOD", "the .bin is empty"),
        ]
    dtype = pair.tokens.dtype
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    candidate = int(np.asarray(pair.tokens[-1:]).view(unsigned)[0])
    limit = 1 << (8 * dtype.itemsize - (dtype.kind == "i"))
    if vocabulary is not None:
        limit = min(limit, vocabulary)
    stream = Stream(
        path,
        unsigned,
        len(pair.tokens),
        CHUNK_BYTES // dtype.itemsize,
        candidate,
        limit,
        pointers,
        list_ends=True,
    )
    try:
        counted = count_stream(stream, progress)
    except OSError as error:
        return ChunkCount(), [unread("token ids", str(error)), unread("EOD", str(error))]
    faults = []
    if counted.first_bad is not None:
        what = "is negative"
        if vocabulary is not None:
            what = f"is no id of the tokenizer, whose ids are below {vocabulary:,}"
        faults.append(f"token {counted.first_bad:,} {what}")
    of = "" if vocabulary is None else f" of a vocabulary of {vocabulary:,}"
    return counted, [
        judge("token ids", f"largest id {counted.max_id:,}{of}", faults),
        _candidates(counted, candidate, pointers is not None),
    ]


def _candidates(counted: ChunkCount, candidate: int, trusted: bool) -> Check:
    if not trusted:
        return unread("EOD", "the .idx does not say where documents end")
    often = sorted(counted.last_ids.items(), key=lambda item: (-item[1], item[0]))[:3]
    endings = ", ".join(
        f"id {token:,} ends {count:,} ({percent_text(count, counted.ends, 2)}%)"
        for token, count in often
    )
    figure = (
        f"of {plural(counted.ends, 'document')} {endings}; id {candidate:,} occurs"
        f" {plural(counted.eod_tokens, 'time')}"
    )
    different = len(counted.last_ids)
    many = f"documents end in {different:,} different ids, so there is no end-of-document id"
    return judge("EOD", figure, [many] if different != 1 else [])


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
        one_sequence_each: whether every document must be one sequence of at least one token, as
            annealmix writes them.
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
            faults.append(
                f"byte pointer of document {low + at:,} is {pair.pointers[low + at]:,}, its place"
                f" is {place:,}"
            )
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
        return [
            f"the document index of {entries:,} entries does not run from 0 to {num_sequences:,}"
        ]
    if one_sequence_each and entries != num_sequences + 1:
        return [
            f"the document index has {entries:,} entries, {num_sequences:,} documents of one"
            f" sequence each have {num_sequences + 1:,}"
        ]
    for low in range(0, entries - 1, BLOCK_DOCUMENTS):
        steps = np.diff(pair.documents[low : low + BLOCK_DOCUMENTS + 1])
        wrong = (steps != 1) if one_sequence_each else (steps < 0)
        if wrong.any():
            at = low + int(np.argmax(wrong))
            return [
                f"the document index goes from {pair.documents[at]:,} to {pair.documents[at + 1]:,}"
                f" at entry {at:,}"
            ]
    return []
