"""docs/ says what the code does: every field, command, option, room and exit code has its line, no
page names one that is not there, and what is shown is what is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from annealmix import __main__ as cli
from mixtures import errors
from mixtures.mix.tables import DOCUMENTS, PROVENANCE
from mixtures.recipe import heading, model, source_request
from mixtures.recipe.decontaminate import Decontamination
from mixtures.recipe.filter_use import FilterRequest, Insert
from mixtures.recipe.load import load_recipe
from mixtures.recipe.near_request import NearRequest
from mixtures.recipe.quality.steps import STEP_NAMES, OneStep
from mixtures.recipe.source_definition import (
    Adapter,
    Conversion,
    DatasetsSplit,
    Format,
    HubSplit,
    PublishedSize,
    SourceDefinition,
)
from mixtures.recipe.tokenizer.definition import GoldenVector
from mixtures.recipe.tokenizer.request import TokenizerRequest
from mixtures.rules.benchmark import PRESETS as COLUMN_PRESETS
from mixtures.rules.benchmark import Benchmark, BenchmarkFile, ItemColumns
from mixtures.rules.filter_definition import (
    BlocklistPin,
    ClassifierParameters,
    ClassifierPin,
    FilterDefinition,
    GoldenDecision,
    LevelPin,
)
from mixtures.rules.near import PRESETS, NearRule
from mixtures.rules.text_expression import Rendering, TextPart
from mixtures.stream.arms import study
from pipeline.executors.slurm.profile import Profile
from pipeline.inputs.adapters.rows import REASONS
from pipeline.inputs.file import LAYOUTS, SUFFIXES
from tests.pages import CHECKOUT, PAGES, Demo, assert_shown, fenced, quoted, section, tables

RECIPES, SOURCES, FILTERS = "docs/recipes.md", "docs/sources.md", "docs/filters.md"
ARMS = "docs/arms.md"
TOKENIZERS, COMMANDS, FORMATS = "docs/tokenizers.md", "docs/commands.md", "docs/formats.md"

FIELDS: list[tuple[str, str, int, type[BaseModel]]] = [
    (RECIPES, "Fields of a recipe", 0, model.Recipe),
    (RECIPES, "Budget", 0, heading.Budget),
    (RECIPES, "Sources", 0, source_request.SourceRequest),
    (RECIPES, "Shortfall", 0, source_request.Shortfall),
    (RECIPES, "Near", 0, NearRequest),
    (RECIPES, "Near", 1, NearRule),
    (RECIPES, "Decontaminate", 0, Decontamination),
    (RECIPES, "Decontaminate", 1, Benchmark),
    (RECIPES, "Decontaminate", 2, BenchmarkFile),
    (RECIPES, "Decontaminate", 3, ItemColumns),
    (RECIPES, "Filters", 0, FilterRequest),
    (RECIPES, "Insert", 0, Insert),
    (RECIPES, "Published", 0, model.Published),
    (RECIPES, "Published", 1, model.PublishedFigures),
    (SOURCES, "In the recipe", 0, HubSplit),
    (SOURCES, "Text", 1, TextPart),
    (SOURCES, "Definitions", 0, SourceDefinition),
    (SOURCES, "Definitions", 1, DatasetsSplit),
    (SOURCES, "Definitions", 2, PublishedSize),
    (SOURCES, "Definitions", 3, Conversion),
    (TOKENIZERS, "Fields of a tokenizer", 0, TokenizerRequest),
    (TOKENIZERS, "Fields of a tokenizer", 1, GoldenVector),
    (FILTERS, "Filters", 0, FilterDefinition),
    (FILTERS, "Filters", 1, BlocklistPin),
    (FILTERS, "Filters", 2, ClassifierPin),
    (FILTERS, "Filters", 3, ClassifierParameters),
    (FILTERS, "Filters", 4, LevelPin),
    (FILTERS, "Filters", 5, GoldenDecision),
    (ARMS, "Fields of a study", 0, study.Study),
    (ARMS, "Fields of a study", 1, study.Arm),
    (ARMS, "Donors", 0, study.Donors),
    ("docs/clusters.md", "A profile", 0, Profile),
]
"""Page, section, place of the table in it, and the record whose fields are its first column."""


def written(value: Any) -> str:
    """A value as a YAML file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return '""' if value == "" else str(value)


