"""The store and the output's place between builders: what gc leaves, what a frozen commit is, who
waits, what a killed worker costs.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from pipeline.store import records
from pipeline.store.records import FolderWriter, is_done
from tests.pipeline.command_line import HUB_PACKINGS, MovingHub, Process, moving_hub, passes, until
from tests.pipeline.corpus import contents, prose, sharded, write_files, write_recipe
from tests.pipeline.inputs.test_hub import COMMIT

SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 3}}
BUDGET = {"tokens": 301}


def words(folder: Path, out: str = "out", store: str = "store") -> list[Any]:
    """The words of a build of local files."""
    for number, name in enumerate(SOURCES):
        if not (folder / "data" / name).exists():
            write_files(folder / "data", name, sharded(prose(number, 60), 2))
    recipe = write_recipe(folder / "recipes", SOURCES, budget=BUDGET)
    return [
        "build",
        recipe,
        "--data",
        folder / "data",
        "--store",
        folder / store,
        "--out",
        folder / "mixes" / out,
    ]


def hub_words(folder: Path, out: str = "out", store: str = "store") -> list[Any]:
    """The words of a build of the hub's files."""
    recipe = write_recipe(folder / "recipes", SOURCES, HUB_PACKINGS, budget=BUDGET)
    return ["build", recipe, "--store", folder / store, "--out", folder / "mixes" / out]


@pytest.fixture
def hub() -> Iterator[MovingHub]:
    with moving_hub() as server:
        yield server


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file below a store's sources."""
    files = (path for path in (folder / "sources").rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
    }


# gc


def test_after_gc_the_same_build_is_the_same_mix_and_reads_and_tokenizes_nothing(tmp_path):
    store = tmp_path / "store"
    passes(*words(tmp_path))
    before = state(store)
    freed = passes("store", "gc", "--store", store, "--json").answer
    assert freed["deleted"] > 0
    assert freed["bytes"] > 0
    assert not [path for name in ("select", "work") for path in (store / name).glob("*")]
    again = passes(*words(tmp_path, "again"))
    assert "ingest" not in again.err
    assert state(store) == before
    assert manifests.load(tmp_path / "mixes" / "again") == manifests.load(
        tmp_path / "mixes" / "out"
    )
    assert contents(tmp_path / "mixes" / "again") == contents(tmp_path / "mixes" / "out")


def test_gc_of_a_clean_store_deletes_nothing(tmp_path):
    passes(*words(tmp_path))
    passes("store", "gc", "--store", tmp_path / "store")
    assert passes("store", "gc", "--store", tmp_path / "store", "--json").answer == {
        "deleted": 0,
        "bytes": 0,
        "folders": [],
    }


def test_a_dry_run_of_gc_names_what_gc_deletes_and_deletes_nothing(tmp_path):
    passes(*words(tmp_path))
    before, gc = state(tmp_path / "store"), ["store", "gc", "--store", tmp_path / "store"]
    told = passes(*gc, "--dry-run").out
    found = passes(*gc, "--dry-run", "--json").answer
    assert state(tmp_path / "store") == before
    assert any((tmp_path / "store" / "select").iterdir())
    assert found["deleted"] == 0
    assert all(f"{folder}: " in told for folder in found["folders"])
    freed = passes(*gc, "--json").answer
    assert freed == {**found, "deleted": len(found["folders"])}
    assert not any((tmp_path / "store" / "select").iterdir())


def test_gc_deletes_left_overs_of_stopped_tasks_and_nothing_that_is_published(tmp_path):
    store = tmp_path / "store"
    passes(*words(tmp_path))
    before = state(store)
    group = next(path.parent for path in store.glob("sources/a-*/*/ledger"))
    for left in (group / ".ledger.12345.tmp", group / "tokens-0123456789abcdef-0-1"):
        left.mkdir()
        (left / "0000.tokens").write_bytes(b"half")
    passes("store", "gc", "--store", store)
    assert state(store) == before
    assert {path.name.split("-")[0] for path in group.iterdir()} == {"ledger", "tokens"}


def test_a_mix_outlives_its_store(tmp_path):
    passes(*words(tmp_path))
    shutil.rmtree(tmp_path / "store")
    assert "audit passed" in passes("audit", tmp_path / "mixes" / "out", "--full").out


# a frozen commit


def test_a_branch_that_moves_is_read_at_the_commit_that_the_store_froze(tmp_path, hub):
    moved = "deadbeef" * 5
    environment = hub.environment(tmp_path / "home")
    assert (
        Process(tmp_path / "one", *hub_words(tmp_path, "one"), environment=environment).end().code
        == 0
    )
    hub.head, hub.others = moved, {moved: ["README.md"]}
    hub.asked.clear()
    ended = Process(tmp_path / "two", *hub_words(tmp_path, "two"), environment=environment).end()
    assert ended.code == 0, ended.err
    assert not [path for path in hub.asked if moved in path or path.endswith("/main")]
    one, two = (manifests.load(tmp_path / "mixes" / name) for name in ("one", "two"))
    assert one["revisions"] == two["revisions"] == dict.fromkeys("ab", f"owner/name@{COMMIT}")
    assert one["identity"] == two["identity"]


