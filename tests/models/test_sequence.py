"""A tiny randomly initialised ModernBERT, made here, scored through the real loading code.

Needs torch and transformers, which have an environment of their own: `make test-models`.
"""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixtures.errors import InputError, ManifestError, RecipeError
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.sequence import SequenceClassifier, SequenceSettings

pytestmark = pytest.mark.models

WORDS = [
    "the",
    "river",
    "valley",
    "virus",
    "protein",
    "market",
    "rain",
    "stone",
    "green",
    "letter",
    "engine",
    "music",
]
CONTEXT = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    target = tmp_path_factory.mktemp("modernbert")
    vocabulary = {
        word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(target / "tokenizer.json"))
    torch.manual_seed(20260105)
    config = ModernBertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=512,
        local_attention=16,
        global_attn_every_n_layers=2,
        num_labels=2,
        pad_token_id=0,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
        id2label={0: "benign", 1: "flagged"},
        label2id={"benign": 0, "flagged": 1},
    )
    model = ModernBertForSequenceClassification(config)
    with torch.no_grad():  # the usual random weights score every document 0.5: spread them
        for name, parameter in model.named_parameters():
            parameter.mul_(2 if name.startswith(("head", "classifier")) else 4)
    model.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def texts() -> list[str]:
    source = random.Random(7)
    return [
        " ".join(source.choices(WORDS, k=source.choice([1, 3, 20, 61, 62, 63, 150, 400])))
        for _ in range(60)
    ]


def _open(folder: Path, **settings: int | str) -> SequenceClassifier:
    asked = SequenceSettings(context=CONTEXT, **settings)  # type: ignore[arg-type]
    return SequenceClassifier.open(folder, asked)


def test_score_does_not_depend_on_neighbours_batch_or_order(folder: Path, texts: list[str]) -> None:
    classifier = _open(folder)
    together = classifier.score(texts)
    assert together.dtype == np.uint32
    assert len(set(together.tolist())) > 20, "the toy model must tell documents apart"
    assert [int(classifier.score([text])[0]) for text in texts] == together.tolist()
    order = random.Random(1).sample(range(len(texts)), len(texts))
    assert classifier.score([texts[at] for at in order]).tolist() == together[order].tolist()
    assert _open(folder).score(texts).tolist() == together.tolist()


def test_batches_of_fixed_rows_agree_with_single_rows(folder: Path, texts: list[str]) -> None:
    single, many = _open(folder).score(texts), _open(folder, rows=4).score(texts)
    assert np.abs(single.astype(np.int64) - many.astype(np.int64)).max() <= 2


def test_scores_are_those_of_transformers_without_padding(folder: Path, texts: list[str]) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, local_files_only=True
    ).eval()
    scores = _open(folder).score(texts)
    for text, score in zip(texts, scores.tolist(), strict=True):
        ids = [4 + WORDS.index(word) for word in text.split()]
        windows = [[2, *ids[at : at + CONTEXT - 2], 3] for at in range(0, len(ids), CONTEXT - 2)]
        with torch.inference_mode():
            logits = [model(input_ids=torch.tensor([window])).logits.double() for window in windows]
        expected = max(float(torch.softmax(row, 1)[0, 1]) for row in logits)
        assert abs(score - expected * 1_000_000) <= 2


def test_score_of_a_long_document_is_the_maximum_of_its_windows(folder: Path) -> None:
    classifier = _open(folder)
    size = CONTEXT - 2
    windows = [" ".join([word] * size) for word in WORDS[:5]]
    assert int(classifier.score([" ".join(windows)])[0]) == int(classifier.score(windows).max())


def test_window_after_the_first_can_flag_a_document(folder: Path) -> None:
    classifier = _open(folder)
    windows = [" ".join([word] * (CONTEXT - 2)) for word in WORDS]
    low, *_, high = sorted(windows, key=lambda window: int(classifier.score([window])[0]))
    assert (
        classifier.score([f"{low} {high}"])[0]
        == classifier.score([high])[0]
        > classifier.score([low])[0]
    )


