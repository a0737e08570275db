"""`annealmix store`: what a store holds, and the only deletion."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline import report
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.store.records import DONE, is_done, read_done
from pipeline.store.store import Store

COUNTS = ("groups", "files", "documents", "tokens", "documents_with_eod_text")


def contents(folder: Path) -> list[dict[str, Any]]:
    """One row for each source of a store: groups, files, documents, tokens, bytes.

    documents_with_eod_text: tokenized ones whose text holds the end-of-document string.
    """
    rows = []
    for source in sorted(path for path in (folder / "sources").glob("*") if path.is_dir()):
        groups = [path for path in sorted(source.iterdir()) if is_done(path / "ledger")]
        ledgers = [read_done(path / "ledger") for path in groups]
        tokens = [
            read_done(path)
            for group in groups
            for path in sorted(group.glob("tokens-*"))
            if is_done(path)
        ]
        rows.append(
            {
                "source": source.name,
                "groups": len(groups),
                "files": sum(len(ledger["inputs"]) for ledger in ledgers),
                "documents": sum(sum(ledger["segments"]) for ledger in ledgers),
                "tokens": sum(
                    segment["tokens"] for record in tokens for segment in record["segments"]
                ),
                "documents_with_eod_text": sum(
                    record["documents_with_eod_text"] for record in tokens
                ),
                "bytes": _bytes(source),
            }
        )
    return rows


def show(folder: Path, *, as_json: bool) -> None:
    """Print what a store holds."""
    rows = contents(folder)
    if as_json:
        report.result(rows)
        return
    table = [
        [row["source"], *(f"{row[name]:,}" for name in COUNTS), report.size(row["bytes"])]
        for row in rows
    ]
    report.table(
        str(folder), ["source", *(name.replace("_", " ") for name in COUNTS), "size"], table
    )


def collect(folder: Path, *, as_json: bool) -> None:
    """Delete what a build can make again without tokenizing: selections, searches for
    near-duplicates, plans and logs of stages, and what stopped builds left behind.

    Raises:
        RecipeError: jobs on a cluster may be writing to it.
    """
    with Store(folder).lock():
        refuse_busy(folder)
        gone = [
            path
            for name in ("select", "near", "work")
            for path in sorted((folder / name).glob("*"))
        ]
        gone += [path for path in (folder / "sources").glob("*/*/.*.tmp") if path.is_dir()]
        beside = [
            path
            for kind in ("tokens", "terms", "texts")
            for path in (folder / "sources").glob(f"*/*/{kind}-*")
        ]
        gone += [path for path in beside if not (path / DONE).exists()]
        freed = sum(_bytes(path) for path in gone)
        for path in gone:
            shutil.rmtree(path, ignore_errors=True)
    if as_json:
        report.result({"deleted": len(gone), "bytes": freed})
    else:
        report.say(
            f"{folder}: {len(gone)} folders deleted, {report.size(freed)} freed; tokens and ledgers"
            " stay"
        )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
