"""What a build prints when it ends: what each source gave. `annealmix audit` tells the rest, counted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixtures.plan import budget_fit, fit_json
from pipeline import report

COLUMNS = ("source", "asked", "realised", "share", "documents", "epochs", "last document cut to")


def show(manifest: Mapping[str, Any], folder: Path) -> None:
    """Print what a finished mix holds."""
    total = manifest["total_tokens"]
    rows = [
        [
            f"{source['name']} (copies)" if source["copy"] else source["name"],
            f"{source['asked_tokens']:,}",
            f"{source['realised_tokens']:,}",
            f"{100 * source['realised_tokens'] / total:.4f}%",
            f"{source['documents']:,}",
            str(source["epochs"]),
            cut_text(source["cut"]),
        ]
        for source in manifest["sources"]
    ]
    rows.append(["total", "", f"{total:,}", "100.0000%", f"{manifest['total_documents']:,}", "", ""])
    report.table(f"{manifest['name']}: {folder}", COLUMNS, rows)
    for line in notes(manifest["sources"]):
        report.say(line)
    report.fit_table(fit_json(budget_fit(manifest["recipe"].get("budget"), whole=not manifest["size"], num_tokens=total)))
    report.say(f"identity {manifest['identity']}")


def cut_text(cut: Mapping[str, int] | None) -> str:
    """How much of its last document a source keeps."""
    return f"{cut['kept_tokens']:,} of {cut['num_tokens']:,} tokens" if cut else "-"


def notes(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader of a mix must know of its sources: shortfalls, sources that give nothing, licences."""
    lines = []
    for source in sources:
        if source["copy"]:
            continue
        name = f"{'insert' if source['insert'] else 'sources'}.{source['name']}"
        for giver, tokens in source["refilled"].items():
            lines.append(f"{name} was {report.plural(tokens, 'token')} short; {giver} gave what was missing")
        if source["epochs"] > 1 and not source["insert"]:
            lines.append(f"{name} was short of its quota; its documents are used up to {source['epochs']} times")
        if source["realised_tokens"] == 0:
            lines.append(f"{name}: its quota is 0 tokens at this size; it is not in the mix")
        elif source["non_commercial"]:
            lines.append(f"{name}: licence {source['licence']} forbids commercial use")
    return lines
