"""The wheel holds what an installed annealmix needs, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("annealmix", "mixtures", "pipeline", "recipes")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in locks/base.lock")
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(folder),
    ]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("annealmix-*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_every_module_recipe_and_sample_file(wheel: zipfile.ZipFile) -> None:
    wanted = {
        path.relative_to(CHECKOUT).as_posix()
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted


def test_wheel_installs_the_console_script_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (
        name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")
    )
    assert "annealmix = annealmix.__main__:main" in wheel.read(entry_points).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_the_installed_copy_runs_from_another_folder(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "installed")
    (tmp_path / "elsewhere").mkdir()

    def run(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path / "elsewhere",
            env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert run("-m", "annealmix", "--help").startswith("usage: annealmix")
    lines = run(
        "-c",
        "import annealmix; print(annealmix.load_recipe('sample').file); print(annealmix.__file__);"
        "print(annealmix.__version__)",
    ).splitlines()
    assert all(line.startswith(str(tmp_path / "installed")) for line in lines[:2])
    assert f"annealmix-{lines[2]}-" in Path(str(wheel.filename)).name
