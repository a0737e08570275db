"""A plan as tables, for people."""

from __future__ import annotations

from decimal import Decimal

from mixtures.plan.plan import Plan
from mixtures.plan.resources import Resources
from mixtures.plan.rows import SourcePlan
from pipeline import report
from pipeline.commands.plan.plan import BuildPlan


def show(build_plan: BuildPlan) -> None:
    """Print a plan."""
    plan = build_plan.plan
    _show_sources(plan)
    if plan.filters:
        _show_removals(plan)
    if plan.removal_by_level:
        _show_levels(plan)
    for name, row in plan.sources.items():
        for giver, tokens in row.refilled.items():
            report.say(f"sources.{name} is about {tokens:,} tokens short; {giver} gives them")
    for note in plan.notes:
        report.say(note)
    _show_disk(plan.resources)
    _show_stages(plan.resources)
    _show_arrays(build_plan)
    report.print_fit(plan.fit)
    for warning in build_plan.warnings:
        report.say(f"warning: {warning}")


def supply(tokens: int | None, interval: tuple[int, int] | None) -> str:
    """`12.3B ± 4%`: the estimate and half of its interval; without one where nothing tells how far
    off it is.
    """
    if tokens is None:
        return "-"
    if not interval or not tokens:
        return short(tokens)
    return f"{short(tokens)} ± {percent((interval[1] - interval[0]) / 2 / tokens)}"


def short(count: int) -> str:
    """`12.3B`: three digits of a large number."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            value = count / size
            return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}{unit}"
    return str(count)


def percent(share: float) -> str:
    """`4%`, `0.3%`."""
    return f"{100 * share:.0f}%" if share >= 0.02 else f"{100 * share:.1f}%"


def _show_sources(plan: Plan) -> None:
    total = plan.total_tokens
    rows = [_source_row(name, row, total) for name, row in plan.sources.items()]
    for name, insert in plan.inserts.items():
        tokens = report.count(insert.tokens_estimated)
        cells = [f"{name} (insert)", "-", tokens, "-", tokens, "-", "-", f"{insert.times:,}"]
        rows.append([*cells, insert.licence])
    asked = sum(row.asked_tokens for row in plan.sources.values())
    rows.append(["total", f"{asked:,}", f"{total:,}", *[""] * 6])
    columns = [
        "source",
        "asked",
        "resolved",
        "share",
        "supply (estimate)",
        "keys",
        "tokenized up to",
        "epochs",
        "licence",
    ]
    report.table(f"{plan.recipe}: tokens by source", columns, rows)
    bases = sorted({row.supply_basis.partition(" of ")[0] for row in plan.sources.values()})
    report.say(
        f"supply estimates: {', '.join(bases)}; copies counted; ± is half of a 95% interval; a"
        " build counts the real ones"
    )


def _source_row(name: str, row: SourcePlan, total: int) -> list[str]:
    return [
        name,
        f"{row.asked_tokens:,}",
        f"{row.resolved_tokens:,}",
        f"{100 * row.resolved_tokens / total:.4f}%" if total else "-",
        supply(row.supply_tokens_estimated, row.supply_tokens_interval),
        f"[{row.keys[0]}, {row.keys[1]})",
        str(row.key_ceiling_estimated),
        str(row.epochs),
        row.licence,
    ]


def _show_removals(plan: Plan) -> None:
    """What filters are thought to remove, and what of each quota is then left."""
    rows = [
        [
            name,
            _share(row.removed_share_estimated, row.removed_share_interval),
            _share(row.copied_share_estimated),
            f"{row.left_tokens_estimated:,}",
            str(row.removal_basis),
        ]
        for name, row in plan.sources.items()
    ]
    labels = ", ".join(item.label for item in plan.filters)
    columns = [
        "source",
        "removed (estimate)",
        "copied (estimate)",
        "tokens left of its quota",
        "basis",
    ]
    report.table(f"filters: {labels}; removed: {plan.removed}", columns, rows)


def _show_levels(plan: Plan) -> None:
    levels = plan.removal_by_level
    rows = [[name] for name in plan.sources]
    for by_source in levels.values():
        for cells in rows:
            removed = by_source.get(cells[0])
            cells.append(
                _share(removed.removed_share_estimated, removed.removed_share_interval)
                if removed
                else "-"
            )
    bases = sorted({removed.basis for level in levels.values() for removed in level.values()})
    report.table("removed at each level (estimate)", ["source", *levels], rows)
    report.say(f"removal estimates: {', '.join(bases)}")


def _share(share: Decimal | None, interval: tuple[Decimal, Decimal] | None = None) -> str:
    if share is None:
        return "-"
    ends = f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})" if interval else ""
    return f"{100 * share:.2f}%{ends}"


def _show_disk(resources: Resources) -> None:
    rows = [
        ["text to read", report.size(resources.text_bytes)],
        ["disk for the store", report.size(resources.store_bytes)],
        ["disk for the mix", report.size(resources.mix_bytes)],
    ]
    near = resources.near
    if near and near.near_documents:  # 0 of unknown supplies
        searched = f"near-duplicates among {near.near_documents:,} documents"
        memory = report.size(near.near_reduction_bytes)
        rows.append([f"disk for {searched}", report.size(near.near_store_bytes)])
        rows.append(["memory for their reduction, in one process", memory])
    report.table("estimated cost", ["what", "how much"], rows)


def _show_stages(resources: Resources) -> None:
    rows = [
        [name, _hours(stage.core_seconds), report.size(stage.worker_bytes)]
        for name, stage in resources.stages.items()
    ]
    report.table(
        "by stage",
        ["stage", "core-hours", "memory of a worker"],
        [*rows, ["total", _hours(resources.core_seconds), ""]],
    )
    report.say(f"speed: {resources.rates}")


def _show_arrays(build_plan: BuildPlan) -> None:
    rows = [
        [
            item.stage,
            f"{item.units:,}",
            f"{item.tasks:,}",
            _minutes(item.task_seconds),
            _minutes(item.seconds),
        ]
        for item in build_plan.arrays
    ]
    columns = ["stage", "units", "tasks", "minutes a task", "minutes in all"]
    at_a_time = report.plural(build_plan.workers, "task")
    report.table(f"on a cluster, an empty store, {at_a_time} at a time", columns, rows)


def _minutes(seconds: int | None) -> str:
    return "?" if seconds is None else f"{seconds / 60:,.1f}"


def _hours(seconds: int | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 3600:,.1f}" if seconds >= 360 else f"{seconds / 3600:,.4f}"
