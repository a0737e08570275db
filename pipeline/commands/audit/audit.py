"""`annealmix audit`: recount a mix, compare it with others, judge its documents with filters, print what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mixtures.audit import AuditReport, audit_against, audit_bare, audit_mix
from mixtures.errors import AuditFailed, RecipeError
from pipeline import report
from pipeline.audit_depth import Depth, deeper_checks
from pipeline.commands.audit import report as audit_report
from pipeline.commands.audit.filters import FilterAudit, FilterOptions, audit_filters

HASHING = "hash and count"


def run(mix: Path, others: Sequence[Path], *, depth: Depth, as_json: bool, options: FilterOptions) -> int:
    """Audit a mix folder, or the prefix of a bare .bin/.idx pair, and print the report.

    Returns:
        The exit code: 0, or 3 when a check fails.

    Raises:
        RecipeError: there is nothing to audit, or an option does nothing. ManifestError: the manifest is not what its digest says.
        Else as `audit_filters` and `deeper_checks`.
    """
    _refuse_idle(mix, depth, options)
    audit = _audit(mix, others, depth.full)
    deeper, missing = deeper_checks(mix, depth) if mix.is_dir() else ([], [])
    judged = audit_filters(mix if mix.is_dir() else _prefix(mix), options) if options.filters else FilterAudit()
    audit = replace(audit, checks=(*audit.checks, *deeper, *judged.checks))
    more = audit_against(mix, list(others)) if others else []
    if as_json:
        more_json = {"against": [asdict(check) for check in more], "filters": judged.filters, "not_checked": missing}
        report.result({**audit.as_json(), **more_json})
    else:
        for line in missing:
            report.say(f"not checked: {line}")
        audit_report.show(audit, more, judged.filters)
    return 0 if audit.passed and all(check.ok for check in more) else AuditFailed.exit_code


def _refuse_idle(mix: Path, depth: Depth, options: FilterOptions) -> None:
    """Refuse options that would do nothing."""
    depth.refuse_idle()
    used = ["--store"] if mix.is_dir() else []
    used += ["--tokenizer"] if depth.num_documents else []
    options.refuse_idle(used)
    if not mix.is_dir():
        depth.refuse_bare(mix)
        if options.store is not None and options.rescore is None:
            raise RecipeError("--store: of a bare .bin/.idx only scores can be looked up there; add --rescore N, or leave it out")


def _audit(mix: Path, others: Sequence[Path], full: bool) -> AuditReport:
    if mix.is_dir():
        with report.counted(HASHING) as told:
            return audit_mix(mix, full, told)
    prefix = _prefix(mix)
    if not prefix.with_name(f"{prefix.name}.bin").is_file():
        raise RecipeError(f"{mix}: neither the folder of a mix nor the prefix of a .bin and an .idx")
    if others:
        raise RecipeError(f"{mix}: a bare .bin/.idx names no documents, so --against cannot compare it; give the folder of a mix")
    with report.counted(HASHING) as told:
        return audit_bare(prefix, progress=told)


def _prefix(mix: Path) -> Path:
    return mix.with_suffix("") if mix.suffix in (".bin", ".idx") else mix
