"""How a fault ended: failed with a named error (F), quarantined (Q), the same bytes (S), handled
(H), or none of it: silent damage (?).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixtures.mix import manifest as manifests
from tests.pipeline.command_line import Ended, run
from tests.pipeline.corpus import contents, write_recipe

COUNT = 1000  # documents of an input before it is damaged
NAMED = (
    2,
    3,
    4,
    5,
    6,
)  # exit codes of errors that name their cause; 1 is for what is no fault of recipe or data


@dataclass(frozen=True)
class Ending:
    """letter: see above; code: exit code of the last command; documents: of the mix that it
    published, None if none was.
    """

    letter: str
    code: int
    documents: int | None = None
    message: str = ""


@dataclass(frozen=True)
class Input:
    """Files of one source, damaged. write: makes them below a folder. good: documents that must be
    read from them.
    """

    packing: str
    write: Callable[[Path], object]
    good: int = COUNT
    bad: tuple[int, ...] = ()


@dataclass(frozen=True)
class Case:
    """A numbered fault. expected: letters that are allowed; run: injects it below an empty folder
    and says how that ended.

    input: where the fault lies in an input file alone, which other readers can be given too. slow:
        seconds, for the campaign.
    """

    number: str
    title: str
    expected: str
    run: Callable[[Path], Ending]
    input: Input | None = None
    slow: bool = False


def first_line(ended: Ended, folder: Path) -> str:
    """What the command complained of first, without paths and hashes, which are other ones in every
    run.
    """
    told = next(
        (line for line in ended.err.splitlines() if line.startswith("annealmix: ")), ""
    ).removeprefix("annealmix: ")
    told = re.sub(r"(/[^\s/:,;]+)+/(?=[^\s/])", "", told.replace(str(folder), ""))
    return re.sub(r"[0-9a-f]{16,}", "...", told).strip("/ ")[:150]


@dataclass
class Builds:
    """Builds of one source `a` below a folder, by the command line and in this process."""

    folder: Path
    packing: str = "jsonl"
    sources: dict[str, dict[str, Any]] = field(default_factory=lambda: {"a": {"all": "true"}})
    more: dict[str, Any] = field(default_factory=dict)

    def recipe(self, **more: Any) -> Path:
        """Write the recipe."""
        return write_recipe(
            self.folder / "recipes",
            self.sources,
            dict.fromkeys(self.sources, self.packing),
            **{**self.more, **more},
        )

    def build(
        self, out: str = "out", *options: str | Path, store: str = "store", **more: Any
    ) -> Ended:
        """Build it. more: keys of the recipe."""
        folder = self.folder
        words: list[str | Path] = [
            "--data",
            folder / "data",
            "--store",
            folder / store,
            "--out",
            folder / out,
        ]
        return run("build", self.recipe(**more), *words, *options)

    def failed(self, ended: Ended, out: str = "out", codes: tuple[int, ...] = NAMED) -> Ending:
        """F, if a command failed by name and nothing is where the mix would be."""
        message = first_line(ended, self.folder)
        hidden = (
            not (self.folder / out).exists()
            and ended.code in codes
            and message
            and "Traceback" not in ended.err
        )
        return Ending("F" if hidden else "?", ended.code, None, message)

    def read(self, ended: Ended, documents: int, letter: str = "H", out: str = "out") -> Ending:
        """H, if a command built a mix of so many documents."""
        if ended.code != 0:
            return self.failed(ended, out)
        found = manifests.load(self.folder / out)["total_documents"]
        return Ending(letter if found == documents else "?", 0, found)

    def same(self, ended: Ended, reference: Path, out: str = "out") -> Ending:
        """S, if a command built the bytes of a reference."""
        if ended.code != 0:
            return self.failed(ended, out)
        found = manifests.load(self.folder / out)
        alike = (
            contents(self.folder / out) == contents(reference)
            and found["identity"] == manifests.load(reference)["identity"]
        )
        return Ending(
            "S" if alike else "?", 0, found["total_documents"], first_line(ended, self.folder)
        )

    def quarantined(self) -> list[int]:
        """Rows that are named in the store's quarantines."""
        files = sorted((self.folder / "store").glob("sources/*/*/ledger/quarantine.jsonl"))
        found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return sorted(item["row"] for item in found if item["path"] and item["reason"])

    def counted(self, name: str) -> int:
        """A count of the source's readers."""
        return sum(
            json.loads(path.read_text())["counts"].get(name, 0)
            for path in self.folder.glob("store/sources/*/*/ledger/done.json")
        )


def ending_of(given: Input, folder: Path) -> Ending:
    """Build a mix of a damaged input, none of whose rows may be unreadable; and if some are, again
    with all of them allowed.
    """
    builds = Builds(folder, given.packing)
    (folder / "data" / "a").mkdir(parents=True)
    given.write(folder / "data" / "a")
    ended = builds.build()
    if "are unreadable, max_quarantined allows" not in ended.err:
        return builds.read(ended, given.good)
    refused = builds.failed(ended)
    if refused.letter != "F":
        return refused
    allowed = builds.read(
        builds.build("allowed", max_quarantined="0.5"), given.good, "Q", "allowed"
    )
    named = builds.quarantined() == sorted(given.bad)
    return (
        replace(allowed, message=refused.message)
        if named
        else replace(allowed, letter="?", message="other rows are named")
    )


def input_case(number: str, title: str, expected: str, given: Input, *, slow: bool = False) -> Case:
    """A case whose fault lies in the input alone."""
    return Case(number, title, expected, lambda folder: ending_of(given, folder), given, slow)
