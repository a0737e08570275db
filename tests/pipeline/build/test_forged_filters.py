"""A manifest whose filters were edited, with every hash made anew, fails in the check of
filters.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixtures.audit import audit_mix
from mixtures.mix.manifest import Manifest
from mixtures.yaml.fields import json_digest
from tests.mixtures.audit.forged_mix import forge_manifest
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters

TOY, LIST = 0, 1
FILTERS = [
    {"use": "toy", "level": "weak"},
    {"use": "list", "fraction": "0.4"},
    {"placebo_of": "more", "tolerance": "1"},
]


@pytest.fixture(scope="module")
def mixes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forged")
    write_filters(folder / "filters")
    for name, texts in {"a": planted(1, 60), "b": planted(2, 120), "extra": prose(9, 6)}.items():
        write_files(folder / "data", name, sharded(texts, 2))
    write_recipe(
        folder / "recipes", {"extra": {"all": "true"}}, name="unused"
    )  # for its source definition
    for removed in ("refill", "shrink"):
        sources = {"a": {"tokens": 700}, "b": {"tokens": 2300}}
        more: dict[str, Any] = {
            "filters": FILTERS,
            "removed": removed,
            "insert": {"extra": {"use": "extra.yaml"}},
        }
        recipe = write_recipe(folder / "recipes", sources, name=removed, **more)
        make(recipe, folder, folder / "data", removed, filters=folder / "filters")
    return folder


def failures(
    mixes: Path, removed: str, place: Path, change: Callable[[Manifest], None]
) -> set[str]:
    """Checks that fail when a manifest is changed."""
    shutil.copytree(mixes / removed, place)
    forge_manifest(place, change)
    return {check.name for check in audit_mix(place).failures}


@pytest.mark.parametrize("removed", ["refill", "shrink"])
def test_honest_filters_pass(mixes, removed, tmp_path):
    assert failures(mixes, removed, tmp_path / "mix", lambda manifest: None) == set()


def setting(*places: Any) -> Callable[[Manifest], None]:
    """Sets a value of the first filter: its path, then the value."""

    def change(manifest: Manifest) -> None:
        *path, last, value = places
        found: Any = manifest["filters"][TOY]
        for name in path:
            found = found[name]
        found[last] = value

    return change


def other_level(manifest: Manifest) -> None:
    label = manifest["filters"][TOY]["label"] = manifest["recipe"]["filters"][TOY]["name"] = (
        "toy strong"
    )
    for counts in manifest["removed"].values():
        if "filter toy weak" in counts:
            counts[f"filter {label}"] = counts.pop("filter toy weak")
    manifest["recipe_digest"] = json_digest(manifest["recipe"])


def other_dose(manifest: Manifest) -> None:
    manifest["filters"][LIST]["fraction"] = manifest["recipe"]["filters"][LIST]["fraction"] = "0.5"
    manifest["recipe_digest"] = json_digest(manifest["recipe"])


def exchanged_removals(manifest: Manifest) -> None:
    one, two = manifest["filters"][TOY], manifest["filters"][LIST]
    one["removed"], two["removed"] = two["removed"], one["removed"]
    for name in one["removed"]:
        for item in (one, two):
            manifest["removed"][name][f"filter {item['label']}"] = item["removed"][name][
                "first_documents"
            ]


def removed_from_an_insert(manifest: Manifest) -> None:
    manifest["removed"]["extra"]["filter toy weak"] = 0


def of_placebo(change: Callable[[Any], None]) -> Callable[[Manifest], None]:
    """Changes what the last filter imitates."""
    return lambda manifest: change(manifest["filters"][-1]["matched"])


def more_imitated(matched: Any) -> None:
    matched["sources"]["b"]["documents"] += 1


def less_found(matched: Any) -> None:
    matched["sources"]["b"]["unmatched_documents"] += 10**6


def one_length(matched: Any) -> None:
    matched["lengths"] = {"13": sum(matched["lengths"].values())}


NOTHING = {"documents": 0, "tokens": 0, "first_documents": 0, "first_tokens": 0}
FORGERIES: dict[str, Callable[[Manifest], None]] = {
    "another threshold of the classifier": setting("classifier", "threshold", "0.5"),
    "another classifier": setting("classifier", "digest", "0" * 64),
    "no classifier": setting("classifier", None),
    "another list": setting("blocklist", "sha256", "0" * 64),
    "another threshold of the list": setting("blocklist", "threshold", 1),
    "another mode": setting("blocklist", "mode", "published"),
    "no scores": setting("scores", None),
    "fewer scores than removals": setting("scores", "documents", 0),
    "a placebo": setting("placebo", True),
    "nothing to imitate": lambda manifest: manifest["filters"][-1].update(matched=None),
    "more to imitate": of_placebo(more_imitated),
    "less found": of_placebo(less_found),
    "a length that no class begins with": of_placebo(one_length),
    "another tolerance": of_placebo(lambda matched: matched.update(tolerance="0")),
    "other partners": of_placebo(lambda matched: matched.update(partners=["a"])),
    "other lengths": setting("lengths", {}),
    "removals of a source that is not there": setting("removed", "c", NOTHING),
    "another level": other_level,
    "another dose": other_dose,
    "removals of another filter": exchanged_removals,
    "removals from an insert": removed_from_an_insert,
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("removed", ["refill", "shrink"])
def test_a_filter_that_is_not_what_the_manifest_says_is_noticed(mixes, tmp_path, removed, forgery):
    assert "filters" in failures(mixes, removed, tmp_path / "mix", FORGERIES[forgery])


@pytest.mark.parametrize("removed", ["refill", "shrink"])
def test_filters_that_the_manifest_leaves_out_are_missed(mixes, tmp_path, removed):
    """With the recipe's, too: then the removals speak of filters that nobody asked for."""

    def leave_out(manifest: Manifest) -> None:
        manifest["filters"] = []

    def ask_for_none(manifest: Manifest) -> None:
        leave_out(manifest)
        manifest["recipe"] = {
            key: value
            for key, value in manifest["recipe"].items()
            if key not in ("filters", "removed")
        }
        manifest["recipe_digest"] = json_digest(manifest["recipe"])

    assert "filters" in failures(mixes, removed, tmp_path / "left out", leave_out)
    assert "filters" in failures(mixes, removed, tmp_path / "not asked", ask_for_none)


def test_gaps_that_removed_documents_must_have_left_are_missed(mixes, tmp_path):
    def claim_shrink(manifest: Manifest) -> None:
        manifest["recipe"]["removed"] = "shrink"
        manifest["recipe_digest"] = json_digest(manifest["recipe"])

    assert "filters" in failures(mixes, "refill", tmp_path / "mix", claim_shrink)
