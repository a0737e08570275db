"""`import annealmix` is light, typed and complete; its functions are the commands'."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import annealmix
from annealmix import __main__ as cli


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_importing_it_imports_none_of_what_it_gives():
    ended = run(
        "-c",
        "import annealmix, sys; dir(annealmix); annealmix.__version__\n"
        "print([name for name in ('numpy', 'polars', 'pyarrow', 'pydantic', 'pipeline', 'mixtures')"
        " if name in sys.modules])",
    )
    assert ended.stdout.strip() == "[]", ended.stderr


def test_every_name_of_it_is_there_and_no_other():
    for name in annealmix.__all__:
        assert getattr(annealmix, name) is not None
    with pytest.raises(AttributeError, match="'annealmix' has no attribute 'buidl'"):
        annealmix.buidl  # type: ignore[attr-defined]  # noqa: B018


def test_as_a_module_it_is_the_command_line():
    ended = run("-m", "annealmix", "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: annealmix")
    assert run("-m", "annealmix", "plan", "nowhere").returncode == 2


def test_a_script_that_its_workers_import_fails_instead_of_waiting_for_itself(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, annealmix\n"
        "annealmix.build('sample', out=sys.argv[1], store=sys.argv[2], workers=2)\n"
    )
    ended = run(str(script), str(tmp_path / "mix"), str(tmp_path / "store"))
    assert ended.returncode == 1
    assert 'call it under `if __name__ == "__main__":`' in ended.stderr
    assert not (tmp_path / "mix").exists()


def test_a_plan_is_the_one_of_the_command(capsys, sample_data):
    planned = annealmix.plan(
        "sample", scale=0.05, data={"dolmino-wiki": sample_data / "dolmino-wiki"}
    )
    words = ["--scale", "1/20", "--data", f"dolmino-wiki={sample_data / 'dolmino-wiki'}", "--json"]
    assert cli.main(["plan", "sample", *words]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(planned.as_json()))


@pytest.mark.parametrize(
    "size", [{"tokens": 0}, {"scale": 0}, {"scale": Fraction(3, 2)}, {"tokens": 5, "scale": 0.5}]
)
def test_a_size_that_no_preview_has_is_refused(size):
    with pytest.raises(ValueError, match=r"tokens|scale"):
        annealmix.plan("sample", **size)


def test_a_mix_that_is_built_already_is_opened(built: Path):
    with annealmix.build("sample", out=built, store=built.parent / "store", workers=1) as mix:
        assert mix.identity == annealmix.open_mix(built).identity


def test_an_audit_says_which_checks_failed_as_the_command_does(built: Path, tmp_path, capsys):
    shutil.copytree(built, tmp_path / "mix")
    content = bytearray((built / "tokens.bin").read_bytes())
    content[1000] ^= 1
    (tmp_path / "mix" / "tokens.bin").write_bytes(content)
    audit = annealmix.audit(tmp_path / "mix", full=True, against=[built])
    assert not audit.ok
    assert audit.report.failures
    assert not any(check.ok for check in audit.against)
    assert (
        cli.main(["audit", str(tmp_path / "mix"), "--full", "--json", "--against", str(built)]) == 3
    )
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(audit.as_json()))
