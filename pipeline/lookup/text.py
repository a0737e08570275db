"""Text of a document from its tokens, and the terms of a mix's filters that stand in it. Only what
a user asks to see is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims
from mixtures.mix.judged.filters import FilterClaim
from mixtures.rules.filter_files import list_filters, load_filter, load_terms, read_filter
from mixtures.rules.terms import Mode, matches_naive
from pipeline.lookup.tokenizer import find_of_mix
from pipeline.tokens.decoder import Decoder
from pipeline.tokens.find import content_of


@dataclass(frozen=True)
class DocumentText:
    """What a document says, or a stretch of it."""

    text: str | None
    """None where the store has no tokens of it."""
    terms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of each filter's blocklist, by its label, those that stand in it; empty where no filters are
    at hand.
    """

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {"text": self.text, **({"terms": dict(self.terms)} if self.terms else {})}


class Texts:
    """The texts of a mix's tokens, and its blocklists where a folder of filters is given.

    Args:
        file: the tokenizer.json; None: found as for a build. filters: as `--filters` of a build;
            None shows no terms.
    Raises:
        ManifestError: the tokenizer is not the one that the mix was made with. InputError: there is
            none.
        RecipeError: `filters` lacks a filter of the mix.
    """

    def __init__(self, claims: Claims, file: Path | None, filters: Path | None) -> None:
        path = find_of_mix(claims, file)
        self._decoder = Decoder(content_of(path), str(path))
        self._lists = {item.label: _terms(item, filters) for item in claims.filters if filters}

    def text(self, tokens: npt.NDArray[np.integer[Any]]) -> str:
        """The text of some tokens, ids [num_tokens].

        Raises:
            AuditFailed: an id that the tokenizer does not have.
        """
        return self._decoder.texts(tokens, np.array([0]), np.array([len(tokens)]))[0]

    def document(self, tokens: Sequence[int] | None) -> DocumentText:
        """The text of some tokens of a document, and the terms in it; None: the store has none."""
        if tokens is None:
            return DocumentText(None)
        text, lists = self.text(np.array(tokens, np.int64)), self._lists.items()
        found = {label: matches_naive(text, terms, mode) for label, (terms, mode) in lists}
        return DocumentText(text, found)


def _terms(item: FilterClaim, folder: Path) -> tuple[tuple[str, ...], Mode]:
    """The terms of a manifest's filter and their mode, from the bundle that has its list."""
    brought = sorted([*folder.glob("*.yaml"), *folder.glob("*/filter.yaml")])
    for bundle in chain(map(read_filter, brought), map(load_filter, list_filters())):
        blocklist = bundle.definition.blocklist
        if (blocklist.sha256, blocklist.mode) == (item.blocklist.sha256, item.blocklist.mode):
            return load_terms(blocklist, bundle.folder), blocklist.mode
    raise RecipeError(
        f"{folder}: holds no filter with the blocklist of {item.label!r} (sha256"
        f" {item.blocklist.sha256}); name another --filters"
    )
