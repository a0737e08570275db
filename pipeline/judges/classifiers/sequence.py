"""Sequence classifiers of Hugging Face transformers, such as ModernBERT, on CPU or GPU (extra
`models`).

A document's tokens are cut into non-overlapping windows of the model's context, special tokens
included; the document's score is the maximum over its windows (the published rule). Special strings
in a text are encoded as the characters that they are.

Every forward pass has one of a few fixed shapes: a window is padded to the smallest length of the
ladder 128, 256, ... context that holds it, and `rows` windows of one length go together, the last
pass filled up with copies. With rows = 1 (the default) no arithmetic of a window knows another
window. With more rows, for a GPU, shapes are still fixed, but a row's place in the batch may move
the last digit of float32 arithmetic: score in fixed partitions, as the pipeline does.

Weights are loaded strictly: from_pretrained would fill a missing tensor with random numbers and
only log it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, RecipeError
from pipeline.judges.classifiers.scores import Scores, classifier_digest, quantised, require_words
from pipeline.judges.classifiers.sequence_files import SequenceFiles, read_sequence_files

RULES = 1
SHORTEST = 128
_BATCH_DOCUMENTS = 256


@dataclass(frozen=True)
class SequenceSettings:
    """How a model is opened; all but device and threads are part of its digest."""

    label: str = "1"
    """Name or number of the positive class; a model with one output has nothing to choose."""
    context: int = 0
    """Tokens of a window; 0 for the model's own maximum."""
    rows: int = 1
    """Windows of a forward pass."""
    dtype: str = "float32"
    """Of weights and activations."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    threads: int = 1
    """Of torch on a CPU; 0 leaves them as they are."""


class SequenceClassifier:
    """Scores documents with one transformer: the probability of one label."""

    def __init__(self, folder: Path, files: SequenceFiles, settings: SequenceSettings) -> None:
        self._folder, self._settings = folder, settings
        config = _config(folder, files.config)
        self._label, num_labels = _positive(folder, config, settings.label)
        self._context = _context(folder, config, settings.context)
        self._pad = int(config.pad_token_id or 0)
        self._tokenizer = _tokenizer(folder, files.tokenizer, self._context)
        self._model = _model(folder, config, files.weights, settings)
        parameters: dict[str, int | str] = {
            "label": self._label,
            "context": self._context,
            "rows": settings.rows,
            "dtype": settings.dtype,
            "outputs": num_labels,
        }
        self.digest = classifier_digest("sequence", RULES, parameters, files.sha256)

    @classmethod
    def open(cls, folder: Path, settings: SequenceSettings | None = None) -> SequenceClassifier:
        """Read and check the folder, and load the model.

        Raises:
            RecipeError: the extra is not installed, or settings that this model does not have.
            InputError: files are missing, damaged, or need code or pickle.
        """
        files = read_sequence_files(folder)
        try:
            return cls(folder, files, settings or SequenceSettings())
        except ImportError as error:
            raise RecipeError(
                f"{folder}: a sequence classifier needs torch and transformers ({error}): pip"
                " install 'annealmix[models]'"
            ) from None

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores uint32 [num_docs], millionths.

        Raises:
            InputError: a text holds no word or no token, or its score is no number.
        """
        require_words(texts, str(self._folder))
        parts = [
            self._score(texts[at : at + _BATCH_DOCUMENTS])
            for at in range(0, len(texts), _BATCH_DOCUMENTS)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint32)

    def _score(self, texts: Sequence[str]) -> Scores:
        by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for document, encoding in enumerate(
            self._tokenizer.encode_batch(list(texts), add_special_tokens=True)
        ):
            for window in (encoding, *encoding.overflowing):
                by_length[self._padded(len(window.ids))].append((document, window.ids))
        best = np.full(len(texts), -np.inf)
        for length, windows in sorted(by_length.items()):
            documents = [document for document, _ in windows]
            probabilities = self._probabilities([ids for _, ids in windows], length)
            quantised(probabilities, str(self._folder))  # refuses a NaN before it meets a maximum
            np.maximum.at(best, documents, probabilities)
        return quantised(best, str(self._folder))

    def _padded(self, length: int) -> int:
        padded = SHORTEST
        while padded < length:
            padded *= 2
        return min(padded, self._context)

    def _probabilities(self, windows: list[list[int]], length: int) -> npt.NDArray[np.float64]:
        """Probabilities float64 [num_windows] of windows of token ids that are all padded to one
        length.
        """
        import torch

        rows, shares = self._settings.rows, []
        with _deterministic(self._settings), torch.inference_mode():
            for at in range(0, len(windows), rows):
                batch = windows[at : at + rows]
                filled = batch + [batch[0]] * (rows - len(batch))
                ids = np.full((rows, length), self._pad, np.int64)
                mask = np.zeros((rows, length), np.int64)
                for row, window in enumerate(filled):
                    ids[row, : len(window)], mask[row, : len(window)] = window, 1
                tensors = (
                    torch.from_numpy(array).to(self._settings.device) for array in (ids, mask)
                )
                logits = self._model(
                    **dict(zip(("input_ids", "attention_mask"), tensors, strict=True))
                ).logits
                shares.append(
                    _positive_share(logits.double().cpu().numpy()[: len(batch)], self._label)
                )
        return np.concatenate(shares)


