"""README says what the code does: its demo is what a build prints, its example builds, and its
recipes and pages are all there.
"""

from __future__ import annotations

from mixtures.recipe.load import list_recipes
from tests.pages import CHECKOUT, PAGES, Demo, assert_shown, fenced, quoted, section, tables

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


def test_the_table_of_recipes_lists_every_shipped_recipe():
    rows = tables(section("README.md", "Recipes that are shipped"))[0][1:]
    assert sorted(name for row in rows for name in quoted(row[0])) == list_recipes()


def test_the_table_of_docs_lists_every_page():
    links = section("README.md", "Docs")
    pages = {page for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if f"]({page})" in links} == pages
