"""A first ceiling lies in its key range, is as good as whole where an estimate says so, and never
falls. A reserve gives what another source leaves of its quota, at any size.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.audit import audit_mix
from mixtures.keys import KeyRange
from mixtures.mix.claims import Claims, read_claims
from mixtures.recipe.load import load_recipe
from mixtures.stream.quotas import Size, sized
from mixtures.trainers.schedule import Schedule
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.build.sources.sources import first_ceiling
from pipeline.commands.build.report import corpus_rows
from pipeline.executors.local import LocalExecutor

RANGES = st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 2**64)).map(
    lambda pair: KeyRange(min(pair), max(*pair, min(pair) + 1))
)
TOKENS = st.integers(0, 10**13)


@given(RANGES, TOKENS, TOKENS)
def test_a_first_ceiling_lies_in_the_range_and_is_its_end_where_all_is_asked(
    keys, asked, available
):
    ceiling = first_ceiling(keys, asked, available)
    assert keys.low <= ceiling <= keys.high
    if asked >= available:
        assert ceiling == keys.high  # or all is read again, for what a float rounds away


@given(RANGES, TOKENS, TOKENS, TOKENS)
def test_who_asks_for_more_is_tokenized_at_least_as_far(keys, one, other, available):
    less, more = sorted((one, other))
    assert first_ceiling(keys, less, available) <= first_ceiling(keys, more, available)


ABSTRACTS, PAPERS = 40, 30
MIX = """
name: papers
budget: {steps: 12, batch: 4, sequence: 32, trainer: neox}
tokenizer: sample
data: data
sources:
  short: {use: short.yaml, corpus: all, weight: 1, shortfall: {refill: long}}
  long: {use: long.yaml, corpus: all, reserve: true}
published: {sources: {all: {documents: 100, percent: 100}}}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over one folder of short and long documents, which two definitions read."""
    work = tmp_path_factory.mktemp("reserve")
    rows = [{"source": "s2ag", "text": f"Abstract {n}."} for n in range(ABSTRACTS)]
    rows += [{"source": "s2orc", "text": f"Paper {n} of " + 60 * "long "} for n in range(PAPERS)]
    (work / "data" / "both").mkdir(parents=True)
    with gzip.open(work / "data" / "both" / "rows.json.gz", "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    for name, value in (("short", "s2ag"), ("long", "s2orc")):
        (work / f"{name}.yaml").write_text(
            f"{{name: {name}, folder: both, format: jsonl.gz, adapter: text, licence: CC0,"
            f" where: {{source: [{value}]}}}}"
        )
    (work / "mix.yaml").write_text(MIX)
    return work


def made(work: Path, out: str, size: Size) -> Claims:
    recipe = load_recipe(str(work / "mix.yaml"))
    build(
        BuildRequest(
            recipe, work / out, work / "store", size=size, executor=LocalExecutor(workers=1)
        )
    )
    assert audit_mix(work / out).passed
    return read_claims(work / out)


def test_a_reserve_fills_a_quota_that_takes_the_other_source_whole(corpus: Path) -> None:
    claims = made(corpus, "whole", Size())
    short, long = claims.sources
    tokens = 12 * 4 * 32 + 1 + 32
    assert (short.asked_tokens, long.asked_tokens) == (tokens, 0)
    assert (short.documents, short.refilled) == (ABSTRACTS, {"long": long.resolved_tokens})
    assert short.realised_tokens + long.realised_tokens == claims.total_tokens == tokens
    assert claims.removed["short"]["kept"] == ABSTRACTS
    assert 0 < claims.removed["long"]["beyond quota"] < PAPERS
    assert claims.schedule == Schedule(12, 4, 32, "neox")
    (all_of_it,) = audit_mix(corpus / "whole").compared
    assert (all_of_it.name, all_of_it.tokens) == ("all", tokens)
    assert all_of_it.documents == claims.total_documents
    few = 100 * (claims.total_documents - 100) / 100
    assert all_of_it.off == {"documents": f"{few:+.0f}%"}
    (row,) = corpus_rows(claims.sources, claims.corpora)
    assert (row.label, row.realised_tokens, row.asked_tokens) == ("all in all", tokens, tokens)


def test_steps_of_any_trainer_size_a_mix_and_those_of_the_recipe_are_its_full_size(
    corpus: Path,
) -> None:
    recipe = load_recipe(str(corpus / "mix.yaml")).recipe
    assert sized(recipe, steps=12) == Size()
    size = sized(recipe, steps=2, trainer="megatron")
    assert size == Size(schedule=Schedule(2, 4, 32, "megatron"))
    claims = made(corpus, "steps", size)
    assert claims.total_tokens == 2 * 4 * 32 + 1
    assert claims.schedule == size.schedule
    fit = claims.fit(claims.total_tokens)
    assert fit is not None
    assert (fit.steps, fit.reading.epochs, fit.warnings) == (2, 1, ())
    # less than the short source holds: the reserve gives nothing, and that is no shortage
    assert claims.sources[1].resolved_tokens == 0
