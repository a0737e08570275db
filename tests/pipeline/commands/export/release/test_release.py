"""`export --release`: one folder that `datasets` loads, that says of the mix what its manifest
says, and that holds nothing that a public mix hides.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from copy import deepcopy
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from mixtures.mix import manifest as manifests
from mixtures.mix.claims import typed
from pipeline.commands.export.release import release as release_command
from pipeline.commands.export.release.croissant import croissant
from pipeline.commands.export.release.licences import TO_WRITE, licences_page
from pipeline.commands.export.release.summary import summary
from tests.pipeline.command_line import fails, passes
from tests.pipeline.commands.export.test_card import HOSTILE, MARKDOWN
from tests.pipeline.corpus import read_mix

WRITTEN = {"README.md", "LICENSES.md", "TRAINING-SUMMARY.md", "croissant.json"}
TODAY = date(2026, 1, 2)


@pytest.fixture(scope="module")
def release(made: Path) -> Path:
    return made


@pytest.fixture(scope="module")
def loaded(release: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    return datasets.load_dataset(str(release), cache_dir=str(tmp_path_factory.mktemp("cache")))


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sums_of(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: sha256 for sha256, name in (line.split("  ") for line in lines)}


def test_datasets_loads_every_document_in_stream_order_and_nothing_else(mix: Path, loaded):
    documents = read_mix(mix)
    assert list(loaded) == ["train"]
    assert loaded["train"]["text"][:] == [document.text for document in documents]
    assert loaded["train"]["source"][:] == [document.source for document in documents]
    assert loaded["train"]["position"][:] == list(range(len(documents)))
    assert sum(loaded["train"]["tokens"][:]) == 9_000
    assert len(set(loaded["train"]["id"][:])) == len(documents)


def test_no_file_holds_a_digest_or_the_path_of_a_file_that_was_read(mix: Path, release, loaded):
    everything = b"".join((release / name).read_bytes() for name in sorted(files_of(release)))
    everything += "".join(loaded["train"]["id"][:]).encode()
    tables = pq.read_table(release / "mix" / "documents.parquet")
    everything += b"".join(tables["digest"].combine_chunks().cast("binary").to_pylist())
    for document in read_mix(mix):
        assert document.digest.encode() not in everything
        assert bytes.fromhex(document.digest) not in everything
        assert Path(document.file).name.encode() not in everything


def test_the_tokens_come_along_on_wish_as_a_mix_that_passes_its_audit(
    mix: Path, release: Path, tmp_path: Path
):
    assert "audit passed" in passes("audit", release / "mix").out
    assert (release / "mix" / "manifest.json").read_bytes() == (
        release / "manifest.json"
    ).read_bytes()
    assert (release / "mix" / "tokens.bin").read_bytes() == (mix / "tokens.bin").read_bytes()
    passes("export", mix, "--release", tmp_path / "texts", "--workers", "1")
    assert files_of(tmp_path / "texts") == {
        name for name in files_of(release) if not name.startswith("mix/")
    }


def test_the_sums_are_those_of_all_that_no_person_mends(release: Path):
    sums = sums_of(release)
    assert set(sums) == files_of(release) - WRITTEN - {"SHA256SUMS"}
    for name, sha256 in sums.items():
        assert hashlib.sha256((release / name).read_bytes()).hexdigest() == sha256


def test_the_card_names_the_files_that_are_there(release: Path, mix: Path, tmp_path: Path):
    card = DatasetCard((release / "README.md").read_text(encoding="utf-8"))
    data = card.data.to_dict()
    assert (data["license"], data["license_link"]) == ("other", "LICENSES.md")
    named = set(re.findall(r"^\| `([^`]+)` \|", card.text.split("## Files")[1], re.MULTILINE))
    there = {path.name + ("/" if path.is_dir() else "") for path in release.iterdir()}
    assert named == there - {"README.md"}
    passes("export", mix, "--release", tmp_path / "out", "--workers", "1")
    assert "`mix/`" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_each_source_has_its_licence_and_attribution_and_conflicts_are_named(release: Path):
    page = (release / "LICENSES.md").read_text(encoding="utf-8")
    web, chat, own = page.split("### ")[1:]
    assert "data set `owner/name` of the Hugging Face hub" in web
    assert "[CC-BY-SA-4.0](https://spdx.org/licenses/CC-BY-SA-4.0.html)" in web
    assert "CC-BY-NC-4.0" in chat
    assert f"**{TO_WRITE}**: who made it" in own
    assert "no licence is given of own" in page
    assert page.count("\n- no ") + page.count("\n- CC-BY-SA") == 3


def test_the_command_names_conflicts_and_places_that_a_person_must_fill(mix: Path, tmp_path: Path):
    out = tmp_path / "out"
    said = passes("export", mix, "--release", out, "--workers", "1").err
    assert "licences: no licence is given of own" in said
    assert "licences: no commercial use: chat (CC-BY-NC-4.0)" in said
    for name in ("LICENSES.md", "TRAINING-SUMMARY.md", "croissant.json"):
        places = (out / name).read_text(encoding="utf-8").count(TO_WRITE)
        assert f"{name}: {places} place" in said
    assert ".exporting" not in said


def test_the_summary_has_every_section_of_the_template_and_what_the_manifest_knows(release: Path):
    page = (release / "TRAINING-SUMMARY.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^#+ ([123][.0-9]*)", page, re.MULTILINE)
    assert [number.rstrip(".") for number in numbers] == [
        *("1", "1.1", "1.2", "1.3"),
        *("2", "2.1", "2.2", "2.2.1", "2.2.2", "2.3", "2.4", "2.5", "2.6"),
        *("3", "3.1", "3.2", "3.3"),
    ]
    assert "☒ Less than 1 billion tokens" in page
    assert "9,000 tokens of tokenizer `sample`" in page
    published, brought = page.split("### 2.1. ")[1].split("#### 2.2.1.")[0].split("### 2.2. ")
    assert "☒ Yes ☐ No" in published
    assert "| `web` |" in published
    assert "| `own` |" not in published
    assert "| `own` |" in brought
    assert f"crawlers used by the provider or on behalf of? **{TO_WRITE}**" in page


@pytest.mark.parametrize(
    ("tokens", "size"),
    [
        (10**9 - 1, "Less than 1 billion"),
        (10**9, "1 billion to 10 trillions"),
        (10**13, "1 billion to 10 trillions"),
        (10**13 + 1, "More than 10 trillions"),
    ],
)
def test_the_size_is_that_of_the_template(mix: Path, tokens: int, size: str):
    page = summary(typed(manifests.load(mix) | {"total_tokens": tokens}, "m"), TODAY)
    assert re.findall(r"☒ ([LM1][^<☐]*) tokens<", page) == [size]


def test_sources_that_are_all_published_answer_the_questions_of_the_others(mix: Path):
    manifest = manifests.load(mix)
    for item in manifest["recipe"]["sources"]:
        item["definition"] |= {"repo": "owner/name", "revision": "main"}
    page = summary(typed(manifest, "m"), TODAY)
    assert page.count("☐ Yes ☒ No (2.1 has every source)") == 7
    assert "its maker brought" not in page


def test_croissant_names_every_file_of_data_with_its_sum_and_every_column(release: Path):
    said = json.loads((release / "croissant.json").read_bytes())
    sums = sums_of(release)
    files = {
        item["contentUrl"]: item
        for item in said["distribution"]
        if item["@type"] == "cr:FileObject"
    }
    assert set(files) == {name for name in sums if name.startswith("data/")}
    for name, item in files.items():
        assert item["sha256"] == sums[name]
        assert item["contentSize"] == f"{(release / name).stat().st_size} B"
    columns = [field["source"]["extract"]["column"] for field in said["recordSet"][0]["field"]]
    assert columns == pq.read_schema(release / next(iter(files))).names
    assert "http://mlcommons.org/croissant/1.1" in said["conformsTo"]
    assert {name for name in said if name.startswith("rai:")} >= {
        "rai:dataCollection",
        "rai:dataBiases",
        "rai:personalSensitiveInformation",
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_of_a_manifest_can_change_a_page(mix: Path, text: str):
    tags = re.compile(r"<(/?[a-zA-Z0-9]+)[ >]")
    for write in (partial(summary, date=TODAY), licences_page):
        before, after = (
            MARKDOWN.render(write(typed(_with_strings(manifests.load(mix), name), "m")))
            for name in ("harmless", text)
        )
        plain = [tags.findall(re.sub(r"</?code>", "", page)) for page in (before, after)]
        assert plain[0] == plain[1]
        assert after.count("<a ") == before.count("<a ")


def _with_strings(manifest: dict[str, Any], text: str) -> dict[str, Any]:
    """The manifest with a text in every place that a page shows."""
    changed = deepcopy(manifest)
    changed |= {"name": text, "revisions": {"web": f"owner/name@{text}"}}
    changed["tokenizer"] |= {"name": text, "eod": text, "bos": text}
    changed["removed"]["web"] |= {f"filter {text}": 3}
    changed["sources"][1] |= {"name": text, "licence": text}
    return changed


def test_croissant_is_json_of_any_strings(mix: Path):
    for text in HOSTILE:
        said = croissant(typed(_with_strings(manifests.load(mix), text), "m"), [], TODAY)
        assert json.loads(json.dumps(said))["name"].isprintable()


def test_what_exists_is_not_written_over_and_a_damaged_mix_leaves_nothing(
    mix: Path, tmp_path: Path
):
    (tmp_path / "out").mkdir()
    assert "exists" in fails(2, "export", mix, "--release", tmp_path / "out")
    shutil.copytree(mix, tmp_path / "mix")
    content = bytearray((tmp_path / "mix" / "tokens.bin").read_bytes())
    content[101] ^= 1
    (tmp_path / "mix" / "tokens.bin").write_bytes(content)
    assert "chunk hashes" in fails(3, "export", tmp_path / "mix", "--release", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix", "out"]


def test_what_cannot_be_made_is_said_before_a_mix_is_copied(
    mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(release_command, "export_public", None)
    (tmp_path / "other.json").write_text("{}")
    out = tmp_path / "out"
    assert "tokenizer file" in fails(
        6, "export", mix, "--release", out, "--tokenizer", tmp_path / "other.json"
    )
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "annealmix[report]" in fails(2, "export", mix, "--release", out)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_a_public_mix_is_released_by_the_mix_that_it_was_made_of(release: Path, tmp_path: Path):
    said = fails(2, "export", release / "mix", "--release", tmp_path / "out")
    assert "public already" in said


def test_tokens_are_for_a_release(mix: Path, tmp_path: Path):
    said = fails(2, "export", mix, "--text", tmp_path / "out", "--with-tokens")
    assert "--with-tokens is for --release" in said
