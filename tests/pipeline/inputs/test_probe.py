"""A probe reads parts of some files, the same ones everywhere, and the truth lies in its
interval.
"""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter

from mixtures.recipe.load import load_recipe
from mixtures.recipe.quality.steps import Quality
from pipeline.inputs.listing import list_files
from pipeline.inputs.probe import Probe, ProbeSize, take_probe
from pipeline.inputs.readers import DocumentReader
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.tokenizer import Tokenizer
from tests.pipeline.corpus import prose, sharded, write_files, write_recipe

TEXTS = prose(1, 3_000, (1, 40))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Files of a source in 20 shards, their definition, and a tokenizer."""
    folder = tmp_path_factory.mktemp("probe")
    write_files(folder / "data", "a", sharded(TEXTS, 20))
    loaded = load_recipe(str(write_recipe(folder, {"a": {"tokens": 10}})))
    tokenizer = Tokenizer(find_tokenizer(loaded.tokenizer), loaded.tokenizer)
    return (
        loaded.definitions["a"],
        list_files(loaded.definitions["a"], folder / "data" / "a"),
        tokenizer,
    )


def drawn(probe: Probe) -> tuple[list[str], int]:
    return sorted(probe.texts), len(probe.parts)


def test_what_is_read_whole_is_counted(source):
    definition, files, tokenizer = source
    found = take_probe(definition, (), files, ProbeSize(files=(99, 99))).supply(tokenizer.count)
    true = len(tokenizer.encode(TEXTS)[0])
    assert (found.documents, found.low, found.tokens, found.high) == (len(TEXTS), true, true, true)
    assert found.text_bytes == sum(len(text.encode()) for text in TEXTS)


def test_the_true_supply_lies_in_the_interval_of_a_small_sample(source):
    definition, files, tokenizer = source
    sample = take_probe(definition, (), files, ProbeSize(files=(6, 6), sample=(64, 20_000)))
    found = sample.supply(tokenizer.count)
    low, high = found.bounds
    assert len(sample.parts) == 6
    assert len(sample.drawn) < len(TEXTS) / 4
    assert low < len(tokenizer.encode(TEXTS)[0]) < high < 1.5 * low


QUALITY = TypeAdapter(Quality).validate_python(
    [{"length": {"min_chars": 90}}, {"regex": {"remove": "river"}}]
)


def left(texts: list[str]) -> list[str]:
    """What the steps leave, as they are written."""
    return [text for text in texts if len(text) >= 90 and "river" not in text]


def test_what_quality_steps_leave_is_counted_exactly_where_all_of_it_is_judged(source):
    definition, files, tokenizer = source
    size = ProbeSize(files=(99, 99), stepped=(64, 1 << 30))
    found = take_probe(definition, QUALITY, files, size).supply(tokenizer.count)
    texts = left(TEXTS)
    true = len(tokenizer.encode(texts)[0])
    assert 0 < len(texts) < len(TEXTS) / 2
    assert (found.documents, found.low, found.tokens, found.high) == (len(texts), true, true, true)
    assert found.text_bytes == sum(len(text.encode()) for text in texts)


def test_the_true_supply_after_quality_steps_lies_in_the_interval_nearly_as_often_as_it_says(
    tmp_path,
):
    hits, seeds = 0, 25
    for seed in range(seeds):
        texts = prose(seed, 1_200, (1, 40))
        folder = tmp_path / str(seed)
        write_files(folder / "data", "a", sharded(texts, 12))
        loaded = load_recipe(str(write_recipe(folder, {"a": {"tokens": 10}})))
        definition = loaded.definitions["a"]
        tokenizer = Tokenizer(find_tokenizer(loaded.tokenizer), loaded.tokenizer)
        files = list_files(definition, folder / "data" / "a")
        size = ProbeSize(files=(6, 6), stepped=(64, 12_000))
        sample = take_probe(definition, QUALITY, files, size)
        low, high = sample.supply(tokenizer.count).bounds
        hits += low <= len(tokenizer.encode(left(texts))[0]) <= high
        assert len(sample.drawn) < len(texts) / 4
    assert hits / seeds > 0.88


def test_the_order_of_the_files_does_not_matter(source):
    definition, files, tokenizer = source
    size = ProbeSize(files=(5, 5), sample=(64, 8_000))
    one, other = (take_probe(definition, (), order, size) for order in (files, files[::-1]))
    assert drawn(one) == drawn(other)
    assert one.supply(tokenizer.count) == other.supply(tokenizer.count)


def test_a_large_file_is_read_in_part_and_what_lags_behind_its_bytes_makes_no_error(tmp_path):
    texts = prose(2, 60_000, (20, 60))
    write_files(tmp_path / "data", "a", {"large": texts}, "jsonl")
    definition = load_recipe(
        str(write_recipe(tmp_path, {"a": {"tokens": 10}}, {"a": "jsonl"}))
    ).definitions["a"]
    files = list_files(definition, tmp_path / "data" / "a")
    (part,) = take_probe(definition, (), files, ProbeSize(part=3 << 20)).parts
    assert 0 < part.share < 0.5
    assert part.text == pytest.approx(sum(map(len, texts)), rel=0.01)


CAMPAIGN = [
    pytest.param(name, marks=pytest.mark.campaign)
    for name in ("camel-physics", "dolmino-flan", "dolmino-wiki", "dclm-dedup")
]


@pytest.mark.parametrize("name", ["dolmino-pes2o", *CAMPAIGN])
def test_the_true_supply_of_real_sources_lies_in_the_interval(shared, tmp_path, name):
    heading = {"name": "one", "tokenizer": "gpt-neox-20b"}
    sources = {name: {"use": name, "tokens": 10}}
    (tmp_path / "one.yaml").write_text(json.dumps({**heading, "sources": sources}))
    recipe = load_recipe(str(tmp_path / "one.yaml"))
    definition = recipe.definitions[name]
    tokenizer = Tokenizer(
        find_tokenizer(recipe.tokenizer, shared / "tokenizers" / "gpt-neox-20b.json"),
        recipe.tokenizer,
    )
    files = list_files(definition, shared / "data" / name)
    low, high = (
        take_probe(definition, (), files, ProbeSize(files=(2, 2), sample=(64, 1 << 17)))
        .supply(tokenizer.count)
        .bounds
    )
    true = len(
        tokenizer.encode([text for file in files for _, text in DocumentReader(file, definition)])[
            0
        ]
    )
    assert low <= true <= high
