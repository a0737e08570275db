"""A plan as tables, for people."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial

from mixtures.plan.plan import Plan
from mixtures.plan.published import Comparison
from mixtures.plan.removal_levels import RemovedShare
from mixtures.plan.source_plan import SourcePlan
from mixtures.words import plural
from pipeline.commands.plan.build_plan import BuildPlan
from pipeline.commands.plan.study_report import show_study
from pipeline.report import (
    Column,
    Table,
    count,
    counts,
    minutes,
    print_fit,
    printed_percent,
    say,
    share,
    size,
    tell,
)


def show(build_plan: BuildPlan) -> None:
    """Print a plan."""
    plan = build_plan.plan
    _show_sources(plan)
    _show_tokenizer(build_plan)
    print_published(plan.published, "estimated, beside what is published")
    if plan.filters:
        labels = ", ".join(item.label for item in plan.filters)
        title = f"filters: {labels}; removed: {plan.removed}"
        Table(plan.sources.items(), _REMOVAL_COLUMNS).print(title)
    if plan.removal_by_level:
        _show_levels(plan)
    for name, row in plan.sources.items():
        for giver, tokens in row.refilled.items():
            say(f"sources.{name} is about {tokens:,} tokens short; {giver} gives them")
    for note in plan.notes:
        say(note)
    _show_cost(build_plan)
    print_fit(plan.fit)
    if build_plan.study:
        show_study(build_plan.study)
    for warning in build_plan.warnings:
        say(f"warning: {warning}")


def _show_tokenizer(build_plan: BuildPlan) -> None:
    found = build_plan.tokenizer
    begins = "" if found.bos is None else f"begin with {found.bos} ({found.bos_id}) and "
    dtype = found.facts()["token_dtype"]
    engine = f"; {build_plan.engine}" if build_plan.engine else ""
    say(
        f"tokenizer {found.name}, digest {found.digest[:16]}: ids below {found.vocab_size:,} as"
        f" {dtype}; documents {begins}end in {found.eod} ({found.eod_id}){engine}"
    )
    if (begin := build_plan.template_begin) is not None:
        say(
            f"tokenizer {found.name}: its template begins texts with {begin}, and templates are not"
            f" applied: add bos: {json.dumps(begin, ensure_ascii=False)} if documents are to begin"
            " with it"
        )


def print_published(rows: Sequence[Comparison], title: str) -> None:
    """Print what is published beside what is there; nothing where nothing is."""
    if rows:
        Table(rows, _PUBLISHED_COLUMNS).print(title)


_PUBLISHED_COLUMNS = (
    Column("source", "name"),
    Column("tokens", "tokens", count),
    Column("documents", "documents", count),
    Column("tokens a document", "tokens_a_document", count),
    Column("published share", "published_percent", printed_percent),
    Column("published tokens", "published_tokens", count),
    Column("published documents", "published_documents", count),
    Column("published tokens a document", "published_tokens_a_document", count),
    Column(
        "off by more than 10%",
        lambda row: ", ".join(f"{name} {off}" for name, off in row.off.items()) or "-",
        left=True,
    ),
)


def supply(tokens: int | None, interval: tuple[int, int] | None) -> str:
    """`12.3B ± 4%`: the estimate and half of its interval; without one where nothing tells how far
    off it is.
    """
    if tokens is None:
        return "-"
    if not interval or not tokens:
        return short(tokens)
    half = (interval[1] - interval[0]) / 2 / tokens
    return f"{short(tokens)} ± {share(half, 0 if half >= 0.02 else 1)}"


def short(number: int) -> str:
    """`12.3B`: three digits of a large number."""
    for unit, least in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= least:
            value = number / least
            return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
    return str(number)


_SOURCE_COLUMNS = (
    Column("source", "source"),
    Column("asked", "asked", count),
    Column("resolved", "resolved", count),
    Column("share", "share", partial(share, decimals=4)),
    Column("supply (estimate)", "supply"),
    Column("keys", "keys"),
    Column("tokenized up to", "ceiling"),
    Column("epochs", "epochs"),
    Column("licence", "licence"),
)


def _show_sources(plan: Plan) -> None:
    def share_of_mix(tokens: int) -> float | None:
        return tokens / plan.total_tokens if plan.total_tokens else None

    rows = [
        {
            "source": name,
            "asked": row.asked_tokens,
            "resolved": row.resolved_tokens,
            "share": share_of_mix(row.resolved_tokens),
            "supply": supply(row.supply_tokens_estimated, row.supply_tokens_interval),
            "keys": f"[{row.keys[0]}, {row.keys[1]})",
            "ceiling": row.key_ceiling_estimated,
            "epochs": row.epochs,
            "licence": row.licence,
        }
        for name, row in plan.sources.items()
    ]
    rows += [
        {
            "source": f"{name} (insert)",
            "resolved": insert.tokens_estimated,
            "supply": count(insert.tokens_estimated),
            "epochs": f"{insert.times:,}",
            "licence": insert.licence,
        }
        for name, insert in plan.inserts.items()
    ]
    for corpus in dict.fromkeys(row.corpus for row in plan.sources.values() if row.corpus):
        mine = [row for row in plan.sources.values() if row.corpus == corpus]
        resolved = sum(row.resolved_tokens for row in mine)
        rows.append(
            {
                "source": f"{corpus} in all",
                "asked": sum(row.asked_tokens for row in mine),
                "resolved": resolved,
                "share": share_of_mix(resolved),
            }
        )
    asked = sum(row.asked_tokens for row in plan.sources.values())
    total = {"source": "total", "asked": asked, "resolved": plan.total_tokens}
    Table(rows, _SOURCE_COLUMNS, total).print(f"{plan.recipe}: tokens by source")
    bases = sorted({re.split(" of |, by ", row.supply_basis)[0] for row in plan.sources.values()})
    tell(
        f"supply estimates: {', '.join(bases)}; copies counted; ± is half of a 95% interval; a"
        " build counts the real ones"
    )


def _removed(removed: SourcePlan | RemovedShare | None) -> str:
    """`12.34% (11.50 to 13.20)`: the estimate and its interval."""
    if removed is None:
        return "-"
    interval = removed.removed_share_interval
    ends = f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})" if interval else ""
    return share(removed.removed_share_estimated) + ends


_REMOVAL_COLUMNS = (
    Column("source", 0),
    Column("removed (estimate)", 1, _removed),
    Column("copied (estimate)", lambda row: row[1].copied_share_estimated, share),
    Column("tokens left of its quota", lambda row: row[1].left_tokens_estimated, count),
    Column("basis", lambda row: row[1].removal_basis),
)


def _show_levels(plan: Plan) -> None:
    levels = plan.removal_by_level
    columns = [Column(level, levels[level].get, _removed) for level in levels]
    Table(plan.sources, [Column("source", str), *columns]).print("removed at each level (estimate)")
    bases = sorted({removed.basis for level in levels.values() for removed in level.values()})
    tell(f"removal estimates: {', '.join(bases)}")


_COST_COLUMNS = (Column("what", 0), Column("how much", 1, size))


def _show_cost(build_plan: BuildPlan) -> None:
    resources = build_plan.plan.resources
    rows = [
        ("text to read", resources.text_bytes),
        ("disk for the store", resources.store_bytes),
        ("disk for the mix", resources.mix_bytes),
    ]
    near = resources.near
    if near and near.near_documents:  # 0 of unknown supplies
        searched = f"near-duplicates among {near.near_documents:,} documents"
        rows.append((f"disk for {searched}", near.near_store_bytes))
        rows.append(("memory for their reduction, in one process", near.near_reduction_bytes))
    Table(rows, _COST_COLUMNS).print("estimated cost")
    total = {"stage": "total", "core-hours": resources.core_seconds}
    Table(resources.stages.items(), _STAGE_COLUMNS, total).print("by stage")
    tell(f"speed: {resources.rates}")
    title = f"on a cluster, an empty store, {plural(build_plan.workers, 'task')} at a time"
    Table(build_plan.arrays, _ARRAY_COLUMNS).print(title)


def _hours(seconds: int | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 3600:,.1f}" if seconds >= 360 else f"{seconds / 3600:,.4f}"


_STAGE_COLUMNS = (
    Column("stage", 0),
    Column("core-hours", lambda row: row[1].core_seconds, _hours),
    Column("memory of a worker", lambda row: row[1].worker_bytes, size),
)


_ARRAY_COLUMNS = (
    Column("stage", "stage"),
    *counts("units", "tasks"),
    Column("minutes a task", "task_seconds", minutes),
    Column("minutes in all", "seconds", minutes),
)
