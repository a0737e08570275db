"""What may lie in a source's folder: read, left out as a companion, named, or an error."""

from __future__ import annotations

import hashlib
import os

import pytest

from mixtures.errors import InputError
from pipeline.inputs.contents.names import shard_of, splits_of
from pipeline.inputs.contents.sorting import sort_out
from pipeline.inputs.listing import list_source
from tests.pipeline.input_files import definition, json_lines, rows_of, texts

LINES = json_lines(rows_of(texts(2)))


def own(packing="jsonl", **more):
    """A definition of files that the user brings."""
    given = {"name": "source", "licence": "CC0", "format": packing, "adapter": "text"}
    return type(definition("jsonl")).model_validate(given | more)


def sorted_out(*paths, source=None, patterns=(), published=False):
    return sort_out(source or own(), "here", paths, patterns, published=published)


def refused(*paths, **more):
    with pytest.raises(InputError) as caught:
        sorted_out(*paths, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "companion",
    [
        *("README.md", "readme", "README_en.md", "LICENSE", "LICENSE-MIT", "SHA256SUMS"),
        *("md5sums.txt", "x.jsonl.sha256", "x.jsonl.md5", "CITATION.cff", ".gitattributes"),
        *("_SUCCESS", "_committed_123", "dataset_info.json", "dataset_infos.json", "Thumbs.db"),
        *("desktop.ini", "__MACOSX/._x.jsonl", ".DS_Store", "._x.jsonl", "a/.hidden/x.jsonl"),
    ],
)
def test_companions_and_hidden_files_are_left_out_without_a_word(companion):
    found = sorted_out("x.jsonl", companion)
    assert (found.read, found.notes) == (["x.jsonl"], [])


def test_data_whose_name_begins_like_a_companion_is_read():
    paths = ["authors.jsonl", "notice.jsonl", "posts.jsonl", "readme.jsonl", "readme_alice.jsonl"]
    assert sorted_out(*paths).read == paths


@pytest.mark.parametrize("other", ["README_en.txt", "LICENSE-story.txt"])
def test_a_text_that_may_be_a_companion_is_named(other):
    assert sorted_out("x.jsonl", other).notes == [f"here: not read: 1 file ({other})"]


@pytest.mark.parametrize("other", ["z.json", "x.jsonl~", "x.jsonl.1", "notes.docx", "x", "a/b.log"])
def test_what_is_not_read_is_named(other):
    found = sorted_out("x.jsonl", other)
    assert (found.read, found.notes) == (["x.jsonl"], [f"here: not read: 1 file ({other})"])


def test_an_ending_in_capitals_is_the_same_ending():
    assert sorted_out("x.jsonl", "W.JSONL").read == ["W.JSONL", "x.jsonl"]


@pytest.mark.parametrize("other", ["y.jsonl.gz", "data.parquet", "sub/Z.JSON.ZST", "all.zip"])
def test_a_file_of_another_format_that_could_be_read_is_an_error(other):
    message = refused("x.jsonl", other)
    assert f"1 file ({other}) of another format" in message
    assert "`paths`" in message
    chosen = sorted_out("x.jsonl", other, patterns=("*.jsonl",))
    assert (chosen.read, "not read" in "".join(chosen.notes)) == (["x.jsonl"], "/" not in other)


def test_in_a_repository_other_formats_are_named():
    found = sorted_out("x.jsonl", "y.parquet", published=True)
    assert (found.read, found.notes) == (["x.jsonl"], ["here: not read: 1 file (y.parquet)"])


@pytest.mark.parametrize(
    "unfinished",
    [
        *("x.jsonl.incomplete", "y.tmp", "y.jsonl.part", "y.jsonl.crdownload", "Y.JSONL.PARTIAL"),
        *("_temporary/0/part-0.jsonl", "y.jsonl.aria2", ".y.jsonl.aB3dE9", "z.tmp/part-0.jsonl"),
        ".cache/huggingface/download/data/abc=.9f.incomplete",
    ],
)
def test_an_unfinished_name_is_an_error(unfinished):
    message = refused("x.jsonl", unfinished)
    assert "unfinished" in message
    assert unfinished in message
    assert "finish it, or delete" in message


def test_patterns_name_what_lies_beside_their_matches_alone():
    paths = ["data/v2/train-0.jsonl", "data/v2/valid-0.jsonl", "data/v1/train-0.jsonl", "README.md"]
    found = sorted_out(*paths, patterns=("data/v2/train-*",))
    assert found.read == ["data/v2/train-0.jsonl"]
    assert found.notes == ["here: not read: 1 file (data/v2/valid-0.jsonl)"]


MIXED = ["train/a.jsonl", "test/a.jsonl", "validation.jsonl"]


def test_several_splits_are_an_error_that_names_them():
    message = refused(*MIXED)
    assert "train: 1 file (train/a.jsonl)" in message
    assert "validation: 1 file (validation.jsonl)" in message
    assert "splits: [train]" in message


def test_a_source_that_says_its_splits_reads_those_and_names_the_others():
    found = sorted_out(*MIXED, source=own(splits=("train",)))
    assert found.read == ["train/a.jsonl"]
    assert found.notes == [
        "here: not read, of other splits: 2 files (test/a.jsonl, validation.jsonl)"
    ]
    every = own(splits=("train", "test", "validation"))
    assert sorted_out(*MIXED, source=every).read == sorted(MIXED)
    assert "no file of the split test" in refused("a.jsonl", source=own(splits=("test",)))


