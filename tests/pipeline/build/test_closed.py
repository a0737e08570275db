"""What is stale, damaged, ambiguous or cannot be judged ends a build; nothing passes because its
judge was absent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mixtures.audit import audit_mix
from mixtures.errors import InputError, ManifestError, RecipeError
from pipeline.build.claims import seal
from pipeline.inputs.file import InputFile
from tests.pipeline.corpus import contents, make, prose, read_mix, write_files, write_recipe

TEXTS = prose(7, 60)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_files(tmp_path / "data", "a", {"one": TEXTS}, "jsonl")
    return write_recipe(
        tmp_path / "recipes", {"a": {"tokens": 1_500}}, {"a": "jsonl"}, budget={"tokens": 1_500}
    )


def build(recipe: Path, folder: Path, out: str = "out") -> str:
    return str(make(recipe, folder, folder / "data", out)["identity"])


def replace_in_place(path: Path, texts: list[str]) -> None:
    """Put other rows of the same length into a file, keeping its size, inode and time of change."""
    before = path.stat()
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    assert len(content) == before.st_size
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def group_of(folder: Path) -> Path:
    (ledger,) = (folder / "store" / "sources").glob("*/*/ledger")
    return ledger.parent


def test_a_group_that_is_read_anew_makes_an_older_selection_worthless(tmp_path, recipe):
    build(recipe, tmp_path)
    shutil.rmtree(group_of(tmp_path))
    replace_in_place(
        tmp_path / "data" / "a" / "one.jsonl",
        [text.translate(str.maketrans("eo", "oe")) for text in TEXTS],
    )
    build(recipe, tmp_path, "again")
    fresh = tmp_path / "fresh"
    shutil.copytree(tmp_path / "data", fresh / "data")
    build(recipe, fresh)
    assert contents(tmp_path / "again") == contents(fresh / "out")


def test_tokens_of_another_ledger_are_refused(tmp_path, recipe, monkeypatch):
    # as if the file system had no ctime, which no program can set back
    monkeypatch.setattr(InputFile, "state", property(lambda file: (file.mtime_ns, file.inode)))
    build(recipe, tmp_path)
    shutil.rmtree(group_of(tmp_path) / "ledger")
    replace_in_place(
        tmp_path / "data" / "a" / "one.jsonl",
        [text.translate(str.maketrans("eo", "oe")) for text in TEXTS],
    )
    with pytest.raises(
        ManifestError, match="made for a ledger that is no longer there; delete the group"
    ):
        build(recipe, tmp_path, "again")
    assert not (tmp_path / "again").exists()


def test_a_ledger_that_is_made_again_from_the_same_files_keeps_its_tokens(tmp_path, recipe):
    identity = build(recipe, tmp_path)
    (tokens,) = group_of(tmp_path).glob("tokens-*")
    inode = tokens.stat().st_ino
    shutil.rmtree(group_of(tmp_path) / "ledger")
    assert build(recipe, tmp_path, "again") == identity
    assert tokens.stat().st_ino == inode


@pytest.mark.parametrize(
    "pattern",
    ["sources/*/*/ledger/done.json", "sources/*/*/tokens-*/done.json", "select/*/p0000/done.json"],
)
@pytest.mark.parametrize("damage", ["number", "bit", "empty"])
def test_an_edited_done_record_is_refused(tmp_path, recipe, pattern, damage):
    build(recipe, tmp_path)
    (path,) = (tmp_path / "store").glob(pattern)
    content = path.read_text()
    if damage == "number":
        at = max(content.rfind(digit) for digit in "123456789")
        path.write_text(content[:at] + "0" + content[at + 1 :])
    elif damage == "bit":
        path.write_text(content.replace('"bytes"', '"bytds"', 1))
    else:
        path.write_text("")
    with pytest.raises(ManifestError, match=r"done\.json"):
        build(recipe, tmp_path, "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "name",
    ["0000.tokens", "0000.offset", "0000.digest", "0000.row", "a.num_tokens", "a.ledger_row"],
)
def test_a_flipped_bit_in_the_store_is_refused(tmp_path, recipe, name):
    build(recipe, tmp_path)
    (path,) = (tmp_path / "store").rglob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=f"{name}: has BLAKE3"):
        build(recipe, tmp_path, "again")


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bin deleted": lambda folder: (folder / "tokens.bin").unlink(),
    "bit of the bin": lambda folder: flip(folder / "tokens.bin"),
    "idx deleted": lambda folder: (folder / "tokens.idx").unlink(),
    "bit of the idx": lambda folder: flip(folder / "tokens.idx"),
    "part deleted": lambda folder: (folder / "documents.parquet" / "part-00001.parquet").unlink(),
    "bit of a part": lambda folder: flip(folder / "provenance.parquet" / "part-00000.parquet"),
    "records swapped": lambda folder: swap(
        folder / "slices" / "00000.json", folder / "slices" / "00001.json"
    ),
    "record edited": lambda folder: flip(folder / "slices" / "00001.json"),
    "stray file": lambda folder: (folder / "notes.txt").write_text("mine"),
    "stray part": (
        lambda folder: (folder / "documents.parquet" / ".part-00000.parquet.12").write_text("mine")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_unfinished_mix_is_mended_before_it_is_published(
    tmp_path, recipe, damage, monkeypatch
):
    build(recipe, tmp_path, "whole")

    def stop(*arguments: object) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(seal, "seal", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            build(recipe, tmp_path)
    (unfinished,) = tmp_path.glob(".out.building-*")
    DAMAGES[damage](unfinished)
    build(recipe, tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert [check.name for check in audit_mix(tmp_path / "out").failures] == []


def test_one_definition_name_cannot_mean_two_things(tmp_path):
    for folder in ("one", "two"):
        write_files(tmp_path / folder, "pre", {"x": TEXTS[:30]})
    write_recipe(tmp_path / "recipes", {"pre": {"all": "true"}}, name="other", data="../one")
    definition = tmp_path / "recipes" / "pre.yaml"
    (tmp_path / "recipes" / "sub").mkdir()
    write_recipe(tmp_path / "recipes" / "sub", {"pre": {"all": "true"}}, name="first")
    changed = json.loads(definition.read_text()) | {"where": {"source": ["x"]}}
    (tmp_path / "recipes" / "sub" / "pre.yaml").write_text(json.dumps(changed))
    mix = write_recipe(
        tmp_path / "recipes", {"pre": {"all": "true"}}, name="mix", exclude=["sub/first.yaml"]
    )
    with pytest.raises(
        RecipeError, match="both use a definition called 'pre', but not the same definition"
    ):
        make(mix, tmp_path, tmp_path / "one")


def test_an_excluded_recipe_brings_its_own_data_folder_or_the_build_fails(tmp_path):
    folder = tmp_path / "recipes"
    for name, texts in (("one", TEXTS[:30]), ("two", TEXTS[20:])):
        write_files(folder / name, "pre", {"x": texts})
    write_recipe(folder, {"pre": {"all": "true"}}, name="first", data="one")
    mix = write_recipe(
        folder, {"pre": {"all": "true"}}, name="mix", data="two", exclude=["first.yaml"]
    )
    with pytest.raises(RecipeError, match="not the same data folder"):
        make(mix, tmp_path, None)  # type: ignore[arg-type]


def test_documents_of_an_excluded_recipe_with_other_data_are_excluded(tmp_path):
    folder = tmp_path / "recipes"
    write_files(folder / "one", "pre", {"x": TEXTS[:30]})
    write_files(folder / "two", "post", {"x": TEXTS[20:]})
    write_recipe(folder, {"pre": {"all": "true"}}, name="first", data="one")
    mix = write_recipe(
        folder, {"post": {"all": "true"}}, name="mix", data="two", exclude=["first.yaml"]
    )
    make(mix, tmp_path, None)  # type: ignore[arg-type]
    assert sorted(document.text for document in read_mix(tmp_path / "out")) == sorted(TEXTS[30:])


def test_an_excluded_source_that_cannot_be_read_fails_the_build(tmp_path):
    write_files(tmp_path / "data", "pre", {"x": TEXTS[:20]}, "jsonl")
    write_files(tmp_path / "data", "post", {"x": TEXTS}, "jsonl")
    lines = (tmp_path / "data" / "pre" / "x.jsonl").read_text().splitlines()
    (tmp_path / "data" / "pre" / "x.jsonl").write_text(
        "\n".join([lines[0], *(line[:-5] for line in lines[1:])]) + "\n"
    )
    packings = {"pre": "jsonl", "post": "jsonl"}
    write_recipe(tmp_path / "recipes", {"pre": {"all": "true"}}, packings, name="first")
    mix = write_recipe(
        tmp_path / "recipes",
        {"post": {"all": "true"}},
        packings,
        name="mix",
        exclude=["first.yaml"],
    )
    with pytest.raises(InputError, match=r"sources\.first/pre: 19 of 20 rows are unreadable"):
        make(mix, tmp_path, tmp_path / "data")
    assert not (tmp_path / "out").exists()


def test_a_link_as_the_place_of_a_mix_is_refused_before_any_work(tmp_path, recipe):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="symbolic link"):
        build(recipe, tmp_path)
    assert not (tmp_path / "store").exists()


def test_damaged_tokens_are_found_even_if_their_ledger_is_made_again(tmp_path, recipe):
    build(recipe, tmp_path)
    shutil.rmtree(group_of(tmp_path) / "ledger")
    (tokens,) = (tmp_path / "store").rglob("0000.tokens")
    flip(tokens)
    with pytest.raises(ManifestError, match=r"0000\.tokens: has BLAKE3"):
        build(recipe, tmp_path, "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(("out", "store"), [("x", "x"), ("x/mix", "x"), ("x", "x/store")])
def test_a_mix_and_a_store_inside_one_another_are_refused_before_any_work(
    tmp_path, recipe, out, store
):
    with pytest.raises(RecipeError, match="lie one inside the other"):
        make(recipe, tmp_path, tmp_path / "data", out, store)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_whose_main_process_alone_is_killed_is_finished_by_the_same_command(
    tmp_path, workers
):
    command = [sys.executable, "-m", "annealmix", "build", "sample", "--workers", str(workers)]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "store").glob("work/*/plan.json")):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    reference = json.loads((Path(__file__).parents[3] / "manifests" / "sample.json").read_text())
    assert f"identity {reference['identity']}" in again.stdout
