"""`export --trainer`: the configuration of a built mix, and the links that it names."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mixtures.errors import RecipeError
from mixtures.mix.claims import read_claims
from mixtures.mix.trace import TracedMix
from mixtures.mix.training import Training, TrainingOrder
from mixtures.trainers.names import TRAINERS, OrderName, Trainer
from pipeline.commands.export.trainer import export_trainer
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`out`: 2,500 tokens. `arm`: as many, of other documents. `steps`: 12 steps of 2 x 100 tokens
    and the one more.
    """
    work = tmp_path_factory.mktemp("with a blank")
    write_files(work / "data", "one", sharded(prose(1, 200), 2))
    make(
        write_recipe(work / "recipe", {"one": {"weight": 1}}, budget={"tokens": 2_500}),
        work,
        work / "data",
    )
    make(
        write_recipe(
            work / "recipe",
            {"one": {"weight": 1, "keys": [0.3, 1]}},
            name="arm",
            budget={"tokens": 2_500},
        ),
        work,
        work / "data",
        out="arm",
    )
    budget = {"steps": 12, "batch": 2, "sequence": 100}
    make(
        write_recipe(work / "recipe", {"one": {"weight": 1}}, name="steps", budget=budget),
        work,
        work / "data",
        out="steps",
    )
    return work


def read(file: Path) -> dict[str, Any]:
    config: dict[str, Any] = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    return config


def test_the_written_configuration_is_of_this_mix(work: Path, tmp_path: Path):
    words = ("--out", tmp_path / "olmo.yaml", "--sequence", "100", "--batch", "2")
    passes("export", work / "out", "--trainer", "olmo-core", *words)
    config = read(tmp_path / "olmo.yaml")
    [path] = map(Path, config["dataset"]["paths"])
    assert path.resolve() == work / "out" / "tokens.bin"
    assert config["dataset"]["tokenizer"]["vocab_size"] == 2000
    assert config["trainer"]["max_duration"]["value"] == 12


def test_a_configuration_needs_a_place_for_its_links(work: Path):
    assert "--out FILE" in fails(2, "export", work / "out", "--trainer", "neox")


def paths_of(trainer: Trainer, file: Path) -> list[Path]:
    """What a configuration names: the data, and the cache where the trainer has one."""
    if trainer == "megatron":
        words = shlex.split(file.read_text().partition("DATA_ARGS=(")[2].rpartition(")")[0])
        told = dict(zip(words[::2], words[1::2], strict=True))
        return [Path(told["--data-path"] + ".bin"), Path(told["--data-cache-path"])]
    config = read(file)
    if trainer == "neox":
        return [Path(config["data_path"] + ".bin")]
    if trainer == "olmo-core":
        return [Path(config["dataset"]["paths"][0]), Path(config["dataset"]["work_dir"])]
    folder = Path(config["data_stages"][0]["data"]["dataset"]["dataset_folder"])
    return list(folder.glob("*.ds"))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_paths_carry_the_identity_and_lie_outside_the_mix(
    work: Path, tmp_path: Path, trainer: Trainer
):
    """Two mixes of one size and one place: a trainer that knows data by path, or by name and size,
    takes neither for the other, and neither meets the other's cache.
    """
    place, seen = tmp_path / "mix", []
    for arm in ("out", "arm"):
        shutil.copytree(work / arm, place)
        export_trainer(place, trainer, tmp_path / "config", None, sequence=100, batch=2)
        paths = paths_of(trainer, tmp_path / "config")
        identity = read_claims(place).identity[:16]
        assert identity in paths[0].name
        assert all(identity in str(path) and place not in path.parents for path in paths)
        assert paths[0].read_bytes() == (work / arm / "tokens.bin").read_bytes()
        seen += [(path.name, path) for path in paths]
        (tmp_path / "config").unlink()
        shutil.rmtree(place)
    assert len(set(seen)) == len(seen)


