"""Builds on a real Slurm: whatever happens to its jobs, no document is lost or doubled, and the
bytes are those of a local build.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError, RecipeError, SupplyError
from mixtures.mix import manifest as manifests
from pipeline.commands.slurm.commands import cancel, give, rehearse
from pipeline.commands.slurm.request import Asked
from pipeline.commands.store.store import collect
from pipeline.executors.slurm import client
from pipeline.executors.slurm.profile import Profile, load_profile
from pipeline.inputs import survey
from tests.pipeline.corpus import (
    contents,
    make,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)
from tests.slurm.cluster import Given, kill_worker, slurm, until

pytestmark = pytest.mark.slurm
SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 4, "keys": [0, 0.8]}}
FILES = 5  # groups of input files, so that the ingest needs two arrays

CHUNK_BYTES = 4096  # of 12 kB of tokens: two slices


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files; documents of `a` are among those of `b`."""
    folder = tmp_path_factory.mktemp("slurm") / "data"
    texts = prose(21, 120)
    write_files(folder, "a", sharded(texts, 1))
    write_files(folder, "b", sharded([*prose(22, 400), *texts[:20]], FILES - 1))
    return folder


@pytest.fixture(scope="module")
def local(data: Path) -> Path:
    """The mix as one process of this machine builds it."""
    work = data.parent / "local"
    make(recipe(work), work, data, chunk_bytes=CHUNK_BYTES)
    return work / "out"


@pytest.fixture(autouse=True)
def _small_groups(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "GROUP_BYTES", (1, 1))


def recipe(work: Path, **more: Any) -> Path:
    """The recipe of all tests here."""
    return write_recipe(work / "recipes", SOURCES, budget={"tokens": 6_001}, **more)


def holds(found: Path, local: Path) -> None:
    """The same bytes and identity as the local build; every document once and from one row."""
    assert contents(found) == contents(local)
    assert manifests.load(found)["identity"] == manifests.load(local)["identity"]
    documents = read_mix(found)
    assert len(
        {(document.source, document.digest, document.epoch) for document in documents}
    ) == len(documents)


def stages(build: Given) -> list[dict[str, Any]]:
    """The stages that were submitted."""
    record = build.chain.record
    assert record is not None
    return [stage.as_json() for stage in record.stages]


def given(tmp_path: Path, data: Path, profile: dict[str, Any] | None = None) -> Given:
    return Given.of(recipe(tmp_path), tmp_path, data, profile, chunk_bytes=CHUNK_BYTES)


def test_a_chain_builds_the_mix_that_one_process_builds(tmp_path, data, local):
    build = given(tmp_path, data)
    holds(build.finish(), local)
    # the single unit of select is done by the job that goes on
    assert [stage["stage"] for stage in stages(build)] == ["ingest", "write"]
    assert (stages(build)[0]["units"], len(stages(build)[0]["jobs"])) == (FILES, 2)
    status = build.status()
    assert status.message == manifests.names(manifests.load(local))
    for stage in status.stages:  # the notes of the last went with their folder
        assert (stage.units_done, stage.done, stage.failed) == (stage.units, stage.tasks, 0)
    build.launch()  # there is nothing left to do
    assert build.status().state == "finished"


def test_a_single_unit_that_needs_another_node_is_a_job_of_its_own(tmp_path, data, local):
    build = given(tmp_path, data, {"stages": {"select": {"memory": "150M"}}})
    holds(build.finish(), local)
    assert [stage["stage"] for stage in stages(build)] == ["ingest", "select", "write"]


