"""Filtered mixes are those of an oracle that goes through lists: exact, nested, aligned, and the
same whatever the store went through.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.audit import audit_mix
from mixtures.errors import ManifestError, RecipeError, SupplyError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import typed
from mixtures.mix.manifest import Manifest
from mixtures.yaml.disk import SHIPPED
from pipeline.commands.audit.filters import audit_filters
from pipeline.lookup.fates import Fates
from pipeline.lookup.selection import MixStore
from pipeline.stages import select
from tests.pipeline.corpus import (
    Document,
    make,
    nfc,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)
from tests.pipeline.planted import (
    HARMLESS,
    TERMS,
    MixOracle,
    classifier_of,
    digest,
    oracles,
    planted,
    score_of,
    tokens_of,
    train,
    write_filters,
    write_list_filter,
)
from tests.pipeline.planted import key as order_key_of

A, B, C = planted(1, 40), planted(2, 120), planted(3, 40)
TEXTS = {"a": [*A, A[3], ""], "b": [*B, A[5], B[7], ""], "c": [*C, A[5], A[6], B[8]]}
EXTRA = [*prose(9, 6), B[0], B[1]]  # inserts stand outside of deduplication and filters
SUPPLY = {
    name: sum(map(tokens_of, {text for text in texts if text})) for name, texts in TEXTS.items()
}
TOY, LEVELS = "toy", ("extra-weak", "weak", "strong")
PLACEBO = {"placebo_of": "list", "tolerance": "1"}
Case = dict[str, Any]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and the filters; its store is used by all tests that do not ask for
    another.
    """
    folder = tmp_path_factory.mktemp("filtered")
    write_filters(folder / "filters")
    write_data(folder)
    return folder


def write_data(folder: Path, files: int = 3) -> None:
    for name, texts in {**TEXTS, "extra": EXTRA}.items():
        write_files(folder / "data", name, sharded(texts, files))


def sources_of(case: Case) -> dict[str, Any]:
    """Requests of the case's sources: tokens, None for all; a quota above the supply is
    repeated.
    """
    return {
        name: {"all": "true"} if tokens is None else {"tokens": tokens, "shortfall": {"repeat": 9}}
        for name, tokens in case["quotas"].items()
    }


def built(work: Path, case: Case, out: str, **more: Any) -> Manifest:
    recipe: Case = {key: case[key] for key in ("filters", "removed", "copies") if key in case}
    if "times" in case:
        write_recipe(
            work / "recipes", {"extra": {"all": "true"}}, name="unused"
        )  # for its source definition
        recipe["insert"] = {"extra": {"use": "extra.yaml", "times": case["times"]}}
    path = write_recipe(work / "recipes", sources_of(case), name=out, **recipe)
    return make(path, work, work / "data", out, filters=work / "filters", **more)


def oracle(work: Path, case: Case) -> MixOracle:
    return MixOracle(
        {name: (TEXTS[name], tokens, 9) for name, tokens in case["quotas"].items()},
        oracles(work / "filters", case.get("filters", [])),
        case.get("removed") == "shrink",
        case.get("copies") == "approved",
        {"extra": (EXTRA, case["times"])} if "times" in case else {},
    )


def as_expected(documents: list[Document]) -> list[tuple[str, int, int, str, int]]:
    return [(one.source, one.copy, one.epoch, one.digest, one.num_tokens) for one in documents]


def check(work: Path, case: Case, out: str, **more: Any) -> Manifest:
    """Build a case; its stream, texts and figures are those of the oracle."""
    manifest, expected = built(work, case, out, **more), oracle(work, case)
    documents = read_mix(work / out)
    assert as_expected(documents) == [
        (one.source, one.copy, one.epoch, one.digest, one.num_tokens) for one in expected.stream()
    ]
    texts = {
        digest(text): text for text in [text for some in TEXTS.values() for text in some] + EXTRA
    }
    for document in documents:
        whole = texts[document.digest]
        assert document.cut == (document.num_tokens < tokens_of(whole))
        assert nfc(whole).startswith(document.text) if document.cut else document.text == nfc(whole)
    check_figures(manifest, expected, case)
    assert [check.name for check in audit_mix(work / out, full=True).failures] == []
    return manifest


