"""What cannot be built here is told at once, before anything is read; and of what is short, the
largest mix that is not.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.recipe.heading import Budget
from mixtures.recipe.load import load_recipe
from mixtures.recipe.model import Recipe
from mixtures.stream.quotas import Size, Supply, fitted_quotas, largest_fit
from pipeline.build.sources import lacking
from tests.pipeline.command_line import fails, passes, run
from tests.pipeline.corpus import prose, sharded, write_files, write_recipe


def unpublished(folder: Path, *sources: str) -> None:
    """Take the repositories from definitions."""
    for name in sources:
        file = folder / f"{name}.yaml"
        fields = json.loads(file.read_text())
        file.write_text(
            json.dumps({key: fields[key] for key in fields.keys() - {"repo", "revision", "paths"}})
        )


def words(command: str, folder: Path, recipe: Path) -> list[str | Path]:
    more: list[str | Path] = (
        ["--out", folder / "out", "--store", folder / "store"] if command == "build" else []
    )
    return [command, recipe, *more]


@pytest.mark.parametrize("command", ["plan", "build"])
def test_every_source_without_data_is_named_at_once(tmp_path, command):
    recipe = write_recipe(tmp_path, {"a": {"tokens": 10}, "b": {"tokens": 10}})
    unpublished(tmp_path, "a", "b")
    lines = fails(2, *words(command, tmp_path, recipe)).splitlines()
    assert [re.findall(r":\d+: sources\.(\w): ", line) for line in lines] == [["a"], ["b"]]
    assert "'a' is published nowhere" in lines[0]
    assert "--data a=DIR" in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["plan", "build"])
@pytest.mark.parametrize(
    ("data", "text", "said"),
    [
        ("gone", "text, weight: 1", "no such folder"),
        ("split", "text, weight: 1", "in the recipe's source notes where its `data`"),
        ("table", "text, weight: 1", "the delimiter looks like ';'"),
        (
            "https://host/x",
            "text, weight: 1",
            "data: the scheme 'https' is not allowed here; allowed are",
        ),
    ],
)
def test_what_is_wrong_with_data_is_said_of_its_source(tmp_path, command, data, text, said):
    for name in ("split/train/a.jsonl", "split/test/a.jsonl", "table/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("id;text\n1;Words.\n" if "csv" in name else '{"text": "W"}')
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\nbudget: {tokens: 9}\ntokenizer: sample\nsources:\n"
        f'  notes: {{data: "{data}", text: {text}}}\n'
    )
    told = run(*words(command, tmp_path, recipe)).err
    assert re.search(rf"{re.escape(str(recipe))}:5: sources\.notes: .*{re.escape(said)}", told)


@pytest.mark.parametrize("command", ["plan", "build"])
def test_a_missing_extra_is_named_beside_other_faults(tmp_path, command, monkeypatch):
    monkeypatch.setattr(lacking, "find_spec", lambda name: None)
    write_files(tmp_path / "data", "a", {"one": prose(1, 20)})
    steps = ["gopher-quality", "ftfy", {"length": {"min_chars": 1}}]
    recipe = write_recipe(tmp_path, {"a": {"tokens": 10, "quality": steps}, "b": {"tokens": 10}})
    unpublished(tmp_path, "b")
    told = fails(2, *words(command, tmp_path, recipe), "--data", f"a={tmp_path / 'data' / 'a'}")
    assert "sources.b: 'b' is published nowhere" in told
    assert "sources.a: the quality step gopher-quality lacks regex and spacy" in told
    assert "the quality step ftfy lacks regex and ftfy: pip install 'annealmix[quality]'" in told
    assert "length" not in told


@pytest.mark.parametrize(
    ("taken", "empty"),
    [([[0, 1]], True), ([[0, "0.6"], ["0.6", 1]], True), ([[0, "0.6"], ["0.7", 1]], False)],
)
def test_an_exclude_that_takes_all_keys_of_a_source_is_named(tmp_path, taken, empty):
    for number, keys in enumerate(taken):
        write_recipe(tmp_path, {"a": {"all": "true", "keys": keys}}, name=f"other{number}")
    recipe = write_recipe(
        tmp_path,
        {"a": {"tokens": 10, "keys": ["0.1", 1]}, "b": {"tokens": 10}},
        exclude=[f"other{number}.yaml" for number in range(len(taken))],
    )
    if empty:
        others = ", ".join(f"other{number}" for number in range(len(taken)))
        told = fails(2, "plan", recipe)
        assert re.search(r"mix\.yaml:\d+: sources\.a: exclude takes all of its keys", told)
        assert f"({others})" in told
    else:
        load_recipe(str(recipe))


@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    supplies=st.lists(st.integers(0, 400), min_size=4, max_size=4),
    budget=st.integers(1, 2_000),
)
def test_the_largest_mix_fits_and_a_token_more_does_not(weights, supplies, budget, made):
    recipe = made(tuple(weights), budget)
    found = {f"s{at}": Supply(supplies[at], complete=True) for at in range(len(weights))}
    short = fitted_quotas(recipe, Size(), found)[1]
    largest = largest_fit(recipe, Size(), found)
    if not short:
        return
    if largest is None:
        assert min(supplies[: len(weights)]) < len(weights) * 10
        return
    assert not fitted_quotas(recipe, Size(tokens=largest.tokens), found)[1]
    assert fitted_quotas(recipe, Size(tokens=largest.tokens + 1), found)[1]
    assert largest.option == f"--tokens {largest.tokens}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Recipes of weights and a budget."""
    folder, recipes = tmp_path_factory.mktemp("weights"), dict[tuple[int, ...], Recipe]()

    def make(weights: tuple[int, ...], budget: int):
        if weights not in recipes:
            sources = {f"s{at}": {"weight": weight} for at, weight in enumerate(weights)}
            path = write_recipe(folder / str(len(recipes)), sources, budget={"tokens": 2_000})
            recipes[weights] = load_recipe(str(path)).recipe
        return recipes[weights].model_copy(update={"budget": Budget(tokens=budget)})

    return make


