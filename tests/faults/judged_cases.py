"""Documents that a search for near-duplicates or an evaluation set judges wrongly by an easy rule:
what is removed, and what stays.
"""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.faults.endings import Builds, Case, Ending
from tests.pipeline.corpus import WORDS, write_files

VOCABULARY = [f"{one}{two}" for one in WORDS for two in WORDS]
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 900)]
THAI = [chr(point) for point in range(0x0E01, 0x0E2F)]


def text_of(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def unspaced(seed: int, letters: Sequence[str], count: int = 400) -> str:
    return "".join(random.Random(seed).choices(letters, k=count))


def edited(text: str, letters: Sequence[str]) -> str:
    """One character in a hundred is another."""
    draw = random.Random(1)
    places = set(draw.sample(range(len(text)), len(text) // 100))
    return "".join(draw.choice(letters) if at in places else one for at, one in enumerate(text))


def near(texts: Sequence[str], rule: Any, kept: int | None) -> Callable[[Path], Ending]:
    """Search among these texts. kept: how many must stay; None: the build must fail."""

    def run(folder: Path) -> Ending:
        builds = Builds(folder, sources={"a": {"all": "true"}})
        write_files(folder / "data", "a", {"0": list(texts)}, "jsonl")
        ended = builds.build(near=rule)
        return builds.failed(ended) if kept is None else builds.read(ended, kept)

    return run


def evaluated(
    items: Sequence[str], texts: Sequence[str], kept: int | None, **changes: Any
) -> Callable[[Path], Ending]:
    """Look for these items in the texts. kept: how many must stay; None: the build must fail."""

    def run(folder: Path) -> Ending:
        builds = Builds(folder, sources={"a": {"all": "true"}})
        write_files(folder / "data", "a", {"0": list(texts)}, "jsonl")
        content = "".join(json.dumps({"text": item}) + "\n" for item in items).encode()
        (folder / "recipes").mkdir()
        (folder / "recipes" / "set.jsonl").write_bytes(content)
        pin = {"path": "set.jsonl", "sha256": hashlib.sha256(content).hexdigest()}
        stated = {"name": "set", "files": [pin], "format": "jsonl", "columns": "lambada"}
        (folder / "recipes" / "set.yaml").write_text(json.dumps({**stated, **changes}))
        ended = builds.build(decontaminate={"sets": ["set.yaml"]})
        return builds.failed(ended) if kept is None else builds.read(ended, kept)

    return run


def problem(number: int) -> str:
    return (
        f"A farmer has {number * 7 + 3} apples in {number + 2} baskets and sells {number * 3} of"
        f" them at the market. How many apples are left in each of the {number + 2} baskets?"
    )


ONE = text_of(1)
ITEM = (
    "Which of the old stones was laid down first when the northern bridge was built across the"
    " wide river in spring?"
)
PLAIN = [text_of(seed) for seed in (11, 12)]
TEMPLATE = (
    "Read the following passage with care and then choose the one best answer to the question"
    " that is asked below."
)
ASKED = [f"{TEMPLATE} {text_of(seed, 20)}" for seed in range(20, 25)]
FORMULA = "a^2 + b^2 = c^2, x + y = z, p = q, m = n, 1 + 2 = 3, u = v, r = s, k = l"
FRAME = text_of(30, 20)
VERIFIED = {"rule": "words", "verify": "0.8"}

NEAR_CASES = [
    ("problems that differ in their numbers", near([problem(n) for n in range(40)], "words", 40)),
    ("Chinese copies, 1% edits", near([c := unspaced(2, HAN), edited(c, HAN)], "words", 1)),
    ("Thai copies, 1% edits", near([t := unspaced(3, THAI), edited(t, THAI)], "words", 1)),
    ("a copy in another normal form", near(["\u00e9 " + ONE, "e\u0301 " + ONE], VERIFIED, 1)),
    ("a copy in upper case", near([ONE, ONE.upper()], "words", 1)),
    ("upper case, verified as it is", near([ONE, ONE.upper()], VERIFIED, 2)),
    ("a copy with other white space", near([ONE, ONE.replace(" ", " \n")], VERIFIED, 1)),
    ("a copy between soft hyphens", near([ONE, "\u00ad".join(ONE)], "words", 1)),
    ("texts shorter than a shingle", near(["one two", "one, two", "one two!"], "words", 3)),
    (
        "texts that share a header and a footer",
        near([f"{FRAME} {text_of(40 + n, 60)} {FRAME}" for n in range(8)], "words", 8),
    ),
    (
        "a cluster of most of a source",
        near([f"{ONE} {n}" for n in range(150)], "words", None),
    ),
    (
        "that cluster, allowed",
        near([f"{ONE} {n}" for n in range(150)], {"rule": "words", "max_cluster": "1"}, 1),
    ),
]
EVALUATED_CASES = [
    ("an item as it is", evaluated([ITEM], [*PLAIN, f"x {ITEM} y"], 2)),
    (
        "an item in HTML",
        evaluated([ITEM], [*PLAIN, ITEM.replace(" ", "&nbsp;").replace("the", "<b>the</b>")], 2),
    ),
    (
        "an item with hyphens at line ends",
        evaluated([ITEM], [*PLAIN, ITEM.replace("northern", "nor-\nthern")], 2),
    ),
    (
        "an item in numbered lines",
        evaluated(
            [ITEM],
            [*PLAIN, "\n".join(f"{n}. {word}" for n, word in enumerate(ITEM.split(), start=1))],
            2,
        ),
    ),
    (
        "an item with footnote marks",
        evaluated([ITEM], [*PLAIN, ITEM.replace(" was", "[3] was\u00b9")], 2),
    ),
    (
        "an item in look-alike letters",
        evaluated([ITEM], [*PLAIN, ITEM.replace("o", "\u043e").replace("e", "\u0435")], 2),
    ),
    (
        "an item with its accents apart",
        evaluated(
            [ITEM.replace("e", "\u00e9")],
            [*PLAIN, unicodedata.normalize("NFD", ITEM.replace("e", "\u00e9"))],
            2,
        ),
    ),
    ("a template of many items", evaluated(ASKED, [*PLAIN, f"{TEMPLATE} And so on."], 3)),
    ("an item behind a template", evaluated(ASKED, [*PLAIN, ASKED[0]], 2)),
    ("a formula", evaluated([f"{ITEM} {FORMULA}"], [*PLAIN, f"It holds: {FORMULA}"], 3)),
    (
        "a set in a script that is not looked for",
        evaluated([*(unspaced(n, HAN, 40) for n in range(50)), ITEM], PLAIN, None),
    ),
    (
        "that set, allowed",
        evaluated(
            [*(unspaced(n, HAN, 40) for n in range(50)), ITEM], [*PLAIN, ITEM], 2, max_missed=1
        ),
    ),
]
FAILING = ("a cluster of most of a source", "a set in a script that is not looked for")
JUDGED_CASES = [
    Case(f"{kind} {number:02}", title, "F" if title in FAILING else "H", run)
    for kind, cases in (("near", NEAR_CASES), ("set", EVALUATED_CASES))
    for number, (title, run) in enumerate(cases, start=1)
]
