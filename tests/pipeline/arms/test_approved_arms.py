"""Arms that are filled with what a filter's list escalated and its classifier kept: the donors are
those that the rule gives, unused ones first, and repeats are counted as what they are.
"""

from __future__ import annotations

import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mixtures.errors import RecipeError, SupplyError
from mixtures.stream.arms.load import load_study
from tests.mixtures.stream.test_arm_donors import round_by_round
from tests.pipeline.arms.studies import (
    ARMS,
    DONORS,
    SOURCES,
    Row,
    by_key,
    hold_audits,
    hold_donors,
    hold_slots_alone,
    make_study,
    read_slots,
    texts,
    write_study,
)
from tests.pipeline.command_line import passes, run
from tests.pipeline.corpus import sharded, write_files
from tests.pipeline.planted import digest, oracles, tokens_of

PLACEBO = {"placebo_of": "toy", "level": "weak", "tolerance": 1}
APPROVED: dict[str, dict[str, Any]] = {
    "weak": {"remove": {"use": "toy", "level": "weak"}, "fill": "approved"},
    "half": {"remove": {"use": "toy", "level": "weak", "fraction": 0.5}, "fill": "approved"},
    "extra": {"remove": {"use": "toy", "level": "extra-weak"}, "fill": "approved"},
    "placebo": {"remove": PLACEBO, "fill": "approved"},
}
OTHERS = {
    "strong": ARMS["strong"],
    "fresh": {"remove": {"use": "toy", "level": "weak"}, "fill": "fresh"},
    "masked": {"remove": {"use": "toy", "level": "weak"}, "fill": "mask"},
}
LAST = {"a": Fraction(1), "b": Fraction(85, 100)}
"""Of each source that gives donors, the key up to which it does."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("approved"), arms={**OTHERS, **APPROVED})


def slots_of(study: Path, *arms: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The rows of some arms, by position and offset."""
    return {
        (row["position"], row["offset"]): row
        for arm in arms
        for row in read_slots(study.parent / "out" / arm)
    }


def approved_of(study: Path, mixes: dict[str, list[Row]]) -> dict[str, list[str]]:
    """The approved documents of each giver in key order, by the filter's own rule."""
    (weak,) = oracles(study.parent / "filters", [APPROVED["weak"]["remove"]])
    slots = {
        there.digest
        for there, here in zip(mixes["base"], mixes["placebo"], strict=True)
        if there.digest != here.digest
    }
    ranges = {"a": Fraction(0), "b": Fraction(1, 10)}
    return {
        name: [
            text
            for text in by_key(texts()[name], low, Fraction(9, 10) if name == "b" else Fraction(1))
            if weak.escalated(text) and not weak.flagged(text) and digest(text) not in slots
        ]
        for name, low in ranges.items()
    }


def test_slots_have_the_approved_documents_that_the_rule_gives(study, built, mixes):
    used = {row.digest for row in mixes["base"]}
    rows = slots_of(study, *APPROVED)
    gone = {mixes["base"][position].digest for position, _ in rows}
    found: dict[str, list[tuple[str, int, int]]] = {}
    for (position, _), row in sorted(rows.items()):
        there = mixes["base"][position]
        piece = (row["digest"].hex(), row["num_tokens"], row["repeat"])
        if not (there.epoch or there.cut):
            found.setdefault(there.digest, []).append(piece)
    kinds = Counter(row["kind"] for row in rows.values())
    assert min(kinds[kind] for kind in ("exact", "cut", "joined")) > 0
    checked = 0
    for giver, takers in {"a": ("small", "a"), "b": ("b",)}.items():
        slots = [
            text
            for taker in takers
            for text in by_key(texts()[taker], *map(Fraction, map(str, keys_of(taker))))
            if digest(text) in gone
        ]
        pools: list[dict[int, list[str]]] = [{}, {}]
        for text in approved_of(study, mixes)[giver]:
            if digest(text) in used or by_key([text], Fraction(0), LAST[giver]):
                pools[digest(text) in used].setdefault(tokens_of(text), []).append(digest(text))
        counts = [{length: len(some) for length, some in pool.items()} for pool in pools]
        expected = round_by_round([tokens_of(text) for text in slots], counts[0], counts[1])
        ordered = {n: pools[0].get(n, []) + pools[1].get(n, []) for pool in pools for n in pool}
        for number, text in enumerate(slots):
            if digest(text) in found:
                assert found[digest(text)] == [
                    (ordered[length][rank], kept, repeat)
                    for length, rank, kept, repeat in expected[number]
                ]
                checked += 1
    assert checked > 20


