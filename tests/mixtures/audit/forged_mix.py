"""A mix taken apart into documents, changed, and written again with every hash recomputed: what a
careful forger would do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from blake3 import blake3

from mixtures.mix import indexed
from mixtures.mix import manifest as manifests
from mixtures.mix.tables import DOCUMENTS, PROVENANCE, from_arrow, part_hash, root_hash, to_arrow


@dataclass
class Document:
    """One document with all that the mix says of it."""

    source: str
    digest: bytes
    epoch: int
    copy: int
    cut: bool
    tokens: np.ndarray
    file: str
    row: int


@dataclass
class ForgedMix:
    """A whole mix in memory."""

    folder: Path
    manifest: dict[str, Any]
    documents: list[Document]

    def source(self, name: str) -> dict[str, Any]:
        """The manifest's entry of a source."""
        return next(source for source in self.manifest["sources"] if source["name"] == name)

    def of(self, name: str) -> list[Document]:
        """Documents of a source, in stream order."""
        return [document for document in self.documents if document.source == name]

    def swap(self, one: Document, two: Document) -> None:
        """Let two documents change places."""
        first, second = (
            next(at for at, item in enumerate(self.documents) if item is document)
            for document in (one, two)
        )
        self.documents[first], self.documents[second] = two, one

    def write(self) -> None:
        """Write all files again. Counts in the manifest stay as they are; hashes, identity and
        digest are recomputed.
        """
        hashes = self._write_stream() | self._write_tables()
        self.manifest["hashes"] = hashes
        seal(self.folder, self.manifest)

    def _write_stream(self) -> dict[str, Any]:
        layout = self.manifest["layout"]
        tokens = np.concatenate([document.tokens for document in self.documents])
        (self.folder / "tokens.bin").write_bytes(tokens.tobytes())
        lengths = np.array([len(document.tokens) for document in self.documents], np.int64)
        content = bytearray(indexed.file_size(len(lengths)))
        content[: indexed.HEADER.size] = indexed.header(len(lengths), layout["token_dtype"])
        for offset, piece in indexed.pieces(len(lengths), 0, 0, lengths, tokens.itemsize):
            content[offset : offset + len(piece)] = piece
        (self.folder / "tokens.idx").write_bytes(content)
        step = layout["chunk_tokens"]
        chunks = [
            blake3(tokens[low : low + step].tobytes()).hexdigest()
            for low in range(0, len(tokens), step)
        ]
        return {
            "chunks": chunks,
            "bin": root_hash(chunks),
            "idx": blake3(bytes(content)).hexdigest(),
        }

    def _write_tables(self) -> dict[str, Any]:
        columns = self._columns()
        slices = columns["first_token"] // self.manifest["layout"]["slice_tokens"]
        count = len(self.manifest["hashes"]["documents_parts"])
        hashes: dict[str, Any] = {}
        for name, schema in (("documents", DOCUMENTS), ("provenance", PROVENANCE)):
            parts = []
            for number in range(count):
                here = {column: values[slices == number] for column, values in columns.items()}
                pq.write_table(
                    to_arrow(schema, here), part(self.folder, name, number), compression="zstd"
                )
                parts.append(part_hash(schema, here))
            hashes |= {f"{name}_parts": parts, name: root_hash(parts)}
        return hashes

    def _columns(self) -> dict[str, np.ndarray]:
        lengths = np.array([len(document.tokens) for document in self.documents], np.uint64)
        digests = b"".join(document.digest for document in self.documents)
        columns = {
            name: np.array([getattr(item, name) for item in self.documents])
            for name in ("epoch", "copy", "cut", "row")
        }
        return {
            **columns,
            "position": np.arange(len(lengths), dtype=np.uint64),
            "first_token": np.cumsum(lengths) - lengths,
            "num_tokens": lengths,
            "source": np.array([document.source for document in self.documents], object),
            "digest": np.frombuffer(digests, np.uint8).reshape(-1, 16),
            "file": np.array([document.file for document in self.documents], object),
        }


def part(folder: Path, table: str, number: int) -> Path:
    """File of a part of a table."""
    return folder / f"{table}.parquet" / f"part-{number:05d}.parquet"


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with identity and digest recomputed."""
    (folder / manifests.MANIFEST).write_bytes(manifests.dump(manifests.sealed(manifest)))


def take_apart(folder: Path) -> ForgedMix:
    """Read a mix."""
    manifest = manifests.load(folder)
    columns: dict[str, list[Any]] = {}
    for name, schema in (("documents", DOCUMENTS), ("provenance", PROVENANCE)):
        for number in range(len(manifest["hashes"][f"{name}_parts"])):
            for column, values in from_arrow(
                schema, pq.read_table(part(folder, name, number))
            ).items():
                columns.setdefault(column, []).extend(list(values))
    tokens = np.fromfile(
        folder / "tokens.bin", "<u2" if manifest["layout"]["token_dtype"] == "uint16" else "<i4"
    )
    stream = np.split(tokens, np.cumsum([int(length) for length in columns["num_tokens"]])[:-1])
    names = ("source", "digest", "epoch", "copy", "cut", "file", "row")
    documents = [
        Document(
            str(source),
            digest.tobytes(),
            int(epoch),
            int(copy),
            bool(cut),
            stream[at],
            str(file),
            int(row),
        )
        for at, (source, digest, epoch, copy, cut, file, row) in enumerate(
            zip(*(columns[name] for name in names), strict=False)
        )
    ]
    return ForgedMix(folder, manifest, documents)


def forge(folder: Path, change: Callable[[ForgedMix], None]) -> None:
    """Take a mix apart, change it, and write it with every hash recomputed."""
    mix = take_apart(folder)
    change(mix)
    mix.write()


def forge_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a manifest alone and recompute identity and digest."""
    manifest = manifests.load(folder)
    change(manifest)
    seal(folder, manifest)