def test_special_strings_in_a_text_are_ordinary_characters(folder: Path) -> None:
    classifier = _open(folder)
    ids = classifier._tokenizer.encode("virus [SEP] river").ids
    assert ids[0] == 2
    assert ids.count(3) == 1


def test_other_label_is_the_complement(folder: Path, texts: list[str]) -> None:
    short = [text for text in texts if len(text.split()) < CONTEXT - 2]
    total = _open(folder, label="flagged").score(short).astype(np.int64) + _open(
        folder, label="benign"
    ).score(short)
    assert np.abs(total - 1_000_000).max() <= 1
    with pytest.raises(RecipeError, match="benign, flagged"):
        _open(folder, label="unsafe")


def test_digest_names_files_and_parameters_but_not_the_place(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert _open(copy).digest == _open(folder).digest == _open(folder, threads=2).digest
    assert _open(folder, label="benign").digest != _open(folder).digest
    assert SequenceClassifier.open(folder).digest != _open(folder).digest
    pinned = _open(folder).digest
    parameters = {"context": CONTEXT}
    assert open_classifier("sequence", copy, digest=pinned, parameters=parameters).digest == pinned
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ManifestError, match="pins"):
        open_classifier("sequence", copy, digest=pinned, parameters=parameters)


class _Runs:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return pytest.fail, ("a pickle was opened",)


def test_pickle_is_never_opened_and_never_taken_for_weights(
    folder: Path, tmp_path: Path, texts: list[str]
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in ("pytorch_model.bin", "training_args.bin"):
        (copy / name).write_bytes(pickle.dumps(_Runs()))
    assert _open(copy).score(texts[:3]).tolist() == _open(folder).score(texts[:3]).tolist()
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pytorch_model\.bin"):
        _open(copy)
    with pytest.raises(InputError, match="pickle"):
        _open(copy / "pytorch_model.bin")


def test_model_that_brings_code_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoModel": "modeling.Model"}})
    )
    with pytest.raises(InputError, match="auto_map"):
        _open(copy)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "modeling.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(InputError, match=r"modeling\.py"):
        _open(copy)


def test_missing_surplus_or_infinite_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    damaged = {
        "missing": {key: value for key, value in weights.items() if key != name},
        "surplus": weights | {"another": weights[name].clone()},
        "infinite": weights | {name: weights[name] * float("nan")},
    }
    for case, tensors in damaged.items():
        copy = shutil.copytree(folder, tmp_path / case)
        save_file(tensors, copy / "model.safetensors")
        with pytest.raises(InputError, match=r"weights are not those|not finite"):
            _open(copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_or_truncated_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = (copy / name).read_bytes()
    for size in (0, len(content) // 2, len(content) - 2):
        (copy / name).write_bytes(content[:size])
        with pytest.raises(InputError):
            _open(copy)
    (copy / name).unlink()
    with pytest.raises(InputError):
        _open(copy)


@pytest.mark.parametrize("text", ["", " \n\u00a0", "virus \ud800"])
def test_text_that_cannot_be_scored_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InputError, match="document 1 of the batch"):
        _open(folder).score(["virus", text])


def test_sharded_weights_score_as_whole_ones(
    folder: Path, tmp_path: Path, texts: list[str]
) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(
        folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors")
    )
    weights, shards = load_file(folder / "model.safetensors"), {}
    for number, name in enumerate(sorted(weights)):
        shards[name] = f"model-0000{number % 2 + 1}-of-00002.safetensors"
    for shard in set(shards.values()):
        save_file(
            {name: weights[name] for name, owner in shards.items() if owner == shard}, copy / shard
        )
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": shards})
    )
    assert _open(copy).score(texts).tolist() == _open(folder).score(texts).tolist()
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"x": "../model.safetensors"}})
    )
    with pytest.raises(InputError, match="shard"):
        _open(copy)
