"""README says what the code does: its demo is what a build prints, its example builds, and its
recipes and pages are all there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import tokenizers
from pyarrow import parquet

from mixtures.recipe.load import list_recipes
from tests.pages import CHECKOUT, PAGES, Demo, assert_shown, fenced, quoted, section, tables
from tests.pipeline.command_line import passes
from tests.pipeline.corpus import prose
from tests.pipeline.input_files import json_lines

README = PAGES["README.md"]
PICTURE = CHECKOUT / "docs" / "mix-page.png"


def test_readme_fits_on_a_page():
    assert len(README.splitlines()) <= 140


def test_these_are_the_commands_of_make_demo():
    lines = [line.strip() for line in (CHECKOUT / "Makefile").read_text().splitlines()]
    assert ".venv/bin/annealmix build sample --out demo/sample --store demo/store" in lines
    assert ".venv/bin/annealmix audit demo/sample" in lines


def test_the_demo_shows_lines_that_the_audit_prints_in_their_order(demo: Demo):
    block = fenced(README.partition("`make demo` ends with")[2])[0]
    shown = assert_shown(block, demo.printed, "README.md")
    assert shown[-1].startswith("audit passed: "), "the demo does not end with the verdict"
    assert any(line.startswith("identity ") for line in shown), "the demo shows no identity"


def test_the_picture_is_shown_and_small():
    assert f"]({PICTURE.relative_to(CHECKOUT)})" in README
    content = PICTURE.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert len(content) < 300_000


def test_the_mix_of_your_own_data_is_built_and_audited(tmp_path: Path, monkeypatch):
    part = section("README.md", "Your own data")
    for content in fenced(part, "yaml"):
        name = content.partition(".yaml")[0].removeprefix("# ")
        (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
    notes, papers = (prose(seed, 900) for seed in (1, 2))
    (tmp_path / "notes/of 2024").mkdir(parents=True)
    (tmp_path / "notes/of 2024/a.jsonl").write_bytes(
        json_lines([{"data": {"text": text}} for text in notes])
    )
    (tmp_path / "papers").mkdir()
    rows = [{"title": "On mills", "body": text} for text in papers]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "papers/a.parquet")
    own = tokenizers.Tokenizer(tokenizers.models.BPE())
    own.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    own.train_from_iterator(notes[:50], trainer)
    own.save(str(tmp_path / "my.json"))
    monkeypatch.chdir(tmp_path)
    commands = [word.split() for word in quoted(part) if word.startswith("annealmix ")]
    assert [words[1] for words in commands] == ["plan", "build", "audit", "init"]
    for words in commands:
        passes(*words[1:], *(["--workers", "1"] if words[1] == "build" else []))
    manifest = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    assert {source["name"]: source["realised_tokens"] for source in manifest["sources"]} == {
        "notes": 40_000,
        "papers": 20_000,
    }


def test_the_table_of_recipes_lists_every_shipped_recipe():
    rows = tables(section("README.md", "Recipes that are shipped"))[0][1:]
    assert sorted(name for row in rows for name in quoted(row[0])) == list_recipes()


def test_the_table_of_docs_lists_every_page():
    links = section("README.md", "Docs")
    pages = {page for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if f"]({page})" in links} == pages
