"""A tokenizer definition: all that must be known of a tokenizer to make, read and audit ids.

The definition of a shipped tokenizer is a file of which nothing is left to find out. That of any
other is computed from its tokenizer.json (`mixtures.recipe.tokenizer.request`), and frozen in the
plan of a build and in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from mixtures.yaml.fields import (
    Checked,
    Integer,
    Line,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Text,
)

MOST_IDS = 1 << 31
EngineName = Literal["fastokens", "tokenizers"]
Digest = Annotated[Text, Field(pattern=r"^[0-9a-f]{64}$")]


class GoldenVector(Model):
    """A text and its ids (EOD not among them), special strings kept as text, as the reference
    library makes them.
    """

    text: Text
    ids: tuple[Integer, ...]


class TokenizerDefinition(Checked):
    """One tokenizer: where it is published, its identity, the tokens around a document, and
    vectors that an engine must reproduce.

    repo, revision, filename: Hugging Face repository, the commit that is read, and the file in it.
    file: a tokenizer that annealmix ships, relative to the `recipes` package, or that a recipe
        names, as it does.
    digest: `canonical_digest` of the contents. It decides; the file's own bytes do not.
    eod, eod_id: the special token that ends every document; bos, bos_id: that begins it, if one
        does.
    vocab_size: ids are below it, those of added tokens too; padded_vocab_size: rows of the
        trainer's embedding.
    engine: the one library that may make its ids; None: the fastest that makes those of the
        reference.
    """

    name: Name
    description: Text = ""
    repo: Line | None = None
    revision: Line | None = None
    filename: LocalPath = "tokenizer.json"
    file: LocalPath | None = None
    digest: Digest
    eod: Line
    eod_id: Integer
    bos: Line | None = None
    bos_id: Integer | None = None
    vocab_size: Positive
    padded_vocab_size: Positive
    golden: tuple[GoldenVector, ...] = ()
    engine: EngineName | None = None
    licence: Line = "not stated"

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """There is somewhere to find it, and what is found there is pinned."""
        if "repo" not in given and "file" not in given:
            yield (
                (),
                "gives neither repo nor file; say where the tokenizer is published, or which"
                " file is shipped",
            )
        if ("repo" in given) != ("revision" in given):
            yield (), "gives one of repo and revision; they belong together"
        if ("bos" in given) != ("bos_id" in given):
            yield (), "gives one of bos and bos_id; they belong together"

    @model_validator(mode="after")
    def _sizes_agree(self) -> TokenizerDefinition:
        if not self.eod_id < self.vocab_size <= self.padded_vocab_size:
            raise ValueError(
                f"eod_id {self.eod_id}, vocab_size {self.vocab_size}, padded_vocab_size"
                f" {self.padded_vocab_size}: eod_id < vocab_size <= padded_vocab_size must hold"
            )
        if self.bos_id is not None and not self.eod_id != self.bos_id < self.vocab_size:
            raise ValueError(
                f"bos_id {self.bos_id}, eod_id {self.eod_id}, vocab_size {self.vocab_size}: bos_id"
                " must be another id than eod_id, and below vocab_size"
            )
        for index, vector in enumerate(self.golden):
            if max(vector.ids, default=0) >= self.vocab_size:
                raise ValueError(
                    f"golden[{index}] has id {max(vector.ids)}; allowed are ids below vocab_size"
                    f" {self.vocab_size}"
                )
        return self

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a token on disk: see `token_dtype`."""
        return token_dtype(self.vocab_size)

    @property
    def added_ids(self) -> int:
        """Tokens that every document has beside those of its text: EOD, and BOS if there is one."""
        return 1 if self.bos_id is None else 2

    def canonical(self) -> dict[str, object]:
        """What of it decides a mix."""
        ends: dict[str, object] = {"name": self.name, "digest": self.digest, "eod": self.eod}
        return ends if self.bos is None else {**ends, "bos": self.bos}

    def facts(self) -> dict[str, object]:
        """What was found out of its file, and where that is, for `--json` and for people."""
        origin = {"repo": self.repo, "revision": self.revision, "file": self.file}
        return {
            **self.canonical(),
            **{name: value for name, value in origin.items() if value is not None},
            "eod_id": self.eod_id,
            "bos_id": self.bos_id,
            "vocab_size": self.vocab_size,
            "token_dtype": "uint16" if self.dtype.itemsize == 2 else "int32",
        }


class ShippedTokenizer(TokenizerDefinition):
    """A definition that annealmix ships: nothing of it is computed."""

    golden: Annotated[tuple[GoldenVector, ...], Field(min_length=1)]
    licence: Line


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Little-endian uint16 if every id below `vocab_size` fits, else little-endian uint32.

    Ids stay below 2^31, so that a .bin of them reads the same as int32, the only wider type that
    the .idx has (Megatron's dtype codes 8 and 4).

    Raises:
        ValueError: the vocabulary is empty or needs more than 31 bits.
    """
    if not 0 < vocab_size <= MOST_IDS:
        raise ValueError(f"vocabulary of {vocab_size} tokens; 1 to {MOST_IDS} can be stored")
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")
