"""`annealmix audit`: recount a mix, compare it with others, judge its documents with filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mixtures.audit import AuditReport, audit_against, audit_aligned, audit_bare, audit_mix
from mixtures.audit.report import Check
from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims, read_claims
from mixtures.rules.levels import Level
from pipeline import report
from pipeline.commands.audit.filters import FilterAudit, FilterFigures, audit_filters
from pipeline.inputs.listing import DataFolders
from pipeline.tokens.find import num_ids

HASHING = "hash and count"
# that a full audit reads again; some 1 MB of text a second is encoded by the reference library
FULL_DOCUMENTS = 1000


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """What is to be audited, and how."""

    mix: Path
    """Its folder, or the prefix of a bare .bin/.idx pair."""
    against: Sequence[Path] = ()
    """Mixes that are to share no document with it."""
    aligned: Sequence[Path] = ()
    """Mixes of its study, that are to differ from it in slots alone."""
    full: bool = False
    source_check: int | None = None
    """Documents to read again; None: none."""
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    store: Path | None = None
    """That it was made from."""
    filters: Sequence[str] = ()
    """Names or files, to judge every document again."""
    level: Level | None = None
    """At which they judge; None: their own."""
    rescore: int | None = None
    """Documents to score again; None: none."""
    workers: int | None = None
    """Processes that judge; None: the cores."""
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


@dataclass(frozen=True)
class MixAudit:
    """What an audit found."""

    report: AuditReport
    """Of the mix: the recount, and what depth and filters add to it."""
    against: list[Check] = field(default_factory=list)
    """Of the mix beside others."""
    aligned: list[Check] = field(default_factory=list)
    """Of the mix beside others of its study."""
    filters: list[FilterFigures] = field(default_factory=list)
    """All figures of those that judged the documents."""
    not_checked: list[str] = field(default_factory=list)
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


def audit(asked: AuditRequest) -> MixAudit:
    """Audit a mix folder, or the prefix of a bare .bin/.idx pair.

    Raises:
        RecipeError: there is nothing to audit, or an option does nothing. ManifestError: the
            manifest is not what its digest says.
        Else as `audit_filters` and `_deeper_checks`.
    """
    mix = asked.mix
    _refuse_idle(asked)
    recount = _recount(asked)
    deeper, missing = _deeper_checks(asked) if mix.is_dir() else ([], [])
    judged = FilterAudit()
    if asked.filters:
        judged = audit_filters(
            mix if mix.is_dir() else _prefix(mix),
            asked.filters,
            level=asked.level,
            tokenizer=asked.tokenizer,
            rescored=asked.rescore,
            store=asked.store,
            workers=asked.workers,
        )
    checks = (*recount.checks, *deeper, *judged.checks)
    against = audit_against(mix, list(asked.against)) if asked.against else []
    beside = audit_aligned(mix, asked.aligned) if asked.aligned else []
    return MixAudit(replace(recount, checks=checks), against, beside, judged.filters, missing)


def _refuse_idle(asked: AuditRequest) -> None:
    """Refuse options that would do nothing."""
    bare = not asked.mix.is_dir()
    if asked.has_data and not asked.num_documents:
        raise RecipeError(
            "--data: without --source-check or --full an audit reads no source; add one, or leave"
            " it out"
        )
    if not asked.filters:
        reads_text = bare or asked.num_documents or asked.rewrites
        options = {
            "--tokenizer": None if reads_text else asked.tokenizer,
            "--rescore": asked.rescore,
            "--workers": asked.workers,
            "--level": asked.level,
            "--store": asked.store if bare else None,
        }
        if idle := [name for name, value in options.items() if value is not None]:
            raise RecipeError(
                f"{', '.join(idle)}: without --filter an audit reads no text; name a filter, or"
                " leave this out"
            )
    if not bare:
        return
    if asked.rewrites:
        raise RecipeError(f"{asked.mix}: a bare .bin/.idx has no slots; leave --rewrites out")
    if asked.source_check:
        raise RecipeError(
            f"{asked.mix}: a bare .bin/.idx names no sources that --source-check could read; give"
            " the folder of a mix"
        )
    if asked.store is not None and asked.rescore is None:
        raise RecipeError(
            "--store: of a bare .bin/.idx only scores can be looked up there; add --rescore N, or"
            " leave it out"
        )


def _recount(asked: AuditRequest) -> AuditReport:
    mix = asked.mix
    if mix.is_dir():
        with report.counted(HASHING) as progress:
            return audit_mix(mix, asked.full, progress)
    prefix = _prefix(mix)
    if not prefix.with_name(f"{prefix.name}.bin").is_file():
        raise RecipeError(
            f"{mix}: neither the folder of a mix nor the prefix of a .bin and an .idx"
        )
    if asked.against or asked.aligned:
        raise RecipeError(
            f"{mix}: a bare .bin/.idx names no documents, so --against and --aligned cannot compare"
            " it; give the folder of a mix"
        )
    vocabulary = None if asked.tokenizer is None else num_ids(asked.tokenizer)
    with report.counted(HASHING) as progress:
        return audit_bare(prefix, progress, vocabulary)


def _prefix(mix: Path) -> Path:
    return mix.with_suffix("") if mix.suffix in (".bin", ".idx") else mix


def _deeper_checks(asked: AuditRequest) -> tuple[list[Check], list[str]]:
    """The checks that are asked for beside the recount, and a sentence for each kind that a full
    audit could not make.

    Raises:
        RecipeError: the mix is public, and it is to be held against sources or a store.
        Else as `pipeline.commands.audit.sources.check_sources` and
        `pipeline.commands.audit.store.check_store`.
    """
    folder = asked.mix
    claims = read_claims(folder)
    if claims.public and (asked.num_documents or asked.store):
        raise RecipeError(
            f"{folder}: a public mix, without files and rows and with digests of its own, which"
            " neither sources nor a store know; leave out --source-check, --data and --store, or"
            " audit the mix that it was made of"
        )
    checks: list[Check] = []
    if asked.num_documents:
        from pipeline.commands.audit.sources import check_sources

        checks += check_sources(folder, asked.num_documents, asked.data, asked.tokenizer)
    if asked.store:
        from pipeline.commands.audit.store import check_store

        checks += check_store(folder, asked.store)
    if asked.rewrites:
        from pipeline.commands.audit.rewrites import check_rewrites

        checks += check_rewrites(folder, asked.rewrites, asked.tokenizer)
    return checks, _missing(claims, asked) if asked.full else []


def _missing(claims: Claims, asked: AuditRequest) -> list[str]:
    missing = []
    if not (asked.num_documents or claims.public):
        missing.append(
            "source files, text and tokens: give the files with --data DIR, or read the hub's with"
            " --source-check N"
        )
    if not (asked.store or claims.public):
        missing.append(
            "store documents, removals and filters: give the store of the mix with --store DIR"
        )
    if claims.arm and claims.arm.rewrites and not asked.rewrites:
        missing.append("rewrites: give their file with --rewrites FILE")
    labels = [item.label for item in claims.filters if not item.placebo]
    if labels and not asked.filters:
        missing.append(
            f"documents judged again by {', '.join(labels)}: give the filters with --filter F"
        )
    return missing