def keys_of(source: str) -> tuple[float, float]:
    low, high = SOURCES[source].get("keys", (0, 1))
    return low, high


def test_repeats_begin_when_every_unused_document_stands(study, built, mixes):
    used = {row.digest for row in mixes["base"]}
    times: dict[str, list[int]] = {}
    for row in {row["slot"]: row for row in slots_of(study, *APPROVED).values()}.values():
        times.setdefault(row["digest"].hex(), []).append(row["repeat"])
    assert any(name in used for name in times)
    assert max(map(len, times.values())) > 1
    unused = {
        digest(text)
        for giver, some in approved_of(study, mixes).items()
        for text in by_key(some, Fraction(0), LAST[giver])
        if digest(text) not in used
    }
    standing = {row["digest"].hex() for row in slots_of(study, *APPROVED).values()}
    assert unused <= standing
    for row in slots_of(study, *APPROVED).values():
        assert row["repeat"] > 0 or row["digest"].hex() in unused


@pytest.mark.parametrize("arm", APPROVED)
def test_the_manifest_counts_repeats_of_slots_and_of_the_base(study, built, mixes, arm):
    used = {row.digest for row in mixes["base"]}
    first: dict[int, int] = {}
    rows = [
        row
        for row in read_slots(study.parent / "out" / arm)
        if first.setdefault(row["slot"], row["position"]) == row["position"]
    ]
    for name, said in built[arm]["arm"]["donors"].items():
        mine = [row for row in rows if row["donor_source"] == name]
        places = Counter(row["digest"].hex() for row in mine)
        assert said["documents"] == len(places.keys() - used)
        assert said["repeated"]["base_documents"] == len(places.keys() & used)
        assert said["repeated"]["places"] == len(mine) - said["documents"]
        assert said["repeated"]["most"] == max(places.values())
        assert said["tokens"] == sum(row["num_tokens"] for row in mine)
        once: set[str] = set(used)
        again = 0
        for row in sorted(mine, key=lambda row: row["repeat"]):
            again += row["num_tokens"] * (row["digest"].hex() in once)
            once.add(row["digest"].hex())
        assert said["repeated"]["tokens"] == again


@pytest.mark.parametrize("arm", APPROVED)
def test_an_approved_arm_differs_from_its_base_in_its_slots_alone(study, built, mixes, arm):
    out, slots = study.parent / "out", {position for position, _ in slots_of(study, arm)}
    hold_slots_alone(out, mixes, arm, slots)
    hold_audits(out, built, arm)


def test_approved_slots_hold_the_tokens_of_their_donors(study, built):
    for arm in APPROVED:
        hold_donors(study.parent / "out" / arm)


def test_approved_doses_and_levels_nest(study, built):
    half, extra, weak = (slots_of(study, arm).items() for arm in ("half", "extra", "weak"))
    assert half <= weak
    assert extra <= weak
    assert 0 < len(half) < len(weak)


def test_approved_arms_take_no_donors_from_fresh_ones(study, built, tmp_path):
    """Nor do those change with the arms beside them, as long as the filters are the same."""
    fresh = make_study(write_study(tmp_path, arms=OTHERS))
    for arm in OTHERS:
        assert fresh[arm]["identity"] == built[arm]["identity"]


@pytest.mark.parametrize("more", [{"workers": 2, "tasks": 3}, {"chunk_bytes": 4096}])
def test_approved_arms_do_not_depend_on_who_builds(study, built, tmp_path, more):
    arms = dict(reversed({**OTHERS, **APPROVED}.items()))
    make_study(write_study(tmp_path, arms=arms, files=7), **more)
    for arm in APPROVED:
        one, two = (
            folder / arm / "tokens.bin" for folder in (study.parent / "out", tmp_path / "out")
        )
        assert one.read_bytes() == two.read_bytes()


