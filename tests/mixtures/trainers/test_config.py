"""Configurations hold the mix's own figures and as many steps as it has tokens for, and survive any
path.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mixtures.trainers.config import MASKED, TrainedMix, configuration, warnings
from mixtures.trainers.fit import most_steps
from mixtures.trainers.names import TRAINERS
from mixtures.trainers.schedule import Schedule

MIX = TrainedMix(
    name="mix",
    identity="0" * 64,
    mix_id="1" * 64,
    tokens="/data/mix/tokens",
    folder="/data/mix.ds",
    cache="/data/mix.ds/cache",
    num_tokens=1_000_000,
    num_documents=2_133,
    num_eods=2_133,
    token_bytes=2,
    vocab_size=50_277,
    eod_id=0,
    bos_id=None,
    tokenizer_file="/data/tokenizer.json",
    tokenizer="EleutherAI/gpt-neox-20b",
)
# Keys of GPT-NeoX 007d6d0 (NeoXArgsTraining, NeoXArgsTokenizer, NeoXArgsModel,
# NeoXArgsDeepspeedConfig) and the type of each.
NEOX_KEYS = {
    "data_path": str,
    "data_impl": str,
    "split": str,
    "tokenizer_type": str,
    "vocab_file": str,
    "seq_length": int,
    "train_batch_size": int,
    "train_iters": int,
    "eval_iters": int,
}
PATHS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1
).filter(str.isprintable)


def read(trainer, mix=MIX):
    text = configuration(mix, Schedule(30, 16, 2048, trainer))
    if trainer != "megatron":
        return YAML(typ="safe").load(text)
    body = text[text.index("DATA_ARGS=(") + len("DATA_ARGS=(") : text.rindex(")")]
    words = shlex.split(body, comments=False)
    return dict(zip(words[::2], words[1::2], strict=True))


def test_neox_gets_keys_that_it_has_with_values_of_their_types():
    config = read("neox")
    assert {name: type(value) for name, value in config.items()} == NEOX_KEYS
    assert config["data_path"] == "/data/mix/tokens"
    assert (config["seq_length"], config["train_batch_size"], config["train_iters"]) == (
        2048,
        16,
        30,
    )


def test_neox_trains_on_every_document_of_that_split():
    """`get_train_valid_test_split_` of GPT-NeoX 007d6d0, for sizes at which rounding could move a
    document.
    """
    shares = [float(share) for share in read("neox")["split"].split(",")]
    for documents in (1, 3, 2_133, 88_961_637):
        assert [round(share / sum(shares) * documents) for share in shares] == [documents, 0, 0]


def test_tokens_of_four_bytes_are_told_to_those_that_read_no_index():
    wide = replace(MIX, token_bytes=4)
    assert read("olmo-core", wide)["dataset"]["dtype"] == "uint32"
    assert read("olmo-core")["dataset"]["dtype"] == "uint16"
    sizes = [
        read("nanotron", mix)["data_stages"][0]["data"]["dataset"]["token_size_in_bytes"]
        for mix in (MIX, wide)
    ]
    assert sizes == [2, 4]


def test_every_figure_of_a_configuration_is_that_of_the_mix_and_its_schedule():
    """With and without a token that begins documents, and with labels, for those that take them."""
    begun = replace(MIX, bos_id=7)
    labelled = replace(begun, labels="/data/mix.ds/labels")
    tokenizer = {
        "_CLASS_": "olmo_core.data.tokenizer.TokenizerConfig",
        "vocab_size": 50_277,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "identifier": "EleutherAI/gpt-neox-20b",
    }
    dataset = {
        "_CLASS_": "olmo_core.data.numpy_dataset.NumpyFSLDatasetConfig",
        "paths": ["/data/mix/tokens.bin"],
        "dtype": "uint16",
        "sequence_length": 2048,
        "tokenizer": tokenizer,
        "work_dir": "/data/mix.ds/cache",
    }
    loader = {
        "_CLASS_": "olmo_core.data.data_loader.NumpyDataLoaderConfig",
        "global_batch_size": 16 * 2048,
        "seed": 0,
    }
    duration = {"_CLASS_": "olmo_core.train.common.Duration", "value": 30, "unit": "steps"}
    olmo = {"data_loader": loader, "trainer": {"max_duration": duration}}
    assert read("olmo-core") == {"dataset": dataset, **olmo}
    with_bos = {**dataset, "tokenizer": {**tokenizer, "bos_token_id": 7}}
    assert read("olmo-core", begun) == {"dataset": with_bos, **olmo}
    masks = {"label_mask_paths": ["/data/mix.ds/labels.npy"]}
    assert read("olmo-core", labelled) == {"dataset": {**with_bos, **masks}, **olmo}
    assert read("nanotron") == {
        "data_stages": [
            {
                "name": "mix",
                "start_training_step": 1,
                "data": {
                    "dataset": {
                        "dataset_folder": "/data/mix.ds",
                        "tokenizer_name": "EleutherAI/gpt-neox-20b",
                        "vocab_size": 50_277,
                        "token_size_in_bytes": 2,
                    },
                    "seed": 0,
                },
            }
        ],
        "tokens": {
            "sequence_length": 2048,
            "train_steps": 30,
            "micro_batch_size": 1,
            "batch_accumulation_per_replica": 16,
        },
    }
    lists = {
        f"{split}_{kind}": [value]
        for split in ("train", "valid", "test")
        for kind, value in (
            ("data_paths", "/data/mix/tokens"),
            ("label_data_paths", "/data/mix.ds/labels"),
            ("data_weights", 1.0),
        )
    }
    plain = read("neox")
    assert plain["eval_iters"] == 0
    assert read("megatron")["--eval-iters"] == "0"
    rest = {name: plain[name] for name in plain if name not in ("data_path", "split")}
    assert read("neox", labelled) == {**lists, **rest}


def test_comments_say_what_else_must_be_set():
    labelled = replace(MIX, labels="/data/labels")
    for trainer, said in MASKED.items():
        schedule = Schedule(30, 1_600, 2048, trainer)
        assert f"# {said}\n" in configuration(labelled, schedule)
        assert said not in configuration(MIX, schedule)
    text = configuration(MIX, Schedule(30, 1_600, 2048, "nanotron"))
    assert "replicas must stay 1,600\n" in text
    assert "every document ends in id 0\n" in text
    assert "ends in id 0 and begins with id 7\n" in configuration(
        replace(MIX, bos_id=7), Schedule(30, 16, 2048, "neox")
    )
    assert '\n  "tokens": {\n    "sequence_length": 2048,\n' in text, "a value a line"


def test_olmo_core_counts_a_batch_in_tokens():
    assert read("olmo-core")["data_loader"]["global_batch_size"] == 16 * 2048


@given(PATHS, st.sampled_from(TRAINERS))
def test_any_printable_path_arrives_as_it_is(path: str, trainer):
    config = read(trainer, replace(MIX, tokens=path, folder=path))
    place = {
        "neox": lambda: config["data_path"],
        "megatron": lambda: config["--data-path"],
        "olmo-core": lambda: config["dataset"]["paths"][0].removesuffix(".bin"),
        "nanotron": lambda: config["data_stages"][0]["data"]["dataset"]["dataset_folder"],
    }[trainer]()
    assert place == path


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_name_cannot_leave_its_comment(trainer):
    hostile = replace(MIX, name="x\nrm -rf ~\r\x85\u2028y: 1")
    assert read(trainer, hostile) == read(trainer)
    assert "\nrm" not in configuration(hostile, Schedule(30, 16, 2048, trainer))


@given(st.integers(1, 10**7), st.integers(1, 4096), st.integers(1, 64), st.sampled_from(TRAINERS))
def test_the_most_steps_need_no_warning_and_one_more_does(
    tokens: int, sequence: int, batch: int, trainer
):
    steps = most_steps(trainer, tokens, sequence, batch)
    if steps:
        assert (
            warnings(replace(MIX, num_tokens=tokens), Schedule(steps, batch, sequence, trainer))
            == []
        )
    assert warnings(replace(MIX, num_tokens=tokens), Schedule(steps + 1, batch, sequence, trainer))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_warnings_stand_in_the_configuration(trainer):
    schedule = Schedule(1000, 16, 2048, trainer)
    text = configuration(MIX, schedule)
    told = [line for line in text.splitlines() if line.startswith("# warning: ")]
    assert told == [f"# warning: {warning}" for warning in warnings(MIX, schedule)] != []


@pytest.mark.parametrize("trainer", TRAINERS)
def test_ends_of_documents_that_are_none_are_said(trainer):
    schedule = Schedule(1, 16, 2048, trainer)
    assert warnings(MIX, schedule) == []
    (warning,) = warnings(replace(MIX, num_eods=2_140), schedule)
    assert "7 of 2,140 tokens with id 0 are text" in warning
    assert warning in configuration(replace(MIX, num_eods=2_140), schedule)
    both = replace(MIX, bos_id=MIX.eod_id, num_eods=2 * MIX.num_documents)
    assert warnings(both, schedule) == []
