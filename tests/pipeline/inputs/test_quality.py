"""Quality steps in a build: what they drop has a reason, what they leave is placement-free, and the
store keeps readings apart.

Here are the steps that need no extra (regex, length); each of the others stands beside datatrove's
class in tests/models/test_quality.py.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mixtures.audit import audit_mix
from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.quality.arguments import LengthQuality, RegexQuality
from mixtures.recipe.quality.steps import Quality
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.quality import steps as quality_steps
from pipeline.inputs.quality.quality import open_steps
from pipeline.inputs.quality.rule import Dropped, StepRule
from tests.pipeline.corpus import (
    contents,
    make,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)

A, B = [*prose(1, 60), "", "mill", "mill"], prose(2, 80)
STEPS: list[Any] = [
    {"regex": {"remove": r"\bbridge\b"}},
    {"length": {"min_chars": 40, "max_chars": 250}},
    {"regex": {"keep": "river|water"}},
]
SOURCES: dict[str, dict[str, Any]] = {"a": {"all": True, "quality": STEPS}, "b": {"all": True}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, texts in (("a", A), ("b", B)):
        write_files(tmp_path / "data", name, sharded(texts, 3))
    return tmp_path / "data"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Steps are opened once a process; a test that changes how must not leave its own behind."""
    open_steps.cache_clear()
    yield
    open_steps.cache_clear()


def steps(*given: Any) -> Any:
    return TypeAdapter(Quality).validate_python(list(given))


def expected(text: str) -> str | None:
    """The reason by which STEPS drop a text, written anew; None if it passes."""
    if re.search(r"\bbridge\b", text):
        return "quality regex: found"
    if not 40 <= len(text) <= 250:
        return "quality length: too short" if len(text) < 40 else "quality length: too long"
    return None if "river" in text or "water" in text else "quality regex 2: not found"


def test_what_passes_is_the_mix_and_every_drop_is_counted_under_its_reason(tmp_path, data):
    manifest = make(write_recipe(tmp_path, SOURCES), tmp_path, data)
    documents = read_mix(tmp_path / "out")
    assert {document.text for document in documents if document.source == "a"} == {
        text for text in A if text and not expected(text)
    }
    assert {document.text for document in documents if document.source == "b"} == set(B)
    removed = manifest["removed"]["a"]
    drops = Counter(reason for text in A if text and (reason := expected(text)))
    assert len(drops) == 4, "the corpus lets a reason unused"
    assert {
        reason: count for reason, count in removed.items() if reason.startswith("quality ")
    } == drops
    assert (
        removed["rows"]
        == len(A)
        == sum(count for reason, count in removed.items() if reason != "rows")
    )
    assert removed["empty"] == 1
    assert not [reason for reason in manifest["removed"]["b"] if reason.startswith("quality ")]


def test_the_audit_passes_and_sees_a_changed_drop(tmp_path, data):
    from mixtures.mix import manifest as manifests

    make(write_recipe(tmp_path, SOURCES), tmp_path, data)
    report = audit_mix(tmp_path / "out", full=True)
    assert report.passed, report.failures
    manifest: Any = manifests.load(tmp_path / "out")
    manifest["removed"]["a"]["quality length: too short"] += 1
    forged = manifests.sealed(
        {key: value for key, value in manifest.items() if key not in ("identity", "digest")}
    )
    (tmp_path / "out" / manifests.MANIFEST).write_bytes(manifests.dump(forged))
    assert "removals" in {check.name for check in audit_mix(tmp_path / "out").failures}


def test_the_mix_does_not_depend_on_sharding_packing_or_workers(tmp_path, data):
    make(write_recipe(tmp_path, SOURCES), tmp_path, data)
    for name, texts in (("a", A), ("b", B)):
        write_files(tmp_path / "other", name, sharded(list(reversed(texts)), 7), "parquet")
    recipe = write_recipe(tmp_path / "again", SOURCES, {"a": "parquet", "b": "parquet"})
    make(recipe, tmp_path, tmp_path / "other", "second", "store-2", tasks=3)
    assert contents(tmp_path / "out") == contents(tmp_path / "second")


