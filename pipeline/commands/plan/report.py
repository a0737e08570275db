"""A plan as tables, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import report

Rows = Mapping[str, Mapping[str, Any]]


def show(plan: Mapping[str, Any]) -> None:
    """Print a plan."""
    _show_sources(plan)
    if plan["filters"]:
        _show_removals(plan)
    if plan["removal_by_level"]:
        _show_levels(plan)
    for name, row in plan["sources"].items():
        for giver, tokens in row["refilled"].items():
            report.say(f"sources.{name} is about {tokens:,} tokens short; {giver} gives them")
    for note in plan["notes"]:
        report.say(note)
    _show_disk(plan["resources"])
    _show_stages(plan)
    report.fit_table(plan["trainer_fit"])
    for warning in plan["warnings"]:
        report.say(f"warning: {warning}")


def supply(row: Mapping[str, Any]) -> str:
    """`12.3B ± 4%`: the estimate and half of its interval; without one where nothing tells how far
    off it is.
    """
    tokens, interval = row["supply_tokens_estimated"], row["supply_tokens_interval"]
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


def _show_sources(plan: Mapping[str, Any]) -> None:
    total = plan["total_tokens"]
    rows = [_source_row(name, row, total) for name, row in plan["sources"].items()]
    for name, row in plan["inserts"].items():
        tokens = report.or_dash(row["tokens_estimated"])
        rows.append([f"{name} (insert)", "-", tokens, "-", tokens, "-", "-", f"{row['times']:,}"])
    rows.append(
        [
            "total",
            f"{sum(row['asked_tokens'] for row in plan['sources'].values()):,}",
            f"{total:,}",
            "",
            "",
            "",
            "",
            "",
        ]
    )
    licences = [row["licence"] for kind in ("sources", "inserts") for row in plan[kind].values()]
    rows = [[*row, licence] for row, licence in zip(rows, [*licences, ""], strict=True)]
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
    report.table(f"{plan['recipe']}: tokens by source", columns, rows)
    bases = sorted({row["supply_basis"].partition(" of ")[0] for row in plan["sources"].values()})
    report.say(
        f"supply estimates: {', '.join(bases)}; copies counted; ± is half of a 95% interval; a"
        " build counts the real ones"
    )


def _source_row(name: str, row: Mapping[str, Any], total: int) -> list[str]:
    return [
        name,
        f"{row['asked_tokens']:,}",
        f"{row['resolved_tokens']:,}",
        f"{100 * row['resolved_tokens'] / total:.4f}%" if total else "-",
        supply(row),
        f"[{row['keys'][0]}, {row['keys'][1]})",
        row["key_ceiling_estimated"],
        str(row["epochs"]),
    ]


def _show_removals(plan: Mapping[str, Any]) -> None:
    """What filters are thought to remove, and what of each quota is then left."""
    rows = [
        [
            name,
            _share(row, "removed"),
            _share(row, "copied"),
            f"{row['left_tokens_estimated']:,}",
            row["removal_basis"],
        ]
        for name, row in plan["sources"].items()
    ]
    labels = ", ".join(item["label"] for item in plan["filters"])
    columns = [
        "source",
        "removed (estimate)",
        "copied (estimate)",
        "tokens left of its quota",
        "basis",
    ]
    report.table(f"filters: {labels}; removed: {plan['removed']}", columns, rows)


def _show_levels(plan: Mapping[str, Any]) -> None:
    levels: Mapping[str, Rows] = plan["removal_by_level"]
    rows = [
        [name, *(_share(levels[level].get(name), "removed") for level in levels)]
        for name in plan["sources"]
    ]
    bases = sorted({found["basis"] for level in levels.values() for found in level.values()})
    report.table("removed at each level (estimate)", ["source", *levels], rows)
    report.say(f"removal estimates: {', '.join(bases)}")


def _share(row: Mapping[str, Any] | None, what: str) -> str:
    share = row[f"{what}_share_estimated"] if row else None
    if share is None:
        return "-"
    interval = row.get(f"{what}_share_interval") if row else None
    shown = f"{100 * float(share):.2f}%"
    return (
        f"{shown} ({100 * float(interval[0]):.2f} to {100 * float(interval[1]):.2f})"
        if interval
        else shown
    )


def _show_disk(resources: Mapping[str, Any]) -> None:
    rows = [
        ["text to read", report.size(resources["text_bytes"])],
        ["disk for the store", report.size(resources["store_bytes"])],
        ["disk for the mix", report.size(resources["mix_bytes"])],
    ]
    if resources.get("near_documents"):  # none if not asked for, or of unknown supply
        searched = f"near-duplicates among {resources['near_documents']:,} documents"
        rows.append([f"disk for {searched}", report.size(resources["near_store_bytes"])])
        rows.append(
            [
                "memory for their reduction, in one process",
                report.size(resources["near_reduction_bytes"]),
            ]
        )
    report.table("estimated cost", ["what", "how much"], rows)


def _show_stages(plan: Mapping[str, Any]) -> None:
    resources, workers = plan["resources"], plan["arrays"]["workers"]
    rows = [
        [name, _hours(stage["core_seconds"]), report.size(stage["worker_bytes"])]
        for name, stage in resources["stages"].items()
    ]
    report.table(
        "by stage",
        ["stage", "core-hours", "memory of a worker"],
        [*rows, ["total", _hours(resources["core_seconds"]), ""]],
    )
    report.say(f"speed: {resources['rates']}")
    rows = [
        [
            item["stage"],
            f"{item['units']:,}",
            f"{item['tasks']:,}",
            _minutes(item["task_seconds"]),
            _minutes(item["seconds"]),
        ]
        for item in plan["arrays"]["stages"]
    ]
    columns = ["stage", "units", "tasks", "minutes a task", "minutes in all"]
    report.table(
        f"on a cluster, an empty store, {report.plural(workers, 'task')} at a time", columns, rows
    )


def _minutes(seconds: int | None) -> str:
    return "?" if seconds is None else f"{seconds / 60:,.1f}"


def _hours(seconds: int | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 3600:,.1f}" if seconds >= 360 else f"{seconds / 3600:,.4f}"
