"""The local pool: a worker that is killed is noticed, named, replaced once; nothing hangs and
nothing stays behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError, InputError
from pipeline.executors import local, memory, pool
from pipeline.executors.local import LocalExecutor
from pipeline.executors.pool import answering, run_tasks
from pipeline.executors.stage import Plan, Stage, Unit, in_hand
from pipeline.inputs.file import InputFile
from pipeline.stages.ingest import Ingest, IngestPlan, IngestUnit
from pipeline.tokens import engines
from tests.pipeline.command_line import (
    CHECKOUT,
    HUB_PACKINGS,
    MovingHub,
    Process,
    moving_hub,
    passes,
    until,
)
from tests.pipeline.corpus import write_recipe


class TouchUnit(Unit):
    """A file to make; kills: times that its worker is killed before, by `signal`."""

    file: str
    kills: int = 0
    signal: int = signal.SIGKILL
    error: str = ""


class TouchPlan(Plan[TouchUnit]):
    folder: Path


class Touch(Stage[TouchPlan, TouchUnit]):
    """Makes files."""

    name = "touch"
    plan_type = TouchPlan

    def do(self, plan: TouchPlan, unit: TouchUnit) -> None:
        (path,) = self.outputs(plan, unit)
        if path.exists():
            return
        begun = path.with_name(f"{path.name}.begun")
        with begun.open("a") as file:
            file.write("x")
        if begun.stat().st_size <= unit.kills:
            os.kill(os.getpid(), unit.signal)
        if unit.error:
            raise ERRORS[unit.error]
        path.touch()

    @staticmethod
    def outputs(plan: TouchPlan, unit: TouchUnit) -> list[Path]:
        return [plan.folder / unit.file]

    @classmethod
    def is_done(cls, plan: TouchPlan, unit: TouchUnit) -> bool:
        return cls.outputs(plan, unit)[0].exists()

    @staticmethod
    def describe(unit: TouchUnit) -> str:
        return f"file {unit.file}"


class TwoArgumentsError(Exception):
    """One that cannot be pickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


ERRORS = {
    "input": InputError("a.jsonl: row 7: no text"),
    "disk": OSError(28, "No space left on device"),
    "defect": ValueError("not this"),
    "strange": TwoArgumentsError("neither", "that"),
    "memory": MemoryError(),
}


def plan_of(folder: Path, **more: dict[str, Any]) -> TouchPlan:
    """Six units, of which those that are named differ."""
    units = tuple(TouchUnit(file=name, **more.get(name, {})) for name in "abcdef")
    return TouchPlan(folder=folder, units=units)


def execute(folder: Path, workers: int = 2, tasks: int = 3, **more: dict[str, Any]) -> TouchPlan:
    plan = plan_of(folder, **more)
    LocalExecutor(workers, tasks).execute(Touch, plan, folder / "work")
    return plan


