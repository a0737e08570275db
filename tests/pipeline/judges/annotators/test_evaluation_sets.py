"""Files of evaluation sets: every row an item, or an error that says where; nothing is left out in
silence.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.rules.benchmark import EvaluationSet, Item, LoadedBenchmark, load_benchmark
from pipeline.judges.annotators.evaluation_sets import read_benchmark
from pipeline.judges.annotators.reading import PlannedBenchmark, opened_index

ROWS = [
    {"question": "Which one?", "choices": ["this", "that"], "answer": 1},
    {"question": "Und welche\u2028hier?", "choices": ["jene"], "answer": 0},
]


def write_set(folder: Path, *contents: bytes, kind: str = "jsonl", columns: str = "mmlu") -> Path:
    """A definition and its files, pinned as they are."""
    pins = []
    for number, content in enumerate(contents):
        (folder / f"part-{number}.{kind}").write_bytes(content)
        pins.append(
            f"  - {{path: part-{number}.{kind}, sha256: {hashlib.sha256(content).hexdigest()}}}\n"
        )
    definition = folder / "set.yaml"
    definition.write_text(
        f"name: set\nfiles:\n{''.join(pins)}format: {kind}\ncolumns: {columns}\n", encoding="utf-8"
    )
    return definition


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def opened(file: Path) -> EvaluationSet:
    return read_benchmark(load_benchmark(file))


def items(evaluation: EvaluationSet) -> list[tuple[str, ...]]:
    return [item.texts for item in evaluation.items]


def test_jsonl_and_parquet_of_the_same_rows_hold_the_same_items(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    of_lines = opened(write_set(tmp_path / "a", lines(*ROWS)))
    of_parquet = opened(
        write_set(tmp_path / "b", parquet(pa.Table.from_pylist(ROWS)), kind="parquet")
    )
    assert (
        items(of_lines)
        == items(of_parquet)
        == [("Which one?", "Which one? that"), (ROWS[1]["question"], f"{ROWS[1]['question']} jene")]
    )
    assert [item.where for item in of_parquet.items] == ["part-0.parquet:1", "part-0.parquet:2"]


def test_items_of_several_files_come_in_the_order_of_files_and_lines(tmp_path):
    file = write_set(
        tmp_path,
        lines({"text": "a"}) + b"\n \n" + lines({"text": "b"}),
        b'{"text": "c"}',
        columns="lambada",
    )
    assert opened(file).items == (
        Item("part-0.jsonl:1", ("a",)),
        Item("part-0.jsonl:4", ("b",)),
        Item("part-1.jsonl:1", ("c",)),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "part-0.jsonl: holds no row"),
        (b"\n\n", "part-0.jsonl: holds no row"),
        (lines(ROWS[0]) + b'{"question": "hid', "part-0.jsonl:2: is not JSON"),
        (lines(ROWS[0]) + b'{"question": "\xff"}\n', "part-0.jsonl:2: is not JSON in UTF-8"),
        (lines(ROWS[0], ["hid"]), "part-0.jsonl:2: is list, not an object"),
        (
            lines(*ROWS, {"question": "hid", "choices": ["hid"]}),
            "part-0.jsonl:3: has no column 'answer'",
        ),
        (
            lines(*ROWS, {"question": "hid", "choices": ["hid"], "answer": 4}),
            "part-0.jsonl:3: column 'answer' is no index",
        ),
    ],
)
def test_a_file_that_cannot_be_read_whole_is_an_error_with_its_line(tmp_path, content, message):
    with pytest.raises(InputError) as caught:
        opened(write_set(tmp_path, content))
    assert f"{tmp_path}/{message}" in str(caught.value)
    assert '"hid' not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1 and no more", "part-0.parquet: is not a parquet file"),
        (parquet(pa.Table.from_pylist(ROWS))[:-9], "part-0.parquet: is not a parquet file"),
        (parquet(pa.Table.from_pylist(ROWS).slice(0, 0)), "part-0.parquet: holds no row"),
        (
            parquet(pa.Table.from_pylist(ROWS).drop_columns("answer")),
            "part-0.parquet: has no column 'answer', only 'question', 'choices'",
        ),
        (
            parquet(pa.Table.from_pylist([*ROWS, {"question": None}])),
            "part-0.parquet:3: column 'question' holds NoneType",
        ),
    ],
)
def test_a_parquet_file_that_cannot_be_read_whole_is_an_error_with_its_row(
    tmp_path, content, message
):
    with pytest.raises(InputError) as caught:
        opened(write_set(tmp_path, content, kind="parquet"))
    assert f"{tmp_path}/{message}" in str(caught.value)


def test_another_file_than_the_pinned_one_is_refused(tmp_path):
    file = write_set(tmp_path, lines(*ROWS))
    (tmp_path / "part-0.jsonl").write_bytes(lines(ROWS[0]))
    with pytest.raises(
        ManifestError,
        match=r"part-0\.jsonl: has sha256 [0-9a-f]{64}, .*set\.yaml pins [0-9a-f]{64}",
    ):
        opened(file)


def test_a_missing_file_and_a_missing_definition_are_refused(tmp_path):
    file = write_set(tmp_path, lines(*ROWS))
    (tmp_path / "part-0.jsonl").unlink()
    with pytest.raises(
        InputError,
        match=r"part-0\.jsonl: the evaluation set cannot be read \(No such file or directory\)",
    ):
        opened(file)
    with pytest.raises(RecipeError, match=r"absent\.yaml"):
        opened(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("mmlu.jsonl", "mmlu", 682),
        ("piqa_validation.jsonl", "piqa", 300),
        ("lambada_openai_test.jsonl", "lambada", 300),
        ("hellaswag.jsonl", "hellaswag", 300),
        ("wmdp_bio_SCHEMA_STANDIN.jsonl", "wmdp", 28),
    ],
)
def test_presets_read_every_row_of_real_sets(tmp_path, shared, name, columns, rows):
    evaluation = opened(
        write_set(tmp_path, (shared / "data" / "bench" / name).read_bytes(), columns=columns)
    )
    assert len(evaluation.items) == rows
    assert all(text.strip() for texts in items(evaluation) for text in texts)


def test_an_index_is_made_once_and_never_of_files_that_have_changed(tmp_path):
    rows = [
        {**ROWS[0], "question": f"which of the {number} rivers of the north is longest"}
        for number in range(3)
    ]
    loaded = load_benchmark(write_set(tmp_path, lines(*rows)))
    planned = PlannedBenchmark(
        definition=loaded.definition, folder=loaded.folder, where=loaded.where
    )
    again = PlannedBenchmark.model_validate(json.loads(json.dumps(planned.as_json())))
    index = opened_index([loaded])
    assert opened_index([LoadedBenchmark(again.definition, again.folder, again.where)]) is index
    (tmp_path / "part-0.jsonl").write_bytes(lines(*rows[:2]))
    with pytest.raises(ManifestError, match=r"part-0\.jsonl"):
        opened_index([loaded])
    assert opened_index([load_benchmark(write_set(tmp_path, lines(*rows[:2])))]) is not index
