"""Cases of damaged input files: 1 to 20 and 36 to 40 of the fault list. Each input has a thousand
documents before it is damaged.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.faults.endings import COUNT, Builds, Case, Ending, Input, ending_of, input_case
from tests.pipeline.corpus import prose, read_mix
from tests.pipeline.input_files import flip_bit, json_lines, pack, rows_of
from tests.pipeline.inputs.readers.test_limits import (
    test_case_38_a_string_column_over_two_gibibytes_is_read,
)

TEXTS = prose(77, COUNT, (1, 8))
ROWS = rows_of(TEXTS)
NAMES = {
    "jsonl": "x.jsonl",
    "jsonl.gz": "x.jsonl.gz",
    "jsonl.zst": "x.jsonl.zst",
    "parquet": "x.parquet",
}


def with_rows(changed: dict[int, Any]) -> list[Any]:
    """The rows, some of them replaced; bytes stand as a line of their own."""
    return [changed.get(number, row) for number, row in enumerate(ROWS)]


def lines(changed: dict[int, Any], packing: str = "jsonl", good: int | None = None) -> Input:
    """JSON lines with some rows replaced, which must be quarantined unless more documents are
    good.
    """
    content = pack(packing, json_lines(with_rows(changed)))
    left = COUNT - len(changed) if good is None else good
    return Input(
        packing, lambda folder: (folder / NAMES[packing]).write_bytes(content), left, tuple(changed)
    )


def pin(folder: Path) -> None:
    """Write SHA256SUMS over the files as they are now."""
    sums = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))


def truncated(packing: str) -> Input:
    """The file loses its last third."""

    def write(folder: Path) -> None:
        content = _parquet() if packing == "parquet" else pack(packing, json_lines(ROWS))
        (folder / NAMES[packing]).write_bytes(content[: len(content) * 2 // 3])

    return Input(packing, write)


def _parquet(**options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS}), sink, use_dictionary=False, **options)
    return bytes(sink.getvalue())


def cut_between_members(folder: Path) -> None:
    """Two zstd frames; the second is gone, but the pinned hash is of both."""
    frames = [
        zstandard.ZstdCompressor().compress(json_lines(ROWS[at : at + COUNT // 2]))
        for at in (0, COUNT // 2)
    ]
    (folder / "x.jsonl.zst").write_bytes(b"".join(frames))
    pin(folder)
    (folder / "x.jsonl.zst").write_bytes(frames[0])


def flipped_gz(folder: Path) -> None:
    (folder / "x.jsonl.gz").write_bytes(pack("jsonl.gz", json_lines(ROWS)))
    flip_bit(folder / "x.jsonl.gz", (folder / "x.jsonl.gz").stat().st_size // 2)


def flipped_silently(folder: Path, name: str, content: bytes) -> None:
    """Pin the file, then change a bit of a text that the format itself does not check."""
    (folder / name).write_bytes(content)
    pin(folder)
    flip_bit(folder / name, content.index(MARK.encode()))


MARK = "Zq7#vX2p"  # that no compressor or encoding takes apart
MARKED = [*TEXTS[1:], MARK]


def flipped_zst(folder: Path) -> None:
    flipped_silently(
        folder,
        "x.jsonl.zst",
        pack("jsonl.zst", json_lines(rows_of([MARK]))) + pack("jsonl.zst", json_lines(ROWS[1:])),
    )


def flipped_jsonl(folder: Path) -> None:
    flipped_silently(folder, "x.jsonl", json_lines(rows_of(MARKED)))


def flipped_page(folder: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"text": MARKED}),
        sink,
        use_dictionary=False,
        compression="none",
        write_statistics=False,
    )
    flipped_silently(folder, "x.parquet", bytes(sink.getvalue()))


def flipped_compressed_page(folder: Path) -> None:
    (folder / "x.parquet").write_bytes(_parquet(compression="zstd", write_page_checksum=True))
    flip_bit(folder / "x.parquet", (folder / "x.parquet").stat().st_size // 3)


def another_column(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(json_lines([{"content": text} for text in TEXTS]))


def drift_between_files(folder: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS}), folder / "x.parquet")
    pq.write_table(pa.table({"content": TEXTS}), folder / "y.parquet")


def odd_ends(folder: Path) -> None:
    """A byte order mark, CRLF, no final newline, U+2028 and NUL in texts."""
    rows = with_rows({5: {"text": "a\u2028b\u2029c\u0085d"}, 6: {"text": "a\x00b"}})
    (folder / "x.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(row, ensure_ascii=False).encode() for row in rows)
    )


def empty_beside_whole(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(json_lines(ROWS))
    (folder / "y.jsonl").touch()


def of_another_format(folder: Path) -> None:
    (folder / "x.txt").write_bytes(json_lines(ROWS))


def without_ids(folder: Path) -> None:
    """Ids that are given twice, or not at all."""
    rows = [
        {"text": text} if number % 3 else {"id": "same", "text": text}
        for number, text in enumerate(TEXTS)
    ]
    (folder / "x.jsonl").write_bytes(json_lines(rows))


def giants(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(
        json_lines(
            with_rows({1: {"text": "word " * 200_000}, 2: {"text": " \t" * 500_000 + "end"}})
        )
    )


def bomb(folder: Path) -> Ending:
    """A gibibyte and more of blanks, which zstd packs to a few kilobytes. Other readers would hold
    all of it in memory.
    """
    frame = zstandard.ZstdCompressor().compress(b" " * (16 << 20))
    return ending_of(
        Input("jsonl.zst", lambda data: (data / "x.jsonl.zst").write_bytes(frame * 72)), folder
    )


def column_above_two_gibibytes(folder: Path) -> Ending:
    """Asserted of the reader: a build would tokenize two gibibytes."""
    test_case_38_a_string_column_over_two_gibibytes_is_read(folder)
    return Ending("H", 0)


def surrogates(folder: Path) -> Ending:
    """Lone halves of surrogate pairs are replaced, and counted."""
    changed = {7: b'{"text": "a \\ud800 b"}\n', 8: b'{"text": "c \\udfff"}\n'}
    ended = ending_of(lines(changed, good=COUNT), folder)
    counted = Builds(folder).counted("repaired_surrogates")
    return (
        ended
        if counted == len(changed)
        else Ending("?", ended.code, ended.documents, f"{counted} counted")
    )


def end_of_text(folder: Path) -> Ending:
    """The end-of-document string in a text: text as a rule, and counted; a token of its own if the
    recipe says `parse`.
    """
    documents = [*TEXTS[1:], "a literal <|endoftext|> in it"]
    (folder / "data" / "a").mkdir(parents=True)
    (folder / "data" / "a" / "x.jsonl").write_bytes(json_lines(rows_of(documents)))
    builds = Builds(folder)
    as_text = builds.read(builds.build(), COUNT)
    texts = {document.text for document in read_mix(folder / "out")}
    parsed = builds.build("parsed", special_tokens="parse")
    manifests = [
        json.loads((folder / name / "manifest.json").read_text()) for name in ("out", "parsed")
    ]
    right = (
        documents[-1] in texts
        and parsed.code == 0
        and [one["eod_tokens"] for one in manifests] == [COUNT, COUNT + 1]
    )
    return as_text if right else Ending("?", as_text.code, as_text.documents)


INPUT_CASES = [
    input_case("1", "malformed JSON line", "Q", lines({500: b'{"text": "cut'})),
    input_case("2", "invalid UTF-8 in mid-file", "Q", lines({499: b'{"text": "a \xff b"}'})),
    input_case("3", "truncated gz", "F", truncated("jsonl.gz")),
    input_case("4", "truncated zst", "F", truncated("jsonl.zst")),
    input_case(
        "5", "zst of two frames, cut between them", "F", Input("jsonl.zst", cut_between_members)
    ),
    input_case("6", "bit flip in gz", "F", Input("jsonl.gz", flipped_gz)),
    input_case("7", "bit flip in zst without checksum", "F", Input("jsonl.zst", flipped_zst)),
    input_case("8", "bit flip in plain jsonl", "F", Input("jsonl", flipped_jsonl)),
    input_case(
        "9", "bit flip in an uncompressed parquet page", "F", Input("parquet", flipped_page)
    ),
    input_case(
        "10",
        "bit flip in a compressed parquet page",
        "F",
        Input("parquet", flipped_compressed_page),
    ),
    input_case("11", "truncated parquet", "F", truncated("parquet")),
    input_case("12", "text field missing everywhere", "F", Input("jsonl", another_column)),
    input_case(
        "13",
        "schema drift inside a file",
        "FQ",
        lines({number: {"content": TEXTS[number]} for number in range(700, COUNT)}),
    ),
    input_case(
        "14",
        "schema drift between parquet files",
        "F",
        Input("parquet", drift_between_files, 2 * COUNT),
    ),
    input_case("15", "null or numeric text", "Q", lines({3: {"text": None}, 4: {"text": 7}})),
    Case(
        "16",
        "lone surrogate",
        "H",
        surrogates,
        lines({7: b'{"text": "a \\ud800 b"}', 8: b'{"text": "c \\udfff"}'}, good=COUNT),
    ),
    input_case("17", "BOM, CRLF, no final newline, U+2028, NUL", "H", Input("jsonl", odd_ends)),
    input_case("18", "empty input file", "F", Input("jsonl", empty_beside_whole)),
    input_case("19", "a pattern that matches nothing", "F", Input("jsonl", of_another_format)),
    input_case("20", "duplicate or missing ids", "H", Input("jsonl", without_ids)),
]
LATER_INPUT_CASES = [
    input_case("36", "a giant document, a megabyte of white space", "H", Input("jsonl", giants)),
    Case("37", "decompression bomb", "F", bomb),
    Case("38", "a string column over 2 GiB", "H", column_above_two_gibibytes, slow=True),
    Case("39", "`<|endoftext|>` in a document", "H", end_of_text),
]