@pytest.mark.parametrize(
    ("page", "title", "number", "record"), FIELDS, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_field_has_its_line_with_its_default(page, title, number, record):
    rows = tables(section(page, title))[number][1:]
    documented = [name for row in rows for name in quoted(row[0])]
    assert sorted(documented) == sorted(record.model_fields)
    for row in rows:
        for name in quoted(row[0]):
            field = record.model_fields[name]
            assert (row[1] == "needed") == field.is_required(), f"{page}: {name}"
            if re.fullmatch(r"`.+`", row[1]) and name != "shortfall" and field.default is not None:
                assert row[1] == f"`{written(field.default)}`", f"{page}: {name}"


def test_no_record_that_files_hold_is_left_out():
    """Records below a recipe, a definition or a profile, at any depth."""
    documented = {record for _, _, _, record in FIELDS}
    steps = {step_model(name) for name in STEP_NAMES}
    open_records: list[type[BaseModel]] = list(documented)
    while open_records:
        for field in open_records.pop().model_fields.values():
            for record in records_in(field.annotation):
                known = documented | steps | {OneStep}
                assert record in known or record in Profile.__mro__, f"{record} is not documented"


def records_in(annotation: Any) -> set[type[BaseModel]]:
    """The records that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {record for part in get_args(annotation) for record in records_in(part)}


def step_model(name: str) -> type[BaseModel]:
    """The arguments of a quality step."""
    (record,) = records_in(OneStep.model_fields[name.replace("-", "_")].annotation)
    return record


def test_every_quality_step_has_its_arguments_and_their_defaults():
    rows = tables(section(RECIPES, "Quality"))[0][1:]
    assert [quoted(row[0]) for row in rows] == [[name] for name in STEP_NAMES]
    for row in rows:
        record = step_model(quoted(row[0])[0])
        assert quoted(row[2]) == [
            name
            if field.is_required() or field.default is None
            else f"{name}: {written(field.get_default(call_default_factory=True))}"
            for name, field in record.model_fields.items()
        ]


def test_every_preset_of_near_has_its_numbers():
    rows = tables(section(RECIPES, "Near"))[2][1:]
    for row in rows:
        for name in quoted(row[0]):
            rule = PRESETS[name]
            numbers = [rule.unit, rule.shingle, rule.bands, rule.rows, rule.verify or ""]
            assert row[1:6] == [str(number) for number in numbers], name
    assert sorted(name for row in rows for name in quoted(row[0])) == sorted(PRESETS)


def test_every_preset_of_columns_is_named():
    (row,) = (row for row in tables(section(RECIPES, "Decontaminate"))[1] if row[0] == "`columns`")
    assert sorted(quoted(row[2])) == sorted(COLUMN_PRESETS)


def test_formats_adapters_and_reasons_are_all_there():
    formats = {quoted(row[0])[0]: row[1] for row in tables(section(SOURCES, "Packings"))[0][1:]}
    assert list(formats) == list(get_args(Format))
    for name, suffixes in SUFFIXES.items():
        assert name == "found" or tuple(quoted(formats[name])) == suffixes
    endings = [quoted(row[0]) for row in tables(section(SOURCES, "Formats"))[0][1:]]
    assert sorted(ending for row in endings for ending in row) == sorted(LAYOUTS)
    renderings = tables(section(SOURCES, "Text"))[2][1:]
    assert [row[0] for row in renderings] == [f"`{name}`" for name in get_args(Rendering)]
    adapters = tables(section(SOURCES, "Adapters"))[0][1:]
    assert [row[0] for row in adapters] == [f"`{name}`" for name in get_args(Adapter)]
    reasons = tables(section("docs/faults.md", "Rows"))[0][1:]
    assert [row[0] for row in reasons] == [f"`{name}`" for name in REASONS]


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, by its name."""

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
            name: command
            for commands in choices
            for word in commands
            for name, command in below(commands[word], (*words, word)).items()
        }

    return below(cli._parser(), ())


