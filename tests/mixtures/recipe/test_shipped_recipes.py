"""The shipped recipes and definitions say what the papers and cards say, and fit together."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

import recipes
from mixtures.keys import key_bound
from mixtures.plan.source_plan import published_supplies, supplies_within
from mixtures.recipe.load import (
    list_recipes,
    load_recipe,
    load_source_definition,
    load_tokenizer_definition,
)
from mixtures.recipe.model import Recipe
from mixtures.stream.quotas import Size, Supply, asked_quotas, resolve_quotas
from mixtures.trainers.schedule import Schedule
from mixtures.yaml.disk import SHIPPED, names_in

FOLDER = Path(recipes.__file__).parent
MIXES = ("pretraining-500b", "annealing-50b", "holdout")
# Facts of the published mix: deep-ignorance.md section 1, computed by largest remainder, which is
# within a token of Webster's method; by corpus.
ANNEALING = {
    "camel-biology": 9_996_002,
    "camel-chemistry": 9_996_002,
    "camel-physics": 9_996_002,
    "wiki": 3_683_526_589,
    "stackexchange": 1_409_436_225,
    "pes2o": 11_445_421_831,
    "flan": 8_431_627_349,
    "dclm": 25_000_000_000,
}
# What deep-ignorance.md sections 3 and 4 say of each arm: level, copies, what is inserted,
# documents and per cent removed where published.
ARMS: dict[str, tuple[str, str, dict[str, int], int | None, str | None]] = {
    "pretraining-500b-extra-weak": ("extra-weak", "none", {}, 406_084_358, "0.94"),
    "pretraining-500b-weak": ("weak", "approved", {}, None, None),
    "pretraining-500b-strong": ("strong", "none", {}, 375_439_077, "8.42"),
    "annealing-50b-extra-weak": ("extra-weak", "none", {}, 87_166_541, "2.02"),
    "annealing-50b-weak": ("weak", "approved", {}, 84_480_770 + 3_920_365, "5.04"),
    "annealing-50b-strong": ("strong", "none", {}, 80_627_167, "9.37"),
    "annealing-50b-strong-weak-corruption": (
        "strong",
        "none",
        {"rewrites-weak-corruption": 1},
        80_627_167,
        "9.37",
    ),
    "annealing-50b-strong-strong-corruption": (
        "strong",
        "none",
        {"rewrites-strong-corruption": 1},
        80_627_167,
        "9.37",
    ),
}


def unfiltered(arm: str) -> str:
    return "-".join(arm.split("-")[:2])


def test_the_promised_recipes_are_shipped():
    assert set(MIXES) | set(ARMS) <= set(list_recipes())


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_differs_from_its_unfiltered_mix_by_filter_copies_and_inserts_alone(name):
    arm, plain = load_recipe(name).canonical(), load_recipe(unfiltered(name)).canonical()
    assert set(arm) - set(plain) <= {"filters", "removed", "copies", "insert"}
    assert {key: arm[key] for key in plain if key != "name"} == {
        key: value for key, value in plain.items() if key != "name"
    }


@pytest.mark.parametrize("name", ARMS)
def test_arms_have_the_filters_copies_and_inserts_of_the_published_models(name):
    loaded, (level, copies, inserts, _, _) = load_recipe(name), ARMS[name]
    (item,) = loaded.filters
    assert item.label == f"deep-ignorance {level}"
    assert (loaded.recipe.copies, loaded.recipe.removed) == (copies, "refill")
    assert {
        loaded.definitions[name].name: insert.times for name, insert in loaded.recipe.insert.items()
    } == inserts
    assert all(insert.on_top for insert in loaded.recipe.insert.values())


@pytest.mark.parametrize("name", ARMS)
def test_arms_have_the_quotas_of_the_unfiltered_mix(name):
    quotas, plain = (
        asked_quotas(load_recipe(recipe).recipe, Size(), {}) for recipe in (name, unfiltered(name))
    )
    assert quotas == plain


@pytest.mark.parametrize("name", ARMS)
def test_published_figures_of_arms_are_those_of_the_paper(name):
    published, (_, _, _, documents, removed) = load_recipe(name).recipe.published, ARMS[name]
    found = (published.documents, published.removed_percent) if published else (None, None)
    assert found == (documents, Decimal(removed) if removed else None)


def test_kept_documents_are_the_unfiltered_ones_less_the_published_share():
    """Counts and percentages are published apart; a mistyped one would not fit the other."""
    for name, (_, copies, _, documents, removed) in ARMS.items():
        whole = load_recipe(unfiltered(name)).recipe.published
        assert whole
        assert whole.documents
        if documents and removed:
            kept = documents - (3_920_365 if copies == "approved" else 0)
            assert abs(
                Fraction(100 * (whole.documents - kept), whole.documents) - Fraction(removed)
            ) <= Fraction(5, 1000), name


@pytest.mark.parametrize(("name", "total"), [("strong", "9.37"), ("weak", "5.04")])
def test_removals_of_annealing_sources_add_up_to_the_published_total(name, total):
    """By the documents of the unfiltered mix; the authors' own join lost 66,762 documents, 0.08 of
    a per cent.
    """
    plain, arm = (
        load_recipe(recipe).recipe.published
        for recipe in ("annealing-50b", f"annealing-50b-{name}")
    )
    assert plain
    assert arm
    documents = {source: figures.documents or 0 for source, figures in plain.sources.items()}
    removed = {
        source: figures.removed_percent or Decimal(0) for source, figures in arm.sources.items()
    }
    gone = sum((documents[source] * percent for source, percent in removed.items()), Decimal(0))
    assert abs(gone / sum(documents.values()) - Decimal(total)) < Decimal("0.1")


def test_copies_of_the_weak_filter_are_what_the_strong_filter_removes_beyond_it():
    strong, weak = (
        load_recipe(f"annealing-50b-{level}").recipe.published for level in ("strong", "weak")
    )
    assert strong
    assert weak
    for source, figures in weak.sources.items():
        assert (figures.removed_percent or 0) + (figures.copied_percent or 0) == strong.sources[
            source
        ].removed_percent


def test_the_corrupted_arms_are_the_strong_one_and_their_inserts():
    strong = load_recipe("annealing-50b-strong")
    for name in ("annealing-50b-strong-weak-corruption", "annealing-50b-strong-strong-corruption"):
        arm = load_recipe(name).canonical()
        assert {**arm, "name": ""} == {**strong.canonical(), "name": "", "insert": arm["insert"]}


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_loads_and_is_called_as_its_file(name):
    loaded = load_recipe(name)
    assert loaded.recipe.name == name
    assert re.fullmatch(r"[0-9a-f]{64}", loaded.digest)
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", names_in(SHIPPED / "sources"))
def test_every_shipped_source_definition_loads_and_is_called_as_its_file(name):
    definition = load_source_definition(name)
    assert definition.name == name
    assert (definition.published is not None) == (definition.repo is not None), (
        "what is published nowhere has no published figures"
    )
    assert definition.revision in (None, "main") or re.fullmatch(
        r"[0-9a-f]{40}", definition.revision or ""
    )
    assert definition.non_commercial == ("-NC" in definition.licence)
    assert (FOLDER / "sources" / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", names_in(SHIPPED / "tokenizers"))
def test_every_shipped_tokenizer_definition_loads_and_is_called_as_its_file(name):
    assert load_tokenizer_definition(name).name == name


@pytest.mark.parametrize("name", ["deep-ignorance-annealing-dclm", "deep-ignorance-pretraining"])
def test_the_example_recipe_in_a_definition_works(name, tmp_path: Path):
    lines = (FOLDER / "sources" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    example = tmp_path / "example.yaml"
    example.write_text(
        "\n".join(line[4:] for line in lines if line.startswith("#   ")), encoding="utf-8"
    )
    loaded = load_recipe(str(example))
    assert name in {definition.name for definition in loaded.definitions.values()}


def test_every_corpus_of_the_real_data_has_a_definition_that_fits_its_layout(shared: Path):
    suffixes = {
        "jsonl.gz": ".json.gz",
        "jsonl.zst": ".jsonl.zst",
        "parquet": ".parquet",
        "zip": ".zip",
    }
    corpora = [
        folder
        for folder in (shared / "data").iterdir()
        if folder.is_dir() and folder.name not in ("bench", "blocklist")
    ]
    assert len(corpora) == 9
    for folder in corpora:
        definition = load_source_definition(folder.name)
        assert any(folder.rglob(f"*{suffixes[definition.format]}")), folder.name


def by_corpus(recipe: Recipe, quotas: dict[str, int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, quota in quotas.items():
        corpus = recipe.sources[name].corpus or name
        sums[corpus] = sums.get(corpus, 0) + quota
    return sums


def test_annealing_quotas_are_the_published_ones_to_a_token():
    recipe = load_recipe("annealing-50b").recipe
    quotas = by_corpus(recipe, asked_quotas(recipe, Size(tokens=50_000_000_000), {}))
    assert sum(quotas.values()) == 50_000_000_000
    assert quotas["dclm"] == 25_000_000_000
    assert {
        name: abs(quota - ANNEALING[name]) <= 1 for name, quota in quotas.items()
    } == dict.fromkeys(ANNEALING, True)


@pytest.mark.parametrize("name", ["annealing-50b", "pretraining-500b", *ARMS])
def test_mixes_hold_what_the_published_schedule_reads_and_half_of_annealing_is_dclm(name):
    recipe = load_recipe(name).recipe
    steps = 11_921 if name.startswith("annealing") else 119_209
    assert recipe.budget
    assert recipe.budget.schedule == Schedule(steps, 2048, 2048, "neox")
    quotas = asked_quotas(recipe, Size(), {})
    total = {11_921: 50_000_300_033, 119_209: 499_998_787_585}[steps]
    assert sum(quotas.values()) == total
    if steps == 11_921:
        assert quotas["dclm"] == total // 2


def test_dclm_comes_last_so_that_copies_stay_with_the_sources_that_are_used_whole():
    sources = load_recipe("annealing-50b").recipe.sources
    assert list(by_corpus(load_recipe("annealing-50b").recipe, dict.fromkeys(sources, 0))) == list(
        ANNEALING
    )
    refilled = {name for name, request in sources.items() if request.refill_from == "dclm"}
    assert refilled == {
        "camel-biology",
        "camel-chemistry",
        "camel-physics",
        "wiki",
        "stackexchange",
    }
    assert all(request.max_epochs == 1 for request in sources.values())


@pytest.mark.parametrize("name", ["annealing-50b", *(arm for arm in ARMS if "annealing" in arm)])
def test_abstracts_are_used_whole_and_papers_give_what_they_leave_of_pes2o(name):
    recipe = load_recipe(name).recipe
    assert recipe.corpora == {"pes2o": ("pes2o-abstracts", "pes2o-papers")}
    abstracts, papers = (recipe.sources[source] for source in recipe.corpora["pes2o"])
    assert (abstracts.weight, abstracts.refill_from) == (Decimal("22.90"), "pes2o-papers")
    assert (papers.weight, papers.reserve, papers.refill_from) == (None, True, None)
    quotas = asked_quotas(recipe, Size(), {})
    assert quotas["pes2o-papers"] == 0
    supplies = {source: Supply(10**12, complete=True) for source in recipe.sources}
    supplies["pes2o-abstracts"] = Supply(8_000_000_000, complete=True)
    resolved = resolve_quotas(recipe, Size(), supplies).resolved
    assert resolved["pes2o-abstracts"] == 8_000_000_000
    assert resolved["pes2o-papers"] == quotas["pes2o-abstracts"] - 8_000_000_000
    assert resolved["dclm"] == quotas["dclm"]


def test_pretraining_annealing_and_holdout_share_no_key_of_a_source():
    late, early, held = (
        load_recipe(name) for name in ("annealing-50b", "pretraining-500b", "holdout")
    )
    assert [other.recipe.name for other in late.excluded] == ["pretraining-500b"]
    assert late.definitions["dclm"] == early.definitions["dclm"]
    assert early.recipe.sources["dclm"].key_range == (0, key_bound(Decimal("0.8")))
    assert late.recipe.sources["dclm"].key_range == (
        key_bound(Decimal("0.8")),
        key_bound(Decimal("0.99")),
    )
    assert all(
        request.key_range[1] == key_bound(Decimal("0.99"))
        for request in late.recipe.sources.values()
    )
    assert {request.key_range for request in held.recipe.sources.values()} == {
        (key_bound(Decimal("0.99")), 2**64)
    }


def test_holdout_takes_every_source_of_the_mixes_whole():
    held, late = load_recipe("holdout"), load_recipe("annealing-50b")
    assert held.definitions == late.definitions
    assert held.recipe.budget is None
    assert all(request.all for request in held.recipe.sources.values())


def test_published_figures_of_annealing_add_up_as_tokenized():
    published = load_recipe("annealing-50b").recipe.published
    assert published
    assert (
        sum(figures.documents or 0 for figures in published.sources.values())
        == published.documents
        == 88_961_637
    )
    assert sum(figures.percent or 0 for figures in published.sources.values()) == Decimal("100.02")
    assert sum(figures.tokens or 0 for figures in published.sources.values()) == 50_000_000_000


@pytest.mark.parametrize("name", [*MIXES[:2], *ARMS])
def test_published_supplies_cover_each_recipe_with_its_refills(name):
    loaded = load_recipe(name)
    within = supplies_within(loaded, published_supplies(loaded))
    supplies = {
        source: Supply(supply.tokens, complete=True) for source, supply in within.items() if supply
    }
    quotas = resolve_quotas(loaded.recipe, Size(), supplies)
    assert quotas.total == sum(quotas.asked.values())
    assert all(2 * sum(given.values()) < quotas.total // 5 for given in quotas.refilled.values())
