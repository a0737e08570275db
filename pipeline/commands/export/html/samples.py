"""A few documents of each strand, and what only the store knows: documents that were removed, and
scores around the threshold.

Documents of a strand are sampled by their order key, a hash of their text: the lowest keys, so the
choice is arbitrary, and the same everywhere. What was removed is never shown: eight digits of its
digest, its length and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtures.mix.trace import Position, TracedMix
from mixtures.recipe.near_request import NEAR
from pipeline.lookup.text import Texts

if TYPE_CHECKING:  # what reads a store costs seconds to import, and most pages have none
    from pipeline.lookup.filters import MixFilter
    from pipeline.lookup.selection import MixStore

SHOWN_CHARS = 600
DIGEST_DIGITS = 8
NEAR_LOOKED_AT = 40  # near-copies that are looked up for the sample, over all sources
# a token spells at least one byte, a character has at most four
_DECODED_TOKENS = 4 * SHOWN_CHARS + 4


@dataclass(frozen=True)
class Sample:
    """A document of the mix. text: its beginning; None without a tokenizer. more: whether it goes
    on.
    """

    place: Position
    text: str | None
    more: bool


def sampled(mix: TracedMix, positions: Sequence[int], tokenizer: Path | None) -> list[Sample]:
    """Documents at some positions of the stream.

    Raises:
        ManifestError: the tokenizer is not that of the mix, or the tables are damaged.
    """
    texts = Texts(mix.claims, tokenizer, None) if tokenizer and positions else None
    return [_sample(mix.document(position), mix, texts) for position in positions]


def _sample(place: Position, mix: TracedMix, texts: Texts | None) -> Sample:
    if texts is None:
        return Sample(place, None, False)
    end = place.first_token + min(place.num_tokens - 1, _DECODED_TOKENS)
    first = place.first_token + (mix.claims.tokenizer.bos_id is not None)
    text = texts.text(np.asarray(mix.index.tokens[first : max(first, end)]))
    return Sample(
        place,
        text[:SHOWN_CHARS],
        len(text) > SHOWN_CHARS or end < place.first_token + place.num_tokens - 1,
    )


@dataclass(frozen=True)
class Removed:
    """A document that is not in the mix. digest: its first digits; num_tokens: None where the store
    has none of it.
    """

    digest: str
    num_tokens: int | None
    reason: str


def removed(mix: MixStore, samples: int) -> dict[str, list[Removed]]:
    """Of each source, those with the lowest order keys that are contaminated or that filters
    remove, then near-copies.
    """
    by_source = {name: list(_removed_of(mix, name, samples)) for name in mix.choices}
    for source, document in _near_copies(mix):
        documents = by_source.setdefault(source, [])
        if sum(item.reason.startswith(NEAR) for item in documents) < samples:
            documents.append(document)
    return {name: documents for name, documents in by_source.items() if documents}


def _removed_of(mix: MixStore, source: str, samples: int) -> Iterator[Removed]:
    choice, wanted = mix.choices[source], samples
    reasons = choice.eligible.reasons
    before = len(reasons) - choice.eligible.filters  # reasons that are no filters
    asked = {
        **dict(enumerate(reasons[:before])),
        **{before + at: f"filter {own.rule.label}" for at, own in mix.own_filters.items()},
    }
    for column in choice.removed_columns():
        if not wanted:
            return
        columns = [column(name) for name in ("digest", "num_tokens", "verdicts")]
        lacked = np.flatnonzero(mix.lacks(source, columns[0]))[:wanted]
        for digest, num_tokens, verdicts in zip(*(one[lacked] for one in columns), strict=True):
            why = [reason for bit, reason in asked.items() if int(verdicts) >> bit & 1]
            yield Removed(_digits(digest), int(num_tokens), ", ".join(why))
        wanted -= len(lacked)


def _near_copies(mix: MixStore) -> Iterator[tuple[str, Removed]]:
    """(source, near-copy) of the first that give way, by order key."""
    from pipeline.lookup.fates import Fates
    from pipeline.stages.near.clusters import read_drops

    if mix.near is None:
        return
    fates, budget = Fates(mix), NEAR_LOOKED_AT
    for partition in range(mix.plan.partitions):
        for digest in read_drops(mix.near.drops, mix.plan.partitions, partition).digest[:budget]:
            budget -= 1
            for fate in fates.of_digest(np.ascontiguousarray(digest).astype(">u8").tobytes()):
                if fate.reason.startswith(NEAR):
                    yield (
                        fate.origin.source,
                        Removed(_digits(digest), fate.figures["num_tokens"], fate.reason),
                    )


def _digits(digest: Any) -> str:
    return str(np.ascontiguousarray(digest).astype(">u8").tobytes().hex())[:DIGEST_DIGITS]


@dataclass(frozen=True)
class Scores:
    """Scores of the documents that a filter escalated. edges: millionths; kept, removed: documents
    between two edges.

    above: the threshold, in millionths.
    """

    label: str
    above: int
    edges: list[int]
    kept: list[int]
    removed: list[int]


def scores(mix: MixStore) -> list[Scores]:
    """The scores that decided, of each filter with a classifier."""
    from pipeline.lookup.scores import scoring

    return [_scores(mix, number, above, item) for number, above, item in scoring(mix)]


def _scores(mix: MixStore, number: int, above: int, item: MixFilter) -> Scores:
    from pipeline.lookup.scores import SCORE_EDGES, by_edges
    from pipeline.stages.eligible import score_column

    kept, gone = np.zeros((2, len(SCORE_EDGES) - 1), np.int64)
    prefix = score_column(number)
    for name, choice in mix.choices.items():
        if number >= choice.eligible.filters:  # an insert
            continue
        for column in choice.taken_columns():
            kept += by_edges(column("score", prefix))
        for column in choice.removed_columns():
            scored, lacked = column("score", prefix), mix.lacks(name, column("digest"))
            gone += by_edges(scored[lacked])
            kept += by_edges(scored[~lacked])
    return Scores(item.rule.label, above, SCORE_EDGES, kept.tolist(), gone.tolist())
