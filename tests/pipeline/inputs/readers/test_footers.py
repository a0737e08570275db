"""Parquet files whose footer could end the process, and columns that are not read."""

from __future__ import annotations

import base64
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest

from mixtures.errors import InputError
from pipeline.inputs.readers.layouts.parquet_footer import read_chunks
from tests.pipeline.input_files import definition, fails, read

TEXTS = [f"text {number % 7}" for number in range(300)]


class Keys(encryption.KmsClient):  # type: ignore[misc]  # pyarrow publishes no types
    """Keys that are not wrapped."""

    def wrap_key(self, key, name):
        return base64.b64encode(key)

    def unwrap_key(self, key, name):
        return base64.b64decode(key)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "source").mkdir()
    return tmp_path / "source" / "a.parquet"


@pytest.fixture
def encrypted(path):
    """A plain footer, a plain column `text` and an encrypted one."""
    table = pa.table({"text": ["a", "b"], "secret": ["x", "y"]})
    factory = encryption.CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["secret"]}, plaintext_footer=True
        ),
    )
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return path


def test_an_encrypted_column_that_is_not_read_is_of_no_consequence(tmp_path, encrypted):
    assert read(tmp_path, definition("parquet"))[1] == [(0, "a"), (1, "b")]


def test_an_encrypted_column_that_is_read_fails_by_its_name(tmp_path, encrypted):
    fails(tmp_path, "parquet", "is encrypted", adapter=None, text="secret")


def test_chunks_are_those_that_pyarrow_finds(path):
    nested = pa.array([[{"a": number}] for number in range(300)])
    columns = {"text": TEXTS, "meta": nested, "n": list(range(300)), "on": [True] * 300}
    pq.write_table(pa.table(columns), path, row_group_size=100, write_page_index=True)
    metadata = pq.read_metadata(path)
    expected = [
        (chunk.path_in_schema, chunk.total_uncompressed_size)
        for group in range(metadata.num_row_groups)
        for index in range(metadata.num_columns)
        for chunk in [metadata.row_group(group).column(index)]
    ]
    with path.open("rb") as handle:
        chunks = read_chunks(handle)
    assert [(chunk.path, chunk.uncompressed_bytes) for chunk in chunks] == expected
    assert [chunk.path for chunk in chunks if chunk.is_dictionary] == ["text"] * 3


def test_a_footer_that_is_damaged_fails_by_the_files_name_or_changes_nothing(tmp_path, path):
    """In this process, which pyarrow's own look at the chunks would end."""
    pq.write_table(pa.table({"text": TEXTS, "n": list(range(300))}), path, row_group_size=100)
    good, draw = path.read_bytes(), random.Random(1)
    end = len(good) - 8
    begin, messages = end - int.from_bytes(good[end : end + 4], "little"), []
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(begin, end)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            documents = read(tmp_path, definition("parquet"))[1]
        except InputError as error:
            messages.append(str(error))
        else:
            assert documents == list(enumerate(TEXTS))
    assert messages
    assert all("a.parquet: " in message for message in messages)


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this pyarrow writes no such column")
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_a_text_that_is_annotated_as_json_is_read_as_it_is_stored(tmp_path, path, kind):
    values = pa.array(['{"a": 1}', "[]", None], pa.json_(kind))
    pq.write_table(pa.table({"text": values}), path)
    reader, documents = read(tmp_path, definition("parquet"))
    assert documents == [(0, '{"a": 1}'), (1, "[]")]
    assert reader.counts["quarantined"] == 1


class Marked(pa.ExtensionType):  # type: ignore[misc]  # pyarrow publishes no types
    def __init__(self):
        super().__init__(pa.string(), "tests.marked")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


def test_an_extension_of_text_is_read_as_it_is_stored(tmp_path, path):
    values = pa.ExtensionArray.from_storage(Marked(), pa.array(["a", "b"]))
    pa.register_extension_type(Marked())
    try:
        pq.write_table(pa.table({"text": values}), path)
        assert read(tmp_path, definition("parquet"))[1] == [(0, "a"), (1, "b")]
    finally:
        pa.unregister_extension_type("tests.marked")


def test_what_pyarrow_does_not_know_is_not_called_damaged(tmp_path, path, monkeypatch):
    pq.write_table(pa.table({"text": ["a"]}), path)

    def unknown(*args, **options):
        raise pa.ArrowNotImplementedError("Unsupported encoding ALP")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", unknown)
    fails(tmp_path, "parquet", "does not read \\(Unsupported encoding ALP\\); write it again")
