"""Mutants: small faults that mutmut plants in the code that decides what is in a mix, and whether a
test fails for each.

    python -m tests.mutants.mutate [--sample N] [MODULE ...]     (`make mutants`)

A module is named by the end of its path: `quotas`, `stream/order`. modules.yaml lists them, and the
tests of each. A module has a folder of its own in .mutants, where mutmut keeps what it found: the
next call goes on from there, and tries again the mutants of changed functions, and, where a test
has changed, those that survived. Not mutated: text in quotes (a message is tested by what it
names); decorated functions, and what stands outside functions, which mutmut leaves alone.

A mutant ends as
    killed      a test failed, or ran several times longer than without it, or mypy refuses it, as
                `make types` would
    equivalent  equivalent.yaml says why no test can tell, or only zip's guard `strict` is gone
    survived    else, with those that no test reaches
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
FOLDER = CHECKOUT / ".mutants"
ROOMS = ["annealmix", "mixtures", "pipeline", "recipes"]
BESIDE = ["tests", "docs", "examples", "manifests"]
WANTED = 0.95
"""Share of the mutants that are not equivalent that tests or types must kill."""
KILLED = ("killed", "timeout", "caught by type check")  # as mutmut says it
SKIPPED = 34  # mutmut's number for what is not tried
COUNTS = "counts.json"

# `strict`, as pyproject.toml has it, but for what is no error of types: code that cannot be
# reached, comparisons that never hold. A mutant that makes one is left to the tests.
MYPY = """\
[mypy]
strict = True
strict_equality = False
warn_unused_ignores = False
namespace_packages = True
explicit_package_bases = True
ignore_missing_imports = True
follow_imports = silent
"""


def main(arguments: list[str]) -> int:
    """Mutate modules one after another; 1 if too many survive, or equivalent.yaml is not true."""
    parser = argparse.ArgumentParser(description="try mutants of the modules in modules.yaml")
    parser.add_argument("modules", nargs="*", help="default: all")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="N mutants a module, always the same"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    options = parser.parse_args(arguments)
    known = YAML(typ="safe").load((HERE / "modules.yaml").read_text("utf-8"))
    if options.inside:
        return Inside(options.modules[0], known[options.modules[0]], options.sample).run(
            options.processes
        )
    asked = [name if name.endswith(".py") else f"{name}.py" for name in options.modules]
    modules = [
        name for name in known if not asked or any(f"/{name}".endswith(f"/{a}") for a in asked)
    ]
    if len(modules) < len(asked):
        parser.error(f"{' '.join(options.modules)}: modules.yaml has {', '.join(known)}")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "mypy.ini").write_text(MYPY)
    bad, total = 0, Counter[str]()
    for module in modules:
        folder = FOLDER / module.removesuffix(".py").replace("/", ".")
        folder.mkdir(exist_ok=True)
        (folder / COUNTS).unlink(missing_ok=True)
        for name in [*ROOMS, *BESIDE, "pyproject.toml"]:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(CHECKOUT / name)
        command = [sys.executable, str(Path(__file__)), "--inside", *_arguments(options), module]
        environment = {**os.environ, "HYPOTHESIS_PROFILE": "mutants"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        bad |= subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        if (folder / COUNTS).exists():
            total.update(json.loads((folder / COUNTS).read_text()))
    print(_told(f"{len(modules)} modules", total))
    return bad


def _arguments(options: argparse.Namespace) -> list[str]:
    """The options, for the process of one module."""
    sample = ["--sample", str(options.sample)] if options.sample else []
    return ["--processes", str(options.processes), *sample]


class Inside:
    """One module, in its folder: mutmut keeps its state where it stands, and one a process."""

    def __init__(self, module: str, tests: list[str], sample: int | None) -> None:
        self.module = module
        self.tests = tests
        self.sample = sample
        self.data: Any = None  # mutmut's of the module

    def run(self, processes: int) -> int:
        """Try the mutants that no earlier call tried; then print what became of all."""
        from mutmut import configuration

        configured: dict[str, Any] = {
            "source_paths": ROOMS,
            "only_mutate": [self.module],
            "also_copy": [*BESIDE, "Makefile"],
            "pytest_add_cli_args": ["-p", "no:cacheprovider"],
            "pytest_add_cli_args_test_selection": self.tests,
            "process_isolation": "forkserver",  # polars has threads, which a fork loses
            "timeout_multiplier": 2.0,
            "timeout_constant": 15.0,  # what fixtures make is not in mutmut's estimate
            "use_git_change_detection": False,
            "on_dependency_change": "ignore",
            "type_check_command": [
                *("mypy", "--output", "json", "--config-file", "../../mypy.ini"),
                *("--cache-dir", "../../mypy_cache", self.module),
            ],
        }
        configuration._config_reader = lambda: configured.get
        from mutmut import __main__ as mutmut  # reads the configuration
        from mutmut.mutation import mutators

        mutators.mutation_operators[:] = [
            pair for pair in mutators.mutation_operators if pair[1] is not mutators.operator_string
        ]
        generate = mutmut.create_mutants

        def generate_and_choose(children: int) -> Any:
            made = generate(children)
            self.choose()
            return made

        mutmut.create_mutants = generate_and_choose
        mutmut._run((), processes)
        return self.report()

    def choose(self) -> None:
        """Of the mutants just made: skip what is not in the sample, try again what other tests than
        those of today let live.
        """
        from mutmut.mutation.data import SourceFileMutationData

        self.data = SourceFileMutationData(path=Path(self.module))
        self.data.load()
        ends = self.data.exit_code_by_key
        kept = sorted(ends, key=lambda name: hashlib.sha256(name.encode()).digest())[: self.sample]
        stats = Path("mutants/mutmut-stats.json")
        changed = stats.exists() and stats.stat().st_mtime < max(
            path.stat().st_mtime for name in self.tests for path in _files(CHECKOUT / name)
        )
        if changed:
            stats.unlink()
        for name in ends:
            if ends[name] == SKIPPED or (changed and ends[name] in (0, 33)):
                ends[name] = None
            if name not in kept and ends[name] is None:
                ends[name] = SKIPPED
        self.data.save()

    def report(self) -> int:
        """Print the survivors, a line each, and the counts; 1 if they are too many."""
        from mutmut.mutation.diff_apply import get_diff_for_mutant
        from mutmut.stats import status_by_exit_code

        reasons = YAML(typ="safe").load((HERE / "equivalent.yaml").read_text("utf-8")) or []
        equivalent = {
            mutant for one in reasons if one["module"] == self.module for mutant in one["mutants"]
        }
        self.data.load()
        counts: Counter[str] = Counter()
        seen = set()
        for name, code in self.data.exit_code_by_key.items():
            status = status_by_exit_code[code]
            if status in ("survived", "no tests", "suspicious", "segfault"):
                mutant = _line(get_diff_for_mutant(name, path=Path(self.module)))
                seen.add(mutant)
                spared = mutant in equivalent or _unguarded(mutant)
                status = "equivalent" if spared else "survived"
                if status == "survived":
                    print(f"{self.module}: survived: {name.rpartition('.')[2]}: {mutant}")
            counts[status] += 1
        Path(COUNTS).write_text(json.dumps(counts))
        print(_told(self.module, counts))
        untrue = equivalent - seen if not counts["skipped"] else set()
        for mutant in sorted(untrue):
            print(f"{self.module}: no survivor, remove it from equivalent.yaml: {mutant}")
        return int(bool(untrue) or _share_killed(counts) < WANTED)


def _share_killed(counts: Counter[str]) -> float:
    killed = sum(counts[end] for end in KILLED)
    return killed / max(1, killed + counts["survived"])


def _told(where: str, counts: Counter[str]) -> str:
    return (
        f"{where}: {sum(counts[end] for end in KILLED):,} killed"
        f" ({counts['caught by type check']:,} by types, {counts['timeout']:,} by time),"
        f" {counts['survived']:,} survived, {counts['equivalent']:,} equivalent,"
        f" {counts['skipped']:,} not in the sample: {_share_killed(counts):.1%} killed"
    )


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _unguarded(mutant: str) -> bool:
    """Whether all that is gone is that zip refuses what is not of one length: a guard, which fails
    only where another fault is.
    """
    old, new = mutant.split(" => ")
    return new in {old.replace("strict=True", other, 1) for other in ("strict=False", "")} - {old}


def _line(diff: str) -> str:
    """A mutant as equivalent.yaml names it: the lines it replaces => the lines it puts there."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    old, new = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return f"{old} => {new}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
