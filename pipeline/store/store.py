"""The token store: what has been read, hashed and tokenized, once and for every mix.

    STORE/store.json                                the salt and the format
    STORE/sources/NAME-KEY/GROUP/ledger/            every document of a group of input files: key, digest, file, row
    STORE/sources/NAME-KEY/GROUP/tokens-TK-LO-HI/   the tokens of those with LO <= order_key < HI
    STORE/sources/NAME-KEY/GROUP/terms-BK-LO-HI/    how many terms of a blocklist each of them holds
    STORE/sources/NAME-KEY/GROUP/grams-GK-LO-HI/    how many n-grams of evaluation sets each of them holds, and of which items
    STORE/sources/NAME-KEY/GROUP/bands-RK-LO-HI/    the band keys of each of them, for near-duplicates
    STORE/sources/NAME-KEY/GROUP/texts-EK-LO-HI/    the texts of those that hold enough of them, until they are scored
    STORE/scores/CK/                                scores of a classifier, by digest (pipeline.store.scores)
    STORE/near/KEY/                                 near-duplicates among some sources: edges, clusters, drops (pipeline.build.near)
    STORE/select/KEY/                               eligible documents by source and key partition
    STORE/work/                                     plans of stages and their logs

NAME-KEY is keyed by what decides the training texts, quality steps included, TK by what decides their tokens, BK and EK by the
blocklist, GK by the evaluation sets, RK by what decides signatures. A group is a few input files that were read together; its ledger
is cut into segments of bounded text, each sorted by (order_key, digest). The tokens of a key range are a contiguous stretch of rows of
each segment, and so are its annotations. Nothing here is changed once it is published; escalated texts alone are deleted, when they are
scored. `annealmix store gc` deletes what can be made again without tokenizing; a build removes only what a stopped task left half-written.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TextIO

from mixtures.errors import ManifestError, RecipeError
from mixtures.keys import SALT, KeyRange, missing_ranges
from mixtures.recipe.quality import QUALITY_FORMAT, Quality, canonical_quality
from mixtures.recipe.source import SourceDefinition
from mixtures.rules.blocklist import RULES as BLOCKLIST_RULES
from mixtures.rules.near import NearRule
from pipeline.inputs.listing import InputFile
from pipeline.report import say
from pipeline.store.records import canonical_json, is_done, read_done, read_json, write_json

STORE_FORMAT = 1
LEDGER_FORMAT = 1
TOKENS_FORMAT = 1
TERMS_FORMAT = 1
TEXTS_FORMAT = 1
GRAMS_FORMAT = 1
BANDS_FORMAT = 1


def hex_range(keys: KeyRange) -> list[str]:
    """A key range as plans and manifests hold it: two hex numbers, the upper one may be 2^64."""
    return [f"{keys[0]:x}", f"{keys[1]:x}"]


def short_key(value: Any) -> str:
    """16 hex digits of the sha256 of a JSON-able value."""
    return sha256(canonical_json(value)).hexdigest()[:16]


class Rule(Protocol):
    """What decides the contents of folders that lie beside a ledger, one folder a key range."""

    @property
    def folders(self) -> str:
        """What their names begin with: the kind, and a hash of the rule."""


@dataclass(frozen=True)
class TokenRule:
    """What decides the tokens of a text."""

    tokenizer_digest: str
    special_tokens: str
    token_bytes: int

    @property
    def folders(self) -> str:
        """Names token folders."""
        return f"tokens-{short_key({**asdict(self), 'format': TOKENS_FORMAT})}"


@dataclass(frozen=True)
class TermRule:
    """What decides how many distinct terms a text holds."""

    sha256: str
    mode: str

    @property
    def folders(self) -> str:
        """Names folders of term counts."""
        return f"terms-{short_key({**asdict(self), 'rules': BLOCKLIST_RULES, 'format': TERMS_FORMAT})}"


@dataclass(frozen=True)
class TextRule:
    """Which texts are escalated: those with at least `threshold` distinct terms."""

    terms: TermRule
    threshold: int

    @property
    def folders(self) -> str:
        """Names folders of escalated texts."""
        return f"texts-{short_key([self.terms.folders, self.threshold, TEXTS_FORMAT])}"


@dataclass(frozen=True)
class GramRule:
    """What decides which items of evaluation sets a text holds: the sets' identities, in their order."""

    sets: tuple[str, ...]

    @property
    def folders(self) -> str:
        """Names folders of n-gram counts."""
        return f"grams-{short_key([*self.sets, GRAMS_FORMAT])}"


@dataclass(frozen=True)
class BandRule:
    """What decides the band keys of a text: the near-duplicate rule, its threshold aside."""

    near: NearRule

    @property
    def folders(self) -> str:
        """Names folders of band keys."""
        return f"bands-{short_key([self.near.signature_identity(), BANDS_FORMAT])}"


@dataclass(frozen=True)
class ColumnRange:
    """What lies beside a ledger for one key range. digest: of its done-record."""

    folder: Path
    keys: KeyRange
    digest: str


