"""The rooms of the house stay apart: `recipes` <- `mixtures` <- `pipeline`. Every import statement
is looked at, lazy ones too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "mixtures": {"datatrove", "datasets", "pipeline", "tests"},
    "recipes": {"datatrove", "pipeline", "tests"},
    "pipeline": {"tests"},
}


def imported(source: str) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every absolute import, and of `__import__` and `import_module`
    of a literal.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"line {node.lineno}: relative imports could leave the package unseen"
            )
            yield node.lineno, (node.module or "").split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "__import__",
            "import_module",
        ):
            name = node.args[0]
            assert isinstance(name, ast.Constant), (
                f"line {node.lineno}: a module whose name is computed cannot be judged"
            )
            yield node.lineno, str(name.value).split(".")[0]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_package_imports_one_that_stands_above_it(package):
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules
        for line, name in imported(path.read_text(encoding="utf-8"))
        if name in FORBIDDEN[package]
    ]
    assert not found, found


@pytest.mark.parametrize(
    "source",
    [
        "import pipeline.build.build",
        "def f():\n    from datatrove.data import Document",
        "if TYPE_CHECKING:\n    import datasets as d",
        "import os, pipeline",
        "importlib.import_module('pipeline.build.build')",
    ],
)
def test_the_walk_sees_imports_of_every_form(source):
    assert {name for _, name in imported(source)} & FORBIDDEN["mixtures"]
