"""What is told of an arm: on its page, and in figures that say how donors differ from what they
replace. Lengths and scores are counted again from the texts.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mixtures.audit import audit_mix
from mixtures.mix.claims import read_claims
from mixtures.stream.placebo import length_class
from tests.mixtures.audit.forged_mix import forge_manifest
from tests.pipeline.arms.studies import read_rows, read_slots, texts
from tests.pipeline.command_line import passes
from tests.pipeline.planted import digest, oracles, score_of, tokens_of


@pytest.fixture(scope="module")
def study(shown: Path) -> Path:
    return shown


def manifest_of(study: Path, arm: str) -> dict[str, Any]:
    return dict(json.loads((study / "out" / arm / "manifest.json").read_text()))


def by_digest() -> dict[str, str]:
    return {digest(text): text for documents in texts().values() for text in documents}


@pytest.mark.parametrize("arm", ["weak", "kept", "twin"])
def test_scores_of_an_arm_are_those_of_its_texts(study, arm):
    (oracle,) = oracles(study / "filters", [{"use": "toy", "level": "weak"}])
    base, slots, known = (
        read_rows(study / "out" / "base"),
        read_slots(study / "out" / arm),
        by_digest(),
    )
    said = manifest_of(study, arm)["arm"]["scores"]
    for name, digests in (
        ("removed", {base[row["position"]].digest for row in slots}),
        ("donors", {row["digest"].hex() for row in slots}),
    ):
        documents = [known[one] for one in digests]
        scores = sorted(
            score_of(oracle.classifier, text) for text in documents if oracle.escalated(text)
        )
        assert said[name]["documents"] == len(documents)
        assert said[name]["scored"] == len(scores)
        due = [scores[(len(scores) - 1) * tenth // 10] for tenth in range(11)] if scores else []
        assert said[name]["deciles"] == due
    assert said["removed"]["scored"] == (0 if arm == "twin" else said["removed"]["documents"])
    # other arms have the list alone remove, so donors that are not approved name too few terms
    assert (said["donors"]["scored"] > 0) == (arm == "kept")


def test_donors_are_counted_by_the_length_that_they_have_as_a_whole(study):
    known, counts = by_digest(), Counter[str]()
    seen = set()
    for row in read_slots(study / "out" / "weak"):
        if (row["slot"], row["offset"]) not in seen:
            seen.add((row["slot"], row["offset"]))
            counts[str(length_class(tokens_of(known[row["digest"].hex()])))] += 1
    assert manifest_of(study, "weak")["arm"]["lengths"] == counts


def moved(name: str, change: Any) -> Any:
    def forged(manifest: dict[str, Any]) -> None:
        change(manifest["arm"][name])

    return forged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            moved("scores", lambda said: said["removed"].update(documents=7)),
            "scores of 7 documents",
        ),
        (moved("scores", lambda said: said["removed"]["deciles"].reverse()), "are no deciles"),
        (
            moved("scores", lambda said: said["removed"]["deciles"].__setitem__(0, 1)),
            "without a score above the filter's threshold",
        ),
        (moved("lengths", lambda said: said.update({"1": 1})), "donors have lengths"),
    ],
)
def test_forged_figures_of_donors_are_named(study, tmp_path, change, said):
    mix = Path(shutil.copytree(study / "out" / "weak", tmp_path / "mix"))
    forge_manifest(mix, change)
    (failed,) = audit_mix(mix).failures
    assert failed.name == "slots"
    assert said in failed.detail


def test_forged_scores_that_agree_with_all_else_are_named_by_the_store(study, tmp_path):
    from pipeline.commands.audit.store import check_store

    mix = Path(shutil.copytree(study / "out" / "kept", tmp_path / "mix"))
    forge_manifest(
        mix, moved("scores", lambda said: said["donors"]["deciles"].__setitem__(10, 999_999))
    )
    assert not audit_mix(mix).failures
    found = {check.name: check.detail for check in check_store(mix, study / "store")}
    assert "in the store, the manifest says" in found["store slots"]


def test_a_build_prints_how_donors_differ_from_what_they_replace(study):
    command = ("build", study / "study.yaml", "--out", study / "told", "--store", study / "store")
    told = passes(*command, "--data", study / "data", "--filters", study / "filters").out
    assert told.count("scores, by tenths") == 3
    scores = manifest_of(study, "kept")["arm"]["scores"]
    columns = [
        (said["scored"], *said["deciles"]) for said in map(scores.get, ("removed", "donors"))
    ]
    for name, one, two in zip(("scored", "least"), *columns, strict=False):
        cells = [f"{at:,}" if name == "scored" else f"{at / 10**6:.4f}" for at in (one, two)]
        assert re.search(rf"^ {name} +{re.escape(cells[0])} +{re.escape(cells[1])} *$", told, re.M)


def test_a_diff_with_the_base_names_the_study_and_not_its_other_arms(study):
    arms = study / "out"
    told = passes("diff", arms / "base", arms / "weak", "--json").answer["settings"]
    found = {one["setting"]: (one["a"], one["b"]) for one in told}
    name = read_claims(arms / "weak").recipe["study"]["name"]
    assert found["recipe.study"] == (None, name)
    assert found["recipe.arm"] == (None, "weak")
    assert not [setting for setting in found if setting.startswith("recipe.study.")]


def page_of(study: Path, arm: str, tmp_path: Path, *more: Any) -> str:
    file = tmp_path / f"{arm}.html"
    passes("export", study / "out" / arm, "--html", file, *more)
    text = re.sub(r"<[^>]*>", " ", file.read_text())
    return " ".join(text.replace("&#39;", "'").split())


def test_the_page_of_an_arm_says_what_differs_from_its_base(study, tmp_path):
    page, said = page_of(study, "weak", tmp_path), manifest_of(study, "weak")
    assert "What differs from the base" in page
    assert f"made of its base, the mix of identity {manifest_of(study, 'base')['identity']}" in page
    one = said["arm"]["sources"]["b"]
    counts = [one[name] for name in ("slots", "positions", "exact", "cut", "joined", "tokens")]
    assert f"b {' '.join(f'{number:,}' for number in counts)} " in page
    assert f"slots touch {said['arm']['windows']:,} of " in page
    scores = said["arm"]["scores"]
    columns = [
        [f"{one / 10**6:.4f}" for one in scores[name]["deciles"]] or ["-"] * 11
        for name in ("removed", "donors")
    ]
    names = ["least", *(f"{10 * at}%" for at in range(1, 10)), "largest"]
    assert " ".join(map(" ".join, zip(names, *columns, strict=True))) in page
    assert "The line over the bars is the donors" in page


@pytest.mark.parametrize("arm", ["masked", "terms"])
def test_the_page_of_a_masked_arm_says_what_is_masked(study, tmp_path, arm):
    page, said = page_of(study, arm, tmp_path), manifest_of(study, arm)["mask"]
    for name, one in said["sources"].items():
        counts = [one[field] for field in ("documents", "positions", "tokens")]
        assert f"{name} {' '.join(f'{number:,}' for number in counts)} " in page
    assert f"{sum(one['tokens'] for one in said['sources'].values()):,} tokens" in page
    assert "What differs from the base" in page


def test_the_page_of_a_base_has_no_section_of_an_arm(study, tmp_path):
    assert "What differs from the base" not in page_of(study, "base", tmp_path)


def test_with_the_store_the_page_lists_what_this_arm_removes_alone(study, tmp_path):
    words = ("--store", study / "store", "--samples", "100")
    page = page_of(study, "weak", tmp_path, *words)
    base, gone = read_rows(study / "out" / "base"), read_slots(study / "out" / "weak")
    digests = {base[row["position"]].digest[:8] for row in gone}
    assert set(re.findall(r"([0-9a-f]{8}) filter toy weak \d", page)) == digests
    assert "filter toy strong" not in page.split("Documents A few documents")[-1]
    shown = re.search(r"of the base, and in the arm: ([0-9,]+) removed: ([0-9,]+)", page)
    assert shown is not None
    (oracle,) = oracles(study / "filters", [{"use": "toy", "level": "weak"}])
    known = by_digest()
    scored = len({row.digest for row in base if oracle.escalated(known[row.digest])})
    assert [int(one.replace(",", "")) for one in shown.groups()] == [
        scored - len(digests),
        len(digests),
    ]


def test_a_page_of_two_aligned_mixes_names_filter_and_slots(study, tmp_path):
    file, out = tmp_path / "pair.html", study / "out"
    passes("diff", out / "base", out / "weak", "--html", file, "--store", study / "store")
    page = " ".join(re.sub(r"<[^>]*>", " ", file.read_text()).split())
    assert "filter toy weak" in page
    assert "fills a slot" in page
    assert "Scores" in page
