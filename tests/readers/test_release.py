"""mlcroissant takes the Croissant file of a release for valid, and reads every document by it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from annealmix import __main__ as cli
from pipeline.commands.export.release.croissant import placed
from tests.readers.sample_mix import Mix

pytestmark = pytest.mark.readers


@pytest.fixture(scope="module")
def file(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release") / "out"
    assert cli.main(["export", str(mix.folder), "--release", str(out), "--workers", "1"]) == 0
    return out / "croissant.json"


def test_mlcroissant_validate_finds_no_error_and_nothing_to_warn_of(file: Path, tmp_path: Path):
    """As it is made, and with what a push adds."""
    import mlcroissant

    shutil.copytree(file.parent, tmp_path / "pushed")
    pushed = tmp_path / "pushed" / file.name
    placed(pushed, "owner/name")
    for one in (file, pushed):
        command = [Path(sys.executable).with_name("mlcroissant"), "validate", "--jsonld", one]
        words = list(map(str, command))
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "Done." in done.stderr
        assert "arning" not in done.stderr
        issues = mlcroissant.Dataset(str(one)).metadata.ctx.issues
        assert (issues.errors, issues.warnings) == (set(), set())


def test_a_croissant_file_that_is_wrong_is_seen(file: Path, tmp_path: Path):
    """The test above can fail."""
    import mlcroissant

    wrong = tmp_path / "croissant.json"
    said = file.read_text(encoding="utf-8")
    wrong.write_text(said.replace('"@id": "parquet-files"', '"@id": "nowhere"', 1))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(str(wrong))


def test_mlcroissant_reads_every_document_in_stream_order(file: Path, mix: Mix):
    import mlcroissant

    records = list(mlcroissant.Dataset(str(file)).records("documents"))
    assert [record["documents/position"] for record in records] == list(range(len(mix.num_tokens)))
    assert [record["documents/tokens"] for record in records] == mix.num_tokens.tolist()
    assert all(isinstance(record["documents/text"], bytes) for record in records)
