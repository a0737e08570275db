"""What a tokenizer.json says: the digest that tells whether it is the one that was meant, and its
vocabulary.

The same tokenizer is published as files with different bytes: merges as `"a b"` or `["a", "b"]`,
other key orders, defaults written out or left away. `canonical_digest` is therefore not a hash of
the file. It is the SHA-256 of a canonical form that holds exactly what decides the ids of a text,
as JSON in ASCII with sorted keys and no white space:

    {"format": "annealmix-tokenizer-1",
     "model": {"type": "BPE", "vocab": [[id, token], ...], "merges": [[left, right], ...], other
     parameters}, "added_tokens": [[id, content, single_word, lstrip, rstrip, normalized, special],
     ...], "normalizer": {...} or null, "pre_tokenizer": {...} or null}

In: the vocabulary by id; merges as pairs, in their order; added tokens by id with all their flags;
normalizer; pre-tokenizer. Out: version, truncation and padding (switched off when a tokenizer is
loaded), decoder (it makes text of ids), post-processor (it only adds special tokens and moves
offsets; annealmix asks for no special tokens and refuses a tokenizer that has some to add), and
`trim_offsets` (offsets, not ids). A parameter that the reference library fills in when it is absent
counts as written; any parameter that is not known here stays in, so that an unknown difference is a
difference.

The rules of what is read, and which defaults hold, are those of Hugging Face tokenizers 0.23.3
(tokenizers/src/models/bpe/serialization.rs, pre_tokenizers/byte_level.rs,
tokenizer/serialization.rs, added_vocabulary.rs).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from mixtures.errors import ManifestError
from mixtures.yaml.fields import json_digest

CANONICAL_FORMAT = "annealmix-tokenizer-1"

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
# What the reference library assumes when a parameter is absent. "" and null act alike as prefix and
# suffix, 0 and null as dropout.
_BPE_DEFAULTS: dict[str, object] = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
_STEP_DEFAULTS: dict[str, dict[str, object]] = {"ByteLevel": {"use_regex": True}}


_HEAD = re.compile(rb'^\s*\{\s*"version"\s*:\s*"1\.0"\s*,\s*"(truncation|padding|added_tokens)"')


def is_tokenizer(head: bytes) -> bool:
    """Whether a file that begins so is a tokenizer.json."""
    return _HEAD.match(head) is not None


class AddedToken(NamedTuple):
    """A token that is found in a text before the model sees it."""

    id: int
    content: str
    special: bool
    """Whether it stays text where special strings are kept as text."""


class Contents(NamedTuple):
    """What is asked again and again of a tokenizer.json."""

    digest: str
    """`canonical_digest`."""
    model: str
    """Type of its model: BPE, Unigram, WordPiece, WordLevel."""
    vocab_size: int
    """One more than its largest id."""
    added: tuple[AddedToken, ...]
    """By id."""
    dropout: bool
    """Whether its ids are random."""
    template_begin: str | None
    """The token that its post-processor puts before a text. It is never applied: a recipe's `bos`
    begins documents."""

    @property
    def begin(self) -> str | None:
        """What `bos` would have to be for documents to begin as the template lets texts begin."""
        begin = self.template_begin
        return begin if begin is not None and self.special(begin) else None

    def special(self, token: str) -> AddedToken | None:
        """The special token that is spelled so."""
        return next((item for item in self.added if item.special and item.content == token), None)


def canonical_digest(content: bytes) -> str:
    """SHA-256, in hex, of the canonical form (see above) of the tokenizer.json with these bytes.

    Raises:
        ManifestError: not JSON, not laid out like a tokenizer.json, or a file of which the ids
            depend on who reads it.
    """
    return contents(content).digest


@lru_cache(maxsize=2)  # a vocabulary of 262,144 takes seconds, and is asked for at every step
def contents(content: bytes) -> Contents:
    """What the tokenizer.json with these bytes says.

    Raises:
        ManifestError: as `canonical_digest`.
    """
    tokenizer = _read(content)
    form = _canonical(tokenizer)
    model = form["model"]
    added = tuple(AddedToken(row[0], row[1], row[-1]) for row in form["added_tokens"])
    ids = set(_model_ids(model["vocab"])) | {token.id for token in added}
    return Contents(
        digest=json_digest(form),
        model=model["type"],
        vocab_size=1 + max(ids, default=-1),
        added=added,
        dropout=bool(model.get("dropout")),
        template_begin=_template_begin(tokenizer.get("post_processor")),
    )


def _template_begin(step: Any) -> str | None:
    """The special token that a post-processor puts before a text, as the reference library lays
    one out (tokenizers/src/processors); None where there is none, or the layout is unknown.
    """
    if not isinstance(step, dict):
        return None
    if step.get("type") == "Sequence" and isinstance(step.get("processors"), list):
        return next(filter(None, map(_template_begin, step["processors"])), None)
    if step.get("type") in ("BertProcessing", "RobertaProcessing"):
        first = step.get("cls")
        token = first[0] if isinstance(first, list) and first else None
    else:
        single = step.get("single")
        first = single[0] if isinstance(single, list) and single else None
        special = first.get("SpecialToken") if isinstance(first, dict) else None
        token = special.get("id") if isinstance(special, dict) else None
    return token if isinstance(token, str) else None


def _model_ids(vocab: Any) -> Iterable[int]:
    """Ids of a canonical vocabulary: [id, token] of BPE and word pieces, [token, score] by id of
    unigrams.
    """
    by_id = all(isinstance(entry[0], int) for entry in vocab)
    return (entry[0] for entry in vocab) if by_id else range(len(vocab))


def canonical_form(content: bytes) -> Mapping[str, Any]:
    """The JSON-able record that `canonical_digest` hashes.

    Raises:
        ManifestError: as `canonical_digest`.
    """
    return _canonical(_read(content))


def _read(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    # UnicodeDecodeError and JSONDecodeError are ValueErrors
    except (ValueError, RecursionError) as error:
        raise _refused(f"not valid JSON ({error})") from error


def _canonical(tokenizer: Any) -> Mapping[str, Any]:
    try:
        return {
            "format": CANONICAL_FORMAT,
            "model": _model(tokenizer["model"]),
            "added_tokens": _added_tokens(
                tokenizer.get("added_tokens") or [], tokenizer["model"]["vocab"]
            ),
            "normalizer": _step(tokenizer.get("normalizer")),
            "pre_tokenizer": _step(tokenizer.get("pre_tokenizer")),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise _refused(
            f"not laid out like a tokenizer.json ({type(error).__name__}: {error})"
        ) from error


def _model(model: dict[str, Any]) -> dict[str, Any]:
    parameters = {
        key: value for key, value in model.items() if key not in ("type", "vocab", "merges")
    }
    kind = model.get("type") or ("BPE" if "merges" in model else None)  # old files name no type
    if kind is None:
        raise _refused("its model names no type and has no merges")
    if kind == "BPE":
        parameters = _BPE_DEFAULTS | {
            key: None if _inert(key, value) else value for key, value in parameters.items()
        }
        parameters["merges"] = [_pair(merge) for merge in model["merges"] if not _is_comment(merge)]
    elif "merges" in model:
        parameters["merges"] = model["merges"]
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        vocab = sorted([_identifier(number), token] for token, number in vocab.items())
        _check_distinct(vocab)
    return parameters | {"type": kind, "vocab": vocab}


def _check_distinct(vocab: list[list[Any]]) -> None:
    """Refuse two tokens of one id: which of them it means depends on who reads it."""
    for (number, token), (other, again) in pairwise(vocab):
        if number == other:
            raise _refused(f"tokens {token!r} and {again!r} have one id, {number}")


def _inert(key: str, value: Any) -> bool:
    no_affix = key in ("continuing_subword_prefix", "end_of_word_suffix") and value == ""
    return no_affix or (key == "dropout" and value == 0)


def _is_comment(merge: Any) -> bool:
    # the first line of a merges.txt, carried over by old converters
    return isinstance(merge, str) and merge.startswith("#version")


def _pair(merge: Any) -> list[str]:
    """A merge in either published form. The string form splits at its one space; tokens with spaces
    need the list form.
    """
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if not (isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is type(pair[1]) is str):
        raise _refused(f'merge {merge!r} is neither "left right" nor ["left", "right"]')
    return pair


def _added_tokens(tokens: list[dict[str, Any]], vocab: Any) -> list[list[Any]]:
    _check_reading_order(tokens, vocab)
    rows = []
    for token in tokens:
        unknown = token.keys() - {"id", "content", *_FLAGS}
        flags = [token[flag] for flag in _FLAGS]  # the reference library knows no default for them
        if unknown or not all(isinstance(flag, bool) for flag in flags):
            raise _refused(
                f"added token {token!r} needs exactly id, content and the flags {', '.join(_FLAGS)}"
                " (true or false)"
            )
        rows.append([_identifier(token["id"]), token["content"], *flags])
    return sorted(rows)


def _check_reading_order(tokens: list[dict[str, Any]], vocab: Any) -> None:
    """Refuse added tokens whose stated id is not the one that the reference library gives them.

    It ignores the stated id: a token keeps its id in the vocabulary, or gets the next free one in
    the file's order (AddedVocabulary::add_tokens). Other engines believe the statement, and then
    ids differ without an error.
    """
    known = vocab
    if not isinstance(vocab, dict):
        known = {entry[0]: number for number, entry in enumerate(vocab)}
    taken = {number: token for token, number in known.items()}
    next_id = len(known)
    for token in tokens:
        expected = known.get(token["content"], next_id)
        if token["id"] != expected:
            raise _refused(
                f"added token {token['content']!r} states id {token['id']}, but read in the file's"
                f" order it gets {expected}; engines would disagree: save it again with Hugging"
                " Face tokenizers"
            )
        if token["content"] not in known and expected in taken:
            raise _refused(
                f"added token {token['content']!r} gets id {expected}, which {taken[expected]!r}"
                " has: the vocabulary has holes; number it without any"
            )
        next_id = max(next_id, expected + 1)


def _step(step: Any) -> Any:
    """A normalizer or pre-tokenizer without what moves offsets only, and with the defaults of its
    type written out.
    """
    if isinstance(step, list):
        return [_step(item) for item in step]
    if not isinstance(step, dict):
        return step
    kept = {key: _step(value) for key, value in step.items() if key != "trim_offsets"}
    return _STEP_DEFAULTS.get(str(step.get("type")), {}) | kept


def _identifier(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise _refused(f"{number!r} is not a token id")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):  # readers differ in which of the two they keep
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refused(reason: str) -> ManifestError:
    return ManifestError(f"tokenizer file: {reason}; give the published tokenizer.json")
