"""The record of a build on the cluster, in STORE/work/chain-KEY; KEY is of the output's place.

    request.json   what the build was asked, frozen
    chain.json     how far it is: stages with their jobs, and how it ended
    trusted.json   folders of the store that this build wrote or verified
    conduct-*.out  what the jobs printed that go on with the build

Slurm itself says which jobs are waiting or running: they are found by their name, so that a
submission whose record was lost is found, too. A chain is busy as long as one is; nobody else may
then write to its store or its output, beside which `.NAME.chain` names the chain.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from pipeline.executors.slurm import client
from pipeline.executors.stage import Plan, StageClass, Unit
from pipeline.store.records import (
    Frozen,
    Record,
    canonical_json,
    is_done,
    read_json,
    read_record,
    write_json,
    write_record,
    write_whole,
)
from pipeline.store.rules import short_key

_PREFIX = "chain-"
CONDUCT = "conduct"  # how the names of jobs end that go on with a build
_END_SECONDS = 300  # cancelled jobs that Slurm still lists after that do not end
FINISHED, FAILED, QUEUED, CANCELLED = "finished", "failed", "queued", "cancelled"


class SubmittedStage(Frozen):
    """A stage that was given to Slurm."""

    stage: str
    folder: Path
    """Of its plan, logs and notes."""
    tasks: int
    units: int
    jobs: tuple[str, ...]
    """Ids of its arrays."""
    conductor: str
    """Id of the job that goes on after it."""
    submitted: str
    """When: ISO 8601, UTC."""


class ChainRecord(Record):
    """How far a build on the cluster is."""

    state: str
    name: str
    """What the names of its jobs begin with."""
    holder: str
    """Who submitted them, and where."""
    uid: int
    out: Path
    cluster: str = ""
    """Whose Slurm has its jobs; empty where it has no name."""
    stages: tuple[SubmittedStage, ...]
    exit_code: int = 0
    message: str = ""
    """How it ended, when it has."""


@dataclass(frozen=True)
class Chain:
    """The record of one build."""

    folder: Path

    @classmethod
    def of(cls, store: Path, out: Path) -> Chain:
        """The chain that builds a mix at `out`, whether there is one or not."""
        return cls(store / "work" / f"{_PREFIX}{short_key(str(out))}")

    @property
    def key(self) -> str:
        """Names the jobs."""
        return self.folder.name.removeprefix(_PREFIX)[:8]

    @property
    def record(self) -> ChainRecord | None:
        """What is noted of it; None if there never was a chain.

        Raises:
            ManifestError: it is damaged.
        """
        path = self.folder / "chain.json"
        return ChainRecord.model_validate(read_record(path)) if path.exists() else None

    def begin(self, request: Mapping[str, object], job_name: str) -> str:
        """Freeze a request and open the record. Returns the request's hash."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = canonical_json(request)
        write_whole(self.folder / "request.json", content)
        (self.folder / "trusted.json").unlink(missing_ok=True)
        holder = f"{getpass.getuser()} on {os.uname().nodename}"
        record = ChainRecord(
            state=QUEUED,
            name=f"{job_name}-{self.key}-",
            holder=holder,
            uid=os.geteuid(),
            out=Path(str(request["out"])),
            cluster=client.cluster_name(),
            stages=(),
        )
        self._write(record)
        marker = _marker(record.out)
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_whole(marker, str(self.folder).encode())
        return sha256(content).hexdigest()

    def request(self, digest: str) -> dict[str, Any]:
        """The frozen request.

        Raises:
            ManifestError: it is not the one with this sha256.
        """
        path = self.folder / "request.json"
        request = read_json(path)
        if sha256(path.read_bytes()).hexdigest() != digest:
            raise ManifestError(
                f"{path}: not the request that this job was given (sha256 {digest}); give the"
                " command again"
            )
        return dict(request)

    def refuse_other(self, request: Mapping[str, object]) -> None:
        """Refuse to take the build that jobs are doing for the one that is asked, if they differ in
        more than the profile.

        Raises:
            RecipeError: in what.
        """
        frozen = read_json(self.folder / "request.json")
        different = sorted(
            name
            for name, value in request.items()
            if name != "profile" and frozen.get(name) != value
        )
        if different:
            raise RecipeError(
                f"{request['out']}: jobs build something else there ({', '.join(different)} differ"
                " from this command); wait for them with the command that submitted them, or"
                f" cancel them: scancel {' '.join(sorted({job.job for job in self.jobs()}))}"
            )

    def add(
        self,
        stage: StageClass,
        folder: Path,
        *,
        tasks: int,
        units: int,
        jobs: Sequence[str],
        conductor: str,
    ) -> None:
        """Note a stage that was submitted."""
        record = self._read()
        submitted = SubmittedStage(
            stage=stage.name,
            folder=folder,
            tasks=tasks,
            units=units,
            jobs=tuple(jobs),
            conductor=conductor,
            submitted=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        stages = (*record.stages, submitted)
        self._write(record.model_copy(update={"stages": stages, "state": QUEUED}))

    def end(self, state: str, exit_code: int, message: str) -> None:
        """Note how the build ended."""
        record = self._read()
        ended = {"state": state, "exit_code": exit_code, "message": message}
        self._write(record.model_copy(update=ended))
        _marker(record.out).unlink(missing_ok=True)

    def jobs(self) -> list[client.Job]:
        """Its jobs that are waiting or running.

        Raises:
            AnnealmixError: Slurm does not answer, or is that of another cluster, which knows
                nothing of them.
        """
        record = self.record
        if record is None:
            return []
        if record.cluster and (here := client.cluster_name()) != record.cluster:
            raise AnnealmixError(
                f"its jobs are of cluster {record.cluster}, and Slurm is here that of"
                f" {here or 'no name'} (SLURM_CONF)"
            )
        return client.queued(record.name, record.uid)

    def cancel(self) -> None:
        """Cancel its jobs but the one that asks. They are found by their name: the answer to a
        submission may have been lost.

        Raises:
            AnnealmixError: Slurm does not answer.
        """
        client.cancel(sorted({job.job for job in self.jobs()} - {os.environ.get("SLURM_JOB_ID")}))

    def stop(self, sleep: Callable[[float], None] = time.sleep) -> int:
        """Cancel the whole build: all its jobs, also those that one of them submits meanwhile.
        Returns how many there were at first; when it returns, none is left, and the record says
        so.

        Raises:
            AnnealmixError: Slurm does not answer, or they do not end.
        """
        first = len(self.jobs())
        for _ in range(_END_SECONDS):
            if not self.jobs():
                break
            self.cancel()
            sleep(1)
        else:
            raise AnnealmixError(
                "its jobs were cancelled, and have not ended; see `squeue --me`, then give the"
                " command again"
            )
        if self._read().state == QUEUED:
            who = f"{getpass.getuser()} on {os.uname().nodename}"
            said = f"cancelled by {who}; the same command without --cancel submits what is missing"
            self.end(CANCELLED, 1, said)
        return first

    def younger(self, sleep: Callable[[float], None] = time.sleep) -> str | None:
        """In a job that goes on with the build: the job that was submitted after it to do so, if
        there is one.

        A job that was requeued when it had submitted a stage must neither submit it again nor sweep
        the store below its tasks. Tasks that nobody waits for, since it was killed between two
        submissions, are cancelled, and their end is waited for.

        Raises:
            AnnealmixError: Slurm does not answer, or they do not end.
        """
        own_job = int(os.environ["SLURM_JOB_ID"])
        for waited in range(_END_SECONDS):
            others = [job for job in self.jobs() if int(job.job) > own_job]
            conductors = [job.job for job in others if job.name.endswith(f"-{CONDUCT}")]
            if conductors or not others:
                return max(conductors, key=int, default=None)
            if waited == 0:
                self.cancel()
            sleep(1)
        raise AnnealmixError(
            f"jobs {', '.join(sorted({job.job for job in others}))}: cancelled, and have not ended;"
            " see `squeue --me`"
        )

    def trust(self, folders: set[Path]) -> None:
        """Remember folders whose contents this chain need not hash again."""
        write_json(self.folder / "trusted.json", sorted(map(str, folders)))

    def trusted(self) -> set[Path]:
        """Those folders, as far as they are there."""
        path = self.folder / "trusted.json"
        return {
            folder
            for folder in map(Path, read_json(path) if path.exists() else [])
            if is_done(folder)
        }

    def refuse_repeated(self, stage: StageClass, plan: Plan[Any]) -> None:
        """Units that the last jobs of this chain were to do are not submitted again by the chain
        itself: it would go round for ever.

        Raises:
            AnnealmixError: how many they are, and where their logs lie.
        """
        stages = self._read().stages
        if not stages or stages[-1].stage != stage.name:
            return
        last = stages[-1]
        repeated = _identities(plan) & _identities(
            stage.plan_type.model_validate(read_json(last.folder / "plan.json"))
        )
        if repeated:
            raise AnnealmixError(
                f"{stage.name}: its jobs have ended, but {len(repeated):,} of {last.units:,}"
                f" units are not done; logs are in {last.folder / 'slurm'}; the same command"
                " submits what is missing"
            )

    def _read(self) -> ChainRecord:
        record = self.record
        if record is None:
            raise ManifestError(
                f"{self.folder}: the record of this build is gone; give the command again"
            )
        return record

    def _write(self, record: ChainRecord) -> None:
        write_record(self.folder / "chain.json", record.as_json("digest"))


def _identities(plan: Plan[Any]) -> set[tuple[Path | None, Unit]]:
    """The units of a plan, so that those of two plans of a stage can be compared."""
    return {(plan.folder, unit) for unit in plan.units}


def _marker(out: Path) -> Path:
    return out.parent / f".{out.name}.chain"


def refuse_busy(store: Path | None, out: Path | None = None, mine: Path | None = None) -> None:
    """Refuse to change a store, or to build at a place, that jobs of a chain may be writing to.

    Args:
        store: None: it is only read. mine: folder of the chain that asks.

    Raises:
        RecipeError: who gave it to Slurm, for which mix, and how many jobs there are; or Slurm
            cannot be asked.
    """
    folders = set((store / "work").glob(f"{_PREFIX}*")) if store else set()
    for place in (out, out.parent) if out else ():  # the mixes of a study lie in a folder of all
        if (marker := _marker(place)).is_file():
            folders.add(Path(marker.read_text()))
    for folder in sorted(folders - {mine}):
        chain = Chain(folder)
        record = chain.record
        if record is None or record.state in (FINISHED, CANCELLED):  # no job of these is left
            continue
        failed = record.state == FAILED
        try:  # jobs of a failed build are cancelled, and are ending; the one that says so ends, too
            jobs = [
                job for job in chain.jobs() if not (failed and job.name.endswith(f"-{CONDUCT}"))
            ]
        except AnnealmixError as error:
            if failed:
                continue
            raise RecipeError(
                f"{folder}: {record.holder} gave {record.out} to Slurm, which cannot be asked"
                f" here whether its jobs have ended ({error}); ask where it can be, or delete that"
                " folder if they have"
            ) from None
        if jobs:
            raise RecipeError(
                f"{folder}: {len(jobs):,} jobs that {record.holder} submitted are building"
                f" {record.out} with this store or place; wait for them (--status, --wait), or"
                f" cancel them: scancel {' '.join(sorted({job.job for job in jobs}))}"
            )