def test_a_new_store_meets_the_branch_where_it_is_now(tmp_path, hub):
    moved = "deadbeef" * 5
    hub.head, hub.others = moved, {moved: []}
    ended = Process(
        tmp_path / "run", *hub_words(tmp_path), environment=hub.environment(tmp_path / "home")
    ).end()
    assert ended.code == 4, ended.err
    assert any(path.endswith(f"/tree/{moved}") for path in hub.asked)
    assert "matches no" in ended.err
    assert not (tmp_path / "mixes").exists()


# a worker that is killed


def workers_of(build: int) -> set[int]:
    """Pool workers of a build: children of its fork server, which is the one child that has
    children itself.
    """
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    children: dict[int, set[int]] = {}
    for line in table:
        pid, parent = map(int, line.split())
        children.setdefault(parent, set()).add(pid)
    return {worker for child in children.get(build, ()) for worker in children.get(child, ())}


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps finds the workers")
def test_the_task_of_a_worker_that_is_killed_is_named_and_done_once_more(tmp_path, hub):
    environment = hub.environment(tmp_path / "home")
    hub.hold(
        when=lambda: any(tmp_path.glob("store/sources/*/*/.ledger.*"))
    )  # both workers hang, once they have begun to read
    process = Process(
        tmp_path / "run", *hub_words(tmp_path), "--workers", "2", environment=environment
    )
    try:
        until(lambda: len(hub.waiting) == 2, process)
        workers = workers_of(process.process.pid)
        assert len(workers) == 2
        os.kill(min(workers), signal.SIGKILL)
        hub.release()
        ended = process.end()
    finally:
        process.kill()
    assert ended.code == 0, ended.err
    assert re.search(
        r"input files [ab]\.jsonl\.(gz|zst) of [ab], was ended by signal 9, .*; doing it once more,"
        r" alone",
        ended.err,
    )
    assert "audit passed" in passes("audit", tmp_path / "mixes" / "out").out
    until(lambda: not workers_of(process.process.pid))


# two builders


def test_of_two_builders_of_one_output_one_builds_and_the_other_waits_and_says_built_already(
    tmp_path,
):
    """Each has a store of its own, so that nothing but the output's place is between them; a third
    holder makes both wait for it.
    """
    commands = [words(tmp_path, store=store) for store in ("store1", "store2")]
    (tmp_path / "mixes").mkdir()
    with (tmp_path / "mixes" / ".out.lock").open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        builders = [
            Process(tmp_path / f"run{number}", *command) for number, command in enumerate(commands)
        ]
        until(
            lambda: all("waiting for the output" in builder.err for builder in builders),
            builders[0],
        )
    ended = [builder.end() for builder in builders]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert sorted("built already" in one.err for one in ended) == [False, True]
    assert ended[0].mix == ended[1].mix == manifests.load(tmp_path / "mixes" / "out")["identity"]
    assert [path.name for path in (tmp_path / "mixes").iterdir()] == ["out"]
    assert "audit passed" in passes("audit", tmp_path / "mixes" / "out").out


def test_a_builder_waits_for_another_of_the_same_store_and_names_it(tmp_path, hub):
    environment = hub.environment(tmp_path / "home")
    hub.hold(when=lambda: True)
    first = Process(tmp_path / "first", *hub_words(tmp_path), environment=environment)
    try:
        until(lambda: hub.waiting, first)
        second = Process(tmp_path / "second", *hub_words(tmp_path), environment=environment)
        until(lambda: "waiting for the store" in second.err, second)
        assert f"held by process {first.process.pid} on " in second.err
        hub.release()
        ended = [first.end(), second.end()]
    finally:
        hub.release()
        first.kill()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ["built already" in one.err for one in ended] == [False, True]
    assert ended[0].mix == ended[1].mix


def test_two_builders_with_two_recipes_make_two_mixes_of_one_store(tmp_path):
    first = words(tmp_path, "first")
    second = [*words(tmp_path, "second"), "--tokens", "200"]
    ended = [
        process.end()
        for process in (Process(tmp_path / "run1", *first), Process(tmp_path / "run2", *second))
    ]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert [
        manifests.load(tmp_path / "mixes" / name)["total_tokens"] for name in ("first", "second")
    ] == [301, 200]


def test_a_folder_that_a_twin_has_published_is_not_replaced(tmp_path, monkeypatch):
    """Somebody may be reading it: tasks of a node that was given up may still be running."""
    final, twin = tmp_path / "unit", FolderWriter(tmp_path / "unit")
    twin.path = tmp_path / ".twin.tmp"
    with FolderWriter(final) as writer, twin:
        asked, published = is_done, list[int]()

        def publishes_meanwhile(folder):
            found = asked(folder)
            if not published:
                published.append(0)
                twin.publish({})
                published[0] = final.stat().st_ino
            return found

        monkeypatch.setattr(records, "is_done", publishes_meanwhile)
        writer.publish({})
        assert published in ([], [final.stat().st_ino])
        assert asked(final)


class OneFieldRecord(records.Record):
    rows: int


@pytest.mark.parametrize("content", [{}, {"rows": "many"}])
def test_a_sealed_record_without_what_it_must_say_names_the_field(tmp_path, content):
    records.write_record(tmp_path / records.DONE, {"outputs": {}, **content})
    with pytest.raises(ManifestError, match=r"done\.json: rows: .*; delete .* and build again"):
        OneFieldRecord.read(tmp_path)
