"""Surveys: which files of a source a store has read already, and how the others are grouped."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from pipeline.inputs import survey as module
from pipeline.inputs.file import InputFile
from pipeline.inputs.survey import (
    SourceInputs,
    frozen,
    group_name,
    group_target,
    grouped,
    refuse_shared_files,
    survey,
)
from pipeline.store.records import FolderWriter, file_sha256
from pipeline.store.store import LedgerRecord, Store
from tests.pipeline.input_files import definition

FILE = InputFile("a", "/data/a", 5, mtime_ns=1, inode=2)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path):
    """A source of three files."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jsonl").write_text(f'{{"text": "{name}"}}\n')
    return folder


def read_group(store, files):
    """Put a group into the store as if these files had been read together."""
    inputs = [
        asdict(replace(file, sha256=file.sha256 or file_sha256(Path(file.url)))) for file in files
    ]
    with FolderWriter(
        store.source_folder(definition("jsonl")) / group_name(files) / "ledger"
    ) as writer:
        record = LedgerRecord(
            source="s",
            inputs=tuple(inputs),
            segments=(),
            segment_bytes=1,
            counts={},
            quarantined={},
        )
        writer.publish(record.as_json())


def surveyed(store, folder):
    """Names of files: in groups of the store, and in new ones."""
    inputs = survey(store, definition("jsonl"), (), folder)
    return (
        [[file.path[0] for file in files] for _, files in inputs.groups],
        [[file.path[0] for file in files] for files in inputs.new_groups],
    )


def test_what_a_store_has_read_is_not_read_again(store, folder, monkeypatch):
    monkeypatch.setattr(module, "GROUP_BYTES", (1, 1))
    assert surveyed(store, folder) == ([], [["a"], ["b"], ["c"]])
    a, b, _ = survey(store, definition("jsonl"), (), folder).files
    read_group(store, [a, b])
    assert surveyed(store, folder) == ([["a", "b"]], [["c"]])


def test_a_group_with_a_changed_or_missing_file_is_read_again_whole(store, folder):
    a, b, _ = survey(store, definition("jsonl"), (), folder).files
    read_group(store, [a, b])
    (folder / "b.jsonl").write_text('{"text": "x"}\n')
    assert surveyed(store, folder) == ([], [["a", "b", "c"]])
    (folder / "b.jsonl").unlink()
    assert surveyed(store, folder) == ([], [["a", "c"]])


def test_a_file_that_was_only_touched_is_hashed_and_its_group_reused(store, folder):
    files = survey(store, definition("jsonl"), (), folder).files
    read_group(store, files)
    os.utime(folder / "a.jsonl", ns=(1, 1))
    assert surveyed(store, folder) == ([["a", "b", "c"]], [])


@pytest.mark.parametrize("touched", [False, True])
def test_a_group_is_not_reused_against_a_pin_that_says_otherwise(store, folder, touched):
    read_group(store, survey(store, definition("jsonl"), (), folder).files)
    sums = [f"{file_sha256(folder / f'{name}.jsonl')}  {name}.jsonl\n" for name in "abc"]
    (folder / "SHA256SUMS").write_text("".join(sums))
    assert surveyed(store, folder) == ([["a", "b", "c"]], [])
    (folder / "SHA256SUMS").write_text("".join(["0" * 64 + sums[0][64:], *sums[1:]]))
    if touched:
        os.utime(folder / "a.jsonl", ns=(1, 1))
    assert surveyed(store, folder) == ([], [["a", "b", "c"]])


def test_no_file_is_in_two_groups(store, folder):
    a, b, c = survey(store, definition("jsonl"), (), folder).files
    for files in ([a, b], [b, c], [c]):
        read_group(store, files)
    groups, new = surveyed(store, folder)
    assert sorted(chain.from_iterable(groups + new)) == ["a", "b", "c"]


@given(st.lists(st.integers(0, 5 << 30), max_size=40))
def test_groups_hold_all_files_in_order_and_none_goes_on_when_it_is_full(sizes):
    files = [InputFile(str(number), "", size) for number, size in enumerate(sizes)]
    groups, target = grouped(files, sum(sizes)), group_target(sum(sizes))
    assert list(chain.from_iterable(groups)) == files
    assert all(sum(file.size for file in group[:-1]) < target for group in groups)
    assert all(sum(file.size for file in group) >= target for group in groups[:-1])


