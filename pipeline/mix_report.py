"""The table that ends a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixtures.plan import fit_json
from mixtures.trainers import trainer_fit
from pipeline import report

WATERFALL = ("rows", "where", "empty", "quarantined", "out of key range", "excluded", "duplicate", "beyond quota", "kept")


def _waterfall(name: str, counts: Mapping[str, int]) -> list[str]:
    """One source's row; copies are added up, whichever source kept the document (the manifest says which)."""
    copies = sum(count for reason, count in counts.items() if reason.startswith("duplicate of "))
    return [name, *(f"{copies if column == 'duplicate' else counts.get(column, 0):,}" for column in WATERFALL)]


def show(manifest: Mapping[str, Any], folder: Path) -> None:
    """Print what a finished mix holds."""
    total = manifest["total_tokens"]
    rows = [
        [
            source["name"],
            f"{source['asked_tokens']:,}",
            f"{source['realised_tokens']:,}",
            f"{100 * source['realised_tokens'] / total:.4f}%",
            f"{source['documents']:,}",
            str(source["epochs"]),
            f"{source['cut']['kept_tokens']:,} of {source['cut']['num_tokens']:,}" if source["cut"] else "-",
        ]
        for source in manifest["sources"]
    ]
    rows.append(["total", "", f"{total:,}", "100.0000%", f"{manifest['total_documents']:,}", "", ""])
    report.table(
        f"{manifest['name']}: {folder}", ["source", "asked", "realised", "share", "documents", "epochs", "last document cut"], rows
    )
    report.table(
        "rows of each source, by what became of them",
        ["source", *WATERFALL],
        [_waterfall(name, counts) for name, counts in manifest["removed"].items()],
    )
    for source in manifest["sources"]:
        for giver, tokens in source["refilled"].items():
            report.say(f"sources.{source['name']} was {tokens:,} tokens short; {giver} gave them")
        if source["non_commercial"]:
            report.say(f"sources.{source['name']}: licence {source['licence']} forbids commercial use")
    report.fit_table(fit_json(trainer_fit(total)))
    report.say(f"identity {manifest['identity']}")
