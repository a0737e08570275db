"""Studies on a real Slurm: a chain of the base's stages and of the slices of all arms, whose mixes
are those of a local build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.mix import manifest as manifests
from pipeline.commands.slurm.commands import cancel, give, rehearse
from pipeline.executors.slurm import client
from tests.pipeline.arms.studies import ARMS, make_study, write_study
from tests.pipeline.corpus import contents, make, write_recipe
from tests.slurm.cluster import Given, until

pytestmark = pytest.mark.slurm
MIXED = {
    "strong": ARMS["strong"],
    "masked": {**ARMS["strong"], "fill": "mask"},
    "half": ARMS["half"],
}
OF_OTHERS = '[[ "$(tail -n 1 "$0")" != *" arms "* ]]'
"""In a job's script: whether it is of another stage than that of arms, which its last line says."""
CHUNK_BYTES = 8192  # of 24 kB of tokens: two slices of each arm


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"), arms=MIXED)


@pytest.fixture(scope="module")
def local(study: Path) -> Path:
    """The mixes as one process of this machine builds them."""
    make_study(study, chunk_bytes=CHUNK_BYTES)
    return study.parent / "out"


def given(study: Path, work: Path, profile: dict[str, Any] | None = None) -> Given:
    more = {"tasks": 6, **(profile or {})}
    return Given.of_study(study, work, more, chunk_bytes=CHUNK_BYTES)


def holds(out: Path, local: Path) -> None:
    """All mixes of the local build, byte by byte, and nothing else."""
    names = sorted(["base", *MIXED])
    assert sorted(child.name for child in out.iterdir()) == names
    for name in names:
        assert manifests.load(out / name) == manifests.load(local / name)
        assert contents(out / name) == contents(local / name)


def shown(out: Path) -> list[str]:
    return sorted(child.name for child in out.iterdir() if child.name[0] != ".")


def test_a_chain_builds_the_mixes_of_a_study_that_one_process_builds(
    cluster, study, local, tmp_path, capfd
):
    build = given(study, tmp_path)
    assert rehearse(build.asked, None, json=False) == 0
    assert "arms" in capfd.readouterr().out
    assert client.queued("annealmix") == []
    found, code = give(build.asked, None, wait=True)
    assert (list(found), code) == (["base", *MIXED], 0), build.explain(build.status())
    holds(build.request.out, local)
    record = build.chain.record
    assert record is not None
    stages = {stage.stage: stage for stage in record.stages}
    assert list(stages)[-2:] == ["write", "arms"]
    assert stages["arms"].units == 2 * len(MIXED)
    status = build.status()
    assert status.message.splitlines() == [
        f"{name}: {manifests.names(manifests.load(local / name))}" for name in ("base", *MIXED)
    ]
    build.launch()  # there is nothing left to do
    assert build.status().state == "finished"


def test_arms_whose_task_fails_are_not_shown_and_the_same_command_submits_what_is_missing(
    cluster, study, local, tmp_path
):
    fails = f'test "$SLURM_ARRAY_TASK_ID" != 1 || test -e {tmp_path}/ok'
    build = given(study, tmp_path, {"setup": [f"{OF_OTHERS} || {fails}"]})
    build.launch()
    status = build.follow()
    assert status.state == "stopped", build.explain(status)
    assert (status.stages[-1].stage, status.stages[-1].units) == ("arms", 6)
    done = status.stages[-1].units_done
    assert 0 < done < 6
    assert shown(build.request.out) == ["base"]
    (tmp_path / "ok").touch()
    holds(build.finish(), local)


def test_a_study_that_is_cancelled_while_its_arms_wait_is_given_again(
    cluster, study, local, tmp_path
):
    waits = f"while test ! -e {tmp_path}/go; do sleep 0.1; done"
    build = given(study, tmp_path, {"setup": [f"{OF_OTHERS} || {waits}"]})
    build.launch()
    until(lambda: any(job.name.endswith("-arms") for job in client.queued("annealmix")))
    assert shown(build.request.out) == ["base"]
    recipe = write_recipe(tmp_path / "recipes", {"a": {"weight": 1}}, budget={"tokens": 100})
    with pytest.raises(RecipeError, match="jobs that"):  # at the place of an arm
        make(recipe, tmp_path, study.parent / "data", out="out/strong", store="another-store")
    with pytest.raises(RecipeError, match="jobs that"):
        make_study(study, tmp_path, store="another-store", chunk_bytes=CHUNK_BYTES)
    assert cancel(build.request, json=False) == 0
    assert build.status().state == "cancelled"
    assert build.status().stages[-1].stage == "arms"
    (tmp_path / "go").touch()
    holds(build.finish(), local)


def test_a_study_that_changes_while_jobs_wait_is_refused(cluster, study, tmp_path):
    own = write_study(tmp_path / "study", arms=MIXED)
    build = given(own, tmp_path, {"setup": [f"while test ! -e {tmp_path}/go; do sleep 0.1; done"]})
    build.launch()
    own.write_text(own.read_text().replace("0.85", "0.84"))
    (tmp_path / "go").touch()
    status = build.follow()
    assert (status.state, status.exit_code) == ("failed", 6)
    assert "study.yaml: changed since the build was submitted" in status.message
