"""What a build prints of rows and files that gave no document, and what it refuses whatever is
allowed.
"""

from __future__ import annotations

import gzip

import pytest

from mixtures.mix import manifest as manifests
from tests.pipeline.command_line import run
from tests.pipeline.corpus import write_recipe
from tests.pipeline.input_files import json_lines, rows_of, texts

GOOD = json_lines(rows_of(texts(5)))
BAD = json_lines([{"text": "a"}, {"text": None}, b'{"text": "cut', {"text": None}])


def build(folder, files, packing="jsonl", **more):
    data = folder / "data" / "a"
    data.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (data / name).write_bytes(content)
    recipe = write_recipe(folder, {"a": {"all": "true"}}, {"a": packing}, **more)
    options = ("--store", folder / "store", "--out", folder / "out")
    return run("build", recipe, "--data", folder / "data", *options)


def test_quarantined_rows_are_printed_by_file_and_reason_with_the_first_of_each(tmp_path):
    files = {"x.jsonl": GOOD, "y.jsonl": BAD, "z.jsonl": GOOD + b"7\n"}
    refused = build(tmp_path, files)
    allowed = build(tmp_path, files, max_quarantined="0.5")
    assert (refused.code, allowed.code) == (4, 0)
    for ended in (refused, allowed):  # the second from the store
        assert "sources.a: 4 of 15 rows quarantined" in ended.err
        assert "y.jsonl: json, 1 row, the first row 2: unexpected end of data" in ended.err
        assert "y.jsonl: null-field, 2 rows, the first row 1: null in column 'text'" in ended.err
        assert "z.jsonl: not-an-object, 1 row, the first row 5: a JSON int" in ended.err
    assert manifests.load(tmp_path / "out")["removed"]["a"]["quarantined"] == 4


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "a Git LFS"),
        (b"<html>429 Too Many Requests</html>\n", "HTML"),
        (b'[{"text": "a"}, {"text": "b"}]\n', "one JSON array"),
        (b'{"text": "a"}\r{"text": "b"}\r', "carriage return"),
        (b"Too many requests, try again later\n", "not one of its 1 row"),
    ],
)
def test_a_file_without_a_document_fails_whatever_is_allowed(tmp_path, content, what):
    ended = build(tmp_path, {"x.jsonl": GOOD, "y.jsonl": content}, max_quarantined="1")
    assert ended.code == 4
    assert "y.jsonl: " in ended.err
    assert what in ended.err
    assert not (tmp_path / "out").exists()


def test_empty_parts_are_allowed_and_counted_but_not_an_empty_source(tmp_path):
    nothing = gzip.compress(b"")
    files = {"y.jsonl.gz": nothing, "z.jsonl.gz": nothing}
    alone = build(tmp_path, files, "jsonl.gz")
    assert alone.code == 4
    assert "sources.a: its 2 files hold not one row" in alone.err
    beside = build(tmp_path, {"x.jsonl.gz": gzip.compress(GOOD)}, "jsonl.gz")
    assert beside.code == 0, beside.err
    assert "sources.a: 2 of 3 files hold no row" in beside.err


def test_what_lies_beside_the_files_of_a_source_is_named(tmp_path):
    ended = build(tmp_path, {"x.jsonl": GOOD, "z.json": b"{}", "README.md": b"# x"})
    assert ended.code == 0
    assert "a: not read: 1 file (z.json)" in ended.err
    assert "README" not in ended.err
