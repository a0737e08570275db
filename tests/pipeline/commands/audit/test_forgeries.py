"""Careful forgeries: every hash of a mix is made anew, and what it says agrees with itself as far
as the forger could make it. Each check that sees one is named, and FORGERIES.md lists them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mixtures.errors import AnnealmixError
from pipeline.commands.audit.audit import Depth, audit
from pipeline.commands.audit.filters import FilterOptions
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import forge
from tests.pipeline.commands.audit.forgeries import CASES, REFUSED, Forgery, table

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
    depth = Depth(
        full=True, source_check=10**6, data=DataFolders(work / "data"), store=work / "store"
    )
    try:
        found = audit(mix, [], depth=depth, options=FilterOptions()).checks
    except AnnealmixError:
        assert case.seen_by == (REFUSED,)
        return
    # a check that could not be made fails, but has seen nothing
    seen = [check.name for check in found if not check.ok and check.figure != "not checked"]
    assert tuple(seen) == case.seen_by != ()


def test_the_table_of_forgeries_is_up_to_date():
    assert Path(__file__).with_name("FORGERIES.md").read_text() == table()
    assert len(CASES) == len({case.name for case in CASES}) >= 46
