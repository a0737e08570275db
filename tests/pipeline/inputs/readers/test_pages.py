"""Parquet files whose pages or values are huge: whatever fits the memory that plan states for a
worker is read, and what does not is refused by its place before it is unpacked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.plan.cost import WORKER_BYTES_OF_TEXT
from pipeline.inputs.readers.layouts.parquet_footer import read_chunks, read_pages
from tests.pipeline.command_line import CHECKOUT
from tests.pipeline.input_files import fails, write

IMPORTS = 400_000_000  # of a worker's memory; the rest is for what it reads
LEFT = WORKER_BYTES_OF_TEXT - IMPORTS
EXACT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own allocator reserves a gibibyte of addresses at once, of which much is not used; the
system's copies whatever shrinks.
"""
WORKER = """
import json, sys
from pathlib import Path
import pyarrow.parquet
from mixtures.errors import AnnealmixError
from pipeline.inputs.readers import DocumentReader
from tests.faults.damage import bounded_memory
from tests.pipeline.input_files import definition, list_inputs, reasons
(file,) = list_inputs(definition("parquet"), Path(sys.argv[1]))
reader = DocumentReader(file, definition("parquet"))
try:
    with bounded_memory(int(sys.argv[2])):
        rows = [(row, len(text)) for row, text in reader]
    print(json.dumps([rows, reasons(reader)]))
except AnnealmixError as error:
    print(json.dumps(str(error)))
"""


def by_worker(folder: Path, memory: int = LEFT, settings: dict[str, str] | None = None) -> Any:
    """What a process that may take so much more memory than its libraries makes of the file:
    (row, length) of the documents and (row, reason) of the others, or its error. The test's own
    process would find memory that was taken and let go before.
    """
    words = [sys.executable, "-c", WORKER, str(folder), str(memory)]
    ended = subprocess.run(
        words,
        check=True,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, **(settings or {})},
    )
    return json.loads(ended.stdout)


def written(folder: Path, texts: list[str] | pa.Array, **settings: Any) -> Path:
    """A file of these texts."""
    path = write(folder, "parquet", [])
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", **settings)
    return path


def huge(size: int) -> pa.Array:
    """A value of so many bytes between two small ones."""
    return pa.array(["a", "x" * size, "b"])


@pytest.mark.parametrize("use_dictionary", [False, pytest.param(True, marks=pytest.mark.campaign)])
def test_a_value_that_no_worker_could_hold_is_refused_by_its_row_group_and_column(
    tmp_path, use_dictionary
):
    path = written(tmp_path, huge(900_000_000), use_dictionary=use_dictionary)
    assert path.stat().st_size < 100_000
    message = by_worker(tmp_path, 200_000_000)  # so it is not unpacked
    assert f"{path}: row group 0, column 'text': a page of 900,000,0" in message


@pytest.mark.parametrize(
    ("size", "use_dictionary"),
    [pytest.param(480_000_000, False, marks=pytest.mark.campaign), (160_000_000, True)],
)
def test_the_largest_value_that_is_unpacked_fits_a_worker_and_is_quarantined(
    tmp_path, size, use_dictionary
):
    written(tmp_path, huge(size), use_dictionary=use_dictionary)
    assert by_worker(tmp_path) == [[[0, 1], [2, 1]], [[1, "too-large"]]]


def test_long_texts_at_the_edges_of_large_pages_are_read_one_at_a_time(tmp_path):
    """Writers put so many rows into a page, whatever they hold."""
    texts = ["a"] * 991 + ["x" * 40_000_000] * 18 + ["a"] * 991
    path = written(tmp_path, texts, use_dictionary=False, write_batch_size=1000)
    with path.open("rb") as file:
        pages = list(read_pages(file, read_chunks(file)[0]))
    assert [page.values for page in pages] == [1000, 1000]
    assert min(page.uncompressed_bytes for page in pages) > 360_000_000
    assert by_worker(tmp_path, settings=EXACT) == [
        [[row, len(text)] for row, text in enumerate(texts)],
        [],
    ]


def test_long_texts_among_many_short_ones_are_read_in_bounded_memory(tmp_path):
    """The mean of the row group says nothing of them."""
    texts = ["a"] * 200_000 + ["x" * 1_000_000] * 700 + ["a"] * 200_000
    written(tmp_path, texts, use_dictionary=False, data_page_size=1 << 16, write_batch_size=8)
    rows, others = by_worker(tmp_path, 300_000_000, EXACT)
    assert (len(rows), sum(length for _, length in rows), others) == (400_700, 700_400_000, [])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("use_dictionary", [False, True])
def test_pages_are_those_of_the_whole_chunk(tmp_path, version, use_dictionary):
    path = written(
        tmp_path,
        [f"text {number % 50} " + "y" * 3000 for number in range(5000)],
        use_dictionary=use_dictionary,
        data_page_version=version,
        data_page_size=4096,
        row_group_size=2000,
        write_page_checksum=True,
    )
    with path.open("rb") as file:
        chunks = read_chunks(file)
        assert [chunk.row_group for chunk in chunks] == [0, 1, 2]
        for chunk, rows in zip(chunks, (2000, 2000, 1000), strict=True):
            pages = list(read_pages(file, chunk))
            assert sum(page.values for page in pages) == rows
            assert pages[0].is_dictionary == use_dictionary
            headers = chunk.uncompressed_bytes - sum(page.uncompressed_bytes for page in pages)
            assert headers == chunk.packed_bytes - sum(page.packed_bytes for page in pages) > 0


def test_a_page_that_holds_more_than_it_says_is_damage(tmp_path):
    """Who unpacks it believes its header, too."""
    path = written(tmp_path, huge(5_000_000), use_dictionary=False)
    with path.open("rb") as file:
        (page,) = read_pages(file, read_chunks(file)[0])
    said = _varint(2 * page.uncompressed_bytes)
    path.write_bytes(path.read_bytes().replace(said, _varint(2 * 4_000_000), 1))
    fails(tmp_path, "parquet", "truncated or damaged")


def _varint(value: int) -> bytes:
    found = []
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