def test_a_killed_element_stops_the_chain_and_the_same_command_repairs_it(tmp_path, data, local):
    build = given(tmp_path, data, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    victim = until(
        lambda: next((job for job in client.queued("annealmix") if job.state == "RUNNING"), None)
    )
    killed = f"{victim.job}_{victim.element}"
    slurm("scancel", "--signal=KILL", "--full", killed)
    until(lambda: killed not in [f"{job.job}_{job.element}" for job in client.queued("annealmix")])
    (tmp_path / "go").touch()
    status = build.follow()
    assert (status.state, status.exit_code) == ("stopped", 1)
    assert status.stages[0].failed == 1
    assert "killed" in status.message
    assert not build.request.out.exists()
    again = replace(build, profile=Profile(memory="100M"))
    again.launch()
    assert stages(again)[0]["units"] == FILES - status.stages[0].units_done > 0
    assert again.follow().state == "finished"
    holds(build.request.out, local)


def test_every_array_must_end_well_before_the_next_stage_begins(tmp_path, data, local):
    """The stock executor waits for the last array alone: what an earlier one lost stays lost."""
    build = given(
        tmp_path,
        data,
        {
            "setup": [
                f'test "$SLURM_ARRAY_TASK_ID" != 0 || test "$1" != 0 || test -e {tmp_path}/mended'
            ]
        },
    )
    build.launch()
    status = build.follow()
    assert status.state == "stopped"
    assert [stage.stage for stage in status.stages] == ["ingest"]
    assert (status.stages[0].units_done, status.stages[0].failed) == (FILES - 1, 1)
    assert not build.request.out.exists()
    (tmp_path / "mended").touch()
    holds(build.finish(), local)


def test_a_failed_task_says_why_and_names_its_log(tmp_path, data):
    own = tmp_path / "data"
    shutil.copytree(data, own)
    build = Given.of(
        recipe(tmp_path),
        tmp_path,
        own,
        {"setup": [f"while test ! -e {tmp_path}/damaged; do sleep 0.1; done"]},
    )
    build.launch()
    path = next((own / "b").iterdir())
    path.write_bytes(path.read_bytes()[:-40])
    (tmp_path / "damaged").touch()
    status = build.follow()
    assert (status.state, status.stages[0].failed) == ("stopped", 1)
    assert path.name in status.message
    log = Path(status.message.rpartition("its log: ")[2].strip())
    assert path.name in log.read_text()


def test_a_line_of_the_profile_that_fails_is_shown(tmp_path, data):
    build = given(tmp_path, data, {"setup": ["no-such-command --of mine"]})
    build.launch()
    status = build.follow()
    assert (status.state, status.exit_code) == ("stopped", 1)
    assert "no-such-command: command not found" in status.message
    assert "setup[0] of the profile: exit code 127" in status.message


def test_a_build_that_is_cancelled_ends_and_is_given_again(tmp_path, data, local, capfd):
    build = given(tmp_path, data, {"setup": ["sleep 600"]})
    build.launch()
    until(lambda: any(job.state == "RUNNING" for job in client.queued("annealmix")))
    assert cancel(build.request, json=False) == 0
    assert build.chain.jobs() == []
    status = build.status()
    assert (status.state, status.exit_code, status.jobs) == ("cancelled", 1, 0)
    assert (status.stages[0].cancelled, status.stages[0].failed) == (status.stages[0].tasks, 0)
    assert "jobs cancelled" in capfd.readouterr().err
    assert cancel(build.request, json=True) == 0  # nothing is left to cancel
    assert "no job to cancel" in capfd.readouterr().err
    holds(replace(build, profile=Profile(memory="100M")).finish(), local)


def test_a_rehearsal_submits_nothing_and_tells_the_arrays_that_are_submitted(
    tmp_path, data, local, capfd
):
    profile = tmp_path / "profile.yaml"
    apart = "{select: {memory: 150M}, write: {memory: 200M}}"
    profile.write_text(f"memory: 100M\ntime: '10'\ntasks: 5\nstages: {apart}\n")
    build = replace(given(tmp_path, data), profile=load_profile(profile))
    capfd.readouterr()
    assert rehearse(build.asked, profile, json=True) == 0
    rows = {row["stage"]: row for row in json.loads(capfd.readouterr().out)}
    assert client.queued("annealmix") == []
    assert build.chain.record is None
    assert not build.request.store.exists()
    assert not build.request.out.exists()
    holds(build.finish(), local)
    told = {
        name: (row["units"], row["tasks"], row["arrays"])
        for name, row in rows.items()
        if name in ("ingest", "select")  # the slices of this build are smaller than a plan's
    }
    assert told == {
        stage["stage"]: (stage["units"], stage["tasks"], len(stage["jobs"]))
        for stage in stages(build)[:2]
    }
    assert list(rows) == ["ingest", "select", "write", "conduct"]
    assert {name: row["memory"] for name, row in rows.items()} == {
        "ingest": "100M",
        "select": "150M",
        "write": "200M",
        "conduct": "100M",
    }
    assert {row["time_limit"] for row in rows.values()} == {"10"}
    profile.write_text("memory: 100M\n")
    assert rehearse(build.asked, profile, json=True) == 0
    rows = {row["stage"]: row for row in json.loads(capfd.readouterr().out)}
    assert {name: row["units"] for name, row in rows.items()} == {"ingest": FILES, "conduct": 1}


def test_a_relaunch_while_jobs_are_queued_is_refused_and_harms_nothing(tmp_path, data, local):
    build = given(tmp_path, data, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    before = (build.chain.folder / "chain.json").read_bytes()
    elsewhere = Asked(replace(build.request, out=tmp_path / "other"))
    for other in (build, replace(build, asked=elsewhere)):
        with pytest.raises(RecipeError, match=r"jobs that .* submitted are building .*scancel \d+"):
            other.launch()
    with pytest.raises(RecipeError, match="jobs that"):
        make(recipe(tmp_path), tmp_path, data, out="here")
    with pytest.raises(RecipeError, match="jobs that"):
        make(recipe(tmp_path), tmp_path, data, store="another-store")
    with pytest.raises(RecipeError, match="jobs that"):
        collect(build.request.store, as_json=False)
    assert (build.chain.folder / "chain.json").read_bytes() == before
    (tmp_path / "go").touch()
    assert build.follow().state == "finished"
    holds(build.request.out, local)


def test_another_number_of_tasks_after_a_partial_run_doubles_nothing(tmp_path, data, local):
    build = given(
        tmp_path,
        data,
        {"tasks": 3, "setup": [f'test "$SLURM_ARRAY_TASK_ID" != 1 || test -e {tmp_path}/mended']},
    )
    build.launch()
    assert build.follow().state == "stopped"
    (tmp_path / "mended").touch()
    again = replace(build, profile=Profile(memory="100M", tasks=2))
    holds(again.finish(), local)


def test_a_node_that_goes_down_gives_its_tasks_to_another(cluster, tmp_path, data, local):
    build = given(tmp_path, data, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    until(lambda: "n1" in slurm("squeue", "--noheader", "--format=%N", "--states=RUNNING"))
    slurm("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test")
    try:
        (tmp_path / "go").touch()
        # a requeued job waits for two minutes, which a test need not
        until(lambda: _hurried() and build.status().state != "queued")
        assert build.status().state == "finished", build.explain(build.status())
        holds(build.request.out, local)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # it came back by itself
            slurm("scontrol", "update", "NodeName=n1", "State=RESUME")


def _hurried() -> bool:
    """Let jobs that were requeued begin at once."""
    for job in client.queued("annealmix"):
        if job.reason == "BeginTime":
            element = f"_{job.element}" if job.element.isdigit() else ""
            with contextlib.suppress(subprocess.CalledProcessError):  # it has begun meanwhile
                slurm("scontrol", "update", f"JobId={job.job}{element}", "StartTime=now")
    return True


def test_a_killed_conductor_stops_the_chain_and_the_same_command_goes_on(tmp_path, data, local):
    build = given(tmp_path, data, {"stages": {"conduct": {"tasks": 1}}, "setup": ["sleep 1"]})
    build.launch()
    until(lambda: kill_worker(f"worker conduct {build.chain.folder}"))
    assert build.follow().state == "stopped"
    holds(build.finish(), local)


def test_a_recipe_that_changes_while_jobs_wait_is_refused(tmp_path, data):
    build = given(tmp_path, data, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    file = tmp_path / "recipes" / "mix.yaml"
    file.write_text(file.read_text().replace("6001", "6002"))
    (tmp_path / "go").touch()
    status = build.follow()
    assert (status.state, status.exit_code) == ("failed", 6)
    assert "changed since the build was submitted" in status.message


def test_a_plan_that_is_changed_on_its_way_is_refused_by_the_task(tmp_path, data):
    build = given(tmp_path, data, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    plan = Path(stages(build)[0]["folder"]) / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "units": []}))
    (tmp_path / "go").touch()
    status = build.follow()
    assert status.state == "stopped"
    assert "not the plan that this task was given" in status.message


def test_a_supply_that_is_short_ends_the_chain_with_its_exit_code(tmp_path, data):
    path = write_recipe(tmp_path / "recipes", SOURCES, budget={"tokens": 60_000_001})
    build = Given.of(path, tmp_path, data)
    build.launch()
    status = build.follow()
    assert (status.state, status.exit_code) == ("failed", 5)
    assert not build.request.out.exists()


def test_a_build_that_cannot_work_is_refused_before_a_job_is_submitted(tmp_path, data):
    path = write_recipe(tmp_path / "recipes", SOURCES, budget={"tokens": 60_000_001})
    build = Given.of(path, tmp_path, data)
    with pytest.raises(SupplyError):
        give(build.asked, None, wait=True)
    assert build.chain.record is None


def test_a_launch_from_inside_a_job_is_no_other(tmp_path, data, local, monkeypatch):
    for name, value in {
        "SLURM_JOB_ID": "1",
        "SLURM_ARRAY_TASK_ID": "3",
        "SBATCH_ARRAY_INX": "0-9",
        "SBATCH_PARTITION": "none",
    }.items():
        monkeypatch.setenv(name, value)
    holds(given(tmp_path, data).finish(), local)


def test_a_refused_submission_leaves_no_job(tmp_path, data):
    build = given(tmp_path, data, {"stages": {"conduct": {"partition": "nowhere"}}})
    with pytest.raises(AnnealmixError, match="partition"):
        build.launch()
    until(lambda: not client.queued("annealmix"))
    assert not build.request.out.exists()


def test_no_pickle_is_written(tmp_path, data, local):
    build = given(tmp_path, data)
    build.finish()
    names = {Path(folder, file) for folder, _, files in os.walk(tmp_path) for file in files}
    assert not [path for path in names if path.suffix in (".pik", ".pkl", ".pickle")]
