"""What an arm of a study is, in sentences, for people who are given it without its study: they are
plain text, and names in them are those of the manifest, unescaped.
"""

from __future__ import annotations

from typing import NamedTuple

from mixtures.mix.claims import Claims
from mixtures.mix.judged.arms import ArmClaim, MaskClaim
from mixtures.words import percent_text, plural
from pipeline.commands.build.slots import (
    SCORES_TITLE,
    mask_notes,
    mask_table,
    score_table,
    slot_notes,
    slot_table,
)
from pipeline.commands.page.elements import Table
from pipeline.report import printable

FILLS = {
    "fresh": "unused documents",
    "approved": "documents that the filter escalated and kept, some of them repeated,",
    "rewrites": "its rewrite, cut or followed by unused documents,",
}
"""What stands in slots, by `fill`."""


def arm_steps(claims: Claims) -> list[str]:
    """The base, the filter, and what stands where it flags something; nothing of another mix."""
    if (said := claims.study) is None:
        return []
    base = (
        f"It is the arm {said.arm} of the study {said.study}, made of its base, the mix of identity"
        f" {said.base}; documents, order and lengths are the base's, but for what filter"
        f" {claims.filters[0].label} flags there."
    )
    return [base, _filled(claims.arm) if claims.arm else _masked(claims, claims.mask)]


class ArmSection(NamedTuple):
    """What the page of an arm shows of it."""

    steps: list[str]
    table: Table
    """Slots, or what is masked, by source."""
    notes: list[str]
    scores: Table | None
    scores_title: str


def arm_section(claims: Claims) -> ArmSection | None:
    """What the page of an arm shows of it; None of another mix."""
    steps = [printable(step) for step in arm_steps(claims)]
    if (arm := claims.arm) is not None:
        scored = score_table(arm)
        return ArmSection(
            steps,
            Table.of(slot_table(arm), total=True),
            list(map(printable, slot_notes(arm, claims))),
            Table.of(scored) if scored else None,
            SCORES_TITLE,
        )
    if (mask := claims.mask) is None:
        return None
    table = Table.of(mask_table(mask), total=True)
    return ArmSection(steps, table, list(map(printable, mask_notes(mask, claims))), None, "")


def _filled(arm: ArmClaim) -> str:
    slots, tokens, cut = (
        sum(getattr(one, name) for one in arm.sources.values())
        for name in ("slots", "tokens", "cut_tokens")
    )
    gives = ", ".join(f"{name} {one.documents:,}" for name, one in arm.donors.items())
    share = f"{percent_text(cut, tokens, 2)}%" if tokens else "none"
    return (
        f"Each gave its place to {FILLS[arm.fill]} of as many tokens, its donors:"
        f" {plural(slots, 'slot')} of {plural(tokens, 'token')}, {share} of them in donors that are"
        f" cut. Donors by source: {gives or 'none'}. slots.parquet says where they stand, and of"
        " what gave way nothing else."
    )


def _masked(claims: Claims, mask: MaskClaim | None) -> str:
    assert mask is not None
    what = {"mask": "documents stay", "mask-terms": "terms in documents stay"}[mask.fill]
    share = percent_text(mask.tokens, claims.total_tokens, 4)
    return (
        f"The flagged {what}: mask.parquet lists {plural(mask.tokens, 'token')}, {share}%, that are"
        " to be read as context and not learnt."
    )
