"""A table of approved donors or of rewrites, or a manifest, that was changed and sealed again
contradicts the documents or itself, and the audit names it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mixtures.audit import audit_mix
from mixtures.keys import digest_columns, order_key, order_keys
from mixtures.mix import manifest as manifests
from tests.pipeline.arms.studies import ARMS, make_study, write_study
from tests.pipeline.arms.test_forged_arms import Table, hold_named, more, other_donor, put
from tests.pipeline.arms.test_rewritten_arms import rewrites_of, write_rewrites


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {
        "approved": {**ARMS["weak"], "fill": "approved"},
        "rewritten": {**ARMS["strong"], "fill": "rewrites.jsonl"},
    }
    study = write_study(tmp_path_factory.mktemp("forged"), arms=arms)
    write_rewrites(study.parent / "rewrites.jsonl", rewrites_of(study))
    make_study(study)
    for arm in arms:
        assert not audit_mix(study.parent / "out" / arm).failures
    return study.parent / "out"


def same_repeat(table: Table, manifest: manifests.Manifest) -> None:
    """All repeats of a document say that they are the same."""
    last = int(np.argmax(table["repeat"]))
    again = (table["digest"] == table["digest"][last]).all(axis=1)
    table["repeat"][again] = table["repeat"][last]


def no_repeat(table: Table, manifest: manifests.Manifest) -> None:
    at = digests_of_base(table, manifest)
    table["repeat"][at] = 0


def no_document(table: Table, manifest: manifests.Manifest) -> None:
    """A donor that is said to be the base's, and is not in it."""
    at = digests_of_base(table, manifest)
    low = int(manifest["arm"]["donors"][table["donor_source"][at]]["keys"][0], 16)
    least = int(manifest["sources"][0]["keys"][0], 16)
    name = next(
        name
        for name in (number.to_bytes(16, "big") for number in range(10_000))
        if max(least, low // 2) < order_key(name) < low
    )
    same = (table["digest"] == table["digest"][at]).all(axis=1)
    table["digest"][same] = np.frombuffer(name, np.uint8)


def digests_of_base(table: Table, manifest: manifests.Manifest) -> int:
    """A row of a donor that the base has."""
    keys = order_keys(digest_columns(np.ascontiguousarray(table["digest"])))
    lows = [int(manifest["arm"]["donors"][name]["keys"][0], 16) for name in table["donor_source"]]
    return int(np.flatnonzero(keys < np.array(lows, np.uint64))[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (same_repeat, "a donor stands in two slots with one number of repeat"),
        (no_repeat, "a donor with a key that the base uses is said to be no repeat"),
        (no_document, "with keys that the base uses stand in slots alone"),
        (more("donors", "a", "documents"), "the manifest says"),
        (more("donors", "a", "repeated", "places"), "the manifest says"),
        (more("donors", "b", "repeated", "base_documents"), "the manifest says"),
        (more("donors", "b", "repeated", "tokens"), "the manifest says"),
        (more("donors", "b", "repeated", "most"), "the manifest says"),
        (other_donor, "another"),
        (put("donor_source", "b", 0), "gives"),
    ],
)
def test_approved_slots_that_were_changed_and_sealed_again_are_named(out, tmp_path, change, said):
    hold_named(out / "approved", tmp_path / "mix", "slots", change, said)


def donor_as_rewrite(table: Table, manifest: manifests.Manifest) -> None:
    behind = int(np.flatnonzero(table["offset"] > 0)[0])
    table["rewrite"][behind] = True


def rewrite_of_a_source(table: Table, manifest: manifests.Manifest) -> None:
    first = int(np.flatnonzero(table["offset"] == 0)[0])
    table["donor_source"][first] = "a"


def other_content(table: Table, manifest: manifests.Manifest) -> None:
    del manifest["arm"]["rewrites"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (donor_as_rewrite, "a slot does not begin with its rewrite, or has two"),
        (rewrite_of_a_source, "a rewrite is of a source, or a donor of none"),
        (put("file", "other.jsonl", 0), "a rewrite of another file than 'rewrites.jsonl'"),
        (put("digest", 7, 0), "is another than its slot says"),
        (put("num_tokens", 1, 0), "has other tokens than its slot's donors"),
        (more("rewrites", "documents"), "the manifest says"),
        (more("rewrites", "cut"), "the manifest says"),
        (more("rewrites", "donor_tokens"), "the manifest says"),
        (other_content, "filled rewrites, and rewrites are None"),
    ],
)
def test_rewritten_slots_that_were_changed_and_sealed_again_are_named(out, tmp_path, change, said):
    hold_named(out / "rewritten", tmp_path / "mix", "slots", change, said)


@pytest.mark.parametrize(("arm", "column"), [("approved", "repeat"), ("rewritten", "rewrite")])
def test_another_fill_does_not_pass_as_fresh(out, tmp_path, arm, column):
    shutil.copytree(out / arm, tmp_path / "mix")
    manifest = json.loads((tmp_path / "mix" / "manifest.json").read_text())
    manifest["arm"]["fill"] = "fresh"
    (tmp_path / "mix" / "manifest.json").write_bytes(manifests.dump(manifests.sealed(manifest)))
    (failed,) = (check for check in audit_mix(tmp_path / "mix").failures if check.name == "slots")
    assert f"{column}; allowed are" in failed.detail
