"""Arms differ from their base in slots alone: the donors are those that the rule gives, doses nest,
and nothing depends on how a study is built.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import annealmix
from mixtures.audit import audit_aligned, audit_mix
from mixtures.errors import ManifestError, RecipeError, SupplyError
from mixtures.stream.arms.load import load_study
from mixtures.words import percent_text
from tests.mixtures.recipe.tokenizer.test_request import with_specials
from tests.pipeline.arms.studies import (
    ARMS,
    DONORS,
    SOURCES,
    TOKENS,
    Row,
    by_key,
    fill_one_by_one,
    flagged,
    hold_audits,
    hold_donors,
    make_study,
    read_rows,
    read_slots,
    texts,
    write_study,
)
from tests.pipeline.command_line import fails, passes, run
from tests.pipeline.corpus import sharded, tokenizer, write_files
from tests.pipeline.planted import TERMS, digest, oracles, tokens_of


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


def removed_of(arm: str, study: Path, base: list[Row]) -> set[str]:
    """Digests that an arm removes of the base, by the filters' own rule; None of a placebo."""
    used = {row.digest for row in base}
    (oracle,) = oracles(study.parent / "filters", [ARMS[arm]["remove"]])
    documents = [text for named in texts().values() for text in named]
    return flagged(oracle, documents) & used


def test_every_trainer_makes_the_schedule_of_the_base(study, built):
    index = (study.parent / "out" / "base" / "tokens.idx").read_bytes()
    for arm in ARMS:
        assert (study.parent / "out" / arm / "tokens.idx").read_bytes() == index


@pytest.mark.parametrize("arm", [name for name in ARMS if name != "placebo"])
def test_a_document_gives_way_just_if_the_filter_flags_it(study, mixes, arm):
    removed = removed_of(arm, study, mixes["base"])
    assert len(removed) > 5
    for there, here in zip(mixes["base"], mixes[arm], strict=True):
        if there.digest in removed:
            assert here.digest != there.digest
            assert len(here.ids) == len(there.ids)
            assert here.ids[-1] == 0
            assert (here.source, here.epoch) == (there.source, there.epoch)
        else:
            assert here == there


def test_a_placebo_removes_nothing_that_a_filter_flags(study, mixes):
    gone = {
        there.digest
        for there, here in zip(mixes["base"], mixes["placebo"], strict=True)
        if there.digest != here.digest
    }
    assert gone
    assert not gone & condemned_of(study)


def test_donors_are_unused_documents_that_no_filter_of_the_study_flags(study, mixes):
    used = {row.digest for row in mixes["base"]}
    for arm in ARMS:
        donors = {row["digest"].hex() for row in read_slots(study.parent / "out" / arm)}
        assert donors
        assert not donors & (used | condemned_of(study))


def condemned_of(study: Path) -> set[str]:
    """Digests of all that a filter of the study flags."""
    documents = [text for named in texts().values() for text in named]
    asked = [{"use": "toy", "level": "strong"}, "more"]
    return set().union(
        *(flagged(one, documents) for one in oracles(study.parent / "filters", asked))
    )


def expected_donors(
    study: Path, mixes: Mapping[str, list[Row]]
) -> dict[str, list[tuple[str, int]]]:
    """Of each slot of any arm, by the digest of what was removed, the donors that the rule
    gives.
    """
    base = mixes["base"]
    gone = {
        there.digest
        for arm in ARMS
        for there, here in zip(base, mixes[arm], strict=True)
        if there.digest != here.digest
    }
    found: dict[str, list[tuple[str, int]]] = {}
    for slots, free in expected_free(study, base, gone):
        found |= fill_one_by_one(slots, free)
    return found


def expected_free(
    study: Path, base: list[Row], gone: set[str]
) -> Iterator[tuple[list[tuple[str, int]], dict[int, list[str]]]]:
    """By the source that gives donors: the slots of what is gone, in their order, as (digest,
    tokens), and the digests of the donors of each length in key order.
    """
    condemned, used = condemned_of(study), {row.digest for row in base}
    ranges = {"a": (Fraction(0), Fraction(1)), "b": (Fraction(1, 10), Fraction(85, 100))}
    for giver, takers in {"a": ("small", "a"), "b": ("b",)}.items():
        slots = []
        for source in takers:
            low, high = SOURCES[source].get("keys", (0, 1))
            ordered = by_key(texts()[source], Fraction(str(low)), Fraction(str(high)))
            slots += [(digest(text), tokens_of(text)) for text in ordered if digest(text) in gone]
        free: dict[int, list[str]] = {}
        for text in by_key(texts()[giver], *ranges[giver]):
            if digest(text) not in used | condemned:
                free.setdefault(tokens_of(text), []).append(digest(text))
        yield slots, free


