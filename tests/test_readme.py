"""README says what the code does: its demo is what a build prints; commands, recipes, exit codes
and places are all there and real.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixtures import errors
from mixtures.recipe.load import list_recipes, load_recipe
from pipeline import cli

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next heading of its level."""
    _, found, rest = README.partition(f"\n## {title}\n")
    assert found, f"README has no section {title!r}"
    return re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """Rows of the first table of a text, without its head; a `\\|` is no border."""
    rows = [
        re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def fenced(text: str) -> str:
    """The first block between fences."""
    return text.split("```", 2)[1].partition("\n")[2]


def quoted(text: str) -> list[str]:
    """What stands in back quotes."""
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The working folder of the commands of `make demo`, and the lines that the audit prints."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (
            ["build", "sample", "--out", "demo/sample", "--store", "demo/store", "--workers", "1"],
            ["audit", "demo/sample"],
        ):
            printed = io.StringIO()
            with contextlib.redirect_stderr(printed):
                assert cli.main(words) == 0, printed.getvalue()
    return folder, [line.rstrip() for line in printed.getvalue().splitlines()]


def test_these_are_the_commands_of_make_demo():
    lines = [line.strip() for line in (CHECKOUT / "Makefile").read_text().splitlines()]
    assert ".venv/bin/annealmix build sample --out demo/sample --store demo/store" in lines
    assert ".venv/bin/annealmix audit demo/sample" in lines


def test_the_demo_shows_lines_that_the_audit_prints_in_their_order(demo):
    """Whole lines of the audit, in order; `...` stands for any that are left out."""
    shown = [
        line.rstrip() for line in fenced(README.partition("`make demo` ends with")[2]).splitlines()
    ]
    shown = [line for line in shown if line and line.strip() not in ("...", "…")]
    rest: Iterator[str] = iter(demo[1])
    for line in shown:
        assert line in rest, f"the audit does not print this line, or not at this place: {line!r}"
    assert shown[-1].startswith("audit passed: "), "the demo does not end with the verdict"
    assert any(line.startswith("identity ") for line in shown), (
        "the demo does not show the identity"
    )


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command that the help lists, by its name; `worker` is given by jobs
    alone.
    """

    def below(
        parser: argparse.ArgumentParser, words: tuple[str, ...]
    ) -> dict[str, argparse.ArgumentParser]:
        choices = [
            action.choices
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
        ]
        if not choices:
            return {" ".join(words): parser}
        return {
            name: found
            for given in choices
            for word in given
            for name, found in below(given[word], (*words, word)).items()
        }

    return {
        name: parser
        for name, parser in below(cli._parser(), ()).items()
        if not name.startswith("worker ")
    }


def test_there_are_commands():
    assert set(parsers()) >= {"plan", "build", "audit", "store"}


@pytest.mark.parametrize("command", sorted(parsers()))
def test_every_command_and_each_of_its_options_is_in_readme(command):
    assert f"annealmix {command}" in section("Commands")
    for action in parsers()[command]._actions:
        for option in action.option_strings:
            if option not in ("-h", "--help"):
                assert re.search(rf"{re.escape(option)}(?![\w-])", README), (
                    f"annealmix {command} {option} is not in README"
                )


def test_readme_names_no_option_that_no_command_has():
    known = {
        option
        for parser in parsers().values()
        for action in parser._actions
        for option in action.option_strings
    }
    for line in README.splitlines():
        if "annealmix " in line:
            assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line)) <= known, line


def test_the_examples_are_commands_that_the_parser_takes():
    lines = [
        line.partition("#")[0].split() for line in fenced(section("A mix of your own")).splitlines()
    ]
    commands = [words for words in lines if words]
    assert len(commands) >= 3
    for words in commands:
        assert words[0] == "annealmix"
        assert callable(cli._parser().parse_args(words[1:]).command)


def test_the_examples_of_recipes_are_recipes(tmp_path: Path):
    evaluation = (
        f"name: mmlu\nfiles: [{{path: mmlu.jsonl, sha256: {'0' * 64}}}]\nformat: jsonl\ncolumns:"
        " mmlu\n"
    )
    (tmp_path / "mmlu.yaml").write_text(evaluation, encoding="utf-8")
    whole = fenced(section("A mix of your own").split("```", 2)[2])
    part = fenced(section("Quality steps, near-duplicates and evaluation sets"))
    recipes = {
        "whole": whole,
        "part": f"name: part\nbudget: {{tokens: 1000}}\ntokenizer: gpt-neox-20b\n{part}",
    }
    for name, recipe in recipes.items():
        (tmp_path / f"{name}.yaml").write_text(recipe, encoding="utf-8")
        assert "dclm" in load_recipe(str(tmp_path / f"{name}.yaml")).recipe.sources


def test_the_table_of_recipes_lists_every_shipped_recipe():
    named = [name for row in table(section("A mix of your own")) for name in quoted(row[0])]
    assert sorted(named) == list_recipes()


def test_every_file_of_a_mix_folder_is_in_its_table_and_no_other(demo):
    named = {name.rstrip("/") for row in table(section("A mix folder")) for name in quoted(row[0])}
    assert named == {path.name for path in (demo[0] / "demo" / "sample").iterdir()}


def test_the_columns_of_the_documents_are_named(demo):
    from mixtures.mix.tables import DOCUMENTS, PROVENANCE

    rows = {quoted(row[0])[0].rstrip("/"): row[1] for row in table(section("A mix folder"))}
    for name, schema in (("documents.parquet", DOCUMENTS), ("provenance.parquet", PROVENANCE)):
        assert ", ".join(schema.names) in rows[name]


def test_everything_in_the_reading_order_exists():
    """A word in back quotes is a path, or the name of a module or folder of the package that its
    row begins with.
    """
    rows = table(section("The code, in reading order"))
    assert len(rows) >= 5
    for row in rows:
        words = quoted(row[0])
        package = CHECKOUT / Path(words[0]).parts[0]
        for word in [*words, *quoted(row[1])]:
            places = [
                base / f"{word}{ending}"
                for base in (CHECKOUT, package)
                for ending in ("", ".py", ".yaml")
            ]
            assert any(place.exists() for place in places), f"README names {word}, which is nowhere"


def test_every_exit_code_is_told_as_it_is():
    sentence = " ".join(section("Commands").partition("Exit codes:")[2].partition(".")[0].split())
    told = {int(code): words for code, words in re.findall(r"(\d) ([a-z ]+)", sentence)}
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AnnealmixError)
    }
    assert set(told) == codes | {0}
    epilog = " ".join((cli._parser().epilog or "").split())
    for code in codes | {0}:
        assert f"{code} {told[code]}" in epilog


def test_every_target_of_make_that_readme_names_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(
            re.findall(
                r"`?make ([a-z0-9-]+)", " ".join([*quoted(README), fenced(section("Two commands"))])
            )
        )
        <= targets
    )


def test_no_placeholder_is_left():
    assert not re.findall(r"\b[A-Z]{3,}_[A-Z_]{3,}\b", README)