def test_those_that_read_an_index_find_it_beside_the_data(work: Path, tmp_path: Path):
    for trainer in ("neox", "megatron"):
        export_trainer(work / "out", trainer, tmp_path / trainer, None, sequence=100, batch=2)
        [data, *_] = paths_of(trainer, tmp_path / trainer)
        assert data.with_suffix(".idx").resolve() == work / "out" / "tokens.idx"


def test_a_recipe_in_steps_gives_its_schedule_and_its_warnings(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export_trainer(work / "steps", "neox", tmp_path / "neox.yml", None)
    config = read(tmp_path / "neox.yml")
    assert (config["seq_length"], config["train_batch_size"], config["train_iters"]) == (100, 2, 12)
    assert "short of" not in capsys.readouterr().err
    export_trainer(work / "steps", "neox", tmp_path / "neox-13.yml", None, steps=13)
    assert "short of 13 steps" in capsys.readouterr().err
    assert "short of 13 steps" in (tmp_path / "neox-13.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("mix", "batch", "neox", "megatron"),
    [
        # 2,500 tokens are 24 sequences of 100 and one token to predict; GPT-NeoX serves 23.
        ("out", 2, 11, 12),
        ("out", 3, 7, 8),
        ("out", 9, 2, 2),  # 2.8 steps: the nearest number is 3
        ("steps", 2, 12, 12),  # as it is meant for
        ("steps", 4, 6, 6),  # no longer what it is meant for: 24 sequences served, or 25
    ],
)
def test_an_export_and_a_trace_name_the_same_steps(
    work: Path, tmp_path: Path, mix: str, batch: int, neox: int, megatron: int
):
    export_trainer(work / mix, "neox", tmp_path / "neox.yml", None, sequence=100, batch=batch)
    export_trainer(work / mix, "megatron", tmp_path / "args", None, sequence=100, batch=batch)
    words = shlex.split((tmp_path / "args").read_text(encoding="utf-8"), comments=True)
    exported = {
        "neox": read(tmp_path / "neox.yml")["train_iters"],
        "megatron": int(words[words.index("--train-iters") + 1]),
    }
    both: tuple[OrderName, ...] = ("neox", "megatron")
    traced = {
        trainer: TrainingOrder(TracedMix(work / mix), Training(trainer, 1, batch, 100)).steps
        for trainer in both
    }
    assert exported == traced == {"neox": neox, "megatron": megatron}


def test_tokens_that_are_seen_twice_are_asked_for_and_said(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export_trainer(
        work / "out", "megatron", tmp_path / "args", None, sequence=100, batch=2, steps=20
    )
    assert "--train-iters 20" in (tmp_path / "args").read_text()
    assert "short of 20 steps" in capsys.readouterr().err


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_mix_of_less_than_a_step_is_refused(work: Path, tmp_path: Path, trainer):
    with pytest.raises(RecipeError, match="less than a step"):
        export_trainer(work / "out", trainer, tmp_path / "config", None)
    assert list(tmp_path.iterdir()) == []


def test_nanotron_gets_a_folder_with_one_file_of_its_kind(work: Path, tmp_path: Path):
    export_trainer(work / "out", "nanotron", tmp_path / "nano.yaml", None, sequence=100, batch=2)
    [data] = paths_of("nanotron", tmp_path / "nano.yaml")
    assert list(data.parent.iterdir()) == [data]
    assert read(tmp_path / "nano.yaml")["tokens"]["train_steps"] == 2_500 // 101 // 2


def test_what_exists_is_not_written_over(work: Path, tmp_path: Path):
    (tmp_path / "config").write_text("mine")
    with pytest.raises(RecipeError, match="exists"):
        export_trainer(work / "out", "neox", tmp_path / "config", None, sequence=100, batch=2)
    assert (tmp_path / "config").read_text() == "mine"


def test_a_path_that_no_configuration_can_hold_is_refused(work: Path, tmp_path: Path):
    (tmp_path / "a\nb").symlink_to(work / "out")
    with pytest.raises(RecipeError, match="control characters"):
        export_trainer(tmp_path / "a\nb", "neox", tmp_path / "config", None, sequence=100, batch=2)
