"""What a build prints of an arm of a study, and its page shows: its slots, or what is masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixtures.mix.claims import Claims
from mixtures.mix.judged.arms import (
    WINDOW_TOKENS,
    ArmClaim,
    MaskClaim,
    MaskedClaim,
    ScoredClaim,
    SlotClaim,
)
from mixtures.rules.filter_definition import MILLION
from mixtures.words import percent_text, plural, share_text
from pipeline.report import Column, Table, count, counts, say

_SLOT_COLUMNS = (
    Column("source", "source"),
    Column("slots", "slots", count),
    Column("at places", "positions", count),
    *counts("exact", "cut", "joined", "tokens"),
    Column("in cut donors", lambda row: share_text(row["cut_tokens"], row["tokens"])),
    Column("donors it gives", "given", count),
)


def slot_table(arm: ArmClaim) -> Table:
    """Slots by source, how they are filled, and what each source gives."""
    rows = [
        {"source": name, "given": arm.given(name), **one.as_json()}
        for name, one in arm.sources.items()
    ]
    return Table([*rows, _total(rows, "given", *SlotClaim.model_fields)], _SLOT_COLUMNS)


def _total(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[str, Any]:
    """A row of the sums of some columns."""
    return {"source": "total", **{name: sum(row[name] for row in rows) for name in names}}


_SCORE_ROWS = ("documents", "scored", "least", *(f"{10 * at}%" for at in range(1, 10)), "largest")
_SCORE_COLUMNS = tuple(Column(name, at) for at, name in enumerate(("", "removed", "donors")))


def _scores(said: ScoredClaim) -> list[str]:
    deciles = [f"{one / MILLION:.4f}" for one in said.deciles] or ["-"] * 11
    return [count(said.documents), count(said.scored), *deciles]


def score_table(arm: ArmClaim) -> Table | None:
    """Deciles of the scores of what gave way and of donors; None without a classifier."""
    if arm.scores is None:
        return None
    cells = map(_scores, (arm.scores.removed, arm.scores.donors))
    return Table(list(zip(_SCORE_ROWS, *cells, strict=True)), _SCORE_COLUMNS)


SCORES_TITLE = "scores, by tenths"


def print_slots(arm: ArmClaim, claims: Claims) -> None:
    """Print what an aligned arm differs by from its base: slots by source, how they are filled, by
    which scores donors differ from what they replace, and how much of the stream slots touch.
    """
    slot_table(arm).print(f"slots of {arm.arm}, by the source of the removed document")
    if scores := score_table(arm):
        scores.print(SCORES_TITLE)
    for line in slot_notes(arm, claims):
        say(f"{arm.arm}: {line}")


def slot_notes(arm: ArmClaim, claims: Claims) -> list[str]:
    """Sentences on repeats among the donors, and on how much of the stream slots touch."""
    lines = []
    if (made := arm.rewrites) is not None:
        unused = f"; {made.unused:,} rewrites of documents that stay" if made.unused else ""
        lines.append(
            f"{made.file}: {plural(made.documents, 'rewrite')} of {made.tokens:,} tokens in slots:"
            f" {made.exact:,} of their slot's length, {made.cut:,} cut, {made.followed:,} followed"
            f" by fresh donors of {made.donor_tokens:,} tokens{unused}"
        )
    for name, donors in arm.donors.items():
        if (again := donors.repeated) is not None:
            share = percent_text(again.tokens, donors.tokens, 2)
            lines.append(
                f"approved documents of {name}: {donors.documents:,} unused,"
                f" {again.base_documents:,} of the base; {share}% of the tokens in"
                f" {plural(again.places, 'repeat')}, at most {again.most:,} places of one"
            )
    return [*lines, _windows("slots", arm.windows, claims)]


def print_mask(mask: MaskClaim, claims: Claims) -> None:
    """Print how much of a masked arm is no target."""
    for line in mask_notes(mask, claims):
        say(f"{mask.arm}: {line}")


def mask_notes(mask: MaskClaim, claims: Claims) -> list[str]:
    """Sentences on how much of a masked arm is no target, and of how much of the stream."""
    share = percent_text(mask.tokens, claims.total_tokens, 4)
    what = "masked documents" if mask.fill == "mask" else "masked terms"
    return [
        f"{mask.tokens:,} tokens are no targets, {share}% of the mix",
        _windows(what, mask.windows, claims),
        mask.shares.told(f"{WINDOW_TOKENS:,} tokens", WINDOW_TOKENS),
    ]


_MASK_COLUMNS = (
    Column("source", "source"),
    Column("flagged documents", "documents", count),
    Column("at places", "positions", count),
    Column("tokens that are no targets", "tokens", count),
)


def mask_table(mask: MaskClaim) -> Table:
    """What is masked, by source."""
    rows = [{"source": name, **one.as_json()} for name, one in mask.sources.items()]
    return Table([*rows, _total(rows, *MaskedClaim.model_fields)], _MASK_COLUMNS)


def _windows(what: str, windows: int, claims: Claims) -> str:
    total = -(-claims.total_tokens // WINDOW_TOKENS)
    share = percent_text(windows, total, 2)
    return f"{what} touch {windows:,} of {total:,} stretches of {WINDOW_TOKENS:,} tokens, {share}%"
