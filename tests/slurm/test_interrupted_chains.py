"""Chains hit between two steps: a job requeued when it had done its part, an answer lost, a folder
deleted, another user's jobs.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from pipeline.build.build import build as build_here
from pipeline.commands.slurm.commands import give
from pipeline.commands.slurm.conduct import conduct
from pipeline.commands.slurm.request import Asked
from pipeline.executors.slurm import client
from pipeline.executors.slurm.chain import FAILED
from pipeline.executors.slurm.executor import SlurmExecutor
from pipeline.executors.slurm.profile import Profile
from pipeline.inputs import survey
from pipeline.store.records import read_record, write_record
from tests.pipeline.corpus import contents, make, prose, sharded, write_files, write_recipe
from tests.slurm.cluster import MAX_ARRAY_SIZE, Given, slurm, until

pytestmark = pytest.mark.slurm
FILES = 5
NOBODY = 65534


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files, each read by a task of its own."""
    folder = tmp_path_factory.mktemp("slurm") / "data"
    write_files(folder, "a", sharded(prose(31, 300), FILES))
    return folder


@pytest.fixture(scope="module")
def local(data: Path) -> Path:
    """The mix as one process builds it."""
    work = data.parent / "local"
    make(recipe(work), work, data)
    return work / "out"


@pytest.fixture(autouse=True)
def _small_groups(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "GROUP_BYTES", (1, 1))


def recipe(work: Path) -> Path:
    return write_recipe(work / "recipes", {"a": {"weight": 1}}, budget={"tokens": 2_001})


def given(work: Path, data: Path, *setup: str, **profile: Any) -> Given:
    return Given.of(recipe(work), work, data, {"setup": list(setup), **profile})


def held(work: Path, stage: str) -> str:
    """A line of setup that holds the tasks of a stage until there is a file `go`."""
    return f'while test "${{SLURM_JOB_NAME##*-}}" = {stage} -a ! -e {work}/go; do sleep 0.1; done'


def stages(build: Given) -> list[dict[str, Any]]:
    record = build.chain.record
    assert record is not None
    return [stage.as_json() for stage in record.stages]


def submitted(build: Given, stage: str) -> dict[str, Any]:
    """The stage, when it was submitted."""
    return dict(
        until(lambda: next((item for item in stages(build) if item["stage"] == stage), None))
    )


