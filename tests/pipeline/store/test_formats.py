"""annealmix writes these bytes. Whoever changes them must raise the FORMAT of what was changed, or
old stores and mixes are misread.

A tiny fixed corpus is built; the hashes of every column, record and table are compared with the
literals of today's FORMAT numbers. After an intended change: raise the number, run `python -m
tests.pipeline.store.test_formats`, and put what it prints in place of GOLDEN.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from mixtures.mix.manifest import MANIFEST_FORMAT, Manifest
from mixtures.rules.terms import content_hash
from pipeline.build.near import NEAR_FORMAT
from pipeline.build.output import output
from pipeline.judges.annotators.annotator import TEXTS as ESCALATED
from pipeline.stages.score import CELLS
from pipeline.stages.select_plan import SELECT_FORMAT
from pipeline.stages.write import WRITE_FORMAT
from pipeline.store.columns import DTYPES
from pipeline.store.rules import (
    BANDS_FORMAT,
    GRAMS_FORMAT,
    LEDGER_FORMAT,
    STORE_FORMAT,
    TERMS_FORMAT,
    TEXTS_FORMAT,
    TOKENS_FORMAT,
    GramRule,
    TermRule,
    TextRule,
)
from pipeline.store.scores import COLUMNS, SCORE_PARTITIONS, SCORES_FORMAT, ScoreTable
from pipeline.store.store import Store
from tests.pipeline.corpus import make, write_files, write_recipe

FORMATS = (
    STORE_FORMAT,
    LEDGER_FORMAT,
    TOKENS_FORMAT,
    TERMS_FORMAT,
    TEXTS_FORMAT,
    GRAMS_FORMAT,
    BANDS_FORMAT,
    NEAR_FORMAT,
    SCORES_FORMAT,
    SELECT_FORMAT,
    WRITE_FORMAT,
    MANIFEST_FORMAT,
)
RAISE = {
    "store": "STORE_FORMAT of pipeline/store/store.py",
    "ledger": "LEDGER_FORMAT of pipeline/store/store.py",
    "tokens": "TOKENS_FORMAT of pipeline/store/store.py",
    "terms": "TERMS_FORMAT of pipeline/store/store.py",
    "texts": "TEXTS_FORMAT of pipeline/store/store.py",
    "grams": "GRAMS_FORMAT of pipeline/store/store.py",
    "bands": "BANDS_FORMAT of pipeline/store/store.py",
    "near": "NEAR_FORMAT of pipeline/build/near.py",
    "scores": "SCORES_FORMAT of pipeline/store/scores.py",
    "select": "SELECT_FORMAT of pipeline/stages/select_plan.py",
    "write": "WRITE_FORMAT of pipeline/stages/write.py",
    "manifest": "MANIFEST_FORMAT of mixtures/mix/manifest.py",
}
TEXTS = {
    "a": [
        "The old mill stood by the river.",
        "x",
        "",
        "The bridge was measured in spring.",
        "x",
        "Water <|endoftext|> and stone.",
    ],
    "b": [
        "A town of stone.",
        "Caf\u00e9 cafe\u0301 \u5ddd",
        "x",
        "In the village it was spring, " * 9,
    ],
}

# {FORMATS: {what: BLAKE3 (16 hex digits) of its bytes, or names of its fields}}
GOLDEN: dict[tuple[int, ...], dict[str, str]] = {
    (2, 2, 2, 1, 1, 1, 1, 2, 1, 7, 4, 5): {
        "store/store.json": "09df7c5721603858",
        "ledger/folder": "a-5d06e05dae821465",
        "tokens/folder": "tokens-4c22ed8acbc282b5-00000000000000000-10000000000000000",
        "ledger/0000.digest": "ca67bad5d74a1fcc",
        "ledger/0000.file": "607b1aff64b01352",
        "ledger/0000.order_key": "3bdb1a32b5b0c263",
        "ledger/0000.row": "29ee19f3764c1b43",
        "ledger/quarantine.jsonl": "detail path reason row",
        "ledger/done.json": (
            "counts(documents empty quarantined rows where) digest inputs(ctime_ns etag "
            "inode mtime_ns path sha256 size url) outputs(0000.digest(blake3 bytes) "
            "0000.file(blake3 bytes) 0000.order_key(blake3 bytes) 0000.row(blake3 bytes) "
            "quarantine.jsonl(blake3 bytes)) quarantined(json) segment_bytes segments source"
        ),
        "tokens/0000.num_tokens": "13965f73a5ed453e",
        "tokens/0000.offset": "51f0dd3a5f696cce",
        "tokens/0000.tokens": "522758ef16eaa473",
        "tokens/done.json": (
            "digest documents_with_eod_text ledger outputs(0000.num_tokens(blake3 bytes) "
            "0000.offset(blake3 bytes) 0000.tokens(blake3 bytes)) segments(documents "
            "first_row tokens)"
        ),
        "select/a.digest": "6f13e9125fda7b57",
        "select/a.ledger_row": "a54680d61eb5a5f0",
        "select/a.num_tokens": "169ca8fe2bf74acb",
        "select/a.offset": "612788fad6540183",
        "select/a.segment": "e572dff82304700b",
        "select/a.start": "612788fad6540183",
        "select/a.token_file": "e572dff82304700b",
        "select/b.digest": "cc5237fe25199067",
        "select/b.ledger_row": "0298bfd37e5ab229",
        "select/b.num_tokens": "ffce5edb71875a64",
        "select/b.offset": "f29e8ed7f28c7044",
        "select/b.segment": "bcc351fd37e2054d",
        "select/b.start": "f29e8ed7f28c7044",
        "select/b.token_file": "bcc351fd37e2054d",
        "select/done.json": (
            "decontaminate digest filters outputs(a.digest(blake3 bytes) a.ledger_row(blake3 "
            "bytes) a.num_tokens(blake3 bytes) a.offset(blake3 bytes) a.segment(blake3 "
            "bytes) a.start(blake3 bytes) a.token_file(blake3 bytes) b.digest(blake3 bytes) "
            "b.ledger_row(blake3 bytes) b.num_tokens(blake3 bytes) b.offset(blake3 bytes) "
            "b.segment(blake3 bytes) b.start(blake3 bytes) b.token_file(blake3 bytes)) "
            "sources(a(copies documents duplicates(a) excluded in_range kept_tokens longest "
            "near removed tokens untokenized) b(copies documents duplicates(a) excluded "
            "in_range kept_tokens longest near removed tokens untokenized))"
        ),
        "write/slices": "00000.json 00001.json",
        "write/records": "18c5bf72753e8fac",
        "write/fields": (
            "bos_tokens chunks deviation digest documents eod_tokens files(documents "
            "provenance) index provenance slice source_documents source_tokens"
        ),
        "write/files": (
            "build.json documents.parquet/part-N.parquet manifest.json "
            "provenance.parquet/part-N.parquet tokens.bin tokens.idx"
        ),
        "write/tokens.bin": "079e6e2f43cdeb27",
        "write/tokens.idx": "a18da058c9915d98",
        "write/documents": "8f69f4a758d4d9cf",
        "write/provenance": "494b13fdfd4906c0",
        "manifest/fields": (
            "bos_tokens contamination digest eod_tokens excluded filters format hashes(bin "
            "chunks documents documents_parts idx provenance provenance_parts) identity "
            "layout(chunk_tokens slice_tokens token_dtype) mix_id name near published "
            "recipe_digest removed(a(beyond quota duplicate of a empty kept out of key range "
            "quarantined rows where) b(beyond quota duplicate of a empty kept out of key "
            "range quarantined rows where)) revisions size sources(asked_tokens copy cut "
            "definition deviation(bound_tokens measured_tokens) documents epochs insert keys "
            "licence longest_tokens name non_commercial realised_tokens refilled(b) "
            "resolved_tokens) tokenizer(bos bos_id digest eod eod_id name special_tokens "
            "vocab_size) tokenizer_origin total_documents total_tokens"
        ),
        "manifest/input": "path sha256 size",
        "manifest/identity": "b4dcb5e036aed3f9",
        "terms/folder": "terms-4b26b78cbc24bfff-00000000000000000-10000000000000000",
        "terms/0000.terms": "9e9b24ceb7543bde",
        "terms/done.json": (
            "digest ledger outputs(0000.terms(blake3 bytes)) segments(documents first_row)"
        ),
        "texts/folder": "texts-433d021ea1feb56f",
        "texts/schema": "order_key:uint64 digest:fixed_size_binary[16] text:large_string",
        "grams/folder": "grams-e428ee5fa521fc50",
        "grams/columns": "grams:<u4 hit_row:<u4 hit_item:<u4 hit_found:<u4",
        "scores/folder": "2988f9283bbc83ad",
        "scores/layout": "64 partitions of 16384 cells: order_key digest score",
        "select/filtered /a+removed.after": "c610e85212d0697c",
        "select/filtered /a+removed.digest": "60a52c237651d237",
        "select/filtered /a+removed.ledger_row": "c610e85212d0697c",
        "select/filtered /a+removed.num_tokens": "cb411178cb768688",
        "select/filtered /a+removed.offset": "202eae6faa0abe43",
        "select/filtered /a+removed.place": "202eae6faa0abe43",
        "select/filtered /a+removed.segment": "ec2bd03bf86b935f",
        "select/filtered /a+removed.token_file": "ec2bd03bf86b935f",
        "select/filtered /a+removed.verdicts": "c610e85212d0697c",
        "select/filtered /a.digest": "ae649b445fd9c5a9",
        "select/filtered /a.ledger_row": "6e7aec00fbf5db4c",
        "select/filtered /a.num_tokens": "077b49d5b19be9f0",
        "select/filtered /a.offset": "22b0671fc87ca4b0",
        "select/filtered /a.place": "22b0671fc87ca4b0",
        "select/filtered /a.segment": "7e3eff9ef7613a50",
        "select/filtered /a.start": "95926459e8fe5310",
        "select/filtered /a.token_file": "7e3eff9ef7613a50",
        "select/filtered /b+removed.after": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.digest": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.ledger_row": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.num_tokens": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.offset": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.place": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.segment": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.token_file": "af1349b9f5f9a1a6",
        "select/filtered /b+removed.verdicts": "af1349b9f5f9a1a6",
        "select/filtered /b.digest": "cc5237fe25199067",
        "select/filtered /b.ledger_row": "0298bfd37e5ab229",
        "select/filtered /b.num_tokens": "ffce5edb71875a64",
        "select/filtered /b.offset": "f29e8ed7f28c7044",
        "select/filtered /b.place": "f29e8ed7f28c7044",
        "select/filtered /b.segment": "bcc351fd37e2054d",
        "select/filtered /b.start": "f29e8ed7f28c7044",
        "select/filtered /b.token_file": "bcc351fd37e2054d",
        "select/filtered /done.json": (
            "decontaminate digest filters outputs(a+removed.after(blake3 bytes) "
            "a+removed.digest(blake3 bytes) a+removed.ledger_row(blake3 bytes) "
            "a+removed.num_tokens(blake3 bytes) a+removed.offset(blake3 bytes) "
            "a+removed.place(blake3 bytes) a+removed.segment(blake3 bytes) "
            "a+removed.token_file(blake3 bytes) a+removed.verdicts(blake3 bytes) "
            "a.digest(blake3 bytes) a.ledger_row(blake3 bytes) a.num_tokens(blake3 bytes) "
            "a.offset(blake3 bytes) a.place(blake3 bytes) a.segment(blake3 bytes) "
            "a.start(blake3 bytes) a.token_file(blake3 bytes) b+removed.after(blake3 bytes) "
            "b+removed.digest(blake3 bytes) b+removed.ledger_row(blake3 bytes) "
            "b+removed.num_tokens(blake3 bytes) b+removed.offset(blake3 bytes) "
            "b+removed.place(blake3 bytes) b+removed.segment(blake3 bytes) "
            "b+removed.token_file(blake3 bytes) b+removed.verdicts(blake3 bytes) "
            "b.digest(blake3 bytes) b.ledger_row(blake3 bytes) b.num_tokens(blake3 bytes) "
            "b.offset(blake3 bytes) b.place(blake3 bytes) b.segment(blake3 bytes) "
            "b.start(blake3 bytes) b.token_file(blake3 bytes)) sources(a(copies documents "
            "duplicates(a) excluded in_range kept_tokens longest near removed tokens "
            "untokenized) b(copies documents duplicates(a) excluded in_range kept_tokens "
            "longest near removed tokens untokenized))"
        ),
        "manifest/filters": (
            "blocklist(mode sha256 threshold) classifier fraction identity label lengths(10) "
            "levels matched placebo removed(a(documents first_documents first_tokens tokens) "
            "b(documents first_documents first_tokens tokens)) scores"
        ),
        "manifest/filtered": "87f52553770c31a4",
        "bands/folder": "bands-6c0d9b06317428c7-00000000000000000-10000000000000000",
        "bands/0000.bands": "a997f6b20b41647e",
        "bands/0000.exempt": "cdc96eca844d7912",
        "bands/done.json": (
            "digest ledger outputs(0000.bands(blake3 bytes) 0000.exempt(blake3 bytes)) "
            "segments(characters documents first_row unspaced)"
        ),
        "near/documents /digest": "9b82e54c0aeb9190",
        "near/documents /ledger_row": "e17a0eb7e7cedabd",
        "near/documents /order_key": "2f01896f21a3c3d3",
        "near/documents /segment": "f30af5918f5c1a8e",
        "near/documents /source": "aa4e60954724ea06",
        "near/documents /done.json": (
            "digest documents outputs(digest(blake3 bytes) ledger_row(blake3 bytes) "
            "order_key(blake3 bytes) segment(blake3 bytes) source(blake3 bytes))"
        ),
        "near/bands /0000.band_key": "a8f3d6fc6c23d8f8",
        "near/bands /0000.band_row": "cbd9f3a90f6aa665",
        "near/bands /done.json": (
            "digest documents exempt outputs(0000.band_key(blake3 bytes) "
            "0000.band_row(blake3 bytes)) partitions rule"
        ),
        "near/edges /document": "308ddd3ef063d7e5",
        "near/edges /linked": "2a6672aa8802dbe3",
        "near/edges /done.json": (
            "digest edges outputs(document(blake3 bytes) linked(blake3 bytes))"
        ),
        "near/verified /document": "1a0d12016999e476",
        "near/verified /linked": "e3d5003ead1a9363",
        "near/verified /done.json": (
            "digest edges outputs(document(blake3 bytes) linked(blake3 bytes))"
        ),
        "near/candidates /0000.document": "befdd51a542a12e3",
        "near/candidates /0000.ledger_row": "0298bfd37e5ab229",
        "near/candidates /0001.document": "131c04a490bb5579",
        "near/candidates /0001.ledger_row": "5ffb5f9af2f29cac",
        "near/candidates /done.json": (
            "digest documents outputs(0000.document(blake3 bytes) 0000.ledger_row(blake3 "
            "bytes) 0001.document(blake3 bytes) 0001.ledger_row(blake3 bytes)) segments"
        ),
        "near/clusters /component": "1f475c662d5af4c4",
        "near/clusters /document": "686a5ce65cf90d45",
        "near/clusters /done.json": (
            "clustered clusters digest documents largest outputs(component(blake3 bytes) "
            "document(blake3 bytes)) sizes(2)"
        ),
        "near/drops /0000.digest": "0add08dc035c1ed1",
        "near/drops /0000.order_key": "dbb49c3df3c34620",
        "near/drops /0000.survivor": "4890ab6379bdf210",
        "near/drops /0000.survivor_source": "ec2bd03bf86b935f",
        "near/drops /done.json": (
            "digest documents outputs(0000.digest(blake3 bytes) 0000.order_key(blake3 bytes) "
            "0000.survivor(blake3 bytes) 0000.survivor_source(blake3 bytes)) partitions"
        ),
        "near/shingles /document": "befdd51a542a12e3",
        "near/shingles /first_shingle": "26d3283ecb6b1362",
        "near/shingles /num_shingles": "64f4ff1fdc92017c",
        "near/shingles /shingle": "7642de2e87aa4190",
        "near/shingles /done.json": (
            "digest documents outputs(document(blake3 bytes) first_shingle(blake3 bytes) "
            "num_shingles(blake3 bytes) shingle(blake3 bytes))"
        ),
        "near/folders": (
            "bands candidates clusters documents drops edges outline report sampled "
            "sampled-shingles shingles verified"
        ),
        "near/shingles": "a",
        "manifest/near": (
            "clustered clusters documents dropped(a b) excluded identity largest(documents "
            "similarities sources(a b) survivor) rule(bands rows shingle unit) sizes sources "
            "verify 1 1699196fb6ee19c9"
        ),
    }
}


def made() -> dict[str, str]:
    """Build the corpus, and say what was written: {area/what: hash, or names of fields}."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        slices: dict[str, bytes] = {}
        publish = output.publish

        def keep_slices(building: Path, out: Path) -> None:
            slices.update(
                {path.name: path.read_bytes() for path in (building / "slices").iterdir()}
            )
            publish(building, out)

        patch.setattr(output, "publish", keep_slices)
        for source, texts in TEXTS.items():
            write_files(folder / "data", source, {"one": texts}, "jsonl")
        with (folder / "data" / "a" / "one.jsonl").open("ab") as file:
            file.write(b"not json\n")
        sources = {
            "a": {"tokens": 60, "shortfall": {"refill": "b"}},
            "b": {"tokens": 50, "keys": [0, 1], "shortfall": {"repeat": 2}},
        }
        recipe = write_recipe(
            folder / "recipes", sources, dict.fromkeys(TEXTS, "jsonl"), max_quarantined="0.5"
        )
        manifest = make(recipe, folder, folder / "data", chunk_bytes=128, slice_chunks=1)
        found = {**_store(folder / "store"), **_slices(slices), **_mix(folder / "out", manifest)}
        used = {name: {**source, "use": f"{name}.yaml"} for name, source in sources.items()}
        return {**found, **_filtered(folder, used), **_near(folder)}


