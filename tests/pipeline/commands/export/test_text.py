"""`export --text`: `datasets` reads the documents of the mix, all of them, in order; the bytes
depend on nothing but the mix.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recipes
from annealmix import __main__ as cli
from mixtures.errors import AuditFailed, ManifestError, RecipeError
from pipeline.commands.export.text import export_text
from tests.pipeline.corpus import make, nfc, prose, read_mix, sharded, write_files, write_recipe

HARD = [
    "",
    "cafe\u0301 A\u030a",
    "a<|endoftext|>b",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001d54f",
    " a  b\n\n",
    "x" * 4000,
]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources in some slices, one of them gone through three times and cut in the third."""
    work = tmp_path_factory.mktemp("text")
    write_files(work / "data", "few", sharded([*HARD, *prose(1, 40)], 2))
    write_files(work / "data", "many", sharded(prose(2, 300), 3))
    sources: dict[str, dict[str, object]] = {
        "few": {"tokens": 12_000, "shortfall": {"repeat": 9}},
        "many": {"tokens": 6_000},
    }
    make(write_recipe(work / "recipe", sources, budget={"tokens": 18_000}), work, work / "data")
    return work / "out"


@pytest.fixture(scope="module")
def shards(mix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "text"
    export_text(mix, out, None, workers=1, shard_tokens=500)
    return out


@pytest.fixture(scope="module")
def loaded(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """The folder as `datasets` opens it, without being told anything of it."""
    return datasets.load_dataset(str(shards), cache_dir=str(tmp_path_factory.mktemp("cache")))[
        "train"
    ]


def test_datasets_loads_every_document_with_its_text_in_stream_order(
    mix: Path, loaded: datasets.Dataset
):
    documents = read_mix(mix)
    assert loaded["text"][:] == [document.text for document in documents]
    assert loaded["position"][:] == list(range(len(documents)))
    assert loaded["source"][:] == [document.source for document in documents]
    assert loaded["tokens"][:] == [document.num_tokens for document in documents]
    assert loaded["cut"][:] == [document.cut for document in documents]
    assert any(loaded["cut"][:])


def test_the_texts_are_those_of_the_sources_in_the_normalised_form(loaded: datasets.Dataset):
    few = [row["text"] for row in loaded if row["source"] == "few" and not row["cut"]]
    assert set(few) == {nfc(text) for text in [*HARD, *prose(1, 40)] if text}


def test_an_id_is_the_digest_and_names_the_epoch_and_no_two_are_equal(
    mix: Path, loaded: datasets.Dataset
):
    wanted = [
        document.digest + (f"-e{document.epoch}" if document.epoch else "")
        for document in read_mix(mix)
    ]
    assert loaded["id"][:] == wanted
    assert len(set(wanted)) == len(wanted)
    assert any(name.endswith("-e1") for name in wanted)


def test_names_of_shards_sort_in_stream_order_and_nothing_else_is_there(shards: Path):
    names = sorted(path.name for path in shards.iterdir())
    assert len(names) > 10
    assert names == [
        f"train-{number:05d}-of-{len(names):05d}.parquet" for number in range(len(names))
    ]
    assert not list(shards.parent.glob(".*"))


def test_two_workers_write_the_same_bytes_as_one(mix: Path, shards: Path, tmp_path: Path):
    export_text(mix, tmp_path / "two", None, workers=2, shard_tokens=500)
    one, two = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (shards, tmp_path / "two")
    )
    assert one == two


def test_what_exists_is_not_written_over(mix: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RecipeError, match="exists"):
        export_text(mix, tmp_path / "out", None, workers=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_another_tokenizer_is_refused(mix: Path, tmp_path: Path):
    content = (Path(recipes.__file__).parent / "sample" / "tokenizer.json").read_text(
        encoding="utf-8"
    )
    changed = re.sub(
        r'"(\w+)": ?(\d{3})\b', lambda found: f'"{found[1]}zz": {found[2]}', content, count=1
    )
    assert changed != content
    (tmp_path / "other.json").write_text(changed, encoding="utf-8")
    with pytest.raises(ManifestError, match="canonical digest"):
        export_text(mix, tmp_path / "out", tmp_path / "other.json", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_changed_table_ends_the_export_and_leaves_nothing(mix: Path, tmp_path: Path):
    shutil.copytree(mix, tmp_path / "mix")
    part = tmp_path / "mix" / "documents.parquet" / "part-00000.parquet"
    table = pq.read_table(part)
    source = table.schema.get_field_index("source")
    relabelled = table.set_column(source, "source", pa.array(["many"] * table.num_rows))
    pq.write_table(relabelled, part)
    with pytest.raises(AuditFailed, match="the manifest lists"):
        export_text(tmp_path / "mix", tmp_path / "out", None, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mix"]


def test_the_command_says_what_it_wrote(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["export", str(mix), "--text", str(tmp_path / "text"), "--workers", "1"]) == 0
    assert f"{len(read_mix(mix)):,} documents" in capsys.readouterr().err
    assert len(list((tmp_path / "text").iterdir())) >= 1


def test_options_of_another_form_are_refused(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for words in (
        ["--text", str(tmp_path / "x"), "--batch", "2"],
        ["--card", "-", "--salt", "s"],
        ["--trainer", "neox", "--workers", "2"],
    ):
        assert cli.main(["export", str(mix), *words]) == 2
        assert "leave it out" in capsys.readouterr().err
