"""A masked arm is its base, byte by byte, and says of each token of a flagged document that it is
no target: to the audit, and to the trainers that have an input for it.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_aligned, audit_mix
from mixtures.mix.manifest import Manifest
from pipeline.commands.export.html.page import page
from tests.pipeline.arms.studies import ARMS, DONORS, make_study, read_rows, texts, write_study
from tests.pipeline.command_line import fails, passes, run
from tests.pipeline.planted import digest, oracles

MASKS = {
    "masked": {**ARMS["strong"], "fill": "mask"},
    "half": {**ARMS["half"], "fill": "mask"},
}
SIZE = ["--sequence", "32", "--batch", "4"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"strong": ARMS["strong"], **MASKS}
    return write_study(tmp_path_factory.mktemp("masks"), arms=arms)


@pytest.fixture(scope="module")
def built(study: Path) -> dict[str, Manifest]:
    return make_study(study)


def no_targets(study: Path, arm: str) -> npt.NDArray[np.bool_]:
    """Which tokens of the base are of a document that the filter flags, by the filter's own
    rule.
    """
    (oracle,) = oracles(study.parent / "filters", [MASKS[arm]["remove"]])
    documents = [text for named in texts().values() for text in named]
    condemned = {digest(text) for text in oracle.removed(documents)}
    rows = read_rows(study.parent / "out" / "base")
    return np.concatenate([np.full(len(row.ids), row.digest in condemned) for row in rows])


@pytest.mark.parametrize("arm", MASKS)
def test_a_masked_arm_is_its_base_and_runs_that_are_no_targets(study, built, arm):
    base, mix = (study.parent / "out" / name for name in ("base", arm))
    names = sorted(path.relative_to(base) for path in base.rglob("*") if path.is_file())
    for name in names:
        if name.name != "build.json":
            same = (base / name).read_bytes() == (mix / name).read_bytes()
            assert same == (name.name != "manifest.json"), name
    runs = pq.read_table(mix / "mask.parquet").to_pylist()
    found = np.zeros(built["base"]["total_tokens"], np.bool_)
    for one in runs:
        found[one["start"] : one["start"] + one["length"]] = True
    np.testing.assert_array_equal(found, no_targets(study, arm))
    assert 0 < found.sum() < len(found)


def test_masked_arms_have_the_stream_of_the_base_and_a_mix_id_of_their_own(study, built):
    identities = {built[name]["identity"] for name in ("base", *MASKS)}
    assert len(identities) == 1
    assert len({manifest["mix_id"] for manifest in built.values()}) == len(built)


def test_a_mask_is_not_told_as_a_removal(study, built):
    out = study.parent / "out"
    arm = "masked"
    tokens = f"{int(no_targets(study, arm).sum()):,}"
    said = passes("diff", out / "base", out / arm).out
    assert f"B masks {tokens} tokens: they are read, and no targets" in said
    audited = passes("audit", out / arm).out
    assert "masked by filters: in the mix, and no targets" in audited
    assert "removed by filters" not in audited
    shown = page(out / arm, None, None, 0)
    assert f"{tokens} tokens are no targets" in shown
    assert "removed by" not in shown.replace("removed by a filter", "")
    assert "annealmix build study.yaml" in shown


@pytest.mark.parametrize("arm", ["strong", *MASKS])
def test_masked_and_filled_arms_pass_their_audit_beside_each_other(study, built, arm):
    out = study.parent / "out"
    assert not audit_mix(out / arm, full=True).failures
    others = [out / other for other in built if other != arm]
    assert not [check for check in audit_aligned(out / arm, others) if not check.ok]


def test_a_mask_takes_no_donors_from_the_arms_that_are_filled(study, built, tmp_path):
    alone = make_study(write_study(tmp_path, arms={"strong": ARMS["strong"]}))
    assert alone["strong"]["identity"] == built["strong"]["identity"]


def test_a_study_of_masks_needs_no_donors(tmp_path):
    found = make_study(write_study(tmp_path, arms={"masked": MASKS["masked"]}, donors={}))
    assert found["masked"]["mask"]["sources"]["small"]["documents"] > 0
    assert DONORS


@pytest.mark.parametrize("damage", ["moved", "short", "left out", "gone"])
def test_a_mask_that_is_another_is_named(study, built, tmp_path, damage):
    shutil.copytree(study.parent / "out" / "masked", tmp_path / "mix")
    file = tmp_path / "mix" / "mask.parquet"
    table = pq.read_table(file)
    runs = {name: table.column(name).to_pylist() for name in table.column_names}
    if damage == "moved":
        runs["start"][0] += 1
    elif damage == "short":
        runs["length"][3] -= 1
    elif damage == "left out":
        runs = {name: values[1:] for name, values in runs.items()}
    pq.write_table(table.schema.empty_table().from_pydict(runs, table.schema), file)
    if damage == "gone":
        file.unlink()
    ended = run("audit", tmp_path / "mix")
    assert ended.code == 3
    assert "FAILED mask: " in ended.err + ended.out


def exported(study: Path, arm: str, trainer: str, out: Path, *more: str) -> dict[str, Any]:
    mix = study.parent / "out" / arm
    passes("export", mix, "--trainer", trainer, "--out", out, *SIZE, *more)
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, Any] = json.loads("\n".join(lines))
    return found


@pytest.mark.parametrize("arm", MASKS)
def test_olmo_core_gets_a_byte_a_token(study, built, tmp_path, arm):
    dataset = exported(study, arm, "olmo-core", tmp_path / "olmo.yaml")["dataset"]
    (labels,), (tokens,) = dataset["label_mask_paths"], dataset["paths"]
    found = np.fromfile(labels, np.bool_)
    assert len(found) == Path(tokens).stat().st_size // 2
    np.testing.assert_array_equal(~found, no_targets(study, arm))


def test_gpt_neox_gets_ids_and_minus_100_in_documents_of_the_same_lengths(study, built, tmp_path):
    config = exported(study, "masked", "neox", tmp_path / "neox.yaml", "--steps", "90")
    assert "data_path" not in config
    assert config["train_data_weights"] == [1.0]
    for split in ("valid", "test"):
        assert config[f"{split}_data_paths"] == config["train_data_paths"]
    (labels,), (tokens,) = config["train_label_data_paths"], config["train_data_paths"]
    ids = np.fromfile(f"{tokens}.bin", "<u2").astype(np.int64)
    found = np.fromfile(f"{labels}.bin", "<i4").astype(np.int64)
    np.testing.assert_array_equal(found, np.where(no_targets(study, "masked"), -100, ids))
    one, two = (Path(f"{path}.idx").read_bytes() for path in (tokens, labels))
    (count,) = struct.unpack_from("<Q", one, 18)
    assert two[:9] == one[:9]
    assert two[17] == 4  # int32
    assert two[18 : 34 + 4 * count] == one[18 : 34 + 4 * count]
    pointers = [np.frombuffer(index, "<i8", count, 34 + 4 * count) for index in (one, two)]
    np.testing.assert_array_equal(2 * pointers[0], pointers[1])
    assert two[34 + 12 * count :] == one[34 + 12 * count :]


def test_gpt_neox_is_not_let_into_a_second_epoch_by_its_half_per_cent(study, built, tmp_path):
    mix, out = study.parent / "out" / "masked", tmp_path / "neox.yaml"
    command = ["export", mix, "--trainer", "neox", "--out", out, "--sequence", "8", "--batch", "4"]
    told = fails(2, *command)
    steps = int(told.split("--steps ")[1].split(",")[0])
    tokens = built["base"]["total_tokens"]
    assert math.ceil(steps * 4 * 1.005) * 8 + 1 <= tokens
    assert math.ceil((steps + 1) * 4 * 1.005) * 8 + 1 > tokens
    passes(*command, "--steps", str(steps))


@pytest.mark.parametrize("trainer", ["megatron", "nanotron"])
def test_a_trainer_that_has_no_input_for_a_mask_is_refused(study, built, tmp_path, trainer):
    mix = study.parent / "out" / "masked"
    told = fails(2, "export", mix, "--trainer", trainer, "--out", tmp_path / "x", *SIZE)
    assert f"{trainer} has no input that says which tokens are targets" in told
    assert not list(tmp_path.iterdir())


def test_a_mask_that_is_not_the_manifests_makes_no_labels(study, built, tmp_path):
    shutil.copytree(study.parent / "out" / "masked", tmp_path / "mix")
    shutil.copy(study.parent / "out" / "half" / "mask.parquet", tmp_path / "mix" / "mask.parquet")
    out = tmp_path / "olmo.yaml"
    told = fails(6, "export", tmp_path / "mix", "--trainer", "olmo-core", "--out", out, *SIZE)
    assert "is not the one of the manifest" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix"]
