"""Listing inputs: which files a source consists of, and what must not be among them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from pipeline.inputs.checksums import ChecksumFile
from pipeline.inputs.contents.patterns import glob_expression, matches
from pipeline.inputs.listing import content_unchanged
from tests.pipeline.input_files import (
    datasets_definition,
    definition,
    list_inputs,
    pin,
    rows_of,
    texts,
    write,
)

CHECKOUT = Path(__file__).resolve().parents[3]


def fails(folder, packing="jsonl"):
    with pytest.raises(InputError) as caught:
        list_inputs(definition(packing), folder)
    return str(caught.value)


def fill(folder, *names, data=b'{"text": "a"}\n'):
    for name in names:
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data + name.encode())


def test_files_of_the_format_are_found_in_any_depth_and_sorted_by_their_utf8(tmp_path):
    fill(
        tmp_path,
        "b.jsonl",
        "a/z.jsonl",
        "ä.jsonl",
        "Z.jsonl",
        "a-b.jsonl",
        "a/b/c.jsonl",
        "𐀀.jsonl",
        "\uffee.jsonl",
        "readme.md",
        "notes.txt",
    )
    found = [file.path for file in list_inputs(definition("jsonl"), tmp_path)]
    assert found == [
        "Z.jsonl",
        "a-b.jsonl",
        "a/b/c.jsonl",
        "a/z.jsonl",
        "b.jsonl",
        "ä.jsonl",
        "\uffee.jsonl",
        "𐀀.jsonl",
    ]


def test_an_input_says_path_size_time_and_inode(tmp_path):
    path = write(tmp_path, "jsonl", ["a"], "deep/a.jsonl")
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    stat = path.stat()
    assert (file.path, file.url, file.local) == ("deep/a.jsonl", str(path), True)
    assert (file.size, file.mtime_ns, file.inode) == (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    assert file.ctime_ns == stat.st_ctime_ns
    assert (file.etag, file.sha256) == (None, None)


@pytest.mark.parametrize(
    ("packing", "names"),
    [
        ("jsonl", ["A.JSONL", "a.jsonl"]),
        ("jsonl.gz", ["A.JSON.GZ", "a.json.gz", "a.jsonl.gz"]),
        ("jsonl.zst", ["a.json.zst", "a.jsonl.zst"]),
        ("parquet", ["A.Parquet", "a.parquet"]),
        ("zip", ["A.ZIP", "a.zip"]),
    ],
)
def test_each_format_takes_its_own_endings_in_any_case(tmp_path, packing, names):
    fill(tmp_path, *names, "a.txt", "parquet")
    assert [file.path for file in list_inputs(definition(packing), tmp_path)] == names


def test_hidden_files_and_folders_are_left_out(tmp_path):
    fill(tmp_path, "a.jsonl", ".b.jsonl", ".cache/c.jsonl")
    assert [file.path for file in list_inputs(definition("jsonl"), tmp_path)] == ["a.jsonl"]


def test_case_19_a_pattern_that_matches_nothing_fails_and_says_what_is_there(tmp_path):
    fill(tmp_path, "a.json.gz", "b.txt")
    message = fails(tmp_path, "parquet")
    assert str(tmp_path / "source") in message
    assert "*.parquet" in message
    assert "a.json.gz, b.txt" in message


def test_case_19_a_missing_folder_fails_by_its_name(tmp_path):
    assert str(tmp_path / "source") in fails(tmp_path)


def test_case_18_an_empty_file_fails(tmp_path):
    fill(tmp_path, "a.jsonl")
    (tmp_path / "source" / "b.jsonl").touch()
    assert "b.jsonl: the file is empty" in fails(tmp_path)


def test_case_40_a_link_that_leads_out_of_the_folder_fails(tmp_path):
    fill(tmp_path, "a.jsonl")
    (tmp_path / "secret.jsonl").write_text("{}")
    (tmp_path / "source" / "b.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert "leads out" in fails(tmp_path)


def test_case_40_a_linked_folder_inside_a_source_fails(tmp_path):
    fill(tmp_path, "a/a.jsonl")
    (tmp_path / "source" / "b").symlink_to(tmp_path / "source" / "a")
    assert "links to folders are not followed" in fails(tmp_path)


def test_the_source_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "elsewhere", "a.jsonl")
    (tmp_path / "source").symlink_to(tmp_path / "elsewhere" / "source")
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    assert file.path == "a.jsonl"


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_under_two_names_fails(tmp_path, link):
    fill(tmp_path, "a.jsonl")
    link(tmp_path / "source" / "a.jsonl", tmp_path / "source" / "b.jsonl")
    assert "read twice" in fails(tmp_path)


def test_a_dangling_link_fails(tmp_path):
    fill(tmp_path, "a.jsonl")
    (tmp_path / "source" / "b.jsonl").symlink_to(tmp_path / "source" / "gone.jsonl")
    assert "b.jsonl: cannot be read" in fails(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    fill(tmp_path, "a.jsonl")
    os.mkfifo(tmp_path / "source" / "b.jsonl")
    assert "not a regular file" in fails(tmp_path)


def test_a_file_name_that_is_not_utf8_fails(tmp_path):
    fill(tmp_path, "a.jsonl")
    try:
        (Path(os.fsdecode(bytes(tmp_path) + b"/source/\xff.jsonl"))).write_bytes(b"{}")
    except OSError:
        pytest.skip("this file system keeps names in UTF-8 itself")
    assert "not UTF-8" in fails(tmp_path)


def test_checksums_pin_every_file(tmp_path):
    path = write(tmp_path, "jsonl", ["a"], "deep/a.jsonl")
    pin(tmp_path)
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_checksums_list_must_be_there(tmp_path):
    fill(tmp_path, "a.jsonl", "b.jsonl")
    pin(tmp_path)
    (tmp_path / "source" / "a.jsonl").unlink()
    assert "lists a.jsonl, which is missing" in fails(tmp_path)


def test_a_file_that_checksums_do_not_list_must_not_be_there(tmp_path):
    fill(tmp_path, "a.jsonl")
    pin(tmp_path)
    fill(tmp_path, "b.jsonl")
    assert "does not list b.jsonl" in fails(tmp_path)


def test_checksums_are_read_as_sha256sum_writes_them():
    content = f"{'A' * 64}  ./a b.jsonl\n{'b' * 64} *c.jsonl\n\n".encode()
    assert ChecksumFile("x", content).sums() == {"a b.jsonl": "a" * 64, "c.jsonl": "b" * 64}


@pytest.mark.parametrize(
    "line",
    [
        "abc  a",
        f"{'a' * 64} a",
        f"{'g' * 64}  a",
        f"{'a' * 64}  /etc/a",
        f"{'a' * 64}  ../a",
        f"{'a' * 64}  a\n{'b' * 64}  a",
        "\x00",
    ],
)
def test_a_line_that_sha256sum_would_not_write_fails_with_its_number(line):
    with pytest.raises(InputError, match=r"SHA256SUMS:[12]: "):
        ChecksumFile("SHA256SUMS", f"{line}\n".encode()).sums()


def test_content_unchanged_sees_another_size_time_or_file(tmp_path):
    path = write(tmp_path, "jsonl", ["a"])
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    written = path.stat().st_mtime_ns
    assert content_unchanged(file)
    os.utime(path, ns=(1, written + 1))
    assert not content_unchanged(file)
    os.utime(path, ns=(1, written))  # mtime is what it was, ctime is not
    assert not content_unchanged(file)
    (file,) = list_inputs(definition("jsonl"), tmp_path)
    assert content_unchanged(file)
    path.unlink()
    assert not content_unchanged(file)


def test_a_local_dataset_is_one_input_named_by_repository_configuration_and_split(tmp_path):
    write(tmp_path, "jsonl", rows_of(texts(2)))
    (file,) = list_inputs(datasets_definition(config="en", split="test"), tmp_path)
    assert (file.path, file.url) == (
        "owner/name:en/test",
        f"datasets://{(tmp_path / 'source').resolve()}",
    )
    with pytest.raises(InputError, match="no such folder"):
        list_inputs(datasets_definition(), tmp_path / "other")


def test_case_21_a_local_dataset_whose_folder_gained_a_file_is_another_input(tmp_path):
    write(tmp_path, "jsonl", rows_of(texts(2)))
    (before,) = list_inputs(datasets_definition(), tmp_path)
    assert list_inputs(datasets_definition(), tmp_path) == [before]
    assert content_unchanged(before)
    write(tmp_path, "jsonl", rows_of(texts(2)), "b.jsonl")
    assert not content_unchanged(before)
    assert list_inputs(datasets_definition(), tmp_path)[0].etag != before.etag


def test_a_dataset_of_the_hub_is_named_by_its_commit():
    (file,) = list_inputs(datasets_definition(), None)
    assert (file.path, file.url) == ("owner/name/train", f"datasets://owner/name@{'0' * 40}")


@pytest.mark.parametrize("revision", ["main", "0" * 40])
@pytest.mark.parametrize(
    "network",
    [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "https://hub.invalid", "HF_HUB_OFFLINE": "0"}],
    ids=["offline", "no such host"],
)
def test_a_hub_that_cannot_be_reached_fails_at_once_and_says_what_to_do(revision, network):
    """In a process of its own, since the hub's client reads the environment when it starts."""
    code = (
        "from tests.pipeline.input_files import definition\n"
        "from mixtures.errors import InputError\n"
        "from tests.pipeline.input_files import list_inputs\n"
        "from pipeline.places import files\n"
        "files.FIRST_WAIT_SECONDS = 0.01\n"
        "try:\n"
        f"    list_inputs(definition('parquet', revision={revision!r}), None)\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**os.environ, **network},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "owner/name@" in done.stdout
    assert "--data" in done.stdout
    assert "token" in done.stdout
    offline = network["HF_HUB_OFFLINE"] == "1"
    assert (" after 3 tries " in done.stdout) is not offline
    assert done.stderr.count("next try in ") == (0 if offline else 2)


REPOSITORY = [
    "README.md",
    "data/a.parquet",
    "data/x/y/b.parquet",
    "data/x/y/z/c.parquet",
    "other/d.parquet",
    "data/x/y/notes.txt",
]
PACKED = [path for path in REPOSITORY if path.endswith(".parquet")]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("data/*.parquet", ["data/a.parquet"]),
        ("data/*/*/*", ["data/x/y/b.parquet"]),
        ("data/**/*.parquet", ["data/a.parquet", "data/x/y/b.parquet", "data/x/y/z/c.parquet"]),
        ("**", ["data/a.parquet", "data/x/y/b.parquet", "data/x/y/z/c.parquet", "other/d.parquet"]),
        ("*/[!a].parquet", ["other/d.parquet"]),
        ("data/?.parquet", ["data/a.parquet"]),
    ],
)
def test_patterns_choose_files_of_the_format(pattern, matched):
    assert matches(definition("parquet"), "owner/name", PACKED, (pattern,)) == matched


def test_case_19_each_pattern_of_a_repository_must_match():
    source = definition("parquet", paths=("data/**", "gone/*.parquet"))
    with pytest.raises(InputError, match=r"'gone/\*\.parquet' matches no"):
        matches(source, "owner/name", PACKED, source.paths)


@given(st.text(st.sampled_from("ab.+()|^$\\{}-é"), min_size=1))
def test_a_pattern_without_wildcards_matches_itself_alone(name):
    assert glob_expression(name).fullmatch(name)
    assert not glob_expression(name).fullmatch(name + "x")
    assert glob_expression("*").fullmatch(name)
