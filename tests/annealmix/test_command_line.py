"""The commands: answers on stdout (a table, or with --json one JSON value and nothing else),
progress and notes on stderr; signals end them cleanly.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import annealmix
from annealmix import __main__ as cli
from annealmix.completion import SHELLS
from mixtures.mix import manifest as manifests
from mixtures.recipe.load import list_recipes
from pipeline import report
from pipeline.commands.recipe.schema import RECORDS
from pipeline.store.store import Store
from tests.pipeline.command_line import (
    CHECKOUT,
    HUB_PACKINGS,
    Ended,
    MovingHub,
    Process,
    moving_hub,
    obey_interrupts,
    passes,
    run,
    until,
)
from tests.pipeline.corpus import contents, prose, sharded, write_files, write_recipe


class Sample(NamedTuple):
    """The shipped sample, built: its folder, its store, the disjoint mix beside it, and how the
    builds ended.
    """

    mix: Path
    store: Path
    other: Path
    table: Ended
    answer: Ended


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    mix, other, store = folder / "sample", folder / "other", folder / "store"
    table = passes("build", "sample", "--out", mix, "--store", store)
    answer = passes("build", "sample-pretraining", "--out", other, "--store", store, "--json")
    return Sample(mix, store, other, table, answer)


def test_build_prints_its_table_to_stdout_and_notes_to_stderr(sample):
    for words in ("last document cut", "200,000"):
        assert words in sample.table.out
        assert words not in sample.table.err
    for words in (
        "groups of input files to read",
        "camel-biology was 383 tokens short; dclm gave what was missing",
        "CC-BY-NC-4.0 forbids",
    ):
        assert words in sample.table.err
        assert words not in sample.table.out
    assert sample.table.mix == manifests.load(sample.mix)["identity"]


def test_build_prints_the_manifest_with_json(sample):
    assert (
        sample.answer.answer
        == manifests.load(sample.other)
        == json.loads((sample.other / "manifest.json").read_text())
    )
    assert "last document cut" not in sample.answer.out + sample.answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("build --output q", "unknown option '--output'; did you mean '--out'?"),
        ("biuld x --output q", "unknown command 'biuld'; did you mean 'build'?"),
        ("store gx", "unknown command 'gx'"),
        ("plan sample --date=x", "unknown option '--date'; did you mean '--data'?"),
    ],
)
def test_what_is_not_known_is_said_before_what_is_missing(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.code, said in line) == (2, True)


def test_building_again_says_so_and_answers_the_same(sample):
    again = passes("build", "sample", "--out", sample.mix, "--store", sample.store, "--json")
    assert "built already" in again.err
    assert again.answer == manifests.load(sample.mix)


def commands(sample: Sample) -> dict[str, tuple[list[Any], str]]:
    """Every command that answers in a table or in JSON, and a word of its table."""
    recipe_data = CHECKOUT / "recipes" / "sample" / "data"
    return {
        "plan": (["plan"], "annealing-50b"),
        "plan RECIPE": (["plan", "annealing-50b"], "supply estimates: published"),
        "plan --tokens": (
            ["plan", "annealing-50b", "--tokens", "1_000_000"],
            "supply estimates: published",
        ),
        "plan --scale": (["plan", "pretraining-500b", "--scale", "1/1000"], "estimated cost"),
        "plan of a recipe with data": (["plan", "sample"], "supply estimates: probe;"),
        "plan --data": (["plan", "sample", "--data", recipe_data], "supply estimates: probe;"),
        "audit": (["audit", sample.mix], "audit passed"),
        "audit --full": (["audit", sample.mix, "--full"], "audit passed"),
        "audit --against": (
            ["audit", sample.mix, "--against", sample.other],
            "shared documents with sample-pretraining",
        ),
        "bare audit": (["audit", sample.mix / "tokens"], "audit passed"),
        "bare audit by its .bin": (["audit", sample.mix / "tokens.bin"], "audit passed"),
        "bare audit by its .idx": (["audit", sample.mix / "tokens.idx"], "audit passed"),
        "store ls": (["store", "ls", "--store", sample.store], "dclm-dedup"),
        "store gc": (["store", "gc", "--store", sample.store], "tokens and ledgers stay"),
    }


NAMES = [
    *(
        "plan",
        "plan RECIPE",
        "plan --tokens",
        "plan --scale",
        "plan of a recipe with data",
        "plan --data",
        "audit",
        "audit --full",
    ),
    *(
        "audit --against",
        "bare audit",
        "bare audit by its .bin",
        "bare audit by its .idx",
        "store ls",
        "store gc",
    ),
]


def test_these_are_all_commands(sample):
    assert list(commands(sample)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_command_prints_its_table_to_stdout_and_with_json_one_value(sample, name):
    arguments, word = commands(sample)[name]
    table = passes(*arguments)
    assert word in table.out
    assert word not in table.err
    answer = passes(*arguments, "--json")
    assert answer.answer
    assert word not in answer.err
    assert answer.out.endswith("\n")


def test_plan_lists_every_shipped_recipe():
    assert [recipe["name"] for recipe in passes("plan", "--json").answer] == list_recipes()


def test_plan_in_json_holds_the_asked_tokens_and_a_preview_keeps_their_proportions():
    whole, preview = (
        passes("plan", "annealing-50b", *more, "--json").answer
        for more in ([], ["--tokens", "1_000_000"])
    )
    assert (whole["total_tokens"], preview["total_tokens"]) == (50_000_300_033, 1_000_000)
    for name, source in whole["sources"].items():
        assert (
            abs(source["asked_tokens"] / 50_000.3 - preview["sources"][name]["asked_tokens"]) <= 1
        )


def test_plan_reads_the_data_folder_that_it_is_given(tmp_path):
    write_files(tmp_path / "data", "a", sharded(prose(1, 50), 2))
    recipe = write_recipe(tmp_path / "recipes", {"a": {"tokens": 100}})
    plan = passes("plan", recipe, "--data", tmp_path / "data", "--json").answer
    assert plan["sources"]["a"]["supply_documents_estimated"] >= 25
    assert plan["sources"]["a"]["supply_basis"].startswith("probe of 2 of 2 files")


SCHEMAS = {
    "recipe": {"name", "budget", "tokenizer", "exclude", "sources"},
    "study": {"name", "base", "arms", "donors"},
    "source": {"name", "format", "adapter", "licence"},
    "tokenizer": {"name", "digest", "eod_id"},
    "filter": {"name", "blocklist", "golden"},
    "evaluation-set": {"name", "files"},
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_schema_is_that_of_what_was_asked(what):
    schema = passes("schema", what)
    assert SCHEMAS[what] <= set(schema.answer["properties"])
    assert schema.err == ""


def test_these_are_all_schemas():
    assert tuple(SCHEMAS) == RECORDS


@pytest.mark.parametrize("words", [[], ["store"], ["filter"]])
def test_a_command_without_its_words_prints_its_help_and_ends_with_2(words):
    ended = run(*words)
    assert (ended.code, ended.err) == (2, "")
    assert ended.out == run(*words, "--help").out


def test_the_version_is_that_of_the_package():
    assert passes("--version").out == f"annealmix {annealmix.__version__}\n"


def test_no_help_nor_suggestion_names_the_command_of_jobs():
    assert "worker" not in run("--help").out + run("biuld").err
    assert run("worker").err.startswith("usage: annealmix worker")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_knows_every_command_and_option_of_it(shell):
    script = passes("completion", shell).out
    for word in ("audit", "train", "evaluation-set", "source-check", "dry-run"):
        assert word in script
    assert "conduct" not in script, "a word of jobs alone"
    if shell == "bash":
        read = ["bash", "-c", script + "\ncomplete -p annealmix"]
        done = subprocess.run(read, capture_output=True, text=True, check=True)
        assert done.stdout.endswith(" annealmix\n")


def helps(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that has a help."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from helps(below, *words, word)


EXAMPLES = {
    line.strip()
    for words in helps(cli._parser())
    for line in run(*words, "--help").out.rpartition("\nexample")[2].splitlines()[1:]
}


def test_every_help_ends_with_an_example():
    for words in helps(cli._parser()):
        _, found, examples = run(*words, "--help").out.rpartition("\nexample")
        assert found, words
        for line in examples.splitlines()[1:]:
            assert line.startswith("  annealmix "), words


@pytest.fixture
def worked(sample, tmp_path, monkeypatch) -> None:
    """A folder in which the examples are given, one after the other."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sample.mix, "mix")
    shutil.copytree(sample.other, "other-mix")
    shutil.copytree(sample.store, "annealmix-store")
    texts = prose(7, 60)
    Path("chats.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    Path("data").mkdir()
    shutil.copy("chats.jsonl", "data")
    Path("terms.txt").write_text("garden\nriver\n")
    Path("recipe.yaml").write_text(
        "name: mine\ntokenizer: sample\nsources: {a: {use: dolmino-wiki, all: true}}\n"
    )
    rows = [
        {"text": f"{text} garden river{' bad' * (at % 2)}", "label": at % 2}
        for at, text in enumerate(texts)
    ]
    Path("labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("line", sorted(EXAMPLES))
def test_the_examples_of_the_helps_are_real(worked, line):
    words = line.removeprefix("annealmix ").partition(" > ")[0]
    ended = passes(*words.split())
    assert ended.out
    assert "error" not in ended.err


def test_the_audit_in_json_has_every_check_and_the_comparison_apart(sample):
    report = passes("audit", sample.mix, "--against", sample.other, "--json").answer
    assert report["passed"]
    assert {check["name"] for check in report["checks"]} >= {
        "chunk hashes",
        "EOD count",
        "quotas",
        "key order",
        "removals",
    }
    assert [(check["name"], check["ok"]) for check in report["against"]] == [
        ("shared documents with sample-pretraining", True),
        ("key ranges with sample-pretraining", True),
    ]


def test_a_full_audit_compares_the_repeated_documents_as_well(sample):
    plain, full = (
        passes("audit", sample.mix, *more, "--json").answer["checks"] for more in ([], ["--full"])
    )
    assert {check["name"] for check in plain} < {check["name"] for check in full}


def test_the_store_lists_each_source_once_with_its_tokens(sample):
    rows = passes("store", "ls", "--store", sample.store, "--json").answer
    assert [row["source"].rsplit("-", 1)[0] for row in rows] == sorted(
        row["source"].rsplit("-", 1)[0] for row in rows
    )
    assert len(rows) == 8
    assert all(
        row["groups"] >= 1 and row["documents"] > 0 and row["tokens"] > 0 and row["bytes"] > 0
        for row in rows
    )


def test_a_preview_is_as_large_as_it_is_asked(sample, tmp_path):
    for size, tokens in ((["--tokens", "20_000"], 20_000), (["--scale", "1/100"], 2_000)):
        mix = tmp_path / size[0]
        passes("build", "sample", "--out", mix, "--store", sample.store, *size)
        assert (mix / "tokens.bin").stat().st_size == 2 * tokens
        assert f"{tokens:,}" in passes("audit", mix).out


SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 3}}


