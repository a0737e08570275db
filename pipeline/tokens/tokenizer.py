"""Texts to token ids: one interface over `fastokens` (fast) and Hugging Face `tokenizers`
(reference and fallback).

    definition -> pipeline.tokens.find.find_tokenizer -> path
    Tokenizer(path, definition).encode(texts) -> tokens of all documents, how many each has

A document is its ids with EOD behind them, and BOS before them if the definition names one. What a
tokenizer.json adds by itself (the template of its post-processor) is never applied.

The identity of a tokenizer is the canonical digest of its contents
(`mixtures.recipe.tokenizer.form`): whatever file is found must have it. The ids are those of the
reference library, whatever engine makes them: when a tokenizer is loaded, the engine must make the
definition's golden vectors, or where it has none the reference's ids of `pipeline.tokens.probes`,
or the reference itself takes its place, and says so; `verify` re-encodes a document with the
reference (the ingest stage draws at least 1 in 1,000, and one of every few MB); and a test
campaign compares every document of the published samples.

Special strings: `special_tokens="text"` encodes a literal `<|endoftext|>` as the characters that it
is, so that no document can forge a document end; `"parse"` turns it into the special id, as
GPT-NeoX's own preprocessing does; a manifest's `eod_tokens` counts them with the ends.

Cost on one core: `pipeline.tokens.engines.EXPECTED_MB`. One process a core, so engines run with one
thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixtures.errors import ManifestError, RecipeError
from mixtures.recipe.tokenizer.definition import EngineName, TokenizerDefinition
from mixtures.words import first_line
from mixtures.yaml.fields import describe
from pipeline.tokens.engines import ENGINES, EXPECTED_MB, Engine, Ids, NumTokens, open_engine
from pipeline.tokens.find import content_of, require_digest
from pipeline.tokens.known import known_contents
from pipeline.tokens.probes import probes

SpecialTokens = Literal["text", "parse"]
Tokens = npt.NDArray[np.unsignedinteger[Any]]
"""uint16 or uint32 (`TokenizerDefinition.dtype`) [num_tokens]: documents one after another, each
with its EOD, and BOS if the tokenizer has one.
"""

# Large enough that the call costs nothing beside the work, small enough that ids as uint32 and the
# copies that an engine makes stay in the tens of megabytes. A document above the limit is a batch
# of its own.
BATCH_CHARS = 4 << 20
BATCH_TEXTS = 512


class Tokenizer:
    """A loaded and proven tokenizer.

    Attributes:
        sha256: of the file's bytes. engine: the library in use; `engine_version` its version.
        fallback_reason: why fastokens is not in use although nobody asked for another; else empty.
    """

    def __init__(
        self,
        path: Path,
        definition: TokenizerDefinition,
        special_tokens: SpecialTokens = "text",
        engine: EngineName | None = None,
        proven: str | None = None,
    ) -> None:
        """Load the tokenizer from `path`, compare it with `definition`, and run the golden vectors.

        Args:
            path: as `find_tokenizer` gave it; its digest is checked again, since a worker may read
                it much later.
            proven: what `prove` gave: a file of the same bytes need not be compared again.
            special_tokens: whether special strings in a text stay text, or are parsed into their
                ids.
            engine: a library by name; None takes the definition's, or else fastokens if it makes
                the ids of the reference, or else the reference.

        Raises:
            InputError: the file cannot be read.
            ManifestError: the file is not what the definition says, is not fit for exact
                tokenizing, or fails the self-test.
            RecipeError: the engine that was asked for is not installed or cannot load this
                tokenizer.
        """
        self.path = path
        self.definition = definition
        self.special_tokens: SpecialTokens = special_tokens
        self._content = content_of(path)
        self.sha256 = hashlib.sha256(self._content).hexdigest()
        if self.sha256 != proven:
            _refuse_unfit(path, definition, self._content)
        self.fallback_reason = ""
        asked = engine or definition.engine
        self._engine = self._best_engine() if asked is None else self._named_engine(asked)
        self.engine: EngineName = self._engine.name
        self.engine_version = version(self.engine)
        self._refuse_spelled_ends()
        self.self_test()

    @property
    def speed(self) -> str:
        """How fast the engine is, for people; and why it is not the fastest, if it is not."""
        reason = f": {self.fallback_reason}" if self.fallback_reason else ""
        return (
            f"{self.engine} {self.engine_version}, about {EXPECTED_MB[self.engine]} MB of text a"
            f" second and core{reason}"
        )

    @cached_property
    def _reference(self) -> Engine:
        return self._named_engine("tokenizers")

    def encode(self, texts: Sequence[str]) -> tuple[Tokens, NumTokens]:
        """Tokens of all texts in their order, each between BOS, if the tokenizer has one, and EOD,
        and how many each has.

        Args:
            texts: valid Unicode; lone surrogates are repaired by the readers before.

        Returns:
            tokens: `definition.dtype` [sum(num_tokens)].
            num_tokens: int64 [num_texts], BOS and EOD included.

        Raises:
            ManifestError: the engine gave an id outside the vocabulary, or EOD or BOS for plain
                text.
        """
        pieces = [
            self._encode_batch(self._engine, batch, self.special_tokens)
            for batch in _batches(texts)
        ]
        if not pieces:
            return np.empty(0, self.definition.dtype), np.empty(0, np.int64)
        tokens, num_tokens = zip(*pieces, strict=True)
        return np.concatenate(tokens), np.concatenate(num_tokens)

    def count(self, texts: Sequence[str]) -> NumTokens:
        """How many tokens each text has: int64 [num_texts], as `encode`."""
        return self.encode(texts)[1]

    def self_test(self) -> None:
        """Encode the golden vectors, and the special EOD string where it is to be parsed.

        Raises:
            ManifestError: the ids are not those of the definition; names the engine and the vector.
        """
        vectors: list[tuple[str, str, tuple[int, ...], SpecialTokens]] = [
            (f"golden[{index}]", vector.text, vector.ids, "text")
            for index, vector in enumerate(self.definition.golden)
        ]
        if self.special_tokens == "parse":
            vectors.append(
                ("the parsed EOD string", self.definition.eod, (self.definition.eod_id,), "parse")
            )
        for where, text, expected, mode in vectors:
            ids = self._ids(self._engine, text, mode)
            if ids != list(expected):
                raise ManifestError(
                    f"tokenizer {self.definition.name}: {self.engine} {self.engine_version} gives"
                    f" {ids} for {where}, the definition says {list(expected)};"
                    " install the pinned versions (this engine cannot be used)"
                )

    def _ids(self, engine: Engine, text: str, mode: SpecialTokens) -> list[int]:
        """Ids of one text, without BOS and EOD."""
        ids: list[int] = engine.encode([text], parse=mode == "parse")[0].tolist()
        return ids

    def verify(self, text: str, tokens: Tokens) -> None:
        """Compare the tokens of one document, BOS and EOD included, with what the reference library
        makes of its text.

        Args:
            tokens: `definition.dtype` [num_tokens].

        Raises:
            ManifestError: they differ; names both libraries, their versions and the first place.
        """
        expected, _ = self._encode_batch(self._reference, [text], self.special_tokens)
        if np.array_equal(tokens, expected):
            return
        shared = min(tokens.size, expected.size)
        different = np.flatnonzero(tokens[:shared] != expected[:shared])
        first = int(different[0]) if different.size else shared
        raise ManifestError(
            f"tokenizer {self.definition.name}: {self.engine} {self.engine_version} and tokenizers"
            f" {version('tokenizers')} disagree on a text of {len(text)} characters from token"
            f" {first} on ({tokens[first : first + 5].tolist()}, reference"
            f" {expected[first : first + 5].tolist()}; {tokens.size} and {expected.size} tokens);"
            " write engine: tokenizers beside the tokenizer's eod, or install the pinned versions"
        )

    def _encode_batch(
        self, engine: Engine, texts: list[str], mode: SpecialTokens
    ) -> tuple[Tokens, NumTokens]:
        """One call of a library: `definition.dtype` [sum(num_tokens)], int64 [num_texts], as
        `encode`. What no library may give is refused here.
        """
        ids, num_ids = engine.encode(texts, parse=mode == "parse")
        if ids.size and int(ids.max()) >= self.definition.vocab_size:
            raise ManifestError(
                f"tokenizer {self.definition.name}: {engine.name} {version(engine.name)} gives id"
                f" {int(ids.max())}, allowed are ids below {self.definition.vocab_size}; install"
                " the pinned versions"
            )
        for name, _, number in self._ends():
            if mode == "text" and np.any(ids == number):
                raise ManifestError(
                    f"tokenizer {self.definition.name}: {engine.name} {version(engine.name)} gives"
                    f" {name} ({number}) for plain text, which would forge a document's end or"
                    " beginning; install the pinned versions"
                )
        return _framed(ids, num_ids, self.definition)

    def _ends(self) -> list[tuple[str, str, int]]:
        """Name, string and id of what stands around a document."""
        eod = ("EOD", self.definition.eod, self.definition.eod_id)
        bos, bos_id = self.definition.bos, self.definition.bos_id
        return [eod] if bos is None or bos_id is None else [eod, ("BOS", bos, bos_id)]

    def _best_engine(self) -> Engine:
        """fastokens, if it can load this tokenizer and makes the ids that are known of it, else the
        reference.
        """
        try:
            engine = open_engine("fastokens", self._content)
            different = self._different(engine)
        except (ImportError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
            self.fallback_reason = (
                f"fastokens cannot do it ({type(error).__name__}: {first_line(error)})"
            )
        # a panic of the native library derives from BaseException alone
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            self.fallback_reason = f"fastokens cannot do it (it panics: {first_line(error)})"
        else:
            if different is None:
                return engine
            self.fallback_reason = f"fastokens makes other ids of the text {describe(different)}"
        return self._reference

    def _different(self, engine: Engine) -> str | None:
        """A text of which an engine makes other ids than the golden vectors, or without any than
        the reference.
        """
        for vector in self.definition.golden:
            if self._ids(engine, vector.text, "text") != list(vector.ids):
                return vector.text
        if self.definition.golden:
            return None
        texts = probes(known_contents(self._content).added)
        parse = self.special_tokens == "parse"
        pieces = [one.encode(texts, parse=parse) for one in (engine, self._reference)]
        if all(np.array_equal(*columns) for columns in zip(*pieces, strict=True)):
            return None
        return next(
            text
            for text in texts
            if self._ids(engine, text, self.special_tokens)
            != self._ids(self._reference, text, self.special_tokens)
        )

    def _named_engine(self, name: EngineName) -> Engine:
        try:
            return open_engine(name, self._content)
        # tokenizers raises plain Exception for a file that it cannot load
        except Exception as error:
            raise RecipeError(
                f"tokenizer {self.definition.name}: {name} cannot load {self.path}"
                f" ({type(error).__name__}: {first_line(error)}); install {name}, or take the"
                f" other of {', '.join(ENGINES)}"
            ) from error

    def _refuse_spelled_ends(self) -> None:
        """Refuse a model that makes EOD or BOS of text that spells them, where that is to stay
        text.
        """
        for name, token, number in self._ends() if self.special_tokens == "text" else []:
            for text in (token, f" {token} ", f"a{token}b"):
                if number in self._ids(self._engine, text, "text"):
                    raise RecipeError(
                        f"tokenizer {self.definition.name}: its model has {describe(token)} in its"
                        f" own vocabulary and makes {name} of the text {describe(text)}, so a text"
                        " could forge a document's end or beginning; write special_tokens: parse"
                        " if that is meant, or take a tokenizer that keeps its special tokens"
                        " apart"
                    )


def prove(path: Path, definition: TokenizerDefinition) -> str:
    """The sha256 of a file's bytes, which are the tokenizer that is defined: `proven` of a
    `Tokenizer`. No engine is loaded.

    Raises:
        InputError, ManifestError: as `Tokenizer`.
    """
    content = content_of(path)
    _refuse_unfit(path, definition, content)
    return hashlib.sha256(content).hexdigest()


def _refuse_unfit(path: Path, definition: TokenizerDefinition, content: bytes) -> None:
    """Refuse another tokenizer than the one that is defined, and one whose ids are not what the
    definition says.
    """
    found, faults = known_contents(content), []
    require_digest(path, found.digest, definition)
    if found.vocab_size != definition.vocab_size:
        faults.append(
            f"its ids are below {found.vocab_size}, the definition says {definition.vocab_size}"
        )
    for token, number in (
        (definition.eod, definition.eod_id),
        (definition.bos, definition.bos_id),
    ):
        special = None if token is None else found.special(token)
        if token is not None and (special is None or special.id != number):
            faults.append(
                f"{token} has id {special.id if special else None} among its special tokens,"
                f" the definition says {number}"
            )
    if found.dropout:
        faults.append("it has dropout, so its ids are random; only dropout null or 0 is allowed")
    if faults:
        raise ManifestError(
            f"tokenizer {definition.name}: {path} cannot be used:"
            f" {'; '.join(faults)}; mend the definition"
        )


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in their order, in lists of at most BATCH_TEXTS texts and BATCH_CHARS characters (or
    one text).
    """
    batch: list[str] = []
    num_chars = 0
    for text in texts:
        if batch and (len(batch) == BATCH_TEXTS or num_chars + len(text) > BATCH_CHARS):
            yield batch
            batch, num_chars = [], 0
        batch.append(text)
        num_chars += len(text)
    if batch:
        yield batch


def _framed(
    ids: Ids, num_ids: NumTokens, definition: TokenizerDefinition
) -> tuple[Tokens, NumTokens]:
    """Put EOD behind the ids of each text, and BOS before them if the definition has one.

    Args:
        ids: uint32 [sum(num_ids)]. num_ids: int64 [num_texts].

    Returns:
        tokens: `definition.dtype` [sum(num_ids) + num_texts * definition.added_ids].
        num_tokens: int64 [num_texts], BOS and EOD included.
    """
    num_tokens = num_ids + definition.added_ids
    ends = np.cumsum(num_tokens)
    tokens: Tokens = np.full(int(num_tokens.sum()), definition.eod_id, definition.dtype)
    is_text = np.ones(tokens.size, np.bool_)
    is_text[ends - 1] = False  # the last token of each document is its EOD
    if definition.bos_id is not None:
        starts = ends - num_tokens
        tokens[starts] = definition.bos_id
        is_text[starts] = False
    tokens[is_text] = ids  # every id is below vocab_size, so it fits the dtype
    return tokens, num_tokens