def check_figures(manifest: Manifest, expected: MixOracle, case: Case) -> None:
    """What the manifest says that filters removed."""
    for source in expected.judged():
        if source.name not in case["quotas"]:
            continue
        seen: set[str] = set()
        for number, item in enumerate(manifest["filters"]):
            gone = source.removed[number]
            first = [text for text in gone if text not in seen]
            seen |= set(gone)
            assert item["removed"][source.name] == {
                "documents": len(gone),
                "tokens": sum(map(tokens_of, gone)),
                "first_documents": len(first),
                "first_tokens": sum(map(tokens_of, first)),
            }
            assert manifest["removed"][source.name][f"filter {item['label']}"] == len(first)
        waterfall = manifest["removed"][source.name]
        assert (
            waterfall["rows"]
            == len(TEXTS[source.name])
            == sum(count for name, count in waterfall.items() if name != "rows")
        )


QUOTAS: dict[str, int | None] = {"a": 301, "b": 1203, "c": 250}
CASES: dict[str, Case] = {
    "list": {"quotas": QUOTAS, "filters": ["list"]},
    "list, shrink": {"quotas": QUOTAS, "filters": ["list"], "removed": "shrink"},
    **{
        f"{level}": {"quotas": QUOTAS, "filters": [{"use": TOY, "level": level}]}
        for level in LEVELS
    },
    **{
        f"{level}, shrink": {
            "quotas": QUOTAS,
            "filters": [{"use": TOY, "level": level}],
            "removed": "shrink",
        }
        for level in LEVELS
    },
    "copies": {"quotas": QUOTAS, "filters": [{"use": TOY, "level": "weak"}], "copies": "approved"},
    "copies, shrink": {
        "quotas": QUOTAS,
        "filters": [{"use": TOY, "level": "weak"}],
        "copies": "approved",
        "removed": "shrink",
    },
    "copies of few, shrink": {
        "quotas": QUOTAS,
        "filters": ["list"],
        "copies": "approved",
        "removed": "shrink",
    },
    "three": {
        "quotas": QUOTAS,
        "filters": [{"use": TOY, "level": "weak"}, "more", "list"],
        "copies": "approved",
    },
    "three, shrink": {
        "quotas": QUOTAS,
        "filters": ["more", {"use": TOY, "level": "extra-weak"}, "list"],
        "removed": "shrink",
    },
    "dose": {"quotas": QUOTAS, "filters": [{"use": "list", "fraction": "0.4"}]},
    "dose, shrink": {
        "quotas": QUOTAS,
        "filters": [{"use": "list", "fraction": "0.4"}],
        "removed": "shrink",
    },
    "placebo": {"quotas": QUOTAS, "filters": [PLACEBO]},
    "placebo, shrink": {"quotas": QUOTAS, "filters": [PLACEBO], "removed": "shrink"},
    "placebo with partners elsewhere": {
        "quotas": QUOTAS,
        "filters": [{**PLACEBO, "partners": ["b", "a"]}],
    },
    "dosed placebo of a dosed mix": {
        "quotas": QUOTAS,
        "filters": [
            {**PLACEBO, "fraction": "0.4"},
            {"use": TOY, "level": "weak", "fraction": "0.5"},
            {"placebo_of": "more", "tolerance": "1"},
        ],
    },
    "placebo of a classifier": {
        "quotas": QUOTAS,
        "filters": [
            {"placebo_of": TOY, "level": "weak", "tolerance": "1"},
            {"use": TOY, "level": "weak"},
        ],
    },
    "all": {
        "quotas": dict.fromkeys(QUOTAS),
        "filters": [{"use": TOY, "level": "weak"}],
        "copies": "approved",
    },
    "all, shrink": {"quotas": dict.fromkeys(QUOTAS), "filters": ["list"], "removed": "shrink"},
    "epochs": {"quotas": {"a": 2000, "b": 1000}, "filters": ["list"], "copies": "approved"},
    "epochs of copies": {
        "quotas": {"a": 1900, "b": 9000},
        "filters": [{"use": TOY, "level": "weak"}],
        "copies": "approved",
    },
    "epochs of copies, shrink": {
        "quotas": {"b": 11000},
        "filters": [{"use": TOY, "level": "weak"}],
        "copies": "approved",
        "removed": "shrink",
    },
    "epochs, shrink": {
        "quotas": {"a": 2000, "b": 1000},
        "filters": [{"use": TOY, "level": "weak"}],
        "removed": "shrink",
    },
    "inserts": {"quotas": QUOTAS, "filters": ["list"], "times": 3},
    "inserts, shrink": {"quotas": QUOTAS, "filters": ["list"], "times": 2, "removed": "shrink"},
}