def test_slots_have_the_donors_that_the_rule_gives(study, mixes):
    expected = expected_donors(study, mixes)
    kinds: Counter[str] = Counter()
    for arm in ARMS:
        filled: dict[int, list[tuple[str, int]]] = {}
        for row in read_slots(study.parent / "out" / arm):
            filled.setdefault(row["position"], []).append((row["digest"].hex(), row["num_tokens"]))
            kinds[row["kind"]] += 1
        for position, there in enumerate(mixes["base"]):
            if position in filled and not there.cut:
                assert filled[position] == expected[there.digest]
    assert min(kinds[kind] for kind in ("exact", "cut", "joined")) > 0


def test_slots_hold_the_tokens_of_their_donors(study, built):
    for arm in ARMS:
        hold_donors(study.parent / "out" / arm)


def test_doses_nest_and_arms_share_donors(study, built):
    slots = {
        arm: {
            (row["position"], row["offset"]): row for row in read_slots(study.parent / "out" / arm)
        }
        for arm in ARMS
    }
    assert slots["quarter"].items() <= slots["half"].items() <= slots["strong"].items()
    assert 0 < len(slots["quarter"]) < len(slots["half"]) < len(slots["strong"])
    assert slots["weak"].items() <= slots["strong"].items()
    for place in slots["list"].keys() & slots["strong"].keys():
        assert slots["list"][place] == slots["strong"][place]


def test_a_repeated_document_has_one_donor_wherever_it_stands(study, mixes):
    donors: dict[str, set[str]] = {}
    for there, here in zip(mixes["base"], mixes["strong"], strict=True):
        donors.setdefault(there.digest, set()).add(here.digest)
    assert max(row.epoch for row in mixes["base"]) > 0
    assert all(len(found) == 1 for found in donors.values())


@pytest.mark.parametrize("arm", ["base", *ARMS])
def test_each_mix_passes_its_audit_and_is_aligned(study, built, arm):
    beside = built if arm == "base" else ["base"]
    hold_audits(study.parent / "out", beside, arm)


def test_arms_have_an_identity_each_and_name_their_base(study, built):
    assert len({manifest["identity"] for manifest in built.values()}) == len(built)
    assert all(built[arm]["arm"]["base"] == built["base"]["identity"] for arm in ARMS)
    assert "arm" not in built["base"]


@pytest.mark.parametrize("more", [{"workers": 2, "tasks": 3}, {"chunk_bytes": 4096}])
def test_arms_do_not_depend_on_who_builds_and_in_which_order(study, built, tmp_path, more):
    arms = dict(reversed(ARMS.items()))
    other = write_study(tmp_path, arms=arms, files=7)
    found = make_study(other, **more)
    for arm in built:
        bytes_of = [
            [(folder / arm / name).read_bytes() for name in ("tokens.bin", "tokens.idx")]
            for folder in (study.parent / "out", tmp_path / "out")
        ]
        assert bytes_of[0] == bytes_of[1]
        if "chunk_bytes" not in more:
            assert found[arm]["identity"] == built[arm]["identity"]


def test_a_study_is_gone_on_with(study, built):
    out = study.parent / "out"
    shutil.rmtree(out / "weak")
    (out / ".weak.building-0").mkdir()
    assert make_study(study) == built
    assert not audit_mix(out / "weak").failures


def test_one_byte_outside_of_a_slot_is_named(study, built, tmp_path, capsys):
    shutil.copytree(study.parent / "out", tmp_path / "out")
    out = tmp_path / "out"
    slots = {row["position"] for row in read_slots(out / "half")}
    rows = read_rows(out / "half")
    position = next(at for at in range(40, len(rows)) if at not in slots and len(rows[at].ids) > 2)
    token = sum(len(row.ids) for row in rows[:position])
    with (out / "half" / "tokens.bin").open("r+b") as file:
        file.seek(2 * token)
        (was,) = file.read(1)
        file.seek(2 * token)
        file.write(bytes([was ^ 1]))
    passes("audit", out / "strong", "--aligned", out / "base")
    found = " ".join(run_audit(out / "half", "--aligned", out / "base").split())
    assert f"token {token:,}, of document {position:,}, differs and is in no slot" in found


def run_audit(*words: Any) -> str:
    ended = run("audit", *words)
    assert ended.code == 3
    return ended.err + ended.out


