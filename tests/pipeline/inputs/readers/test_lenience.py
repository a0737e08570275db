"""What is no fault of a file: columns that are not read, windows of zstd, companions in archives.
Memory that readers may take.
"""

from __future__ import annotations

import pytest
import zstandard

from mixtures.plan.cost import WORKER_BYTES, WORKER_BYTES_OF_TEXT
from pipeline.inputs.readers import ReadLimits
from tests.faults.damage import bounded_memory
from tests.pipeline.input_files import (
    definition,
    fails,
    json_lines,
    read,
    reasons,
    write,
    write_zip,
)

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    "other",
    [
        *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b'[1, "a", null, {"b": NaN}]'),
        *(b'"\xff"', b'{"\xff": 1}', b'["\xc3"]', b'"\\ud800"', b"1" + b"0" * 400, b"7" * 5_000),
    ],
    ids=repr,
)
def test_a_column_that_is_not_read_decides_nothing(tmp_path, other):
    rows = [b'{"text": "a", "other": ' + other + b"}", {"text": "b", "other": 1}]
    write(tmp_path, "jsonl", rows)
    reader, documents = read(tmp_path, definition("jsonl"))
    assert documents == [(0, "a"), (1, "b")]
    assert reasons(reader) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"text": NaN}', "number"),
        (b'{"text": Infinity, "other": "\xff"}', "number"),
        (b'{"text": "\xff", "other": 1}', "utf8"),
        (b'{"text": "a \\udcff", "other": "\xff"}', "utf8"),
        (b'{"text": "a", "kind": "\xff"}', "utf8"),
        (b'{"text": "a", "kind": NaN}', "number"),
        (b'{"text": "\xff"', "utf8"),
        (b"NaN", "not-an-object"),
        (b'["\xff"]', "utf8"),
    ],
    ids=repr,
)
def test_a_column_that_is_read_is_judged_as_strictly_as_before(tmp_path, row, reason):
    write(tmp_path, "jsonl", [{"text": "a", "kind": "x"}, row])
    reader, documents = read(tmp_path, definition("jsonl", where={"kind": ["x"]}))
    assert documents == [(0, "a")]
    assert reader.quarantined[-1].row == 1
    assert reader.quarantined[-1].reason in (reason, "missing-field")
    if b"kind" in row:
        assert reader.quarantined[-1].reason == reason


def frame(content: bytes, log: int, dictionary: int = 0) -> bytes:
    """A zstd frame with a window of 2^log bytes: magic, flags, window, dictionary, a raw block."""
    flags = bytes([1 if dictionary else 0])
    block = (len(content) << 3 | 1).to_bytes(3, "little")
    number = bytes([dictionary]) if dictionary else b""
    return b"\x28\xb5\x2f\xfd" + flags + bytes([(log - 10) << 3]) + number + block + content


LINES = json_lines([{"text": "a"}, {"text": "b"}])


@pytest.mark.parametrize("log", [27, 28, 31])
def test_zstd_windows_up_to_two_gibibytes_are_read_within_the_memory_that_is_stated(tmp_path, log):
    write(tmp_path, "jsonl.zst", []).write_bytes(frame(LINES, log) + frame(LINES, 20))
    with bounded_memory(WORKER_BYTES_OF_TEXT - WORKER_BYTES + (1 << log)):
        assert len(read(tmp_path, definition("jsonl.zst"))[1]) == 4


def test_a_larger_window_and_a_dictionary_are_named(tmp_path):
    path = write(tmp_path, "jsonl.zst", [])
    path.write_bytes(frame(LINES, 32))
    fails(tmp_path, "jsonl.zst", "zstd window of more than 2,147,483,648 bytes")
    path.write_bytes(frame(LINES, 20, dictionary=7))
    fails(tmp_path, "jsonl.zst", "with the dictionary 7, which is not in the file")


def test_frames_that_end_anywhere_and_skippable_ones_are_read(tmp_path):
    skippable = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"abcd"
    pieces = [zstandard.compress(LINES), skippable, frame(LINES, 20), frame(b"", 20)] * 200
    write(tmp_path, "jsonl.zst", []).write_bytes(b"".join(pieces))
    assert len(read(tmp_path, definition("jsonl.zst"))[1]) == 4 * 200


def test_a_line_of_300_megabytes_is_refused_within_the_memory_of_a_worker(tmp_path):
    """In a file of some kilobytes: what is gathered of a row is capped."""
    packer = zstandard.ZstdCompressor().compressobj()
    pieces = [packer.compress(b'{"text": "')]
    pieces += [packer.compress(b"a" * MEBIBYTE) for _ in range(300)]
    pieces += [packer.compress(b'"}\n' + LINES), packer.flush()]
    path = write(tmp_path, "jsonl.zst", [])
    path.write_bytes(b"".join(pieces))
    assert path.stat().st_size < 200_000
    with bounded_memory(WORKER_BYTES_OF_TEXT - WORKER_BYTES):
        reader, documents = read(tmp_path, definition("jsonl.zst"))
    assert documents == [(1, "a"), (2, "b")]
    assert reasons(reader) == [(0, "too-large")]


def test_the_largest_row_is_read_within_the_memory_of_a_worker(tmp_path):
    """Its text is stored by Python in four bytes a character."""
    text = "🙂" + "a" * (ReadLimits().max_row_bytes - 40)
    write(tmp_path, "jsonl", []).write_bytes(b'{"text": "' + text.encode() + b'"}\n')
    with bounded_memory(WORKER_BYTES_OF_TEXT - WORKER_BYTES):
        _, documents = read(tmp_path, definition("jsonl"))
    assert documents == [(0, text)]


def test_members_of_operating_systems_are_left_out_and_counted(tmp_path):
    members = {"b/2.json": b'{"text": "b"}', "b/1.JSON": b'{"text": "a"}'}
    companions = ("__MACOSX/b/._1.json", ".DS_Store", "b/._2.json", "README.md", "b/Thumbs.db")
    write_zip(tmp_path / "source" / "a.zip", members | dict.fromkeys(companions, b"\0\5\x16\7"))
    reader, documents = read(tmp_path, definition("zip"))
    assert documents == [(0, "a"), (1, "b")]
    assert reader.counts["companions"] == len(companions)


@pytest.mark.parametrize("other", ["many.jsonl", "inner.zip", "b/x.csv", "x"])
def test_any_other_member_is_an_error(tmp_path, other):
    write_zip(tmp_path / "source" / "a.zip", {"1.json": b'{"text": "a"}', other: b"{}"})
    fails(tmp_path, "zip", f"holds the member '{other}'")