def _store(store: Path) -> dict[str, str]:
    """The store's own file, one group, and the only partition of the selection."""
    (group,) = (path.parent for path in store.glob("sources/a-*/*/ledger"))
    (tokens,) = group.glob("tokens-*")
    (partition,) = store.glob("select/*/p0000")
    return {
        "store/store.json": _hash((store / "store.json").read_bytes()),
        "ledger/folder": group.parent.name,
        "tokens/folder": tokens.name,
        **_folder("ledger", group / "ledger"),
        **_folder("tokens", tokens),
        **_folder("select", partition),
    }


def _filtered(folder: Path, sources: dict[str, Any]) -> dict[str, str]:
    """What a filter adds: the counts of terms, and how escalated texts and scores are laid out."""
    content = b"river\nmill\nstone\n"
    pin = {"file": "terms.txt", "sha256": content_hash(content), "mode": "words"}
    golden = [
        {"text": "The mill by the river.", "flagged": "true"},
        {"text": "The weather was fine.", "flagged": "false"},
    ]
    (folder / "recipes" / "terms.txt").write_bytes(content)
    (folder / "recipes" / "filter.yaml").write_text(
        json.dumps({"name": "filter", "blocklist": pin, "golden": golden})
    )
    more = {"max_quarantined": "0.5", "filters": ["filter.yaml"], "removed": "shrink"}
    recipe = write_recipe(
        folder / "recipes", sources, dict.fromkeys(TEXTS, "jsonl"), "filtered", **more
    )
    manifest = make(
        recipe, folder, folder / "data", out="filtered", chunk_bytes=128, slice_chunks=1
    )
    (terms,) = (folder / "store").glob("sources/a-*/*/terms-*")
    (partition,) = {
        path.parent for path in (folder / "store").glob("select/*/p0000/a+removed.verdicts")
    }
    rule = TextRule(TermRule(pin["sha256"], pin["mode"]), 2)
    return {
        "terms/folder": terms.name,
        **_folder("terms", terms),
        "texts/folder": rule.folders,
        "texts/schema": " ".join(f"{field.name}:{field.type}" for field in ESCALATED),
        "grams/folder": GramRule(("d" * 64,)).folders,
        "grams/columns": " ".join(
            f"{name}:{DTYPES[name]}" for name in ("grams", "hit_row", "hit_item", "hit_found")
        ),
        "scores/folder": ScoreTable(Store(folder / "store"), "d" * 64).folder.name,
        "scores/layout": f"{SCORE_PARTITIONS} partitions of {CELLS} cells: {' '.join(COLUMNS)}",
        **{f"select/filtered {name}": value for name, value in _folder("", partition).items()},
        "manifest/filters": _names(manifest["filters"]),
        "manifest/filtered": manifest["identity"][:16],
    }


