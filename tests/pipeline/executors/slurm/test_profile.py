"""A profile's values are refused where Slurm or a shell could read them in another way; what is
taken reaches sbatch unchanged.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import AnnealmixError, RecipeError
from mixtures.recipe.load import load_recipe
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.commands.slurm.conduct import launch
from pipeline.commands.slurm.request import Asked
from pipeline.executors.server import IMPORTED, MODULES
from pipeline.executors.slurm import arrays, client
from pipeline.executors.slurm.profile import Profile, StageName, load_profile
from pipeline.executors.stage import Stage, stage_named
from pipeline.inputs.listing import DataFolders
from tests.pipeline.corpus import write_files, write_recipe

NASTY = [
    "x$(touch /tmp/p)",
    "`id`",
    "a;b",
    "a b",
    "a\nb",
    "-x",
    "",
    "a'b",
    'a"b',
    "a\\b",
    "é",
    "a\x00b",
    "%j",
    "~x",
    "#x",
]
WORDS = ("job_name", "partition", "account", "qos", "constraint", "time", "memory")


def loaded(tmp_path: Path, content: dict[str, Any] | str) -> Profile:
    """JSON is YAML."""
    file = tmp_path / "profile.yaml"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_profile(file)


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("field", WORDS)
def test_values_that_a_shell_or_slurm_would_read_are_refused(tmp_path, field, value):
    for content in ({field: value}, {"stages": {"near": {field: value}}}):
        if field != "job_name" or "stages" not in content:
            with pytest.raises(RecipeError, match=rf"profile\.yaml:1: .*{field}: "):
                loaded(tmp_path, content)


@pytest.mark.parametrize("value", NASTY)
def test_values_of_further_options_are_refused_alike(tmp_path, value):
    if value:  # an option without a value
        with pytest.raises(RecipeError, match=r"profile\.yaml:1: options\.licenses: "):
            loaded(tmp_path, {"options": {"licenses": value}})


@pytest.mark.parametrize(
    "option",
    [
        "array",
        "arr",
        "output",
        "dependency",
        "dep",
        "no-req",
        "wrap",
        "export",
        "open-mode",
        "job-name",
        "mem-per-cpu",
        "--gres",
        "a=b",
        "bb",
        "bbf",
        "container",
        "deadline",
        "gid",
        "gre",
        "propagate",
        "reboot",
        "time-min",
        "uid",
    ],
)
def test_options_that_annealmix_decides_are_refused(tmp_path, option):
    with pytest.raises(RecipeError, match="profile may set"):
        loaded(tmp_path, {"options": {option: "x"}})


@pytest.mark.parametrize("folder", ["../x", "/a/../b", "a", "", "/a\nb"])
def test_a_folder_for_temporary_files_is_absolute_and_stays_there(tmp_path, folder):
    with pytest.raises(RecipeError, match=r"profile\.yaml:1: tmp: "):
        loaded(tmp_path, {"tmp": folder})


def test_every_fault_is_named_with_its_line(tmp_path):
    text = (
        'job_name: "x$(touch /tmp/p)"\npartition: "a\\nb"\nsetup: ["module load x\\nrm -rf'
        ' /"]\nmemroy: 4G\ncpus: 0\n'
    )
    with pytest.raises(RecipeError) as raised:
        loaded(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "4", "5"]
    assert "memory" in lines[3]  # what was meant


def test_a_stage_takes_its_own_values_before_those_of_the_profile(tmp_path):
    profile = loaded(
        tmp_path,
        {
            "memory": "4G",
            "options": {"gres": "1", "nice": "2"},
            "stages": {"near": {"memory": "64G", "options": {"nice": "3"}}},
        },
    )
    near = profile.resources("near-link")
    assert (near.memory, near.options) == ("64G", {"gres": "1", "nice": "3"})
    assert profile.resources("select").memory == "4G"
    assert Profile.model_validate(profile.model_dump(mode="json", exclude_none=True)) == profile


def test_options_are_arguments_and_an_empty_value_is_an_option_without_one(tmp_path):
    profile = loaded(tmp_path, {"account": "a", "options": {"exclusive": "", "gres": "gpu:1"}})
    said = arrays.arguments(arrays.options_of(profile.resources("score")))
    assert {
        "--exclusive",
        "--gres=gpu:1",
        "--account=a",
        "--kill-on-invalid-dep=yes",
        "--open-mode=append",
        "--export=ALL",
    } == set(said)


@given(
    words=st.lists(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
        max_size=4,
    )
)
def test_a_script_gives_its_words_as_they_are(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("script")
    script = arrays.write_script(folder / "job.sh", Profile(), ["worker", *words])
    command = folder / "annealmix"
    command.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    command.chmod(0o755)
    script.write_bytes(
        script.read_bytes().replace(
            shlex.quote(arrays.console_script()).encode(), str(command).encode(), 1
        )
    )
    printed = subprocess.run(["bash", script, "7"], capture_output=True, check=True).stdout.decode()
    assert printed.split("\0")[:-1] == ["worker", *words, "7"]


def test_a_setup_line_that_fails_ends_the_job_before_it_works(tmp_path):
    profile = Profile.model_validate({"setup": ["true # a comment", "false", "touch reached"]})
    script = arrays.write_script(tmp_path / "job.sh", profile, ["worker"])
    ended = subprocess.run(["bash", script], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert "setup[1] of the profile: exit code 1" in ended.stderr
    assert not (tmp_path / "reached").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_a_cache_of_compiled_code_that_another_user_put_into_scratch_is_not_used(tmp_path):
    scratch = tmp_path / "a scratch"
    script = arrays.write_script(tmp_path / "job.sh", Profile(tmp=str(scratch)), ["--help"])
    assert subprocess.run(["bash", script], capture_output=True).returncode == 0
    cache = scratch / "numba-0"
    assert cache.stat().st_mode & 0o777 == 0o700
    os.chown(cache, 65534, 65534)
    ended = subprocess.run(["bash", script], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "somebody else's" in ended.stderr


def test_slurms_commands_see_nothing_of_a_surrounding_job(monkeypatch):
    shell = ("SQUEUE_STATES", "SCANCEL_INTERACTIVE", "SCONTROL_ALL")
    for name in (
        "SLURM_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SBATCH_PARTITION",
        "SALLOC_ACCOUNT",
        "SLURMD_NODENAME",
        *shell,
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    left = [
        name
        for name in client.environment()
        if name.startswith(("SLURM", "SBATCH", "SALLOC", "SQUEUE", "SCANCEL", "SCONTROL"))
    ]
    assert left == ["SLURM_CONF"]


def answering(folder: Path, monkeypatch: pytest.MonkeyPatch, **commands: bytes) -> None:
    """Put commands first in PATH that print something and note their arguments in NAME.asked."""
    for name, printed in commands.items():
        (folder / f"{name}.out").write_bytes(printed)
        (folder / name).write_text(
            f'#!/bin/sh\necho "$@" > "{folder}/{name}.asked"\ncat "{folder}/{name}.out"\n'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_names_of_other_jobs_may_be_any_bytes(tmp_path, monkeypatch):
    lines = (
        b"1|N/A|PENDING|None|caf\xe9\n2|N/A|PENDING|None|a\nb\n"
        b"3|7|RUNNING|None|annealmix-k-ingest\n4|N/A|PENDING|None|a|b\n"
    )
    answering(tmp_path, monkeypatch, squeue=lines)
    assert client.queued("annealmix-k-") == [
        client.Job("3", "7", "annealmix-k-ingest", "RUNNING", "None")
    ]
    assert (
        "--all" in (tmp_path / "squeue.asked").read_text().split()
    )  # without it jobs of hidden partitions do not exist


@pytest.mark.parametrize(
    ("private", "known"), [("none", True), ("jobs", False), ("cloud,jobs", False), ("usage", True)]
)
def test_jobs_of_another_user_that_the_cluster_hides_are_not_taken_for_none(
    tmp_path, monkeypatch, private, known
):
    answering(
        tmp_path,
        monkeypatch,
        squeue=b"",
        scontrol=f"Plugins = x\nPrivateData             = {private}\n".encode(),
    )
    assert client.queued("annealmix") == []
    if known:
        assert client.queued("annealmix", os.geteuid() + 1) == []
        return
    with pytest.raises(AnnealmixError, match="PrivateData"):
        client.queued("annealmix", os.geteuid() + 1)


@pytest.mark.parametrize("path", ["/a%j", "/a\nb", "/a\\b"])
def test_paths_that_slurm_reads_its_own_way_are_refused(path):
    with pytest.raises(RecipeError, match="--store"):
        arrays.refuse_path(Path(path), "--store")


def test_without_slurm_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RecipeError, match="squeue: not found; --executor slurm needs a machine that submits"
    ):
        client.queued("annealmix")


def test_every_stage_is_found_by_its_name_and_may_have_resources_of_its_own():
    found = [item for module in MODULES.values() for item in vars(import_module(module)).values()]
    stages = {
        item
        for item in found
        if isinstance(item, type) and issubclass(item, Stage) and not isabstract(item)
    }
    assert len(stages) == 11
    for stage in stages:
        assert stage_named(stage.name) is stage
    assert set(get_args(StageName)) == {*MODULES, "conduct"}


def test_the_server_that_workers_are_forked_from_imports_the_stages():
    assert set(MODULES.values()) <= set(IMPORTED)


def test_a_launch_without_slurm_leaves_nothing_that_keeps_others_away(tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path / "recipes", {"a": {"all": True}})
    write_files(tmp_path / "data", "a", {"one": ["some words"]})
    request = BuildRequest(
        load_recipe(str(recipe)),
        tmp_path / "out",
        tmp_path / "store",
        DataFolders(tmp_path / "data"),
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="scontrol: not found"):
        launch(Asked(request), Profile())
    assert not (tmp_path / ".out.chain").exists()
    build(request)
