"""The command `plan`: what it probes, what it says of filters, disks, clusters and the machine, and
its exit codes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annealmix import __main__ as cli
from mixtures.errors import InputError
from mixtures.plan.cost import DEFAULT_RATES
from mixtures.plan.removal_levels import published_levels
from mixtures.recipe.load import load_recipe
from mixtures.rules.levels import LEVELS
from pipeline.commands.plan import calibration
from pipeline.commands.plan import disk as plan_disk
from pipeline.commands.plan import report as plan_report
from pipeline.commands.plan.build_plan import PlanRequest, plan
from pipeline.inputs.listing import list_files
from pipeline.inputs.survey import grouped
from tests.pipeline.corpus import prose, write_files, write_recipe

KERNELS = {name: 2 * value for name, value in calibration.REFERENCE.items()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small(tmp_path):
    """A folder with a source of 400 documents, every tenth of which names two agents, and its
    recipe.
    """
    texts = [
        f"{text} Abrin and Ricin." if number % 10 == 0 else text
        for number, text in enumerate(prose(1, 400))
    ]
    write_files(tmp_path / "data", "a", {"one": texts[:200], "two": texts[200:]})
    return lambda tokens, **more: write_recipe(tmp_path, {"a": {"tokens": tokens}}, **more)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any], str]:
    status = cli.main(["plan", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out), err


def test_a_certain_shortage_is_exit_5_with_what_would_mend_it(cache, small, tmp_path, capsys):
    assert run(capsys, small(1_000), "--data", tmp_path / "data")[0] == 0
    status, found, err = run(capsys, small(10**6), "--data", tmp_path / "data")
    assert status == 5
    assert found["shortfalls"][0]["certainty"] == "certain"
    assert "sources.a asks 1,000,000 tokens" in err
    assert "shortfall: {repeat: " in err


def test_a_source_is_probed_once_and_again_when_anything_of_it_changes(
    cache, small, tmp_path, capsys
):
    words = (small(1_000, filters=["control-lists"]), "--data", tmp_path / "data")
    first = run(capsys, *words)
    assert "probing a: 2 files, " in first[2]
    (kept,) = cache.glob("probes/*.json")
    assert "Ricin" not in kept.read_text(), "figures alone are kept, no text"
    assert run(capsys, *words)[:2] == first[:2]
    assert "probing" not in run(capsys, *words)[2]
    assert "probing a" in run(capsys, small(1_000, filters=[]), *words[1:])[2]
    file = next((tmp_path / "data" / "a").iterdir())
    os.utime(file, (1, 1))
    assert "probing a" in run(capsys, small(1_000, filters=["control-lists"]), *words[1:])[2]
    for kept in cache.glob("probes/*.json"):
        kept.write_text("{}")
    again = run(capsys, *words)
    assert "probing a" in again[2]
    assert again[1] == first[1]


def test_filters_at_hand_are_tried_at_every_level_that_they_have(cache, small, tmp_path, capsys):
    _, found, _ = run(capsys, small(1_000, filters=["control-lists"]), "--data", tmp_path / "data")
    assert set(found["removal_by_level"]) == {"strong"}, "the other levels take a classifier"
    strong = found["removal_by_level"]["strong"]["a"]
    assert strong["removed_share_estimated"] == found["sources"]["a"]["removed_share_estimated"]
    assert 0.05 < float(strong["removed_share_estimated"]) < 0.3
    assert strong["basis"] == "probe"


@pytest.mark.parametrize(("fraction", "exact"), [("1", True), ("0.5", False)])
def test_what_a_dose_removes_is_chance_even_where_every_document_was_judged(
    cache, small, tmp_path, capsys, fraction, exact
):
    recipe = small(1_000, filters=[{"use": "control-lists", "fraction": fraction}])
    _, found, _ = run(capsys, recipe, "--data", tmp_path / "data")
    low, high = map(float, found["sources"]["a"]["removed_share_interval"])
    assert low <= float(found["sources"]["a"]["removed_share_estimated"]) <= high
    assert (high - low < 0.001) == exact


def test_published_removals_are_shown_of_every_level_also_of_an_unfiltered_recipe():
    for name in ("annealing-50b", "annealing-50b-strong"):
        found = published_levels(load_recipe(name))
        assert set(found) == set(LEVELS)
        assert [
            f"{float(found[level]['pes2o-papers'].removed):.4f}" for level in ("weak", "strong")
        ] == [
            "0.1158",
            "0.1907",
        ]
    assert set(published_levels(load_recipe("pretraining-500b"))) == {"extra-weak", "strong"}
    assert published_levels(load_recipe("sample")) == {}


def test_units_of_the_ingest_are_the_groups_of_the_files(cache, small, tmp_path, monkeypatch):
    from pipeline.inputs import survey

    monkeypatch.setattr(survey, "GROUP_BYTES", (1, 1))
    recipe = load_recipe(str(small(1_000)))
    files = list_files(recipe.definitions["a"], tmp_path / "data" / "a")
    from pipeline.inputs.listing import DataFolders

    stages = plan(PlanRequest(recipe, data=DataFolders(tmp_path / "data"))).arrays
    assert stages[0].units == len(grouped(files, sum(file.size for file in files))) == 2


def test_tasks_are_at_most_units_and_take_the_time_of_the_stage_together():
    recipe = load_recipe("annealing-50b")
    for workers in (1, 16, 10_000):
        planned = plan(PlanRequest(recipe, workers=workers))
        for item in planned.arrays:
            seconds = planned.plan.resources.stages[item.stage].core_seconds
            assert 1 <= item.tasks <= item.units
            assert seconds is not None
            assert item.task_seconds is not None
            assert item.seconds is not None
            assert seconds <= item.tasks * item.task_seconds < seconds + item.tasks
            assert item.seconds >= item.task_seconds


def test_a_stage_whose_time_depends_on_the_device_says_so():
    found = plan(PlanRequest(load_recipe("annealing-50b-weak"))).plan
    assert found.resources.stages["score"].core_seconds is None
    assert any(note.startswith("score:") for note in found.notes)


def test_a_disk_that_certainly_cannot_hold_the_mix_is_refused_and_a_tight_one_warned_of(
    cache, tmp_path, capsys, monkeypatch
):
    words = ["annealing-50b", "--out", tmp_path / "mix", "--store", tmp_path / "store"]
    free = {"certain": 10**9, "tight": 210 * 10**9, "plenty": 10**12}
    for case, num_bytes in free.items():
        monkeypatch.setattr(
            "shutil.disk_usage", lambda _, free=num_bytes: type("Usage", (), {"free": free})
        )
        status, found, err = run(capsys, *words)
        assert status == (2 if case == "certain" else 0)
        assert bool(found["refusals"]) == (case == "certain")
        assert any("are free" in line for line in found["warnings"]) == (case == "tight")
        assert ("at the very least" in err) == (case == "certain")


def test_a_folder_that_is_there_may_hold_what_the_build_needs(tmp_path):
    recipe = load_recipe("annealing-50b")
    made = plan(PlanRequest(recipe)).plan
    (missing,) = plan_disk.disks(made, 2, None, tmp_path / "new" / "mix")
    (there,) = plan_disk.disks(made, 2, None, tmp_path)
    assert missing.least_bytes == 2 * 50_000_300_033
    assert there.least_bytes == 0


def test_a_calibration_scales_the_default_rates_and_is_kept(cache, monkeypatch, capsys):
    monkeypatch.setattr(
        calibration,
        "_kernels",
        lambda _: [(name, value, lambda: None) for name, value in KERNELS.items()],
    )
    monkeypatch.setattr(calibration, "_best", lambda amount, _: amount)
    assert calibration.load_rates() == DEFAULT_RATES
    made = calibration.calibrate()
    assert (made.read, made.select, made.write) == (
        2 * DEFAULT_RATES.read,
        2 * DEFAULT_RATES.select,
        2 * DEFAULT_RATES.write,
    )
    assert calibration.load_rates() == made
    _, found, _ = run(capsys, "annealing-50b")
    assert found["resources"]["rates"].startswith("calibrated on this machine, ")
    assert found["resources"]["core_seconds"] == pytest.approx(
        plan(PlanRequest(load_recipe("annealing-50b"))).plan.resources.core_seconds / 2, rel=0.01
    )
    monkeypatch.setattr(calibration, "_machine", lambda: "another machine")
    assert calibration.load_rates() == DEFAULT_RATES


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"m": {}}', '{"m": {"date": "x", "kernels": {"read": 0}}}']
)
def test_a_damaged_calibration_is_an_error_that_says_what_to_do(cache, content):
    cache.mkdir()
    (cache / "calibration.json").write_text(content)
    with pytest.raises(InputError, match="calibrate again, or delete it"):
        calibration.load_rates()


def test_every_kernel_does_its_work(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "TEXT_BYTES", 20_000)
    monkeypatch.setattr(calibration, "SORTED_KEYS", 1_000)
    monkeypatch.setattr(calibration, "WRITTEN_BYTES", 1 << 16)
    found = {name: (amount, kernel()) for name, amount, kernel in calibration._kernels(tmp_path)}
    assert set(found) == set(calibration.REFERENCE)
    assert calibration.made_texts(20_000) == calibration.made_texts(20_000)


def test_where_calibrations_lie(monkeypatch):
    monkeypatch.delenv("ANNEALMIX_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert calibration.calibration_file() == Path("/home/someone/.cache/annealmix/calibration.json")
    monkeypatch.setenv("ANNEALMIX_CACHE", "/own")
    assert calibration.calibration_file() == Path("/own/calibration.json")


def test_a_supply_is_shown_with_half_of_its_interval():
    shown = plan_report.supply
    assert shown(12_300_000_000, (11_800_000_000, 12_800_000_000)) == "12.3B ± 4%"
    assert shown(1_234_567, (1_231_000, 1_238_000)) == "1.23M ± 0.3%"
    assert shown(950, (950, 950)) == "950 ± 0.0%"
    assert shown(58_052_412_000, None) == "58.1B"
