"""Tables come back as they were given, and their hash follows what they say and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mixtures.mix.tables import (
    DOCUMENTS,
    PROVENANCE,
    Texts,
    from_arrow,
    part_hash,
    root_hash,
    to_arrow,
)

U64, U32, U16 = (st.integers(0, 2**bits - 1) for bits in (64, 32, 16))
ROWS = st.lists(
    st.tuples(
        U64,
        U64,
        U32,
        st.sampled_from(["dclm", "a", "wiki-2"]),
        st.binary(min_size=16, max_size=16),
        U16,
        U16,
        st.booleans(),
        U64,
    )
)


def columns_of(rows):
    """Columns of both tables, as the write stage gives them."""
    names = (
        "position",
        "first_token",
        "num_tokens",
        "source",
        "digest",
        "epoch",
        "copy",
        "cut",
        "row",
    )
    dtypes = (
        np.uint64,
        np.uint64,
        np.uint32,
        object,
        None,
        np.uint16,
        np.uint16,
        np.bool_,
        np.uint64,
    )
    columns = {
        name: np.array([row[at] for row in rows], dtype)
        for at, (name, dtype) in enumerate(zip(names, dtypes, strict=True))
        if dtype
    }
    columns["digest"] = np.frombuffer(b"".join(row[4] for row in rows), np.uint8).reshape(-1, 16)
    columns["file"] = np.array([f"part-{row[0] % 3}/\u00e9.json.gz" for row in rows], object)
    return columns


def by_hand(rows) -> str:
    """The hash of a part of documents.parquet, from the description alone."""
    widths = {0: 8, 1: 8, 2: 4, 5: 2, 6: 2, 7: 1}
    whole = blake3()
    for at in range(8):
        if at == 3:
            raw = b"".join(row[3].encode() + b"\0" for row in rows)
        elif at == 4:
            raw = b"".join(row[4] for row in rows)
        else:
            raw = b"".join(int(row[at]).to_bytes(widths[at], "little") for row in rows)
        whole.update(blake3(raw).digest())
    return whole.hexdigest()


@given(ROWS)
def test_tables_survive_parquet_and_keep_their_hash(rows):
    columns = columns_of(rows)
    for schema in (DOCUMENTS, PROVENANCE):
        file = io.BytesIO()
        pq.write_table(to_arrow(schema, columns), file, compression="zstd")
        back = from_arrow(schema, pq.read_table(file))
        assert list(back) == schema.names
        for name, values in back.items():
            assert values.tolist() == columns[name].tolist()
        assert part_hash(schema, back) == part_hash(schema, columns)


@given(ROWS, st.randoms(use_true_random=False))
def test_texts_by_number_say_what_spelled_texts_say(rows, random):
    columns = columns_of(rows)
    numbered = dict(columns)
    for name in ("source", "file"):
        texts = columns[name].tolist()
        names = [*texts, "unused", *texts]  # a name may stand twice, or be of no row
        codes = [
            random.choice([at for at, one in enumerate(names) if one == text]) for text in texts
        ]
        numbered[name] = Texts(names, np.array(codes, np.int32))
        assert numbered[name].objects().tolist() == texts
        assert len(numbered[name]) == len(texts)
    for schema in (DOCUMENTS, PROVENANCE):
        assert to_arrow(schema, numbered).equals(to_arrow(schema, columns))
        assert part_hash(schema, numbered) == part_hash(schema, columns)


@given(ROWS)
def test_the_hash_of_a_part_is_that_of_its_description(rows):
    assert part_hash(DOCUMENTS, columns_of(rows)) == by_hand(rows)


@given(ROWS.filter(bool), st.data())
def test_a_change_of_any_value_changes_the_hash(rows, data):
    at, row = data.draw(st.integers(0, 7)), data.draw(st.integers(0, len(rows) - 1))
    others = {3: "other", 4: bytes(byte ^ 1 for byte in rows[row][4]), 7: not rows[row][7]}
    other = others[at] if at in others else (rows[row][at] + 1) % 2**16
    changed = [*rows]
    changed[row] = (*rows[row][:at], other, *rows[row][at + 1 :])
    if changed != rows:
        assert part_hash(DOCUMENTS, columns_of(changed)) != part_hash(DOCUMENTS, columns_of(rows))


@given(ROWS, st.integers(0, 5), st.integers(0, 5))
def test_a_slice_of_a_table_reads_like_a_table_of_its_own(rows, low, count):
    table = to_arrow(DOCUMENTS, columns_of(rows)).slice(low, count)
    assert from_arrow(DOCUMENTS, table)["digest"].tobytes() == b"".join(
        row[4] for row in rows[low : low + count]
    )


@pytest.mark.parametrize("damage", ["drop", "type", "null", "order", "extra"])
def test_a_table_of_another_form_is_refused(damage):
    table = to_arrow(PROVENANCE, columns_of([(0, 0, 1, "a", bytes(16), 0, 0, False, 7)]))
    row = table.schema.get_field_index("row")
    if damage == "drop":
        table = table.drop_columns(["row"])
    elif damage == "type":
        table = table.set_column(row, "row", pa.array([7], pa.int64()))
    elif damage == "null":
        table = table.set_column(row, "row", pa.array([None], pa.uint64()))
    elif damage == "order":
        table = table.select(["row", "file", "position"])
    else:
        table = table.append_column("more", pa.array([1]))
    with pytest.raises(ValueError, match="column"):
        from_arrow(PROVENANCE, table)


def test_texts_beyond_what_a_part_can_hold_are_refused():
    texts = Texts(["x" * (1 << 20)], np.zeros(1 << 11, np.int32))
    with pytest.raises(ValueError, match=r"2,147,483,648 bytes.*make smaller slices"):
        texts.spelled()
    assert len(Texts(texts.names, texts.codes[:2]).spelled()) == 2


def test_the_root_follows_the_order_of_its_parts():
    one, two = blake3(b"one").hexdigest(), blake3(b"two").hexdigest()
    assert (
        root_hash([one, two])
        == blake3(blake3(b"one").digest() + blake3(b"two").digest()).hexdigest()
    )
    assert root_hash([one, two]) != root_hash([two, one])
