"""The token store: what has been read, hashed and tokenized, once and for every mix.

    STORE/store.json                                the salt and the format
    STORE/sources/NAME-KEY/GROUP/ledger/            every document of a group of input files: key,
                                                    digest, file, row
    STORE/sources/NAME-KEY/GROUP/tokens-TK-LO-HI/   the tokens of those with LO <= order_key < HI
    STORE/sources/NAME-KEY/GROUP/terms-BK-LO-HI/    how many terms of a blocklist each of them holds
    STORE/sources/NAME-KEY/GROUP/grams-GK-LO-HI/    how many n-grams of evaluation sets each of them
                                                    holds, and of which items
    STORE/sources/NAME-KEY/GROUP/bands-RK-LO-HI/    the band keys of each of them, for
                                                    near-duplicates
    STORE/sources/NAME-KEY/GROUP/texts-EK-LO-HI/    the texts of those that hold enough of them,
                                                    until they are scored
    STORE/scores/CK/                                scores of a classifier, by digest
                                                    (pipeline.store.scores)
    STORE/near/KEY/                                 near-duplicates among some sources: edges,
                                                    clusters, drops (pipeline.build.near)
    STORE/select/KEY/                               eligible documents by source and key partition
    STORE/work/                                     plans of stages and their logs

NAME-KEY is keyed by what decides the training texts, quality steps included, TK by what decides
their tokens, BK and EK by the blocklist, GK by the evaluation sets, RK by what decides signatures.
A group is a few input files that were read together; its ledger is cut into segments of bounded
text, each sorted by (order_key, digest). The tokens of a key range are a contiguous stretch of rows
of each segment, and so are its annotations. Nothing here is changed once it is published; escalated
texts alone are deleted, when they are scored. `annealmix store gc` deletes what can be made again
without tokenizing; a build removes only what a stopped task left half-written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, PlainSerializer, PlainValidator

from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import SALT, KeyRange
from mixtures.recipe.quality.steps import QUALITY_FORMAT, Quality, canonical_quality
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.store.lock import locked
from pipeline.store.records import Frozen, Record, is_done, read_json, write_json
from pipeline.store.rules import LEDGER_FORMAT, STORE_FORMAT, Rule, short_key


@dataclass(frozen=True)
class ColumnRange:
    """What lies beside a ledger for one key range."""

    folder: Path
    keys: KeyRange
    digest: str
    """Of its done-record."""
    tokens: int = field(default=0, compare=False)
    """That it holds, where it is a token folder of a store; no plan says it."""

    @classmethod
    def of(cls, value: ColumnRange | Sequence[str]) -> ColumnRange:
        """Read a range of a plan."""
        if isinstance(value, ColumnRange):
            return value
        folder, low, high, digest = value
        return cls(Path(folder), KeyRange.parse((low, high)), digest)

    def as_json(self) -> list[str]:
        """For a plan."""
        return [str(self.folder), *self.decisive()]

    def decisive(self) -> list[str]:
        """What of it decides a result: no path, so a store that was moved keeps its results."""
        return [*self.keys.hex(), self.digest]


@dataclass(frozen=True)
class Due:
    """What must still be noted of a group's documents of a key range."""

    folders: str
    """Of the rule, see `Rule.folders`."""
    keys: KeyRange

    @classmethod
    def of(cls, value: Due | Sequence[str]) -> Due:
        """Read what a plan holds."""
        return value if isinstance(value, Due) else cls(value[0], KeyRange.parse(value[1:]))

    def as_json(self) -> list[str]:
        """For a plan."""
        return [self.folders, *self.keys.hex()]


PlannedDue = Annotated[Due, PlainValidator(Due.of), PlainSerializer(Due.as_json)]
"""[folders, low, high] in a plan."""
PlannedRange = Annotated[
    ColumnRange, PlainValidator(ColumnRange.of), PlainSerializer(ColumnRange.as_json)
]
"""[folder, low, high, digest] in a plan."""
PlannedKeys = Annotated[
    KeyRange,
    PlainValidator(lambda value: value if isinstance(value, KeyRange) else KeyRange.parse(value)),
    PlainSerializer(KeyRange.hex),
]
"""[low, high] in hex in a plan."""
PlannedKey = Annotated[
    int,
    PlainValidator(lambda value: int(value, 16) if isinstance(value, str) else value),
    PlainSerializer(lambda value: f"{value:x}"),
]
"""In hex in a plan, since 2^64 does not fit every JSON reader."""


class LedgerRecord(Record):
    """The done-record of a ledger."""

    source: str
    inputs: tuple[dict[str, Any], ...]
    """The fields of each `pipeline.inputs.file.InputFile`, in the order of the ledger's `file`
    column.
    """
    segments: tuple[int, ...]
    """Documents of each."""
    segment_bytes: int
    """Text at which a segment ends."""
    counts: dict[str, int]
    """Rows that were read, documents, and rows left out under each reason."""
    quarantined: dict[str, int]
    """Rows by what is wrong with them."""
    quality: dict[str, Any] | None = None
    """Steps, and versions of the packages that they may use; not written without steps."""

    @property
    def documents(self) -> int:
        """Documents of all segments."""
        return sum(self.segments)


class SegmentRange(Frozen):
    """What a folder of a key range holds of a segment."""

    model_config = ConfigDict(frozen=True, extra="allow")  # annotators count hits and texts, too

    first_row: int
    """The ledger row of its first document."""
    documents: int
    tokens: int = 0
    """In token folders, EOD included."""
    bytes: int = 0
    """In folders of escalated texts: UTF-8 of all of them."""
    characters: int = 0
    """In folders of band keys: of the folded texts."""
    unspaced: int = 0
    """Those of them that are of scripts without spaces between words."""


