"""A mix of int32 tokens whose documents begin with BOS, as trainers' own loaders read it.

Needs megatron-core, torch and OLMo-core, which have environments of their own: `make test-readers`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.readers.sample_mix import BOS, EOD, Mix

pytestmark = pytest.mark.readers
OLMO = os.environ.get("ANNEALMIX_OLMO_PYTHON")


def test_every_document_stands_between_bos_and_eod_and_no_id_fits_two_bytes(wide: Mix) -> None:
    ends = wide.first_token + wide.num_tokens
    assert (wide.tokens[wide.first_token] == BOS).all()
    assert (wide.tokens[ends - 1] == EOD).all()
    assert np.count_nonzero(wide.tokens == BOS) == len(ends)
    assert np.count_nonzero(wide.tokens == EOD) == len(ends)
    assert ((wide.tokens > 65_535) | (wide.tokens == EOD)).all()


def test_megatron_core_reads_every_document_in_int32(wide: Mix) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    read = IndexedDataset(str(wide.folder / "tokens"))
    assert read.index.dtype == np.int32
    assert len(read) == len(wide.first_token)
    np.testing.assert_array_equal(read.sequence_lengths, wide.num_tokens)
    for index in range(len(read)):
        np.testing.assert_array_equal(read[index], wide.document(index))


def test_datatrove_reads_every_window_in_four_bytes(wide: Mix) -> None:
    from datatrove.utils.dataset import DatatroveFolderDataset

    read = DatatroveFolderDataset(str(wide.folder), 127, "*.bin", recursive=False, token_size=4)
    assert len(read) == len(wide.tokens) // 128
    wanted = wide.tokens[: len(read) * 128].reshape(-1, 128)
    for index in range(len(read)):
        np.testing.assert_array_equal(read[index]["input_ids"].numpy(), wanted[index])


@pytest.mark.skipif(not OLMO, reason="needs ANNEALMIX_OLMO_PYTHON, which make test-readers sets")
def test_olmo_core_reads_every_window_and_finds_the_documents(wide: Mix, tmp_path: Path) -> None:
    tokens = str(wide.folder / "tokens.bin")
    tokenizer = {
        "_CLASS_": "olmo_core.data.tokenizer.TokenizerConfig",
        "vocab_size": 70_000,
        "eos_token_id": EOD,
        "bos_token_id": BOS,
        "pad_token_id": EOD,
    }
    dataset = {
        "_CLASS_": "olmo_core.data.numpy_dataset.NumpyFSLDatasetConfig",
        "paths": [tokens],
        "dtype": "uint32",
        "sequence_length": 128,
        "tokenizer": tokenizer,
        "work_dir": str(tmp_path / "cache"),
    }
    loader = {
        "_CLASS_": "olmo_core.data.data_loader.NumpyDataLoaderConfig",
        "global_batch_size": 1024,
        "seed": 0,
        "work_dir": str(tmp_path / "loader"),
    }
    duration = {"_CLASS_": "olmo_core.train.common.Duration", "value": 1, "unit": "steps"}
    config, out = tmp_path / "config.json", tmp_path / "read.npz"
    trainer = {"max_duration": duration}
    config.write_text(json.dumps({"dataset": dataset, "data_loader": loader, "trainer": trainer}))
    script = Path(__file__).with_name("olmo_reads.py")
    ran = subprocess.run(
        [str(OLMO), str(script), str(config), str(out)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    read = np.load(out)
    count = len(wide.tokens) // 128
    np.testing.assert_array_equal(read["windows"], wide.tokens[: count * 128].reshape(-1, 128))
    np.testing.assert_array_equal(read["bounds"][:, 0], wide.first_token)
