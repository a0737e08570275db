"""A preview takes its share of an insert and says so, or takes all of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from mixtures.audit import audit_mix
from mixtures.mix.claims import read_claims
from tests.pipeline.command_line import passes
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe


@pytest.mark.parametrize("whole", [False, True])
def test_a_preview_takes_its_share_of_an_insert_and_says_so_or_takes_it_whole(
    tmp_path: Path, whole: bool
) -> None:
    write_files(tmp_path / "data", "a", sharded(prose(1, 200), 1))
    write_files(tmp_path / "data", "papers", sharded(prose(2, 10), 1))
    write_recipe(tmp_path, {"papers": {"all": "true"}}, name="unused")  # for its definition
    insert = {"papers": {"use": "papers.yaml", **({"whole": "true"} if whole else {})}}
    budget = {"tokens": 2000}
    recipe = write_recipe(tmp_path, {"a": {"weight": 1}}, budget=budget, insert=insert)
    make(recipe, tmp_path, tmp_path / "data", scale=Fraction(1, 10))
    claims = read_claims(tmp_path / "out")
    assert [source.documents for source in claims.sources if source.insert] == [10 if whole else 1]
    assert audit_mix(tmp_path / "out").passed
    said = passes("audit", tmp_path / "out")
    assert ("insert.papers: 1 of 10 documents" in said.out + said.err) != whole
    planned = passes("plan", recipe, "--scale", "0.1", "--data", tmp_path / "data")
    assert ("a mix of this size takes its share of it" in planned.out + planned.err) != whole
    full = passes("plan", recipe, "--data", tmp_path / "data")
    assert "a mix of this size" not in full.out + full.err