class Group:
    """A group of input files: its ledger, and the key ranges that are tokenized."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.record = read_done(self.ledger)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """path, size, mtime_ns, inode, etag, sha256 of each file, in the order of the ledger's `file` column."""
        return list(self.record["inputs"])

    @property
    def segment_rows(self) -> list[int]:
        """Documents of each segment."""
        return list(self.record["segments"])

    def ranges(self, rule: Rule) -> list[ColumnRange]:
        """Published folders of a rule, in key order.

        Raises:
            ManifestError: one is damaged, or was made for another ledger than the group has now.
        """
        found = []
        for folder in self.folder.glob(f"{rule.folders}-*"):
            low, high = (int(part, 16) for part in folder.name.split("-")[-2:])
            if is_done(folder):
                record = read_done(folder)
                if record["ledger"] != self.record["digest"]:
                    raise ManifestError(f"{folder}: made for a ledger that is no longer there; delete the group {self.folder}, build again")
                found.append(ColumnRange(folder, (low, high), record["digest"]))
        return sorted(found, key=lambda item: item.keys)

    def missing(self, rule: Rule, wanted: KeyRange) -> list[KeyRange]:
        """Key ranges of `wanted` that a rule has no folder for yet."""
        return missing_ranges(wanted, [item.keys for item in self.ranges(rule)])


def range_folder(rule: Rule, keys: KeyRange) -> str:
    """Name of a rule's folder of a key range."""
    return folder_name(rule.folders, keys)


def folder_name(folders: str, keys: KeyRange) -> str:
    """Name of the folder of a key range; bounds in hex, 17 digits since the upper one may be 2^64. folders: see `Rule`."""
    return f"{folders}-{keys[0]:017x}-{keys[1]:017x}"


def group_name(files: Sequence[InputFile]) -> str:
    """A name that depends on which files are read together, and on their state."""
    states = [[file.path, file.size, file.mtime_ns, file.inode, file.etag, file.sha256] for file in files]
    return short_key([state if file.local else [*state, file.url] for state, file in zip(states, files, strict=True)])


class Store:
    """A store folder, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identity = {"format": STORE_FORMAT, "salt": SALT.decode()}
        if (folder / "store.json").exists():
            if (found := read_json(folder / "store.json")) != identity:
                raise ManifestError(f"{folder}: a store of {found}, this version reads {identity}; choose another --store")
            return
        made_by_others = ("store.json", "lock")  # another builder may be making the same store at this moment
        if folder.exists() and any(not path.name.startswith(".") and path.name not in made_by_others for path in folder.iterdir()):
            raise RecipeError(f"{folder}: not empty and not a store (no store.json); choose another --store")
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
        return [Group(path) for path in sorted(folder.glob("[0-9a-f]*")) if is_done(path / "ledger")]

    def frozen(self, definition: SourceDefinition) -> SourceDefinition:
        """The definition at the commit that its revision meant when this store first met it.

        So two mixes of one store are of one version of a source, even if its branch has moved between them; delete the source's
        `revision.json` to take the newer version.

        Raises:
            RecipeError: the definition is published nowhere. InputError: the hub does not answer.
        """
        from pipeline.inputs.hub import resolve_commit

        record = self.source_folder(definition) / "revision.json"
        repo, revision = definition.repository
        asked = {"repo": repo, "revision": revision}
        known = read_json(record) if record.exists() else {}
        if any(known.get(name) != value for name, value in asked.items()):
            known = {**asked, "commit": resolve_commit(definition)}
            record.parent.mkdir(parents=True, exist_ok=True)
            write_json(record, known)
        return definition.model_copy(update={"revision": known["commit"]})

    def work_folder(self) -> Path:
        """Plans of stages and logs of their tasks."""
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        return folder

    def sweep(self) -> None:
        """Remove what stopped tasks left half-written; only under the lock, when no task is running."""
        for folder in ("sources/*/*", "select/*", "scores/*/*", "near/*", "near/*/*"):
            for left in self.folder.glob(f"{folder}/.*.tmp"):
                shutil.rmtree(left)
        for texts in self.folder.glob("sources/*/*/texts-*"):  # whose deletion was begun
            if not is_done(texts):
                shutil.rmtree(texts)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store against other builders on this machine or a shared file system; a holder that dies lets go."""
        with locked(self.folder / "lock", f"store {self.folder}"):
            yield


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting for another holder, who is named."""
    with _acquired(path, what) as file:
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


@contextmanager
def _acquired(path: Path, what: str) -> Iterator[TextIO]:
    """The locked file. A holder may delete it when it is done, so what was waited for may be no longer the file at the path.

    The lock is the process's own (POSIX), so that no helper process that a killed builder leaves behind goes on holding it.
    """
    told = False
    while True:
        with path.open("a+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                file.seek(0)
                if not told:
                    say(f"waiting for the {what}, held by process {file.read().strip() or 'unknown'}")
                    told = True
                fcntl.lockf(file, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return
