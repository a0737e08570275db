"""Small corpora in the published layouts, recipes over them, builds of them, and an independent
reader of what was built.

The reader shares no code with annealmix: struct for the .idx, numpy for the .bin, the `tokenizers`
library for the texts.
"""

from __future__ import annotations

import json
import random
import struct
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

import recipes
from mixtures.mix.manifest import Manifest
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from tests.pipeline.input_files import json_lines, pack

SUFFIXES = {"jsonl": "jsonl", "jsonl.gz": "json.gz", "jsonl.zst": "jsonl.zst", "parquet": "parquet"}
LAYOUT = {
    "chunk_bytes": 1024,
    "slice_chunks": 2,
}  # so small that the smallest mix has several slices
WORDS = (
    "river",
    "old",
    "village",
    "measured",
    "spring",
    "bridge",
    "stone",
    "the",
    "of",
    "a",
    "in",
    "it",
    "was",
    "water",
    "mill",
    "town",
)


@dataclass(frozen=True)
class Document:
    """A document of a mix as the independent reader finds it."""

    source: str
    text: str
    num_tokens: int
    digest: str
    epoch: int
    cut: bool
    file: str
    row: int
    copy: int = 0


def prose(seed: int, count: int, words: tuple[int, int] = (1, 60)) -> list[str]:
    """Distinct texts of seeded words."""
    draw = random.Random(seed)
    return [
        f"{seed}.{number} " + " ".join(draw.choices(WORDS, k=draw.randint(*words)))
        for number in range(count)
    ]


def write_files(
    data: Path, name: str, files: Mapping[str, Sequence[str]], packing: str = "jsonl.gz"
) -> None:
    """Write a source's files below data/name; files: {path without its ending: texts of its
    rows}.
    """
    for stem, texts in files.items():
        path = data / name / f"{stem}.{SUFFIXES[packing]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if packing == "parquet":
            pq.write_table(
                pa.table({"text": pa.array(list(texts), pa.string())}), path, row_group_size=7
            )
        else:
            path.write_bytes(pack(packing, json_lines([{"text": text} for text in texts])))


def sharded(texts: Sequence[str], files: int) -> dict[str, list[str]]:
    """Rows dealt to files in stretches of about equal length; no file is empty."""
    size = -(-len(texts) // files)
    return {
        f"part-{at // size:03d}": list(texts[at : at + size]) for at in range(0, len(texts), size)
    }


def write_recipe(
    folder: Path,
    sources: Mapping[str, Mapping[str, Any]],
    packings: Mapping[str, str] | None = None,
    name: str = "mix",
    **more: Any,
) -> Path:
    """Write a recipe and a definition for each source (its `use` is added where missing). JSON is
    YAML.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requests = {source: {"use": f"{source}.yaml", **request} for source, request in sources.items()}
    for request in requests.values():
        definition = str(request["use"]).removesuffix(".yaml")
        packing = (packings or {}).get(definition, "jsonl.gz")
        fields = {
            "name": definition,
            "repo": "owner/name",
            "revision": "main",
            "paths": ["*"],
            "adapter": "text",
            "licence": "CC0",
        }
        (folder / f"{definition}.yaml").write_text(json.dumps({**fields, "format": packing}))
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, "tokenizer": "sample", **more, "sources": requests}))
    return path


def make(
    recipe: Path, work: Path, data: Path, out: str = "out", store: str = "store", **more: Any
) -> Manifest:
    """Build a recipe below `work`. more: fields of BuildRequest, workers, tasks; scale or tokens
    become its size; filters: folder.
    """
    loaded = load_recipe(str(recipe), more.pop("filters", None))
    executor = more.pop("executor", None) or LocalExecutor(
        more.pop("workers", 1), more.pop("tasks", None)
    )
    size = Size(more.pop("scale", None), more.pop("tokens", None))
    request = BuildRequest(
        loaded,
        work / out,
        work / store,
        DataFolders(data),
        size=size,
        executor=executor,
        **{**LAYOUT, **more},
    )
    return build(request)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of tokens.bin and tokens.idx."""
    return {name: (folder / name).read_bytes() for name in ("tokens.bin", "tokens.idx")}


@cache
def tokenizer(file: Path | None = None) -> tokenizers.Tokenizer:
    """A tokenizer (the shipped sample's) by the reference library, with special strings as text;
    read once, since oracles ask it text by text.
    """
    loaded = tokenizers.Tokenizer.from_file(
        str(file or Path(recipes.__file__).parent / "sample" / "tokenizer.json")
    )
    loaded.encode_special_tokens = True
    return loaded


def read_mix(folder: Path, tokens_of: Path | None = None) -> list[Document]:
    """Every document of a mix, in the order of the stream, from nothing but its files' formats.
    tokens_of: another tokenizer's file.
    """
    index = (folder / "tokens.idx").read_bytes()
    magic, version, code, count, entries = struct.unpack_from("<9sQBQQ", index)
    assert (magic, version, code, entries) == (b"MMIDIDX\0\0", 1, 8, count + 1)
    assert len(index) == 34 + 12 * count + 8 * entries
    sizes = struct.unpack_from(f"<{count}i", index, 34)
    pointers = struct.unpack_from(f"<{count}q", index, 34 + 4 * count)
    assert struct.unpack_from(f"<{entries}q", index, 34 + 12 * count) == tuple(range(entries))
    tokens = np.fromfile(folder / "tokens.bin", "<u2")
    assert sum(sizes) == len(tokens)
    documents, origins = (
        pq.read_table(folder / f"{name}.parquet").to_pylist()
        for name in ("documents", "provenance")
    )
    assert (
        [row["position"] for row in documents]
        == [row["position"] for row in origins]
        == list(range(count))
    )
    reader, found, at = tokenizer(tokens_of), [], 0
    for size, pointer, row, origin in zip(sizes, pointers, documents, origins, strict=True):
        assert (pointer, row["first_token"], row["num_tokens"]) == (2 * at, at, size)
        ids = tokens[at : at + size].tolist()
        assert ids[-1] == 0, "a document does not end in EOD"
        assert 0 not in ids[:-1], "EOD stands inside a document"
        text = reader.decode(ids[:-1], skip_special_tokens=False)
        place = (row["epoch"], row["cut"], origin["file"], origin["row"], row["copy"])
        found.append(Document(row["source"], text, size, row["digest"].hex(), *place))
        at += size
    return found


def nfc(text: str) -> str:
    """A text as the tokenizer's normaliser leaves it."""
    return unicodedata.normalize("NFC", text)


def each_once(things: Sequence[Any], damages: Sequence[Any]) -> list[Any]:
    """All pairs as parameters of a test: each thing with one damage, in turn, and the other pairs
    in the campaign.
    """
    return [
        pytest.param(
            thing, damage, marks=() if number % len(damages) == index else pytest.mark.campaign
        )
        for number, thing in enumerate(things)
        for index, damage in enumerate(damages)
    ]
