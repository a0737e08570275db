"""`annealmix audit`: recount a mix, compare it with others, judge its documents with filters, print
what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mixtures.audit import AuditReport, audit_against, audit_aligned, audit_bare, audit_mix
from mixtures.audit.report import Check
from mixtures.errors import AuditFailed, RecipeError
from mixtures.mix.claims import Claims, read_claims
from pipeline import report
from pipeline.commands.audit import report as audit_report
from pipeline.commands.audit.filters import FilterAudit, FilterFigures, FilterOptions, audit_filters
from pipeline.inputs.listing import DataFolders
from pipeline.tokens.find import num_ids

HASHING = "hash and count"


@dataclass(frozen=True)
class MixAudit:
    """What an audit found."""

    report: AuditReport
    """Of the mix: the recount, and what depth and filters add to it."""
    against: list[Check]
    """Of the mix beside others."""
    aligned: list[Check]
    """Of the mix beside others of its study."""
    filters: list[FilterFigures]
    """All figures of those that judged the documents."""
    not_checked: list[str]
    """A sentence for each kind that a full audit could not make."""

    @property
    def checks(self) -> list[Check]:
        """All of them."""
        return [*self.report.checks, *self.against, *self.aligned]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """Dicts, lists, strings and numbers."""
        return {
            **self.report.as_json(),
            "against": [asdict(check) for check in self.against],
            "aligned": [asdict(check) for check in self.aligned],
            "filters": [item.as_json() for item in self.filters],
            "not_checked": self.not_checked,
        }


def audit(
    mix: Path,
    others: Sequence[Path],
    *,
    aligned: Sequence[Path] = (),
    depth: Depth,
    options: FilterOptions,
) -> MixAudit:
    """Audit a mix folder, or the prefix of a bare .bin/.idx pair.

    Args:
        others: mixes that are to share no document with it. aligned: mixes of its study, that are
            to differ from it in slots alone.

    Raises:
        RecipeError: there is nothing to audit, or an option does nothing. ManifestError: the
            manifest is not what its digest says.
        Else as `audit_filters` and `deeper_checks`.
    """
    _refuse_idle(mix, depth, options)
    recount = _audit(mix, [*others, *aligned], depth.full, options.tokenizer)
    deeper, missing = deeper_checks(mix, depth) if mix.is_dir() else ([], [])
    judged = (
        audit_filters(mix if mix.is_dir() else _prefix(mix), options)
        if options.filters
        else FilterAudit()
    )
    checks = (*recount.checks, *deeper, *judged.checks)
    against = audit_against(mix, list(others)) if others else []
    beside = audit_aligned(mix, aligned) if aligned else []
    return MixAudit(replace(recount, checks=checks), against, beside, judged.filters, missing)


def run(
    mix: Path,
    others: Sequence[Path],
    *,
    aligned: Sequence[Path],
    depth: Depth,
    as_json: bool,
    options: FilterOptions,
) -> int:
    """As `audit`, and print the report.

    Returns:
        The exit code: 0, or 3 when a check fails.
    """
    mix_audit = audit(mix, others, aligned=aligned, depth=depth, options=options)
    if as_json:
        report.result(mix_audit.as_json())
    else:
        for line in mix_audit.not_checked:
            report.say(f"not checked: {line}")
        beside = [*mix_audit.against, *mix_audit.aligned]
        audit_report.show(mix_audit.report, beside, mix_audit.filters)
    return 0 if mix_audit.ok else AuditFailed.exit_code


def _refuse_idle(mix: Path, depth: Depth, options: FilterOptions) -> None:
    """Refuse options that would do nothing."""
    depth.refuse_idle()
    used = ["--store"] if mix.is_dir() else []
    used += ["--tokenizer"] if depth.num_documents or depth.rewrites or not mix.is_dir() else []
    options.refuse_idle(used)
    if not mix.is_dir():
        depth.refuse_bare(mix)
        if options.store is not None and options.rescore is None:
            raise RecipeError(
                "--store: of a bare .bin/.idx only scores can be looked up there; add --rescore N,"
                " or leave it out"
            )


def _audit(mix: Path, others: Sequence[Path], full: bool, tokenizer: Path | None) -> AuditReport:
    if mix.is_dir():
        with report.counted(HASHING) as progress:
            return audit_mix(mix, full, progress)
    prefix = _prefix(mix)
    if not prefix.with_name(f"{prefix.name}.bin").is_file():
        raise RecipeError(
            f"{mix}: neither the folder of a mix nor the prefix of a .bin and an .idx"
        )
    if others:
        raise RecipeError(
            f"{mix}: a bare .bin/.idx names no documents, so --against and --aligned cannot compare"
            " it; give the folder of a mix"
        )
    vocabulary = None if tokenizer is None else num_ids(tokenizer)
    with report.counted(HASHING) as progress:
        return audit_bare(prefix, progress, vocabulary)


def _prefix(mix: Path) -> Path:
    return mix.with_suffix("") if mix.suffix in (".bin", ".idx") else mix


# that a full audit reads again; some 1 MB of text a second is encoded by the reference library
FULL_DOCUMENTS = 1000


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What the command was told."""

    full: bool = False
    source_check: int | None = None
    """Documents to read again; None: none."""
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    store: Path | None = None
    filtered: bool = False
    """Whether filters judge the documents."""
    rewrites: Path | None = None
    """The file of what stands in the slots of an arm."""

    @property
    def has_data(self) -> bool:
        """Whether the user named a folder of sources."""
        return bool(self.data.every or self.data.named)

    @property
    def num_documents(self) -> int | None:
        """Documents to read again; None: none."""
        return self.source_check or (FULL_DOCUMENTS if self.full and self.has_data else None)

    def refuse_bare(self, prefix: Path) -> None:
        """Refuse what a .bin/.idx pair without a manifest has nothing for.

        Raises:
            RecipeError: names the option.
        """
        if self.rewrites:
            raise RecipeError(f"{prefix}: a bare .bin/.idx has no slots; leave --rewrites out")
        if self.source_check:
            raise RecipeError(
                f"{prefix}: a bare .bin/.idx names no sources that --source-check could read; give"
                " the folder of a mix"
            )

    def refuse_idle(self) -> None:
        """Refuse --data where nothing reads sources.

        Raises:
            RecipeError: says so.
        """
        if self.has_data and not self.num_documents:
            raise RecipeError(
                "--data: without --source-check or --full an audit reads no source; add one, or"
                " leave it out"
            )


