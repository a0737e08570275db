"""Stage 2, select: which documents of each source are eligible, one key partition at a time.

Equal texts have equal keys, so every copy of a document, in whichever source, is met in the same partition: one sort by (key,
digest, source in recipe order, file, row) puts the survivor first and each further copy behind it. Documents of excluded recipes
sort before all sources and take their copies with them.

Nothing here looks at a quota: the result serves every size of every mix with the same sources. What a quota takes is a prefix in key order
(`mixtures.selection`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import AnnealmixError
from mixtures.keys import KEY_SPACE, KeyRange, sort_order
from mixtures.selection import Lengths, PartitionTable
from pipeline.columns import read_column, write_column
from pipeline.records import FolderWriter, is_done, read_done
from pipeline.segments import prefix
from pipeline.stage import Plan, Stage, Unit

SELECT_FORMAT = 1
PARTITION_DOCUMENTS = 3_000_000  # a partition of this many documents is sorted in about 300 MB
MAX_PARTITIONS = 64

Arrays = dict[str, npt.NDArray[Any]]


def num_partitions(documents: int) -> int:
    """Key partitions for so many documents: a power of two. It changes no result, only memory and parallelism."""
    count = 1
    while count < MAX_PARTITIONS and documents > count * PARTITION_DOCUMENTS * 1.5:
        count *= 2
    return count


class Select(Stage):
    """Plan: partitions, folder, sources in order of priority (excluded ones first), units.

    Source: name, excluded (whether it only takes copies away), keys [low, high], ceiling (documents from there on are not tokenized),
    segments [{ledger, digest, segment, file_ranks, tokens: [[folder, low, high, digest]]}]. Unit: partition.
    """

    name = "select"

    def do(self, plan: Plan, unit: Unit) -> None:
        """Sort one partition."""
        folder = partition_folder(Path(plan["folder"]), unit["partition"])
        if is_done(folder):
            return
        width = KEY_SPACE // plan["partitions"]
        keys = (unit["partition"] * width, (unit["partition"] + 1) * width)
        arrays = _gathered(plan["sources"], keys)
        sources = plan["sources"]
        arrays = _sorted(arrays)
        first = _first_of_each_document(arrays)
        survivor = arrays["source"][np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))]
        with FolderWriter(folder) as writer:
            tables = [
                _write_source(writer.path, arrays, first, survivor, number, sources)
                for number in range(len(sources))
                if not sources[number]["excluded"]
            ]
            writer.publish({"sources": {table.pop("name"): table for table in tables}})


def partition_folder(folder: Path, partition: int) -> Path:
    """Where a partition's result lies."""
    return folder / f"p{partition:04d}"


def token_files(sources: list[dict[str, Any]]) -> list[Path]:
    """All token files that a plan may read, in the order that the column `token_file` counts."""
    return [
        Path(folder) / f"{prefix(segment['segment'])}tokens"
        for source in sources
        for segment in source["segments"]
        for folder, *_ in segment["tokens"]
    ]


def ledger_segments(sources: list[dict[str, Any]]) -> list[tuple[Path, int]]:
    """All ledger segments of a plan, (folder, segment), in the order that the column `segment` counts."""
    return [(Path(segment["ledger"]), segment["segment"]) for source in sources for segment in source["segments"]]


_GATHERED = {
    "source": np.uint16,
    "order_key": np.uint64,
    "digest": np.uint64,
    "file_rank": np.uint32,
    "row": np.uint32,
    "segment": np.uint32,
    "ledger_row": np.uint32,
    "num_tokens": np.uint32,
    "offset": np.uint64,
    "token_file": np.uint32,
}


def _gathered(sources: list[dict[str, Any]], keys: KeyRange) -> Arrays:
    """Columns of all documents of all sources in a key partition and in their source's key range."""
    pieces = list(_pieces(sources, keys))
    gathered: Arrays = {}
    for name, dtype in _GATHERED.items():
        empty = np.empty((0, 2) if name == "digest" else 0, dtype)
        gathered[name] = np.concatenate([empty, *(piece[name].astype(dtype, copy=False) for piece in pieces)])
    return gathered


def _pieces(sources: list[dict[str, Any]], partition: KeyRange) -> Iterator[Arrays]:
    segments = token_file = 0
    for number, source in enumerate(sources):
        low, high = (int(bound, 16) for bound in source["keys"])
        for segment in source["segments"]:
            keys = (max(low, partition[0]), min(high, partition[1]))
            if keys[0] < keys[1]:
                piece = _piece(segment, keys, token_file)
                documents = len(piece["order_key"])
                yield {**piece, "source": np.full(documents, number), "segment": np.full(documents, segments)}
            segments += 1
            token_file += len(segment["tokens"])


