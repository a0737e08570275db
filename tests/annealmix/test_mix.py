"""An opened mix says what its files hold, read by pyarrow and by the trainers' own loops."""

from __future__ import annotations

import contextlib
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annealmix import AnnealmixError, Mix, Record, open_mix
from mixtures.errors import ManifestError, RecipeError
from mixtures.mix import trace
from mixtures.trainers.names import OrderName
from pipeline.build.output import remote as remote_output
from tests.mixtures.trainers import original_order


@pytest.fixture
def mix(built: Path) -> Mix:
    return open_mix(built)


def rows(folder: Path) -> list[dict[str, Any]]:
    """What the tables say of each document."""
    documents, provenance = (
        pq.read_table(folder / f"{table}.parquet").to_pylist()
        for table in ("documents", "provenance")
    )
    return [
        {**one, **other, "digest": one["digest"].hex()}
        for one, other in zip(documents, provenance, strict=True)
    ]


def fields(record: Record) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name != "ids"}


def copied(built: Path, folder: Path) -> Path:
    shutil.copytree(built, folder / "mix")
    return folder / "mix"


def rewritten(folder: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = folder / f"{table}.parquet" / "part-00000.parquet"
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize("block_rows", [7, 1 << 16])
def test_every_record_is_what_the_tables_say_in_any_order(built, monkeypatch, block_rows):
    monkeypatch.setattr(trace, "BLOCK_ROWS", block_rows)
    mix, expected = open_mix(built), rows(built)
    assert [fields(record) for record in mix] == expected
    assert [fields(record) for record in mix[::-3]] == expected[::-3]
    for position in random.Random(3).choices(range(-len(mix), len(mix)), k=300):
        assert fields(mix[position]) == expected[position]


def test_row_groups_of_other_sizes_are_put_together(built, tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "BLOCK_ROWS", 100)
    folder = copied(built, tmp_path)
    for table, size in (("documents", 33), ("provenance", 64)):
        path = folder / f"{table}.parquet" / "part-00000.parquet"
        pq.write_table(pq.read_table(path), path, row_group_size=size)
    assert [fields(record) for record in open_mix(folder)] == rows(built)


def test_the_ids_of_the_records_are_the_tokens_one_after_another(mix):
    assert np.array_equal(np.concatenate([record.ids for record in mix]), mix.tokens)
    assert not mix[0].ids.flags.writeable


def test_slices_are_read_as_they_are_asked_for(mix, monkeypatch):
    monkeypatch.setattr(mix, "_read", None)
    assert len(mix[10:20][2:8:3]) == 2


def test_where_there_is_no_document_there_is_an_index_error(mix):
    for index in (len(mix), -len(mix) - 1):
        with pytest.raises(IndexError, match=r"no document -?1,64[45] of 1,644"):
            mix[index]


def test_the_frame_is_both_tables(mix, built):
    frame = mix.documents.collect()
    expected = rows(built)
    assert frame.columns == list(expected[0])
    for row, values in zip(expected, frame.iter_rows(named=True), strict=True):
        assert {**values, "digest": values["digest"].hex()} == row


def test_the_text_is_the_one_that_trace_shows(mix, built):
    from pipeline.commands.trace.trace import Question, trace

    for position in (0, 5, len(mix) - 1):
        answer = trace(Question(mix=built, position=position, show_text=True))
        assert mix.text(position) == answer.as_json()["places"][0]["text"]


@pytest.mark.parametrize("trainer", ["neox", "megatron", "file-order"])
@pytest.mark.parametrize("steps", [20, 45])
def test_a_step_is_what_the_trainers_own_loops_read(mix, trainer: OrderName, steps):
    batch, sequence, seed = 8, 1000, 77
    sizes = [record.num_tokens for record in mix]
    if trainer == "file-order":
        steps = (len(mix.tokens) - 1) // sequence // batch
        stream = [(position, at) for position, size in enumerate(sizes) for at in range(size)]
        samples = [stream[at : at + sequence + 1] for at in range(0, len(stream), sequence)]
    else:
        loops = original_order.neox if trainer == "neox" else original_order.megatron
        samples = loops(sizes, sequence, steps * batch, seed)
    asked = {"trainer": trainer, "seed": seed, "batch": batch, "sequence": sequence}
    asked |= {} if trainer == "file-order" else {"steps": steps}
    for number in (0, 7, steps - 1):
        step = mix.step(number, **asked)
        own = samples[number * batch : (number + 1) * batch]
        ids = [[mix[position].ids[at] for position, at in sample] for sample in own]
        assert np.array_equal(step.tokens, ids)
        assert np.array_equal(step.inputs, np.array(ids)[:, :-1])
        assert np.array_equal(step.labels, np.array(ids)[:, 1:])
        spans = step.spans
        assert set(spans.reads.tolist()) == set(range(batch))
        read = [
            (position, offset + at)
            for position, offset, count in zip(
                spans.positions.tolist(),
                spans.offsets.tolist(),
                spans.num_tokens.tolist(),
                strict=True,
            )
            for at in range(count)
        ]
        assert read == [token for sample in own for token in sample[:-1]]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"trainer": "nemo"}, {"batch": 0}, {"sequence": -1}, {"steps": 0}, {"seed": 1 << 32}),
        *({"batch": [(0, 2), (5, 3)]}, {"batch": (2, 3)}, {"batch": "2,3@5"}, {"batch": {0: 2}}),
        *({"batch": 2.0}, {"batch": ((0, 2), (5, 3.5))}, {"batch": ()}, {"batch": ((1, 2),)}),
        {"steps": ((0, 5),)},
    ],
    ids=str,
)
def test_a_training_that_no_trainer_runs_is_refused(mix, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        mix.step(0, **{"trainer": "neox", "batch": 2, "sequence": 64, **wrong})


@pytest.mark.parametrize("number", [-1, 10])
def test_a_step_that_the_training_does_not_have_is_refused(mix, number):
    with pytest.raises(RecipeError, match="only 0 to 9"):
        mix.step(number, trainer="neox", batch=2, sequence=64, steps=10)


def test_another_process_opens_it_again(mix):
    again, records = pickle.loads(pickle.dumps((mix, mix[4:6])))
    assert again[9] == mix[9]
    assert list(records) == list(mix[4:6])
    assert len(pickle.dumps(mix)) < 1000


def test_the_copy_of_a_remote_mix_is_deleted_with_the_block(built, tmp_path, monkeypatch):
    @contextlib.contextmanager
    def fetched(url: object, cache: Path) -> Iterator[Path]:
        assert (str(url), cache) == ("s3://bucket/mix", tmp_path)
        folder = copied(built, tmp_path)
        try:
            yield folder
        except AnnealmixError as error:
            raise type(error)(str(error).replace(str(folder), str(url))) from None
        finally:
            shutil.rmtree(folder)

    monkeypatch.setattr(remote_output, "fetched", fetched)
    with open_mix("s3://bucket/mix", cache=tmp_path) as mix:
        assert mix[3] == open_mix(built)[3]
        assert (tmp_path / "mix").exists()
    assert not (tmp_path / "mix").exists()
    with pytest.raises(RecipeError, match="scheme"):
        open_mix("ftp://bucket/mix")


@pytest.mark.parametrize("name", ["manifest.json", "tokens.bin", "tokens.idx"])
def test_files_that_the_manifest_does_not_fit_are_refused_when_it_is_opened(built, tmp_path, name):
    folder = copied(built, tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:-2])
    with pytest.raises(ManifestError, match=name):
        open_mix(folder)


DAMAGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "shorter": lambda table: table.slice(0, len(table) - 1),
    "longer": lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    "without a column": lambda table: table.drop_columns([table.schema.names[-1]]),
    "of another type": lambda table: table.set_column(0, "position", table[0].cast(pa.int64())),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", ["documents", "provenance"])
def test_a_table_that_does_not_fit_is_never_read(built, tmp_path, table, damage):
    folder = copied(built, tmp_path)
    rewritten(folder, table, DAMAGES[damage])
    mix = open_mix(folder)
    with pytest.raises(ManifestError, match=r"parquet.*audit|parquet.*build the mix again"):
        mix[-1]
    with pytest.raises(ManifestError, match=rf"{table}.parquet.*(audit|build the mix again)"):
        _ = mix.documents


def test_documents_in_another_order_than_the_index_are_never_given_out(built, tmp_path):
    folder = copied(built, tmp_path)
    rewritten(folder, "documents", lambda table: table.take([1, 0, *range(2, len(table))]))
    with pytest.raises(ManifestError, match=r"row 0 says position 1, tokens.idx 0"):
        open_mix(folder)[5]
