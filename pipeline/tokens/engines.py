"""The two libraries that make ids of texts, behind one protocol: `fastokens`, and Hugging Face
`tokenizers` as the reference.

Both read a tokenizer.json. Both are asked for plain ids: no special tokens added, no truncation, no
padding, whatever the file says. Nothing is imported before an engine is opened.
"""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError

EngineName = Literal["fastokens", "tokenizers"]
Ids = npt.NDArray[np.uint32]
"""uint32 [num_tokens]: ids of several texts, one after another, without EOD."""
NumTokens = npt.NDArray[np.int64]
"""int64 [num_texts]: tokens of each text."""


class Vocabulary(NamedTuple):
    """What a library says of a tokenizer."""

    size: int
    """Ids, those of added tokens included."""
    token_id: int | None
    """Id of the token that was asked for; None: there is no such token."""
    num_added: int
    """Special tokens that the post-processor would add to a text."""


class Engine(Protocol):
    """What `pipeline.tokens.tokenizer.Tokenizer` needs of a library."""

    name: EngineName

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """Ids of all texts in their order, uint32 [num_tokens], without EOD, and the number of ids
        of each text, int64 [num_texts].

        Args:
            parse: special strings in a text become their ids; else they are encoded as the
                characters that they are.
        """

    def describe(self, token: str) -> Vocabulary:
        """What the library has loaded. token: whose id is asked for."""


class Fastokens:
    """fastokens: ids come as one flat buffer, with no Python object per token."""

    name: EngineName = "fastokens"

    def __init__(self, tokenizer_json: str) -> None:
        from fastokens import Tokenizer as Native

        self._native = Native.from_json_str(tokenizer_json)
        self._native.no_truncation()
        self._native.no_padding()

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """As `Engine.encode`: uint32 [num_tokens], int64 [num_texts]."""
        ids, offsets = self._native.encode_batch_flat(texts, split_special_tokens=not parse)
        bounds: NumTokens = np.frombuffer(offsets, "<u8").astype(np.int64)  # [num_texts + 1]
        return np.frombuffer(ids, "<u4"), bounds[1:] - bounds[:-1]

    def describe(self, token: str) -> Vocabulary:
        return Vocabulary(
            self._native.vocab_size,
            self._native.token_to_id(token),
            self._native.num_special_tokens_to_add(False),
        )


class Reference:
    """Hugging Face tokenizers: the library whose ids are right by definition."""

    name: EngineName = "tokenizers"

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer as Native

        self._native = Native.from_str(tokenizer_json)
        self._native.no_truncation()
        self._native.no_padding()

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """As `Engine.encode`: uint32 [num_tokens], int64 [num_texts]."""
        self._native.encode_special_tokens = not parse
        rows = [
            encoding.ids
            for encoding in self._native.encode_batch_fast(texts, add_special_tokens=False)
        ]
        num_ids = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), np.uint32, int(num_ids.sum())), num_ids

    def describe(self, token: str) -> Vocabulary:
        return Vocabulary(
            self._native.get_vocab_size(),
            self._native.token_to_id(token),
            self._native.num_special_tokens_to_add(False),
        )


ENGINES: dict[EngineName, type[Fastokens] | type[Reference]] = {
    "fastokens": Fastokens,
    "tokenizers": Reference,
}


def open_engine(name: EngineName, tokenizer_json: str) -> Engine:
    """Import the library and load the tokenizer into it.

    Raises:
        ImportError: the library is not installed.
        Exception: of the library's own kinds, if it cannot load this tokenizer.
    """
    # Both libraries read these when first imported or first used. Parallelism comes from processes,
    # one a core.
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return ENGINES[name](tokenizer_json)


def num_ids(path: Path) -> int:
    """One more than the largest id of a tokenizer.json.

    Raises:
        InputError: it cannot be read.
    """
    from tokenizers import Tokenizer as Native

    try:
        vocabulary = Native.from_str(path.read_text("utf-8")).get_vocab(with_added_tokens=True)
    # tokenizers raises plain Exception for a file that it cannot load
    except Exception as error:
        raise InputError(
            f"{path}: no tokenizer.json that can be read ({error}); give that of the ids with"
            " --tokenizer FILE"
        ) from None
    return 1 + max(vocabulary.values(), default=-1)
