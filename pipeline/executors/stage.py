"""A stage: a frozen plan of units, and the datatrove step that does a rank's share of them.

The plan is a JSON file beside the logs of its tasks; a step holds nothing but the plan's path and
hash, so no user data is pickled and a node that does a task reads exactly what was planned. Units
are independent and leave done-records; which rank does a unit, and how many ranks there are, is of
no consequence.
"""

from __future__ import annotations

import builtins
import json
import shutil
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from datatrove.pipeline.base import PipelineStep
from typing_extensions import Self

from mixtures.errors import AnnealmixError, ManifestError
from pipeline.executors.limits import raise_open_files
from pipeline.executors.server import MODULES
from pipeline.store.records import Frozen, canonical_json, is_done, read_done, write_whole

_IN_HAND = "in-hand"


class Unit(Frozen):
    """What a task does at once. Units are independent of each other."""


class PartitionUnit(Unit):
    """A partition of keys."""

    partition: int


U = TypeVar("U", bound=Unit)


class Plan(Frozen, Generic[U]):
    """What a stage is to do, and all that it must know."""

    units: tuple[U, ...] = ()
    folder: Path | None = None
    """Where all units leave their results, if that is one place."""

    def having(self, units: Iterable[U]) -> Self:
        """The same plan with these units."""
        return self.model_copy(update={"units": tuple(units)})


P = TypeVar("P", bound=Plan[Any])


class Stage(PipelineStep, Generic[P, U]):  # type: ignore[misc]  # datatrove publishes no types
    """Base of the stages. Subclasses do one unit of their plan, and say what it leaves."""

    type = "annealmix"
    # whether units write parts of shared files, so that a record alone does not say that what it
    # lists is still there
    in_place = False
    task_bytes: ClassVar[int] = 1_000_000_000
    """Memory that a task may need, at the sizes in which its stage shares out work; 0.4 GB of it
    are what it imports.
    """

    plan_type: builtins.type[P]  # `type` is datatrove's name of a step's kind

    def __init__(self, plan: Path, digest: str) -> None:
        super().__init__()
        self.plan_path = plan
        self.digest = digest

    def run(self, data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[None]:
        """Do units rank, rank + world_size, ... of the plan. Yields nothing: a stage's results are
        its published folders.
        """
        plan = self._begun
        note = in_hand(self.plan_path.parent, rank)
        note.parent.mkdir(exist_ok=True)
        for unit in plan.units[rank::world_size]:
            note.write_text(self.describe(unit), "utf-8")
            with self.track_time("unit"):
                self._do(plan, unit)
        note.unlink(missing_ok=True)
        yield from ()

    @cached_property
    def _begun(self) -> P:
        """The plan, read and checked; all that units need is there. Once, however many ranks a
        process does of it: a store may have ten thousand folders.
        """
        raise_open_files()
        plan = self.read_plan()
        self.prepare(plan)
        self._check(self.upstream(plan))
        return plan

    def _do(self, plan: P, unit: U) -> None:
        """Do a unit, and name it in errors that do not say where they happened."""
        try:
            self.do(plan, unit)
        except (AnnealmixError, OSError):
            raise
        except MemoryError:
            raise AnnealmixError(
                f"{self.name}: {self.describe(unit)}: out of memory; start the same command again"
                " (what is done stays done), with fewer --workers"
            ) from None
        except Exception as error:
            raise RuntimeError(f"{self.name} failed at {self.describe(unit)}") from error

    def read_plan(self) -> P:
        """Read the plan, refusing one that is not the one that was frozen."""
        content = self.plan_path.read_bytes()
        if sha256(content).hexdigest() != self.digest:
            raise ManifestError(
                f"{self.plan_path}: not the plan that this task was given (sha256 {self.digest});"
                " start the build again"
            )
        return self.plan_type.model_validate(json.loads(content))

    def prepare(self, plan: P) -> None:
        """Load what every unit needs: once a process, however many ranks it does."""

    def upstream(self, plan: P) -> Mapping[Path, str]:
        """Folders of earlier stages that units read, with the digest of their record, or "" where
        the plan does not say.

        It is asked after `prepare`.
        """
        return {}

    def _check(self, folders: Mapping[Path, str]) -> None:
        """Hold each folder against the plan, before the first unit is begun: a node may see an
        older disk than the one that planned.

        Raises:
            ManifestError: one is missing or truncated, or was made again since.
        """
        for folder, digest in folders.items():
            if read_done(folder)["digest"] != digest and digest:
                raise ManifestError(
                    f"{folder}: made again since {self.name} was planned; start the build again"
                )

    @abstractmethod
    def do(self, plan: P, unit: U) -> None:
        """Do one unit, or nothing if it is done already."""

    @staticmethod
    @abstractmethod
    def outputs(plan: P, unit: U) -> list[Path]:
        """What a unit publishes, or has published before."""

    @staticmethod
    @abstractmethod
    def describe(unit: U) -> str:
        """A unit in words, for whoever must find out why it failed."""

    @classmethod
    def useful_workers(cls, plan: P) -> int:
        """Processes of one machine beyond which another takes longer to start than it saves."""
        return len(plan.units)

    @classmethod
    def is_done(cls, plan: P, unit: U) -> bool:
        """Whether each output of a unit has its done-record."""
        return all(map(is_done, cls.outputs(plan, unit)))

    @classmethod
    def num_done(cls, plan: P) -> int:
        """Units of a plan that are done."""
        return sum(cls.is_done(plan, unit) for unit in plan.units)


StageClass = type[Stage[Any, Any]]


def freeze(folder: Path, plan: Plan[Any]) -> tuple[Path, str]:
    """Write a plan below `folder` (made when missing). Returns its path and sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    content = canonical_json(plan.as_json())
    write_whole(folder / "plan.json", content)
    return folder / "plan.json", sha256(content).hexdigest()


def in_hand(folder: Path, rank: int) -> Path:
    """File beside a plan that says in words which unit a task is doing; it stays when the task
    fails or is killed.
    """
    return folder / _IN_HAND / f"{rank:05d}"


def forget(folder: Path, *names: str) -> None:
    """Delete what earlier tasks left beside a plan: at which units they were, and folders of these
    names.
    """
    for name in (_IN_HAND, *names):
        shutil.rmtree(folder / name, ignore_errors=True)


def stage_named(name: str) -> StageClass:
    """A stage's class. Only its own module is imported: a task starts in half the time."""
    members = vars(import_module(MODULES[name.partition("-")[0]])).values()
    return next(
        item
        for item in members
        if isinstance(item, type) and issubclass(item, Stage) and item.name == name
    )
