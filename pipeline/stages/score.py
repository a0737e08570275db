"""Score: a classifier's scores of the documents that a blocklist escalated, one key partition at a
time.

Partitions and cells are fixed shares of the key space, and a cell's documents are scored together
in key order, each text once. So what a score may owe to the texts beside it (`rows` above 1 in
`pipeline.judges.classifiers.sequence`) does not depend on files, groups, tasks or workers.

Runs where the classifier's library and device are, which need not be where text is read: an
escalated text waits in the store, readable by its owner alone, and is deleted when it is scored.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mixtures.errors import InputError, ManifestError
from mixtures.keys import KEY_SPACE, KeyRange, digest_columns, sort_order
from pipeline.executors.stage import PartitionUnit, Stage
from pipeline.judges.annotators.annotator import TEXTS
from pipeline.judges.classifiers import Classifier
from pipeline.judges.filter import open_pinned
from pipeline.judges.judges import ScorePlan
from pipeline.store.columns import prefix, write_column
from pipeline.store.records import DONE, FolderWriter
from pipeline.store.scores import SCORE_PARTITIONS, Scored, look_up, partition_name, read_scores
from pipeline.store.store import RangeRecord

# documents of a cell are scored in one call; at 50M escalated documents a cell has some 3,000
CELLS = 1 << 14
LOAD_BYTES = 256 << 20  # escalated text that a task holds


class Score(Stage[ScorePlan, PartitionUnit]):
    """Scores escalated texts."""

    name = "score"
    plan_type = ScorePlan
    # a small model and its library; LOAD_BYTES of text, which are held twice
    task_bytes = 2_000_000_000

    def prepare(self, plan: ScorePlan) -> None:
        """Open the classifier when its first document is there."""
        self._classifier: Classifier | None = None

    def upstream(self, plan: ScorePlan) -> dict[Path, str]:
        """The texts."""
        return dict.fromkeys(plan.texts, "")

    def do(self, plan: ScorePlan, unit: PartitionUnit) -> None:
        """Score one partition."""
        if self.is_done(plan, unit):
            return
        number, (folder,) = unit.partition, self.outputs(plan, unit)
        known = read_scores(plan.known[number])
        pieces = [
            self._scored(plan, keys, known)
            for keys in _steps(KeyRange.partition(number, SCORE_PARTITIONS), plan.text_bytes)
        ]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FolderWriter(folder) as writer:
            for name in ("order_key", "digest", "score"):
                write_column(writer.path, name, np.concatenate([piece[name] for piece in pieces]))
            writer.publish({"documents": sum(len(piece["score"]) for piece in pieces)})

    @staticmethod
    def outputs(plan: ScorePlan, unit: PartitionUnit) -> list[Path]:
        """The partition's scores; without documents they are empty."""
        return [plan.folder / partition_name(unit.partition)]

    @staticmethod
    def describe(unit: PartitionUnit) -> str:
        """The partition."""
        return f"key partition {unit.partition} of {SCORE_PARTITIONS}"

    def _scored(self, plan: ScorePlan, keys: KeyRange, known: Scored) -> Scored:
        """Scores of the documents of a key range that have none yet."""
        found, texts = _read_texts(plan.texts, keys)
        fresh = np.flatnonzero(look_up(known, found["order_key"], found["digest"]) < 0)
        found, texts = (
            {name: values[fresh] for name, values in found.items()},
            [texts[at] for at in fresh.tolist()],
        )
        scores = np.empty(len(texts), np.int32)
        cells = found["order_key"] // np.uint64(KEY_SPACE // CELLS)
        edges = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(texts)]
        for first, last in pairwise(edges):
            if first < last:
                scores[first:last] = self._score(plan, texts[first:last])
        return {**found, "score": scores}

    def _score(self, plan: ScorePlan, texts: Sequence[str]) -> Any:
        if self._classifier is None:
            pin = plan.classifier.pin
            self._classifier = open_pinned(pin, plan.classifier.folder / pin.path)
        try:
            return self._classifier.score(texts).astype(np.int32)
        except InputError as error:
            raise InputError(
                f"{plan.classifier.folder}: an escalated document cannot be scored: {error}"
            ) from None


def _steps(keys: KeyRange, text_bytes: int) -> Iterable[KeyRange]:
    """A partition in stretches of whole cells that hold about LOAD_BYTES each."""
    width = KEY_SPACE // CELLS
    cells = keys.width // width
    steps = min(max(text_bytes // SCORE_PARTITIONS // LOAD_BYTES + 1, 1), cells)
    bounds = [keys.low + cells * step // steps * width for step in range(steps + 1)]
    return map(KeyRange, bounds, bounds[1:])


def _read_texts(folders: Sequence[Path], keys: KeyRange) -> tuple[Scored, list[str]]:
    """Escalated documents of a key range, sorted, each text once."""
    tables = [table for folder in folders for table in _tables(folder, keys)]
    columns: dict[str, list[Any]] = {name: [] for name in TEXTS.names}
    for table in tables:
        for name in TEXTS.names:
            columns[name] += table.column(name).to_pylist()
    order_key, digest = (
        np.array(columns["order_key"], np.uint64),
        digest_columns(b"".join(columns["digest"])),
    )
    order = sort_order(order_key, digest)
    order_key, digest = order_key[order], digest[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (digest[1:] != digest[:-1]).any(axis=1)
    texts = [columns["text"][at] for at in order[first].tolist()]
    return {"order_key": order_key[first], "digest": digest[first]}, texts


def _tables(folder: Path, keys: KeyRange) -> Iterable[Any]:
    """Rows of a folder of texts that lie in a key range; row groups that lie outside are not
    read.
    """
    for number in range(len(RangeRecord.read(folder).segments)):
        file = pq.ParquetFile(folder / f"{prefix(number)}texts.parquet")
        if file.schema_arrow != TEXTS:
            raise ManifestError(
                f"{folder}: segment {number} holds no escalated texts; delete {folder} and build"
                " again"
            )
        for group in range(file.num_row_groups):
            limits = file.metadata.row_group(group).column(0).statistics
            if limits is None or keys.meets(KeyRange(limits.min, limits.max + 1)):
                table = file.read_row_group(group)
                yield table.filter(keys.mask(table.column("order_key").to_numpy()))


def delete_texts(folders: Iterable[Path]) -> None:
    """Delete escalated texts that are scored; the record first, so that half a folder never
    counts.
    """
    for folder in folders:
        (folder / DONE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
