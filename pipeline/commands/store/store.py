"""`annealmix store`: what a store holds, and the only deletion."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline import report
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.store.records import DONE, is_done
from pipeline.store.store import LedgerRecord, RangeRecord, Store


@dataclass(frozen=True)
class SourceContents:
    """What a store holds of one source."""

    source: str
    groups: int
    """Groups of input files with a finished ledger."""
    files: int
    documents: int
    tokens: int
    documents_with_eod_text: int
    """Tokenized ones whose text holds the end-of-document string."""
    bytes: int
    """Of all that lies in its folder."""


_COLUMNS = (
    report.Column("source", "source"),
    *report.counts("groups", "files", "documents", "tokens", "documents_with_eod_text"),
    report.Column("size", "bytes", report.size),
)


def contents(folder: Path) -> list[SourceContents]:
    """What a store holds, source by source."""
    sources = sorted(path for path in (folder / "sources").glob("*") if path.is_dir())
    return [_contents(source) for source in sources]


def _contents(source: Path) -> SourceContents:
    groups = [path for path in sorted(source.iterdir()) if is_done(path / "ledger")]
    ledgers = [LedgerRecord.read(path / "ledger") for path in groups]
    tokens = [
        RangeRecord.read(path)
        for group in groups
        for path in sorted(group.glob("tokens-*"))
        if is_done(path)
    ]
    return SourceContents(
        source=source.name,
        groups=len(groups),
        files=sum(len(ledger.inputs) for ledger in ledgers),
        documents=sum(ledger.documents for ledger in ledgers),
        tokens=sum(record.tokens for record in tokens),
        documents_with_eod_text=sum(record.documents_with_eod_text for record in tokens),
        bytes=_bytes(source),
    )


def list_contents(folder: Path, *, as_json: bool) -> None:
    """Print what a store holds."""
    sources = contents(folder)
    if as_json:
        report.result([asdict(source) for source in sources])
    else:
        report.Table(sources, _COLUMNS).print(str(folder))


def collect(folder: Path, *, as_json: bool, dry_run: bool = False) -> None:
    """Delete what a build can make again without tokenizing: selections, searches for
    near-duplicates, plans and logs of stages, and what stopped builds left behind.

    Args:
        dry_run: name the folders, and delete nothing.

    Raises:
        RecipeError: it is read-only, or jobs on a cluster may be writing to it.
    """
    store = Store(folder)
    if not (dry_run or store.writable):
        raise RecipeError(
            f"{folder}: is read-only here; only who may write to it can delete what is in it"
        )
    with store.lock():
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
        if not dry_run:
            for path in gone:
                shutil.rmtree(path, ignore_errors=True)
    if as_json:
        folders = {"folders": [path.relative_to(folder).as_posix() for path in gone]}
        report.result({"deleted": 0 if dry_run else len(gone), "bytes": freed} | folders)
        return
    if dry_run:
        for path in gone:
            report.tell(f"{path.relative_to(folder)}: {report.size(_bytes(path))}")
    what = "would be deleted" if dry_run else "deleted"
    report.tell(
        f"{folder}: {report.plural(len(gone), 'folder')} {what}, {report.size(freed)}"
        f" {'to be ' if dry_run else ''}freed; tokens and ledgers stay"
    )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
