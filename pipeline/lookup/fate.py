"""What became of one row of a source, as values: under which reason it is counted, and what
explains that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mixtures.keys import order_key
from mixtures.mix.slots import Donor

if TYPE_CHECKING:
    from pipeline.store.store import Group

BEYOND_QUOTA = "beyond quota"


@dataclass(frozen=True)
class LedgerRow:
    """A document of a ledger."""

    number: int
    """Of its source among the plan's."""
    file_rank: int
    """Of its file among the source's."""
    row: int
    digest: bytes
    group: Group = field(compare=False)
    segment: int = field(compare=False)
    at: int = field(compare=False)
    """Row of the ledger's segment."""

    @property
    def key(self) -> int:
        """Its order key."""
        return order_key(self.digest)


@dataclass(frozen=True)
class Origin:
    """A row of a file of a source."""

    source: str
    file: str
    row: int


@dataclass(frozen=True)
class Explanation:
    """What explains a reason; None: says nothing of it."""

    why: str | None = None
    """Of a quarantined row: the kind of its fault."""
    detail: str | None = None
    where: dict[str, list[str]] | None = None
    """Of a row that is not selected: the values that are, by column."""
    missing: str | None = None
    """Why nothing is known of a row that is no document."""
    keys: list[str] | None = None
    """Of a document outside of it: the source's key range, in hex."""
    survivor: Origin | None = None
    """The equal document that stays."""
    excluded_by: Origin | None = None
    """The equal document of an excluded recipe."""
    near_copy: Origin | None = None
    """The near-duplicate that stays instead."""
    last_order_key: str | None = None
    """Of a document beyond the quota: that of the quota's last document; None: it took none."""
    filled_by: list[Donor] | None = None
    """Of one that an aligned arm removes: what stands in its slot, at the first of its places."""
    masked: str | None = None
    """Of one that stays in the stream of a masked arm: `mask` if it is no target, `mask-terms` if
    the filter's terms in it are none."""
    fills: Donor | None = None
    """Of one that the base does not use: the slot of an aligned arm in which it stands."""


NO_EXPLANATION = Explanation()
"""Of a row whose reason says all."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is stored of a document for one filter."""

    label: str
    terms: int | None
    """Distinct terms of the blocklist in it; None: not counted, since nothing needed it."""
    threshold: int
    """Terms from which on it is escalated."""
    placebo: bool
    removes: bool | None
    """None: the filter was not asked."""
    above: int | None
    """The classifier's threshold in millionths; None: the filter has no classifier."""
    score: int | None
    """In millionths; None: not scored."""
    dose: str | None
    """Share of the documents that the filter may remove; None: all."""
    in_dose: bool

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        names = ("label", "terms", "threshold", "placebo", "removes")
        value: dict[str, object] = {name: getattr(self, name) for name in names}
        if self.above is not None:
            value |= {"score_millionths": self.score, "removed_above_millionths": self.above}
        return value if self.dose is None else value | {"dose": self.dose, "in_dose": self.in_dose}


@dataclass(frozen=True)
class Fate:
    """What became of a row."""

    origin: Origin
    reason: str
    explanation: Explanation
    document: LedgerRow | None = None
    """None: the row is none."""
    figures: dict[str, int | None] = field(default_factory=dict)
    """Of a document: num_tokens, and evaluation_ngrams where those are looked for; None: not
    counted, since nothing needed it.
    """
    filters: tuple[Judgement, ...] = ()
    also: tuple[str, ...] = ()
    """Later reasons that the store knows to hold, too, in their order."""

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        explained = {
            name: value
            for name, value in asdict(self.explanation).items()
            if value not in (None, False)
            or (name == "last_order_key" and self.reason == BEYOND_QUOTA)
        }
        value = {**asdict(self.origin), "reason": self.reason, **explained, **self.figures}
        if self.also:
            value["also"] = list(self.also)
        if self.filters:
            value["filters"] = [judgement.as_json() for judgement in self.filters]
        if self.document:
            value["digest"] = self.document.digest.hex()
            value["order_key"] = f"{self.document.key:016x}"
        return value