def deeper_checks(folder: Path, depth: Depth) -> tuple[list[Check], list[str]]:
    """The checks that depth asks for, and a sentence for each kind that a full audit could not
    make.

    Raises:
        RecipeError: the mix is public, and it is to be held against sources or a store.
        Else as `pipeline.commands.audit.sources.check_sources` and
        `pipeline.commands.audit.store.check_store`.
    """
    claims = read_claims(folder)
    if claims.public and (depth.num_documents or depth.store):
        raise RecipeError(
            f"{folder}: a public mix, without files and rows and with digests of its own, which"
            " neither sources nor a store know; leave out --source-check, --data and --store, or"
            " audit the mix that it was made of"
        )
    checks: list[Check] = []
    if depth.num_documents:
        from pipeline.commands.audit.sources import check_sources

        checks += check_sources(folder, depth.num_documents, depth.data, depth.tokenizer)
    if depth.store:
        from pipeline.commands.audit.store import check_store

        checks += check_store(folder, depth.store)
    if depth.rewrites:
        from pipeline.commands.audit.rewrites import check_rewrites

        checks += check_rewrites(folder, depth.rewrites, depth.tokenizer)
    return checks, _missing(claims, depth) if depth.full else []


def _missing(claims: Claims, depth: Depth) -> list[str]:
    missing = []
    if not (depth.num_documents or claims.public):
        missing.append(
            "source files, text and tokens: give the files with --data DIR, or read the hub's with"
            " --source-check N"
        )
    if not (depth.store or claims.public):
        missing.append(
            "store documents, removals and filters: give the store of the mix with --store DIR"
        )
    if claims.arm and claims.arm.rewrites and not depth.rewrites:
        missing.append("rewrites: give their file with --rewrites FILE")
    labels = [item.label for item in claims.filters if not item.placebo]
    if labels and not depth.filtered:
        missing.append(
            f"documents judged again by {', '.join(labels)}: give the filters with --filter F"
        )
    return missing
