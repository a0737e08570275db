"""A tokenizer as a recipe asks for it, and the definition that is computed of its tokenizer.json.

```yaml
tokenizer: gpt-neox-20b                            # one that annealmix ships
tokenizer: {file: my.json, eod: "</s>"}            # a file beside the recipe
tokenizer: {repo: owner/name, eod: "<|endoftext|>", bos: "<s>"}      # on the hub
tokenizer: my-tokenizer.yaml                       # a file with these fields
```

Digest, ids, size of the vocabulary and with it the type of a token follow from the file; what a
definition states of them is held against it. One thing does not follow: which token ends documents.
A tokenizer.json does not say it, so the recipe must.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from mixtures.errors import RecipeError
from mixtures.recipe.tokenizer.definition import (
    MOST_IDS,
    Digest,
    EngineName,
    GoldenVector,
    TokenizerDefinition,
)
from mixtures.recipe.tokenizer.form import Contents, contents
from mixtures.yaml.fields import (
    Checked,
    Described,
    Integer,
    Line,
    LocalPath,
    Location,
    Name,
    Positive,
    Reference,
    Text,
    describe,
)

PADDING = 128
"""Rows of a trainer's embedding are a multiple of this, unless a definition says how many there are
(GPT-NeoX and megatron-core, `make-vocab-size-divisible-by`)."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LIKELY = {
    "eod": re.compile(r"end|eo[sdt]\b|/s\b|sep\b", re.IGNORECASE),
    "bos": re.compile(r"begin|start|bos|<s>|cls\b", re.IGNORECASE),
}
_ROLE = {"eod": "an end", "bos": "a beginning"}
MOST_SHOWN = 8
_KEPT = ("description", "repo", "filename", "file", "eod", "bos", "golden", "engine", "licence")
"""Fields of a request that its definition has as they are."""


def _repo(value: str) -> str:
    if not _REPO.fullmatch(value):
        raise ValueError(f"{describe(value)} is not OWNER/NAME of the Hugging Face hub")
    return value


class TokenizerRequest(Described, Checked):
    """A tokenizer: exactly one of `use`, `file` and `repo` says which; a bare text is one of
    them.
    """

    use: Reference | None = None
    """One that annealmix ships, or a file with these fields beside the recipe."""
    name: Name | None = None
    """Names it in manifests; of its file or repository, if it is not given."""
    description: Text = ""
    file: LocalPath | None = None
    """A tokenizer.json, relative to the file that names it."""
    repo: Annotated[Line, AfterValidator(_repo)] | None = None
    """OWNER/NAME on the Hugging Face hub."""
    revision: Line | None = None
    """Its commit, branch or tag; the newest commit, if it is not given."""
    filename: LocalPath = "tokenizer.json"
    """The file in the repository."""
    eod: Line | None = None
    """The special token that ends every document."""
    bos: Line | None = None
    """The special token that begins every document; none does, if it is not given."""
    engine: EngineName | None = None
    """The one library that may make the ids; the fastest that makes those of the reference, if it
    is not given. No id depends on it."""
    digest: Digest | None = None
    """Canonical digest; computed, and held against this."""
    eod_id: Integer | None = None
    """Likewise."""
    bos_id: Integer | None = None
    """Likewise."""
    vocab_size: Positive | None = None
    """Likewise: ids are below it."""
    padded_vocab_size: Positive | None = None
    """Rows of the trainer's embedding; the next multiple of 128, if it is not given."""
    golden: tuple[GoldenVector, ...] = ()
    """Texts and their ids, which any engine must make."""
    licence: Line = "not stated"

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """It is one tokenizer, and what belongs to another kind of place is not there."""
        places = [name for name in ("use", "file", "repo") if name in given]
        if len(places) != 1:
            found = " and ".join(places) or "none of them"
            yield (
                (),
                f"gives {found}; give use (a shipped one, or a .yaml file), file (a tokenizer.json"
                " beside the recipe) or repo (OWNER/NAME on the hub)",
            )
        for name in ("revision", "filename"):
            if name in given and "repo" not in given:
                yield (name,), "belongs to repo; remove it"
        if "use" in given and len(given) > 1:
            others = ", ".join(sorted(set(given) - {"use"}))
            yield (), f"use stands alone; write {others} into the definition that it names"
        if given.get("bos") is not None and given.get("bos") == given.get("eod"):
            yield (
                ("bos",),
                f"{describe(given['bos'])} is the eod, too: nothing would tell a document's"
                " beginning from its end; leave bos out",
            )

    @property
    def label(self) -> str:
        """The name in manifests."""
        if self.name:
            return self.name
        path = PurePosixPath(self.file or self.repo or self.use or "")
        stem = path.name.removesuffix(".json")
        if stem == "tokenizer" and path.parent.name:
            stem = path.parent.name
        return re.sub(r"[^a-z0-9.-]+", "-", stem.lower()).strip("-.")[:64] or "tokenizer"


