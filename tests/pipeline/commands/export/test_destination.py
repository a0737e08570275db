"""What an export or a list writes appears whole and in a place of its own: over nothing, not among
a mix's files, not in part.
"""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import recipes
from mixtures.audit import audit_mix
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe

TOKENIZER = Path(recipes.__file__).parent / "sample" / "tokenizer.json"
TRAINER = ("--tokenizer", TOKENIZER, "--steps", "1", "--batch", "1", "--sequence", "8")
FORMS: dict[str, tuple[str | Path, ...]] = {
    "html": ("--html", "PLACE"),
    "text": ("--text", "PLACE", "--tokenizer", TOKENIZER, "--workers", "1"),
    "card": ("--card", "PLACE"),
    "neox": ("--trainer", "neox", "--out", "PLACE", *TRAINER),
    "nanotron": ("--trainer", "nanotron", "--out", "PLACE", *TRAINER),
    "public": ("--public", "PLACE"),
    "list": ("--list", "PLACE"),
}


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix, and another beside it."""
    folder = tmp_path_factory.mktemp("places")
    write_files(folder / "data", "a", sharded(prose(1, 30), 1))
    for name, tokens in (("mix", 300), ("other", 200)):
        make(write_recipe(folder, {"a": {"tokens": tokens}}), folder, folder / "data", name)
    return folder / "mix"


def command(mix: Path, form: str, place: Path) -> list[str | Path]:
    words = [place if word == "PLACE" else word for word in FORMS[form]]
    return (
        ["diff", mix, mix.with_name("other"), *words] if form == "list" else ["export", mix, *words]
    )


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_written_among_the_files_of_a_mix(mix, form):
    before = files(mix)
    assert "inside the mix" in fails(2, *command(mix, form, mix / "new"))
    assert files(mix) == before


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_exists_is_written_over(mix, tmp_path, form):
    place = tmp_path / "taken"
    place.write_text("precious")
    assert "exists" in fails(2, *command(mix, form, place))
    assert place.read_text() == "precious"
    assert files(tmp_path) == {"taken"}


def test_a_salt_is_not_made_among_the_files_of_a_mix(mix, tmp_path):
    assert "inside the mix" in fails(
        2, "export", mix, "--public", tmp_path / "public", "--salt", mix / "salt"
    )
    assert not (mix / "salt").exists()


def test_a_published_mix_with_its_card_passes_its_audit(mix):
    """As it lies on the hub, which adds a file of its own."""
    passes("export", mix, "--card", mix / "README.md")
    (mix / ".gitattributes").write_text("*.bin filter=lfs\n")
    try:
        assert audit_mix(mix).passed
    finally:
        for name in ("README.md", ".gitattributes"):
            (mix / name).unlink()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file can be flushed, and no parquet file ended."""
    close = pq.ParquetWriter.close

    def refuse(writer: Any) -> None:
        if not isinstance(writer, int):
            close(writer)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(pq.ParquetWriter, "close", refuse)
    yield
    monkeypatch.undo()
    gc.collect()


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("text", "public")])
def test_a_full_disk_leaves_nothing_and_is_said_with_the_name_of_the_file(
    mix, tmp_path, full_disk, form
):
    assert "out: No space left on device" in fails(1, *command(mix, form, tmp_path / "out"))
    assert files(tmp_path) == set()


def test_a_copy_for_which_there_is_no_room_is_named_and_not_what_is_copied(
    mix, tmp_path, monkeypatch
):
    def full(source: Path, target: Path) -> None:
        said = os.strerror(errno.ENOSPC)
        raise OSError(errno.ENOSPC, said, str(source), None, str(target))

    monkeypatch.setattr("pipeline.commands.export.public.shutil.copyfile", full)
    said = fails(1, *command(mix, "public", tmp_path / "out"))
    assert f"{mix / 'tokens.bin'}: No space" not in said
    assert "/tokens.bin: No space left on device" in said
    assert files(tmp_path) == set()