def test_a_mix_without_a_budget_is_asked_for_by_its_share(tmp_path):
    path = write_recipe(tmp_path, {"a": {"tokens": 300}, "b": {"tokens": 100}})
    recipe = load_recipe(str(path)).recipe
    largest = largest_fit(
        recipe, Size(), {"a": Supply(150, complete=True), "b": Supply(90, complete=True)}
    )
    assert largest is not None
    assert largest.option == f"--scale {largest.tokens}/400"
    quotas, short = fitted_quotas(
        recipe,
        Size(Fraction(largest.tokens, 400)),
        {"a": Supply(150, complete=True), "b": Supply(90, complete=True)},
    )
    assert (quotas.resolved["a"], short) == (150, {})


def test_a_build_that_is_short_names_the_largest_mix_and_that_is_built(tmp_path):
    for number, name in enumerate("ab"):
        write_files(tmp_path / "data", name, sharded(prose(number, 60), 2))
    recipe = write_recipe(
        tmp_path, {"a": {"weight": 1}, "b": {"weight": 2}}, budget={"tokens": 10**6}
    )
    build = [*words("build", tmp_path, recipe), "--data", tmp_path / "data"]
    told = fails(5, *build)
    size = re.search(r"shares has ([\d,]+) tokens; build it with --tokens (\d+)", told)
    assert size is not None
    largest = int(size[2])
    assert size[1] == f"{largest:,}"
    assert "build it with" in fails(5, *build, "--tokens", str(largest + 1))
    passes(*build, "--tokens", str(largest))
    plan = passes("plan", recipe, "--data", tmp_path / "data", "--tokens", str(largest), "--json")
    assert plan.answer["shortages"] == []