def corpus(folder: Path) -> list[Any]:
    """Write a corpus and a recipe; returns the words of its build but for --out."""
    for number, name in enumerate(SOURCES):
        write_files(folder / "data", name, sharded(prose(number, 60), 2))
    recipe = write_recipe(folder / "recipes", SOURCES, budget={"tokens": 1001})
    return ["build", recipe, "--data", folder / "data", "--store", folder / "store"]


def test_a_store_and_an_output_may_be_named_relative_to_the_working_folder(tmp_path, monkeypatch):
    corpus(tmp_path)
    monkeypatch.chdir(tmp_path)
    passes("build", "recipes/mix.yaml", "--data", "data", "--out", "mixes/here")
    assert {path.name for path in tmp_path.iterdir()} == {
        "annealmix-store",
        "data",
        "mixes",
        "recipes",
    }
    assert [path.name for path in (tmp_path / "mixes").iterdir()] == ["here"]
    passes("audit", "mixes/here")
    passes("store", "ls")


@pytest.mark.parametrize("more", [["--tasks", "1"], ["--workers", "2", "--tasks", "3"]])
def test_workers_and_tasks_change_nothing_of_the_mix(tmp_path, more):
    build = corpus(tmp_path)
    one = passes(*build, "--out", tmp_path / "one")
    shutil.rmtree(tmp_path / "store")
    two = passes(*build, "--out", tmp_path / "two", *more)
    assert one.mix == two.mix
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


