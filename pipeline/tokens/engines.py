"""The two libraries that make ids of texts, behind one protocol: `fastokens`, and Hugging Face
`tokenizers` as the reference.

Both are given the tokenizer.json without its post-processor, truncation and padding, and are asked
for plain ids: whatever template a file has for chats or sentence pairs, it is never applied. What
stands around a document is the recipe's to say (`pipeline.tokens.tokenizer`). Nothing is imported
before an engine is opened.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from mixtures.recipe.tokenizer.definition import EngineName

Ids = npt.NDArray[np.uint32]
"""uint32 [num_tokens]: ids of several texts, one after another, without BOS and EOD."""
NumTokens = npt.NDArray[np.int64]
"""int64 [num_texts]: tokens of each text."""

EXPECTED_MB = {"fastokens": "50 (6 to 80 by its pre-tokenizer)", "tokenizers": "1 to 2"}
"""Text that a core makes ids of in a second, in MB of UTF-8, about
(docs/tokenizers.md, 2026-11-28, a 2-core x86-64 machine)."""


class Engine(Protocol):
    """What `pipeline.tokens.tokenizer.Tokenizer` needs of a library."""

    name: EngineName

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """Ids of all texts in their order, uint32 [num_tokens], without BOS and EOD, and the number
        of ids of each text, int64 [num_texts].

        Args:
            parse: special strings in a text become their ids; else they are encoded as the
                characters that they are.
        """


class Fastokens:
    """fastokens: ids come as one flat buffer, with no Python object per token."""

    name: EngineName = "fastokens"

    def __init__(self, content: bytes) -> None:
        from fastokens import Tokenizer as Native

        self._native = Native.from_json_str(orjson.dumps(_plain(content)).decode())

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """As `Engine.encode`: uint32 [num_tokens], int64 [num_texts]."""
        ids, offsets = self._native.encode_batch_flat(texts, split_special_tokens=not parse)
        bounds: NumTokens = np.frombuffer(offsets, "<u8").astype(np.int64)  # [num_texts + 1]
        return np.frombuffer(ids, "<u4"), bounds[1:] - bounds[:-1]


class Reference:
    """Hugging Face tokenizers: the library whose ids are right by definition.

    A unigram model may take the piece "</s>" of its vocabulary for the characters "</s>" of a text,
    which sentencepiece never does (control symbols match nothing). Where special strings are to
    stay text, it is given a vocabulary in which nothing can match those pieces.
    """

    name: EngineName = "tokenizers"

    def __init__(self, content: bytes) -> None:
        from tokenizers import Tokenizer as Native

        record = _plain(content)
        self._parsing = self._text = Native.from_str(orjson.dumps(record).decode())
        if record["model"].get("type") == "Unigram":
            self._text = Native.from_str(orjson.dumps(_without_special_pieces(record)).decode())

    def encode(self, texts: list[str], *, parse: bool) -> tuple[Ids, NumTokens]:
        """As `Engine.encode`: uint32 [num_tokens], int64 [num_texts]."""
        native = self._parsing if parse else self._text
        native.encode_special_tokens = not parse
        rows = [
            encoding.ids for encoding in native.encode_batch_fast(texts, add_special_tokens=False)
        ]
        num_ids = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(chain.from_iterable(rows), np.uint32, int(num_ids.sum())), num_ids


ENGINES: dict[EngineName, type[Fastokens] | type[Reference]] = {
    "fastokens": Fastokens,
    "tokenizers": Reference,
}


_preloaded: dict[tuple[EngineName, bytes], Engine] = {}
"""By library and content of the tokenizer.json; in a worker, as its server left it."""


def preload(name: EngineName, content: bytes) -> None:
    """Load a tokenizer into a library, for processes that are forked from this one."""
    _preloaded[name, content] = open_engine(name, content)


def open_engine(name: EngineName, content: bytes) -> Engine:
    """Import the library and load the tokenizer into it, unless that was done before a fork.

    Args:
        content: of a tokenizer.json.

    Raises:
        ImportError: the library is not installed.
        Exception: of the library's own kinds, if it cannot load this tokenizer.
    """
    # Both libraries read these when first imported or first used. Parallelism comes from processes,
    # one a core.
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return _preloaded.get((name, content)) or ENGINES[name](content)


def _plain(content: bytes) -> Any:
    """The record of a tokenizer.json that makes ids of texts and nothing else."""
    record = orjson.loads(content)
    record |= {"post_processor": None, "truncation": None, "padding": None}
    model = record["model"]
    if model.get("type") is None and "merges" in model:
        # old files name no type; the reference library takes them for BPE, fastokens refuses them
        record["model"] = {**model, "type": "BPE"}
    return record


def _without_special_pieces(record: Any) -> Any:
    """A unigram tokenizer of which no text can spell a special piece: it has the same ids, and in
    their place a name with a space, which no piece of a text has (Metaspace makes it U+2581).
    """
    added = record.get("added_tokens") or []
    special = {token["content"] for token in added if token["special"]}
    vocab = record["model"]["vocab"]
    # They stay among the added tokens, which the library numbers by their order where the
    # vocabulary lacks them: left out, the next one would take the id.
    names = {piece: f" {number}" for number, (piece, _) in enumerate(vocab) if piece in special}
    return {
        **record,
        "model": {
            **record["model"],
            "vocab": [[names.get(piece, piece), score] for piece, score in vocab],
        },
        "added_tokens": [
            {**one, "content": names.get(one["content"], one["content"])} if one["special"] else one
            for one in added
        ],
    }
