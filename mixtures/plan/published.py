"""What is published of a mix, beside what a plan estimates or a finished mix holds.

Documents, tokens and tokens a document tell a mix of the published kind from one that has its
shares alone: a source of 22.90% may be abstracts or papers. What is off by more than a tenth is
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

MOST_OFF = 10
"""Per cent by which a figure may differ from the published one before it is named."""


class _Figures(Protocol):
    @property
    def documents(self) -> int | None: ...
    @property
    def tokens(self) -> int | None: ...


class _SourceFigures(_Figures, Protocol):
    @property
    def percent(self) -> object: ...


@dataclass(frozen=True)
class Amount:
    """What a mix takes of a source, or of the copies of its documents."""

    name: str
    corpus: str | None
    tokens: int
    documents: int | None
    """None: not known."""


@dataclass(frozen=True)
class Comparison:
    """A source, a corpus or the whole mix beside its published figures; None: not known."""

    name: str
    """`total` of the mix."""
    tokens: int
    documents: int | None
    published_tokens: int | None
    published_documents: int | None
    published_percent: str | None
    """Of the mix's tokens, as printed."""
    off: Mapping[str, str] = field(default_factory=dict)
    """{figure: per cent of the published one by which it differs}, above `MOST_OFF`."""

    @property
    def tokens_a_document(self) -> int | None:
        """Rounded half up."""
        return _ratio(self.tokens, self.documents)

    @property
    def published_tokens_a_document(self) -> int | None:
        """Likewise."""
        return _ratio(self.published_tokens, self.published_documents)

    def as_json(self) -> dict[str, object]:
        """The fields and both ratios."""
        return {
            **vars(self),
            "off": dict(self.off),
            "tokens_a_document": self.tokens_a_document,
            "published_tokens_a_document": self.published_tokens_a_document,
        }


def comparisons(
    amounts: Iterable[Amount], sources: Mapping[str, _SourceFigures], mix: _Figures, *, whole: bool
) -> tuple[Comparison, ...]:
    """What is published beside what a mix takes; empty if that is nothing.

    Args:
        amounts: inserts aside, which published figures do not count. sources: published figures by
            source or corpus. mix: those of the mix. whole: whether it is of the recipe's full size;
            else documents and tokens are not held against the published ones.
    """
    amounts = tuple(amounts)
    found = []
    for name, figures in sources.items():
        if figures.documents or figures.tokens:
            mine = [one for one in amounts if name in (one.name, one.corpus)]
            percent = None if figures.percent is None else str(figures.percent)
            found.append(_compared(name, mine, figures, percent, whole=whole))
    if mix.documents or mix.tokens:
        found.append(_compared("total", amounts, mix, None, whole=whole))
    return tuple(found)


def _compared(
    name: str, amounts: Iterable[Amount], figures: _Figures, percent: str | None, *, whole: bool
) -> Comparison:
    amounts = list(amounts)
    counts = [one.documents for one in amounts if one.documents is not None]
    row = Comparison(
        name,
        sum(one.tokens for one in amounts),
        sum(counts) if len(counts) == len(amounts) else None,
        figures.tokens,
        figures.documents,
        percent,
    )
    pairs = {"tokens a document": (row.tokens_a_document, row.published_tokens_a_document)}
    if whole:
        pairs["documents"] = (row.documents, row.published_documents)
        pairs["tokens"] = (row.tokens, row.published_tokens)
    off = {
        figure: f"{100 * (mine - theirs) / theirs:+.0f}%"
        for figure, (mine, theirs) in pairs.items()
        if mine is not None and theirs and abs(mine - theirs) * 100 > MOST_OFF * theirs
    }
    return replace(row, off=off)


def _ratio(tokens: int | None, documents: int | None) -> int | None:
    return (2 * tokens + documents) // (2 * documents) if tokens and documents else None
