"""The scores of a classifier: a table from digest to score that is made once and then only read, an
input artefact of every mix.

    STORE/scores/CK/INCREMENT/pNN/         order_key, digest, score of the documents of key
                                           partition NN, ascending
    STORE/scores/CK/INCREMENT/scored.json  last of all: which key ranges of which groups were
                                           escalated, by which rule, and are now scored

CK is of the classifier's digest: a score depends on the text and on nothing else that a recipe
says, so blocklists, thresholds and sources share it. An increment is what one build had to score. A
document is scored once; later increments leave out what earlier ones hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import ALL_KEYS, KEY_SPACE, KeyRange, digest_columns, order_keys, sort_order
from pipeline.store.columns import read_column
from pipeline.store.records import Record, is_done, read_record, write_record
from pipeline.store.rules import TextRule, short_key
from pipeline.store.store import Store

SCORES_FORMAT = 1
SCORE_PARTITIONS = 64
SCORED = "scored.json"
COLUMNS = ("order_key", "digest", "score")

Scored = dict[str, npt.NDArray[Any]]
"""order_key uint64 [num_docs], digest uint64 [num_docs, 2], score int32 [num_docs], ascending by
(order_key, digest).
"""


class ScoredRange(NamedTuple):
    """Escalated documents that are scored: those of one ledger and key range."""

    terms: str
    """Folders of the terms they were escalated by (`TermRule.folders`)."""
    threshold: int
    """Distinct terms from which they were escalated; a higher one is covered as well."""
    ledger: str
    """Digest of the ledger's done-record."""
    low: str
    high: str
    """The key range, in hex."""


class IncrementRecord(Record):
    """What makes an increment count."""

    scored: tuple[ScoredRange, ...]
    partitions: tuple[str, ...]
    """Digest of each partition's done-record."""


class ScoreTable:
    """All scores of one classifier in a store, as they are now."""

    def __init__(self, store: Store, classifier_digest: str) -> None:
        key = short_key({"classifier": classifier_digest, "format": SCORES_FORMAT})
        self.folder = store.folder / "scores" / key

    @cached_property
    def increments(self) -> list[tuple[Path, IncrementRecord]]:
        """Finished increments with their records, by name.

        Raises:
            ManifestError: a record is damaged.
        """
        return [
            (path.parent, IncrementRecord.model_validate(read_record(path)))
            for path in sorted(self.folder.glob(f"*/{SCORED}"))
        ]

    def missing(self, rule: TextRule, ledger_digest: str, wanted: KeyRange) -> list[KeyRange]:
        """Key ranges of `wanted` of a ledger whose escalated documents are not scored yet."""
        return wanted.minus(
            KeyRange.parse((scored.low, scored.high))
            for _, record in self.increments
            for scored in record.scored
            if (scored.terms, scored.ledger) == (rule.terms.folders, ledger_digest)
            and scored.threshold <= rule.threshold
        )

    def folders(self, keys: KeyRange) -> list[tuple[Path, str]]:
        """Partitions that hold scores of a key range: folder and digest of its done-record.

        Raises:
            ManifestError: one that was scored is missing, truncated or damaged.
        """
        partitions = []
        for increment, record in self.increments:
            for number in partitions_of(keys):
                folder, digest = increment / partition_name(number), record.partitions[number]
                if not digest:
                    continue
                if not is_done(folder):
                    raise ManifestError(
                        f"{folder}: missing, although {increment / SCORED} lists it; delete"
                        f" {increment} and build again"
                    )
                if Record.read(folder).digest != digest:
                    raise ManifestError(
                        f"{folder}: not the scores that {increment / SCORED} lists; delete"
                        f" {increment} and build again"
                    )
                partitions.append((folder, digest))
        return partitions

    def seal(self, increment: Path, scored: Iterable[ScoredRange]) -> None:
        """Make a finished increment count, which scored these documents."""
        digests = tuple(
            Record.read(increment / partition_name(number)).digest
            for number in range(SCORE_PARTITIONS)
        )
        record = IncrementRecord(scored=tuple(sorted(scored)), partitions=digests)
        write_record(increment / SCORED, record.as_json())
        self.__dict__.pop("increments", None)


def partition_name(number: int) -> str:
    """Folder of a partition within an increment."""
    return f"p{number:02d}"


def partitions_of(keys: KeyRange) -> range:
    """Partitions that a key range touches."""
    width = KEY_SPACE // SCORE_PARTITIONS
    return range(keys.low // width, -(-keys.high // width))


def read_scores(folders: Iterable[Path]) -> Scored:
    """The scores of some partitions, sorted; a document that several hold is taken of the first."""
    pieces = [{name: read_column(folder, name) for name in COLUMNS} for folder in folders]
    empty: Scored = {
        "order_key": np.empty(0, np.uint64),
        "digest": np.empty((0, 2), np.uint64),
        "score": np.empty(0, np.int32),
    }
    joined = {
        name: np.concatenate([none, *(piece[name] for piece in pieces)]).astype(none.dtype)
        for name, none in empty.items()
    }
    order = sort_order(joined["order_key"], joined["digest"], np.arange(len(joined["score"])))
    return {name: values[order] for name, values in joined.items()}


def look_up(
    scored: Scored, keys: npt.NDArray[np.uint64], digests: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int32]:
    """Scores of documents, -1 where there is none: int32 [num_docs].

    Args:
        keys: uint64 [num_docs]. digests: uint64 [num_docs, 2].
    """
    scores = np.full(len(keys), -1, np.int32)
    at = np.searchsorted(scored["order_key"], keys)
    pending = np.flatnonzero(at < len(scored["order_key"]))
    while len(pending):  # once, but for different documents that share an order key
        here = at[pending]
        pending = pending[scored["order_key"][here] == keys[pending]]
        here = at[pending]
        same = (scored["digest"][here] == digests[pending]).all(axis=1)
        scores[pending[same]] = scored["score"][here[same]]
        pending = pending[~same]
        at[pending] += 1
        pending = pending[at[pending] < len(scored["order_key"])]
    return scores


def stored_scores(
    store: Path, classifier_digest: str, digests: Iterable[bytes]
) -> dict[bytes, int]:
    """Scores that a store has of some documents: {digest: millionths}; documents without a score
    are left out.

    Raises:
        RecipeError: it is no store. ManifestError: its scores are damaged.
    """
    if not (store / "store.json").is_file():
        raise RecipeError(f"{store}: no store there; name one with --store DIR")
    wanted = list(digests)
    columns = digest_columns(b"".join(wanted))
    table = ScoreTable(Store(store), classifier_digest)
    scored = read_scores(folder for folder, _ in table.folders(ALL_KEYS))
    scores = look_up(scored, order_keys(columns), columns).tolist()
    return {digest: score for digest, score in zip(wanted, scores, strict=True) if score >= 0}