def children(pid: int) -> list[int]:
    """Processes below a process, in any depth."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


@pytest.mark.parametrize(("workers", "tasks"), [(1, 1), (2, 3), (3, 6), (2, 100)])
def test_every_unit_is_done_whatever_the_workers_and_tasks(tmp_path, workers, tasks):
    plan = execute(tmp_path, workers, tasks)
    assert Touch.num_done(plan) == 6
    assert {path.read_text() for path in tmp_path.glob("*.begun")} == {"x"}
    assert not list((tmp_path / "work" / "in-hand").iterdir())


def test_a_unit_whose_worker_is_killed_is_done_by_another_and_is_named(tmp_path, capfd):
    plan = execute(tmp_path, d={"kills": 1})
    assert Touch.num_done(plan) == 6
    said = capfd.readouterr().err
    assert (
        "touch: the worker of task 0 of 3, at file d, was ended by signal 9, most likely for want"
        " of memory" in said
    )
    assert (tmp_path / "a.begun").read_text() == "x"  # which the killed worker had done before


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "memory is short"), (signal.SIGSEGV, "by signal 11, again")],
)
def test_a_unit_that_kills_two_workers_fails_the_stage_when_all_others_are_done(
    tmp_path, number, words
):
    with pytest.raises(AnnealmixError, match=rf"at file c, was ended .*{words}"):
        execute(tmp_path, c={"kills": 2, "signal": int(number)}, e={"kills": 1})
    assert {path.name for path in tmp_path.glob("?")} == set("abde")  # f comes after c in its task
    assert in_hand(tmp_path / "work", 2).read_text() == "file c"
    execute(tmp_path)
    assert {path.name for path in tmp_path.glob("?")} == set("abcdef")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("input", InputError, r"^a\.jsonl: row 7: no text$"),
        ("disk", OSError, "No space left on device"),
        ("defect", RuntimeError, "^touch failed at file b$"),
        ("strange", RuntimeError, "^touch failed at file b$"),
        ("memory", AnnealmixError, "^touch: file b: out of memory"),
    ],
)
def test_an_error_reaches_the_caller_and_says_where(tmp_path, workers, error, kind, words):
    with pytest.raises(kind, match=words) as caught:
        execute(tmp_path, workers, b={"error": error})
    assert type(caught.value) is kind
    if kind is RuntimeError:
        assert str(ERRORS[error]) in str(caught.value.__cause__)
    assert in_hand(tmp_path / "work", 1).read_text() == "file b"


def _unpicklable(rank: int) -> None:
    raise TwoArgumentsError("rank", str(rank))


def test_an_exception_that_cannot_be_pickled_is_told_in_words():
    with pytest.raises(RuntimeError, match="TwoArgumentsError: rank 0") as caught:
        run_tasks(_unpicklable, [0], 1)
    assert "_unpicklable" in str(caught.value.__cause__)


def _stop_itself(folder: Path, rank: int) -> None:
    (folder / f"{rank}").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_worker_that_a_signal_has_stopped_is_named_and_goes_on_when_it_is_let(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(pool, "STOPPED_SECONDS", 0.1)
    monkeypatch.setattr(pool, "LISTEN_SECONDS", 0.1)
    told = []

    def stopped(rank: int, pid: int) -> None:
        told.append((rank, pid))
        os.kill(pid, signal.SIGCONT)

    assert run_tasks(partial(_stop_itself, tmp_path), [7], 1, stopped) == {}
    assert told == [(7, int((tmp_path / "7").read_text()))]


def _slow(folder: Path, rank: int) -> None:
    time.sleep(30)
    (folder / str(rank)).touch()


def test_a_signal_that_does_not_wake_the_caller_is_obeyed_before_the_tasks_have_ended(tmp_path):
    """One that comes between Python's last look and the system call, or to another thread, as
    here.
    """
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    sends = threading.Timer(3, signal.raise_signal, [signal.SIGTERM])
    sends.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tasks(partial(_slow, tmp_path), range(2), 2)
    finally:
        sends.join()
        signal.signal(signal.SIGTERM, previous)
    assert not list(tmp_path.iterdir())


def test_fewer_workers_than_cores_are_begun_where_memory_is_short(monkeypatch, capsys):
    monkeypatch.setattr(local, "available_memory", lambda: 2_500_000_000)
    assert local.workers_that_fit(Touch, 2) == 2
    assert capsys.readouterr().err == ""
    assert local.workers_that_fit(Touch, 8) == 2
    assert (
        "touch: 2 workers instead of 8: a task may need 1.0 GB of memory, 2.5 GB are available"
        in capsys.readouterr().err
    )
    monkeypatch.setattr(local, "available_memory", lambda: 1)
    assert local.workers_that_fit(Touch, 8) == 1


class Small(Touch):
    """Work that one process has done before another has started."""

    name = "small"

    def do(self, plan: TouchPlan, unit: TouchUnit) -> None:
        super().do(plan, unit)
        self.outputs(plan, unit)[0].write_text(str(os.getpid()))

    @classmethod
    def useful_workers(cls, plan: TouchPlan) -> int:
        return 1


@pytest.mark.parametrize(("workers", "here"), [(None, True), (2, False)])
def test_no_worker_is_begun_that_takes_longer_to_start_than_it_saves_unless_it_is_asked_for(
    tmp_path, monkeypatch, workers, here
):
    monkeypatch.setattr(local, "cores", lambda: 4)
    LocalExecutor(workers).execute(Small, plan_of(tmp_path), tmp_path / "work")
    assert {int((tmp_path / name).read_text()) == os.getpid() for name in "abcdef"} == {here}


@pytest.mark.parametrize(
    ("sizes", "quality", "workers"),
    [
        ([5000, 900_000, 100_000], {}, 1),
        ([3 << 20, 3 << 20, 3 << 20], {}, 5),
        ([5000, 0, 0], {}, 3),  # `datasets` tells no sizes
        ([5000, 5000, 5000], {"a": [], "b": [{"length": {}}]}, 3),
    ],
)
def test_an_ingest_takes_as_many_workers_as_its_files_keep_busy(sizes, quality, workers):
    units = tuple(
        IngestUnit.model_construct(files=(InputFile(f"{size}", f"/{size}", size),))
        for size in sizes
    )
    plan = IngestPlan.model_construct(units=units, quality=quality)
    assert Ingest.useful_workers(plan) == workers


@pytest.mark.parametrize(
    ("lines", "root", "files"),
    [
        ("0::/job/step\n", "", ("memory.max", "memory.current", "inactive_file")),
        (
            "9:cpu:/\n5:hugetlb,memory:/job/step\n",
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_smallest_limit_of_a_cgroup_and_those_around_it_counts_and_the_page_cache_does_not(
    tmp_path, monkeypatch, lines, root, files
):
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(lines)
    for group, limit, used in (("job", "1000000", "500000"), ("job/step", "max", "7")):
        folder = tmp_path / "cgroup" / root / group
        folder.mkdir(parents=True)
        for name, value in zip(files, (limit, used, f"anon 5\n{files[2]} 200000\n"), strict=True):
            (folder / (name if name != files[2] else "memory.stat")).write_text(f"{value}\n")
    assert memory.machine_memory() == 1_000_000
    assert memory.available_memory() == 700_000
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:        600 kB\n")
    assert memory.available_memory() == 600 << 10


def test_memory_of_this_machine_is_what_the_system_says():
    assert (
        0
        < memory.available_memory()
        <= memory.machine_memory()
        <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )


@pytest.fixture
def hub():
    with moving_hub() as server:
        yield server


def begin(folder: Path, hub: MovingHub) -> Process:
    """A build whose two workers hang over a download."""
    recipe = write_recipe(
        folder / "recipes",
        {"a": {"weight": 1}, "b": {"weight": 1}},
        HUB_PACKINGS,
        budget={"tokens": 301},
    )
    hub.hold(when=lambda: any(folder.glob("store/sources/*/*/.ledger.*")))
    environment = hub.environment(folder / "home")
    process = Process(
        folder / "run",
        "build",
        recipe,
        "--store",
        folder / "store",
        "--out",
        folder / "out",
        "--workers",
        "2",
        environment=environment,
    )
    until(lambda: len(hub.waiting) == 2, process)
    return process


def workers_of(process: Process) -> list[int]:
    """The workers of a build: children of its fork server."""
    return [child for server in children(process.process.pid) for child in children(server)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are found in /proc")
def test_a_build_says_which_input_a_killed_worker_had_and_goes_on(tmp_path, hub):
    process = begin(tmp_path, hub)
    try:
        os.kill(workers_of(process)[0], signal.SIGKILL)
        hub.release()
        ended = process.end()
    finally:
        process.kill()
    assert ended.code == 0, ended.err
    assert "of 2, at input files" in ended.err
    assert "was ended by signal 9" in ended.err
    passes("audit", tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="workers are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_a_build_that_is_stopped(tmp_path, hub, number):
    process = begin(tmp_path, hub)
    try:
        begun = children(process.process.pid)
        assert len(begun) >= 3  # fork server, two workers
        os.kill(process.process.pid, number)
        assert process.end().code in (1, -number)
        until(lambda: not any(_runs(pid) for pid in begun))
    finally:
        hub.release()
        process.kill()


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.campaign
def test_workers_killed_at_very_many_moments_lose_no_unit(tmp_path):
    """Each of 40 units kills its first worker; two of them do so side by side."""
    units = tuple(TouchUnit(file=f"{number:02d}", kills=1) for number in range(40))
    for tasks in (40, 7):
        folder = tmp_path / str(tasks)
        folder.mkdir()
        plan = TouchPlan(folder=folder, units=units)
        for _ in (
            units
        ):  # a task with several such units loses its second worker, too, and the build ends
            with contextlib.suppress(AnnealmixError):
                LocalExecutor(2, tasks).execute(Touch, plan, folder / "work")
        assert Touch.num_done(plan) == len(units)


TOKENIZER = CHECKOUT / "recipes" / "sample" / "tokenizer.json"
PRELOADING = """
import sys
from pathlib import Path
from functools import partial
from pipeline.executors.pool import run_tasks
from pipeline.executors.server import begin_server
from tests.pipeline.executors.test_pool import note_engine

