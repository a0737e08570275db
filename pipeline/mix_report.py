"""The table that ends a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixtures.plan import fit_json
from mixtures.trainers import trainer_fit
from pipeline import report


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
    report.table(f"{manifest['name']}: {folder}", ["source", "asked", "realised", "share", "documents", "epochs", "last document cut"], rows)
    reasons = sorted({reason for counts in manifest["removed"].values() for reason in counts if reason not in ("rows", "kept")})
    columns = ["rows", *[reason for reason in reasons if any(counts.get(reason) for counts in manifest["removed"].values())], "kept"]
    waterfall = [[name, *(f"{counts.get(column, 0):,}" for column in columns)] for name, counts in manifest["removed"].items()]
    report.table("rows of each source, by what became of them", ["source", *columns], waterfall)
    for source in manifest["sources"]:
        for giver, tokens in source["refilled"].items():
            report.say(f"sources.{source['name']} was {tokens:,} tokens short; {giver} gave them")
        if source["non_commercial"]:
            report.say(f"sources.{source['name']}: licence {source['licence']} forbids commercial use")
    report.fit_table(fit_json(trainer_fit(total)))
    report.say(f"identity {manifest['identity']}")
