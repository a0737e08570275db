"""The examples do what their pages show: each is copied, its commands are given as they stand, and
every line that is shown is printed.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.pages import CHECKOUT, assert_shown, fenced, quoted, section
from tests.pipeline.command_line import passes
from tests.sample.make_examples import WRITERS
from tests.sample.packing import unpack

EXAMPLES = CHECKOUT / "examples"
LARGEST_BYTES = 100_000
MADE = ("annealmix-store", "mix", "arms", "bees", "own-corpus.yaml")
"""What the commands leave in a folder where somebody has tried them."""


class Shown(NamedTuple):
    """A command of a page, and the lines that are shown of what it prints."""

    command: str
    lines: str


def shown_in(example: str) -> list[Shown]:
    """The commands of an example's page, in their order."""
    page = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    (block,) = fenced(page, "console")
    commands = re.findall(r"^\$ (annealmix .*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert len(commands) == block.count("$ "), f"{example}: a line of the block is no command"
    return [Shown(command, lines) for command, lines in commands]


def files_of(folder: Path) -> list[str]:
    """Paths of all files below a folder."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("example", sorted(WRITERS))
def test_an_example_prints_what_its_page_shows(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(*MADE))
    monkeypatch.chdir(folder)
    shown = shown_in(example)
    for command, lines in shown:
        printed = passes(*shlex.split(command)[1:]).out.splitlines()
        assert_shown(lines, printed, f"examples/{example}/README.md: {command}")
    assert shown[-1].command.startswith("annealmix audit ")
    assert "audit passed: " in shown[-1].lines
    if example == "own-corpus":
        ids = np.fromfile("mix/tokens.bin", np.uint16)
        assert not (ids == 0).any(), "<s> of the tokenizer's template is in the mix"
        assert ids[-1] == 1, "the last document does not end in </s>"


def test_the_ten_lines_of_readme_are_the_first_example():
    part = section("README.md", "Your own data")
    (recipe,) = fenced(part, "yaml")
    assert recipe == (EXAMPLES / "own-corpus" / "mine.yaml").read_text(encoding="utf-8")
    commands = [word for word in quoted(part) if word.startswith("annealmix ")]
    assert sorted(commands) == sorted(shown.command for shown in shown_in("own-corpus"))


def test_the_data_are_what_their_rule_makes_and_small(tmp_path: Path):
    for example, write in WRITERS.items():
        made, shipped = tmp_path / example, EXAMPLES / example
        made.mkdir()
        write(made)
        for name in files_of(made):
            assert unpack(made / name) == unpack(shipped / name), f"{example}/{name}"
        written_by_hand = [*shipped.glob("*.md"), *shipped.glob("*.yaml"), *shipped.glob("*.txt")]
        files = {*written_by_hand, *(shipped / name for name in files_of(made))}
        assert sum(path.stat().st_size for path in files) < LARGEST_BYTES, example


def test_the_page_of_examples_names_each():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(([\w-]+)/README.md\)", page) == list(WRITERS)
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(WRITERS)
