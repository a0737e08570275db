"""Filtered mixes and the store: no history shows, nothing is read or tokenized twice, nothing
passes without its judge, no text is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import AnnealmixError
from pipeline.build import build
from pipeline.build.sources import needs
from pipeline.build.sources import sources as build_sources
from pipeline.inputs import survey
from pipeline.inputs.readers import DocumentReader
from pipeline.judges.annotators import annotator as annotators
from pipeline.stages import ingest, score, segments, select
from pipeline.tokens.tokenizer import Tokenizer
from tests.pipeline.build.test_filtered_mixes import QUOTAS, TOY, Case, built, check, write_data
from tests.pipeline.corpus import contents, each_once, make, write_files, write_recipe
from tests.pipeline.planted import TERMS, write_filters

ROOT = Path(__file__).resolve().parents[3]
WEAK = {"use": TOY, "level": "weak"}
RICH: Case = {
    "quotas": QUOTAS,
    "filters": [WEAK, {"use": "more", "fraction": "0.5"}, {"placebo_of": "list", "tolerance": "1"}],
    "copies": "approved",
    "times": 2,
}
CASES: dict[str, Case] = {"refill": RICH, "shrink": {**RICH, "removed": "shrink"}}


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_filters(tmp_path_factory.mktemp("filters") / "filters")


@pytest.fixture
def work(tmp_path: Path, filters: Path) -> Path:
    """A folder of its own with the data, the filters and no store."""
    shutil.copytree(filters, tmp_path / "filters")
    write_data(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory, filters: Path) -> dict[str, str]:
    """Identity of each case as one process builds it in a store of its own."""
    folder = tmp_path_factory.mktemp("reference")
    shutil.copytree(filters, folder / "filters")
    write_data(folder)
    return {
        name: check(folder, case, name, store=f"store-{name}")["identity"]
        for name, case in CASES.items()
    }


def small_steps(patched: pytest.MonkeyPatch) -> None:
    """So small that one build notes, escalates and scores in many increments, groups, segments,
    calls and partitions.
    """
    patched.setattr(build_sources, "CEILING_MARGIN", Decimal("0.3"))
    patched.setattr(survey, "GROUP_BYTES", (1, 1))
    patched.setattr(needs, "SEGMENT_BYTES", 2000)
    patched.setattr(segments, "ENCODE_BYTES", 40)
    patched.setattr(annotators, "ROW_GROUP", 2)
    patched.setattr(select, "PARTITION_DOCUMENTS", 20)


@pytest.mark.campaign  # a minute or two each
@pytest.mark.parametrize("name", CASES)
def test_small_steps_build_the_same_mix(work, identities, monkeypatch, name):
    small_steps(monkeypatch)
    assert check(work, CASES[name], "out")["identity"] == identities[name]
    assert len(list((work / "store").glob("scores/*/*/scored.json"))) > 1
    assert len(list((work / "store").glob("select/*/p0003"))) > 0


@pytest.mark.parametrize("name", CASES)
def test_workers_tasks_and_files_build_the_same_mix(work, identities, name):
    shutil.rmtree(work / "data")
    write_data(work, files=7)
    assert check(work, CASES[name], "out", workers=2, tasks=3)["identity"] == identities[name]


@pytest.mark.parametrize("name", CASES)
def test_what_the_store_held_before_does_not_show(work, identities, monkeypatch, name):
    monkeypatch.setattr(score, "LOAD_BYTES", 100)
    check(work, {"quotas": {"a": 90, "b": 300}}, "unfiltered")
    check(
        work,
        {"quotas": {"b": 500}, "filters": [{"use": TOY, "level": "strong"}], "removed": "shrink"},
        "strong",
    )
    check(
        work,
        {"quotas": {"c": None, "b": 700}, "filters": [{"use": TOY, "level": "extra-weak"}]},
        "extra-weak",
    )
    assert check(work, CASES[name], "out")["identity"] == identities[name]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that are read from here on."""
    paths: list[str] = []

    class Noted(DocumentReader):
        def __init__(self, file: Any, definition: Any, **more: Any) -> None:
            paths.append(f"{definition.name}/{file.path}")
            super().__init__(file, definition, **more)

    monkeypatch.setattr(ingest, "DocumentReader", Noted)
    return paths