if __name__ == "__main__":
    begin_server(Path(sys.argv[1]))
    assert run_tasks(partial(note_engine, Path(sys.argv[2])), range(2), 2) == {}
"""


def note_engine(folder: Path, rank: int) -> None:
    """In a worker: which engines were there, and what it makes of a text."""
    content = TOKENIZER.read_bytes()
    shared = [key for key in engines._preloaded if key[1] == content]
    ids, _ = engines.open_engine("fastokens", content).encode(["what it is"], parse=False)
    (folder / str(rank)).write_text(f"{[name for name, _ in shared]} {ids.tolist()}")


@pytest.mark.parametrize("damaged", [False, True])
def test_workers_share_the_engines_that_their_server_has_loaded_and_none_of_a_damaged_file(
    tmp_path, damaged
):
    file, script = tmp_path / "tokenizer.json", tmp_path / "script.py"
    file.write_bytes(TOKENIZER.read_bytes()[: 1000 if damaged else None])
    script.write_text(PRELOADING)
    subprocess.run(
        [sys.executable, script, file, tmp_path],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=True,
        timeout=120,
    )
    fresh, _ = engines.Fastokens(TOKENIZER.read_bytes()).encode(["what it is"], parse=False)
    expected = f"{[] if damaged else ['fastokens', 'tokenizers']} {fresh.tolist()}"
    assert {(tmp_path / rank).read_text() for rank in ("0", "1")} == {expected}


def answer(caller: int, question: str) -> int:
    """The process that answers; a worker may be asked to be killed or stopped meanwhile."""
    if question in ERRORS:
        raise ERRORS[question]
    if question and os.getpid() != caller:
        os.kill(os.getpid(), signal.Signals[question])
    return os.getpid()


def test_one_worker_answers_and_its_caller_when_it_is_killed(tmp_path, monkeypatch):
    here, stopped = os.getpid(), list[int]()

    def let_go_on(pid: int) -> None:
        stopped.append(pid)
        os.kill(pid, signal.SIGCONT)

    with answering(partial(answer, here), tmp_path) as ask:
        assert ask("") == here  # no server has what it needs
    monkeypatch.setattr(pool, "served", {tmp_path})
    with answering(partial(answer, here), tmp_path, let_go_on) as ask:
        worker = ask("")
        assert worker != here
        with pytest.raises(InputError, match="row 7"):
            ask("input")
        with pytest.raises(OSError, match="No space left"):
            ask("disk")
        assert ask("SIGSTOP") == worker
        assert stopped == [worker]
        assert ask("SIGKILL") == here
        assert ask("") == here