def _near(folder: Path) -> dict[str, str]:
    """What a search for near-duplicates adds: band keys, and the folders of its stages."""
    near = {"rule": {"unit": "words", "shingle": 1, "bands": 3, "rows": 1}, "verify": "0.1"}
    sources = {name: {"all": "true"} for name in TEXTS}
    recipe = write_recipe(
        folder / "recipes",
        sources,
        dict.fromkeys(TEXTS, "jsonl"),
        "near",
        max_quarantined="0.5",
        near=near,
    )
    manifest = make(recipe, folder, folder / "data", out="near", chunk_bytes=128, slice_chunks=1)
    (bands,) = (folder / "store").glob("sources/a-*/*/bands-*")
    (search,) = (folder / "store" / "near").iterdir()
    shingles, *_ = sorted(search.glob("shingles/*"))
    parts = {name: search / name / "p0000" for name in ("documents", "bands", "edges", "verified")}
    parts |= {name: search / name for name in ("candidates", "clusters", "drops")} | {
        "shingles": shingles
    }
    found = {
        f"near/{kind} {name}": value
        for kind, path in parts.items()
        for name, value in _folder("", path).items()
    }
    return {
        "bands/folder": bands.name,
        **_folder("bands", bands),
        **found,
        "near/folders": " ".join(sorted(path.name for path in search.iterdir())),
        "near/shingles": shingles.name.split("-")[0],
        "manifest/near": (
            f"{_names({**manifest['near'], 'sizes': 0})} {manifest['near']['clusters']}"
            f" {manifest['identity'][:16]}"
        ),
    }


