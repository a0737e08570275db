"""The folder of a Hugging Face classifier: which files are read, and why others are refused.

    config.json          architecture, labels, context; must not name code (`auto_map`,
                         `custom_pipelines`)
    tokenizer.json       the tokenizer, read by the `tokenizers` library
    model.safetensors    or the shards that model.safetensors.index.json lists

Each file is read once, and what was hashed is what is loaded. Nothing else in the folder is opened:
a pickle (`pytorch_model.bin`, `training_args.bin`, ...) beside safetensors does no harm, a pickle
instead of safetensors is refused, a Python file always is.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from mixtures.errors import InputError
from pipeline.store.records import read_named

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


class SequenceFiles(NamedTuple):
    """config: config.json. tokenizer: text of tokenizer.json. weights: the bytes of each
    safetensors file. sha256: hex, by name.
    """

    config: dict[str, object]
    tokenizer: str
    weights: list[bytes]
    sha256: dict[str, str]


def read_sequence_files(folder: Path) -> SequenceFiles:
    """Read what the model is made of.

    Raises:
        InputError: a file is missing or no JSON, or the model needs code or pickle.
    """
    _refuse_code_and_pickle(folder)
    contents = {name: read_named(folder / name) for name in ("config.json", "tokenizer.json")}
    config = _json_object(folder / "config.json", contents["config.json"])
    if code := sorted({"auto_map", "custom_pipelines"} & config.keys()):
        raise InputError(
            f"{folder / 'config.json'}: names code to run ({', '.join(code)}); only architectures"
            " of transformers are read"
        )
    names = [_WEIGHTS]
    if not (folder / _WEIGHTS).exists():
        contents[_INDEX] = read_named(folder / _INDEX)
        names = _shards(folder / _INDEX, contents[_INDEX])
    contents.update({name: read_named(folder / name) for name in names})
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        tokenizer = contents["tokenizer.json"].decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(
            f"{folder / 'tokenizer.json'}: is not UTF-8; restore the file that the filter names"
        ) from None
    return SequenceFiles(config, tokenizer, [contents[name] for name in names], sha256)


def _refuse_code_and_pickle(folder: Path) -> None:
    if folder.suffix in PICKLES:
        raise InputError(
            f"{folder}: is a pickle, which can run code; name a folder with config.json,"
            " tokenizer.json and safetensors"
        )
    if not folder.is_dir():
        raise InputError(
            f"{folder}: is no folder; a sequence classifier is a folder with config.json,"
            " tokenizer.json and safetensors"
        )
    names = sorted(path.name for path in folder.iterdir())
    if code := [name for name in names if name.endswith((".py", ".pyc", ".so"))]:
        raise InputError(
            f"{folder}: holds code ({', '.join(code)}), and no model's code is run; take an"
            " architecture of transformers"
        )
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles and not any(name.endswith(".safetensors") for name in names):
        raise InputError(
            f"{folder}: has its weights as {', '.join(pickles)}, a pickle can run code; convert"
            " them to safetensors"
        )


def _shards(path: Path, content: bytes) -> list[str]:
    shards = _json_object(path, content).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InputError(f"{path}: has no weight_map; restore the file that the filter names")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"{path}: names the shard {name!r}; a shard is a .safetensors file in the same"
                " folder"
            )
    return names


def _json_object(path: Path, content: bytes) -> dict[str, object]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}: is no JSON object; restore the file that the filter names")
    return value
