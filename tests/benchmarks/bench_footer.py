"""What it costs to read footers twice: once by annealmix for the chunks, once by pyarrow."""

from __future__ import annotations

import io
import time

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inputs.readers.layouts.parquet_footer import read_chunks

SHAPES = ((4, 1), (4, 100), (20, 10), (200, 10))  # columns, row groups


def main() -> None:
    for columns, groups in SHAPES:
        table = pa.table({f"c{index}": ["a"] * groups for index in range(columns)})
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=1)
        began = time.perf_counter()
        chunks = read_chunks(sink)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        pq.ParquetFile(sink)
        theirs = time.perf_counter() - began
        print(
            f"{columns} columns, {groups} row groups: {len(chunks):,} chunks in"
            f" {1e3 * ours:.1f} ms, pyarrow {1e3 * theirs:.1f} ms"
        )


if __name__ == "__main__":
    main()
