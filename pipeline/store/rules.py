"""What decides the contents of a store's folders: formats, key ranges, and one rule a kind of
folder, which names it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

from mixtures.keys import KeyRange
from mixtures.rules.near import NearRule
from mixtures.rules.terms import RULES as BLOCKLIST_RULES
from pipeline.store.records import canonical_json

STORE_FORMAT = 2
LEDGER_FORMAT = 2
TOKENS_FORMAT = 2
TERMS_FORMAT = 1
TEXTS_FORMAT = 1
GRAMS_FORMAT = 1
BANDS_FORMAT = 1


def short_key(value: Any) -> str:
    """16 hex digits of the sha256 of a JSON-able value."""
    return sha256(canonical_json(value)).hexdigest()[:16]


class Rule(Protocol):
    """What decides the contents of folders that lie beside a ledger, one folder a key range."""

    @property
    def folders(self) -> str:
        """What their names begin with: the kind, and a hash of the rule."""


@dataclass(frozen=True)
class TokenRule:
    """What decides the tokens of a document."""

    tokenizer_digest: str
    special_tokens: str
    eod_id: int
    bos_id: int | None
    token_bytes: int

    @cached_property
    def folders(self) -> str:
        """Names token folders."""
        return f"tokens-{short_key({**asdict(self), 'format': TOKENS_FORMAT})}"


@dataclass(frozen=True)
class TermRule:
    """What decides how many distinct terms a text holds."""

    sha256: str
    mode: str

    @cached_property
    def folders(self) -> str:
        """Names folders of term counts."""
        rules = {"rules": BLOCKLIST_RULES, "format": TERMS_FORMAT}
        return f"terms-{short_key({**asdict(self), **rules})}"


@dataclass(frozen=True)
class TextRule:
    """Which texts are escalated: those with at least `threshold` distinct terms."""

    terms: TermRule
    threshold: int

    @cached_property
    def folders(self) -> str:
        """Names folders of escalated texts."""
        return f"texts-{short_key([self.terms.folders, self.threshold, TEXTS_FORMAT])}"


@dataclass(frozen=True)
class GramRule:
    """What decides which items of evaluation sets a text holds: the sets' identities, in their
    order.
    """

    sets: tuple[str, ...]

    @cached_property
    def folders(self) -> str:
        """Names folders of n-gram counts."""
        return f"grams-{short_key([*self.sets, GRAMS_FORMAT])}"


@dataclass(frozen=True)
class BandRule:
    """What decides the band keys of a text: the near-duplicate rule, its threshold aside."""

    near: NearRule

    @cached_property
    def folders(self) -> str:
        """Names folders of band keys."""
        return f"bands-{short_key([self.near.signature_identity(), BANDS_FORMAT])}"


def folder_name(folders: str, keys: KeyRange) -> str:
    """Name of the folder of a key range; bounds in hex, 17 digits since the upper one may be 2^64.
    folders: see `Rule`.
    """
    return f"{folders}-{keys.low:017x}-{keys.high:017x}"
