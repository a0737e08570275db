"""Filters whose classifier is a tiny fastText or ModernBERT model: pinned, opened, used; and closed
when a byte of them changes.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import InputError, ManifestError
from mixtures.rules.filter_definition import FilterDefinition
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.filter import NOT_SCORED, Filter

pytestmark = pytest.mark.models

WORDS = ["river", "stone", "virus", "protein", "garden", "music"]
LIST = b"virus\nprotein\n"
PARAMETERS: dict[str, dict[str, int | str]] = {
    "fasttext": {"label": "__label__flagged"},
    "sequence": {"label": "flagged", "context": 64, "threads": 1},
}


def make_fasttext(folder: Path) -> str:
    import fasttext

    lines = ["__label__benign river stone garden", "__label__flagged virus protein music"] * 50
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    options = {"dim": 4, "epoch": 20, "bucket": 50, "thread": 1, "seed": 1, "verbose": 0}
    fasttext.train_supervised(str(folder / "lines.txt"), **options).save_model(
        str(folder / "model.bin")
    )
    return "model.bin"


def make_sequence(folder: Path) -> str:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(3)
    config = ModernBertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        local_attention=16,
        num_labels=2,
        pad_token_id=0,
        cls_token_id=0,
        sep_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        id2label={0: "benign", 1: "flagged"},
        label2id={"benign": 0, "flagged": 1},
    )
    ModernBertForSequenceClassification(config).save_pretrained(folder / "model")
    tokenizer.save(str(folder / "model" / "tokenizer.json"))
    return "model"


@pytest.fixture(scope="module", params=["fasttext", "sequence"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FilterDefinition]:
    folder, kind = tmp_path_factory.mktemp("filter"), request.param
    path = make_fasttext(folder) if kind == "fasttext" else make_sequence(folder)
    (folder / "terms.txt").write_bytes(LIST)
    classifier: dict[str, Any] = {
        "kind": kind,
        "path": path,
        "threshold": "0.000001",
        "parameters": PARAMETERS[kind],
    }
    classifier["digest"] = open_classifier(kind, folder / path, parameters=PARAMETERS[kind]).digest
    fields = {
        "name": kind,
        "blocklist": {
            "file": "terms.txt",
            "sha256": hashlib.sha256(LIST).hexdigest(),
            "mode": "words",
        },
        "classifier": classifier,
        "golden": [
            {"text": "virus protein", "flagged": True},
            {"text": "river virus", "flagged": False},
        ],
    }
    return folder, FilterDefinition.model_validate(fields)


def test_escalated_documents_alone_are_scored_by_the_pinned_model(
    made: tuple[Path, FilterDefinition],
) -> None:
    folder, definition = made
    found = Filter.open(definition, folder).judge(["virus river", "protein of a virus", "garden"])
    assert found.escalated.tolist() == found.flagged.tolist() == [False, True, False]
    assert [score == NOT_SCORED for score in found.scores.tolist()] == [True, False, True]


def model_files(folder: Path) -> list[Path]:
    names = ["model.bin", "model/config.json", "model/tokenizer.json", "model/model.safetensors"]
    return [folder / name for name in names if (folder / name).exists()]


def test_one_flipped_byte_in_any_file_of_the_model_is_a_manifest_error(
    made: tuple[Path, FilterDefinition], tmp_path: Path
) -> None:
    folder, definition = made
    shutil.copytree(folder, tmp_path / "copy")
    for path in model_files(tmp_path / "copy"):
        content = path.read_bytes()
        for at in sorted(
            {
                *range(0, min(len(content), 2000), 23),
                *range(0, len(content), 1 + len(content) // 12),
                len(content) - 1,
            }
        ):
            damaged = bytearray(content)
            damaged[at] ^= 0x01
            path.write_bytes(bytes(damaged))
            with pytest.raises(ManifestError):
                Filter.open(definition, tmp_path / "copy")
        path.write_bytes(content)


def test_a_missing_file_of_the_model_is_an_input_error(
    made: tuple[Path, FilterDefinition], tmp_path: Path
) -> None:
    folder, definition = made
    shutil.copytree(folder, tmp_path / "copy")
    for path in model_files(tmp_path / "copy"):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError):
            Filter.open(definition, tmp_path / "copy")
        path.write_bytes(content)
