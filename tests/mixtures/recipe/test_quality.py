"""A recipe's quality steps: what is refused, where it is said, and what decides their identity."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mixtures.errors import RecipeError
from mixtures.estimates import SupplyEstimate
from mixtures.plan.plan import make_plan
from mixtures.recipe.load import load_recipe
from mixtures.recipe.quality.steps import STEP_NAMES, Quality, canonical_quality, reading_name
from mixtures.stream.quotas import Size
from mixtures.yaml.fields import json_digest, plain_decimal
from tests.mixtures.recipe.test_schema import SCHEMA, fits
from tests.pipeline.corpus import write_recipe

ADAPTER: TypeAdapter[Any] = TypeAdapter(Quality)
LEAST: dict[str, dict[str, Any]] = {
    "regex": {"remove": "x"},
    "length": {"min_chars": 1},
    "language": {"languages": ["en"]},
    "block": {"use": "mine", "distribution": "My-Blocks", "version": "1.0", "sha256": "0" * 64},
}


def steps(*given: Any) -> Any:
    return ADAPTER.validate_python(list(given))


def recipe(folder: Path, *given: Any, **more: Any) -> Any:
    source = {"tokens": 5, **({"quality": list(given)} if given else {})}
    return load_recipe(str(write_recipe(folder, {"a": source}, **more)))


@pytest.mark.parametrize("name", STEP_NAMES)
def test_every_step_is_written_out_whole_and_read_back_the_same(name):
    (step,) = found = steps({name: LEAST.get(name, {})})
    canonical = canonical_quality(found)
    assert step.name == name
    assert set(canonical[0][name]) >= {
        field for field, value in step.arguments if value is not None
    }
    assert (
        canonical_quality(ADAPTER.validate_python(json.loads(json.dumps(canonical)))) == canonical
    )
    assert not any(isinstance(value, float | bool | None) for value in canonical[0][name].values())


@given(
    words=st.integers(0, 10**9),
    share=st.decimals(0, 1, places=4),
    ngrams=st.lists(st.tuples(st.integers(1, 32), st.just("0.5"))),
)
def test_numbers_survive_the_canonical_form(words, share, ngrams):
    asked = [
        {
            "gopher-quality": {
                "min_doc_words": str(words),
                "max_bullet_lines_ratio": format(share, "f"),
            }
        },
        {"gopher-repetition": {"top_n_grams": [[str(count), of] for count, of in ngrams]}},
    ]
    first, second = canonical_quality(steps(*asked))
    assert first["gopher-quality"]["min_doc_words"] == words
    assert first["gopher-quality"]["max_bullet_lines_ratio"] == plain_decimal(share)
    assert second["gopher-repetition"]["top_n_grams"] == [[str(count), of] for count, of in ngrams]


def test_a_bare_name_is_the_step_with_its_defaults_and_numbers_may_be_spelt_otherwise():
    spelt = {"max_symbol_word_ratio": "0.10", "max_doc_words": "100_000"}
    assert canonical_quality(steps("gopher-quality")) == canonical_quality(
        steps({"gopher-quality": spelt})
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "gopher-qualiti",
            r"'gopher-qualiti' is not a quality step; did you mean 'gopher-quality'\?",
        ),
        ({"gopher-qualiti": {}}, r"gopher-qualiti: unknown key; did you mean 'gopher-quality'\?"),
        (
            {"gopher-quality": {"min_doc_word": 3}},
            r"gopher-quality.min_doc_word: unknown key; did you mean 'min_doc_words'\?",
        ),
        (
            {"gopher-quality": {"exclusion_writer": "x"}},
            r"gopher-quality.exclusion_writer: unknown key",
        ),
        (
            {"gopher-quality": {"min_doc_words": "1e3"}},
            r"min_doc_words: '1e3' is not a whole number",
        ),
        ({"gopher-quality": {"language": "../x"}}, r"gopher-quality.language: found '../x'"),
        (
            {"gopher-repetition": {"dup_n_grams": [[33, "0.1"]]}},
            r"dup_n_grams\[0\]: found \[33, 0.1\]; 1 to 32 words",
        ),
        ({"regex": {"remove": "(a"}}, r"regex.remove: '\(a' is not a pattern \(unclosed group\)"),
        (
            {"regex": {"remove": "(?=a)"}},
            (
                r"regex.remove: .* \(look-around, including look-ahead and look-behind, is not"
                r" supported"
            ),
        ),
        ({"regex": {"remove": r"(\w{1000}){1000}"}}, r"regex.remove: .* exceeds size limit"),
        ({"regex": {"remove": "a" * 1001}}, r"regex.remove: found 1,001 characters"),
        (
            {"regex": {"remove": "a", "keep": "b"}},
            r"regex: give either remove: PATTERN or keep: PATTERN",
        ),
        ({"length": {"max_words": 3}}, r"length.max_words: unknown key"),
        ({"length": {}, "pii": {}}, r"quality\[0\]: names 2 steps"),
        ("language", r"languages: missing"),
        (["pii"], r"found a list; a mapping is needed"),
    ],
)
def test_a_fault_is_said_with_file_and_line(tmp_path, given, message):
    with pytest.raises(RecipeError, match=message) as caught:
        recipe(tmp_path, given)
    assert re.match(r".*mix.yaml:\d+: sources\.a\.quality\[0\]", str(caught.value))
    assert caught.value.exit_code == 2


def test_steps_are_part_of_a_recipes_digest_with_their_order_and_every_default(tmp_path):
    bare = recipe(tmp_path / "bare")
    assert all("quality" not in source for source in bare.canonical()["sources"])
    asked: list[list[Any]] = [
        ["pii", "ftfy"],
        ["ftfy", "pii"],
        ["pii"],
        [{"pii": {"remove_ips": "false"}}],
    ]
    loaded = [recipe(tmp_path / str(number), *given) for number, given in enumerate(asked)]
    assert len({bare.digest, *(one.digest for one in loaded)}) == 5
    assert (
        loaded[2].canonical()["sources"][0]["quality"][0]["pii"]["only_remove_public_ips"] == "true"
    )
    assert all(one.digest == json_digest(one.canonical()) for one in loaded)


def test_steps_of_an_excluded_recipe_decide_what_it_takes(tmp_path):
    def digest(*given: Any) -> str:
        recipe(tmp_path, *given, name="first")
        found: str = recipe(tmp_path, exclude=["first.yaml"]).digest
        return found

    assert len({digest(), digest("pii"), digest("ftfy")}) == 3


def test_a_reading_is_named_by_its_steps():
    names = [reading_name("a", steps(*given)) for given in ([], ["pii"], ["ftfy"], ["pii", "ftfy"])]
    assert names[0] == "a"
    assert len(set(names)) == 4
    assert all(name.startswith("a+") for name in names[1:])


def test_the_schema_takes_names_and_mappings_and_no_other_step():
    def asked(step: Any) -> Any:
        return {
            "name": "x",
            "tokenizer": "y",
            "sources": {"a": {"use": "a", "tokens": "5", "quality": [step]}},
        }

    assert all(
        fits(asked(step), SCHEMA)
        for step in [*STEP_NAMES, {"gopher-quality": {"min_doc_words": "3"}}]
    )
    assert not any(
        fits(asked(step), SCHEMA)
        for step in ["gopher", {"gopher": {}}, {"gopher-quality": {"min": "3"}}]
    )


def test_the_schemas_bare_language_step_is_still_refused_when_it_is_read():
    with pytest.raises(ValidationError, match="languages"):
        steps("language")


def test_a_plan_counts_the_time_of_the_steps_and_says_what_the_published_supply_leaves_out(
    tmp_path,
):
    supplies = {"a": SupplyEstimate(1000, 1_000_000, "published")}
    bare, slow, slower = (
        make_plan(recipe(tmp_path / str(number), *given), Size(), supplies)
        for number, given in enumerate(
            ([], ["gopher-quality"], ["gopher-quality", "fineweb-quality", "ftfy"])
        )
    )
    assert "quality" not in bare.resources.ingest_seconds
    seconds = slow.resources.ingest_seconds["quality"]
    assert 0 < seconds < slower.resources.ingest_seconds["quality"]
    assert slow.resources.core_seconds == bare.resources.core_seconds + seconds
    assert slow.resources.as_json()["core_seconds_quality"] == seconds
    said = [
        [
            note
            for note in plan.notes
            if "published supply counts what the quality steps will drop" in note
        ]
        for plan in (bare, slow)
    ]
    assert [len(notes) for notes in said] == [0, 1]
