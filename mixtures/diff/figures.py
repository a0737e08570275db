"""The figures of a comparison: documents, places and tokens by source and reason, and whether one
mix is the other minus documents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from mixtures.audit.documents import MixDocuments
from mixtures.audit.portrait import Lengths
from mixtures.diff.compare import SharedOrder
from mixtures.words import plural

SIDES = ("a", "b")
OTHERWISE = ("source", "cut", "repeated", "copied", "inserted", "length")
"""In what a document that both mixes have can differ: the source that gives it, its cut, how often
it stands, its tokens if whole.
"""

Reasons = npt.NDArray[np.object_]


class SharedFigures(NamedTuple):
    """Documents that both mixes have, and what all their places hold in each."""

    documents: int = 0
    places_a: int = 0
    tokens_a: int = 0
    places_b: int = 0
    tokens_b: int = 0


class OnlyFigures(NamedTuple):
    """Documents that one mix alone has, and what all their places hold."""

    documents: int = 0
    places: int = 0
    tokens: int = 0


@dataclass
class DiffFigures:
    """What a comparison counts, partition by partition."""

    names: tuple[list[str], list[str]]
    """Of the strands of each mix, by code."""
    same_tokenizer: bool
    """Else lengths are not compared."""
    shared: dict[str, SharedFigures] = field(default_factory=lambda: defaultdict(SharedFigures))
    """By source of A."""
    only: dict[str, dict[tuple[str, str], OnlyFigures]] = field(
        default_factory=lambda: {side: defaultdict(OnlyFigures) for side in SIDES}
    )
    """By side, then by (source, reason)."""
    lengths: dict[str, dict[str, Lengths]] = field(
        default_factory=lambda: {side: defaultdict(Lengths) for side in SIDES}
    )
    """Of documents of one mix alone, each counted once, uncut where a place of it is: by side, then
    by source."""
    otherwise: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OTHERWISE, 0))
    """Documents of both by what differs."""
    differing: int = 0
    """Documents of both in which anything differs."""
    order: SharedOrder | None = None
    """None until it was compared."""

    @classmethod
    def of(cls, one: MixDocuments, two: MixDocuments) -> DiffFigures:
        """Nothing found yet."""
        same = one.claims.tokenizer.digest == two.claims.tokenizer.digest
        return cls((one.names, two.names), same)

    def name(self, side: str, code: int) -> str:
        """Source of a code. Codes that the manifest does not list are -1, and the last name."""
        return self.names[SIDES.index(side)][code]

    def add_only(self, side: str, documents: pl.DataFrame, reasons: Reasons) -> None:
        """Add documents of one mix alone. documents: columns source, places, tokens, longest;
        reasons: object [num_docs].
        """
        explained = documents.with_columns(pl.Series("reason", reasons, pl.String))
        counted = explained.group_by("source", "reason").agg(*_sums("places", "tokens"))
        only = self.only[side]
        for code, reason, *figures in counted.iter_rows():
            key = self.name(side, code), reason
            only[key] = OnlyFigures(*map(add, only[key], figures))
        for (code,), rows in documents.group_by("source"):
            longest = rows["longest"].to_numpy().astype(np.int64)
            self.lengths[side][self.name(side, int(code))].add(longest)

    def add_shared(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Add documents of both mixes. Returns those that stand otherwise, with a bool column for
        each of OTHERWISE.

        documents: [num_docs], columns as `Comparison.partitions` gives them.
        """
        columns = ("places_a", "tokens_a", "places_b", "tokens_b")
        for code, *figures in documents.group_by("source_a").agg(*_sums(*columns)).iter_rows():
            name = self.name("a", code)
            self.shared[name] = SharedFigures(*map(add, self.shared[name], figures))
        judged = documents.with_columns(**self._differences(documents))
        judged = judged.filter(pl.any_horizontal(*OTHERWISE))
        for name in OTHERWISE:
            self.otherwise[name] += int(judged[name].sum())
        self.differing += len(judged)
        return judged

    def _differences(self, documents: pl.DataFrame) -> dict[str, pl.Series]:
        """Whether documents differ, by kind: bool [num_docs] each."""
        a, b = ({name: documents[f"{name}_{side}"] for name in _COMPARED} for side in SIDES)
        known = sorted({name for names in self.names for name in names})
        numbers = [np.array([known.index(name) for name in names]) for names in self.names]
        sources = [
            number[side["source"].to_numpy()] for number, side in zip(numbers, (a, b), strict=True)
        ]
        again_a, again_b = (side["places"] - side["copies"] - side["inserted"] for side in (a, b))
        repeated = again_a != again_b
        other_cut = (a["cut"] != b["cut"]) | (
            (a["cut"] > 0) & (a["places"] == b["places"]) & (a["tokens"] != b["tokens"])
        )
        length = (a["cut"] == 0) & (b["cut"] == 0) & (a["longest"] != b["longest"])
        if not self.same_tokenizer:  # other ids, other lengths: no two documents can be cut alike
            length, other_cut = length & False, (a["cut"] > 0) != (b["cut"] > 0)
        return {
            "source": pl.Series(sources[0] != sources[1]),
            "repeated": repeated,
            "copied": a["copies"] != b["copies"],
            "inserted": a["inserted"] != b["inserted"],
            "length": length,
            "cut": other_cut,
        }

    def documents(self, side: str) -> int:
        """Documents of one mix alone."""
        return sum(figures.documents for figures in self.only[side].values())

    @property
    def claim(self) -> tuple[bool, str]:
        """Whether one mix is the other minus documents, in the same order; and a sentence that says
        so, or what stands against it.
        """
        assert self.order is not None
        only = {side: self.documents(side) for side in SIDES}
        against = []
        if self.differing:
            against.append(f"{plural(self.differing, 'shared document')} stand otherwise")
        if self.order.differs is not None:
            against.append("the shared documents stand in another order")
        more, less = ("a", "b") if only["b"] <= only["a"] else ("b", "a")
        if only[less]:
            against.insert(0, f"{plural(only[less], 'document')} are only in {less.upper()}")
        name = f"{less.upper()} = {more.upper()}"
        minus = f"{name} minus {plural(only[more], 'document')}" if only[more] else name
        if against:
            return False, f"not so: {minus}, in the same order; {', '.join(against)}"
        return True, f"{minus}, in the same order"

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        holds, sentence = self.claim
        order = self.order
        assert order is not None
        differs = dict(zip(SIDES, order.differs, strict=True)) if order.differs else None
        return {
            "shared": {name: figures._asdict() for name, figures in sorted(self.shared.items())},
            **{f"only_{side}": self._only(side) for side in SIDES},
            "only_lengths": {
                side: {name: _spread(found) for name, found in sorted(self.lengths[side].items())}
                for side in SIDES
            },
            "shared_otherwise": {**self.otherwise, "documents": self.differing},
            "order": {
                "same": order.differs is None,
                "places": order.places,
                "first_difference": differs,
            },
            "claim": {"holds": holds, "said": sentence},
        }

    def _only(self, side: str) -> dict[str, dict[str, dict[str, int]]]:
        by_source: dict[str, dict[str, dict[str, int]]] = {}
        for (source, reason), figures in sorted(self.only[side].items()):
            by_source.setdefault(source, {})[reason] = figures._asdict()
        return by_source


def _spread(lengths: Lengths) -> dict[str, int]:
    """Tokens of a document: percentiles."""
    return {
        f"percentile_{percent}": lengths.percentile(percent) for percent in (10, 50, 90, 99, 100)
    }


_COMPARED = ("source", "places", "tokens", "longest", "copies", "inserted", "cut")


def _sums(*names: str) -> list[pl.Expr]:
    """Sums of columns [num_docs] of a group, and how many documents it has."""
    return [pl.len().alias("documents"), *(pl.col(name).cast(pl.UInt64).sum() for name in names)]
