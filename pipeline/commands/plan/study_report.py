"""What a plan says of a study as tables, for people."""

from __future__ import annotations

from mixtures.plan.arms import StudyPlan, key_share
from mixtures.words import plural, share_text
from pipeline.report import Column, Table, count, say, tell


def show_study(plan: StudyPlan) -> None:
    """Print the slots of a study, their donors, and its arms; and what is not known of them."""
    if len(plan.unknown) < plan.num_sources:
        for figures in plan.figures:
            slots = [*figures.sources.items(), ("total", figures.total)]
            columns = [*_SLOT_COLUMNS, *(_REPEATED if figures.filled.approval else ())]
            arms, fill = ", ".join(figures.filled.arms), figures.filled.fill
            Table(slots, columns).print(f"{plan.study}: {fill} slots of {arms}, by source")
            Table(figures.donors.items(), _DONOR_COLUMNS).print(f"{fill} donors")
        Table(plan.arms.items(), _ARM_COLUMNS).print("what each arm removes of the base")
        tell(f"slots and donors: {_basis(plan)}")
    by_reason: dict[str, list[str]] = {}
    for name, why in plan.unknown.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        say(f"{', '.join(names)}: nothing is said of slots: {why}")
    for note in plan.notes:
        say(note)


def _basis(plan: StudyPlan) -> str:
    if plan.basis == "measured":
        return "measured in the store"
    sampled = plan.sampled_documents
    return (
        f"estimated from {plural(sum(sampled.values()), 'document')} of"
        f" {plural(len(sampled), 'source')}"
    )


_SLOT_COLUMNS = (
    Column("source", 0),
    Column("slots", lambda row: row[1].slots, count),
    Column("tokens", lambda row: row[1].tokens, count),
    Column("with a donor of their length", lambda row: share_text(row[1].exact, row[1].slots)),
    Column("cut", lambda row: row[1].cut, count),
    Column("joined", lambda row: row[1].joined, count),
    Column("tokens in cut donors", lambda row: share_text(row[1].cut_tokens, row[1].tokens)),
    Column("tokens without donor", lambda row: row[1].unfilled_tokens, count),
    Column("donors from", lambda row: row[1].donor_source, left=True),
)

_REPEATED = (
    Column(
        "tokens in repeated donors", lambda row: share_text(row[1].repeated_tokens, row[1].tokens)
    ),
)

_DONOR_COLUMNS = (
    Column("source", 0),
    Column(
        "unused, in keys",
        lambda row: f"[{key_share(row[1].keys.low)}, {key_share(row[1].keys.high)})",
    ),
    Column("documents", lambda row: row[1].documents, count),
    Column("tokens", lambda row: row[1].tokens, count),
    Column("documents in slots", lambda row: row[1].used_documents, count),
)

_ARM_COLUMNS = (
    Column("arm", 0),
    Column("fill", lambda row: row[1].fill, left=True),
    Column("slots", lambda row: row[1].documents, count),
    Column("tokens", lambda row: row[1].tokens, count),
)
