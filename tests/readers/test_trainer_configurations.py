"""Configurations of `annealmix export --trainer` open the sample mix in the trainers' own code:
every document's tokens, all steps.

megatron-core and datatrove have the environment of `make test-readers`; OLMo-core, whose pins clash
with annealmix's, has its own, which ANNEALMIX_OLMO_PYTHON names. nanotron on the package index
(0.4) is older than its reader of .bin files, which is datatrove's `DatatroveFolderDataset` with
what `Nanoset` gives it (huggingface/nanotron 00708b8), by the names of datatrove 0.10. GPT-NeoX is
no
package: its index format is megatron-core's, its keys are held in
    tests/mixtures/trainers/test_config.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.readers.sample_mix import NUM_TOKENS, VOCAB_SIZE, Mix

pytestmark = pytest.mark.readers

SEQUENCE, BATCH = 127, 8


def exported(mix: Mix, trainer: str, out: Path) -> Path:
    """The configuration as the command writes it."""
    script = Path(sys.executable).parent / "annealmix"
    size = ["--sequence", str(SEQUENCE), "--batch", str(BATCH)]
    command = [
        str(script),
        "export",
        str(mix.folder),
        "--trainer",
        trainer,
        "--out",
        str(out),
        *size,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def read_json(file: Path) -> dict[str, Any]:
    """What stands below the comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    read: dict[str, Any] = json.loads("\n".join(line for line in lines if not line.startswith("#")))
    return read


def test_megatron_core_builds_its_dataset_from_the_arguments_with_every_document(
    mix: Mix, tmp_path: Path
) -> None:
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    file = exported(mix, "megatron", tmp_path / "data.sh")
    told = subprocess.run(
        ["bash", "-c", 'source "$0"; printf "%s\\0" "${DATA_ARGS[@]}"', str(file)],
        capture_output=True,
        check=True,
    )
    words = told.stdout.decode().split("\0")[:-1]
    arguments = dict(zip(words[::2], words[1::2], strict=True))
    samples = int(arguments["--train-iters"]) * int(arguments["--global-batch-size"])
    config = GPTDatasetConfig(
        random_seed=1234,
        sequence_length=int(arguments["--seq-length"]),
        blend=([arguments["--data-path"]], None),
        split=arguments["--split"],
        path_to_cache=arguments["--data-cache-path"],
        tokenizer=SimpleNamespace(
            vocab_size=VOCAB_SIZE, eod=0, pad=0, unique_identifiers={"class": "sample"}
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
    )
    train, valid, test = BlendedMegatronDatasetBuilder(
        GPTDataset, [samples, 0, 0], lambda: True, config
    ).build()
    assert (valid, test) == (None, None)
    assert len(train.dataset) == len(mix.first_token)
    for index in range(len(train.dataset)):
        np.testing.assert_array_equal(train.dataset[index], mix.document(index))
    np.testing.assert_array_equal(
        np.sort(train.document_index), np.arange(len(mix.first_token))
    )  # one epoch of all documents
    assert samples <= len(train) < samples + int(arguments["--global-batch-size"])
    stream = np.concatenate([mix.document(index) for index in train.document_index])
    for place, window in enumerate(train.shuffle_index):
        np.testing.assert_array_equal(
            train[place]["tokens"].numpy(), stream[window * SEQUENCE : (window + 1) * SEQUENCE]
        )


def test_olmo_core_reads_every_document_and_as_many_steps_as_said(mix: Mix, tmp_path: Path) -> None:
    python = os.environ.get("ANNEALMIX_OLMO_PYTHON")
    if not python:
        pytest.skip(
            "ANNEALMIX_OLMO_PYTHON names no Python that has OLMo-core; `make test-readers`"
            " makes one"
        )
    config = read_json(exported(mix, "olmo-core", tmp_path / "olmo.yaml"))
    (tmp_path / "olmo.json").write_text(json.dumps(config))
    command = [
        python,
        str(Path(__file__).with_name("olmo_reads.py")),
        str(tmp_path / "olmo.json"),
        str(tmp_path / "read.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read = np.load(tmp_path / "read.npz")
    windows = NUM_TOKENS // SEQUENCE
    np.testing.assert_array_equal(
        read["windows"], mix.tokens[: windows * SEQUENCE].reshape(-1, SEQUENCE)
    )
    ends = mix.first_token + mix.num_tokens
    np.testing.assert_array_equal(read["bounds"], np.stack([mix.first_token, ends], axis=1))
    assert read["batches"] == read["steps"] == windows // BATCH
    assert len(read["seen"]) == len(set(read["seen"].tolist())) == read["steps"] * BATCH


def test_nanotrons_reader_finds_every_window_of_the_linked_folder(mix: Mix, tmp_path: Path) -> None:
    from datatrove.utils.dataset import DatatroveFolderDataset

    config = read_json(exported(mix, "nanotron", tmp_path / "nano.yaml"))
    dataset, tokens = config["data_stages"][0]["data"]["dataset"], config["tokens"]
    assert dataset["vocab_size"] == VOCAB_SIZE
    read = DatatroveFolderDataset(
        dataset["dataset_folder"],
        filename_pattern="*.ds",
        seq_len=tokens["sequence_length"],
        recursive=False,
        token_size=dataset["token_size_in_bytes"],
        shuffle=True,
    )
    assert (
        tokens["train_steps"]
        == len(read) // (tokens["micro_batch_size"] * tokens["batch_accumulation_per_replica"])
        > 0
    )
    wanted = mix.tokens[: len(read) * (SEQUENCE + 1)].reshape(-1, SEQUENCE + 1)
    found = np.array([read[index]["input_ids"].numpy() for index in range(len(read))])
    np.testing.assert_array_equal(found, wanted)