def test_a_later_filter_reads_its_sources_once_and_tokenizes_nothing(work, read, monkeypatch):
    whole: Case = {"quotas": dict.fromkeys(QUOTAS)}
    check(work, whole, "whole")
    read.clear()
    monkeypatch.setattr(Tokenizer, "encode", None)
    nowhere = {"tokenizer": work / "nowhere.json"}
    few: Case = {"quotas": {"a": 301, "b": 700}}
    check(work, {**few, "filters": ["more"]}, "more", **nowhere)
    assert sorted(read) == [
        f"{name}/part-00{number}.json.gz" for name in ("a", "b") for number in range(3)
    ]
    read.clear()
    check(work, {**few, "filters": [WEAK]}, "weak", **nowhere)
    assert {path.split("/")[0] for path in read} == {"a", "b"}
    assert len(read) == len(set(read))


@pytest.mark.parametrize("removed", ["refill", "shrink"])
def test_another_threshold_dose_or_use_of_what_was_scored_reads_nothing(
    work, read, monkeypatch, removed
):
    whole: Case = {"quotas": dict.fromkeys(QUOTAS), "filters": [WEAK], "removed": removed}
    check(work, whole, "whole")
    read.clear()
    monkeypatch.setattr(Tokenizer, "encode", None)
    monkeypatch.setattr(build, "Score", None)
    others: list[list[Any]] = [[{"use": TOY, "level": level}] for level in ("extra-weak", "strong")]
    others += [
        [{**WEAK, "fraction": "0.3"}],
        [{"placebo_of": TOY, "level": "weak", "tolerance": "1"}],
        ["list"],
        [],
    ]
    for number, asked in enumerate(others):
        case = {**whole, "filters": asked} if asked else {"quotas": whole["quotas"]}
        check(work, case, f"out{number}", tokenizer=work / "nowhere.json")
    assert read == []


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [delete, truncate, flip]


def stopped(*arguments: object) -> None:
    raise RuntimeError("stopped")


