"""Bytes of the sample's files: JSON lines in gz or zst, JSON in zip, parquet; no clock, host or
library default gets into them.

gz and zip go through zlib, whose output differs between its builds, and parquet names its writer:
so `unpack` gives what a file says, whatever packed it, and that is what is compared.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.sample.corpus import SampleFile
from tests.sample.sources import WARC_FIELDS

_BOM = b"\xef\xbb\xbf"
DCLM_SCHEMA = pa.schema(
    [
        ("bff_contained_ngram_count_before_dedupe", pa.int64()),
        ("language_id_whole_page_fasttext", pa.struct([("en", pa.float64())])),
        ("metadata", pa.struct([(name, pa.string()) for name in WARC_FIELDS])),
        ("previous_word_count", pa.int64()),
        ("text", pa.string()),
        ("url", pa.string()),
        ("warcinfo", pa.string()),
        ("fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob", pa.float64()),
    ]
)


def _json_lines(file: SampleFile) -> bytes:
    lines = [
        (
            record.value
            if isinstance(record.value, bytes)
            else json.dumps(record.value, ensure_ascii=False).encode("utf-8")
        )
        for record in file.records
    ]
    return (
        (_BOM if file.byte_order_mark else b"")
        + b"\n".join(lines)
        + (b"\n" if file.final_newline else b"")
    )


def _zip(file: SampleFile) -> bytes:
    """Pack Camel's problems as the published archives do: one JSON file each,
    topic_subtopic_number.json, DOS epoch as date.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for row, record in enumerate(file.records):
            member = zipfile.ZipInfo(
                f"001_{row // 8 + 1:03d}_{row % 8 + 1:03d}.json", date_time=(1980, 1, 1, 0, 0, 0)
            )
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(
                member, json.dumps(record.value, ensure_ascii=False, indent=4), compresslevel=9
            )
    return buffer.getvalue()


def _parquet(file: SampleFile) -> bytes:
    table = pa.Table.from_pylist([record.value for record in file.records], schema=DCLM_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=15,
        row_group_size=500,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def pack(file: SampleFile) -> bytes:
    """Return the bytes of the file in the packing that its name says."""
    if file.path.endswith(".parquet"):
        return _parquet(file)
    if file.path.endswith(".zip"):
        return _zip(file)
    if file.path.endswith(".zst"):
        return zstandard.ZstdCompressor(
            level=19, write_checksum=True, write_content_size=True
        ).compress(_json_lines(file))
    return gzip.compress(_json_lines(file), compresslevel=9, mtime=0)


def versions() -> dict[str, str]:
    """Return what decides the packed bytes, beside the rows: the compressing libraries and the
    machine.
    """
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "pyarrow": pa.__version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
    }


def unpack(path: Path) -> Any:
    """Return what a file of the sample says, to compare: the plain bytes, the members, or the rows
    and their schema.
    """
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return table.schema.remove_metadata().to_string(), table.to_pylist()
    content = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [
                (member.filename, member.date_time, archive.read(member))
                for member in archive.infolist()
            ]
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompress(content)
    return gzip.decompress(content) if path.suffix == ".gz" else content
