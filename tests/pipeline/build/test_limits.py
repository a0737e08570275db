"""Builds where a process may open few files: what is mapped holds a descriptor, and neither sources
nor key partitions decide how many are open at a time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from annealmix import __main__ as cli
from mixtures.mix import manifest as manifests
from pipeline.build.sources import readings
from pipeline.executors.limits import NEEDED_FILES, few_open_files, raise_open_files
from tests.pipeline.command_line import CHECKOUT
from tests.pipeline.corpus import make, prose, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters


def write_sources(folder: Path, count: int) -> Path:
    """A recipe of that many small sources, whose removed documents leave gaps."""
    write_filters(folder / "filters")
    for number in range(count):
        texts = [f"{number} {text}" for text in (*planted(number, 6), *prose(number, 12, (5, 20)))]
        write_files(folder / "data", f"s{number:03d}", {"rows": texts})
    sources = {f"s{number:03d}": {"tokens": 120} for number in range(count)}
    return write_recipe(folder, sources, filters=[{"use": "list"}], removed="shrink")


def limited(folder: Path, recipe: Path, partitions: int) -> int:
    """Build where a process may open 256 files, with forced key partitions. Returns how many were
    open at most.
    """
    script = "; ".join(
        [
            "import sys, resource",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))",
            "from pathlib import Path",
            "from tests.pipeline.build.test_limits import build_counted",
            "print(build_counted(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(recipe), str(partitions)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    return int(done.stdout.split()[-1])


def build_counted(folder: Path, recipe: Path, partitions: int) -> int:
    """In a process of its own: build, and count what is open."""
    setattr(readings, "num_partitions", lambda _: partitions)  # noqa: B010  # not exported
    most, ended = [0], threading.Event()

    def count() -> None:
        while not ended.wait(0.001):
            most[0] = max(most[0], len(os.listdir("/proc/self/fd")))

    watcher = threading.Thread(target=count)
    watcher.start()
    try:
        make(recipe, folder, folder / "data", "limited", filters=folder / "filters")
    finally:
        ended.set()
        watcher.join()
    return most[0]


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts in /proc")


@needs_proc
@pytest.mark.parametrize(
    ("sources", "partitions"),
    [
        (4, 40),
        pytest.param(20, 64, marks=pytest.mark.campaign),
        pytest.param(300, 1, marks=pytest.mark.campaign),
    ],
)
def test_a_build_opens_few_files_however_many_sources_and_partitions(
    tmp_path: Path, sources: int, partitions: int, record_property
) -> None:
    recipe = write_sources(tmp_path, sources)
    most = limited(tmp_path, recipe, partitions)
    record_property("open files at most", most)
    print(f"{sources} sources, {partitions} partitions: {most} files open at most")
    assert 0 < most <= NEEDED_FILES
    whole = make(recipe, tmp_path, tmp_path / "data", "whole", filters=tmp_path / "filters")
    assert manifests.load(tmp_path / "limited")["identity"] == whole["identity"]


def test_the_limit_is_raised_as_far_as_the_system_lets_it(monkeypatch):
    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert (raise_open_files(), limits[-1]) == (4096, (4096, 4096))
    assert (raise_open_files(), len(limits)) == (4096, 2)
    assert few_open_files() is None
    limits.append((100, 100))
    assert "may open 100 files here (ulimit -n)" in str(few_open_files())


def test_a_message_names_the_limit_that_was_met(monkeypatch, capsys):
    def full(_: object) -> int:
        raise OSError(24, "Too many open files", "store/a")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert cli._ended(lambda: full(None)) == 1
    assert (
        "store/a: Too many open files (this process may open 256, and the system lets 4,096:"
        " ulimit -n)"
    ) in capsys.readouterr().err