HEAVY = {
    "numpy",
    "pyarrow",
    "polars",
    "datatrove",
    "datasets",
    "pydantic",
    "tokenizers",
    "fastokens",
    "rich",
    "ruamel",
}
HELP = """
import sys
from annealmix import __main__ as cli
try:
    cli.main(sys.argv[1:])
except SystemExit as ended:
    print("code", ended.code)
print("modules", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("command", [[], ["plan"], ["build"], ["audit"], ["store"]])
def test_help_imports_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, "-c", HELP, *command, "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: annealmix")
    assert "code 0" in done.stdout
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


SLOW = {"pandas", "polars", "datasets", "numba"}  # a quarter of a second each, and more
HUB = {"huggingface_hub", "fsspec"}  # likewise; datatrove's executors import them


@pytest.mark.parametrize(
    ("command", "needless"),
    [
        ("plan sample", SLOW | HUB),
        ("build sample --out {mix} --store {store}", SLOW | HUB),  # which is built already
        ("build sample --out {new}/mix --store {new}/store --workers 1", SLOW),
        ("audit {mix}", SLOW | HUB),
    ],
)
def test_a_command_imports_no_library_that_it_does_not_need(sample, tmp_path, command, needless):
    words = command.format(mix=sample.mix, store=sample.store, new=tmp_path).split()
    done = subprocess.run(
        [sys.executable, "-c", HELP, *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    name, *modules = done.stdout.splitlines()[-1].split()
    assert name == "modules"
    assert not needless & set(modules)


def test_the_console_script_answers_in_a_process_of_its_own(sample, tmp_path):
    table = Process(tmp_path / "table", "audit", sample.mix).end()
    answer = Process(tmp_path / "answer", "audit", sample.mix, "--json").end()
    assert (table.code, answer.code, answer.err) == (0, 0, "")
    assert "audit passed" in table.out
    assert answer.answer["identity"] == table.out.split("identity ")[-1].split()[0]


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "pretraining-500b"]])
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(tmp_path, arguments):
    """As `annealmix ... --json | head -c 10`, but head has gone before the first byte, so that it
    happens every time.
    """
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = Process(tmp_path, *arguments, "--json", stdout=writing).end()
    finally:
        os.close(writing)
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    assert ended.code in (0, 1)
    assert "nothing was published" not in ended.err, (
        "a reader that goes away says nothing of what was published"
    )


def test_head_gets_its_bytes_and_no_traceback(tmp_path):
    command = (
        f"'{sys.executable}' -m annealmix plan annealing-50b --json 2>'{tmp_path}/stderr' | head"
        " -c 10"
    )
    done = subprocess.run(["/bin/sh", "-c", command], cwd=CHECKOUT, capture_output=True, check=True)
    assert len(done.stdout) == 10
    assert "Traceback" not in (tmp_path / "stderr").read_text()


@pytest.fixture
def hub() -> Iterator[MovingHub]:
    with moving_hub() as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_says_so_shows_nothing_and_goes_on(tmp_path, hub, number):
    """By Ctrl-C, or by a batch system's stop."""
    recipe = write_recipe(tmp_path / "recipes", SOURCES, HUB_PACKINGS, budget={"tokens": 301})
    build = [
        "build",
        recipe,
        "--store",
        tmp_path / "store",
        "--out",
        tmp_path / "mixes" / "out",
        "--workers",
        "2",
    ]
    hub.hold(
        when=lambda: any(tmp_path.glob("store/sources/*/*/.ledger.*"))
    )  # both workers hang, once they have begun to read
    process = Process(tmp_path / "run", *build, environment=hub.environment(tmp_path / "home"))
    try:
        until(lambda: len(hub.waiting) == 2, process)
        process.signal(number)
        ended = process.end()
    finally:
        hub.release()
        process.kill()
    assert ended.code == 1
    assert (
        ended.err.splitlines()[-1] == "annealmix: interrupted; the same command goes on from here"
    )
    assert "Traceback" not in ended.err
    assert not (tmp_path / "mixes").exists()
    again = Process(
        tmp_path / "again", *build[:-1], "1", environment=hub.environment(tmp_path / "home")
    ).end()
    assert again.code == 0, again.err
    passes("audit", tmp_path / "mixes" / "out")


