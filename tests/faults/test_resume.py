"""What changed between a build that was stopped and the next one: reused is what can be, made again
what cannot, and nothing is mixed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError, ManifestError
from mixtures.mix import manifest as manifests
from pipeline.executors.local import LocalExecutor
from pipeline.stages import select_plan, write
from pipeline.store import rules, store
from pipeline.store.rules import STORE_FORMAT
from tests.pipeline.command_line import until
from tests.pipeline.corpus import (
    contents,
    each_once,
    make,
    prose,
    sharded,
    write_files,
    write_recipe,
)

SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 2}}
STAGES = ("ingest", "select", "write")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for seed, name in enumerate(SOURCES):
        write_files(tmp_path / "data", name, sharded(prose(seed, 90), 3))
    return write_recipe(tmp_path / "recipes", SOURCES, budget={"tokens": 2001})


def stop_after(monkeypatch: pytest.MonkeyPatch, recipe: Path, folder: Path, stage: str) -> None:
    """Build until a stage is done, in two tasks."""
    execute = LocalExecutor.execute

    def stopping(self: LocalExecutor, what: Any, plan: Any, work: Path) -> None:
        execute(self, what, plan, work)
        if what.name == stage:
            raise AnnealmixError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(LocalExecutor, "execute", stopping)
        with pytest.raises(AnnealmixError, match="stopped"):
            make(recipe, folder, folder / "data", tasks=2)
    assert not (folder / "out").exists()


def built_as_if_fresh(recipe: Path, folder: Path, **more: Any) -> None:
    """Build at last, and compare with a build in a store of its own."""
    manifest = make(recipe, folder, folder / "data", **more)
    fresh = make(recipe, folder, folder / "data", "fresh", "fresh-store", **more)
    assert manifest == fresh
    assert contents(folder / "out") == contents(folder / "fresh")
    assert not list(folder.glob(".out.*"))


def published(folder: Path, pattern: str) -> dict[Path, int]:
    """When each done-record of the store was written."""
    return {
        path: path.stat().st_mtime_ns for path in (folder / "store").glob(f"{pattern}/done.json")
    }


def new_file(folder: Path) -> None:
    write_files(folder / "data", "a", {"new": prose(9, 20)})


def changed_file(folder: Path) -> None:
    write_files(folder / "data", "a", {"part-001": prose(9, 20)})


def file_that_is_gone(folder: Path) -> None:
    (folder / "data" / "b" / "part-002.json.gz").unlink()


def another_budget(folder: Path) -> None:
    write_recipe(folder / "recipes", SOURCES, budget={"tokens": 1501})


def other_shares(folder: Path) -> None:
    write_recipe(
        folder / "recipes", {"a": {"weight": 3}, "b": {"weight": 1}}, budget={"tokens": 2001}
    )


def parsed_strings(folder: Path) -> None:
    write_recipe(folder / "recipes", SOURCES, budget={"tokens": 2001}, special_tokens="parse")


CHANGES = (new_file, changed_file, file_that_is_gone, another_budget, other_shares, parsed_strings)


@pytest.mark.parametrize(("change", "stage"), each_once(CHANGES, STAGES))
def test_what_changed_after_a_stopped_build_is_in_the_next_as_if_nothing_had_been(
    tmp_path: Path,
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    change: Callable[[Path], None],
):
    stop_after(monkeypatch, recipe, tmp_path, stage)
    ledgers = published(tmp_path, "sources/b-*/*/ledger")
    assert ledgers
    change(tmp_path)
    built_as_if_fresh(recipe, tmp_path)
    if change is not file_that_is_gone:
        assert published(tmp_path, "sources/b-*/*/ledger") == ledgers


FORMATS = {
    "tokens": (rules, "TOKENS_FORMAT", "sources/*/*/ledger"),
    "ledger": (store, "LEDGER_FORMAT", "none"),
    "select": (select_plan, "SELECT_FORMAT", "sources/*/*/*"),
    "write": (write, "WRITE_FORMAT", "sources/*/*/*"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_changed_is_made_again_and_what_it_rests_on_is_reused(
    tmp_path, recipe, monkeypatch, name
):
    module, constant, reused = FORMATS[name]
    stop_after(monkeypatch, recipe, tmp_path, "write")
    kept = published(tmp_path, reused)
    monkeypatch.setattr(module, constant, getattr(module, constant) + 1)
    built_as_if_fresh(recipe, tmp_path)
    assert kept.items() <= published(tmp_path, reused).items()
    assert bool(kept) == (reused != "none")


def test_a_store_of_another_format_is_refused(tmp_path, recipe, monkeypatch):
    stop_after(monkeypatch, recipe, tmp_path, "ingest")
    monkeypatch.setattr("pipeline.store.store.STORE_FORMAT", STORE_FORMAT + 1)
    with pytest.raises(ManifestError, match="choose another --store"):
        make(recipe, tmp_path, tmp_path / "data")


@pytest.mark.parametrize(("stage", "tasks"), each_once(STAGES, [1, 3]))
def test_another_task_count_goes_on_with_what_is_done(tmp_path, recipe, monkeypatch, stage, tasks):
    stop_after(monkeypatch, recipe, tmp_path, stage)
    kept = published(tmp_path, "*/*/*/*")
    built_as_if_fresh(recipe, tmp_path, tasks=tasks)
    assert kept.items() <= published(tmp_path, "*/*/*/*").items()


# locks


@pytest.mark.parametrize("lock", ["store/lock", ".out.lock"])
def test_the_lock_of_a_process_that_died_is_no_obstacle(tmp_path, recipe, capsys, lock):
    (tmp_path / "store").mkdir()
    (tmp_path / lock).write_text("4194304 on another-host")
    make(recipe, tmp_path, tmp_path / "data")
    assert "waiting" not in capsys.readouterr().err


@pytest.mark.parametrize("lock", ["store/lock", ".out.lock"])
def test_a_holder_is_named_with_process_and_host_before_it_is_waited_for(
    tmp_path, recipe, capsys, lock
):
    path = tmp_path / lock
    make(recipe, tmp_path, tmp_path / "data", "reference")
    hold = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX);"
        " f.write('77 on node-7'); f.flush(); "
    )
    holder = subprocess.Popen([sys.executable, "-c", f"{hold}time.sleep(1)", str(path)])
    until(lambda: path.exists() and path.read_text() == "77 on node-7")
    make(recipe, tmp_path, tmp_path / "data")
    assert "held by process 77 on node-7" in capsys.readouterr().err
    assert holder.wait() == 0
    assert manifests.load(tmp_path / "out") == manifests.load(tmp_path / "reference")
