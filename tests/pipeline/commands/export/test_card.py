"""`export --card`: the hub's YAML and a page that say what the manifest says, whatever strings the
manifest holds.
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from annealmix import __main__ as cli
from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import typed
from pipeline.commands.export.card import code, dataset_card, plain, table
from pipeline.commands.export.public import export_public
from pipeline.report import printable
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
HOSTILE = [
    "x\n---\nlicense: mit\n---\n# Fake",
    "| a | b |\n| c",
    "<script>alert(1)</script><img src=x onerror=y>",
    "[click](https://example.org) ![i](https://example.org/i.png) <https://example.org>",
    "`` ` `` **bold** _it_ ~~no~~ &lt; &#60; $x$",
    "```\n</details></summary>\n```",
    "\x1b[31m\x00\u2028\u202e\r\n\t end",
    "- item\n> quote\n    code",
]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("card")
    write_files(work / "data", "one", sharded([*prose(1, 60), *prose(1, 5)], 2))
    write_files(work / "data", "two", sharded(prose(2, 60), 1))
    sources = {"one": {"tokens": 1_500}, "two": {"tokens": 1_000}}
    make(write_recipe(work / "recipe", sources, budget={"tokens": 2_500}), work, work / "data")
    return work / "out"


@pytest.fixture
def manifest(mix: Path) -> dict[str, Any]:
    return deepcopy(manifests.load(mix))


def card_of(manifest: dict[str, Any]) -> str:
    return dataset_card(typed(manifest, "m"), "m")


def metadata(card: str) -> dict[str, Any]:
    """The YAML of a card."""
    said: dict[str, Any] = DatasetCard(card).data.to_dict()
    return said


def rendered(card: str) -> str:
    """The page as HTML, without its YAML."""
    return str(MARKDOWN.render(DatasetCard(card).text))


def test_the_card_says_sizes_licences_and_identity(manifest):
    card = card_of(manifest)
    data = metadata(card)
    assert (data["license"], data["size_categories"], data["pretty_name"]) == (
        "cc0-1.0",
        "n<1K",
        "mix",
    )
    assert data["source_datasets"] == ["owner/name"]
    for said in [
        "2,500 tokens",
        "1,500",
        "60.0000%",
        "CC0",
        manifest["identity"],
        manifest["recipe_digest"],
    ]:
        assert said in card
    page = rendered(card)
    assert re.findall(r"<h\d>(.*?)</h\d>", page) == [
        "mix",
        "Sources",
        "What was removed",
        "Format",
        "Making it again",
    ]
    assert '<th style="text-align:right">duplicates</th>' in page


def test_several_licences_are_other_and_one_that_forbids_commerce_is_said(manifest):
    manifest["sources"][0] |= {"licence": "CC-BY-NC-4.0", "non_commercial": True}
    card = card_of(manifest)
    data = metadata(card)
    assert (data["license"], data["license_name"]) == ("other", "see-the-sources")
    assert "non-commercial" in data["tags"]
    assert (
        "<strong>No commercial use.</strong> The licences of these sources forbid it:"
        " <code>one</code> (CC-BY-NC-4.0)." in rendered(card)
    )


@pytest.mark.parametrize(
    ("documents", "category"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (88_961_637, "10M<n<100M"), (10**9, "n>1B")],
)
def test_the_size_category_is_that_of_the_documents(manifest, documents: int, category: str):
    manifest["total_documents"] = documents
    assert metadata(card_of(manifest))["size_categories"] == category


@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_of_a_manifest_can_change_the_card(manifest, text: str):
    """The same headings, tags and fields, and not one link or tag more, than with harmless
    strings.
    """
    harmless = card_of(_with_strings(manifest, "harmless"))
    hostile = card_of(_with_strings(manifest, text))
    fields, given = metadata(harmless), metadata(hostile)
    assert given.keys() == fields.keys()
    assert {name for name in fields if fields[name] != given[name]} == {"pretty_name"}
    tags = re.compile(r"<(/?[a-zA-Z0-9]+)[ >]")
    before, after = (re.sub(r"</?code>", "", rendered(card)) for card in (harmless, hostile))
    assert tags.findall(after) == tags.findall(before)
    assert "<script" not in after
    assert not re.search(r"<a |<img", after)


def _with_strings(manifest: dict[str, Any], text: str) -> dict[str, Any]:
    """The manifest with a text in every place whose form nothing checks."""
    changed = deepcopy(manifest)
    changed |= {"name": text, "recipe_digest": text, "revisions": {"one": f"{text}@{text}"}}
    changed["tokenizer"]["name"] = text
    changed["recipe"] |= {text: [text]}
    changed["removed"]["one"] |= {f"filter {text}": 3}
    changed["sources"][1] |= {"licence": text, "non_commercial": True}
    blocklist = {"sha256": "0" * 64, "mode": text, "threshold": 2}
    removed = {"one": dict.fromkeys(("documents", "tokens", "first_documents", "first_tokens"), 1)}
    item = {
        "label": text,
        "identity": "1" * 64,
        "placebo": False,
        "fraction": "1",
        "blocklist": blocklist,
        "removed": removed,
        "lengths": {"1": 1},
    }
    classifier = {"kind": text, "digest": "2" * 64, "threshold": "0.5"}
    changed["filters"] = [{**item, "classifier": classifier, "scores": None}]
    return changed


@given(st.text(max_size=60))
def test_a_plain_text_is_one_cell_that_shows_it_and_nothing_else(text: str):
    tokens = MARKDOWN.parse(table(["a", "b"], [[plain(text), code(text)]]))
    cells = [token.children or [] for token in tokens if token.type == "inline"][2:]
    assert len(cells) == 2
    shown = " ".join(printable(text).split())
    assert {child.type for child in cells[0]} <= {"text", "text_special"}
    assert "".join(child.content for child in cells[0]) == shown
    assert "".join(child.content for child in cells[1]) == shown


def test_a_shipped_recipe_is_named_and_another_shown(tmp_path: Path, sample_data: Path, manifest):
    assert (
        cli.main(
            [
                "build",
                "sample",
                "--out",
                str(tmp_path / "mix"),
                "--store",
                str(tmp_path / "store"),
                "--workers",
                "1",
            ]
        )
        == 0
    )
    assert "annealmix build sample --out DIR\n" in card_of(manifests.load(tmp_path / "mix"))
    assert "annealmix build RECIPE --out DIR\n" in card_of(manifest)


def test_the_card_of_a_public_mix_names_the_mix_to_be_built(mix: Path, tmp_path: Path):
    public = export_public(mix, tmp_path / "public", None)
    card = card_of(public)
    assert f"must have identity `{manifests.load(mix)['identity']}`" in card
    assert public["identity"] in card
    assert "SHA-256 of the input files" not in card


def test_the_card_is_written_once_or_printed(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "README.md"
    assert cli.main(["export", str(mix), "--card", str(file)]) == 0
    assert cli.main(["export", str(mix), "--card", "-"]) == 0
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")
    assert cli.main(["export", str(mix), "--card", str(file)]) == 2


def test_a_manifest_of_no_mix_has_no_card(manifest):
    manifest["sources"][0]["documents"] = "many"
    with pytest.raises(ManifestError, match=r"sources\.0\.documents"):
        card_of(manifest)