def test_other_steps_are_read_anew_and_the_same_steps_are_not(tmp_path, data):
    make(write_recipe(tmp_path, SOURCES), tmp_path, data)
    sources = tmp_path / "store" / "sources"
    before = {path.name for path in sources.iterdir()}
    plain = {"a": {"all": True}, "b": {"all": True}}
    make(write_recipe(tmp_path, plain, name="plain"), tmp_path, data, "plain")
    assert {document.text for document in read_mix(tmp_path / "plain")} == {
        text for text in A + B if text
    }
    added = {path.name for path in sources.iterdir()} - before
    assert len(added) == 1
    assert added.pop().startswith("a-")
    make(write_recipe(tmp_path, plain, name="alone"), tmp_path, data, "alone", "store-alone")
    assert {path.name for path in (tmp_path / "store-alone" / "sources").iterdir()} < {
        path.name for path in sources.iterdir()
    }
    state = {path: path.stat().st_mtime_ns for path in sources.rglob("*")}
    make(
        write_recipe(tmp_path, {**SOURCES, "b": {"tokens": 300}}, name="small"),
        tmp_path,
        data,
        "small",
    )
    assert {path: path.stat().st_mtime_ns for path in sources.rglob("*")} == state


def test_an_excluded_recipe_may_read_the_same_definition_with_other_steps(tmp_path, data):
    write_recipe(tmp_path, SOURCES, name="first")
    recipe = write_recipe(tmp_path, {"a": {"all": True}}, exclude=["first.yaml"])
    make(recipe, tmp_path, data)
    kept = {document.text for document in read_mix(tmp_path / "out")}
    assert kept == {text for text in A if text and expected(text)}
    assert audit_mix(tmp_path / "out").passed


def test_two_sources_of_one_definition_may_not_share_keys_whatever_their_steps(tmp_path, data):
    sources = {
        "a": {"all": True, "keys": [0, 0.6]},
        "again": {"use": "a.yaml", "all": True, "keys": [0.5, 1], "quality": STEPS},
    }
    with pytest.raises(RecipeError, match="shares keys with a"):
        make(write_recipe(tmp_path, sources), tmp_path, data)


def test_two_key_ranges_of_one_definition_may_have_different_steps(tmp_path, data):
    sources = {"low": {"use": "a.yaml", "all": True, "keys": [0, 0.5]}}
    sources["high"] = {"use": "a.yaml", "all": True, "keys": [0.5, 1], "quality": STEPS}
    manifest = make(write_recipe(tmp_path, sources), tmp_path, data)
    assert all(
        expected(document.text) is None
        for document in read_mix(tmp_path / "out")
        if document.source == "high"
    )
    assert any(
        expected(document.text)
        for document in read_mix(tmp_path / "out")
        if document.source == "low"
    )
    assert list(manifest["inputs"]) == ["a"]
    assert audit_mix(tmp_path / "out").passed


@given(texts=st.lists(st.text(max_size=12), max_size=30))
def test_regex_and_length_drop_what_their_words_say(texts):
    opened = open_steps(steps({"regex": {"remove": "[aeiou]{2}"}}, {"length": {"max_chars": 8}}))
    for text in filter(None, texts):
        outcome = opened.apply(text)
        if re.search("[aeiou]{2}", text):
            assert outcome == ("quality regex: found",)
        else:
            assert outcome == (text if len(text) <= 8 else ("quality length: too long",))


def test_a_pattern_that_backtracks_without_end_elsewhere_is_searched_in_passing():
    text = "a" * 100_000 + "b"
    assert open_steps(steps({"regex": {"remove": "(a+)+$"}})).apply(text) == text


