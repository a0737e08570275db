"""A tokenizer that a process has loaded already."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from pipeline.tokens.tokenizer import SpecialTokens, Tokenizer


def loaded_tokenizer(
    path: Path,
    definition: TokenizerDefinition,
    special_tokens: SpecialTokens,
    *,
    proven: str | None = None,
) -> Tokenizer:
    """The tokenizer, which tests itself when it is loaded: once a process, however many ranks it
    does. proven: see `Tokenizer`.
    """
    # equal to that of a plan, whichever kind of definition the recipe names
    frozen = TokenizerDefinition.model_validate(definition.model_dump(mode="json"))
    return _loaded(_Wanted(path, frozen, special_tokens, proven))


@dataclass(frozen=True)
class _Wanted:
    """A tokenizer that is to be loaded."""

    path: Path
    definition: TokenizerDefinition
    special_tokens: SpecialTokens
    proven: str | None = field(compare=False)


@lru_cache(maxsize=1)
def _loaded(wanted: _Wanted) -> Tokenizer:
    return Tokenizer(wanted.path, wanted.definition, wanted.special_tokens, proven=wanted.proven)