@pytest.mark.parametrize(
    ("paths", "split"),
    [
        (["a.jsonl", "test.jsonl"], "test"),
        (["data/train-00000.jsonl", "data/valid-00000.jsonl"], "validation"),
        (["corpus_train_0.jsonl", "corpus_test_0.jsonl"], "test"),
        (["corpus.jsonl", "corpus_dev.jsonl"], "validation"),
        (["en/a.jsonl", "en/dev/a.jsonl"], "validation"),
    ],
)
def test_the_last_of_these_is_of_another_split(paths, split):
    assert splits_of(paths)[paths[-1]] == split
    assert "several splits" in refused(*paths)


@pytest.mark.parametrize(
    "paths",
    [
        ["hellaswag.jsonl", "lambada_openai_test.jsonl", "piqa_validation.jsonl"],
        ["train-0.jsonl", "extra.jsonl"],
        ["test/a.jsonl", "test/b.jsonl"],
        ["contest.jsonl", "trained.jsonl", "attestation.jsonl"],
        ["global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl"],
    ],
)
def test_these_are_of_one_split(paths):
    assert sorted_out(*paths).read == sorted(paths)


def test_a_missing_shard_is_an_error_unless_the_source_is_partial():
    paths = ["train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl"]
    message = refused(*paths)
    assert "train-*-of-00003.jsonl (2 of 3 are there; not 1)" in message
    assert "partial: true" in message
    found = sorted_out(*paths, source=own(partial=True))
    assert found.read == paths
    assert "2 of 3 are there" in found.notes[0]


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        ([f"a-{number:05}-of-00003.jsonl" for number in range(3)], ""),
        ([f"a-{number:05}-of-00003.jsonl" for number in (1, 2, 3)], ""),
        ([f"a-{number:05}-of-00003.jsonl" for number in (1, 3)], "not 2"),
        ([f"a_{number}_of_3-{number * 7919:x}.jsonl" for number in range(3)], ""),
        ([f"a_{number}_of_3-{number * 7919:x}.jsonl" for number in range(2)], "not 2"),
        (["a-0-of-2.jsonl", "b-1-of-2.jsonl"], "a-*-of-2.jsonl"),
        (["a-00001-of-00100.jsonl"], "not 0, 2, 3, 4, 5 and 94 more"),
        (["best-of-2023.jsonl", "1-of-0.jsonl", "12-of-3.jsonl"], ""),
    ],
)
def test_shards_are_counted_by_their_own_names(paths, missing):
    if missing:
        assert missing in refused(*paths)
    else:
        assert sorted_out(*paths).read == sorted(paths)


def test_shards_that_patterns_leave_out_are_not_missing():
    paths = [f"train-{number:05}-of-00003.jsonl" for number in range(3)]
    assert sorted_out(*paths, patterns=("train-00001-*",)).read == paths[1:2]


def test_numbered_folders_that_are_not_all_there_are_named():
    folder = "global-shard_01_of_10"
    assert shard_of(folder)
    found = sorted_out(f"{folder}/local-shard_0_of_10/shard_00000000_processed.jsonl")
    (note,) = found.notes
    assert "global-shard_*_of_10 (1 of 10 are there" in note
    assert f"{folder}/local-shard_*_of_10 (1 of 10" in note


def snapshot(tmp_path, names, blob="f" * 64):
    """A repository in the cache of the hub's client."""
    repository = tmp_path / "hub" / "datasets--owner--name"
    (repository / "blobs").mkdir(parents=True)
    commit = repository / "snapshots" / ("0" * 40)
    for name in names:
        path = commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (repository / "blobs" / blob).write_bytes(LINES)
        path.symlink_to(os.path.relpath(repository / "blobs" / blob, path.parent))
    return commit


def test_a_snapshot_of_the_hubs_cache_is_read_and_pinned_by_its_blobs(tmp_path):
    digest = hashlib.sha256(LINES).hexdigest()
    commit = snapshot(tmp_path, ["data/a.jsonl", "data/b.jsonl"], digest)
    for folder in (commit, commit / "data"):
        files = list_source(own(), folder).files
        assert [(file.path.rpartition("/")[2], file.sha256) for file in files] == [
            ("a.jsonl", digest),
            ("b.jsonl", digest),
        ]
    (tmp_path / "link").symlink_to(commit)
    assert len(list_source(own(), tmp_path / "link").files) == 2


def test_a_small_blob_that_git_named_pins_nothing(tmp_path):
    (file,) = list_source(own(), snapshot(tmp_path, ["a.jsonl"], "a" * 40)).files
    assert file.sha256 is None


def test_a_link_of_a_snapshot_to_elsewhere_is_refused(tmp_path):
    commit = snapshot(tmp_path, ["a.jsonl"])
    secret = tmp_path / "hub" / "datasets--other--name" / "blobs"
    secret.mkdir(parents=True)
    (secret / "x").write_bytes(LINES)
    (commit / "b.jsonl").symlink_to(secret / "x")
    with pytest.raises(InputError, match="leads out"):
        list_source(own(), commit)


def test_a_snapshot_whose_download_is_not_finished_is_refused(tmp_path):
    commit = snapshot(tmp_path, ["a.jsonl"])
    (commit.parent.parent / "blobs" / "abc.incomplete").write_bytes(b"{")
    with pytest.raises(InputError, match=r"unfinished downloads \(abc\.incomplete\)"):
        list_source(own(), commit)


def test_an_empty_file_that_is_pinned_so_is_meant(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(InputError, match="SHA256SUMS"):
        list_source(own(), tmp_path)
    sums = "".join(
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("a.jsonl", "b.jsonl")
    )
    (tmp_path / "SHA256SUMS").write_text(sums)
    assert len(list_source(own(), tmp_path).files) == 2
