"""`export --trainer`: the configuration of a built mix, on stdout or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from annealmix import __main__ as cli
from mixtures.errors import RecipeError
from mixtures.trainers.names import TRAINERS
from pipeline.commands.export.trainer import Wish, export_trainer
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`out`: 2,500 tokens. `steps`: 12 steps of 2 x 100 tokens and the one more."""
    work = tmp_path_factory.mktemp("with a blank")
    write_files(work / "data", "one", sharded(prose(1, 200), 2))
    make(
        write_recipe(work / "recipe", {"one": {"weight": 1}}, budget={"tokens": 2_500}),
        work,
        work / "data",
    )
    budget = {"steps": 12, "batch": 2, "sequence": 100}
    make(
        write_recipe(work / "recipe", {"one": {"weight": 1}}, name="steps", budget=budget),
        work,
        work / "data",
        out="steps",
    )
    return work


def test_the_printed_configuration_is_of_this_mix(work: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        cli.main(
            [
                "export",
                str(work / "out"),
                "--trainer",
                "olmo-core",
                "--sequence",
                "100",
                "--batch",
                "2",
            ]
        )
        == 0
    )
    config = YAML(typ="safe").load(capsys.readouterr().out)
    assert config["dataset"]["paths"] == [str(work / "out" / "tokens.bin")]
    assert config["dataset"]["tokenizer"]["vocab_size"] == 2000
    assert config["trainer"]["max_duration"]["value"] == 12


def test_a_recipe_in_steps_gives_its_schedule_and_its_warnings(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export_trainer(work / "steps", "neox", tmp_path / "neox.yml", None, Wish())
    config = YAML(typ="safe").load((tmp_path / "neox.yml").read_text(encoding="utf-8"))
    assert (config["seq_length"], config["train_batch_size"], config["train_iters"]) == (100, 2, 12)
    assert "gpt-neox issue 972" in capsys.readouterr().err
    assert "gpt-neox issue 972" in (tmp_path / "neox.yml").read_text(encoding="utf-8")


def test_tokens_that_are_seen_twice_are_asked_for_and_said(
    work: Path, capsys: pytest.CaptureFixture[str]
):
    export_trainer(work / "out", "megatron", None, None, Wish(100, 2, 20))
    said = capsys.readouterr()
    assert "--train-iters 20" in said.out
    assert "short of 20 steps" in said.err


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_mix_of_less_than_a_step_is_refused(work: Path, tmp_path: Path, trainer):
    with pytest.raises(RecipeError, match="less than a step"):
        export_trainer(work / "out", trainer, tmp_path / "config", None, Wish())
    assert list(tmp_path.iterdir()) == []


def test_nanotron_gets_a_folder_with_the_bin_and_so_needs_a_place(work: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="--out FILE"):
        export_trainer(work / "out", "nanotron", None, None, Wish(100, 2))
    export_trainer(work / "out", "nanotron", tmp_path / "nano.yaml", None, Wish(100, 2))
    config = YAML(typ="safe").load((tmp_path / "nano.yaml").read_text(encoding="utf-8"))
    folder = Path(config["data_stages"][0]["data"]["dataset"]["dataset_folder"])
    assert [path.name for path in folder.iterdir()] == ["tokens.ds"]
    assert (folder / "tokens.ds").read_bytes() == (work / "out" / "tokens.bin").read_bytes()
    assert config["tokens"]["train_steps"] == 2_500 // 101 // 2


def test_what_exists_is_not_written_over(work: Path, tmp_path: Path):
    (tmp_path / "config").write_text("mine")
    with pytest.raises(RecipeError, match="exists"):
        export_trainer(work / "out", "neox", tmp_path / "config", None, Wish(100, 2))
    assert (tmp_path / "config").read_text() == "mine"


def test_a_path_that_no_configuration_can_hold_is_refused(work: Path, tmp_path: Path):
    (tmp_path / "a\nb").symlink_to(work / "out")
    with pytest.raises(RecipeError, match="control characters"):
        export_trainer(tmp_path / "a\nb", "neox", None, None, Wish(100, 2))
