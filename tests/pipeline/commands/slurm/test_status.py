"""What --status says of a stage, from the notes that its tasks left and the jobs that Slurm
knows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import ManifestError
from pipeline.commands.slurm.status import Status, follow, status_of
from pipeline.executors.slurm import client, package
from pipeline.executors.slurm.chain import Chain
from pipeline.executors.stage import stage_named
from pipeline.store.records import write_json


@pytest.fixture(autouse=True)
def named_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "cluster_name", lambda: "tests")


def noted(tmp_path: Path, *ended: dict[str, Any]) -> Chain:
    """A chain whose one stage has two tasks, of which some have ended."""
    folder = tmp_path / "store" / "work" / "select-x"
    (folder / "slurm" / "ended").mkdir(parents=True)
    for item in ended:
        write_json(
            folder / "slurm" / "ended" / f"{item['rank']:06d}.json",
            {"host": "n1", "message": "", "exit_code": 0, **item},
        )
    units = [{"partition": number} for number in range(2)]
    plan = {"folder": str(tmp_path / "select"), "units": units, "partitions": len(units)}
    plan |= dict.fromkeys(("sources", "filters", "counts", "scores"), ())
    plan |= {"decontaminate": None, "near": None, "shrink": False, "copies": False}
    write_json(folder / "plan.json", plan)
    found = Chain.of(tmp_path / "store", tmp_path / "out")
    found.begin({"out": str(tmp_path / "out")}, "x")
    found.add(stage_named("select"), folder, tasks=2, units=2, jobs=["7"], conductor="8")
    return found


def looked(found: Chain, monkeypatch: pytest.MonkeyPatch, *jobs: client.Job) -> Status:
    monkeypatch.setattr(client, "queued", lambda name, user=None: list(jobs))
    return status_of(found)


def test_a_task_that_is_requeued_is_no_failed_one(tmp_path, monkeypatch):
    told = {"rank": 1, "job": "7_1", "began": 9, "seconds": 1, "exit_code": 1}
    found = noted(tmp_path, told, {"rank": 0, "job": "7_0", "began": 9, "seconds": 1})
    (stage,) = looked(
        found, monkeypatch, client.Job("7", "1", "x-select", "PENDING", "BeginTime")
    ).stages
    assert (stage.waiting, stage.running, stage.done, stage.failed) == (1, 0, 1, 0)


def test_a_node_whose_clock_is_ahead_gives_no_negative_throughput(tmp_path, monkeypatch):
    found = noted(
        tmp_path, {"rank": 0, "job": "7_0", "began": int(time.time()) + 900, "seconds": 1}
    )
    (stage,) = looked(
        found, monkeypatch, client.Job("7", "1", "x-select", "RUNNING", "None")
    ).stages
    assert stage.seconds == 0


def test_units_of_a_stage_whose_folder_is_gone_are_not_said_to_be_done(tmp_path, monkeypatch):
    found = noted(tmp_path)
    (tmp_path / "store" / "work" / "select-x" / "plan.json").unlink()
    shown = looked(found, monkeypatch)
    assert (shown.state, shown.stages[0].units_done) == ("stopped", 0)


def test_a_build_whose_next_step_was_killed_names_that_log(tmp_path, monkeypatch):
    found = noted(
        tmp_path, *({"rank": rank, "job": f"7_{rank}", "began": 9, "seconds": 1} for rank in (0, 1))
    )
    (found.folder / "conduct-8.out").touch()
    assert f"its log: {found.folder / 'conduct-8.out'}" in looked(found, monkeypatch).message


def test_a_damaged_record_ends_the_waiting(tmp_path, monkeypatch):
    found = noted(tmp_path)
    path = found.folder / "chain.json"
    path.write_bytes(path.read_bytes().replace(b"queued", b"finished"))
    with pytest.raises(ManifestError, match=r"chain\.json"):
        follow(found, sleep=lambda _: pytest.fail("waits for a record that mends itself"))


def test_a_job_that_a_younger_one_follows_leaves_the_build_to_it(tmp_path, monkeypatch):
    found, cancelled = noted(tmp_path), list[str]()
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    monkeypatch.setattr(client, "cancel", lambda jobs: cancelled.extend(jobs))
    named = {"8": "conduct", "5": "conduct", "9": "select", "10": "conduct"}
    mine, older, task, younger = (
        client.Job(job, "N/A", f"x-{name}", "PENDING", "") for job, name in named.items()
    )
    for jobs, answer in (
        ([mine], None),
        ([mine, older], None),
        ([mine, task, younger], "10"),
        ([mine, younger], "10"),
    ):
        monkeypatch.setattr(client, "queued", lambda name, user=None, jobs=jobs: jobs)
        assert found.younger() == answer
    assert not cancelled
    answers = iter(([mine, task], [mine, task], [mine, task], [mine]))
    monkeypatch.setattr(client, "queued", lambda name, user=None: next(answers))
    assert found.younger(sleep=lambda _: None) is None
    assert cancelled == ["9"]


def test_other_code_at_the_same_place_is_another_package(tmp_path, monkeypatch):
    submitted = package.package()
    package.refuse_other_package(submitted)
    for name in ("pipeline", "mixtures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("VERSION = 1\n")
        monkeypatch.setattr(f"{name}.__file__", str(tmp_path / name / "__init__.py"))
    submitted = package.package()
    package.refuse_other_package(submitted)
    (tmp_path / "mixtures" / "__init__.py").write_text("VERSION = 2\n")
    with pytest.raises(ManifestError, match="this is the code that the job found"):
        package.refuse_other_package(submitted)