def _positive_share(logits: npt.NDArray[np.float64], label: int) -> npt.NDArray[np.float64]:
    """Softmax of one label, or the logistic function of a single output: float64 [num_windows] of
    logits float64 [num_windows, num_outputs].
    """
    if logits.shape[1] == 1:
        logits = np.concatenate((np.zeros_like(logits), logits), axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: npt.NDArray[np.float64] = powers[:, label] / powers.sum(axis=1)
    return share


def _config(folder: Path, content: Mapping[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    kind = content.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise InputError(
            f"{folder / 'config.json'}: model_type is {kind!r}, which this version of transformers"
            " does not know"
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(content)
    except Exception as error:  # transformers raises errors of many kinds on a damaged file
        raise InputError(
            f"{folder / 'config.json'}: is no configuration of {kind} ({_line(error)}); restore it"
        ) from None


def _positive(folder: Path, config: Any, label: str) -> tuple[int, int]:
    """Number of the positive class and number of outputs."""
    names = {str(name): int(number) for number, name in config.id2label.items()}
    outputs = int(config.num_labels)
    if config.problem_type not in (None, "single_label_classification") and outputs > 1:
        raise RecipeError(
            f"{folder}: its problem type is {config.problem_type}; one probability needs"
            " single_label_classification"
        )
    if outputs == 1:
        return 1, outputs
    if label in names:
        return names[label], outputs
    if label.isascii() and label.isdigit() and int(label) < outputs:
        return int(label), outputs
    raise RecipeError(
        f"{folder}: has no label {label!r}; it has {', '.join(names)}; name one, or its number"
    )


def _context(folder: Path, config: Any, asked: int) -> int:
    most = int(getattr(config, "max_position_embeddings", 0) or 0)
    if most < SHORTEST // 8 or asked > most or 0 < asked < SHORTEST // 8:
        raise RecipeError(
            f"{folder}: context of {asked:,} tokens asked, the model takes {SHORTEST // 8} to"
            f" {most:,}; 0 means all"
        )
    return asked or most


def _tokenizer(folder: Path, content: str, context: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=context, stride=0)
    except Exception as error:  # tokenizers raises plain Exception
        raise InputError(
            f"{folder / 'tokenizer.json'}: cannot be read ({_line(error)}); restore the file that"
            " the filter names"
        ) from None
    tokenizer.encode_special_tokens = True
    return tokenizer


def _model(folder: Path, config: Any, weights: list[bytes], settings: SequenceSettings) -> Any:
    """The model with exactly the tensors of the files, all of them finite."""
    import torch
    from safetensors.torch import load

    if settings.device != "cpu":
        # cuBLAS is not deterministic without; it reads this at its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise RecipeError(
                f"{folder}: device {settings.device!r} asked, torch {torch.__version__} finds no"
                " GPU here; use cpu"
            )
    try:
        state = {name: tensor for content in weights for name, tensor in load(content).items()}
        model = _empty_model(config)
        model.load_state_dict(state, strict=True)
    # Errors of many kinds: a damaged header, a missing or surplus tensor, another shape.
    except Exception as error:
        raise InputError(
            f"{folder}: its weights are not those of its config.json ({_line(error)}); restore the"
            " pinned files"
        ) from None
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{folder}: tensor {name} holds numbers that are not finite; restore the pinned"
                " files"
            )
    return model.to(dtype=getattr(torch, settings.dtype), device=settings.device).eval()


def _empty_model(config: Any) -> Any:
    """The architecture in float32, so that no tensor is rounded on its way in, with an attention
    that does not depend on what happens to be installed: PyTorch's fused one, or the plain one
    where an architecture lacks it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    try:
        return AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        )
    except ValueError:
        return AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        )


@contextmanager
def _deterministic(settings: SequenceSettings) -> Iterator[None]:
    """torch's deterministic algorithms, full float32 products, and a stated number of threads, for
    the time of one call.
    """
    import torch

    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
    )
    try:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True)
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.set_float32_matmul_precision(before[2])


def _line(error: Exception) -> str:
    """The first 300 characters of a message of another library, on one line."""
    return " ".join(str(error).split())[:300]