def request_of(value: Any) -> Any:
    """A bare text is the name of a shipped tokenizer, a .yaml or .json file, or OWNER/NAME."""
    if not isinstance(value, str):
        return value
    if value.endswith(".json"):
        return {"file": value}
    is_repo = "/" in value and not value.endswith(".yaml")
    return {"repo": value} if is_repo else {"use": value}


TokenizerField = Annotated[
    TokenizerRequest, BeforeValidator(request_of, json_schema_input_type=TokenizerRequest | str)
]


def define(request: TokenizerRequest, content: bytes, commit: str | None) -> TokenizerDefinition:
    """The definition of a tokenizer that a file or the hub has.

    Args:
        content: of its tokenizer.json. commit: of the hub's repository.

    Raises:
        ManifestError: it is no tokenizer.json, or one whose ids depend on who reads it.
        RecipeError: it is not what the request says, or names no token that ends documents.
    """
    found = contents(content)
    if faults := [*_unfit(found), *_wrong_ends(request, found)]:
        raise RecipeError("; ".join(faults))
    eod = found.special(str(request.eod))
    bos = found.special(request.bos) if request.bos is not None else None
    assert eod is not None
    computed = {
        "digest": found.digest,
        "eod_id": eod.id,
        "bos_id": bos.id if bos else None,
        "vocab_size": found.vocab_size,
    }
    for name, value in computed.items():
        stated = getattr(request, name)
        if stated is not None and stated != value:
            raise RecipeError(
                f"{name} is {value}, stated is {stated}; it is another tokenizer, or mend the"
                " definition"
            )
    padded = request.padded_vocab_size or -(-found.vocab_size // PADDING) * PADDING
    stated = {name: getattr(request, name) for name in _KEPT}
    others = {"name": request.label, "revision": commit, "padded_vocab_size": padded}
    return TokenizerDefinition.model_validate({**stated, **computed, **others})


def _unfit(found: Contents) -> Iterable[str]:
    if not 0 < found.vocab_size <= MOST_IDS:
        yield (
            f"its largest id is {found.vocab_size - 1:,}; allowed are ids below {MOST_IDS:,}, which"
            " the .idx of a mix has a type for"
        )
    if found.dropout:
        yield "it has dropout, so its ids are random; only dropout null or 0 is allowed"


def _wrong_ends(request: TokenizerRequest, found: Contents) -> Iterable[str]:
    """What is wrong with the tokens around a document."""
    if request.eod is None:
        yield f"no token is named that ends a document; {_advice(request, found, 'eod')}"
    for name in ("eod", "bos"):
        token = getattr(request, name)
        if token is None or found.special(token) is not None:
            continue
        plain = next((item for item in found.added if item.content == token), None)
        what = (
            "is an added token that is not special, so a text that spells it would hold its id"
            if plain
            else "is not one of its special tokens"
        )
        yield f"{name} {describe(token)} {what}; {_advice(request, found, name)}"


def _advice(request: TokenizerRequest, found: Contents, name: str) -> str:
    """The line to write, and the special tokens that it may name. name: eod or bos."""
    other = "bos" if name == "eod" else "eod"
    kept = getattr(request, other)
    taken = kept if kept is not None and found.special(kept) else None
    special = [item.content for item in found.added if item.special and item.content != taken]
    if not special:
        return "leave bos out" if name == "bos" else _NO_SPECIAL
    likely = [token for token in special if _LIKELY[name].search(token)]
    shown = (likely or special)[:MOST_SHOWN]
    more = len(likely or special) - len(shown)
    kind = f"that look like {_ROLE[name]}" if likely else "are"
    listed = ", ".join(map(describe, shown)) + (f" and {more:,} more" if more else "")
    tokens = {"eod": None, other: taken, name: shown[0]}
    place = f"file: {request.file}" if request.file else f"repo: {request.repo}"
    ends = [f"{key}: {_quoted(token)}" for key, token in tokens.items() if token is not None]
    line = f"write tokenizer: {{{', '.join([place, *ends])}}}"
    without = ", or leave bos out" if name == "bos" else ""
    return f"{line}{without} (its special tokens {kind}: {listed})"


_NO_SPECIAL = (
    "it has no special token at all: add one to its added_tokens, with special: true and an id of"
    " its own"
)


def _quoted(token: str) -> str:
    """A token as YAML has it between double quotes."""
    escaped = token.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped.isprintable() else repr(token)
