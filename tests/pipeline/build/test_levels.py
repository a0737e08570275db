"""A filter's levels are its own: fitted to what they are to remove, nested in what they remove, and
said where two of them remove the same.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest

from mixtures.audit import audit_mix
from mixtures.errors import RecipeError
from mixtures.mix.claims import read_claims
from mixtures.recipe.load import load_recipe
from mixtures.rules.filter_files import load_filter
from mixtures.rules.levels import LEVELS
from pipeline.commands.build.report import show
from pipeline.commands.filter.train import (
    PUBLISHED_LEVELS,
    TrainRequest,
    make_bundle,
)
from pipeline.judges.classifiers.training import Goal
from pipeline.places.places import read_place
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import WORDS, make, read_mix, sharded, write_files, write_recipe
from tests.pipeline.planted import HARMFUL, HARMLESS, TERMS, write_list_filter


def shaded(seed: int, count: int) -> list[tuple[str, bool]]:
    """Documents that name two terms and are harmful to a degree, and whether the labeller found
    them so.
    """
    draw = random.Random(seed)
    found = []
    for number in range(count):
        harmful = draw.randint(0, 8)
        words = [
            f"{seed}.{number}",
            *draw.sample(TERMS, 2),
            *draw.choices(HARMFUL, k=harmful),
            *draw.choices(HARMLESS, k=8 - harmful),
            *draw.choices(WORDS, k=draw.randint(2, 30)),
        ]
        found.append((" ".join(words), harmful + draw.randint(-2, 2) > 4))
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filter that is fitted to the published removal, a recipe of each level, the mixes."""
    work = tmp_path_factory.mktemp("levels")
    rows = [{"text": text, "label": int(harmful)} for text, harmful in shaded(1, 1500)]
    (work / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "terms.txt").write_text("\n".join(TERMS))
    golden = f"{TERMS[0]} {TERMS[1]} {' '.join(HARMFUL * 2)}"
    make_bundle(
        TrainRequest(
            labelled=[work / "labelled.jsonl"],
            out=work / "filters" / "shades",
            blocklist=work / "terms.txt",
            golden_flagged=(golden,),
            levels=PUBLISHED_LEVELS,
        )
    )
    plain = [f"plain {number} {' '.join(WORDS)}" for number in range(300)]
    texts = [*(text for text, _ in shaded(2, 300)), *plain]
    write_files(work / "data", "a", sharded(texts, 2))
    for level in LEVELS:
        filters = [{"use": "shades", "level": level}]
        recipe = write_recipe(work / "recipe", {"a": {"all": "true"}}, name=level, filters=filters)
        make(recipe, work, work / "data", level, filters=work / "filters")
    return work


def test_levels_are_fitted_to_the_published_removal_of_the_escalated(work: Path) -> None:
    report = json.loads((work / "filters" / "shades" / "report.json").read_text())
    for name, goal in PUBLISHED_LEVELS.items():
        said = report["levels"][name]
        assert 0 <= int(goal.value * 1_000_000) - said["removal"] < 10_000
    levels = load_filter(str(work / "filters" / "shades" / "filter.yaml")).definition.levels
    assert {name: int(pin.threshold * 1_000_000) for name, pin in levels.items()} == {
        name: said["threshold"] for name, said in report["levels"].items()
    }


def test_three_levels_are_three_mixes_and_each_removes_what_the_weaker_does(work: Path) -> None:
    kept = [{one.digest for one in read_mix(work / level)} for level in LEVELS]
    extra_weak, weak, strong = kept
    assert strong < weak < extra_weak
    claims = [read_claims(work / level) for level in LEVELS]
    assert len({one.identity for one in claims}) == len({one.mix_id for one in claims}) == 3
    removed = [one.filters[0].removed["a"].documents for one in claims]
    assert [claims[0].filters[0].levels[level] for level in LEVELS] == removed
    assert [one.filters[0].alike for one in claims] == [[], [], []]
    assert all(audit_mix(work / level).passed for level in LEVELS)


def test_a_level_that_the_filter_does_not_have_is_refused(work: Path) -> None:
    folder = work / "without"
    file = folder / "shades" / "filter.yaml"
    (folder / "shades").mkdir(parents=True)
    for path in (work / "filters" / "shades").iterdir():
        (folder / "shades" / path.name).write_bytes(path.read_bytes())
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "weak" not in line and "levels" not in line))
    recipe = str(work / "recipe" / "weak.yaml")
    with pytest.raises(RecipeError, match="does not say what its level weak is"):
        load_recipe(recipe, folder)
    assert load_recipe(str(work / "recipe" / "strong.yaml"), folder).filters


def test_weaker_levels_have_higher_thresholds(work: Path) -> None:
    file = work / "filters" / "shades" / "filter.yaml"
    text = file.read_text()
    bad = file.with_name("bad.yaml")
    bad.write_text(text.replace("weak: {threshold: 0", "weak: {threshold: 0.000001}  # 0", 1))
    with pytest.raises(RecipeError, match="it must flag less"):
        load_filter(str(bad))
    bad.unlink()


def test_levels_that_come_out_alike_are_said(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with the published threshold of another classifier: nothing scores below it."""
    text = (work / "filters" / "shades" / "filter.yaml").read_text()
    (tmp_path / "shades").mkdir()
    for path in (work / "filters" / "shades").iterdir():
        (tmp_path / "shades" / path.name).write_bytes(path.read_bytes())
    before, _, after = text.partition("  weak: {threshold: ")
    changed = f"{before}  weak: {{threshold: 0.000001{after[after.index('}') :]}"
    (tmp_path / "shades" / "filter.yaml").write_text(changed)
    recipe = work / "recipe" / "weak.yaml"
    make(recipe, work, work / "data", "alike", filters=tmp_path)
    claims = read_claims(work / "alike")
    [line] = claims.filters[0].alike
    assert "levels weak and strong flag the same 300 documents" in line
    show(claims, read_place(str(work / "alike"), ()))
    printed = capsys.readouterr()
    assert line in printed.out + printed.err
    audited = passes("audit", work / "alike")
    assert line in audited.out + audited.err
    strong = read_claims(work / "strong")
    assert claims.identity == strong.identity
    assert claims.mix_id != strong.mix_id
    assert "two mixes by their mix ids" in passes("diff", work / "alike", work / "strong").out


@pytest.mark.parametrize(
    "word", ["weak", "weak=0.5", "strong=removal:0.5", "weak=f1:0.5", "weak=removal:2"]
)
def test_what_a_level_cannot_be_fitted_to_is_refused(work: Path, word: str) -> None:
    words = ("--out", work / "new", "--blocklist", work / "terms.txt", "--levels", word)
    assert word in fails(2, "filter", "train", work / "labelled.jsonl", *words)


def test_levels_that_are_no_two_are_refused(work: Path) -> None:
    request = TrainRequest(
        labelled=[work / "labelled.jsonl"],
        out=work / "new",
        blocklist=work / "terms.txt",
        levels={
            "extra-weak": Goal("removal", Decimal("0.5")),
            "weak": Goal("removal", Decimal("0.2")),
        },
    )
    with pytest.raises(RecipeError, match="extra-weak must flag less"):
        make_bundle(request)
    assert not (work / "new").exists()


def test_a_list_alone_has_no_levels(tmp_path: Path) -> None:
    levels = {"weak": {"threshold": "0.5"}}
    write_list_filter(tmp_path, "list", TERMS, levels=levels)
    with pytest.raises(RecipeError, match="there is no classifier"):
        load_filter(str(tmp_path / "list.yaml"))
