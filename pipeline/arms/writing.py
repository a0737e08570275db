"""The arms of a study, written side by side: in hidden folders beside their places, the slices of
all of them as one stage (`pipeline.arms.slices`), then sealed and renamed into place.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Claims, Description
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.tables import TABLES, Columns
from pipeline.arms.base import Base
from pipeline.arms.slices import (
    ARMS_FORMAT,
    RUNS_FILE,
    ArmFolder,
    Arms,
    ArmsPlan,
    ArmUnit,
    damaged,
    share,
)
from pipeline.build.claims.seal import hashes_of, write_manifest
from pipeline.build.output import output
from pipeline.build.write import note
from pipeline.executors import Executor, execute
from pipeline.report import say
from pipeline.stages.mix_folder import (
    Layout,
    WrittenSlice,
    file_inside,
    prepare_tables,
    read_slices,
    write_table,
)
from pipeline.store.records import file_hash, write_whole
from pipeline.store.rules import short_key
from pipeline.store.store import Store


@dataclass(frozen=True)
class Draft:
    """An arm before its bytes are written."""

    described: Description
    file: str
    """Name of the table that only arms have."""
    schema: pa.Schema
    columns: Columns
    """Of that table, [num_rows] each."""
    runs: npt.NDArray[np.int64] | None = None
    """As `RUNS_FILE` has them; None: the tokens are the base's."""


DraftOf = Callable[[Base, str], Draft]


def write_arms(
    base: Base, drafts: Mapping[str, DraftOf], out: Path, store: Store, executor: Executor
) -> dict[str, manifests.Manifest]:
    """Write the arms below `out`, or what of them is not there yet. Returns their manifests.

    All are known before the first is written, and none appears before the last is whole, but for
    those that are there already.

    Raises:
        RecipeError: something else is at the place of one. ManifestError: the base is not what its
            manifest says.
    """
    found: dict[str, manifests.Manifest] = {}
    described: dict[str, Description] = {}
    arms: dict[str, ArmFolder] = {}
    with ExitStack() as held:
        for arm, draft_of in drafts.items():
            draft = draft_of(base, arm)
            described[arm] = draft.described
            key = short_key([ARMS_FORMAT, draft.described.as_json(), base.claims.digest])
            folder = held.enter_context(output.building(out / arm, key))
            if folder is None:
                found[arm] = output.finished(out / arm, draft.described, _layout(base.claims))
            else:
                arms[arm] = _prepared(base, draft, folder)
        if arms:
            plan = _plan(base, arms)
            hidden = next(iter(arms.values())).folder
            place = store.work_folder if store.writable else hidden / "work"
            execute(executor, Arms, plan, place / f"arms-{short_key(plan.as_json())}")
        for arm, one in arms.items():
            found[arm] = _sealed(base, described[arm], one.folder)
            output.publish(one.folder, out / arm)
    for arm in drafts:
        note(store, described[arm])
        say(f"{out / arm}: {manifests.names(found[arm])}")
    return {arm: found[arm] for arm in drafts}


def _prepared(base: Base, draft: Draft, folder: Path) -> ArmFolder:
    """Write what slices read of an arm, and make the files that they write in place."""
    prepare_tables(folder, (TOKENS, INDEX))
    share(base.folder / INDEX, folder / INDEX)
    write_table(folder / draft.file, draft.schema, draft.columns)
    if draft.runs is None:
        share(base.folder / TOKENS, folder / TOKENS)
        return ArmFolder(folder=folder, files={})
    layout = base.claims.layout
    with file_inside(folder / TOKENS) as handle:
        os.ftruncate(handle, base.claims.total_tokens * layout.dtype.itemsize)
    (folder / RUNS_FILE).parent.mkdir()
    content = io.BytesIO()
    np.save(content, draft.runs)
    write_whole(folder / RUNS_FILE, content.getbuffer())
    files = {name: file_hash(folder / name) for name in (draft.file, RUNS_FILE)}
    return ArmFolder(folder=folder, files=files)


def _plan(base: Base, arms: dict[str, ArmFolder]) -> ArmsPlan:
    claims = base.claims
    slices = range(-(-claims.total_tokens // claims.layout.slice_tokens))
    return ArmsPlan(
        base=base.folder,
        layout=_layout(claims),
        total_documents=claims.total_documents,
        total_tokens=claims.total_tokens,
        eod_id=claims.tokenizer.eod_id,
        bos_id=claims.tokenizer.bos_id,
        chunks=tuple(claims.hashes.chunks),
        parts={name: tuple(getattr(claims.hashes, f"{name}_parts")) for name in TABLES},
        inputs=base.inputs,
        token_files=tuple(base.token_files),
        arms=arms,
        units=tuple(ArmUnit(arm=arm, slice=number) for arm in arms for number in slices),
    )


def _layout(claims: Claims) -> Layout:
    layout = claims.layout
    slice_chunks = layout.slice_tokens // layout.chunk_tokens
    return Layout(layout.dtype.itemsize, layout.chunk_tokens, slice_chunks)


def _sealed(base: Base, described: Description, folder: Path) -> manifests.Manifest:
    """Add up the slices of an arm, and write its manifest."""
    claims = base.claims
    slices = -(-claims.total_tokens // claims.layout.slice_tokens)
    records = read_slices(folder, slices, WrittenSlice)
    hashes = hashes_of(folder, records)
    if hashes.idx != claims.hashes.idx:
        raise damaged(base.folder, base.folder / INDEX)
    manifest = manifests.sealed(
        {
            **claims.as_json(),
            **described.as_json(),
            "sources": [source.as_json() for source in claims.sources],
            "eod_tokens": sum(record.eod_tokens for record in records),
            "bos_tokens": sum(record.bos_tokens for record in records),
            "hashes": hashes.as_json(),
        }
    )
    write_manifest(folder, manifest)
    return manifest
