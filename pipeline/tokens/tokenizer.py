"""Texts to token ids: one interface over `fastokens` (fast) and Hugging Face `tokenizers`
(reference and fallback).

    definition -> find_tokenizer -> path
    Tokenizer(path, definition).encode(texts) -> tokens of all texts with EOD, how many each has

The identity of a tokenizer is the canonical digest of its contents
(`mixtures.recipe.tokenizer_definition`): whatever file is found must have it. Three things hold the
ids to those of the reference library: golden vectors are encoded whenever a tokenizer is loaded;
`verify` re-encodes a document with the reference (the ingest stage samples 1 in 1,000, about 3% of
its time); and a test campaign compares every document of the published samples.

Special strings: `special_tokens="text"` encodes a literal `<|endoftext|>` as the characters that it
is, so that no document can forge a document end; `"parse"` turns it into the special id, as
GPT-NeoX's own preprocessing does; a manifest's `eod_tokens` counts them with the ends.

Cost on one core: fastokens 28-30 MB of text a second, tokenizers 1.0. One process a core, so both
run with one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.tokenizer_definition import (
    TokenizerDefinition,
    canonical_digest,
    canonical_form,
    form_digest,
)
from pipeline.places.files import retried
from pipeline.places.places import default_cache
from pipeline.tokens.engines import ENGINES, Engine, EngineName, Ids, NumTokens, open_engine

SpecialTokens = Literal["text", "parse"]
Tokens = npt.NDArray[np.unsignedinteger[Any]]
"""uint16 or uint32 (`TokenizerDefinition.dtype`) [num_tokens]: texts one after another, each
followed by EOD.
"""

# Large enough that the call costs nothing beside the work, small enough that ids as uint32 and the
# copies that an engine makes stay in the tens of megabytes. A document above the limit is a batch
# of its own.
BATCH_CHARS = 4 << 20
BATCH_TEXTS = 512


def find_tokenizer(definition: TokenizerDefinition, file: Path | None = None) -> Path:
    """The file of a tokenizer: `file` if given, else the shipped one, the cache folder's, or the
    hub's; the first that exists.

    The cache folder is `$ANNEALMIX_CACHE` (default `~/.cache/annealmix`), the file in it
    `tokenizers/NAME.json`. The hub's copy lies in the cache of huggingface_hub, which serves it
    without a network once it is there.

    Raises:
        ManifestError: that file is another tokenizer; no further place is tried, since somebody put
            it there on purpose.
        InputError: `file` does not exist, or no place has one; lists the places.
    """
    if file is not None:
        if not file.is_file():
            raise InputError(
                f"tokenizer {definition.name}: {file} is not a file; give the tokenizer.json itself"
                " with --tokenizer FILE"
            )
        return _checked(file, definition)
    looked = []
    for place in _local_places(definition):
        if place.is_file():
            return _checked(place, definition)
        looked.append(str(place))
    if definition.repo is not None:
        try:
            downloaded = _download(definition)
        except InputError as error:
            looked.append(str(error))
        # the hub's client has many ways to fail; the reason is in the message below
        except Exception as error:
            looked.append(
                f"{definition.repo} at {definition.revision} on the hub ({type(error).__name__}:"
                f" {_first_line(error)})"
            )
        else:
            return _checked(downloaded, definition)
    raise InputError(
        f"tokenizer {definition.name}: not found in {'; '.join(looked)}; give it with --tokenizer"
        " FILE or put it into the cache folder"
    )


def _local_places(definition: TokenizerDefinition) -> Iterator[Path]:
    if definition.file is not None:
        import recipes

        yield Path(str(recipes.__file__)).parent / definition.file
    yield default_cache() / "tokenizers" / f"{definition.name}.json"


def _download(definition: TokenizerDefinition) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    repo, name, revision = str(definition.repo), definition.filename, definition.revision
    if not isinstance(try_to_load_from_cache(repo, name, revision=revision), str):
        # The client asks for a file again and again by itself, whatever the reason; a hub that
        # cannot be reached shows here first.
        retried(
            f"{repo} at {revision} on the hub could not be read",
            lambda: HfApi().model_info(repo, revision=revision, expand=["sha"]),
            "check the network and the access token",
        )
    return Path(hf_hub_download(repo, name, revision=revision))


def _checked(path: Path, definition: TokenizerDefinition) -> Path:
    _require_digest(path, canonical_digest(_content(path)), definition)
    return path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"tokenizer file {path} cannot be read ({error.strerror}); give a readable one with"
            " --tokenizer FILE"
        ) from error


def _require_digest(path: Path, digest: str, definition: TokenizerDefinition) -> None:
    if digest != definition.digest:
        raise ManifestError(
            f"tokenizer {definition.name}: {path} has canonical digest {digest}, the definition"
            f" says {definition.digest}; it is another tokenizer: remove it, or give the right file"
            " with --tokenizer FILE"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0]


class Tokenizer:
    """A loaded and proven tokenizer.

    Attributes:
        engine: the library in use; `engine_version` its version.
        fallback_reason: why fastokens is not in use although nobody asked for another; else empty.
    """

    def __init__(
        self,
        path: Path,
        definition: TokenizerDefinition,
        special_tokens: SpecialTokens = "text",
        engine: EngineName | None = None,
    ) -> None:
        """Load the tokenizer from `path`, compare it with `definition`, and run the golden vectors.

        Args:
            path: as `find_tokenizer` gave it; its digest is checked again, since a worker may read
                it much later.
            special_tokens: whether special strings in a text stay text, or are parsed into their
                ids.
            engine: a library by name; None takes fastokens if it can load this tokenizer, else
                tokenizers.

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
        content = _content(path)
        form = canonical_form(content)
        _require_digest(path, form_digest(form), definition)
        self._json = content.decode("utf-8")
        self._reference: Engine | None = None
        self.fallback_reason = ""
        self._engine = self._best_engine() if engine is None else self._named_engine(engine)
        self.engine: EngineName = self._engine.name
        self.engine_version = version(self.engine)
        self._refuse_unfit(form)
        self.self_test()

    def encode(self, texts: Sequence[str]) -> tuple[Tokens, NumTokens]:
        """Tokens of all texts in their order, each followed by EOD, and how many each has.

        Args:
            texts: valid Unicode; lone surrogates are repaired by the readers before.

        Returns:
            tokens: `definition.dtype` [sum(num_tokens)].
            num_tokens: int64 [num_texts], EOD included.

        Raises:
            ManifestError: the engine gave an id outside the vocabulary, or EOD for plain text.
        """
        pieces = [
            self._encode_batch(self._engine, batch, self.special_tokens)
            for batch in _batches(texts)
        ]
        if not pieces:
            return np.empty(0, self.definition.dtype), np.empty(0, np.int64)
        tokens, num_tokens = zip(*pieces, strict=True)
        return np.concatenate(tokens), np.concatenate(num_tokens)

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
                (
                    "the parsed EOD string",
                    self.definition.eod_token,
                    (self.definition.eod_id,),
                    "parse",
                )
            )
        for where, text, expected, mode in vectors:
            tokens, _ = self._encode_batch(self._engine, [text], mode)
            if tokens[:-1].tolist() != list(expected):
                raise ManifestError(
                    f"tokenizer {self.definition.name}: {self.engine} {self.engine_version} gives"
                    f" {tokens[:-1].tolist()} for {where}, the definition says {list(expected)};"
                    " install the pinned versions (this engine cannot be used)"
                )

    def verify(self, text: str, tokens: Tokens) -> None:
        """Compare the tokens of one document, EOD included, with what the reference library makes
        of its text.

        Args:
            tokens: `definition.dtype` [num_tokens].

        Raises:
            ManifestError: they differ; names both libraries, their versions and the first place.
        """
        if self._reference is None:
            self._reference = open_engine("tokenizers", self._json)
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
            " install the pinned versions"
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
        if mode == "text" and np.any(ids == self.definition.eod_id):
            raise ManifestError(
                f"tokenizer {self.definition.name}: {engine.name} {version(engine.name)} gives EOD"
                f" ({self.definition.eod_id}) for plain text, which would forge a document end;"
                " install the pinned versions"
            )
        return _with_eod(ids, num_ids, self.definition)

    def _best_engine(self) -> Engine:
        try:
            return open_engine("fastokens", self._json)
        except (ImportError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
            self.fallback_reason = f"fastokens: {type(error).__name__}: {_first_line(error)}"
            return self._named_engine("tokenizers")

    def _named_engine(self, name: EngineName) -> Engine:
        try:
            return open_engine(name, self._json)
        # tokenizers raises plain Exception for a file that it cannot load
        except Exception as error:
            raise RecipeError(
                f"tokenizer {self.definition.name}: {name} cannot load {self.path}"
                f" ({type(error).__name__}: {_first_line(error)}); install {name}, or take the"
                f" other of {', '.join(ENGINES)}"
            ) from error

    def _refuse_unfit(self, form: Mapping[str, Any]) -> None:
        """form: of the tokenizer.json, as `canonical_form` gives it."""
        vocabulary = self._engine.describe(self.definition.eod_token)
        faults = []
        if vocabulary.size != self.definition.vocab_size:
            faults.append(
                f"it has {vocabulary.size} ids, the definition says {self.definition.vocab_size}"
            )
        if vocabulary.token_id != self.definition.eod_id:
            faults.append(
                f"{self.definition.eod_token} has id {vocabulary.token_id}, the definition says"
                f" {self.definition.eod_id}"
            )
        if vocabulary.num_added:
            faults.append(
                f"its post-processor adds {vocabulary.num_added} special tokens to every text;"
                " only EOD may be added"
            )
        if form["model"].get("dropout"):
            faults.append(
                f"it has dropout {form['model']['dropout']}, so its ids are random; only dropout"
                " null or 0 is allowed"
            )
        if faults:
            raise ManifestError(
                f"tokenizer {self.definition.name}: {self.path} cannot be used:"
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


def _with_eod(
    ids: Ids, num_ids: NumTokens, definition: TokenizerDefinition
) -> tuple[Tokens, NumTokens]:
    """Put EOD behind the ids of each text.

    Args:
        ids: uint32 [sum(num_ids)]. num_ids: int64 [num_texts].

    Returns:
        tokens: `definition.dtype` [sum(num_ids) + num_texts].
        num_tokens: int64 [num_texts], EOD included.
    """
    num_tokens = num_ids + 1
    tokens: Tokens = np.full(ids.size + num_ids.size, definition.eod_id, definition.dtype)
    is_text = np.ones(tokens.size, np.bool_)
    is_text[np.cumsum(num_tokens) - 1] = False  # the last token of each text is its EOD
    tokens[is_text] = ids  # every id is below vocab_size, so it fits the dtype
    return tokens, num_tokens
