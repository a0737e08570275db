"""What every classifier shares: scores in millionths, and the digest over all that decides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from mixtures.yaml.fields import json_digest

MILLION = 1_000_000
"""Scores are probabilities in units of 1 / MILLION."""

Scores = npt.NDArray[np.uint32]
_ROUNDING_SLACK = 1e-4  # fastText's own softmax reports up to 1.00001


def quantised(probabilities: npt.NDArray[np.float64], where: str) -> Scores:
    """Probabilities float64 [num_docs] as uint32 millionths, to the nearest, ties to even.

    Raises:
        InputError: one of them is not a number from 0 to 1.
    """
    # False for NaN
    inside = (probabilities >= -_ROUNDING_SLACK) & (probabilities <= 1 + _ROUNDING_SLACK)
    if not inside.all():
        at = int(np.flatnonzero(~inside)[0])
        raise InputError(
            f"{where}: document {at} of the batch got the score {probabilities[at]}, a probability"
            " lies from 0 to 1: the weights or the library are damaged; restore the pinned weights"
        )
    return np.rint(np.clip(probabilities, 0.0, 1.0) * MILLION).astype(np.uint32)


def classifier_digest(
    kind: str, rules: int, parameters: Mapping[str, int | str], files: Mapping[str, str]
) -> str:
    """sha256 (hex) of what decides a score (`json_digest`).

    Args:
        rules: number of the scoring rule in our code; a change that can change any score raises it.
        files: name -> sha256 (hex) of each file that is read.
    """
    content = {"kind": kind, "rules": rules, "parameters": dict(parameters), "files": dict(files)}
    return json_digest(content)


def require_words(texts: Sequence[str], where: str) -> None:
    """Refuse what no model can judge: a text of white space only, or one that is not encodable as
    UTF-8.
    """
    for at, text in enumerate(texts):
        if not text or text.isspace():
            raise InputError(
                f"{where}: document {at} of the batch is empty or white space only and cannot be"
                " scored; leave it out"
            )
        if not text.isascii():
            encoded(text, at, where)


def encoded(text: str, at: int, where: str) -> bytes:
    """The text in UTF-8.

    Raises:
        InputError: it holds a lone surrogate.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: document {at} of the batch holds a lone surrogate at character {error.start}"
            " and cannot be scored; repair it (U+FFFD), as the readers do"
        ) from None