def _folder(area: str, folder: Path) -> dict[str, str]:
    """Hashes of a published folder's files, and the names in its record."""
    found = {
        f"{area}/{path.name}": _hash(path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.suffix not in (".json", ".jsonl")
    }
    found |= {
        f"{area}/{path.name}": _names(json.loads(path.read_bytes().splitlines()[0]))
        for path in folder.glob("*.jsonl")
    }
    return {**found, f"{area}/done.json": _names(json.loads((folder / "done.json").read_bytes()))}


def _slices(slices: Mapping[str, bytes]) -> dict[str, str]:
    """The slices' records, but for the hashes of parquet files: those bytes change with the
    library's version.
    """
    records = {name: json.loads(content) for name, content in sorted(slices.items())}
    held = {
        name: {field: value for field, value in record.items() if field not in ("files", "digest")}
        for name, record in records.items()
    }
    return {
        "write/slices": " ".join(records),
        "write/records": _hash(json.dumps(held, sort_keys=True).encode()),
        "write/fields": _names(records["00000.json"]),
    }


def _mix(out: Path, manifest: Manifest) -> dict[str, str]:
    hashes = manifest["hashes"]
    return {
        "write/files": " ".join(
            sorted(
                {
                    re.sub(r"\d+", "N", str(path.relative_to(out)))
                    for path in out.rglob("*")
                    if path.is_file()
                }
            )
        ),
        "write/tokens.bin": _hash((out / "tokens.bin").read_bytes()),
        "write/tokens.idx": _hash((out / "tokens.idx").read_bytes()),
        **{
            f"write/{table}": _hash("".join(hashes[f"{table}_parts"]).encode())
            for table in ("documents", "provenance")
        },
        "manifest/fields": _names(
            {name: value for name, value in manifest.items() if name not in ("recipe", "inputs")}
        ),
        "manifest/input": _names(manifest["inputs"]["a"][0]),
        "manifest/identity": manifest["identity"][:16],
    }


def _hash(content: bytes) -> str:
    return str(blake3(content).hexdigest())[:16]


def _names(value: Any) -> str:
    """The names of a record's fields, nested ones in brackets; of a list, those of its first
    item.
    """
    if isinstance(value, list):
        return _names(value[0]) if value else ""
    if not isinstance(value, dict):
        return ""
    inner = {name: _names(item) for name, item in sorted(value.items())}
    return " ".join(f"{name}({fields})" if fields else name for name, fields in inner.items())


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return made()


@pytest.fixture(scope="module")
def golden() -> dict[str, str]:
    assert set(GOLDEN) == {FORMATS}, (
        "a FORMAT was raised: run `python -m tests.pipeline.store.test_formats` and replace GOLDEN"
        " by what it prints"
    )
    return GOLDEN[FORMATS]


@pytest.mark.parametrize("area", list(RAISE))
def test_what_is_written_is_what_its_format_number_stands_for(found, golden, area):
    mine, literals = (
        {name: value for name, value in them.items() if name.startswith(f"{area}/")}
        for them in (found, golden)
    )
    changed = sorted(
        name for name in mine.keys() | literals if mine.get(name) != literals.get(name)
    )
    told = "\n".join(f"  {name}: was {literals.get(name)}, is {mine.get(name)}" for name in changed)
    assert not changed, (
        f"these bytes changed:\n{told}\nOld stores or mixes hold the old ones. If it is meant,"
        f" raise {RAISE[area]}, run `python -m tests.pipeline.store.test_formats`, and replace"
        " GOLDEN by what it prints; if not, it is a defect"
    )


def test_every_area_is_held(golden):
    assert {name.partition("/")[0] for name in golden} == set(RAISE)


def test_what_is_written_does_not_depend_on_where_and_when(found):
    assert made() == found


def print_golden() -> None:
    """Print GOLDEN as it is today."""
    print("GOLDEN: dict[tuple[int, ...], dict[str, str]] = {")
    print(f"    {FORMATS}: {{")
    for name, value in made().items():
        line = f"        {json.dumps(name)}: {json.dumps(value)},"
        if len(line) <= 100:
            print(line)
            continue
        pieces, text = [], value
        while text:
            cut = len(text) if len(text) <= 80 else text.rindex(" ", 0, 80) + 1
            pieces.append(text[:cut])
            text = text[cut:]
        print(f"        {json.dumps(name)}: (")
        for piece in pieces:
            print(f"            {json.dumps(piece)}")
        print("        ),")
    print("    }")
    print("}")


if __name__ == "__main__":
    print_golden()
    sys.exit(0)