def test_a_step_that_remembers_earlier_documents_is_refused(monkeypatch, fresh):
    def opener(arguments: LengthQuality) -> StepRule:
        seen: list[str] = []

        def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
            seen.append(text)
            return f"{len(seen)} {text}"

        return rule

    monkeypatch.setitem(quality_steps._STEPS, LengthQuality, (opener, ()))
    with pytest.raises(
        ManifestError,
        match="quality step length: gives golden document 0 another result when it sees it again",
    ):
        open_steps(steps({"length": {"min_chars": 1}}))


def stands_in(monkeypatch: pytest.MonkeyPatch, rule: Any) -> dict[str, dict[str, Any]]:
    """Put a rule in the place of the step `regex`; a source that has it."""
    monkeypatch.setitem(quality_steps._STEPS, RegexQuality, (lambda arguments: rule, ()))
    return {"a": {"all": True, "quality": [{"regex": {"keep": "x"}}]}}


def test_a_step_that_cannot_judge_a_row_quarantines_it_and_shows_no_text(
    tmp_path, data, monkeypatch, fresh
):
    def rule(text: str, row: Mapping[str, Any]) -> str:
        if text == "mill":
            raise ZeroDivisionError(text)
        return text

    sources = stands_in(monkeypatch, rule)
    with pytest.raises(BadRecord) as caught:
        open_steps(steps({"regex": {"keep": "x"}})).apply("mill")
    assert caught.value.args == ("quality", "the step regex raised ZeroDivisionError")
    with pytest.raises(InputError, match="2 of 63 rows are unreadable"):
        make(write_recipe(tmp_path, sources), tmp_path, data)
    manifest = make(write_recipe(tmp_path, sources, max_quarantined=0.5), tmp_path, data)
    assert manifest["removed"]["a"]["quarantined"] == 2


def test_a_text_that_a_step_empties_is_dropped_for_that_and_is_not_called_empty(
    tmp_path, data, monkeypatch, fresh
):
    sources = stands_in(monkeypatch, lambda text, row: text.replace("mill", ""))
    manifest = make(write_recipe(tmp_path, sources), tmp_path, data)
    assert manifest["removed"]["a"]["quality regex: emptied"] == 2
    assert manifest["removed"]["a"]["empty"] == 1
    assert not any("mill" in document.text for document in read_mix(tmp_path / "out"))


def test_a_surrogate_that_a_step_makes_is_repaired_before_it_is_hashed(
    tmp_path, data, monkeypatch, fresh
):
    sources = stands_in(monkeypatch, lambda text, row: text + "\ud800")
    make(write_recipe(tmp_path, sources), tmp_path, data)
    assert all(document.text.endswith("\ufffd") for document in read_mix(tmp_path / "out"))


def test_a_missing_package_is_said_with_the_pip_line_before_a_row_is_read(
    tmp_path, data, monkeypatch, fresh
):
    monkeypatch.setitem(sys.modules, "datatrove.pipeline.formatters", None)
    recipe = write_recipe(tmp_path, {"a": {"all": True}, "b": {"all": True, "quality": ["pii"]}})
    with pytest.raises(
        RecipeError,
        match=r"quality step pii lacks (a package .*|regex): pip install 'annealmix\[quality\]'",
    ) as caught:
        make(recipe, tmp_path, data)
    assert caught.value.exit_code == 2
    assert not list((tmp_path / "store").glob("sources/*/*/ledger"))


def test_a_source_of_which_its_steps_leave_nothing_fails_by_name(tmp_path, data):
    with pytest.raises(
        InputError,
        match=(
            r"sources\.a: none of its 63 rows is a document after its quality steps length; ask"
            r" less of them"
        ),
    ):
        make(
            write_recipe(
                tmp_path, {"a": {"all": True, "quality": [{"length": {"min_chars": 99_999}}]}}
            ),
            tmp_path,
            data,
        )
