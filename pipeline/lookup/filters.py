"""A filter of a manifest, and what lies in the store of the mix for it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mixtures.keys import KeyRange, key_bound
from mixtures.mix.judged.filters import FilterRuleClaim
from mixtures.rules.filter_definition import MILLION
from pipeline.judges.verdicts import FilterRule
from pipeline.store.rules import TermRule, TextRule
from pipeline.store.scores import ScoreTable
from pipeline.store.store import Group, Store


@dataclass(frozen=True)
class MixFilter:
    """A filter of a manifest: its rule, and what lies in the store for it. table: scores, None
    without a classifier.
    """

    rule: FilterRule
    terms: TermRule
    table: ScoreTable | None
    fraction: str

    @classmethod
    def of(cls, said: FilterRuleClaim, store: Store, lists: dict[TermRule, int]) -> MixFilter:
        """As the manifest says. lists: numbers of the blocklists before, to which its own is
        added.
        """
        pin, classifier = said.blocklist, said.classifier
        terms = TermRule(pin.sha256, pin.mode)
        rule = FilterRule(
            label=said.label,
            blocklist=lists.setdefault(terms, len(lists)),
            threshold=pin.threshold,
            above=int(Decimal(classifier.threshold) * MILLION) if classifier else None,
            placebo=said.placebo,
            dose=key_bound(Decimal(said.fraction)),
        )
        table = ScoreTable(store, classifier.digest) if classifier else None
        return cls(rule, terms, table, said.fraction)

    def unscored(self, group: Group, keys: KeyRange) -> list[KeyRange]:
        """Parts of a key range whose escalated documents have no scores yet."""
        text = TextRule(self.terms, self.rule.threshold)
        return self.table.missing(text, group.record.digest, keys) if self.table else []
