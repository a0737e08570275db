"""What an audit returns: named checks with the figures that were measured, and what each source
realised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mixtures.trainers.fit import TrainerFit


@dataclass(frozen=True)
class Check:
    """One thing that was tested. name: stable; figure: what was measured; detail: what is wrong,
    empty when all is well.

    possible: False for what cannot be tested in a mix of this kind; then `figure` says why, and
        `ok` that it is no failure.
    """

    name: str
    ok: bool
    figure: str
    detail: str = ""
    possible: bool = True


@dataclass(frozen=True)
class SourceFigures:
    """One source: what was asked, what the tables and bytes hold, and what is published of it.

    share: of the mix's tokens in percent, six decimals. published: some of percent, documents,
        tokens. keys: [low, high) as hex.
    bound_tokens, measured_tokens: how far the source may (None: no bound is proven) and does stray
        from its share at any prefix.
    copy: 1 for the copies of some of a source's documents; insert: the user's own documents.
    cut: the claimed one document that ends the quota, {kept_tokens, num_tokens, document}.
        refilled: {giver: tokens}.
    """

    name: str
    definition: str
    licence: str
    non_commercial: bool
    keys: tuple[str, str]
    asked_tokens: int
    resolved_tokens: int
    realised_tokens: int
    documents: int
    epochs: int
    share: str
    longest_tokens: int
    bound_tokens: int | None
    measured_tokens: int
    copy: int = 0
    insert: bool = False
    cut: dict[str, int] | None = None
    refilled: dict[str, int] = field(default_factory=dict)
    published: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit. identity is empty for a pair without a manifest; removed: rows of
    each source by what became of them;
    filters: what each is and removed, as the manifest says; near: so, of near-duplicates, in a full
        audit.
    """

    path: str
    name: str
    identity: str
    checks: tuple[Check, ...]
    total_tokens: int
    total_documents: int
    eod_tokens: int
    sources: tuple[SourceFigures, ...] = ()
    removed: dict[str, dict[str, int]] = field(default_factory=dict)
    filters: tuple[dict[str, Any], ...] = ()
    near: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Any] = field(default_factory=dict)
    fit: TrainerFit | None = None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.ok]

    def as_json(self) -> dict[str, Any]:
        """The report as dicts, lists, strings and numbers."""
        return {**asdict(self), "passed": self.passed}


def judge(name: str, figure: str, faults: Sequence[str]) -> Check:
    """Make a check of the faults that were found: it passes if there is none. Of many, the first
    three are told.
    """
    more = f" (and {len(faults) - 3:,} more)" if len(faults) > 3 else ""
    return Check(name, not faults, figure, "; ".join(faults[:3]) + more)


def unread(name: str, why: str) -> Check:
    """A check that could not run is not passed."""
    return Check(name, False, "not checked", why)


def impossible(name: str, why: str) -> Check:
    """A check that a mix of this kind cannot have is named, not left out."""
    return Check(name, True, why, possible=False)


def percent_text(part: int, whole: int, decimals: int) -> str:
    """part / whole in percent by integers alone, rounded half up: exact text at any scale."""
    if whole <= 0:
        return "-"
    scaled = (2 * 100 * 10**decimals * part + whole) // (2 * whole)
    return f"{scaled // 10**decimals}.{scaled % 10**decimals:0{decimals}d}"
