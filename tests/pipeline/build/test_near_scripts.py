"""What the rules of near-duplicates see of numbers and of scripts without spaces, in builds."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.rules.near import PRESETS
from tests.pipeline.corpus import WORDS, make, write_files, write_recipe

HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 900)]


def built(folder: Path, texts: list[str], near: Any, **more: Any) -> dict[str, Any]:
    write_files(folder / "data", "a", {"0": texts}, "jsonl")
    recipe = write_recipe(
        folder / "recipes", {"a": {"all": "true"}}, {"a": "jsonl"}, near=near, **more
    )
    return make(recipe, folder, folder / "data")


def chinese(draw: random.Random, length: int) -> str:
    return "".join("，" if at % 17 == 16 else draw.choice(HAN) for at in range(length))


def edited(text: str, draw: random.Random) -> str:
    """One character in a hundred replaced."""
    places = set(draw.sample(range(len(text)), len(text) // 100))
    return "".join(draw.choice(HAN) if at in places else one for at, one in enumerate(text))


def test_copies_of_chinese_texts_with_one_percent_of_edits_are_found(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts = [chinese(draw, 400) for _ in range(40)]
    manifest = built(tmp_path, [*texts, *(edited(text, draw) for text in texts)], "words")
    assert manifest["near"]["dropped"]["a"] >= 36
    assert manifest["near"]["largest"][0]["documents"] == 2


def test_a_rule_that_hardly_sees_a_script_says_so(tmp_path: Path, capsys: Any) -> None:
    draw = random.Random(6)
    texts = [chinese(draw, 200) for _ in range(4)]
    plain = [" ".join(draw.choices(WORDS, k=40)) for _ in range(4)]
    built(tmp_path, [*texts, *plain], "characters")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "scripts" in line)
    share = int(line.partition("%")[0].rpartition(" ")[2])
    assert 30 < share < 60
    assert "of a are of scripts without spaces" in line
    assert "finds 7%; the rule `words` finds 99%" in line


def problem(number: int) -> str:
    first, second, third = number * 7 + 3, number * 11 + 5, number % 89 + 2
    return (
        f"A farmer has {first} apples in {third} baskets and sells {second} of them. How many"
        f" apples are left in each of the {third} baskets after he sold {second}?"
    )


@pytest.mark.parametrize(
    "near", ["words", {"rule": "words", "verify": "0.8"}, "characters", "nemo-curator-0"]
)
def test_problems_that_differ_in_their_numbers_stay(tmp_path: Path, near: Any) -> None:
    manifest = built(tmp_path, [problem(number) for number in range(100)], near)
    assert manifest["removed"]["a"]["kept"] == 100


VERIFIED = {"rule": "words", "verify": "0.8"}


@pytest.mark.campaign
@pytest.mark.parametrize("near", [*PRESETS, VERIFIED])
def test_problems_that_share_some_numbers_stay_under_every_rule(tmp_path: Path, near: Any) -> None:
    """All of them under a rule that verifies at 0.8. The others call some alike, since every 89th
    problem shares two of its three numbers; 485 is the least that any of them kept when this was
    written, and holds them there: it is not derived from their bands.
    """
    manifest = built(tmp_path, [problem(number) for number in range(500)], near)
    least = 500 if near == VERIFIED else 485
    assert manifest["removed"]["a"]["kept"] >= least


@pytest.mark.campaign
@pytest.mark.parametrize("near", [*PRESETS, VERIFIED])
def test_sixty_long_texts_that_have_nothing_in_common_stay_sixty(tmp_path: Path, near: Any) -> None:
    """Letters are drawn: two texts of that length from one vocabulary have nearly all sequences of
    five characters in common, and are what a rule of those calls alike.
    """
    draw = random.Random(9)
    letters = f"{string.ascii_lowercase}    "
    texts = ["".join(draw.choices(letters, k=500_000)) for _ in range(60)]
    write_files(tmp_path / "data", "a", {"0": texts}, "jsonl")
    recipe = write_recipe(
        tmp_path / "recipes", {"a": {"tokens": 1000}}, {"a": "jsonl"}, near=near
    )  # all are searched, few tokens made
    manifest = make(recipe, tmp_path, tmp_path / "data")
    assert (manifest["near"]["documents"], manifest["near"]["clusters"]) == (60, 0)


def copies(count: int, of: int) -> list[str]:
    """Texts of which so many are one but for a word at the end."""
    draw = random.Random(8)
    words = [f"{one}{two}" for one in WORDS for two in WORDS]
    shared = " ".join(draw.choices(words, k=80))
    others = [" ".join(draw.choices(words, k=80)) for _ in range(of - count)]
    return [*(f"{shared} {number}" for number in range(count)), *others]


def test_a_cluster_of_a_large_part_of_a_source_ends_the_build_unless_it_is_allowed(
    tmp_path: Path, capsys: Any
) -> None:
    texts = copies(120, 400)
    message = r"one cluster holds 120 of the 400 documents of a,.*of Jaccard similarity 0\.9"
    with pytest.raises(RecipeError, match=message):
        built(tmp_path, texts, "words")
    manifest = built(tmp_path, texts, {"rule": "words", "max_cluster": "0.3"})
    assert manifest["removed"]["a"]["kept"] == 281
    (cluster,) = manifest["near"]["largest"]
    assert (cluster["documents"], cluster["sources"]) == (120, {"a": 120})
    assert len(cluster["similarities"]) == 5
    printed = capsys.readouterr().err
    assert "near-duplicates: 120 of 400 documents in 1 cluster" in printed
    assert "120 documents (a 120), of Jaccard similarity 0.97 in 5 pairs" in printed


def test_a_small_cluster_is_never_refused(tmp_path: Path) -> None:
    manifest = built(tmp_path, copies(100, 100), "words")
    assert manifest["removed"]["a"]["kept"] == 1