@pytest.mark.parametrize(
    ("source_bytes", "target"),
    [
        (0, 2 << 20),
        (48 << 20, 3 << 20),
        (1 << 30, 16 << 20),
        (16 << 30, 32 << 20),
        (1 << 50, 512 << 20),
    ],
)
def test_a_groups_size_grows_with_the_source_within_bounds(source_bytes, target):
    assert group_target(source_bytes) == target


@pytest.mark.parametrize(
    "change",
    [
        {"path": "b"},
        {"size": 6},
        {"mtime_ns": 2},
        {"inode": 3},
        {"ctime_ns": 4},
        {"etag": "x"},
        {"sha256": "0"},
    ],
)
def test_a_groups_name_depends_on_the_state_of_its_files(change):
    assert group_name([FILE]) != group_name([replace(FILE, **change)])


def test_a_groups_name_depends_on_the_address_of_remote_files_alone():
    assert group_name([FILE]) == group_name([replace(FILE, url="/elsewhere/a")])
    remote = replace(FILE, url="s3://bucket/a")
    assert group_name([remote]) != group_name([replace(remote, url="s3://other/a")])
    assert group_name([FILE, remote]) != group_name([remote, FILE])


def test_an_input_file_is_read_back_from_a_plan():
    assert InputFile(**asdict(FILE)) == FILE
    assert list(asdict(FILE)) == [
        *("path", "url", "size", "mtime_ns", "inode", "ctime_ns", "etag", "sha256")
    ]


def test_two_definitions_of_one_file_are_refused_unless_they_read_other_rows():
    def inputs(name, **more):
        source = definition("jsonl", **more).model_copy(update={"name": name})
        return SourceInputs(source, (), [FILE], [], [])

    refuse_shared_files({"one": inputs("a"), "the same after other steps": inputs("a")})
    refuse_shared_files({"x": inputs("a", where={"kind": ["x"]}), "y": inputs("b")})
    with pytest.raises(RecipeError, match="definitions b and a read the same rows of /data/a"):
        refuse_shared_files({"a": inputs("a"), "b": inputs("b")})


def test_a_revision_is_resolved_once_a_store_and_again_when_another_is_asked(store, monkeypatch):
    commits = {"main": ["1" * 40], "next": ["2" * 40]}
    monkeypatch.setattr(module, "resolve_commit", lambda revision: commits[revision.name].pop())
    main = definition("jsonl", revision="main")
    assert [frozen(store, main).revision for _ in range(2)] == ["1" * 40] * 2
    assert frozen(store, definition("jsonl", revision="next")).revision == "2" * 40


def test_contents_changed_in_place_are_read_again_whatever_their_times_say(store, folder):
    files = survey(store, definition("jsonl"), (), folder).files
    read_group(store, files)
    path = folder / "a.jsonl"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b'{"text": "A"}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (
        *(before.st_size, before.st_mtime_ns, before.st_ino),
    )
    found = survey(store, definition("jsonl"), (), folder)
    assert found.groups == []


def test_a_file_with_another_mode_or_name_and_the_same_content_is_not_read_again(store, folder):
    read_group(store, survey(store, definition("jsonl"), (), folder).files)
    (folder / "a.jsonl").chmod(0o600)
    (folder / "b.jsonl").rename(folder / "x")
    (folder / "x").rename(folder / "b.jsonl")
    assert survey(store, definition("jsonl"), (), folder).new_groups == []


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_definitions_that_read_one_file_through_links_are_refused(store, tmp_path, link):
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "b" / "y.jsonl").write_text('{"text": "y"}\n')
    if link is os.link:
        link(tmp_path / "a" / "x.jsonl", tmp_path / "b" / "z.jsonl")
    else:
        link(tmp_path / "a", tmp_path / "c")  # a folder may be a link
    places = ("a", "b") if link is os.link else ("a", "c")
    found = {
        name: survey(store, definition("jsonl", name=name), (), tmp_path / name) for name in places
    }
    with pytest.raises(RecipeError, match="read the same rows of "):
        refuse_shared_files(found)
