"""Sources on an object store, against a file system that answers as s3fs does (`tests/s3` asks a
server).
"""

from __future__ import annotations

import hashlib

import pytest

from mixtures.errors import InputError, RecipeError
from pipeline.inputs.listing import content_unchanged, list_files
from pipeline.places.places import parse_url
from tests.pipeline.input_files import definition

FOLDER = parse_url("s3://bucket/papers")


class Bucket(dict):
    """Contents of objects by key, and what s3fs answers of them."""

    def invalidate_cache(self):
        """It remembers nothing."""

    def info(self, url):
        data = self.get(url.removeprefix("s3://"), b"")
        return {"size": len(data), "ETag": f'"{hashlib.md5(data).hexdigest()}"', "type": "file"}

    def find(self, prefix, detail):
        return {key: self.info(key) for key in self if key.startswith(f"{prefix}/")}

    def cat_file(self, url):
        return self[url.removeprefix("s3://")]


@pytest.fixture
def bucket(monkeypatch):
    bucket = Bucket({"bucket/papers/a.jsonl": b'{"text": "a"}\n', "bucket/papers/.b.jsonl": b"x"})
    for module in ("pipeline.places.files", "pipeline.inputs.remote"):
        monkeypatch.setattr(f"{module}.file_system", lambda scheme: bucket)
    return bucket


def test_objects_that_are_not_hidden_are_listed_by_size_and_etag(bucket):
    (file,) = list_files(definition("jsonl"), FOLDER)
    data = bucket["bucket/papers/a.jsonl"]
    assert (file.path, file.url) == ("a.jsonl", "s3://bucket/papers/a.jsonl")
    assert (file.size, file.etag) == (len(data), hashlib.md5(data).hexdigest())
    assert content_unchanged(file)
    bucket["bucket/papers/a.jsonl"] = data.upper()
    assert not content_unchanged(file)


def test_checksums_pin_objects_and_must_list_them_all(bucket):
    sha256 = hashlib.sha256(bucket["bucket/papers/a.jsonl"]).hexdigest()
    sums = f"{sha256}  a.jsonl\n{'0' * 64}  .b.jsonl\n".encode()
    bucket["bucket/papers/SHA256SUMS"] = sums
    (file,) = list_files(definition("jsonl"), FOLDER)
    assert file.sha256 == sha256
    bucket["bucket/papers/c.jsonl"] = b"{}"
    with pytest.raises(InputError, match=r"papers/SHA256SUMS: does not list c\.jsonl"):
        list_files(definition("jsonl"), FOLDER)
    del bucket["bucket/papers/c.jsonl"], bucket["bucket/papers/.b.jsonl"]
    with pytest.raises(InputError, match=r"papers/SHA256SUMS: lists \.b\.jsonl, which is missing"):
        list_files(definition("jsonl"), FOLDER)


def test_an_empty_object_and_a_folder_without_the_format_fail_by_their_url(bucket):
    with pytest.raises(InputError, match=r"s3://bucket/papers: no file matches .* found a\.jsonl$"):
        list_files(definition("parquet"), FOLDER)
    bucket["bucket/papers/a.jsonl"] = b""
    with pytest.raises(InputError, match=r"s3://bucket/papers/a\.jsonl: the file is empty"):
        list_files(definition("jsonl"), FOLDER)


def test_a_source_that_the_datasets_library_loads_is_not_read_from_an_object_store(bucket):
    with pytest.raises(RecipeError, match="read from the hub or a local folder"):
        list_files(definition("datasets"), FOLDER)
