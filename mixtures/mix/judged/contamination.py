"""What a manifest says of documents that were removed for what evaluation sets hold."""

from __future__ import annotations

from typing import Literal

from mixtures.mix.claim import Claim, Count, Hash


class HitClaim(Claim):
    """An item of an evaluation set that documents of the sources hold."""

    item: str
    documents: Count
    found: Count
    """N-grams of the item in the document that holds most of them."""
    total: Count
    """N-grams of the item."""


class SetClaim(Claim):
    """An evaluation set, what of it is looked for, and what was found."""

    name: str
    identity: Hash
    items: Count
    not_indexed: Count
    """Items that are not looked for."""
    missed: dict[Literal["short", "common", "formula"], list[str]]
    """Those, by the reason: file and line or row of each."""
    whole: Count
    """Items with fewer words than an n-gram, which are looked for as a whole."""
    ngrams: Count
    documents: Count
    """Of the sources, those that hold an item of it."""
    hits: list[HitClaim]

    @property
    def often(self) -> list[HitClaim]:
        """The three items that most documents hold, of those that several do: what is quoted often
        may be no leak, or one that was copied.
        """
        several = [hit for hit in self.hits if hit.documents > 1]
        return sorted(several, key=lambda hit: (-hit.documents, hit.item))[:3]


class ContaminationClaim(Claim):
    """What evaluation sets found."""

    action: Literal["drop", "report"]
    sets: list[SetClaim]
    documents: dict[str, Count]
    """Contaminated ones, by source."""
