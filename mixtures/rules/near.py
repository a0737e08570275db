"""Near-duplicates: what decides whether two documents are one, and which one of a cluster stays.

A document is the set of its shingles: n words (or characters) that stand side by side in folded
text (`mixtures.rules.near_text`, which says what a word is in scripts without spaces). Two
documents are candidates if one of their band keys is equal; a band key is a hash of `rows` minima
of the shingles under as many permutations. With Jaccard
similarity J that happens with probability 1 - (1 - J^rows)^bands. Candidates are linked, and what
is linked, directly or through others, is one cluster. Of a cluster one document stays: that of the
first source in the recipe's order, among these the one with the smallest order key. Neither its
place, nor the number of tasks, nor the order of reading has a say.

With `verify`, candidates are linked only if the Jaccard similarity of the shingle sets of their
texts as they are, not folded, is at least that, in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixtures.keys import sort_order
from mixtures.rules.near_text import REACH
from mixtures.yaml.fields import Checked, Exact, Location, Positive, describe, json_digest, whole

RULE_FORMAT = 2
"""Number of the rule in this module and `mixtures.rules.near_text`; a change that can change any
cluster raises it.
"""

MAX_HASHES = 16_384
MAX_SHINGLE = 1_024

Unit = Literal["words", "characters"]


class NearRule(Checked):
    """What decides near-duplicates.

    unit, shingle: a shingle is so many words or characters. bands, rows: minima are grouped in
        `bands` keys of `rows` each.
    verify: the least Jaccard similarity, in (0, 1], at which candidates are linked; None links all
        candidates.
    """

    unit: Unit
    shingle: Positive
    bands: Positive
    rows: Positive
    verify: Exact | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Numbers that the kernel could not hold, and a threshold that is none."""
        shingle, bands, rows = (whole(given.get(name), 1) for name in ("shingle", "bands", "rows"))
        if shingle > MAX_SHINGLE:
            yield ("shingle",), f"{shingle:,} is too long a shingle; at most {MAX_SHINGLE:,}"
        if bands * rows > MAX_HASHES:
            yield (
                ("bands",),
                f"{bands:,} bands of {rows:,} rows are {bands * rows:,} hashes a shingle; at"
                f" most {MAX_HASHES:,}",
            )
        yield from threshold_faults(given.get("verify"))

    @property
    def hashes(self) -> int:
        """Permutations that each shingle goes through."""
        return self.bands * self.rows

    def probability(self, jaccard: float) -> float:
        """How likely two documents of a Jaccard similarity are candidates."""
        return float(1 - (1 - jaccard**self.rows) ** self.bands)

    @property
    def unspaced_span(self) -> int:
        """Characters of a shingle in scripts without spaces between words."""
        return self.shingle + (REACH - 1 if self.unit == "words" else 0)

    def found(self, share: float, span: int) -> float:
        """How likely a long text is a candidate for its copy, in which a share of the units (words
        or characters) is replaced at random. span: such units that a shingle touches.
        """
        kept = (1 - share) ** span
        return self.probability(kept / (2 - kept))

    def signature_identity(self) -> str:
        """sha256 (hex) of what decides band keys: rules that differ only in `verify` share their
        signatures.
        """
        return json_digest({"format": RULE_FORMAT, **self.model_dump(exclude={"verify"})})

    def identity(self) -> str:
        """sha256 (hex) of what decides clusters."""
        threshold = None if self.verify is None else str(Fraction(self.verify))
        return json_digest({"signature": self.signature_identity(), "verify": threshold})

    def accepts(self, shared: int, together: int) -> bool:
        """Whether a pair is linked.

        Args:
            shared: distinct shingles of both documents; together: distinct shingles of either.
        """
        if self.verify is None:
            return True
        threshold = Fraction(self.verify)
        return shared * threshold.denominator >= together * threshold.numerator


def threshold_faults(verify: Any) -> Iterable[tuple[Location, str]]:
    """Yield (where, message) if a threshold, as a file gives it, is no similarity. What is no
    number is the field's own fault.
    """
    try:
        outside = verify is not None and not 0 < Fraction(str(verify)) <= 1
    except (ValueError, ZeroDivisionError):
        return
    if outside:
        yield (
            ("verify",),
            f"{describe(verify)} is not a Jaccard similarity; above 0, at most 1, such as 0.8",
        )


PRESETS: Mapping[str, NearRule] = MappingProxyType(
    {
        # Datatrove's defaults (MinhashConfig). Even odds at J = 0.70, 0.92 at 0.8.
        "words": NearRule(unit="words", shingle=5, bands=14, rows=8),
        # Defaults of NeMo Curator's FuzzyDeduplicationWorkflow (char_ngrams, num_bands,
        # minhashes_per_band). Even odds at J = 0.77.
        "characters": NearRule(unit="characters", shingle=24, bands=20, rows=13),
        # FineWeb (huggingface/datatrove, examples/fineweb.py: n_grams=5, num_buckets=14,
        # hashes_per_bucket=8): the rule `words`.
        "fineweb": NearRule(unit="words", shingle=5, bands=14, rows=8),
        # Zyda-2, and after it Zyphra's deduplicated DCLM (NVIDIA/NeMo-Curator,
        # tutorials/zyda2-tutorial/1_fuzzy_dedup: char_ngram = 25, minhash_length = 128, num_bands =
        # 8). Even odds at J = 0.86.
        "zyda-2": NearRule(unit="characters", shingle=25, bands=8, rows=16),
        # Zyda (Zyphra/Zyda_processing: --width 13 --num-perm 128, BANDS=32 RANGE=4): Jaccard
        # similarity 0.4 of word 13-grams.
        "zyda": NearRule(unit="words", shingle=13, bands=32, rows=4),
        # NeMo Curator before its version 1 (FuzzyDuplicatesConfig): char_ngrams 5, 20 x 13,
        # false_positive_check at jaccard_threshold 0.8.
        "nemo-curator-0": NearRule(
            unit="characters", shingle=5, bands=20, rows=13, verify=Decimal("0.8")
        ),
    }
)
"""Named rules. They take shingles, bands and rows from their publishers; text is folded and hashed
by our own rule in all of them.
"""


def survivors(
    components: npt.NDArray[Any],
    priority: npt.NDArray[Any],
    order_key: npt.NDArray[np.uint64],
    digest: npt.NDArray[np.uint64],
) -> npt.NDArray[np.int64]:
    """The survivor of each document's cluster: the lowest priority number, then the smallest
    (order_key, digest).

    Documents of one digest (copies in several sources, or in one) compete like others; of copies in
    one source the first stands.

    Args:
        components: integers [n], equal for documents of one cluster. Documents in no cluster need
            not be given.
        priority: integers [n], place of the source in the recipe, 0 first.
        order_key: uint64 [n]. digest: uint64 [n, 2].

    Returns:
        int64 [n]: the row of the survivor; a document stays if that is its own row.
    """
    order = sort_order(order_key, digest)
    for column in (priority, components):
        order = order[np.argsort(column[order], kind="stable")]
    ordered = components[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = np.empty(len(order), np.int64)
    kept[order] = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    return kept
