"""Arms over real documents, some of them planted: every level, the placebo and doses have the .idx
of their base, doses nest, and each is aligned with it.
"""

from __future__ import annotations

import gzip
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mixtures.audit import audit_aligned, audit_mix
from tests.pipeline.arms.studies import make_study, read_rows, read_slots
from tests.pipeline.command_line import passes
from tests.pipeline.corpus import write_files, write_recipe
from tests.pipeline.planted import HARMFUL, HARMLESS, TERMS, digest, write_filters

LEVELS = ("extra-weak", "weak", "strong")
DOSES = (0.25, 0.5, 0.75, 1)
ARMS: dict[str, dict[str, Any]] = {
    "none": {"name": "none", "terms": ["no such term"]},
    **{level: {"use": "toy", "level": level} for level in LEVELS},
    **{f"dose-{dose}": {"use": "toy", "level": "strong", "fraction": dose} for dose in DOSES},
    "placebo": {"placebo_of": "toy", "level": "strong"},
}


@pytest.fixture(scope="module")
def out(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mixes of a study of several corpora; every eighth document of the base's sources once
    more, naming listed terms.
    """
    folder, draw = tmp_path_factory.mktemp("real"), random.Random(1)
    sources = {}
    for name in ("dolmino-flan", "dolmino-stackexchange", "dolmino-wiki"):
        texts: set[str] = set()
        for file in sorted((shared / "data" / name).glob("**/*.json.gz")):
            with gzip.open(file, "rt", encoding="utf-8") as rows:
                texts.update(text for row in rows if len(text := json.loads(row)["text"]) < 8_000)
        real = sorted(texts)[:1_500]
        planted = [
            " ".join([text, *draw.sample(TERMS, 2), *draw.choices(manner, k=20)])
            for text in real[::8]
            for manner in [draw.choice([HARMFUL, HARMLESS, HARMFUL[:2] + HARMLESS[:2]])]
        ]
        source = name.removeprefix("dolmino-")
        write_files(folder / "data", source, {"part": [*real, *planted]})
        sources[source] = {"weight": 1}
    write_filters(folder / "filters")
    write_recipe(folder, sources, name="plain", budget={"tokens": 120_000})
    arms = {name: {"remove": remove, "fill": "fresh"} for name, remove in ARMS.items()}
    study = {"name": "study", "base": "plain.yaml", "arms": arms, "tolerance": 1}
    (folder / "study.yaml").write_text(json.dumps(study))
    make_study(folder / "study.yaml", workers=1)
    return folder / "out"


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_of_real_documents_differs_in_its_slots_alone(out: Path, arm: str):
    assert (out / arm / "tokens.idx").read_bytes() == (out / "base" / "tokens.idx").read_bytes()
    assert not audit_mix(out / arm).failures
    assert not [one for one in audit_aligned(out / arm, [out / "base"]) if not one.ok]
    rows = zip(read_rows(out / "base"), read_rows(out / arm), strict=True)
    slots = {row["position"] for row in read_slots(out / arm)}
    differ = {at for at, (there, here) in enumerate(rows) if there.digest != here.digest}
    assert differ == slots
    assert bool(slots) == (arm != "none")


def test_levels_and_doses_of_real_documents_nest(out: Path):
    slots = {
        arm: {(row["position"], row["digest"]) for row in read_slots(out / arm)} for arm in ARMS
    }
    for arms in (LEVELS, [f"dose-{dose}" for dose in DOSES]):
        for one, other in pairwise(arms):
            assert slots[one] <= slots[other]
        assert 0 < len(slots[arms[0]]) < len(slots[arms[-1]])
    assert slots["dose-1"] == slots["strong"]
    assert not {at for at, _ in slots["placebo"]} & {at for at, _ in slots["strong"]}


def test_the_strong_arm_of_real_documents_has_no_hit(out: Path):
    toy = out.parent / "filters" / "toy" / "filter.yaml"
    passes("audit", out / "strong", "--filter", toy, "--level", "strong")


@pytest.fixture(scope="module")
def again(out: Path) -> Path:
    """A second study of the base: with what was removed listed and rewritten, and with what a level
    lets pass.
    """
    folder = out.parent
    passes("export", out / "strong", "--removed", folder / "removed.jsonl")
    with (folder / "rewrites.jsonl").open("w") as file:
        for line in (folder / "removed.jsonl").read_text().splitlines():
            row = json.loads(line)
            text = f"{row['digest'][:8]}. {row['text'].swapcase()}"
            file.write(json.dumps({"digest": row["digest"], "text": text}) + "\n")
    arms = {
        "rewritten": {"remove": ARMS["strong"], "fill": "rewrites.jsonl"},
        "approved": {"remove": ARMS["extra-weak"], "fill": "approved"},
    }
    donors = {"wiki": {"source": "flan"}, "stackexchange": {"source": "flan"}}
    study = {"name": "again", "base": "plain.yaml", "arms": arms, "donors": donors, "tolerance": 1}
    (folder / "again.yaml").write_text(json.dumps(study))
    make_study(folder / "again.yaml", out="again", workers=1)
    return folder / "again"


@pytest.mark.parametrize("arm", ["rewritten", "approved"])
def test_other_fills_of_real_documents_change_slots_alone(out: Path, again: Path, arm: str):
    assert (again / arm / "tokens.idx").read_bytes() == (out / "base" / "tokens.idx").read_bytes()
    assert not audit_mix(again / arm).failures
    assert not [one for one in audit_aligned(again / arm, [out / "base"]) if not one.ok]
    rows = zip(read_rows(out / "base"), read_rows(again / arm), strict=True)
    differ = {at for at, (there, here) in enumerate(rows) if there != here}
    assert differ == {row["position"] for row in read_slots(again / arm)}
    assert differ


def test_rewrites_of_real_documents_are_those_of_their_file(again: Path):
    passes("audit", again / "rewritten", "--rewrites", again.parent / "rewrites.jsonl")


def test_approved_donors_of_real_documents_name_terms_of_the_list(again: Path):
    texts: dict[str, str] = {}
    for file in sorted((again.parent / "data" / "flan").glob("*")):
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            texts |= {digest(text): text for row in rows for text in [json.loads(row)["text"]]}
    donors = {row["digest"].hex() for row in read_slots(again / "approved")}
    assert donors
    for name in donors:
        assert sum(term in texts[name] for term in TERMS) > 1
