"""Stores and mixes with a damaged file: an error by name or the same mix, never another one, and
bounded memory.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_mix
from mixtures.errors import AuditFailed, ManifestError
from pipeline.store.records import canonical_json, read_json
from tests.faults.conftest import Full
from tests.faults.damage import bounded_memory, damaged, renew
from tests.faults.warm import shrink
from tests.pipeline.command_line import run

KINDS = {
    "ledger": "sources/*/*/ledger/0*",
    "tokens": "sources/*/*/tokens-*/0*",
    "terms": "sources/*/*/terms-*/*",
    "grams": "sources/*/*/grams-*/*",
    "bands": "sources/*/*/bands-*/0*",
    "scores": "scores/*/*/p*/*",
    "scored": "scores/*/*/*.json",
    "near": "near/*/*/*/*",
    "near reduced": "near/*/*/*",
    "select": "select/*/p*/*",
    "records": "**/done.json",
    "store": "store.json",
}


class Place(NamedTuple):
    """store, out: a store at its place, since selections are named by it, with a mix of it; kept: a
    copy of the store.
    """

    store: Path
    kept: Path
    words: list[Any]
    out: Path


@pytest.fixture(scope="module")
def place(full: Full, scratch: Path) -> Place:
    work, kept = full.reference.parent, scratch / "kept"
    if not kept.exists():
        shutil.copytree(work / "store", kept)
    words = full.words(work)
    words[words.index("--out") + 1] = work / "again"
    return Place(work / "store", kept, words, work / "again")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small as the reference was built."""
    shrink(monkeypatch.setattr)


def ends_well(full: Full, place: Place, what: str) -> None:
    """The build of a damaged store ends with an error by name, or with the reference mix."""
    with bounded_memory():
        ended = run(*place.words)
    told = f"{what}: {ended.code}, {ended.err[-2000:]}"
    assert "Traceback" not in ended.err, told
    if ended.code == 0:
        assert (
            full.reference.joinpath("tokens.bin").read_bytes()
            == place.out.joinpath("tokens.bin").read_bytes()
        ), told
        assert (
            full.reference.joinpath("manifest.json").read_bytes()
            == place.out.joinpath("manifest.json").read_bytes()
        ), told
        shutil.rmtree(place.out)
    else:
        assert ended.code in (3, 4, 6), told
        assert not place.out.exists(), told


def damage_stores(full: Full, place: Place, kind: str, draw: random.Random, count: int) -> None:
    files = sorted(
        path.relative_to(place.kept) for path in place.kept.glob(KINDS[kind]) if path.is_file()
    )
    for _ in range(count):
        renew(place.store, place.kept)
        path = place.store / draw.choice(files)
        ends_well(
            full, place, f"{kind} {path.relative_to(place.store).parent}/{damaged(path, draw)}"
        )
    renew(place.store, place.kept)


@pytest.mark.usefixtures("small")
def test_a_damaged_store_builds_the_same_mix_or_none(full, place, record_property):
    draw, kinds = random.Random(3), ("ledger", "scores", "near", "records")
    for kind in kinds:
        damage_stores(full, place, kind, draw, 1)
    record_property("faults", len(kinds))


STORES = 15  # damages of each kind


@pytest.mark.campaign
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", KINDS)
def test_stores_damaged_anywhere_build_the_same_mix_or_none(full, place, kind, record_property):
    damage_stores(full, place, kind, random.Random(kind), STORES)
    record_property("faults", STORES)


# finished mixes

MIX_FILES = (
    "tokens.bin",
    "tokens.idx",
    "manifest.json",
    "build.json",
    "documents.parquet",
    "provenance.parquet",
)


def said(mix: Path) -> list[Any]:
    """What the files of a mix say, whatever their bytes: decisive of nothing are a table's padding,
    white space in the manifest and build.json.
    """
    tables = [
        pq.read_table(path).to_pydict()
        for name in MIX_FILES[4:]
        for path in sorted((mix / name).iterdir())
    ]
    return [
        *((mix / name).read_bytes() for name in MIX_FILES[:2]),
        canonical_json(read_json(mix / "manifest.json")),
        tables,
    ]


def audits_well(full: Full, mix: Path, what: str) -> bool:
    """An audit of a damaged mix fails, or what its files say is what they said. Returns whether it
    failed.
    """
    with bounded_memory():
        try:
            passed = audit_mix(mix, full=True).passed
        except (AuditFailed, ManifestError):
            return True
    assert not passed or said(mix) == said(full.reference), (
        f"{what}: passed, and says something else"
    )
    return not passed


def traces_well(full: Full, place: Place, mix: Path, draw: random.Random, what: str) -> None:
    """A trace of a token of a damaged mix answers, or says what is wrong."""
    with bounded_memory():
        ended = run("trace", mix, "--token", str(draw.randrange(3000)), "--store", place.store)
    assert "Traceback" not in ended.err, f"{what}: {ended.err[-2000:]}"
    assert ended.code in (0, 2, 3, 4, 6), f"{what}: {ended.code} {ended.err[-500:]}"


def damage_mixes(
    full: Full, place: Place, folder: Path, name: str, draw: random.Random, count: int
) -> int:
    """Returns how many audits failed."""
    failed = 0
    for _ in range(count):
        renew(folder / "mix", full.reference)
        path = folder / "mix" / name
        what = damaged(draw.choice(sorted(path.iterdir())) if path.is_dir() else path, draw)
        failed += audits_well(full, folder / "mix", what)
        traces_well(full, place, folder / "mix", draw, what)
    return failed


def test_an_audit_of_a_damaged_mix_fails_where_something_is_lost(
    full, place, tmp_path, record_property
):
    draw = random.Random(4)
    for name in MIX_FILES:
        failed = damage_mixes(full, place, tmp_path, name, draw, 2)
        assert failed == 2 or name not in ("tokens.bin", "tokens.idx")
        assert not failed or name != "build.json"
    record_property("faults", 2 * len(MIX_FILES))


MIXES = 60


@pytest.mark.campaign
@pytest.mark.parametrize("name", MIX_FILES)
def test_audits_of_mixes_damaged_anywhere_fail_where_something_is_lost(
    full, place, tmp_path, name, record_property
):
    failed = damage_mixes(full, place, tmp_path, name, random.Random(name), MIXES)
    if name in ("tokens.bin", "tokens.idx"):
        assert failed == MIXES
    else:
        assert failed == 0 if name == "build.json" else failed > MIXES // 2
    record_property("faults", MIXES)
