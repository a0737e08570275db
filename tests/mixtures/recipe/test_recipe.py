"""Recipes: every fault at once with file and line, no way out of the recipe's folder, and a digest
of what is asked and nothing else.
"""

from __future__ import annotations

import textwrap
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mixtures.errors import RecipeError
from mixtures.recipe.heading import Budget
from mixtures.recipe.load import load_recipe, load_source_definition, load_tokenizer_definition
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.model import Recipe
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.recipe.source_request import SourceRequest
from mixtures.recipe.tokenizer.request import TokenizerRequest
from mixtures.trainers.names import Trainer
from mixtures.yaml.tree import parse_yaml, validate

HEAD = "name: mine\ntokenizer: gpt-neox-20b\n"


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(file)


def load(folder: Path, text: str) -> LoadedRecipe:
    return load_recipe(write(folder, text))


def faults(folder: Path, text: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(RecipeError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def model_faults(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        validate(Recipe, parse_yaml(HEAD + textwrap.dedent(text), "x"))
    return str(caught.value).split("\n")


def recipe(text: str) -> Recipe:
    return validate(Recipe, parse_yaml(HEAD + textwrap.dedent(text), "x"))


def test_all_faults_of_a_recipe_are_reported_at_once_with_file_and_line(tmp_path: Path):
    said = faults(
        tmp_path,
        """\
        name: mine
        budget: {tokens: 10, stepz: 3}
        budget: {tokens: 5}
        tokenizer: gpt-neox-20c
        special_tokens: maybe
        max_quarantined: 2
        exclude: [annealing-50, ../x.yaml, absent.yaml]
        data: /etc
        sources:
          flan: {use: dolmino-flam, weight: 017, shortfall: {refill: dclmm}}
          wiki: {use: dolmino-wiki, weight: no, shortfall: {repeat: 1}, keys: [0.5, 0.2]}
          a: {use: dclm-dedup, all: true, shortfall: {refill: flan}}
          b: {use: dclm-dedup, weight: 1, keys: [0.2, 0.4], shortfall: {refill: c}}
          c: {use: dclm-baseline, tokens: 12:30:45, shortfall: {refill: b}}
          d: {}
        """,
    )
    expected = [
        ("2: budget.stepz:", "unknown key; did you mean 'steps'?"),
        ("3: budget:", "duplicate key, first on line 2"),
        ("4: tokenizer:", "did you mean 'gpt-neox-20b'?"),
        ("5: special_tokens:", "allowed: 'text' or 'parse'"),
        ("6: max_quarantined:", "less than or equal to 1"),
        ("7: exclude[0]:", "did you mean 'annealing-50b'?"),
        ("7: exclude[1]:", "leaves the recipe's folder"),
        ("7: exclude[2]:", "is no file"),
        ("8: data:", "leaves the recipe's folder"),
        ("10: sources.flan.shortfall.refill:", "'dclmm' is not a source of this recipe"),
        ("10: sources.flan.use:", "did you mean 'dolmino-flan'?"),
        ("10: sources.flan.weight:", "'017' is not a plain decimal number"),
        ("11: sources.wiki.keys:", "0 <= lower < upper <= 1 must hold"),
        ("11: sources.wiki.shortfall.repeat:", "greater than or equal to 2"),
        ("11: sources.wiki.weight:", "'no' is not a plain decimal number"),
        ("12: sources.a.shortfall:", "never short"),
        ("13: sources.b:", "shares keys with a"),
        ("13: sources.b.shortfall.refill:", "refills go in a circle: b -> c -> b"),
        ("14: sources.c.tokens:", "'12:30:45' is not a whole number"),
        ("15: sources.d:", "asks for nothing"),
        ("15: sources.d:", "names no source"),
    ]
    assert [
        line.startswith(f"mine.yaml:{where}") and what in line
        for line, (where, what) in zip(said, expected, strict=True)
    ] == [True for _ in expected], "\n".join(said)


BUDGETS = {
    "a budget is a mapping": (
        "budget: 600k\nsources: {a: {use: a, weight: 1}}",
        "budget: found '600k'; write budget: {tokens: 600_000}",
    ),
    "sources have names": (
        "sources: [{use: a, all: true}]",
        "sources: found a list; each source has a name, such as notes: {data: FOLDER,",
    ),
    "weights need a budget": (
        "sources: {a: {use: a, weight: 1}}",
        "sources.a.weight: needs a budget",
    ),
    "fixed quotas above the budget": (
        "budget: {tokens: 9}\nsources: {a: {use: a, tokens: 10}, b: {use: b, weight: 1}}",
        "fixed quotas ask 10",
    ),
    "fixed quotas that leave nothing for weights": (
        "budget: {tokens: 10}\nsources: {a: {use: a, tokens: 10}, b: {use: b, weight: 1}}",
        "nothing is left for b",
    ),
    "fixed quotas below a budget that nobody fills": (
        "budget: {tokens: 11}\nsources: {a: {use: a, tokens: 10}}",
        "make them equal",
    ),
    "a budget for sources that are used whole": (
        "budget: {tokens: 11}\nsources: {a: {use: a, all: true}}",
        "remove the budget",
    ),
    "a budget for fixed quotas beside sources that are used whole": (
        "budget: {tokens: 11}\nsources: {a: {use: a, all: true}, b: {use: b, tokens: 11}}",
        "remove the budget",
    ),
    "tokens and steps": (
        "budget: {tokens: 11, steps: 1}\nsources: {a: {use: a, tokens: 11}}",
        "budget: give either tokens, or steps",
    ),
    "neither tokens nor steps": (
        "budget: {batch: 8}\nsources: {a: {use: a, weight: 1}}",
        "budget: give either tokens, or steps",
    ),
    "figures of what is no source": (
        "sources: {a: {use: a, tokens: 11, corpus: all-a}}\npublished: {sources: {alla: {}}}",
        "published.sources.alla: is no source or corpus of this recipe; did you mean 'all-a'?",
    ),
    "trainer beside tokens": (
        "budget: {tokens: 11, trainer: neox}\nsources: {a: {use: a, tokens: 11}}",
        "budget.trainer: belongs to a budget in steps",
    ),
    "a trainer that is none": (
        "budget: {steps: 1, trainer: gpt}\nsources: {a: {use: a, weight: 1}}",
        "budget.trainer: found 'gpt'",
    ),
    "batch beside tokens": (
        "budget: {tokens: 11, batch: 2}\nsources: {a: {use: a, tokens: 11}}",
        "budget.batch: belongs to a budget in steps",
    ),
    "more than can be ordered": (
        "budget: {tokens: 4_503_599_627_370_497}\nsources: {a: {use: a, weight: 1}}",
        "at most 4,503,599,627,370,496",
    ),
    "no source": ("sources: {}", "sources: found a mapping of 0; at least 1 needed"),
}


@pytest.mark.parametrize("case", BUDGETS)
def test_budget_and_quotas_that_do_not_fit_are_refused(case):
    text, what = BUDGETS[case]
    assert any(what in line for line in model_faults(text)), model_faults(text)


ALLOWED = {
    "weights share the budget": (
        "budget: {tokens: 9}\nsources: {a: {use: a, weight: 1}, b: {use: b, weight: 0.02}}"
    ),
    "weights share what fixed quotas leave": (
        "budget: {tokens: 11}\nsources: {a: {use: a, tokens: 10}, b: {use: b, weight: 1}}"
    ),
    "fixed quotas are the budget": (
        "budget: {tokens: 10}\nsources: {a: {use: a, tokens: 7}, b: {use: b, tokens: 3}}"
    ),
    "fixed quotas need no budget": "sources: {a: {use: a, tokens: 7}}",
    "sources used whole need no budget": "sources: {a: {use: a, all: true}}",
    "sources used whole beside fixed quotas need no budget": (
        "sources: {a: {use: a, all: true}, b: {use: b, tokens: 3}}"
    ),
    "weights share what sources used whole leave": (
        "budget: {tokens: 11}\nsources: {a: {use: a, all: true}, b: {use: b, weight: 3}}"
    ),
    "one definition in two disjoint ranges": (
        "sources: {a: {use: a, tokens: 1, keys: [0, 0.5]}, b: {use: a, tokens: 1, keys: [0.5, 1]}}"
    ),
    "a chain of refills": (
        "sources: {a: {use: a, tokens: 1, shortfall: {refill: b}}, b: {use: b, tokens: 1,"
        " shortfall: {refill: c}}, c: {use: c, tokens: 1, shortfall: {repeat: 2}}}"
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_fits_is_allowed(case):
    assert recipe(ALLOWED[case]).sources


SOURCES = {
    "two amounts": ("use: a, tokens: 1, weight: 2", "gives tokens and weight; keep one"),
    "all: false": ("use: a, all: false", "all: is false"),
    "no weight": ("use: a, weight: 0", "greater than 0"),
    "no tokens": ("use: a, tokens: 0", "greater than or equal to 1"),
    "a rule where all is taken": ("use: a, all: true, shortfall: {repeat: 2}", "never short"),
    "an unknown rule": (
        "use: a, tokens: 1, shortfall: ignore",
        "allowed: error, {repeat: N} or {refill: SOURCE}",
    ),
    "an empty rule": ("use: a, tokens: 1, shortfall: {}", "allowed: error"),
    "two rules": ("use: a, tokens: 1, shortfall: {repeat: 2, refill: b}", "keep one of them"),
    "reserve: false": ("use: a, reserve: false", "reserve: is false"),
    "a reserve with a quota": ("use: a, reserve: true, weight: 1", "gives weight and reserve"),
    "a reserve that none refills from": (
        "use: a, reserve: true",
        "none does; write shortfall: {refill: a}",
    ),
    "a corpus called like a source": (
        "use: a, tokens: 1, corpus: wiki",
        "'wiki' is the name of a source or insert",
    ),
    "refilling oneself": ("use: a, tokens: 1, shortfall: {refill: a}", "cannot refill itself"),
    "refilling from nowhere": (
        "use: a, tokens: 1, shortfall: {refill: wikki}",
        "not a source of this recipe; did you mean 'wiki'?",
    ),
    "refilling from a source that is used whole": (
        "use: a, tokens: 1, shortfall: {refill: wiki}",
        "nothing left to give",
    ),
    "keys upside down": ("use: a, tokens: 1, keys: [0.9, 0.8]", "0 <= lower < upper <= 1"),
    "keys beyond the space": ("use: a, tokens: 1, keys: [0, 1.1]", "0 <= lower < upper <= 1"),
    "one key": ("use: a, tokens: 1, keys: [0.9]", "write two"),
    "keys with no key between them": (
        "use: a, tokens: 1, keys: [0.2, 0.20000000000000000001]",
        "too long",
    ),
    "an absolute definition": ("use: /etc/x.yaml, tokens: 1", "leaves the recipe's folder"),
    "a definition above": ("use: a/../../x.yaml, tokens: 1", "leaves the recipe's folder"),
    "a definition in a home": ("use: ~/x.yaml, tokens: 1", "leaves the recipe's folder"),
    "a definition behind a URL": (
        "use: 'http://host/x.yaml', tokens: 1",
        "leaves the recipe's folder",
    ),
    "a definition with a line break": ('use: "x\\n.yaml", tokens: 1', "not one line"),
    "a definition that is no name": ("use: sources/x, tokens: 1", "neither a name nor a file"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_request_that_makes_no_sense_is_refused(case):
    fields, what = SOURCES[case]
    said = model_faults(f"sources:\n  a: {{{fields}}}\n  wiki: {{use: wiki, all: true}}\n")
    assert any(what in line for line in said), said
    assert all(line.startswith("x:4: sources.a") for line in said), said


def test_an_amount_that_is_left_empty_is_reported_once():
    assert model_faults("sources:\n  a: {use: a, weight: }\n") == [
        "x:4: sources.a.weight: nothing is written here; give a value or remove the key"
    ]


def test_a_circle_of_refills_is_reported_once_and_what_leads_into_it_is_not():
    said = model_faults("""\
        sources:
          lead: {use: l, tokens: 1, shortfall: {refill: a}}
          a: {use: a, tokens: 1, shortfall: {refill: b}}
          b: {use: b, tokens: 1, shortfall: {refill: c}}
          c: {use: c, tokens: 1, shortfall: {refill: a}}
        """)
    assert said == [
        "x:5: sources.a.shortfall.refill: refills go in a circle: a -> b -> c -> a; break it"
    ]


@given(st.integers(1, 10**6), st.integers(1, 4096), st.integers(1, 4096))
def test_a_budget_in_steps_is_what_its_trainer_needs(steps, batch, sequence):
    samples = steps * batch
    needs: dict[Trainer, int] = {
        "neox": (samples + 1) * sequence + 1,
        "megatron": samples * sequence + 1,
        "olmo-core": samples * sequence,
        "nanotron": samples * (sequence + 1),
    }
    for trainer, tokens in needs.items():
        budget = Budget(steps=steps, batch=batch, sequence=sequence, trainer=trainer)
        assert budget.total_tokens == tokens


def test_the_published_schedules_need_the_tokens_that_the_trainer_reads():
    assert Budget(steps=11_921).total_tokens == 50_000_300_033
    assert Budget(steps=119_209).total_tokens == 499_998_787_585
    assert Budget(steps=11_921, trainer="megatron").total_tokens == 50_000_297_985


thousandths = st.integers(0, 1000).map(lambda n: Decimal(n) / 1000)


@given(st.tuples(thousandths, thousandths).filter(lambda pair: pair[0] < pair[1]))
def test_key_ranges_are_exact_and_half_open(pair):
    low, high = SourceRequest(use="a", tokens=1, keys=pair).key_range
    assert low == -((-Fraction(pair[0]) * 2**64) // 1)
    assert high == -((-Fraction(pair[1]) * 2**64) // 1)


@given(st.lists(thousandths, min_size=2, max_size=8, unique=True))
def test_ranges_of_one_definition_may_touch_but_not_overlap(bounds):
    bounds = sorted(bounds)
    lines = [
        f"  s{n}: {{use: a, tokens: 1, keys: [{low:f}, {high:f}]}}"
        for n, (low, high) in enumerate(pairwise(bounds))
    ]
    assert len(recipe("sources:\n" + "\n".join(lines)).sources) == len(lines)
    low, high = bounds[0], bounds[-1]
    overlapping = [*lines, f"  last: {{use: a, tokens: 1, keys: [{low:f}, {high:f}]}}"]
    assert len(model_faults("sources:\n" + "\n".join(overlapping))) == len(lines)


def test_rules_hold_for_recipes_made_in_python_too():
    with pytest.raises(ValidationError, match="needs a budget"):
        Recipe(
            name="x",
            tokenizer=TokenizerRequest(use="gpt-neox-20b"),
            sources={"a": SourceRequest(use="a", weight=Decimal(1))},
        )
    made = Recipe(
        name="x",
        tokenizer=TokenizerRequest(use="t"),
        budget=Budget(tokens=5),
        sources={"a": SourceRequest(use="a", weight=Decimal(1))},
    )
    assert Recipe.model_validate(made.model_dump(exclude_unset=True)) == made


def test_a_schema_can_be_printed():
    schema = Recipe.model_json_schema()
    assert set(schema["required"]) == {"name", "tokenizer", "sources"}
    assert schema["additionalProperties"] is False


def test_sources_keep_the_order_of_the_file():
    names = ["z", "a", "m", "b"]
    text = "sources:\n" + "".join(f"  {name}: {{use: {name}, tokens: 1}}\n" for name in names)
    assert list(recipe(text).sources) == names


# Files


def definition(name: str, extra: str = "") -> str:
    return (
        f"name: {name}\nrepo: me/{name}\nrevision: main\npaths: ['*.jsonl']\nformat:"
        f" jsonl\nadapter: text\nlicence: CC0\n{extra}"
    )


SIMPLE = HEAD + "sources: {a: {use: defs/a.yaml, tokens: 5}}\n"


def test_definitions_beside_the_recipe_are_found_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, definition("a"), "defs/a.yaml")
    monkeypatch.chdir("/")
    loaded = load(tmp_path, SIMPLE + "data: the/data\n")
    assert loaded.definitions["a"].repo == "me/a"
    assert loaded.data == tmp_path / "the/data"
    assert loaded.tokenizer.name == "gpt-neox-20b"


@pytest.mark.parametrize("what", ["use", "exclude", "data"])
def test_a_symbolic_link_that_leaves_the_recipes_folder_is_refused(tmp_path: Path, what):
    inside, outside = tmp_path / "in", tmp_path / "out"
    write(outside, definition("a"), "a.yaml")
    write(inside, definition("a"), "defs/a.yaml")
    (inside / "link").symlink_to(outside)
    text = {
        "use": SIMPLE.replace("defs/", "link/"),
        "exclude": SIMPLE + "exclude: [link/a.yaml]\n",
        "data": SIMPLE + "data: link\n",
    }[what]
    (line,) = faults(inside, text)
    assert "through a symbolic link" in line


def test_a_symbolic_link_that_leads_to_itself_is_refused(tmp_path: Path):
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs/a.yaml").symlink_to("a.yaml")
    (line,) = faults(tmp_path, SIMPLE)
    assert line.startswith("mine.yaml:3: sources.a.use: ")


def test_faults_of_the_files_it_refers_to_are_reported_with_their_own_lines(tmp_path: Path):
    write(tmp_path, definition("a", "adapte: text\nwhere: {source: []}\n"), "defs/a.yaml")
    write(tmp_path, HEAD + "sources: {a: {use: dclm-dedup}}\n", "other.yaml")
    assert faults(tmp_path, SIMPLE + "exclude: [other.yaml]\nunknown: 1\n") == [
        (
            "mine.yaml:5: unknown: unknown key; allowed: name, description, budget, tokenizer,"
            " special_tokens, max_quarantined, exclude, data, sources, decontaminate, filters,"
            " removed, copies, insert, near, published"
        ),
        (
            "defs/a.yaml:8: adapte: unknown key; did you mean 'adapter'? allowed: name,"
            " description, repo, revision, paths, splits, partial, format, adapter, text, where,"
            " datasets, folder, licence, non_commercial, published"
        ),
        "defs/a.yaml:9: where.source: found a list of 0; at least 1 needed",
        (
            "other.yaml:3: sources.a: asks for nothing; give one of tokens, weight, all: true,"
            " reserve: true"
        ),
    ]


def test_two_definitions_of_one_name_are_refused(tmp_path: Path):
    write(tmp_path, definition("dclm-dedup"), "defs/a.yaml")
    (line,) = faults(
        tmp_path,
        HEAD + "sources:\n  a: {use: defs/a.yaml, tokens: 5}\n  b: {use: dclm-dedup, tokens: 5}\n",
    )
    assert line.startswith(
        "mine.yaml:5: sources.b.use: defines 'dclm-dedup', as the one that a uses"
    )


def test_recipes_that_exclude_each_other_are_refused(tmp_path: Path):
    write(tmp_path, definition("a"), "defs/a.yaml")
    write(tmp_path, SIMPLE + "exclude: [mine.yaml]\n", "other.yaml")
    assert faults(tmp_path, SIMPLE + "exclude: [other.yaml]\n") == [
        "other.yaml:4: exclude[0]: recipes exclude each other in a circle: mine -> other -> mine;"
        " remove one of them"
    ]
    (line,) = faults(tmp_path, SIMPLE + "exclude: [mine.yaml]\n")
    assert "mine -> mine" in line


def test_a_recipe_that_many_exclude_is_read_once(tmp_path: Path):
    write(tmp_path, definition("a"), "defs/a.yaml")
    write(tmp_path, SIMPLE, "r0-0.yaml")
    write(tmp_path, SIMPLE, "r0-1.yaml")
    for level in range(1, 30):
        for twin in (0, 1):
            write(
                tmp_path,
                SIMPLE + f"exclude: [r{level - 1}-0.yaml, r{level - 1}-1.yaml]\n",
                f"r{level}-{twin}.yaml",
            )
    assert len(load(tmp_path, SIMPLE + "exclude: [r29-0.yaml, r29-1.yaml]\n").excluded) == 2


def test_unknown_names_list_what_there_is_and_the_closest(tmp_path: Path):
    with pytest.raises(
        RecipeError,
        match=(
            r"'anealing-50b' is not a shipped recipe; did you mean 'annealing-50b'\? shipped:"
            r" annealing-50b"
        ),
    ):
        load_recipe("anealing-50b")
    with pytest.raises(RecipeError, match="did you mean 'wikipedia'"):
        load_source_definition("wikipeda")
    with pytest.raises(RecipeError, match="did you mean 'gpt-neox-20b'"):
        load_tokenizer_definition("gpt-neox")
    for name in ("../sources/wikipedia", "", ".", "a\0b"):
        with pytest.raises(RecipeError):
            load_recipe(name)
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "absent.yaml"))


SOURCE_FAULTS = {
    "a repository that is none": (
        "repo: me/a",
        "repo: me/../a",
        "repo: 'me/../a' is not a dataset repository",
    ),
    "a path above the repository": (
        "['*.jsonl']",
        "['../*.jsonl']",
        "paths[0]: '../*.jsonl' leaves",
    ),
    "no path": ("['*.jsonl']", "[]", "paths is missing or empty"),
    "an unknown format": ("format: jsonl", "format: csv", "allowed: 'found', 'jsonl', 'jsonl.gz'"),
    "an unknown adapter": ("adapter: text", "adapter: txt", "allowed: 'text', 'flan'"),
    "paths where the library finds files": (
        "format: jsonl",
        "format: datasets",
        "paths: does not belong to the format datasets",
    ),
    "a split where files are named": (
        "licence: CC0",
        "licence: CC0\ndatasets: {split: train}",
        "datasets: belongs to the format datasets",
    ),
    "a date as a name": ("name: a", "name: 2026:01", "is not a name"),
}


@pytest.mark.parametrize("case", SOURCE_FAULTS)
def test_a_source_definition_that_makes_no_sense_is_refused(case):
    old, new, what = SOURCE_FAULTS[case]
    with pytest.raises(RecipeError) as caught:
        validate(SourceDefinition, parse_yaml(definition("a").replace(old, new), "a.yaml"))
    assert what in str(caught.value)


def test_a_source_definitions_identity_is_free_of_notes_and_places():
    plain = validate(SourceDefinition, parse_yaml(definition("a"), "x"))
    other = validate(
        SourceDefinition,
        parse_yaml(
            definition("a", "description: new\n").replace("revision: main", "revision: b04c"), "x"
        ),
    )
    assert plain.identity() == other.identity()


# Digests


def test_the_digest_does_not_depend_on_place_spelling_order_comments_or_published_figures(
    tmp_path: Path,
):
    write(tmp_path, definition("a"), "one/defs/a.yaml")
    write(
        tmp_path,
        definition("a", "description: x\npublished: {documents: 5, tokens: 6}\n"),
        "two/defs/a.yaml",
    )
    one = load(
        tmp_path / "one",
        HEAD + "budget: {tokens: 1000}\nsources:\n  a: {use: defs/a.yaml, weight: 0.5, keys: [0,"
        " 0.80]}\n",
    )
    two = load(
        tmp_path / "two",
        "# a comment\nsources:\n  a:\n    keys: [0.0, 0.8]\n    shortfall: error\n    weight:"
        " 0.50\n    use: defs/a.yaml\nbudget: {tokens: 1_000}\ndescription: another\npublished:"
        " {documents: 7}\ntokenizer: gpt-neox-20b\nname: mine\nmax_quarantined: 0.000\n",
    )
    assert one.canonical() == two.canonical()
    assert one.digest == two.digest


CHANGES = {
    "name": ("name: mine", "name: yours"),
    "budget": ("tokens: 1000", "tokens: 1001"),
    "special tokens": ("tokenizer:", "special_tokens: parse\ntokenizer:"),
    "quarantine": ("tokenizer:", "max_quarantined: 0.01\ntokenizer:"),
    "weight": ("weight: 1", "weight: 2"),
    "amount": ("weight: 1", "tokens: 1"),
    "keys": ("keys: [0, 0.5]", "keys: [0, 0.6]"),
    "shortfall": ("weight: 1", "weight: 1, shortfall: {repeat: 2}"),
    "definition": ("use: wikipedia", "use: pes2o"),
    "source name": ("  a:", "  c:"),
    "order": (
        "  a: {use: wikipedia, weight: 1, keys: [0, 0.5]}\n  b: {use: dclm-dedup, weight: 3}\n",
        "  b: {use: dclm-dedup, weight: 3}\n  a: {use: wikipedia, weight: 1, keys: [0, 0.5]}\n",
    ),
    "exclude": ("tokenizer:", "exclude: [pretraining-500b]\ntokenizer:"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_digest_depends_on_everything_that_is_asked(tmp_path: Path, case):
    text = (
        HEAD
        + "budget: {tokens: 1000}\nsources:\n  a: {use: wikipedia, weight: 1, keys: [0, 0.5]}\n  b:"
        " {use: dclm-dedup, weight: 3}\n"
    )
    old, new = CHANGES[case]
    assert old in text
    assert load(tmp_path, text).digest != load(tmp_path, text.replace(old, new)).digest


def test_the_canonical_form_holds_only_what_every_json_writer_writes_alike():
    def kinds(value: object) -> set[type]:
        if isinstance(value, dict):
            return {type(value)}.union(*(kinds(key) | kinds(item) for key, item in value.items()))
        return {type(value)}.union(*map(kinds, value)) if isinstance(value, list) else {type(value)}

    for name in ("annealing-50b", "pretraining-500b-weak", "holdout"):
        assert kinds(load_recipe(name).canonical()) == {dict, list, str, int} - (
            {int} if name == "holdout" else set()
        )
