"""What a build prints of an arm of a study: its slots, or what is masked."""

from __future__ import annotations

from typing import NamedTuple

from mixtures.mix.claims import Claims
from mixtures.mix.judged import WINDOW_TOKENS, ArmClaim, MaskClaim
from mixtures.words import percent_text, plural
from pipeline.report import Column, Table, count, say


class _SlotRow(NamedTuple):
    """The slots of a source, as `SlotClaim` has them, and what the source gives to others."""

    source: str
    slots: int
    exact: int
    cut: int
    joined: int
    tokens: int
    cut_tokens: int
    positions: int
    given: int


_SLOT_COLUMNS = (
    Column("source", "source"),
    Column("slots", "slots", count),
    Column("at places", "positions", count),
    Column("exact", "exact", count),
    Column("cut", "cut", count),
    Column("joined", "joined", count),
    Column("tokens", "tokens", count),
    Column(
        "in cut donors",
        lambda row: f"{percent_text(row.cut_tokens, row.tokens, 2)}%" if row.tokens else "-",
    ),
    Column("donors it gives", "given", count),
)


def print_slots(arm: ArmClaim, claims: Claims) -> None:
    """Print what an aligned arm differs by from its base: slots by source, how they are filled, and
    how much of the stream they touch.
    """
    rows = [
        _SlotRow(source=name, **one.model_dump(), given=arm.given(name))
        for name, one in arm.sources.items()
    ]
    sums = [sum(getattr(row, name) for row in rows) for name in _SlotRow._fields[1:]]
    Table([*rows, _SlotRow._make(["total", *sums])], _SLOT_COLUMNS).print(
        f"slots of {arm.arm}, by the source of the removed document"
    )
    for name, donors in arm.donors.items():
        if (again := donors.repeated) is not None:
            share = percent_text(again.tokens, donors.tokens, 2)
            say(
                f"approved documents of {name}: {donors.documents:,} unused,"
                f" {again.base_documents:,} of the base; {share}% of the tokens in"
                f" {plural(again.places, 'repeat')}, at most {again.most:,} places of one"
            )
    _print_windows("slots", arm.windows, claims)


def print_mask(mask: MaskClaim, claims: Claims) -> None:
    """Print how much of a masked arm is no target."""
    share = percent_text(mask.tokens, claims.total_tokens, 4)
    say(f"masked: {mask.tokens:,} tokens are no targets, {share}% of the mix")
    _print_windows(
        "masked documents" if mask.fill == "mask" else "masked terms", mask.windows, claims
    )
    say(mask.shares.told(f"{WINDOW_TOKENS:,} tokens", WINDOW_TOKENS))


def _print_windows(what: str, windows: int, claims: Claims) -> None:
    total = -(-claims.total_tokens // WINDOW_TOKENS)
    share = percent_text(windows, total, 2)
    say(f"{what} touch {windows:,} of {total:,} stretches of {WINDOW_TOKENS:,} tokens, {share}%")
