"""Commands whose stdin, stdout or stderr is closed or full, and in a locale without UTF-8."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixtures.mix import manifest as manifests
from pipeline import report
from tests.pages import Demo
from tests.pipeline.command_line import CHECKOUT
from tests.pipeline.corpus import prose, write_files, write_recipe

WITHOUT = ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "LANG")


def shell(folder: Path, arguments: str, **environment: str) -> tuple[int, str]:
    """A command as a shell gives it. Returns its exit code, and what stdout and stderr hold that
    were not led elsewhere.
    """
    kept = {name: value for name, value in os.environ.items() if name not in WITHOUT}
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m annealmix {arguments}"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(CHECKOUT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("trace MIX --token 5 --json >&-", 1, "stdout: Bad file descriptor: the answer"),
        ("trace MIX --token 5 >/dev/full", 1, "stdout: No space left on device: the answer"),
        ("export MIX --card - >/dev/full", 1, "stdout: No space left on device: the answer"),
        ("trace MIX --token 5 2>/dev/full", 0, "token 5 is number 5"),
        ("trace MIX --token 5 <&- 2>&-", 0, "token 5 is number 5"),
        ("audit MIX/none >&- 2>&-", 2, ""),
    ],
)
def test_what_cannot_be_printed_is_named_and_notes_are_lost(
    demo: Demo, tmp_path: Path, arguments: str, code: int, said: str
) -> None:
    ended, printed = shell(tmp_path, arguments.replace("MIX", str(demo.mix)))
    assert (ended, "Traceback" in printed) == (code, False)
    assert said.replace("MIX", str(demo.mix)) in printed


def test_a_build_with_closed_streams_writes_nothing_of_them_into_its_files(tmp_path):
    write_files(tmp_path / "data", "a", {"rows": prose(1, 40)})
    write_recipe(tmp_path, {"a": {"tokens": 300}})
    command = "build mix.yaml --data data --store store --workers 1"
    assert shell(tmp_path, f"{command} --out plain")[0] == 0
    assert shell(tmp_path, f"{command} --out closed <&- >&- 2>&-")[0] in (0, 1)
    one, two = (manifests.load(tmp_path / name)["identity"] for name in ("plain", "closed"))
    assert one == two


def test_names_of_files_are_those_of_the_system_in_a_locale_of_ascii(tmp_path):
    write_files(tmp_path / "données", "a", {"été 1": prose(1, 40)})
    write_recipe(tmp_path, {"a": {"tokens": 300}})
    command = "build mix.yaml --data données --workers 1"
    assert shell(tmp_path, f"{command} --store one --out plain")[0] == 0
    ended, printed = shell(
        tmp_path,
        f"{command} --store two --out ascii",
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert ended == 0, printed
    one, two = (manifests.load(tmp_path / name) for name in ("plain", "ascii"))
    assert one["inputs"]["a"][0]["path"] == two["inputs"]["a"][0]["path"] == "été 1.json.gz"
    assert one["digest"] == two["digest"]


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [io.StringIO, _Screen])
def test_long_work_says_how_far_it_is_how_fast_and_how_long_it_takes(screen, monkeypatch):
    """On a terminal and in a log."""
    shown, done = screen(), [3]
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(report, "LINE_SECONDS", 0.01)
    with report.progress("ingest", 1_000, lambda: done[0]):
        for _ in range(200):
            done[0] += 1
            time.sleep(0.01)
            if re.search(r"ingest.* \d+ of 1,000, [\d,.]+ a minute, \d+ s left", shown.getvalue()):
                break
        else:
            raise AssertionError(shown.getvalue())


def test_work_that_stands_still_or_is_done_promises_nothing(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(report, "LINE_SECONDS", 0.01)
    with report.counted("hash") as update:
        time.sleep(0.1)
        update(5, 5)
        time.sleep(0.1)
    assert {*shown.getvalue().splitlines()} == {"hash: 0%", "hash: 100%"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0.2, "1 s"), (59.0, "59 s"), (61, "2 min"), (3600, "1 h 0 min"), (5340, "1 h 29 min")),
        *((86_400, "1 d 0 h"), (273_600, "3 d 4 h")),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds, said):
    assert report.duration(seconds) == said
