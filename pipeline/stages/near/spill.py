"""Columns of near-duplicate search on disk: published folders whose files are checked against their
done-records when they are read.

    bands of one batch of documents    PPPP.band_key, PPPP.band_row       by partition PPPP of the
    key
    edges of one partition             document, linked
    clusters                           document, component                documents that are not
    alone, ascending
    drops                              PPPP.order_key, PPPP.digest, PPPP.survivor,
    PPPP.survivor_source    by partition of the order key

A missing, truncated or changed file is an error where it is read: nothing is kept because its judge
was absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError
from pipeline.store.columns import read_column, write_column
from pipeline.store.records import FolderWriter, Frozen, Record, file_hash, is_done, read_done

Columns = Mapping[str, npt.NDArray[Any]]


class DocumentsRecord(Record):
    """The done-record of a folder that holds something of so many documents."""

    documents: int


class PartitionedRecord(DocumentsRecord):
    """The done-record of a folder whose rows are cut into partitions."""

    partitions: int = 0
    """Added when it is published."""


def part(partition: int) -> str:
    """File name prefix of a partition."""
    return f"{partition:04d}."


def partition_of(keys: npt.NDArray[np.uint64], partitions: int) -> npt.NDArray[np.uint16]:
    """The partition of each 64-bit key, uint16 [num_keys]: equal, ascending key ranges, as many as
    `partitions`, at most 2^16.
    """
    return (((keys >> np.uint64(32)) * np.uint64(partitions)) >> np.uint64(32)).astype(np.uint16)


def publish(folder: Path, columns: Columns, record: Frozen) -> None:
    """Write the columns of an unpartitioned folder, unless it is there."""
    if is_done(folder):
        return
    with FolderWriter(folder) as writer:
        for name, values in columns.items():
            write_column(writer.path, name, values)
        writer.publish(record.as_json())


def publish_partitions(
    folder: Path,
    keys: npt.NDArray[np.uint64],
    columns: Columns,
    partitions: int,
    record: Frozen,
) -> None:
    """Write the rows of each partition of `keys` as files of their own, in the order given, unless
    the folder is there. keys: uint64 [num_rows]; columns: of as many rows.
    """
    if is_done(folder):
        return
    places = partition_of(keys, partitions)
    order = np.argsort(places, kind="stable")  # of 16 bits: a radix sort
    bounds = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=partitions))))
    with FolderWriter(folder) as writer:
        for partition in range(partitions):
            rows = order[bounds[partition] : bounds[partition + 1]]
            for name, values in columns.items():
                write_column(writer.path, name, values[rows], part(partition))
        writer.publish({**record.as_json(), "partitions": partitions})


def read_published(
    folder: Path, names: tuple[str, ...], prefix: str = ""
) -> list[npt.NDArray[Any]]:
    """Some columns of a folder, [num_rows] each, memory-mapped, hashed first (about a second a
    gigabyte).

    Raises:
        ManifestError: the record or a column is missing, truncated or changed, or the record names
            no such column.
    """
    outputs = read_done(folder)["outputs"]
    for name in names:
        path, output = folder / f"{prefix}{name}", outputs.get(f"{prefix}{name}")
        if output is None:
            raise ManifestError(
                f"{path}: its done-record names no such file, so it was written for another plan;"
                f" delete {folder}"
            )
        if (found := file_hash(path)) != output["blake3"]:
            raise ManifestError(
                f"{path}: has BLAKE3 {found}, {output['blake3']} was written; delete {folder} and"
                " build again"
            )
    return [read_column(folder, name, prefix) for name in names]