def _piece(segment: dict[str, Any], keys: KeyRange, first_token_file: int) -> Arrays:
    """One segment's documents in a key range; num_tokens is 0 where they are not tokenized."""
    folder, head = Path(segment["ledger"]), prefix(segment["segment"])
    ledger_keys = read_column(folder, "order_key", head)
    first, last = row_range(ledger_keys, keys)
    rows = slice(first, last)
    num_tokens, offset, token_file = (np.zeros(last - first, dtype) for dtype in (np.uint32, np.uint64, np.uint32))
    for index, (tokens, low, high, _) in enumerate(segment["tokens"]):
        range_first, range_last = row_range(ledger_keys, (int(low, 16), int(high, 16)))
        begin, end = max(first, range_first), min(last, range_last)
        if begin < end:
            here, there = slice(begin - first, end - first), slice(begin - range_first, end - range_first)
            num_tokens[here] = read_column(Path(tokens), "num_tokens", head)[there]
            offset[here] = read_column(Path(tokens), "offset", head)[there]
            token_file[here] = first_token_file + index
    ranks = np.asarray(segment["file_ranks"], np.uint32)
    return {
        "order_key": ledger_keys[rows],
        "digest": read_column(folder, "digest", head)[rows],
        "file_rank": ranks[read_column(folder, "file", head)[rows]],
        "row": read_column(folder, "row", head)[rows],
        "ledger_row": np.arange(first, last),
        "num_tokens": num_tokens,
        "offset": offset,
        "token_file": token_file,
    }


def row_range(ledger_keys: npt.NDArray[np.uint64], keys: KeyRange) -> tuple[int, int]:
    """Rows of a segment, sorted by key, that lie in a key range."""
    low, high = (len(ledger_keys) if key >= KEY_SPACE else int(np.searchsorted(ledger_keys, np.uint64(key))) for key in keys)
    return low, high


def _sorted(arrays: Arrays) -> Arrays:
    order = sort_order(arrays["order_key"], arrays["digest"], arrays["source"], arrays["file_rank"], arrays["row"])
    return {name: values[order] for name, values in arrays.items()}


def _first_of_each_document(arrays: Arrays) -> npt.NDArray[np.bool_]:
    """True at the first of each run of equal digests. Equal keys of different digests (a collision) are different documents."""
    digest = arrays["digest"]
    first = np.ones(len(digest), np.bool_)
    first[1:] = (digest[1:] != digest[:-1]).any(axis=1)
    return first


def _write_source(
    folder: Path,
    arrays: Arrays,
    first: npt.NDArray[np.bool_],
    survivor: npt.NDArray[np.uint16],
    number: int,
    sources: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write one source's eligible documents below its ceiling. Returns what it holds and what was removed, by reason."""
    source = sources[number]
    mine = arrays["source"] == number
    eligible = mine & first
    ceiling = int(source["ceiling"], 16)
    within = eligible if ceiling >= KEY_SPACE else eligible & (arrays["order_key"] < np.uint64(ceiling))
    num_tokens = arrays["num_tokens"][within]
    if (num_tokens == 0).any():
        raise AnnealmixError(
            f"{folder}: {source['name']} has documents below its ceiling without tokens; the store is not what the plan says"
        )
    ends = np.cumsum(num_tokens, dtype=np.uint64)
    for name in ("digest", "num_tokens", "offset", "token_file", "segment", "ledger_row"):
        write_column(folder, name, arrays[name][within], f"{source['name']}.")
    write_column(folder, "start", ends - num_tokens, f"{source['name']}.")
    copies = np.bincount(survivor[mine & ~first], minlength=len(sources)).tolist()
    table = {
        "name": source["name"],
        "documents": int(within.sum()),
        "tokens": int(num_tokens.sum(dtype=np.uint64)),
        "longest": int(num_tokens.max(initial=0)),
        "untokenized": int(eligible.sum() - within.sum()),
        "in_range": int(mine.sum()),
        "copies": {sources[other]["name"]: count for other, count in enumerate(copies) if count and not sources[other]["excluded"]},
        "excluded": sum(count for other, count in enumerate(copies) if sources[other]["excluded"]),
    }
    if table["in_range"] != table["documents"] + table["untokenized"] + table["excluded"] + sum(table["copies"].values()):
        raise AnnealmixError(f"{folder}: {source['name']} does not balance: {table}")
    return table


@dataclass(frozen=True)
class Eligible:
    """The result of a select stage for one source. removed: documents by reason; `duplicate of SOURCE` names the survivor's source."""

    name: str
    folder: Path
    tables: list[PartitionTable]
    in_range: int
    documents: int
    removed: dict[str, int]

    @property
    def tokens(self) -> int:
        """Eligible tokens below the ceiling."""
        return sum(table.tokens for table in self.tables)

    def lengths(self, partition: int) -> Lengths:
        """Starts and lengths of a partition's documents, memory-mapped."""
        return Lengths(self.column("start", partition), self.column("num_tokens", partition))

    def column(self, name: str, partition: int) -> npt.NDArray[Any]:
        """A column of a partition, memory-mapped."""
        return read_column(partition_folder(self.folder, partition), name, f"{self.name}.")


def read_eligible(folder: Path, partitions: int, names: list[str]) -> dict[str, Eligible]:
    """Read the tables of a finished select stage.

    Raises:
        ManifestError: a partition is missing or damaged.
    """
    records = [read_done(partition_folder(folder, partition))["sources"] for partition in range(partitions)]
    eligible = {}
    for name in names:
        tables = [record[name] for record in records]
        removed: dict[str, int] = {}
        for table in tables:
            for other, count in table["copies"].items():
                reason = f"duplicate of {other}"
                removed[reason] = removed.get(reason, 0) + count
            removed["excluded"] = removed.get("excluded", 0) + table["excluded"]
        eligible[name] = Eligible(
            name,
            folder,
            [PartitionTable(table["documents"], table["tokens"], table["longest"]) for table in tables],
            sum(table["in_range"] for table in tables),
            sum(table["documents"] + table["untokenized"] for table in tables),
            {reason: count for reason, count in removed.items() if count},
        )
    return eligible
