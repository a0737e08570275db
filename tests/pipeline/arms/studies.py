"""A small study whose arms are computed again from lists: no code is shared with annealmix but the
public keys.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mixtures.audit import audit_aligned, audit_mix
from mixtures.mix.manifest import Manifest
from mixtures.stream.arms.load import load_study
from mixtures.stream.quotas import Size
from pipeline.arms.study import StudyRequest, build_study
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from tests.pipeline.corpus import LAYOUT, prose, sharded, tokenizer, write_files, write_recipe
from tests.pipeline.planted import FilterOracle, digest, key, planted, write_filters

SOURCES: dict[str, dict[str, Any]] = {
    "small": {"weight": 1, "shortfall": {"repeat": 3}},
    "a": {"weight": 4},
    "b": {"weight": 4, "keys": [0.1, 0.9]},
}
ARMS: dict[str, dict[str, Any]] = {
    "strong": {"remove": {"use": "toy", "level": "strong"}, "fill": "fresh"},
    "half": {"remove": {"use": "toy", "level": "strong", "fraction": 0.5}, "fill": "fresh"},
    "quarter": {"remove": {"use": "toy", "level": "strong", "fraction": 0.25}, "fill": "fresh"},
    "weak": {"remove": {"use": "toy", "level": "weak"}, "fill": "fresh"},
    "placebo": {
        "remove": {"placebo_of": "toy", "level": "strong", "tolerance": 1},
        "fill": "fresh",
    },
    "list": {"remove": "more", "fill": "fresh"},
}
SHOWN: dict[str, dict[str, Any]] = {
    **{name: ARMS[name] for name in ("strong", "half", "weak")},
    "kept": {**ARMS["weak"], "fill": "approved"},
    "twin": {"remove": {"placebo_of": "toy", "level": "weak", "tolerance": 1}, "fill": "fresh"},
    "masked": {**ARMS["strong"], "fill": "mask"},
    "terms": {**ARMS["strong"], "fill": "mask-terms"},
}
DONORS: dict[str, dict[str, Any]] = {"small": {"source": "a"}, "b": {"below": 0.85}}
TOKENS = 12_000


def texts() -> dict[str, list[str]]:
    """The documents of each source; a third of them name terms."""
    return {
        "small": planted(1, 24, share=0.4),
        "a": [*planted(2, 700, share=0.3), *prose(3, 200)],
        "b": planted(4, 900, share=0.3),
    }


def write_study(
    folder: Path,
    arms: Mapping[str, Any] = ARMS,
    donors: Mapping[str, Any] = DONORS,
    name: str = "study",
    files: int = 1,
    tolerance: float = 1,
    **base: Any,
) -> Path:
    """A study below `folder`, with data/ and filters/ where they are not there yet."""
    if not (folder / "filters").exists():
        write_filters(folder / "filters")
    for source, documents in texts().items():
        if not (folder / "data" / source).exists():
            write_files(folder / "data", source, sharded(documents, files))
    more = {"budget": {"tokens": TOKENS}, **base}
    sources = more.pop("sources", SOURCES)
    write_recipe(folder, sources, name="plain", **more)
    path = folder / f"{name}.yaml"
    study = {"name": name, "base": "plain.yaml", "arms": arms, "donors": donors}
    path.write_text(json.dumps({**study, "tolerance": tolerance}))
    return path


def make_study(
    path: Path, work: Path | None = None, out: str = "out", store: str = "store", **more: Any
) -> dict[str, Manifest]:
    """Build a study. more: fields of BuildRequest, workers, tasks."""
    folder = work or path.parent
    study = load_study(path, path.parent / "filters")
    executor = LocalExecutor(more.pop("workers", 1), more.pop("tasks", None))
    request = BuildRequest(
        study.base,
        folder / out,
        folder / store,
        DataFolders(path.parent / "data"),
        size=Size(None, more.pop("tokens", None)),
        executor=executor,
        **{**LAYOUT, **more},
    )
    return build_study(StudyRequest(study, request))


@dataclass(frozen=True)
class Row:
    """A document of a mix as its own files have it. ids: its tokens."""

    source: str
    digest: str
    epoch: int
    cut: bool
    ids: tuple[int, ...]
    file: str
    row: int


def read_rows(mix: Path) -> list[Row]:
    """Every document of a mix."""
    index = (mix / "tokens.idx").read_bytes()
    (count,) = struct.unpack_from("<Q", index, 18)
    sizes = struct.unpack_from(f"<{count}i", index, 34)
    tokens, at, found = np.fromfile(mix / "tokens.bin", "<u2").tolist(), 0, []
    tables = (
        pq.read_table(mix / f"{name}.parquet").to_pylist() for name in ("documents", "provenance")
    )
    for size, row, origin in zip(sizes, *tables, strict=True):
        found.append(
            Row(
                row["source"],
                row["digest"].hex(),
                row["epoch"],
                row["cut"],
                tuple(tokens[at : at + size]),
                origin["file"],
                origin["row"],
            )
        )
        at += size
    return found


def read_slots(mix: Path) -> list[dict[str, Any]]:
    """The rows of slots.parquet."""
    return [dict(row) for row in pq.read_table(mix / "slots.parquet").to_pylist()]


def hold_donors(mix: Path) -> None:
    """Hold what stands in every slot against its donor: the tokens that the reference library makes
    of its text, cut where the table says so, and the row of the first.
    """
    rows = read_rows(mix)
    by_digest = {digest(one): one for some in texts().values() for one in some}
    for slot in read_slots(mix):
        here, kept = rows[slot["position"]], slot["num_tokens"]
        ids = [*tokenizer().encode(by_digest[slot["digest"].hex()]).ids, 0]
        assert len(ids) == slot["donor_tokens"]
        piece = here.ids[slot["offset"] : slot["offset"] + kept]
        assert list(piece) == [*ids[: kept - 1], 0]
        if slot["offset"] == 0:
            origin = slot["digest"].hex(), slot["file"], slot["row"]
            assert (here.digest, here.file, here.row) == origin


def hold_audits(out: Path, built: Iterable[str], arm: str) -> None:
    """Hold an arm to pass its audit, and to be aligned with the other mixes of its study."""
    assert not audit_mix(out / arm, full=True).failures
    others = [out / other for other in built if other != arm]
    assert not [check for check in audit_aligned(out / arm, others) if not check.ok]


def hold_slots_alone(
    out: Path, mixes: Mapping[str, Sequence[Row]], arm: str, slots: Collection[int]
) -> None:
    """Hold an arm to differ from its base at the positions of its slots, and nowhere else."""
    assert (out / arm / "tokens.idx").read_bytes() == (out / "base" / "tokens.idx").read_bytes()
    for at, (there, here) in enumerate(zip(mixes["base"], mixes[arm], strict=True)):
        assert (there == here) == (at not in slots)


def flagged(oracle: FilterOracle, documents: Sequence[str]) -> set[str]:
    """Digests of what a filter flags, and its dose removes."""
    return {digest(text) for text in oracle.removed(documents)}


def fill_one_by_one(
    slots: Sequence[tuple[str, int]], donors: Mapping[int, Sequence[str]]
) -> dict[str, list[tuple[str, int]]]:
    """The rule as it is written. slots: (digest, tokens) in their order; donors: digests of each
    length in key order. Returns {digest of the slot: [(digest of the donor, kept tokens)]}.
    """
    used, filled = Counter[int](), dict[str, list[tuple[str, int]]]()

    def left(length: int) -> int:
        return len(donors.get(length, ())) - used[length]

    def take(length: int, kept: int) -> tuple[str, int]:
        used[length] += 1
        return donors[length][used[length] - 1], kept

    for slot, tokens in slots:
        if left(tokens):
            filled[slot] = [take(tokens, tokens)]
    rest = [(slot, tokens) for slot, tokens in slots if slot not in filled]
    for slot, tokens in sorted(rest, key=lambda item: -item[1]):
        filled[slot] = []
        while tokens:
            there = [length for length in donors if left(length)]
            long = [length for length in there if length >= tokens]
            length = min(long) if long else max(there)
            filled[slot].append(take(length, min(length, tokens)))
            tokens -= min(length, tokens)
    return filled


def by_key(documents: Sequence[str], low: Fraction, high: Fraction) -> list[str]:
    """Documents whose keys lie in a range, in key order."""
    inside = [text for text in documents if low * 2**64 <= key(text) < high * 2**64]
    return sorted(inside, key=lambda text: (key(text), digest(text)))
