"""The data part of a trainer's configuration for a mix: paths, vocabulary, dtype, sequence, batch
and steps. Pure; no trainer is imported.

    trainer    what is written; checked against
    neox       YAML of its keys, one more file beside the model's; EleutherAI/gpt-neox 007d6d0
               neox_arguments/neox_args.py, data/data_utils.py
    megatron   a bash array of arguments of pretrain_gpt.py; megatron-core 0.16.1
               (`GPTDatasetConfig`), Megatron-LM 000ab9d pretrain_gpt.py
    olmo-core  YAML of a dataset, a data loader and a duration; ai2-olmo-core 3.0.0 (`from_dict` of
               each)
    nanotron   YAML of `data_stages` and `tokens`; huggingface/nanotron 00708b8
               src/nanotron/config/config.py, data/nanoset.py

All read one .bin from its first byte. The dtype of a token stands in the .idx, which GPT-NeoX and
megatron-core read; the other two are told it. No validation split is cut off, so that every
document can be trained on.

nanotron cuts windows of sequence + 1 tokens that share none, num_tokens // (sequence + 1) in an
epoch, and goes through further epochs in the order of the first (`Nanoset.build_nanoset_index`). It
finds its data by the name: a folder with a file that ends in .ds.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mixtures.trainers.names import SEEDS, Trainer
from mixtures.trainers.schedule import Schedule, mix_fit


@dataclass(frozen=True)
class TrainedMix:
    """What a trainer must know of a mix."""

    name: str
    identity: str
    mix_id: str
    tokens: str
    """Path of the .bin without `.bin`, whose name tells the mix from others of its size: OLMo-core
    knows data by name and size, GPT-NeoX writes its indices beside it.
    """
    folder: str
    """Of the .bin, for nanotron as a file that ends in .ds."""
    cache: str
    """Folder of indices, where a trainer takes one; not in the mix, and of no other."""
    num_tokens: int
    num_documents: int
    num_eods: int
    """Tokens with the id of EOD; more than documents where special strings were parsed."""
    token_bytes: int
    vocab_size: int
    eod_id: int
    bos_id: int | None
    """None: no token begins documents."""
    tokenizer_file: str
    """A tokenizer.json."""
    tokenizer: str
    """Its repository on the hub, or a folder."""
    labels: str | None = None
    """Path without ending of what says which tokens are targets, beside the .bin; None: all are."""
    masked: str = ""
    """How much of each batch is no target, in words."""
    without_target: int = 0
    """Batches without a target."""


def warnings(mix: TrainedMix, schedule: Schedule) -> list[str]:
    """What a schedule does to a mix that is too small for it, and ends of documents that are none,
    a sentence each.
    """
    lines = list(mix_fit(schedule, mix.num_tokens).warnings)
    bounds = mix.num_documents * (2 if mix.bos_id == mix.eod_id else 1)
    if inner := mix.num_eods - bounds:
        lines.append(
            f"{inner:,} of {mix.num_eods:,} tokens with id {mix.eod_id} are text, since the mix was"
            f" made with special_tokens: parse; {_ENDS[schedule.trainer]}"
        )
    if mix.without_target:
        lines.append(
            f"of {mix.without_target:,} of {schedule.steps:,} batches every token is masked: their"
            " loss is a mean over nothing, or over the labels behind them; take larger batches"
        )
    return lines


def configuration(mix: TrainedMix, schedule: Schedule) -> str:
    """The text of the configuration. Its first lines are comments: what the mix is, what else must
    be set, and all warnings.
    """
    begins = "" if mix.bos_id is None else f" and begins with id {mix.bos_id}"
    trainer = schedule.trainer
    notes = [
        f"Data of {trainer} for the mix {mix.name}, mix id {mix.mix_id}",
        f"identity {mix.identity}, of the stream",
        (
            f"{mix.num_tokens:,} tokens in {mix.num_documents:,} documents; {mix.token_bytes} bytes"
            f" a token, ids below {mix.vocab_size:,}, every document ends in id"
            f" {mix.eod_id}{begins}"
        ),
        _NOTES[trainer].format(batch=f"{schedule.batch:,}"),
        *([] if mix.labels is None else [MASKED[trainer]]),
        *([mix.masked] if mix.masked else []),
        *(f"warning: {warning}" for warning in warnings(mix, schedule)),
    ]
    comments = "".join(f"# {_one_line(note)}\n" for note in notes)
    return comments + _TEXTS[trainer](mix, schedule)


_ENDS: dict[Trainer, str] = {
    "neox": "reset_position_ids and reset_attention_mask would cut documents there",
    "megatron": "--reset-position-ids and --reset-attention-mask would cut documents there",
    "olmo-core": (
        "OLMo-core finds documents by that id alone, so each of these is cut into more than one"
    ),
    "nanotron": "what finds documents by that id cuts them there",
}
MASKED: Mapping[Trainer, str] = {
    "neox": (
        "label -100 is no target; GPT-NeoX reads lists of paths in another order than data_path,"
        " so train what this is compared with by this file without its label paths"
    ),
    "olmo-core": "a token whose byte in label_mask_paths is 0 is no target",
}
"""What is said of a mask, by the trainers that take one."""
_NOTES: dict[Trainer, str] = {
    "neox": "a key may stand in one configuration file alone: take these out of the others",
    "megatron": 'source this file, then: torchrun ... pretrain_gpt.py "${{DATA_ARGS[@]}}" ...',
    "olmo-core": "OLMo-core knows data by name and size: the link's name is the mix's, keep it",
    "nanotron": (
        "micro_batch_size x batch_accumulation_per_replica x data parallel replicas must stay"
        " {batch}"
    ),
}


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _neox(mix: TrainedMix, schedule: Schedule) -> str:
    data: dict[str, object] = {"data_path": mix.tokens, "data_impl": "mmap", "split": "100,0,0"}
    if mix.labels is not None:  # labels are read beside lists of paths alone, of all three splits
        data = {"data_impl": "mmap"}
        for split in ("train", "valid", "test"):
            data[f"{split}_data_paths"] = [mix.tokens]
            data[f"{split}_label_data_paths"] = [mix.labels]
            data[f"{split}_data_weights"] = [1.0]
    return _yaml(
        {
            **data,
            "tokenizer_type": "HFTokenizer",
            "vocab_file": mix.tokenizer_file,
            "seq_length": schedule.sequence,
            "train_batch_size": schedule.batch,
            "train_iters": schedule.steps,
            "eval_iters": 0,
        }
    )


def _megatron(mix: TrainedMix, schedule: Schedule) -> str:
    arguments = {
        "--data-path": mix.tokens,
        "--data-cache-path": mix.cache,
        "--split": "100,0,0",
        "--tokenizer-type": "HuggingFaceTokenizer",
        "--tokenizer-model": mix.tokenizer,
        "--seq-length": schedule.sequence,
        "--global-batch-size": schedule.batch,
        "--train-iters": schedule.steps,
        "--eval-iters": 0,
    }
    lines = "".join(f"  {name} {shlex.quote(str(value))}\n" for name, value in arguments.items())
    return f"DATA_ARGS=(\n{lines})\n"


def _olmo(mix: TrainedMix, schedule: Schedule) -> str:
    tokenizer = {
        "_CLASS_": "olmo_core.data.tokenizer.TokenizerConfig",
        "vocab_size": mix.vocab_size,
        "eos_token_id": mix.eod_id,
        **({} if mix.bos_id is None else {"bos_token_id": mix.bos_id}),
        "pad_token_id": mix.eod_id,  # nothing is padded: windows are full
        "identifier": mix.tokenizer,
    }
    dataset = {
        "_CLASS_": "olmo_core.data.numpy_dataset.NumpyFSLDatasetConfig",
        "paths": [f"{mix.tokens}.bin"],
        "dtype": "uint16" if mix.token_bytes == 2 else "uint32",
        **({} if mix.labels is None else {"label_mask_paths": [f"{mix.labels}.npy"]}),
        "sequence_length": schedule.sequence,
        "tokenizer": tokenizer,
        "work_dir": mix.cache,
    }
    loader = {
        "_CLASS_": "olmo_core.data.data_loader.NumpyDataLoaderConfig",
        "global_batch_size": schedule.batch * schedule.sequence,
        "seed": SEEDS["olmo-core"],
    }
    duration = {
        "_CLASS_": "olmo_core.train.common.Duration",
        "value": schedule.steps,
        "unit": "steps",
    }
    return _yaml({"dataset": dataset, "data_loader": loader, "trainer": {"max_duration": duration}})


def _nanotron(mix: TrainedMix, schedule: Schedule) -> str:
    dataset = {
        "dataset_folder": mix.folder,
        "tokenizer_name": mix.tokenizer,
        "vocab_size": mix.vocab_size,
        "token_size_in_bytes": mix.token_bytes,
    }
    stage = {"name": "mix", "start_training_step": 1, "data": {"dataset": dataset, "seed": 0}}
    tokens = {
        "sequence_length": schedule.sequence,
        "train_steps": schedule.steps,
        "micro_batch_size": 1,
        "batch_accumulation_per_replica": schedule.batch,
    }
    return _yaml({"data_stages": [stage], "tokens": tokens})


def _yaml(value: Mapping[str, Any]) -> str:
    """JSON, which YAML is a superset of where strings are printable: nothing in a path can become a
    key.
    """
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


_TEXTS: dict[Trainer, Callable[[TrainedMix, Schedule], str]] = {
    "neox": _neox,
    "megatron": _megatron,
    "olmo-core": _olmo,
    "nanotron": _nanotron,
}
