"""Sealing a mix: everything that the slices counted is added up, held against what was selected,
and written down.

A mix is sealed only if the bytes that were read back are those that were gathered, every document
ends in EOD in them, and every source's tokens and documents are those of its resolved quota.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from blake3 import blake3

from mixtures.errors import AnnealmixError
from mixtures.mix import manifest as manifests
from mixtures.mix.claim import HashClaims
from mixtures.mix.claims import CutClaim, Description, DeviationClaim, SourceClaim, typed
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.tables import root_hash
from mixtures.stream.order import deviation_bound
from mixtures.stream.selection import Selection
from pipeline.stages.mix_folder import SliceRecord, WrittenSlice, read_slices
from pipeline.store.owned import opened_folder
from pipeline.store.records import file_hash, sync, write_json, write_whole

PACKAGES = (
    "annealmix",
    "datatrove",
    "fastokens",
    "tokenizers",
    "numpy",
    "pyarrow",
    "blake3",
    "zstandard",
    "orjson",
)


def seal(
    folder: Path, described: Description, selections: list[Selection], slices: int
) -> manifests.Manifest:
    """Add up the slices, check them against the selection, and write manifest.json and build.json.

    Args:
        selections: of the strands, as `described` lists them in its sources.

    Raises:
        AnnealmixError: the bytes do not hold what was selected.
    """
    records = read_slices(folder, slices, SliceRecord)
    _refuse_unheld(folder, described, selections, records)
    for name in (TOKENS, INDEX):
        sync(folder / name)
    strays = _deviations(folder, selections, records)
    sources = [
        SourceClaim(
            # what is not set is not written
            **{name: getattr(source, name) for name in source.model_fields_set},
            realised_tokens=selection.tokens,
            cut=CutClaim(**vars(selection.cut)) if selection.cut else None,
            deviation=deviation,
        )
        for source, selection, deviation in zip(described.sources, selections, strays, strict=True)
    ]
    manifest = manifests.sealed(
        {
            **described.as_json(),
            "sources": [source.as_json() for source in sources],
            "eod_tokens": sum(record.eod_tokens for record in records),
            "bos_tokens": sum(record.bos_tokens for record in records),
            "hashes": hashes_of(folder, records).as_json(),
        }
    )
    write_manifest(folder, manifest)
    return manifest


def _refuse_unheld(
    folder: Path,
    described: Description,
    selections: list[Selection],
    records: list[SliceRecord],
) -> None:
    """Refuse bytes that do not hold what was selected.

    Raises:
        AnnealmixError: says what they hold.
    """
    quotas = [selection.tokens for selection in selections]
    selected = [selection.documents for selection in selections]
    realised = np.sum([record.source_tokens for record in records], axis=0).tolist()
    documents = np.sum([record.source_documents for record in records], axis=0).tolist()
    if realised != quotas or documents != selected:
        raise AnnealmixError(
            f"{folder}: the bytes hold {realised} tokens and {documents} documents that end in EOD"
            f" by source; {quotas} and {selected} were selected"
        )
    bare_cuts = sum(
        selection.cut is not None and selection.cut.kept_tokens == 1 for selection in selections
    )
    tokenizer = described.tokenizer
    begun = sum(selected) - bare_cuts if tokenizer.bos_id is not None else 0
    for name, num_tokens, due in (
        ("EOD", sum(record.eod_tokens for record in records), sum(selected)),
        ("BOS", sum(record.bos_tokens for record in records), begun),
    ):
        if num_tokens < due or (num_tokens > due and tokenizer.special_tokens == "text"):
            raise AnnealmixError(
                f"{folder}: the bytes hold {num_tokens:,} {name} tokens for {due:,} documents"
            )


def write_manifest(folder: Path, manifest: manifests.Manifest) -> None:
    """Write the manifest of a mix that is written, and how it was made."""
    typed(manifest, str(folder / manifests.MANIFEST))
    with opened_folder(folder) as handle:
        write_whole(folder / manifests.MANIFEST, manifests.dump(manifest), folder=handle)
        write_json(folder / "build.json", _how(), handle)


def _deviations(
    folder: Path, selections: list[Selection], records: list[SliceRecord]
) -> list[DeviationClaim]:
    """How far each strand strays from its share at most, and may; where removed documents left
    gaps, no bound is proven.
    """
    quotas = [selection.tokens for selection in selections]
    shrunk = any(selection.quota != selection.tokens for selection in selections)
    bounds = (
        [] if shrunk else deviation_bound(quotas, [selection.longest for selection in selections])
    )
    measured = [
        max(record.deviation[index] for record in records) for index in range(len(selections))
    ]
    for selection, bound, value in zip(selections, bounds, measured, strict=False):
        if 2 * value > bound:
            raise AnnealmixError(
                f"{folder}: {selection.source} strays {value} / total tokens from its share, proven"
                f" are {bound} / 2 total; this is a defect of annealmix, please report it"
            )
    bound_tokens: list[int | None] = [-(-bound // (2 * sum(quotas))) for bound in bounds]
    bound_tokens = bound_tokens or [None] * len(selections)
    return [
        DeviationClaim(bound_tokens=bound, measured_tokens=-(-value // sum(quotas)))
        for bound, value in zip(bound_tokens, measured, strict=True)
    ]


def hashes_of(folder: Path, records: Sequence[WrittenSlice]) -> HashClaims:
    """Hashes of a mix that is written: of the .bin, chunk by chunk, of the .idx, and of the
    tables, part by part.
    """
    chunks = [chunk for record in records for chunk in record.chunks]
    documents = [record.documents for record in records]
    provenance = [record.provenance for record in records]
    return HashClaims(
        chunks=chunks,
        bin=root_hash(chunks),
        idx=file_hash(folder / INDEX, blake3.AUTO),
        documents_parts=documents,
        documents=root_hash(documents),
        provenance_parts=provenance,
        provenance=root_hash(provenance),
    )


def _how() -> dict[str, object]:
    """What is recorded of the building, and never hashed."""
    return {
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
