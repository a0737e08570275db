"""annealmix writes these bytes. Whoever changes them must raise the FORMAT of what was changed, or
old stores and mixes are misread.

A tiny fixed corpus is built; the hashes of every column, record and table are compared with the
literals of today's FORMAT numbers (formats.json). After an intended change: raise the number, and
run `python -m tests.pipeline.store.test_formats`, which writes them anew.
"""

from __future__ import annotations

import json
import re
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

FORMATS = {
    "store": STORE_FORMAT,
    "ledger": LEDGER_FORMAT,
    "tokens": TOKENS_FORMAT,
    "terms": TERMS_FORMAT,
    "texts": TEXTS_FORMAT,
    "grams": GRAMS_FORMAT,
    "bands": BANDS_FORMAT,
    "near": NEAR_FORMAT,
    "scores": SCORES_FORMAT,
    "select": SELECT_FORMAT,
    "write": WRITE_FORMAT,
    "manifest": MANIFEST_FORMAT,
}
GOLDEN = Path(__file__).with_name("formats.json")
"""FORMATS, and what is written under these: BLAKE3 (16 hex digits) of its bytes, or names of its
fields."""
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
    held = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert held["formats"] == FORMATS, (
        "a FORMAT was raised: run `python -m tests.pipeline.store.test_formats`"
    )
    return dict(held["written"])


@pytest.mark.parametrize("area", list(FORMATS))
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
        f" raise {area.upper()}_FORMAT and run `python -m tests.pipeline.store.test_formats`; if"
        " not, it is a defect"
    )


def test_every_area_is_held(golden):
    assert {name.partition("/")[0] for name in golden} == set(FORMATS)


def test_what_is_written_does_not_depend_on_where_and_when(found):
    assert made() == found


if __name__ == "__main__":
    content = json.dumps({"formats": FORMATS, "written": made()}, indent=1)
    GOLDEN.write_text(f"{content}\n", encoding="utf-8")
