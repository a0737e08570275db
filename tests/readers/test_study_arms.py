"""Arms of a study as trainers read them: megatron-core makes one schedule of all, and OLMo-core
learns of a masked arm exactly the tokens that are not masked.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from annealmix import __main__ as cli
from tests.readers.sample_mix import VOCAB_SIZE, Mix, build, read_mix

pytestmark = pytest.mark.readers

SEQUENCE, BATCH = 127, 8
REMOVE = {"name": "words", "terms": ["kitchen", "harbour"], "threshold": 1}
ARMS = {
    "strong": {"remove": REMOVE, "fill": "fresh"},
    "half": {"remove": {**REMOVE, "fraction": 0.5}, "fill": "fresh"},
    "masked": {"remove": REMOVE, "fill": "mask"},
    "terms": {"remove": REMOVE, "fill": "mask-terms"},
}
DONORS = {
    source: {"source": "dclm"}
    for source in ("camel-biology", "camel-chemistry", "camel-physics", "wiki")
}


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mix]:
    folder = tmp_path_factory.mktemp("study")
    study = {"name": "study", "base": "sample", "arms": ARMS, "donors": DONORS}
    (folder / "study.yaml").write_text(json.dumps({**study, "tolerance": 1}), encoding="utf-8")
    out = build(str(folder / "study.yaml"), folder)
    return {name: read_mix(out / name, "<u2") for name in ("base", *ARMS)}


def schedule(mix: Mix, cache: Path) -> list[Any]:
    """What megatron-core's own builders make of a mix: documents, samples, and their order."""
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    config = GPTDatasetConfig(
        random_seed=1234,
        sequence_length=SEQUENCE,
        blend=([str(mix.folder / "tokens")], None),
        split="100,0,0",
        path_to_cache=str(cache),
        tokenizer=SimpleNamespace(
            vocab_size=VOCAB_SIZE, eod=0, pad=0, unique_identifiers={"class": "sample"}
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
    )
    train, _, _ = BlendedMegatronDatasetBuilder(
        GPTDataset, [1_500, 0, 0], lambda: True, config
    ).build()
    return [train.document_index, train.sample_index, train.shuffle_index]


@pytest.mark.parametrize("arm", ARMS)
def test_megatron_core_makes_one_schedule_of_base_and_arm(
    arms: dict[str, Mix], tmp_path: Path, arm: str
) -> None:
    base = schedule(arms["base"], tmp_path / "base")
    for one, other in zip(base, schedule(arms[arm], tmp_path / arm), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (arms[arm].tokens != arms["base"].tokens).any() == (ARMS[arm]["fill"] == "fresh")


@pytest.mark.parametrize("arm", ["masked", "terms"])
def test_olmo_core_learns_just_what_is_not_masked(
    arms: dict[str, Mix], tmp_path: Path, arm: str
) -> None:
    python = os.environ.get("ANNEALMIX_OLMO_PYTHON")
    if not python:
        pytest.skip("ANNEALMIX_OLMO_PYTHON names no Python that has OLMo-core; `make test-readers`")
    mix, out = arms[arm], tmp_path / "olmo.yaml"
    size = ["--sequence", str(SEQUENCE), "--batch", str(BATCH)]
    script = Path(sys.executable).parent / "annealmix"
    command = [str(script), "export", str(mix.folder), "--trainer", "olmo-core", "--out", str(out)]
    subprocess.run([*command, *size], check=True)
    lines = out.read_text(encoding="utf-8").splitlines()
    config = "\n".join(line for line in lines if not line.startswith("#"))
    (tmp_path / "olmo.json").write_text(config, encoding="utf-8")
    reads = Path(__file__).with_name("olmo_reads.py")
    subprocess.run(
        [python, str(reads), str(tmp_path / "olmo.json"), str(tmp_path / "read.npz")], check=True
    )
    read = np.load(tmp_path / "read.npz")
    labels = read["labels"]
    wanted = mix.tokens.astype(np.int64)
    runs = pq.read_table(mix.folder / "mask.parquet").to_pylist()
    for run in runs:
        wanted[run["start"] : run["start"] + run["length"]] = -100
    windows = len(wanted) // SEQUENCE
    wanted = wanted[: windows * SEQUENCE].reshape(windows, SEQUENCE)
    batches = (wanted[read["seen"]] == -100).reshape(-1, BATCH * SEQUENCE).sum(axis=1)
    assert len(batches) == read["batches"]
    (said,) = (line for line in lines if line.startswith("# masked of each batch"))
    shares = [f"{100 * one / BATCH / SEQUENCE:.2f}" for one in np.sort(batches).tolist()]
    assert f"at least {shares[0]}%, median {shares[(len(shares) - 1) // 2]}%" in said
    assert f"at most {shares[-1]}%" in said
    np.testing.assert_array_equal(labels[:, :-1], wanted[:, 1:])  # the next token is the target
    assert (labels[:, -1] == -100).all()  # of a window's last token there is none
    assert 0 < (wanted == -100).sum() < wanted.size


@pytest.mark.parametrize("arm", ["half", "masked"])
def test_mlcroissant_reads_the_release_of_an_arm_and_takes_its_table_for_a_file_of_it(
    arms, tmp_path, arm
):
    import mlcroissant

    out = tmp_path / "release"
    assert cli.main(["export", str(arms[arm].folder), "--release", str(out), "--workers", "1"]) == 0
    data = mlcroissant.Dataset(str(out / "croissant.json"))
    issues = data.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    table = "slots.parquet" if arm == "half" else "mask.parquet"
    (file,) = [one for one in data.metadata.distribution if one.name == table]
    assert file.sha256 == hashlib.sha256((out / table).read_bytes()).hexdigest()
    records = list(data.records("documents"))
    assert [record["documents/tokens"] for record in records] == arms[arm].num_tokens.tolist()
