"""Documents that hold items of evaluation sets are dropped or reported, in every source, and
nothing else is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.audit import audit_mix
from mixtures.errors import AnnealmixError, InputError, ManifestError, RecipeError
from mixtures.recipe.load import load_recipe
from pipeline.commands.audit.store import check_store
from pipeline.commands.filter.removed import removed_digests
from tests.mixtures.audit.forged_mix import forge_manifest
from tests.pipeline.corpus import make, prose, read_mix, sharded, write_files, write_recipe

ITEMS = [
    f"Which of the {name} stones was laid down first when the {name} bridge was built across"
    " the wide river"
    for name in ("red", "grey", "white", "black", "round", "flat")
]
SHORT = "too short to be found"
SOURCES = ("a", "b", "c")
FILTER_TERMS = b"ravenna\ncordoba\n"


def disguised(item: str) -> str:
    """The item within other text, in other case and punctuation."""
    return f"Before it, words. {item.upper().replace(' ', ',  ')}! And after it, more words."


def texts_of(source: str) -> list[str]:
    number = SOURCES.index(source)
    planted = [disguised(ITEMS[2 * number]), f"prefix {number} {ITEMS[2 * number + 1]}"]
    flagged = [f"{source} {index}: Ravenna and Cordoba are towns." for index in range(4)]
    return [*prose(number, 40), *planted, *flagged, f"{number} {SHORT}"]


def write_set(folder: Path, items: list[str], name: str = "bench") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps({"text": item}) + "\n" for item in items).encode()
    (folder / f"{name}.jsonl").write_bytes(content)
    pin = {"path": f"{name}.jsonl", "sha256": hashlib.sha256(content).hexdigest()}
    (folder / f"{name}.yaml").write_text(
        json.dumps({"name": name, "files": [pin], "format": "jsonl", "columns": "lambada"})
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for source in SOURCES:
        write_files(tmp_path / "data", source, sharded(texts_of(source), 2), "jsonl")
    write_set(tmp_path / "recipes", [*ITEMS, SHORT])
    content = FILTER_TERMS
    (tmp_path / "recipes" / "terms.txt").write_bytes(content)
    pin = {"file": "terms.txt", "sha256": hashlib.sha256(content).hexdigest(), "mode": "words"}
    golden = [
        {"text": "Ravenna, Cordoba", "flagged": "true"},
        {"text": "The weather was fine.", "flagged": "false"},
    ]
    (tmp_path / "recipes" / "towns.yaml").write_text(
        json.dumps({"name": "towns", "blocklist": pin, "golden": golden})
    )
    return tmp_path


def recipe_of(work: Path, name: str, **more: Any) -> Path:
    sources = {source: {"all": "true"} for source in SOURCES}
    return write_recipe(work / "recipes", sources, dict.fromkeys(SOURCES, "jsonl"), name, **more)


def built(work: Path, name: str, out: str, **more: Any) -> dict[str, Any]:
    options = {key: more.pop(key) for key in ("workers", "tasks", "store") if key in more}
    manifest = make(recipe_of(work, name, **more), work, work / "data", out=out, **options)
    assert audit_mix(work / out).passed
    return manifest


def test_planted_items_are_dropped_from_every_source_and_nothing_else_is(work):
    plain = built(work, "plain", "plain")
    clean = built(work, "clean", "clean", decontaminate={"sets": ["bench.yaml"]})
    planted = {text for source in SOURCES for text in texts_of(source)[40:42]}
    kept = [document.text for document in read_mix(work / "plain") if document.text not in planted]
    assert len(kept) == plain["total_documents"] - 6
    assert sorted(kept) == sorted(document.text for document in read_mix(work / "clean"))
    assert {
        name: counts["contaminated"] for name, counts in clean["removed"].items()
    } == dict.fromkeys(SOURCES, 2)
    (found,) = clean["contamination"]["sets"]
    assert (found["items"], found["not_indexed"]) == (7, 1)
    assert [hit["item"] for hit in found["hits"]] == [f"bench.jsonl:{line}" for line in range(1, 7)]
    assert all(hit["found"] == hit["total"] and hit["documents"] == 1 for hit in found["hits"])


def test_reported_documents_stay_and_are_named_by_set_item_and_overlap(work):
    plain = built(work, "plain", "plain")
    told = built(work, "told", "told", decontaminate={"sets": ["bench.yaml"], "action": "report"})
    assert told["identity"] == plain["identity"]
    assert told["contamination"]["documents"] == dict.fromkeys(SOURCES, 2)
    assert len(told["contamination"]["sets"][0]["hits"]) == 6
    assert "contaminated" not in told["removed"]["a"]


def test_arms_that_differ_in_filters_are_decontaminated_alike(work):
    sets = {"decontaminate": {"sets": ["bench.yaml"]}}
    unfiltered = built(work, "unfiltered", "unfiltered", **sets)
    for removed in ("refill", "shrink"):
        filtered = built(work, removed, removed, filters=["towns.yaml"], removed=removed, **sets)
        assert filtered["contamination"] == unfiltered["contamination"]
        assert {
            name: counts["filter towns"] for name, counts in filtered["removed"].items()
        } == dict.fromkeys(SOURCES, 4)
    shrunk = [(document.source, document.text) for document in read_mix(work / "shrink")]
    assert shrunk == [
        (item.source, item.text)
        for item in read_mix(work / "unfiltered")
        if "Ravenna" not in item.text
    ]


def test_the_result_does_not_depend_on_workers_files_or_what_the_store_held(work):
    sets: dict[str, Any] = {"decontaminate": {"sets": ["bench.yaml"]}, "budget": {"tokens": 1500}}
    sources = {source: {"weight": 1} for source in SOURCES}
    recipe = write_recipe(
        work / "recipes", sources, dict.fromkeys(SOURCES, "jsonl"), "sized", **sets
    )
    first = make(recipe, work, work / "data", out="one")
    for source in SOURCES:
        shutil.rmtree(work / "data" / source)
        write_files(work / "data", source, sharded(list(reversed(texts_of(source))), 3), "jsonl")
    built(work, "plain", "plain", store="other")
    again = make(recipe, work, work / "data", out="two", store="other", workers=2, tasks=7)
    assert (again["identity"], again["removed"]) == (first["identity"], first["removed"])
    assert again["contamination"]["documents"] == first["contamination"]["documents"]


def test_a_set_that_comes_later_tokenizes_nothing_again(work, tmp_path):
    built(work, "plain", "plain")
    recipe = recipe_of(work, "clean", decontaminate={"sets": ["bench.yaml"]})
    assert (
        make(
            recipe, work, work / "data", out="clean", tokenizer=tmp_path / "no-such-tokenizer.json"
        )["total_documents"]
        > 0
    )


def test_a_missing_or_changed_set_fails_before_anything_is_read(work):
    recipe = recipe_of(work, "clean", decontaminate={"sets": ["bench.yaml"]})
    content = (work / "recipes" / "bench.jsonl").read_bytes()
    for damage, error in ((content[:-5], ManifestError), (None, InputError)):
        (work / "recipes" / "bench.jsonl").unlink()
        if damage is not None:
            (work / "recipes" / "bench.jsonl").write_bytes(damage)
        with pytest.raises(error, match="bench"):
            make(recipe, work, work / "data")
        if damage is None:
            (work / "recipes" / "bench.jsonl").write_bytes(content)
    assert not (work / "out").exists()
    assert make(recipe, work, work / "data")["contamination"]["documents"]["a"] == 2


def test_damaged_counts_fail_the_build(work):
    recipe = recipe_of(work, "clean", decontaminate={"sets": ["bench.yaml"]})
    make(recipe, work, work / "data")
    shutil.rmtree(work / "store" / "select")
    for column in ("grams", "hit_item"):
        path = sorted((work / "store").glob(f"sources/a-*/*/grams-*/0000.{column}"))[0]
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(AnnealmixError) as caught:
            make(recipe, work, work / "data", out="again")
        assert caught.value.exit_code == 6
        assert not (work / "again").exists()
        path.write_bytes(content)


def test_a_set_of_which_nothing_can_be_looked_for_is_refused(work):
    write_set(work / "recipes", [SHORT, "also short"], "short")
    with pytest.raises(InputError, match="short"):
        make(recipe_of(work, "clean", decontaminate={"sets": ["short.yaml"]}), work, work / "data")


@pytest.mark.parametrize(
    "given", [["mmlu"], [], ["../bench.yaml"], ["none.yaml"], ["bench.yaml", "bench.yaml"]]
)
def test_recipes_name_files_of_sets_beside_them(work, given):
    with pytest.raises(RecipeError, match=r"clean\.yaml:1"):
        load_recipe(str(recipe_of(work, "clean", decontaminate={"sets": given})))


def test_what_evaluation_sets_removed_is_not_taken_for_what_filters_removed(work):
    for action in ("drop", "report"):
        built(
            work,
            action,
            action,
            decontaminate={"sets": ["bench.yaml"], "action": action},
            store="unfiltered",
        )
    with pytest.raises(RecipeError, match="no selection of it was filtered"):
        removed_digests(work / "unfiltered")
    manifest = built(
        work,
        "both",
        "both",
        decontaminate={"sets": ["bench.yaml"]},
        filters=["towns.yaml"],
        store="filtered",
    )
    assert (
        len(removed_digests(work / "filtered"))
        == sum(counts["filter towns"] for counts in manifest["removed"].values())
        == 12
    )


def no_report(manifest: dict[str, Any]) -> None:
    manifest["contamination"] = {}


def fewer_hits(manifest: dict[str, Any]) -> None:
    del manifest["contamination"]["sets"][0]["hits"][0]


def fewer_documents(manifest: dict[str, Any]) -> None:
    manifest["contamination"]["documents"]["a"] = 0


@pytest.mark.parametrize(
    ("change", "in_mix"),
    [(no_report, {"contamination"}), (fewer_hits, set()), (fewer_documents, set())],
)
def test_a_report_that_says_too_little_with_every_hash_made_anew_is_noticed(work, change, in_mix):
    built(work, "report", "report", decontaminate={"sets": ["bench.yaml"], "action": "report"})
    assert {check.name: check.ok for check in check_store(work / "report", work / "store")}[
        "store contamination"
    ]
    forge_manifest(work / "report", change)
    assert {check.name for check in audit_mix(work / "report").failures} == in_mix
    assert {
        check.name for check in check_store(work / "report", work / "store") if not check.ok
    } == {"store contamination", "store manifest"}


def test_items_of_dropped_documents_are_those_of_the_store(work):
    built(work, "clean", "clean", decontaminate={"sets": ["bench.yaml"]})
    assert all(check.ok for check in check_store(work / "clean", work / "store"))
    forge_manifest(work / "clean", fewer_hits)
    assert {
        check.name for check in check_store(work / "clean", work / "store") if not check.ok
    } == {"store contamination", "store manifest"}