class RangeRecord(Record):
    """The done-record of a folder that lies beside a ledger for one key range."""

    ledger: str
    """Digest of the ledger's record."""
    segments: tuple[SegmentRange, ...]
    documents_with_eod_text: int = 0
    """In token folders: those whose text spells a special token out."""

    @property
    def tokens(self) -> int:
        """Tokens of all segments."""
        return sum(segment.tokens for segment in self.segments)


class Group:
    """A group of input files: its ledger, and the key ranges that are tokenized."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.record = LedgerRecord.read(self.ledger)
        self._read: dict[str, ColumnRange] = {}

    def ranges(self, rule: Rule) -> list[ColumnRange]:
        """Published folders of a rule, in key order.

        Raises:
            ManifestError: one is damaged, or was made for another ledger than the group has now.
        """
        prefix = f"{rule.folders}-"
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(prefix)]
        ranges = [self._range(name) for name in names if is_done(self.folder / name)]
        return sorted(ranges, key=lambda item: item.keys)

    def _range(self, name: str) -> ColumnRange:
        """A published folder, whose record is read once: it is never changed."""
        if name not in self._read:
            folder, keys = self.folder / name, KeyRange.parse(name.split("-")[-2:])
            record = RangeRecord.read(folder)
            if record.ledger != self.record.digest:
                raise ManifestError(
                    f"{folder}: made for a ledger that is no longer there; delete the group"
                    f" {self.folder}, build again"
                )
            self._read[name] = ColumnRange(folder, keys, record.digest, record.tokens)
        return self._read[name]

    def missing(self, rule: Rule, wanted: KeyRange) -> list[KeyRange]:
        """Key ranges of `wanted` that a rule has no folder for yet."""
        return wanted.minus(item.keys for item in self.ranges(rule))


class Store:
    """A store folder, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identity = {"format": STORE_FORMAT, "salt": SALT.decode()}
        if (folder / "store.json").exists():
            if (stored := read_json(folder / "store.json")) != identity:
                raise ManifestError(
                    f"{folder}: a store of {stored}, this version reads {identity}; choose another"
                    " --store"
                )
            return
        # another builder may be making the same store at this moment
        made_by_others = ("store.json", "lock")
        if folder.exists() and any(
            not path.name.startswith(".") and path.name not in made_by_others
            for path in folder.iterdir()
        ):
            raise RecipeError(
                f"{folder}: not empty and not a store (no store.json); choose another --store"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "store.json", identity)

    def source_folder(self, definition: SourceDefinition, quality: Quality = ()) -> Path:
        """Where the groups of a source lie that was read with these quality steps."""
        identity = {"source": definition.identity(), "format": LEDGER_FORMAT, "salt": SALT.decode()}
        if quality:
            identity["quality"] = {"steps": canonical_quality(quality), "format": QUALITY_FORMAT}
        return self.folder / "sources" / f"{definition.name}-{short_key(identity)}"

    def groups(self, definition: SourceDefinition, quality: Quality = ()) -> list[Group]:
        """Every published group of a source that was read with these quality steps, by name."""
        folder = self.source_folder(definition, quality)
        return [
            Group(path) for path in sorted(folder.glob("[0-9a-f]*")) if is_done(path / "ledger")
        ]

    @property
    def work_folder(self) -> Path:
        """Plans of stages and logs of their tasks; made with the first of them."""
        return self.folder / "work"

    @cached_property
    def writable(self) -> bool:
        """Whether this process may write to it. One that it may not is read, as long as it lacks
        nothing.
        """
        return os.access(self.folder, os.W_OK | os.X_OK)

    def require_writable(self, lacking: str, *, read: bool = True) -> None:
        """Refuse to go on where something must be made that the store does not hold.

        Args:
            read: whether inputs must be read for it, and not the store alone.

        Raises:
            RecipeError: says that it is read-only, and what it lacks.
        """
        if not self.writable:
            raise RecipeError(
                f"{self.folder}: is read-only here, and lacks {lacking}; give the same command as"
                " somebody who may write to it, or with a copy of it that you may write to"
            )

    def sweep(self) -> None:
        """Remove what stopped tasks left half-written; only under the lock, when no task is
        running.
        """
        if not self.writable:
            return
        for folder in ("sources/*/*", "select/*", "scores/*/*", "near/*", "near/*/*"):
            for unfinished in self.folder.glob(f"{folder}/.*.tmp"):
                shutil.rmtree(unfinished)
        for texts in self.folder.glob("sources/*/*/texts-*"):  # whose deletion was begun
            if not is_done(texts):
                shutil.rmtree(texts)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store against other builders on this machine or a shared file system; a holder
        that dies lets go.

        Who cannot write holds nothing: what is published is never changed, and nobody waits for
        readers.
        """
        if not self.writable:
            yield
            return
        with locked(self.folder / "lock", f"store {self.folder}"):
            yield


class LackingError(RecipeError):
    """A store holds too little for a plan."""


class HeldStore(Store):
    """A store that a plan looks at: what follows from it may be made there, and nothing is read
    into it.
    """

    def require_writable(self, lacking: str, *, read: bool = True) -> None:
        """As of `Store`.

        Raises:
            LackingError: inputs would have to be read, or it is read-only; says what it lacks.
        """
        if read or not self.writable:
            raise LackingError(f"{self.folder}: lacks {lacking}")
