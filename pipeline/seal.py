"""Sealing a mix: everything that the slices counted is added up, held against what was selected, and written down.

A mix is sealed only if the bytes that were read back are those that were gathered, every document ends in EOD in them, and every
source's tokens and documents are those of its resolved quota.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from mixtures import manifest as manifests
from mixtures.errors import AnnealmixError
from mixtures.order import deviation_bound
from mixtures.quotas import Quotas, Size
from mixtures.recipe import LoadedRecipe
from mixtures.selection import Cut, Selection
from mixtures.tables import root_hash
from pipeline.intake import SourceInputs
from pipeline.quality import PREFIX
from pipeline.records import file_hash, sync, write_json, write_whole
from pipeline.select import Eligible
from pipeline.write import INDEX, TOKENS, Layout, read_slices

PACKAGES = ("annealmix", "datatrove", "fastokens", "tokenizers", "numpy", "pyarrow", "blake3", "zstandard", "orjson")


def describe(
    recipe: LoadedRecipe,
    size: Size,
    layout: Layout,
    quotas: Quotas,
    selections: list[Selection],
    eligible: dict[str, Eligible],
    inputs: dict[str, SourceInputs],
) -> manifests.Manifest:
    """The part of a manifest that is known before a byte is written: what was asked, resolved and selected, from which inputs."""
    asked = recipe.recipe.sources
    return {
        "format": manifests.MANIFEST_FORMAT,
        "name": recipe.recipe.name,
        "recipe": recipe.canonical(),
        "recipe_digest": recipe.digest,
        "size": size.as_json(),
        "tokenizer": {
            "name": recipe.tokenizer.name,
            "digest": recipe.tokenizer.digest,
            "eod_id": recipe.tokenizer.eod_id,
            "vocab_size": recipe.tokenizer.vocab_size,
            "special_tokens": recipe.recipe.special_tokens,
        },
        "layout": {"token_dtype": np.dtype(layout.dtype).name, "chunk_tokens": layout.chunk_tokens, "slice_tokens": layout.slice_tokens},
        "total_tokens": quotas.total,
        "total_documents": sum(selection.documents for selection in selections),
        "sources": [
            {
                "name": selection.source,
                "definition": recipe.definitions[selection.source].name,
                "licence": recipe.definitions[selection.source].licence,
                "non_commercial": recipe.definitions[selection.source].non_commercial,
                "keys": [f"{key:x}" for key in asked[selection.source].key_range],
                "asked_tokens": quotas.asked[selection.source],
                "resolved_tokens": quotas.resolved[selection.source],
                "documents": selection.documents,
                "epochs": selection.epochs,
                "longest_tokens": selection.longest,
                "refilled": quotas.refilled.get(selection.source, {}),
            }
            for selection in selections
        ],
        "removed": {
            name: _waterfall(inputs[recipe.reading(name)], eligible[name], selection) for name, selection in _by_name(selections)
        },
        "excluded": [
            {
                "recipe": other.recipe.name,
                "source": name,
                "definition": other.definitions[name].name,
                "keys": [f"{key:x}" for key in item.key_range],
            }
            for other in recipe.excluded
            for name, item in other.recipe.sources.items()
        ],
        "published": recipe.recipe.published.model_dump(mode="json", exclude_none=True) if recipe.recipe.published else {},
        # Of one definition under several quality steps the files are the same, and so is what is said of them.
        "revisions": {found.definition.name: origin for _, found in sorted(inputs.items()) if (origin := _revision(found))},
        "inputs": {found.definition.name: _inputs(found) for _, found in sorted(inputs.items())},
    }


def _by_name(selections: list[Selection]) -> list[tuple[str, Selection]]:
    return [(selection.source, selection) for selection in selections]


def _waterfall(inputs: SourceInputs, eligible: Eligible, selection: Selection) -> dict[str, int]:
    """Rows of a source by what became of them; `rows` = the sum of all the others. A document that is repeated counts once as kept."""
    counts: dict[str, int] = {"rows": 0, "where": 0, "empty": 0, "quarantined": 0}
    dropped: Counter[str] = Counter()
    documents = 0
    for group, _ in inputs.groups:
        for name in counts:
            counts[name] += group.record["counts"].get(name, 0)
        dropped.update({name: count for name, count in group.record["counts"].items() if name.startswith(PREFIX)})
        documents += sum(group.segment_rows)
    kept = sum(run.documents for run in selection.runs if run.epoch == 0)
    waterfall = {
        **counts,
        **dict(sorted(dropped.items())),
        "out of key range": documents - eligible.in_range,
        **dict(sorted(eligible.removed.items())),
        "beyond quota": eligible.documents - kept,
        "kept": kept,
    }
    if waterfall["rows"] != sum(count for name, count in waterfall.items() if name != "rows"):
        raise AnnealmixError(f"{eligible.name}: rows do not balance: {waterfall}")
    return waterfall


def _inputs(found: SourceInputs) -> list[dict[str, Any]]:
    known = {file["path"]: file for group, _ in found.groups for file in group.inputs}
    return [{"path": file.path, "size": known[file.path]["size"], "sha256": known[file.path]["sha256"]} for file in found.files]


def _revision(found: SourceInputs) -> str | None:
    """REPO@COMMIT of a source that was read from the hub."""
    url = found.files[0].url
    return None if found.files[0].local else url.split("://", 1)[1].removeprefix("datasets/").removesuffix(found.files[0].path).rstrip("/")


def seal(folder: Path, described: manifests.Manifest, selections: list[Selection], slices: int) -> manifests.Manifest:
    """Add up the slices, check them against the selection, and write manifest.json and build.json.

    Raises:
        AnnealmixError: the bytes do not hold what was selected.
    """
    records = read_slices(folder, slices)
    quotas = [selection.quota for selection in selections]
    realised = np.sum([record["source_tokens"] for record in records], axis=0).tolist()
    documents = np.sum([record["source_documents"] for record in records], axis=0).tolist()
    selected = [selection.documents for selection in selections]
    if realised != quotas or documents != selected:
        raise AnnealmixError(
            f"{folder}: the bytes hold {realised} tokens and {documents} documents that end in EOD by source; "
            f"{quotas} and {selected} were selected"
        )
    eod_tokens = sum(record["eod_tokens"] for record in records)
    if eod_tokens != sum(selected) and (described["tokenizer"]["special_tokens"] == "text" or eod_tokens < sum(selected)):
        raise AnnealmixError(f"{folder}: the bytes hold {eod_tokens:,} EOD tokens for {sum(selected):,} documents")
    for name in (TOKENS, INDEX):
        sync(folder / name)
    bounds = deviation_bound(quotas, [selection.longest for selection in selections])
    measured = [max(int(record["deviation"][index]) for record in records) for index in range(len(selections))]
    sources = []
    for index, source in enumerate(described["sources"]):
        if 2 * measured[index] > bounds[index]:
            raise AnnealmixError(
                f"{folder}: {source['name']} strays {measured[index]} / total tokens from its share, proven are {bounds[index]} / 2 total"
            )
        deviation = {"bound_tokens": -(-bounds[index] // (2 * sum(quotas))), "measured_tokens": -(-measured[index] // sum(quotas))}
        sources.append({**source, "realised_tokens": realised[index], "cut": _cut(selections[index].cut), "deviation": deviation})
    chunks = [chunk for record in records for chunk in record["chunks"]]
    hashes: dict[str, Any] = {"chunks": chunks, "bin": root_hash(chunks), "idx": file_hash(folder / INDEX, blake3.AUTO)}
    for name in ("documents", "provenance"):
        hashes[f"{name}_parts"] = [record[name] for record in records]
        hashes[name] = root_hash(hashes[f"{name}_parts"])
    manifest = manifests.sealed({**described, "sources": sources, "eod_tokens": eod_tokens, "hashes": hashes})
    write_whole(folder / manifests.MANIFEST, manifests.dump(manifest))
    write_json(folder / "build.json", _how())
    return manifest


def _cut(cut: Cut | None) -> dict[str, int] | None:
    return {"kept_tokens": cut.kept_tokens, "num_tokens": cut.num_tokens, "document": cut.document} if cut else None


def _how() -> dict[str, Any]:
    """What is recorded of the building, and never hashed."""
    return {
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