def test_the_corpus_has_documents_of_every_kind(work):
    classifier = classifier_of(work / "filters" / TOY)
    strong = oracles(work / "filters", ["list"])[0]
    for texts in (A, B):
        scores = [score_of(classifier, text) for text in texts if strong.escalated(text)]
        assert len([score for score in scores if score > 500_000]) >= 2
        assert len([score for score in scores if 10_500 < score <= 500_000]) >= 2
    assert [
        score
        for text in B
        if strong.escalated(text) and (score := score_of(classifier, text)) <= 10_500
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_filtered_mix_is_that_of_the_oracle(work, name):
    check(work, CASES[name], f"out-{list(CASES).index(name)}")


FILTERS = st.lists(
    st.one_of(
        st.builds(
            lambda name, part: {"use": name, "fraction": part},
            st.sampled_from(["list", "more"]),
            st.sampled_from(["1", "0.5"]),
        ),
        st.builds(lambda level: {"use": TOY, "level": level}, st.sampled_from(LEVELS)),
        st.builds(
            lambda level, partners: {
                "placebo_of": TOY,
                "level": level,
                "tolerance": "1",
                "partners": partners,
            },
            st.sampled_from(LEVELS),
            st.sampled_from([[], ["a"]]),
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: repr({**item, "partners": None}),  # two of one label are refused
)


@st.composite
def cases(draw) -> Case:
    names = draw(st.permutations(list(TEXTS)))[: draw(st.integers(1, 3))]
    amounts = st.one_of(
        st.none(), st.integers(0, 9).map(lambda tenth: 1 + tenth * 100), st.integers(1, 2500)
    )
    return {
        "quotas": {name: draw(amounts) for name in names},
        "filters": draw(FILTERS),
        "removed": draw(st.sampled_from(["refill", "shrink"])),
        "copies": draw(st.sampled_from(["none", "approved"])),
    }


@pytest.fixture(scope="module")
def counter() -> Counter[str]:
    return Counter()


@given(case=cases())
@settings(max_examples=12)
def test_any_filtered_mix_is_that_of_the_oracle(work, counter, case):
    counter["drawn"] += 1
    check(work, case, f"drawn-{counter['drawn']}")


def test_a_flagged_document_that_a_dose_spares_is_not_approved(work):
    case = {
        "quotas": {"b": None},
        "filters": [{"use": "list", "fraction": "0.5"}],
        "copies": "approved",
    }
    assert [source["documents"] for source in check(work, case, "spared")["sources"]][1] == 0


def beside(documents: list[Document]) -> int:
    """Times that a copy stands beside an original of its text."""
    return sum(
        one.digest == two.digest and one.copy != two.copy for one, two in pairwise(documents)
    )


def test_no_copy_stands_beside_its_original_and_the_audit_counts_those_of_the_smallest_mixes(work):
    case: Case = {"filters": [{"use": TOY, "level": "weak"}], "copies": "approved"}
    counts = []
    for tokens in (None, *range(50, 1500, 150)):
        out = f"apart-{tokens or 0}"
        check(work, {**case, "quotas": {"b": tokens}}, out)
        documents = read_mix(work / out)
        counts.append((sum(one.copy for one in documents), beside(documents)))
        found = {check.name: check.figure for check in audit_mix(work / out).checks}
        told = f", {counts[-1][1]} time" in found["duplicates"]
        assert told == bool(counts[-1][1])
    assert counts[0][0] > 3, counts
    assert all(number < 3 for number, times in counts if times)


def test_copies_that_do_not_say_where_they_begin_are_refused_with_what_to_do(work):
    check(work, CASES["copies"], "older")
    manifest = manifests.load(work / "older")
    copies = next(one for one in manifest["sources"] if one["copy"])
    del copies["rotation"]
    with pytest.raises(ManifestError, match=r"an older version built it.*build the mix again"):
        typed(manifest, "m")
    copies["rotation"] = 0
    manifest["sources"][0]["rotation"] = 0
    with pytest.raises(ManifestError, match="a rotation, which is of copies alone"):
        typed(manifest, "m")


def test_quotas_that_end_where_a_partition_ends_count_the_same_removals_in_any_number_of_partitions(
    work, monkeypatch
):
    strong, texts = (
        oracles(work / "filters", ["list"])[0],
        sorted(set(B) - set(TEXTS["a"]), key=order_key_of),
    )
    check(
        work, {"quotas": {"b": None}}, "whole"
    )  # so that the store knows the whole source from then on
    split = next(at for at, text in enumerate(texts) if order_key_of(text) >= 1 << 63)
    for removed, quota in (
        ("shrink", sum(map(tokens_of, texts[:split]))),
        ("refill", sum(tokens_of(text) for text in texts[:split] if not strong.flagged(text))),
    ):
        case = {"quotas": {"b": quota}, "filters": ["list"], "removed": removed}
        whole = check(work, case, f"{removed}-one")
        with monkeypatch.context() as patched:
            patched.setattr(select, "PARTITION_DOCUMENTS", 60)
            assert check(work, case, f"{removed}-two")["identity"] == whole["identity"]


def test_removed_documents_that_fill_the_last_partition_count_only_within_the_quota(
    tmp_path,
):
    """A source of two documents, the first kept, the second removed; each alone in its half of the
    keys, or both in one partition.
    """
    flagged = next(
        f"zorvex quillam {number}"
        for number in range(99)
        if order_key_of(f"zorvex quillam {number}") >= 1 << 63
    )
    kept = next(f"tea {number}" for number in range(99) if order_key_of(f"tea {number}") < 1 << 63)
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(tmp_path / "data", "s", {"x": [kept, flagged]})
    whole = write_recipe(tmp_path / "recipes", {"s": {"all": "true"}}, name="whole")
    make(
        whole, tmp_path, tmp_path / "data", "whole"
    )  # so that the store knows the whole source from then on
    identities = set()
    for number, documents in enumerate((3_000_000, 1)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(select, "PARTITION_DOCUMENTS", documents)
            quotas = {"s": {"tokens": tokens_of(kept)}}
            recipe = write_recipe(
                tmp_path / "recipes", quotas, filters=["list"], removed="shrink", name="mix"
            )
            manifest = make(
                recipe, tmp_path, tmp_path / "data", f"out{number}", filters=tmp_path / "filters"
            )
        assert manifest["removed"]["s"]["filter list"] == 0
        identities.add(manifest["identity"])
    assert len(identities) == 1


def test_a_source_may_end_in_an_epoch_that_holds_removed_documents_alone(tmp_path):
    """Its gaps are those of two epochs, though documents of one are in the mix."""
    flagged = next(
        f"zorvex quillam {number}"
        for number in range(99)
        if order_key_of(f"zorvex quillam {number}") < 1 << 63
    )
    kept = next(f"tea {number}" for number in range(99) if order_key_of(f"tea {number}") >= 1 << 63)
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(tmp_path / "data", "s", {"x": [kept, flagged]})
    tokens = 2 * tokens_of(flagged) + tokens_of(kept)
    requests = {"s": {"tokens": tokens, "shortfall": {"repeat": 2}}}
    make(
        write_recipe(tmp_path / "recipes", requests, filters=["list"], removed="shrink"),
        tmp_path, tmp_path / "data", filters=tmp_path / "filters",
    )  # fmt: skip
    assert [document.text for document in read_mix(tmp_path / "out")] == [kept]
    assert [check.figure for check in audit_mix(tmp_path / "out").failures] == []


def test_two_classifiers_of_one_list_both_score_its_texts(work):
    train(work / "filters", "verse", TERMS, HARMLESS)
    case = {
        "quotas": QUOTAS,
        "filters": [{"use": TOY, "level": "extra-weak"}, {"use": "verse", "level": "weak"}],
        "copies": "approved",
    }
    check(work, case, "two-classifiers", store="fresh-classifiers")
    assert not list((work / "fresh-classifiers").glob("sources/*/*/texts-*"))


def test_a_source_of_which_nothing_is_escalated_is_scored_as_nothing(work, tmp_path):
    write_files(tmp_path / "data", "s", {"x": prose(3, 20)})
    recipe = write_recipe(
        tmp_path / "recipes", {"s": {"all": "true"}}, filters=[{"use": TOY, "level": "weak"}]
    )
    manifest = make(recipe, tmp_path, tmp_path / "data", filters=work / "filters")
    assert manifest["removed"]["s"]["filter toy weak"] == 0
    assert (
        make(recipe, tmp_path, tmp_path / "data", "again", filters=work / "filters")["identity"]
        == manifest["identity"]
    )


@pytest.mark.parametrize("quota", [{"all": "true"}, {"tokens": 30}])
def test_a_source_that_is_flagged_whole_leaves_nothing_under_shrink_and_fails_under_refill(
    tmp_path, quota
):
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(
        tmp_path / "data", "bad", {"x": [f"zorvex quillam {number}" for number in range(20)]}
    )
    write_files(tmp_path / "data", "good", {"x": prose(4, 20)})
    sources = {"bad": quota, "good": {"tokens": 90}}
    shrunk = write_recipe(tmp_path / "recipes", sources, filters=["list"], removed="shrink")
    manifest = make(shrunk, tmp_path, tmp_path / "data", filters=tmp_path / "filters")
    assert (manifest["total_tokens"], manifest["sources"][0]["documents"]) == (90, 0)
    assert [check.figure for check in audit_mix(tmp_path / "out").failures] == []
    refilled = write_recipe(tmp_path / "recipes", sources, filters=["list"])
    if "tokens" in quota:
        with pytest.raises(SupplyError, match=r"sources\.bad asks 30 tokens, 0 are available"):
            make(refilled, tmp_path, tmp_path / "data", "refilled", filters=tmp_path / "filters")
        assert not (tmp_path / "refilled").exists()
    else:
        make(refilled, tmp_path, tmp_path / "data", "refilled", filters=tmp_path / "filters")
        assert {document.source for document in read_mix(tmp_path / "refilled")} == {"good"}
        assert [check.figure for check in audit_mix(tmp_path / "refilled").failures] == []


def test_a_mix_is_proven_at_its_level_and_its_scores_are_those_that_decided(work):
    case: Case = {"quotas": dict.fromkeys(TEXTS), "filters": [{"use": TOY, "level": "weak"}]}
    built(work, case, "proven")
    toy = (str(work / "filters" / TOY / "filter.yaml"),)
    tokenizer = SHIPPED / "sample" / "tokenizer.json"
    judge = partial(audit_filters, work / "proven", toy, tokenizer=tokenizer, workers=1)
    weak_again = partial(judge, level="weak", rescored=5, store=work / "store")
    weak, strong = weak_again(), judge(level="strong")
    assert all(check.ok for check in weak.checks)
    assert weak.filters[0].rescored
    held = weak.filters[0].rescored["as stored"]
    assert (held.documents, held.identical, held.missing) == (5, 5, 0)
    assert [check.name for check in strong.checks if not check.ok] == [f"filter {TOY}"]
    forget = next((work / "store").glob("scores/*/*/p*/score"))
    content = forget.read_bytes()
    forget.write_bytes(content[:-4])
    with pytest.raises(ManifestError, match="score"):
        weak_again()
    forget.write_bytes(content)


@pytest.mark.parametrize(
    "given", [{"all": "true"}, {"tokens": 30, "shortfall": {"refill": "good"}}]
)
def test_a_source_that_is_flagged_whole_says_that_filters_removed_it(tmp_path, given):
    """Not that its documents are beyond a quota, which would have taken them."""
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(
        tmp_path / "data", "bad", {"x": [f"zorvex quillam {number}" for number in range(20)]}
    )
    write_files(tmp_path / "data", "good", {"x": prose(4, 20)})
    recipe = write_recipe(
        tmp_path / "recipes", {"bad": given, "good": {"tokens": 90}}, filters=["list"]
    )
    manifest = make(recipe, tmp_path, tmp_path / "data", filters=tmp_path / "filters")
    assert {name: count for name, count in manifest["removed"]["bad"].items() if count} == {
        "rows": 20,
        "filter list": 20,
    }
    assert [check.detail for check in audit_mix(tmp_path / "out").failures] == []
    assert {
        fate.reason
        for fate in Fates(MixStore(typed(manifest, "m"), tmp_path / "store")).of_digest(
            bytes.fromhex(digest("zorvex quillam 3"))
        )
    } == {"filter list"}


def test_what_the_store_knows_of_a_source_that_is_asked_for_nothing_does_not_show(tmp_path):
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(
        tmp_path / "data", "bad", {"x": [f"zorvex quillam {number}" for number in range(20)]}
    )
    write_files(tmp_path / "data", "good", {"x": prose(4, 40)})
    sources: Case = {"bad": {"tokens": 1, "shortfall": {"refill": "good"}}, "good": {"tokens": 400}}
    recipe = write_recipe(tmp_path / "recipes", sources, filters=["list"])
    more: dict[str, Any] = {"filters": tmp_path / "filters", "scale": Fraction(1, 9)}
    first = make(recipe, tmp_path, tmp_path / "data", "first", **more)
    whole = write_recipe(
        tmp_path / "recipes",
        {"bad": {"all": "true"}, "good": {"all": "true"}},
        filters=["list"],
        name="whole",
    )
    make(whole, tmp_path, tmp_path / "data", "whole", filters=tmp_path / "filters")
    assert make(recipe, tmp_path, tmp_path / "data", "later", **more)["digest"] == first["digest"]
    assert first["sources"][0]["asked_tokens"] == 0


def test_a_mix_of_nothing_but_flagged_documents_says_so(tmp_path):
    write_list_filter(tmp_path / "filters", "list", TERMS)
    write_files(tmp_path / "data", "bad", {"x": ["zorvex quillam"]})
    recipe = write_recipe(tmp_path / "recipes", {"bad": {"all": "true"}}, filters=["list"])
    with pytest.raises(RecipeError, match="every document of it is removed"):
        make(recipe, tmp_path, tmp_path / "data", filters=tmp_path / "filters")