def test_a_job_that_is_requeued_when_it_had_submitted_the_next_stage_leaves_it_alone(
    tmp_path, data, local, monkeypatch, capfd
):
    apart = {"select": {"memory": "150M"}}  # else its single unit is done by the job that goes on
    build = given(tmp_path, data, held(tmp_path, "select"), stages=apart)
    build.launch()
    jobs = submitted(build, "select")["jobs"]
    first = stages(build)[0]["conductor"]
    until(lambda: first not in {job.job for job in build.chain.jobs()})
    # as a requeue of Slurm, which takes minutes, starts it again: under the same id
    request = (build.chain.folder / "request.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setenv("SLURM_JOB_ID", first)
        conduct(build.chain.folder, sha256(request).hexdigest())
    assert "goes on with this build" in capfd.readouterr().err
    assert build.status().state == "queued"
    assert submitted(build, "select")["jobs"] == jobs
    (tmp_path / "go").touch()
    assert build.follow().state == "finished"
    assert contents(build.request.out) == contents(local)


def test_tasks_that_nobody_waits_for_are_cancelled_before_they_are_submitted_again(
    tmp_path, data, monkeypatch
):
    build = given(tmp_path, data, held(tmp_path, "ingest"))
    with (
        monkeypatch.context() as patched
    ):  # killed between two submissions: nothing is recorded, nothing cancelled
        patched.setattr(SlurmExecutor, "_submit_conductor", _killed)
        patched.setattr(SlurmExecutor, "_cancel", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            build.launch()
    assert len(build.chain.jobs()) == FILES
    monkeypatch.setenv("SLURM_JOB_ID", str(min(int(job.job) for job in build.chain.jobs()) - 1))
    assert build.chain.younger() is None
    assert not build.chain.jobs()


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_arrays_whose_ids_are_lost_are_cancelled_by_their_name(tmp_path, data, monkeypatch):
    build, given_to_slurm = given(tmp_path, data, held(tmp_path, "ingest")), client.submit

    def loses(*words: Any) -> str:
        job = given_to_slurm(*words)
        if words[-1] == str(MAX_ARRAY_SIZE):  # the second array
            raise AnnealmixError("sbatch: Socket timed out on send/recv operation")
        return job

    monkeypatch.setattr(client, "submit", loses)
    with pytest.raises(AnnealmixError, match="Socket timed out"):
        build.launch()
    until(lambda: not build.chain.jobs())


def test_jobs_of_a_failed_build_keep_others_away_until_they_have_ended(tmp_path, data, local):
    build = given(tmp_path, data, held(tmp_path, "ingest"))
    build.launch()
    build.chain.end(FAILED, 1, "sbatch: failed in the middle of a stage")
    with pytest.raises(RecipeError, match="jobs that"):
        build.launch()
    (tmp_path / "go").touch()
    build.chain.cancel()
    until(lambda: not build.chain.jobs())
    assert contents(build.finish()) == contents(local)


def test_jobs_of_another_user_keep_others_away(tmp_path, data, monkeypatch):
    build = given(tmp_path, data)
    monkeypatch.setattr(client, "submit", _refused)
    with pytest.raises(AnnealmixError, match="refused"):
        build.launch()
    path = build.chain.folder / "chain.json"
    record = {name: value for name, value in read_record(path).items() if name != "digest"}
    write_record(path, {**record, "uid": NOBODY})
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/sh\nsleep 600\n")
    options = [
        "--parsable",
        "--mem=10M",
        "--chdir=/",
        "--output=/dev/null",
        f"--job-name={record['name']}ingest",
    ]
    with script.open() as text:
        asked = [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            "sbatch",
            *options,
        ]
        job = subprocess.run(
            asked, check=True, capture_output=True, text=True, stdin=text, cwd="/"
        ).stdout.strip()
    try:
        with pytest.raises(RecipeError, match=f"scancel {job}"):
            build_here(build.request)
    finally:
        slurm("scancel", job)


def _refused(*_: Any) -> None:
    raise AnnealmixError("sbatch: refused")


def test_waiting_for_another_build_at_the_same_place_is_refused(tmp_path, data):
    build = given(tmp_path, data, held(tmp_path, "ingest"))
    build.launch()
    other = recipe(tmp_path / "other")
    other.write_text(other.read_text().replace("2001", "2002"))
    asked = Given.of(other, tmp_path, data).request
    with pytest.raises(RecipeError, match=r"recipe_digest.* differ from this command"):
        give(Asked(asked), None, wait=True)
    (tmp_path / "go").touch()
    assert give(build.asked, None, wait=True)[1] == 0


def test_a_mix_folder_that_is_deleted_while_it_is_written_is_not_whole_and_is_written_again(
    tmp_path, data, local
):
    build = given(tmp_path, data, held(tmp_path, "write"))
    build.launch()
    submitted(build, "write")
    out = build.request.out
    (folder,) = out.parent.glob(f".{out.name}.building-*")
    shutil.rmtree(folder)
    (tmp_path / "go").touch()
    status = build.follow()
    assert (status.state, status.stages[-1].units_done) == ("stopped", 0)
    assert contents(build.finish()) == contents(local)


def test_stages_of_a_limited_number_of_tasks_at_a_time_are_one_array(tmp_path, data, local):
    build = given(tmp_path, data, parallel=2)
    build.launch()
    assert len(stages(build)[0]["jobs"]) == 1 < -(-FILES // MAX_ARRAY_SIZE)
    assert build.follow().state == "finished"
    assert contents(build.request.out) == contents(local)


def test_a_damaged_record_ends_the_waiting(tmp_path, data):
    build = given(tmp_path, data, held(tmp_path, "ingest"))
    build.launch()
    path = build.chain.folder / "chain.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"queued", b"quevued"))
    with pytest.raises(ManifestError, match=r"chain\.json"):
        build.follow()
    path.write_bytes(whole)
    build.chain.cancel()


def test_paths_may_hold_spaces_quotes_and_letters_of_all_kinds(tmp_path, data, local):
    work = tmp_path / 'a b\'c "d" é $(touch p) ;#'
    assert contents(given(work, data).finish()) == contents(local)


def test_builds_here_and_on_the_cluster_go_on_from_each_other(tmp_path, data, local):
    build = given(tmp_path, data, f'test "$SLURM_ARRAY_TASK_ID" != 1 -o -e {tmp_path}/go')
    build.launch()
    assert build.follow().state == "stopped"
    assert build_here(build.request)["total_tokens"] == 2_001
    assert contents(build.request.out) == contents(local)
    shutil.rmtree(build.request.out)
    again = replace(build, profile=Profile(memory="100M", job_name="renamed"))
    assert contents(again.finish()) == contents(local)
    assert not (build.request.out.parent / ".out.chain").exists()