def options(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a command, but for its help."""
    return {option for action in parser._actions for option in action.option_strings} - {
        "-h",
        "--help",
    }


@pytest.mark.parametrize("command", sorted(parsers()))
def test_every_command_has_its_section_with_each_of_its_options_and_no_other(command):
    text = section(COMMANDS, command.capitalize())
    assert f"annealmix {command}" in text
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    assert named == options(parsers()[command])


def test_readme_lists_every_command():
    rows = tables(section("README.md", "Commands"))[0][1:]
    listed = {
        f"annealmix {words}".strip()
        for row in rows
        for command in quoted(row[0])
        for words in alternatives(command.removeprefix("annealmix "))
    }
    for command in parsers():
        assert any(f"{one} ".startswith(f"annealmix {command} ") for one in listed), command


def alternatives(words: str) -> list[str]:
    """`store ls` and `store gc` of `store ls|gc`."""
    begin, _, last = words.rpartition(" ")
    return [f"{begin} {one}" for one in last.split("|")]


def test_no_page_names_an_option_that_no_command_has():
    known = {"--help", "--version"}.union(*(options(parser) for parser in parsers().values()))
    for page, text in PAGES.items():
        for line in text.splitlines():
            if "annealmix " in line:
                unknown = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line)) - known
                assert not unknown, f"{page}: {line}"


def test_the_examples_are_commands_that_the_parser_takes():
    lines = [
        (page, line.partition("#")[0])
        for page, text in PAGES.items()
        for block in fenced(text)
        for line in block.splitlines()
        if line.startswith("annealmix ")
    ]
    assert len(lines) >= 15
    for page, line in lines:
        words = shlex.split(line.partition(" > ")[0])[1:]
        assert callable(cli._parser().parse_args(words).command), f"{page}: {line}"


def test_the_examples_of_recipes_are_recipes(tmp_path: Path):
    whole = fenced(PAGES[RECIPES].partition("## Fields")[0], "yaml")[0]
    part = fenced(section(RECIPES, "Quality"), "yaml")[0]
    (tmp_path / "mmlu.yaml").write_text(fenced(section(RECIPES, "Decontaminate"), "yaml")[0])
    head = "name: part\nbudget: {tokens: 1000}\ntokenizer: gpt-neox-20b\n"
    for name, recipe in {"whole": whole, "part": f"{head}{part}"}.items():
        (tmp_path / f"{name}.yaml").write_text(recipe, encoding="utf-8")
        assert "dclm" in load_recipe(str(tmp_path / f"{name}.yaml")).recipe.sources


def test_each_line_of_the_example_of_filters_is_one_that_a_recipe_may_have(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("{name: mine, format: jsonl, adapter: text, licence: none}")
    lines = fenced(section(RECIPES, "Filters"), "yaml")[0].splitlines()
    filters = next(line for line in lines if "level: strong}]" in line)
    for line in lines:
        needed = "" if line.startswith("filters") else f"{filters}\n"
        (tmp_path / "recipe.yaml").write_text(
            "name: recipe\nbudget: {tokens: 1000}\ntokenizer: sample\n"
            f"sources: {{dclm: {{use: dclm-dedup, weight: 1}}}}\n{needed}{line}\n"
        )
        load_recipe(str(tmp_path / "recipe.yaml"))


def test_the_example_of_a_filter_and_of_a_profile_are_read(tmp_path: Path):
    from mixtures.rules.filter_files import read_filter
    from pipeline.executors.slurm.profile import load_profile

    (tmp_path / "filter.yaml").write_text(fenced(PAGES[FILTERS], "yaml")[0])
    assert read_filter(tmp_path / "filter.yaml").definition.classifier is not None
    (tmp_path / "cluster.yaml").write_text(fenced(PAGES["docs/clusters.md"], "yaml")[0])
    assert load_profile(tmp_path / "cluster.yaml").tasks == 500


def test_the_whole_example_of_a_source_prints_what_is_shown(tmp_path: Path):
    """Run as a shell runs it, in a folder where there is nothing yet."""
    part = section(SOURCES, "A whole example")
    (script,) = fenced(part, "sh")
    printed, quarantined = fenced(part, "")
    ended = subprocess.run(
        ["sh", "-e", "-c", f"exec 2>&1\n{script}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    assert_shown(printed, ended.stdout.splitlines(), SOURCES)
    (row,) = (tmp_path / "annealmix-store").glob("sources/*/*/ledger/quarantine.jsonl")
    assert row.read_text() == quarantined


def test_the_audit_shown_is_that_of_the_demo(demo: Demo):
    shown = assert_shown(fenced(section(COMMANDS, "Audit"))[0], demo.printed, COMMANDS)
    assert shown[-1].startswith("audit passed: ")


def test_every_file_of_a_mix_folder_is_in_its_table_and_no_other(demo: Demo):
    rows = tables(section(FORMATS, "A mix folder"))[0][1:]
    files = {quoted(row[0])[0].rstrip("/"): row[1] for row in rows}
    assert set(files) == {path.name for path in demo.mix.iterdir()}
    for name, schema in (("documents.parquet", DOCUMENTS), ("provenance.parquet", PROVENANCE)):
        assert ", ".join(schema.names) in files[name]


def test_every_field_of_a_manifest_is_in_its_table_and_no_other(demo: Demo):
    rows = tables(section(FORMATS, "manifest.json"))[0][1:]
    documented = [name for row in rows for name in quoted(row[0])]
    assert sorted(documented) == sorted(json.loads((demo.mix / "manifest.json").read_text()))


def test_every_room_and_module_of_the_code_is_there_and_no_room_is_left_out():
    rows = tables(section("docs/code.md", "Rooms"))[0][1:]
    named = set()
    for row in rows:
        for room in quoted(row[0]):
            assert (CHECKOUT / room).exists(), f"docs/code.md names {room}, which is nowhere"
            named.add(room.rstrip("/"))
            for module in quoted(row[2]):
                path = CHECKOUT / room / module
                assert path.is_dir() or path.with_suffix(".py").is_file(), f"{room}{module}"
                named.add(f"{room}{module}".rstrip("/"))
    rooms = {
        str(path.parent.relative_to(CHECKOUT))
        for package in ("mixtures", "pipeline", "recipes", "annealmix")
        for path in (CHECKOUT / package).rglob("__init__.py")
    }
    assert rooms - {"mixtures", "pipeline"} <= named


def test_the_rooms_stand_in_the_order_of_the_floors():
    layers = (CHECKOUT / "pyproject.toml").read_text().partition("\nlayers = [\n")[2]
    floors = re.findall(r"[a-z.]+", layers.partition("]")[0].replace('"', " "))
    rows = tables(section("docs/code.md", "Rooms"))[0][1:]
    rooms = [
        room.rstrip("/").removesuffix(".py").replace("/", ".")
        for row in rows
        for room in quoted(row[0])
    ]
    assert [room for room in rooms if room in floors] == floors


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_path_that_a_page_names_is_there(page):
    """What stands in back quotes and begins with a folder of the checkout; NAME is any."""
    for word in quoted(PAGES[page]):
        if re.fullmatch(
            r"(mixtures|pipeline|annealmix|recipes|tests|manifests|locks)/[\w./-]*", word
        ):
            assert list(CHECKOUT.glob(word.replace("NAME", "*"))), f"{page} names {word}"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", PAGES[page])
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / path if path else CHECKOUT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }
            assert anchor in anchors, f"{page}: {link}"


def test_every_exit_code_is_told_as_it_is():
    sentence = " ".join(PAGES[COMMANDS].partition("Exit codes:")[2].partition(".\n")[0].split())
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


def test_every_target_of_make_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for page, text in PAGES.items():
        named = " ".join([*quoted(text), *fenced(text)])
        assert set(re.findall(r"\bmake ([a-z0-9-]+)", named)) <= targets, page


def test_no_placeholder_is_left():
    for page, text in PAGES.items():
        assert not re.findall(r"\b[A-Z]{3,}_[A-Z_]{3,}\b", re.sub("ANNEALMIX_|TORCH_", "", text)), (
            page
        )


def test_pre_commit_runs_what_lint_and_types_run():
    makefile = (CHECKOUT / "Makefile").read_text()
    hooks = (CHECKOUT / ".pre-commit-config.yaml").read_text()
    for target in ("lint", "types"):
        block = re.split(rf"^{target}:.*\n", makefile, maxsplit=1, flags=re.MULTILINE)[1]
        commands = re.match(r"(?:\t.*\n)+", block)
        assert commands
        for command in commands[0].split("\n\t"):
            assert f"entry: {command.strip()}\n" in hooks, command


def test_one_version_is_cited_logged_and_built():
    (version,) = re.findall(r'^version = "(.*)"$', (CHECKOUT / "pyproject.toml").read_text(), re.M)
    assert f"\nversion: {version}\n" in (CHECKOUT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in PAGES["CHANGELOG.md"]


def test_the_default_store_and_the_demo_are_ignored():
    lines = (CHECKOUT / ".gitignore").read_text().splitlines()
    store = next(
        action.default
        for action in parsers()["build"]._actions
        if "--store" in action.option_strings
    )
    assert {f"{store}/", "/demo/"} <= set(lines)
