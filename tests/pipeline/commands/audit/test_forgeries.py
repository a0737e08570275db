"""Careful forgeries: every hash of a mix is made anew, and what it says agrees with itself as far
as the forger could make it. Each check that sees one is named, and FORGERIES.md lists them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mixtures.audit import audit_mix
from mixtures.errors import AnnealmixError
from pipeline.commands.audit.audit import AuditRequest, audit
from pipeline.commands.audit.store import check_store
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import ForgedMix, forge
from tests.pipeline.commands.audit.forgeries import CASES, REFUSED, Forgery, recount, table
from tests.pipeline.corpus import make, write_recipe

FEW = (
    "tokens of two documents of equal length exchanged",
    "a token moved over the boundary of two documents",
    "provenance of two documents exchanged",
    "a cut document was longer than is said",
    "neighbours of two sources exchanged",
    "another licence",
    "a field that no source has",
)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name in FEW else pytest.mark.campaign)
        for case in CASES
    ],
)
def test_a_forged_mix_fails(work: Path, tmp_path: Path, case: Forgery) -> None:
    mix = Path(shutil.copytree(work / "mix", tmp_path / "mix"))
    forge(mix, case.change)
    asked = AuditRequest(
        mix=mix,
        full=True,
        source_check=10**6,
        data=DataFolders(work / "data"),
        store=work / "store",
    )
    try:
        found = audit(asked).checks
    except AnnealmixError:
        assert case.seen_by == (REFUSED,)
        return
    # a check that could not be made fails, but has seen nothing
    seen = [check.name for check in found if not check.ok and check.figure != "not checked"]
    assert tuple(seen) == case.seen_by != ()


def test_neighbours_exchanged_among_gaps_are_seen_by_the_store_alone(
    work: Path, tmp_path: Path
) -> None:
    """Where removed documents left gaps, a mix alone knows between which bounds a midpoint lies."""
    sources = {"a": {"tokens": 400}, "b": {"tokens": 2500}}
    filters = [{"use": "toy", "level": "weak"}]
    recipe = write_recipe(tmp_path, sources, filters=filters, removed="shrink")
    make(recipe, tmp_path, work / "data", "mix", filters=work / "filters")
    mix, store = tmp_path / "mix", tmp_path / "store"
    assert all(check.ok for check in check_store(mix, store))

    def change(whole: ForgedMix) -> None:
        at = next(
            at
            for at in range(5, len(whole.documents) - 1)
            if whole.documents[at].source != whole.documents[at + 1].source
        )
        whole.swap(whole.documents[at], whole.documents[at + 1])
        recount(whole)

    forge(mix, change)
    assert "stream order" not in {check.name for check in audit_mix(mix).failures}
    assert "store order" in {check.name for check in check_store(mix, store) if not check.ok}


def test_a_damaged_store_is_not_taken_for_a_forged_mix(work: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(work / "store", tmp_path / "store"))
    tokens = next(store.glob("sources/extra-*/*/tokens-*/0000.tokens"))
    content = bytearray(tokens.read_bytes())
    content[0] ^= 1
    tokens.write_bytes(content)
    found = {check.name: check for check in check_store(work / "mix", store)}
    assert (found["store tokens"].ok, found["store tokens"].figure) == (False, "not checked")
    assert "the disk or somebody changed it" in found["store tokens"].detail


def test_the_table_of_forgeries_is_up_to_date():
    assert Path(__file__).with_name("FORGERIES.md").read_text() == table()
    assert len(CASES) == len({case.name for case in CASES}) >= 46