def test_an_approved_arm_judged_again_has_no_hit_but_in_what_is_cut(study, built):
    """A classifier may say otherwise of the beginning of a document than of the whole."""
    out, filters = study.parent / "out", study.parent / "filters"
    toy = filters / "toy" / "filter.yaml"
    found = run("audit", out / "weak", "--filter", toy, "--level", "weak", "--json").answer
    exact = {row["position"] for row in slots_of(study, "weak").values() if row["kind"] == "exact"}
    (judged,) = found["filters"]
    assert not {place["document"] for place in judged["flagged_documents"]} & exact
    assert all(place["cut"] for place in judged["flagged_documents"])
    (escalated,) = oracles(filters, [{"use": "toy", "level": "strong"}])
    by_digest = {digest(text): text for named in texts().values() for text in named}
    for row in slots_of(study, "weak").values():
        assert escalated.flagged(by_digest[row["digest"].hex()])


@pytest.mark.parametrize("arm", APPROVED)
def test_the_store_finds_the_approved_donors_again(study, built, arm):
    passes("audit", study.parent / "out" / arm, "--store", study.parent / "store")


def test_every_token_of_an_approved_arm_is_that_of_a_row(study, built):
    mix = study.parent / "out" / "weak"
    passes("audit", mix, "--source-check", "5000", "--data", study.parent / "data")


def test_repeats_are_printed_traced_and_told_apart_in_texts(study, built, mixes, tmp_path):
    folder = study.parent
    said = passes(
        *("build", study, "--out", folder / "told", "--store", folder / "store"),
        *("--data", folder / "data", "--filters", folder / "filters"),
    )
    donors = built["weak"]["arm"]["donors"]["a"]
    again = donors["repeated"]
    assert (
        f"approved documents of a: {donors['documents']} unused, {again['base_documents']} of the"
        " base;"
    ) in said.err
    assert f"{again['places']} repeats, at most {again['most']} places of one" in said.err
    row = next(row for row in read_slots(folder / "out" / "weak") if row["repeat"] == 2)
    told = passes("trace", folder / "out" / "weak", "--position", str(row["position"])).out
    assert f"donor of {row['donor_source']}, which stands 2 times before" in told
    passes("export", folder / "out" / "weak", "--text", tmp_path / "texts")
    ids = pq.read_table(tmp_path / "texts").column("id").to_pylist()
    assert len(set(ids)) == len(ids)
    assert any(name.endswith("-r1") for name in ids)


def test_diff_tells_a_repeat_of_the_base_from_what_fills_a_slot(study, built, mixes):
    """A document of the base that fills slots, too, gave way in the strong arm for its filter."""
    out = study.parent / "out"
    answer = passes("diff", out / "weak", out / "strong", "--json").answer
    used = {row.digest for row in mixes["base"]}
    alone = {row.digest for row in mixes["weak"]} - {row.digest for row in mixes["strong"]}
    told = Counter[str]()
    for reasons in answer["only_a"].values():
        told.update({why: figures["documents"] for why, figures in reasons.items()})
    assert told == {"filter toy strong": len(alone & used), "fills a slot": len(alone - used)}


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        ({"use": "toy", "level": "strong"}, "take level extra-weak or weak, or fill: fresh"),
        ({"placebo_of": "toy", "level": "strong"}, "take level extra-weak or weak"),
        ("more", "take a filter with a classifier, or fill: fresh"),
        ({"name": "x", "terms": ["tarn"]}, "x removes all that its list escalates"),
    ],
)
def test_a_filter_that_approves_of_nothing_fills_nothing(tmp_path, remove, said):
    path = write_study(tmp_path, arms={"x": {"remove": remove, "fill": "approved"}})
    with pytest.raises(RecipeError) as refused:
        load_study(path, tmp_path / "filters")
    assert said in str(refused.value)
    assert "study.yaml:" in str(refused.value)


def test_a_source_without_an_approved_document_needs_another(tmp_path):
    write_study(tmp_path)
    (weak,) = oracles(tmp_path / "filters", [APPROVED["weak"]["remove"]])
    kept = [text for text in texts()["small"] if not weak.escalated(text) or weak.flagged(text)]
    shutil.rmtree(tmp_path / "data" / "small")
    write_files(tmp_path / "data", "small", sharded(kept, 1))
    donors = {**DONORS, "small": {"below": 1}}
    with pytest.raises(
        SupplyError, match=r"slots of small have .* small has no approved document for weak"
    ):
        make_study(write_study(tmp_path, arms={"weak": APPROVED["weak"]}, donors=donors))
    assert not (tmp_path / "out").exists()


def test_a_mix_of_one_approved_arm_is_whole_and_goes_on(study, built, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "out" / "half")
    assert make_study(tmp_path / "study" / study.name) == built
