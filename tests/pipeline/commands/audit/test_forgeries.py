"""Careful forgeries: every hash of the mix is made anew, and what it says agrees with itself as far
as the forger could make it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.commands.audit.audit import Depth, audit
from pipeline.commands.audit.filters import FilterOptions
from pipeline.inputs.listing import DataFolders
from tests.mixtures.audit.forged_mix import forge
from tests.pipeline.commands.audit.forgeries import CASES, Forgery


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_forged_mix_fails(work: Path, tmp_path: Path, case: Forgery) -> None:
    mix = Path(shutil.copytree(work / "mix", tmp_path / "mix"))
    forge(mix, case.change)
    depth = Depth(
        full=True, source_check=10**6, data=DataFolders(work / "data"), store=work / "store"
    )
    found = audit(mix, [], depth=depth, options=FilterOptions()).checks
    assert {check.name for check in found if not check.ok} == case.seen_by