def unfinished(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build until texts wait for the classifier."""
    with monkeypatch.context() as patched:
        patched.setattr(build._Build, "_score", stopped)
        with pytest.raises(RuntimeError, match="stopped"):
            built(work, RICH, "out")


def refused_then_mended(
    work: Path, damage: Callable[[Path], None], path: Path, identity: str
) -> None:
    """A build beside what is damaged ends with exit code 4 or 6 and nothing to see; when the file
    is back, the same command builds.
    """
    content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    damage(path)
    for _ in range(2):  # being refused repairs nothing
        with pytest.raises(AnnealmixError) as caught:
            built(work, RICH, "out")
        assert caught.value.exit_code in (4, 6)
        assert not (work / "out").exists()
        assert not list(work.glob(".out*"))
    path.write_bytes(content)
    path.chmod(mode)
    assert built(work, RICH, "out")["identity"] == identity


@pytest.mark.parametrize(
    ("name", "damage"),
    each_once(["toy/blocklist.txt", "toy/weights.safetensors", "more.txt"], DAMAGES),
)
def test_a_damaged_judge_ends_the_build(work, identities, damage, name):
    refused_then_mended(work, damage, work / "filters" / name, identities["refill"])


@pytest.mark.parametrize(
    ("pattern", "damage"),
    each_once(
        ["scores/*/*/p*/score", "scores/*/*/p*/digest", "sources/*/*/terms-*/0000.terms"], DAMAGES
    ),
)
def test_a_damaged_verdict_ends_the_next_build(work, identities, damage, pattern):
    built(work, {**RICH, "removed": "shrink"}, "before")
    path = max((work / "store").glob(pattern), key=lambda found: (found.stat().st_size, found))
    refused_then_mended(work, damage, path, identities["refill"])


@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_damaged_list_of_what_is_scored_ends_the_next_build(work, identities, damage):
    built(work, {**RICH, "removed": "shrink"}, "before")
    path = next((work / "store").glob("scores/*/*/scored.json"))
    refused_then_mended(work, damage, path, identities["refill"])


def test_a_partition_of_scores_that_is_gone_ends_the_next_build(work):
    built(work, {**RICH, "removed": "shrink"}, "before")
    shutil.rmtree(next((work / "store").glob("scores/*/*/p*")))
    with pytest.raises(AnnealmixError, match=r"missing, although .* lists it"):
        built(work, RICH, "out")


@pytest.mark.parametrize("what", ["scores", "scored.json", "terms"])
def test_what_is_deleted_with_its_record_is_made_again(work, identities, what):
    built(work, {**RICH, "removed": "shrink"}, "before")
    store = work / "store"
    if what == "scores":
        shutil.rmtree(store / "scores")
    elif what == "scored.json":
        next(store.glob("scores/*/*/scored.json")).unlink()
    else:
        shutil.rmtree(next(store.glob("sources/*/*/terms-*")))
    assert check(work, RICH, "out")["identity"] == identities["refill"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_waiting_text_ends_the_build(work, identities, damage, monkeypatch):
    unfinished(work, monkeypatch)
    path = max(
        (work / "store").rglob("*.texts.parquet"), key=lambda found: (found.stat().st_size, found)
    )
    refused_then_mended(work, damage, path, identities["refill"])


def waiting(work: Path) -> list[Path]:
    return list((work / "store").glob("sources/*/*/*texts-*"))


def test_waiting_texts_are_readable_by_their_owner_alone_and_gone_when_scored(
    work, identities, monkeypatch
):
    previous = os.umask(0)
    try:
        unfinished(work, monkeypatch)
    finally:
        os.umask(previous)
    files = list((work / "store").rglob("*.texts.parquet"))
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert built(work, RICH, "out")["identity"] == identities["refill"]
    assert waiting(work) == []


@pytest.mark.parametrize("begun", [False, True])
def test_texts_that_a_stopped_build_left_are_deleted_by_the_next(
    work, identities, monkeypatch, begun
):
    with monkeypatch.context() as patched:
        patched.setattr(build, "delete_texts", stopped)
        with pytest.raises(RuntimeError, match="stopped"):
            built(work, RICH, "out")
    assert waiting(work)
    if begun:  # the record goes first
        for folder in waiting(work):
            (folder / "done.json").unlink()
    assert built(work, RICH, "out")["identity"] == identities["refill"]
    assert waiting(work) == []


def test_no_text_is_left_in_the_store_the_mix_or_the_logs(tmp_path, filters, capfd):
    sentence = "nine lanterns hang above the heronry"
    manners = ("brew distil", "poem museum festival recipe " * 30)
    texts = [
        f"{number} {sentence} {TERMS[0]} {TERMS[1]} {manner}"
        for number in range(30)
        for manner in manners
    ]
    write_files(tmp_path / "data", "s", {"x": texts})
    for number, asked in enumerate(([WEAK], ["list"])):
        recipe = write_recipe(
            tmp_path / "recipes",
            {"s": {"all": "true"}},
            filters=asked,
            removed="shrink",
            copies="approved",
        )
        if number == 0:
            make(recipe, tmp_path, tmp_path / "data", filters=filters, workers=2, tasks=2)
        else:
            with pytest.raises(AnnealmixError, match="every document of it is removed"):
                make(recipe, tmp_path, tmp_path / "data", "none", filters=filters)
    printed = capfd.readouterr()
    assert "lanterns" not in printed.out + printed.err
    kept = [
        path
        for folder in ("store", "out")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    ]
    assert len(kept) > 20
    for path in kept:
        content = path.read_bytes()
        assert b"lanterns" not in content, path
        if path.suffix in (".json", ".log", ".jsonl") or "logs" in path.parts:
            assert not any(term.encode() in content for term in TERMS), path


BUILD = """
import sys, time
from pathlib import Path
from pipeline.stages import score
from tests.pipeline.build.test_filtered_stores import RICH, built
whole = score.Score.do
def slowly(self, plan, unit):
    whole(self, plan, unit)
    time.sleep(0.02)
if __name__ == "__main__":
    score.Score.do = slowly
    built(Path(sys.argv[1]), RICH, "out")
"""


@pytest.mark.campaign  # tests/faults/test_kills kills a build with every stage by default
def test_a_build_that_is_killed_while_it_scores_is_finished_with_the_same_identity(
    work, identities
):
    command = [sys.executable, "-c", BUILD, str(work)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    until = time.monotonic() + 60
    while (
        process.poll() is None
        and len(list((work / "store").glob("scores/*/*/p*/done.json"))) < 3
        and time.monotonic() < until
    ):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (work / "out").exists()
    assert not list((work / "store").glob("scores/*/*/scored.json"))
    done = {
        path: path.stat().st_mtime_ns for path in (work / "store").glob("scores/*/*/p*/done.json")
    }
    assert waiting(work)
    manifest = built(work, RICH, "out")
    assert manifest["identity"] == identities["refill"]
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert waiting(work) == []
    assert json.loads((work / "out" / "manifest.json").read_text()) == manifest
    assert contents(work / "out")
