"""Every document of a folder, encoded as a build does and by Hugging Face `tokenizers` alone.

    python -m tests.benchmarks.bench_tokenizers DATA MB TOKENIZER.json=EOD[,BOS] ...

For each tokenizer.json: the engine that a build takes and why, MB of text that it encodes in a
second of CPU, and how many documents have other ids than `tokenizers` gives them with the template
of the file removed and special strings as text. Documents are distinct, of the parquet, jsonl.zst
and json.gz files of DATA, the first MB megabytes. One JSON line a tokenizer.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import zstandard

from mixtures.recipe.tokenizer.request import TokenizerRequest, define
from pipeline.tokens.tokenizer import Tokenizer


def texts_of(file: Path) -> Iterator[str]:
    """Texts of one file."""
    if file.suffix == ".parquet":
        for batch in pq.ParquetFile(file).iter_batches(columns=["text"]):
            yield from batch.column(0).to_pylist()
        return
    content = file.open("rb")
    plain = (
        zstandard.ZstdDecompressor().stream_reader(content)
        if file.suffix == ".zst"
        else gzip.GzipFile(fileobj=content)
    )
    for line in io.TextIOWrapper(plain, encoding="utf-8"):
        text = json.loads(line).get("text")
        if isinstance(text, str):
            yield text


def documents(data: Path, num_bytes: int) -> list[str]:
    """Distinct texts, a stretch of each file in turn, `num_bytes` of UTF-8 in all."""
    files = [
        file
        for file in sorted(data.rglob("*"))
        if file.name.endswith((".parquet", ".jsonl.zst", ".json.gz"))
    ]
    found: dict[str, None] = {}
    for file in files:
        left = num_bytes // len(files)
        for text in texts_of(file):
            if text and text not in found:
                found[text] = None
                left -= len(text.encode())
            if left <= 0:
                break
    return list(found)


def compare(file: Path, ends: str, texts: list[str]) -> dict[str, object]:
    """What a build makes of the texts, beside what the reference makes of them."""
    import tokenizers

    eod, _, bos = ends.partition(",")
    request = TokenizerRequest(file="x.json", name="x", eod=eod, bos=bos or None)
    definition = define(request, file.read_bytes(), None)
    tokenizer = Tokenizer(file, definition)
    tokenizer.encode(texts[:50])
    began = time.process_time()
    tokens, num_tokens = tokenizer.encode(texts)
    seconds = time.process_time() - began
    record = json.loads(file.read_bytes())
    record["post_processor"] = None
    record["model"].setdefault("type", "BPE")
    reference = tokenizers.Tokenizer.from_str(json.dumps(record))
    reference.no_truncation()
    reference.no_padding()
    reference.encode_special_tokens = True
    different, at = 0, 0
    begin = [] if definition.bos_id is None else [definition.bos_id]
    for text, count in zip(texts, num_tokens.tolist(), strict=True):
        ids = reference.encode(text, add_special_tokens=False).ids
        mine = tokens[at : at + count].tolist()
        different += mine != [*begin, *ids, definition.eod_id]
        at += count
    num_bytes = sum(len(text.encode()) for text in texts)
    return {
        "tokenizer": file.stem,
        "model": record["model"]["type"],
        "ids below": definition.vocab_size,
        "dtype": definition.dtype.name,
        "engine": tokenizer.speed,
        "MB/s": round(num_bytes / seconds / 1e6, 1),
        "documents": len(texts),
        "MB": round(num_bytes / 1e6, 1),
        "different": different,
        "EOD": int(np.count_nonzero(tokens == definition.eod_id)),
        "BOS": int(np.count_nonzero(tokens == definition.bos_id)) if begin else 0,
    }


def main() -> None:
    """Print a line a tokenizer."""
    texts = documents(Path(sys.argv[1]), int(float(sys.argv[2]) * 1e6))
    for argument in sys.argv[3:]:
        file, _, ends = argument.partition("=")
        print(json.dumps(compare(Path(file), ends, texts), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
