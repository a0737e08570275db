"""`mixtures` decides on values: files are read where a finished mix is, and in one module of
`mixtures.yaml`; threads run where a finished mix is read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mixtures

ROOT = Path(mixtures.__file__).parent
MODULES = [
    file
    for file in sorted(ROOT.rglob("*.py"))
    if file.relative_to(ROOT).parts[0] not in ("mix", "audit")
    and file.relative_to(ROOT).as_posix() != "yaml/disk.py"
]
LIBRARIES = {
    "asyncio",
    "concurrent",
    "fileinput",
    "fsspec",
    "glob",
    "importlib",
    "io",
    "mmap",
    "multiprocessing",
    "os",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "urllib",
    "zipfile",
}
METHODS = {
    "exists",
    "fromfile",
    "glob",
    "is_dir",
    "is_file",
    "is_symlink",
    "iterdir",
    "lstat",
    "memmap",
    "mkdir",
    "open",
    "read_bytes",
    "read_parquet",
    "read_table",
    "read_text",
    "readlink",
    "resolve",
    "rglob",
    "scan_parquet",
    "stat",
    "tofile",
    "unlink",
    "write_bytes",
    "write_text",
}


def touches(code: str) -> Iterator[str]:
    """What of a module's text opens, reads, stats or lists files, or starts threads or
    processes."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in LIBRARIES)
        elif isinstance(node, ast.ImportFrom):
            if str(node.module).split(".")[0] in LIBRARIES:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                yield "open"
            elif isinstance(called, ast.Attribute) and called.attr in METHODS:
                yield called.attr


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_modules_of_values_touch_neither_disk_nor_threads(module):
    assert list(touches(module.read_text(encoding="utf-8"))) == []


def test_the_modules_that_may_touch_the_disk_are_seen_to_do_so():
    for file in ("yaml/disk.py", "mix/indexed.py", "audit/stream.py"):
        assert list(touches((ROOT / file).read_text(encoding="utf-8"))), file


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("open('a')", ["open"]),
        ("path.read_text()", ["read_text"]),
        ("import os.path", ["os.path"]),
        ("def f():\n  from concurrent.futures import ThreadPoolExecutor", ["concurrent.futures"]),
        ("work.read_bytes + opened(1) + names.index(2)", []),
    ],
)
def test_what_is_taken_to_touch_the_disk(code, seen):
    assert list(touches(code)) == seen
