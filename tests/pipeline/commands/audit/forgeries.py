"""Forgeries of a finished mix, each with all hashes made anew: of its documents and their tokens,
and of what its manifest says.

A case changes the mix of `conftest.work` and says which checks see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.mixtures.audit.forged_mix import Document, ForgedMix


@dataclass(frozen=True)
class Forgery:
    """What is done, in words; how; and the checks that fail, no more and no fewer."""

    name: str
    change: Callable[[ForgedMix], None]
    seen_by: frozenset[str]


CASES: list[Forgery] = []


def forgery(*seen_by: str) -> Callable[[Callable[[ForgedMix], None]], Callable[[ForgedMix], None]]:
    """List a case; its name is its function's."""

    def add(change: Callable[[ForgedMix], None]) -> Callable[[ForgedMix], None]:
        CASES.append(Forgery(change.__name__.replace("_", " "), change, frozenset(seen_by)))
        return change

    return add


def _firsts(mix: ForgedMix, name: str) -> list[Document]:
    """Documents of a source, copies and later epochs not among them, whole, in stream order."""
    return [one for one in mix.of(name) if not (one.copy or one.epoch or one.cut)]


def _once(mix: ForgedMix, name: str) -> list[Document]:
    """Of those, the ones that are in the mix at one place alone."""
    digests = [one.digest for one in mix.documents]
    return [one for one in _firsts(mix, name) if digests.count(one.digest) == 1]


def _of_equal_length(documents: list[Document]) -> tuple[Document, Document]:
    return next(
        (one, two)
        for at, one in enumerate(documents)
        for two in documents[at + 1 :]
        if len(one.tokens) == len(two.tokens) and not np.array_equal(one.tokens, two.tokens)
    )


TOKENS = ("store tokens", "source tokens")


@forgery(*TOKENS)
def tokens_of_two_documents_of_equal_length_exchanged(mix: ForgedMix) -> None:
    one, two = _of_equal_length(_once(mix, "b"))
    one.tokens, two.tokens = two.tokens, one.tokens


@forgery("prefix bound", *TOKENS)
def a_token_moved_over_the_boundary_of_two_documents(mix: ForgedMix) -> None:
    documents = mix.of("extra")
    one, two = documents[0], documents[1]
    two.tokens = np.concatenate([one.tokens[-2:-1], two.tokens])
    one.tokens = np.delete(one.tokens, -2)


@forgery(*TOKENS)
def one_token_changed(mix: ForgedMix) -> None:
    document = _once(mix, "b")[3]
    document.tokens = document.tokens.copy()
    document.tokens[0] += 1


@forgery("store provenance", "source text", "source tokens")
def provenance_of_two_documents_exchanged(mix: ForgedMix) -> None:
    one, two = _once(mix, "b")[:2]
    (one.file, one.row), (two.file, two.row) = (two.file, two.row), (one.file, one.row)


@forgery("store documents", "source tokens")
def a_cut_document_was_longer_than_is_said(mix: ForgedMix) -> None:
    for source in mix.manifest["sources"]:
        if source["cut"] and source["name"] == "b":
            source["cut"]["num_tokens"] += 1
