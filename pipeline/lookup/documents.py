"""The documents of a finished mix, or of a bare .bin/.idx pair, in shares that processes can judge
side by side.

    StreamDocuments.of_mix, .of_pair  ->  shares(): consecutive documents of about 4 MB of text
                                          with their sources, digests and cuts

Where a document begins and ends is what the .idx says, as trainers read it; the tables only name
what stands there. So every token of the .bin is in a document that is judged, whatever a table
says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.audit.files import max_rows
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.tables.parts import UNREADABLE, read_part, reading_fault
from mixtures.errors import AuditFailed, InputError, RecipeError
from mixtures.mix.claims import read_claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.tables import DOCUMENTS, Columns
from mixtures.yaml.disk import read_bytes
from pipeline.lookup.tokenizer import find_of_mix
from pipeline.tokens.decoder import Decoder

SHARE_TOKENS = 1 << 20
BLOCK_DOCUMENTS = 1 << 20


@dataclass(frozen=True)
class Share:
    """Consecutive documents."""

    first: int
    """Position of the first in the stream."""
    starts: npt.NDArray[np.int64]
    """[num_docs], tokens of the stream."""
    ends: npt.NDArray[np.int64]
    """[num_docs], one past the last token, an end of document included."""
    source: npt.NDArray[np.int16]
    """[num_docs], indices into `StreamDocuments.sources`."""
    digest: npt.NDArray[np.uint8] | None
    """[num_docs, 16]; None for a pair without tables, and in a sample."""
    cut: npt.NDArray[np.bool_]
    """[num_docs]"""

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class StreamDocuments:
    """Where documents lie and what decodes them; small, so that a process can be given it."""

    bin_path: Path
    idx_path: Path
    tokenizer: Path
    """Its file."""
    end_ids: tuple[int, ...]
    """A document's last token is not part of its text if it is one of these."""
    parse: bool
    """Whether special strings in texts became special ids."""
    sources: tuple[str, ...]
    begin_id: int | None = None
    """A document's first token, where one begins each, which is not part of its text either."""
    folder: Path | None = None
    """Of the mix; None for a pair without tables."""
    parts: int = 0
    """Of the mix's documents table."""

    @classmethod
    def of_mix(cls, folder: Path, tokenizer: Path | None) -> StreamDocuments:
        """The documents of a mix folder.

        Args:
            tokenizer: the file; None finds the one that the manifest names
                (`pipeline.lookup.tokenizer.find_of_mix`).

        Raises:
            ManifestError: the manifest is damaged, or the tokenizer is not the one that it names.
            RecipeError: no tokenizer of that name is known, and none is given.
            InputError: the tokenizer cannot be found or read.
        """
        claims = read_claims(folder)
        claimed = claims.tokenizer
        file = find_of_mix(claims, tokenizer)
        return cls(
            bin_path=folder / TOKENS,
            idx_path=folder / INDEX,
            tokenizer=file,
            end_ids=(claimed.eod_id,),
            begin_id=claimed.bos_id,
            parse=claimed.special_tokens == "parse",
            sources=tuple(source.name for source in claims.sources),
            folder=folder,
            parts=len(claims.hashes.documents_parts),
        )

    @classmethod
    def of_pair(cls, prefix: Path, tokenizer: Path | None) -> StreamDocuments:
        """The documents of `PREFIX.bin` and `PREFIX.idx`; a last token that is special ends its
        document.

        Raises:
            RecipeError: no tokenizer is given. InputError, ManifestError: it cannot be read.
        """
        if tokenizer is None:
            raise RecipeError(
                f"{prefix}: a bare .bin/.idx does not say which tokenizer made its ids; give it"
                " with --tokenizer FILE"
            )
        end_ids = Decoder(_tokenizer_bytes(tokenizer), str(tokenizer)).special_ids
        return cls(
            bin_path=prefix.with_name(f"{prefix.name}.bin"),
            idx_path=prefix.with_name(f"{prefix.name}.idx"),
            tokenizer=tokenizer,
            end_ids=tuple(sorted(end_ids)),
            parse=True,
            sources=(prefix.name,),
        )

    def open(self) -> IndexedTokens:
        """Map the pair.

        Raises:
            AuditFailed: it is no pair, or its .idx does not say where documents begin and end.
        """
        pair, faults = try_open(self.bin_path, self.idx_path)
        if pair is not None:
            faults = pointer_faults(pair, one_sequence_each=self.folder is not None)
        if pair is None or faults:
            raise AuditFailed(f"the documents cannot be read: {faults[0]}")
        return pair

    def decoder(self) -> Decoder:
        """The tokenizer's table of bytes.

        Raises: as `Decoder`.
        """
        return Decoder(read_bytes(self.tokenizer), str(self.tokenizer))

    def text_bounds(
        self,
        tokens: npt.NDArray[np.integer[Any]],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the texts of documents begin and end, without the tokens around them; both int64
        [num_docs].

        Args:
            tokens: ids, any integers [num_tokens].
            starts, ends: int64 [num_docs], of the documents, 0 <= start <= end <= num_tokens.
        """
        starts, ends = starts.copy(), ends.copy()
        full = ends > starts
        ends[full] -= np.isin(tokens[ends[full] - 1], self.end_ids)
        if self.begin_id is not None:
            starts[full] += tokens[starts[full]] == self.begin_id
        return starts, ends

    def shares(self, pair: IndexedTokens) -> Iterator[Share]:
        """All documents in stream order.

        Raises:
            AuditFailed: a part of the documents table cannot be read, or the table is of another
                number of documents.
        """
        for first, columns in self._columns(pair):
            starts, ends = _bounds(pair, first, first + len(columns["source"]))
            at = 0
            while at < len(starts):
                stop = max(at + 1, int(np.searchsorted(ends, starts[at] + SHARE_TOKENS, "right")))
                here = slice(at, stop)
                source, cut = columns["source"][here], columns["cut"][here]
                digest = columns["digest"][here] if "digest" in columns else None
                yield Share(first + at, starts[here], ends[here], source, digest, cut)
                at = stop

    def sample(self, pair: IndexedTokens, number: int) -> Iterator[Share]:
        """Documents spread evenly over the stream, each a share of its own.

        Raises: as `shares`.
        """
        total = len(pair.documents) - 1
        wanted = sorted({at * total // number for at in range(number)}) if total else []
        for first, columns in self._columns(pair):
            for document in [at for at in wanted if first <= at < first + len(columns["source"])]:
                starts, ends = _bounds(pair, document, document + 1)
                here = slice(document - first, document - first + 1)
                yield Share(
                    document, starts, ends, columns["source"][here], None, columns["cut"][here]
                )

    def _columns(self, pair: IndexedTokens) -> Iterator[tuple[int, Columns]]:
        """(position of the first, columns) of stretches of documents.

        Columns: source int16, cut bool, digest uint8 [., 16] (of mixes); all [num_docs].
        """
        total = len(pair.documents) - 1
        if self.folder is None:
            for first in range(0, total, BLOCK_DOCUMENTS):
                count = min(BLOCK_DOCUMENTS, total - first)
                yield first, {"source": np.zeros(count, np.int16), "cut": np.zeros(count, np.bool_)}
            return
        first = 0
        for columns in self._parts(self.folder):
            if first + len(columns["source"]) <= total:
                yield first, columns
            first += len(columns["source"])
        if first != total:
            raise AuditFailed(
                f"the documents table names {first:,} documents, the .idx {total:,}; the filter"
                " cannot say whose they are"
            )

    def _parts(self, folder: Path) -> Iterator[Columns]:
        """Columns of each part of the documents table, as `_columns` has them."""
        codes = {name: number for number, name in enumerate(self.sources)}
        limit = max_rows(folder, 2)
        for number in range(self.parts):
            path = part_path(folder, "documents", number)
            try:
                columns = read_part(path, DOCUMENTS, limit, ["source", "digest", "cut"])
                source = [codes[name] for name in columns["source"].tolist()]
                columns["source"] = np.array(source, np.int16)
            except UNREADABLE as error:
                raise AuditFailed(reading_fault(path, error)) from None
            yield columns


def _bounds(
    pair: IndexedTokens, low: int, high: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens at which documents low .. high - 1 start and end, both int64 [high - low]: a document
    may be several sequences.
    """
    sequences = np.asarray(pair.documents[low : high + 1], np.int64)
    # past the last sequence, which has no pointer, the edge is the end of the stream
    edges = np.full(len(sequences), len(pair.tokens), np.int64)
    inside = sequences < len(pair.sizes)
    pointers = np.asarray(pair.pointers[sequences[inside]], np.int64)
    edges[inside] = pointers // pair.tokens.dtype.itemsize
    return edges[:-1], edges[1:]


def _tokenizer_bytes(file: Path) -> bytes:
    try:
        return read_bytes(file)
    except OSError as error:
        raise InputError(
            f"{file}: the tokenizer cannot be read ({error.strerror}); give a tokenizer.json with"
            " --tokenizer"
        ) from None