def test_an_interrupt_of_which_a_library_makes_an_error_is_told_as_one(capsys):
    """As that of pydantic, in a function that it calls."""

    def command() -> int:
        try:
            cli._interrupt(signal.SIGINT, None)
        except KeyboardInterrupt:
            raise ValueError("the function failed") from None
        return 0

    assert cli._ended(command) == 1
    assert capsys.readouterr().err == (
        "annealmix: interrupted; the same command goes on from here\n"
    )
    assert cli._ended(lambda: 1 // 0) == 1  # and the next command's defects are told
    assert "this is a defect of annealmix" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_code_that_is_run_from_a_string_ends_with_1(tmp_path, number):
    """As that of dataclasses is. CPython would end by SIGINT, whatever main returns."""
    code = "import sys; from annealmix import __main__ as cli\n"
    code += "from pipeline.commands.store import store\n"
    code += "def show(*_, **__): exec('import time; print(1, flush=True); time.sleep(60)')\n"
    code += (
        "store.list_contents = show; sys.exit(cli.main(['store', 'ls', '--store', sys.argv[1]]))"
    )
    Store(tmp_path / "store")
    (tmp_path / "command.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "command",
        str(tmp_path / "store"),
    ]  # a script ends by the code that it gives, a module may not
    surroundings = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{tmp_path}"}
    with subprocess.Popen(
        command, env=surroundings, stdout=subprocess.PIPE, preexec_fn=obey_interrupts
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"  # the code from the string runs
        process.send_signal(number)
        assert process.wait(60) == 1


ESCAPE = "\x1b[31m"
MARKUP = "[bold]"


def clean(ended: Ended) -> Ended:
    """Assert that nothing that was printed could change a terminal, and that markup stands as it
    was written.
    """
    for text in (ended.out, ended.err):
        assert all(char.isprintable() or char == "\n" for char in text), ascii(text)
    return ended


@pytest.mark.parametrize(
    "command", ["plan", "build", "recipe", "audit", "against", "bare", "store"]
)
def test_control_characters_and_markup_of_a_path_do_not_reach_the_terminal(tmp_path, command):
    build = corpus(tmp_path)
    strange = tmp_path / f"x{ESCAPE}{MARKUP}\r\b\x9b"
    strange.mkdir()
    (tmp_path / "recipes").rename(strange / "recipes")
    recipe = strange / "recipes" / "mix.yaml"
    build[1:] = [
        recipe,
        "--data",
        tmp_path / "data",
        "--store",
        strange / "store",
        "--out",
        strange / "out",
    ]
    ended = clean(run(*build))
    if command == "recipe":
        recipe.write_text("name: 7 7\nsources: {}\n")
    words: dict[str, list[Any]] = {
        "plan": ["plan", recipe, "--data", strange],
        "build": [*build[:2], "--data", strange, *build[4:6], "--out", strange / "none"],
        "recipe": ["plan", recipe],
        "audit": ["audit", strange / "out"],
        "against": ["audit", strange / "out", "--against", strange / "out"],
        "bare": ["audit", strange / "out" / "tokens"],
        "store": ["store", "ls", "--store", strange / "store"],
    }
    ended = clean(run(*words[command]))
    assert (
        MARKUP in "".join((ended.out + ended.err).split()) or command == "bare"
    )  # a long title is wrapped; a bare audit names no path
    assert ended.code in (0, 2, 3, 4)


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_text_at_all_changes_the_terminal_or_is_taken_for_markup(text):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(err):
        report.say(f"{MARKUP}{text}[/]")
        report.tell(f"{MARKUP}{text}[/]")
        rows = [{"what": text}, {"what": f"{MARKUP}{text}[/]"}]
        report.Table(rows, [report.Column("what", "what")]).print(f"{MARKUP}{text}[/]")
    clean(Ended(0, "", err.getvalue()))
    assert err.getvalue().count(MARKUP) == err.getvalue().count("[/]") >= 4


def test_control_characters_and_markup_in_a_recipe_do_not_reach_the_terminal(tmp_path):
    """A source definition's licence and a file's name are printed by plan and build, a recipe's
    unknown words by its faults.
    """
    build = corpus(tmp_path)
    definition = tmp_path / "recipes" / "a.yaml"
    fields = {
        **json.loads(definition.read_text()),
        "licence": f"{MARKUP}CC0",
        "non_commercial": True,
    }
    definition.write_text(json.dumps(fields))
    (tmp_path / "data" / "a" / "part-000.json.gz").rename(
        tmp_path / "data" / "a" / f"{ESCAPE}{MARKUP}.json.gz"
    )
    for ended in (
        clean(run(*build, "--out", tmp_path / "out")),
        clean(run("audit", tmp_path / "out")),
    ):
        assert ended.code == 0
        assert MARKUP in ended.out + ended.err
    clean(run("plan", build[1], "--data", tmp_path / "data"))
    (tmp_path / "data" / "a" / f"{ESCAPE}{MARKUP}.json.gz").write_bytes(b"no gzip")
    assert clean(run(*build, "--out", tmp_path / "again")).code == 4
    definition.write_text(
        json.dumps({**fields, "licence": f"{ESCAPE}CC0", f"{ESCAPE}{MARKUP}": ESCAPE})
    )
    assert clean(run(*build, "--out", tmp_path / "again")).code == 2


def test_json_of_a_path_with_control_characters_is_one_value(tmp_path):
    build = corpus(tmp_path)
    out = tmp_path / f"{ESCAPE}{MARKUP}"
    passes(*build, "--out", out)
    ended = clean(passes("audit", out, "--json"))
    assert ended.answer["path"] == str(out)


def test_json_is_one_value_whatever_stdout_can_encode(tmp_path):
    out = tmp_path / "\u00fcber"
    passes(*corpus(tmp_path), "--out", out)
    ended = Process(
        tmp_path / "run", "audit", out, "--json", environment={"PYTHONIOENCODING": "ascii"}
    ).end()
    assert (ended.code, ended.err) == (0, "")
    assert ended.answer["path"] == str(out)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_an_output_whose_name_is_not_utf_8_is_built_or_refused_by_name(tmp_path):
    ended = run(*corpus(tmp_path), "--out", tmp_path / "bytes\udcff")
    assert "Traceback" not in ended.err
    assert ended.code in (0, 2)
    assert (ended.code == 0) == (tmp_path / "bytes\udcff").exists()
