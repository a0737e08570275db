"""megatron-core's own dataset reads, sample by sample, what `trace --step` says: on a mix, and on
.idx files of any sizes.

Needs megatron-core and torch, which have an environment of their own: `make test-readers`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.mix import indexed
from mixtures.mix.training import Training
from mixtures.trainers.training_order import OrderRequest, TrainerOrder
from pipeline.commands.trace.steps import StepQuestion, trace_steps

pytestmark = pytest.mark.readers

ANNEALMIX = Path(sys.executable).parent / "annealmix"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    command = [
        str(ANNEALMIX),
        "build",
        "sample",
        "--out",
        str(folder / "mix"),
        "--store",
        str(folder / "store"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "mix"


def megatron_dataset(prefix: Path, sequence: int, asked: int, seed: int) -> Any:
    """The trainer's training set over the whole of a .bin/.idx pair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optional accelerators that are not installed
        from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
        from megatron.core.datasets.indexed_dataset import IndexedDataset
        from megatron.core.datasets.utils import Split
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=sequence,
        blend=([str(prefix)], None),
        split="1,0,0",
        path_to_cache=str(prefix.parent / f"cache-{sequence}-{asked}-{seed}"),
        tokenizer=SimpleNamespace(
            vocab_size=65536, eod=0, pad=-1, unique_identifiers={"name": "none"}
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
    )
    low = IndexedDataset(str(prefix))
    return GPTDataset(
        low, str(prefix), np.arange(len(low), dtype=np.int32), asked, Split.train, config
    )


def texts(
    order: TrainerOrder, tokens: npt.NDArray[Any], first_token: npt.NDArray[np.int64]
) -> list[list[int]]:
    """Token ids of every sample and its last label."""
    spans = order.spans(0, order.samples)
    read: list[list[int]] = [[] for _ in range(order.samples)]
    for sample, start, count in zip(
        spans.reads, first_token[spans.positions] + spans.offsets, spans.num_tokens, strict=True
    ):
        read[sample] += tokens[start : start + count].tolist()
    labels = [order.label(sample) for sample in range(order.samples)]
    return [
        [*ids, int(tokens[first_token[position] + offset])]
        for ids, (position, offset) in zip(read, labels, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=40).filter(lambda sizes: sum(sizes) > 1),
    st.integers(2, 30),
    st.integers(1, 120),
    st.sampled_from([0, 1234, (1 << 32) - 1]),
)
def test_every_sample_of_any_documents_is_what_megatron_core_reads(
    sizes: list[int], sequence: int, asked: int, seed: int
) -> None:
    num_tokens = np.array(sizes)
    tokens = np.arange(num_tokens.sum(), dtype="<u2")  # every token is told from all others
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "tokens"
        tokens.tofile(prefix.with_suffix(".bin"))
        with prefix.with_suffix(".idx").open("wb") as file:
            file.write(indexed.header(len(sizes), "uint16"))
            for offset, content in indexed.pieces(len(sizes), 0, 0, num_tokens, 2):
                file.seek(offset)
                file.write(content)
        read = megatron_dataset(prefix, sequence, asked, seed)
        order = TrainerOrder(
            OrderRequest("megatron", sequence, asked, seed), num_tokens.astype(np.int32)
        )
        wanted = [
            read._query_document_sample_shuffle_indices(sample)[0].tolist()
            for sample in range(len(read))
        ]
    assert order.samples == len(read)
    assert texts(order, tokens, np.cumsum(num_tokens) - num_tokens) == wanted


@pytest.mark.parametrize(("steps", "epochs"), [(20, 1), (60, 2), (90, 2), (115, 3)])
def test_every_step_and_sample_of_a_mix_is_what_megatron_core_reads(
    mix: Path, steps: int, epochs: int
) -> None:
    batch, sequence, tokens = 16, 256, np.fromfile(mix / "tokens.bin", "<u2")
    read = megatron_dataset(mix / "tokens", sequence, steps * batch, 1234)
    training = Training("megatron", 1234, batch, sequence, steps)
    for step in range(0, steps, 1 if steps == 20 else 7):
        answer = trace_steps(
            StepQuestion(
                mix=mix, training=training, first_step=step, last_step=step + 1, spans=True
            )
        ).as_json()
        assert answer["training"]["epochs"] == epochs
        found: list[list[int]] = [[] for _ in range(batch)]
        for span in answer["spans"]:
            found[span["sample"]] += tokens[
                span["token"] : span["token"] + span["num_tokens"]
            ].tolist()
        assert found == [read[step * batch + sample]["tokens"].tolist() for sample in range(batch)]
    label = trace_steps(
        StepQuestion(mix=mix, training=training, first_step=3, last_step=4, sample=5, spans=True)
    ).as_json()["label"]
    assert tokens[label["token"]] == int(read[3 * batch + 5]["labels"][-1])


def test_the_command_says_what_megatron_core_reads(mix: Path) -> None:
    words = [
        "--step",
        "2",
        "--sample",
        "7",
        "--trainer",
        "megatron",
        "--seed",
        "7",
        "--batch",
        "16",
        "--sequence",
        "256",
        "--json",
    ]
    answer = json.loads(
        subprocess.run(
            [str(ANNEALMIX), "trace", str(mix), *words], check=True, capture_output=True
        ).stdout
    )
    tokens = np.fromfile(mix / "tokens.bin", "<u2")
    found = [
        token
        for span in answer["spans"]
        for token in tokens[span["token"] : span["token"] + span["num_tokens"]].tolist()
    ]
    read = megatron_dataset(mix / "tokens", 256, answer["training"]["samples_asked"], 7)
    assert found == read[2 * 16 + 7]["tokens"].tolist()