def test_a_damaged_base_makes_no_arm(study, built, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    path = tmp_path / "study" / study.name
    shutil.rmtree(tmp_path / "study" / "out" / "half")
    binary = tmp_path / "study" / "out" / "base" / "tokens.bin"
    content = bytearray(binary.read_bytes())
    content[100] ^= 1
    binary.write_bytes(content)
    with pytest.raises(ManifestError, match="not what the base's manifest says"):
        make_study(path)
    assert not (tmp_path / "study" / "out" / "half").exists()


def test_too_few_donors_are_said_before_anything_is_written(tmp_path):
    path = write_study(tmp_path, donors={})
    with pytest.raises(SupplyError, match=r"the slots of small have .* leaves of small is"):
        make_study(path)
    assert not (tmp_path / "out").exists()


def test_more_cut_donors_than_the_tolerance_are_an_error_before_anything_is_written(study, built):
    manifest = built["strong"]["arm"]["sources"].values()
    share = sum(one["cut_tokens"] for one in manifest) / sum(one["tokens"] for one in manifest)
    assert share > 0.02
    path = write_study(study.parent, name="strict", arms={"x": ARMS["strong"]}, tolerance=0.02)
    with pytest.raises(SupplyError, match=r"lie in donors that are cut .* tolerance of 0.02"):
        make_study(path, out="strict")
    assert not (study.parent / "strict").exists()


def test_a_study_needs_no_donors_below_what_its_base_takes(tmp_path):
    path = write_study(tmp_path, donors={**DONORS, "b": {"below": 0.11}})
    with pytest.raises(SupplyError, match="the slots of b have"):
        make_study(path)


@pytest.mark.parametrize(
    ("arms", "donors", "base", "said"),
    [
        ({"base": ARMS["strong"]}, {}, {}, "is the base's own name"),
        (
            {"x": {"remove": {"placebo_of": "toy", "fraction": 0.5}, "fill": "fresh"}},
            {},
            {},
            "doses of a placebo would not nest",
        ),
        ({"x": {"remove": "toy", "fill": "stale"}}, {}, {}, "fill"),
        (
            {"x": {"remove": {"placebo_of": "toy"}, "fill": "mask-terms"}},
            {},
            {},
            "masks the terms that a filter finds, and a placebo's documents are those",
        ),
        ({"x": {"remove": "toy"}}, {}, {}, "fill"),
        (ARMS, {"c": {"source": "a"}}, {}, "plain has no such source; allowed"),
        (ARMS, {"a": {"source": "c"}}, {}, "has no source 'c'"),
        (ARMS, {"a": {"source": "a"}}, {}, "is the source itself"),
        (ARMS, {"a": {"source": "b"}, "b": {"source": "small"}}, {}, "has its own donors from"),
        (ARMS, {"b": {"below": 0.1}}, {}, "b has no keys below 0.1"),
        (ARMS, {"b": {"below": 0.5, "source": "a"}}, {}, "give either below"),
        (ARMS, {}, {"filters": ["toy"]}, "plain has filters; name the unfiltered recipe"),
        ({"a" * 60: ARMS["strong"]}, {}, {}, "a name has at most 64 characters"),
        (
            {f"a{number}": ARMS["strong"] for number in range(17)},
            {},
            {},
            "arms: found a mapping of more than 16",
        ),
        (
            {
                "x": {"remove": {"name": "one", "terms": ["tarn"]}, "fill": "fresh"},
                "y": {"remove": {"name": "one", "terms": ["moss"]}, "fill": "fresh"},
            },
            {},
            {},
            "is called 'one', as that of x, and is another",
        ),
    ],
)
def test_a_study_that_cannot_be_meant_is_refused_with_its_line(tmp_path, arms, donors, base, said):
    path = write_study(tmp_path, arms=arms, donors=donors, **base)
    with pytest.raises(RecipeError) as refused:
        load_study(path, tmp_path / "filters")
    assert said in str(refused.value)
    assert "study.yaml:" in str(refused.value)


def command(study: Path, *more: Any, out: str = "told") -> list[Any]:
    return [
        *("build", study, "--out", study.parent / out, "--store", study.parent / "store"),
        *("--data", study.parent / "data", "--filters", study.parent / "filters"),
        *more,
    ]


def test_the_command_builds_every_mix_and_says_their_ids(study, built):
    found = passes(*command(study, "--json")).answer
    assert {name: one["total_tokens"] for name, one in found.items()} == {
        name: one["total_tokens"] for name, one in built.items()
    }
    assert f"mix id {found['half']['mix_id']}" in passes(*command(study)).out
    folder = study.parent
    places = {"out": folder / "told", "store": folder / "store", "data": folder / "data"}
    mixes = annealmix.build_study(study, **places, filters=folder / "filters", workers=1)
    assert {name: mix.mix_id for name, mix in mixes.items()} == {
        name: one["mix_id"] for name, one in found.items()
    }
    passes("audit", study.parent / "told" / "strong", "--aligned", study.parent / "told" / "base")


@pytest.mark.parametrize(("more", "said"), [(["--removed", "shrink"], "leave out --removed")])
def test_what_a_study_cannot_be_built_with_is_refused(study, more, said):
    assert said in " ".join(fails(2, *command(study, *more, out="no")).split())


def test_a_place_that_another_mix_has_is_refused_before_any_work(study, built, tmp_path):
    shutil.copytree(study.parent / "out" / "weak", tmp_path / "no" / "half")
    assert "of another recipe or size" in fails(2, *command(study, out=str(tmp_path / "no")))


def test_a_file_where_the_mixes_are_to_lie_is_refused_before_any_work(study, tmp_path):
    told = fails(2, *command(study, "--store", tmp_path / "store", out=str(study)))
    assert f"{study} is a file, no folder and no mix; choose another --out" in told
    assert not (tmp_path / "store").exists()


def test_where_a_recipe_is_asked_for_a_study_is_named_as_one(study):
    assert "a study, which `annealmix plan` and `build` take" in fails(2, "lock", study)


def test_every_token_of_an_arm_is_that_of_a_row_of_a_source(study, built):
    out, data = study.parent / "out", study.parent / "data"
    for arm in ("strong", "placebo"):
        passes("audit", out / arm, "--source-check", "5000", "--data", data)


def test_an_arm_judged_again_has_no_hit(study, built):
    out, filters = study.parent / "out", study.parent / "filters"
    toy = filters / "toy" / "filter.yaml"
    passes("audit", out / "strong", "--filter", toy, "--level", "strong")
    assert "flagged" in run_audit(out / "half", "--filter", toy, "--level", "strong")


def test_trace_says_whose_slot_it_is_and_who_stands_there(study, built):
    mix = study.parent / "out" / "strong"
    rows = read_slots(mix)
    joined = next(row for row in rows if row["kind"] == "joined" and row["offset"] > 0)
    lent = next(row for row in rows if row["donor_source"] != row["source"])
    for row in (joined, lent):
        said = passes("trace", mix, "--position", str(row["position"])).out
        assert f"instead of a document of {row['source']} that the arm's filter removes" in said
        assert f"donor of {row['donor_source']}" in said
        assert f"file {row['file']} row {row['row']}" in said
    (place,) = passes("trace", mix, "--position", str(lent["position"]), "--json").answer["places"]
    assert place["definition"] == lent["donor_source"]
    assert place["donors"][0]["digest"] == lent["digest"].hex()


def test_a_trainer_is_told_of_no_special_strings_where_donors_are_joined(study, built, tmp_path):
    mix = study.parent / "out" / "strong"
    assert built["strong"]["arm"]["inner_documents"]
    size = ["--sequence", "32", "--batch", "4"]
    told = passes("export", mix, "--trainer", "olmo-core", "--out", tmp_path / "x.yaml", *size)
    assert "special_tokens" not in told.err + (tmp_path / "x.yaml").read_text()


def test_diff_names_the_filter_and_the_order_stays(study, built):
    out = study.parent / "out"
    found = passes("diff", out / "base", out / "strong").out
    assert "not in B: filter toy strong" in found
    assert "the shared documents stand in the same order" in found


def test_diff_says_which_filter_and_which_slot_of_any_two_arms(study, built, mixes):
    """Also between two arms, and of donors that come from another source."""
    out = study.parent / "out"
    arms = pairwise(["base", *ARMS, "base"])
    for one, two in (*arms, ("strong", "base")):
        answer = passes("diff", out / one, out / two, "--json").answer
        donors = {row["digest"].hex() for row in read_slots(out / one)} if one != "base" else set()
        alone = {row.digest for row in mixes[one]} - {row.digest for row in mixes[two]}
        label = f"filter {built[two]['filters'][0]['label']}" if two != "base" else "none"
        counts = Counter("fills a slot" if digest in donors else label for digest in alone)
        told = Counter[str]()
        for reasons in answer["only_a"].values():
            told.update({why: figures["documents"] for why, figures in reasons.items()})
        assert told == counts, (one, two)


def test_the_share_that_a_filter_removed_is_of_what_it_judged(study, built, capsys):
    """Donors that stand in slots were not judged for the base."""
    out = study.parent / "out"
    base, arm = built["base"], built["strong"]
    printed = passes("audit", out / "strong").out.split("removed by filters")[1]
    for name, figures in arm["filters"][0]["removed"].items():
        share = percent_text(figures["documents"], base["removed"][name]["kept"], 2)
        assert re.search(rf"^ {name} .* {share}% ", printed, re.MULTILINE), (name, share)


def test_donors_begin_with_bos_where_documents_do(tmp_path):
    write_study(tmp_path)
    (tmp_path / "my.json").write_text(json.dumps(with_specials("<s>", "</s>")))
    own: dict[str, Any] = {"tokenizer": {"file": "my.json", "eod": "</s>", "bos": "<s>"}}
    arms = {name: ARMS[name] for name in ("strong", "list")}
    found = make_study(write_study(tmp_path, arms=arms, budget={"tokens": TOKENS}, **own))
    bos, eod = (found["base"]["tokenizer"][name] for name in ("bos_id", "eod_id"))
    for arm in arms:
        assert not audit_mix(tmp_path / "out" / arm, full=True).failures
        rows = read_rows(tmp_path / "out" / arm)
        for row in read_slots(tmp_path / "out" / arm):
            ids = rows[row["position"]].ids[row["offset"] :][: row["num_tokens"]]
            assert ids[-1] == eod
            assert row["num_tokens"] == 1 or ids[0] == bos
        more = found[arm]["bos_tokens"] - found["base"]["bos_tokens"]
        assert more == found[arm]["arm"]["inner_begun"]
    assert any(found[arm]["arm"]["inner_begun"] for arm in arms)


def test_a_source_without_a_slot_gives_and_takes_nothing(tmp_path):
    arms = {"tarn": {"remove": {"name": "none", "terms": ["zzz"]}, "fill": "fresh"}}
    found = make_study(write_study(tmp_path, arms=arms, donors={}))
    assert found["tarn"]["identity"] == found["base"]["identity"]
    assert found["tarn"]["mix_id"] != found["base"]["mix_id"]
    passes("audit", tmp_path / "out" / "tarn", "--store", tmp_path / "store")
    assert not [
        check
        for check in audit_aligned(tmp_path / "out" / "tarn", [tmp_path / "out" / "base"])
        if not check.ok
    ]


def test_mixes_of_two_studies_are_not_aligned(study, built, tmp_path):
    write_files(tmp_path / "data", "small", sharded(texts()["a"][:40], 1))
    make_study(write_study(tmp_path, arms={"half": ARMS["half"]}))
    checks = audit_aligned(tmp_path / "out" / "half", [study.parent / "out" / "base"])
    assert not any(check.ok for check in checks)


def test_a_filter_judges_each_donor_of_a_joined_slot_by_itself(tmp_path):
    """Donors that name one term each are not flagged, and stay so side by side."""
    long = [f"{number} zorvex {'old stone ' * 30} quillam" for number in range(40)]
    short = [f"{number} {TERMS[number % 6]} {'mill ' * (number % 4)}" for number in range(1500)]
    write_files(tmp_path / "data", "a", sharded([*long, *short], 1))
    arms = {"x": {"remove": "list", "fill": "fresh"}}
    sources: dict[str, Any] = {"a": {"weight": 1}}
    make_study(write_study(tmp_path, arms, {}, sources=sources, budget={"tokens": 2_000}))
    mix, decoder = tmp_path / "out" / "x", tokenizer()
    rows = read_rows(mix)
    joined = {row["position"] for row in read_slots(mix) if row["kind"] == "joined"}
    texts_of = [decoder.decode(list(rows[position].ids)) for position in joined]
    assert any(sum(term in text for term in TERMS) > 1 for text in texts_of)
    listed = tmp_path / "filters" / "list.yaml"
    passes("audit", mix, "--filter", listed)
    definition = json.loads(listed.read_text())
    definition["blocklist"]["threshold"] = 1  # what any donor says is found wherever it stands
    any_term = listed.with_name("any.yaml")
    any_term.write_text(json.dumps({**definition, "name": "any"}))
    (judged,) = run("audit", mix, "--filter", any_term, "--json").answer["filters"]
    assert {place["document"] for place in judged["flagged_documents"]} == {
        position
        for position, row in enumerate(rows)
        if any(term in decoder.decode(list(row.ids)) for term in TERMS)
    }
