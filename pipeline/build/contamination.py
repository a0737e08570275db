"""What evaluation sets found in the documents of a mix: by source, and by set, item and overlap,
for the manifest.

Only documents on which the mix decided are counted: in key order up to the last one that it takes,
dropped or (`action: report`) kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtures.mix.judged import ContaminationClaim, HitClaim, SetClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.loaded import LoadedRecipe
from pipeline.stages.eligible import Choice, read_kept
from pipeline.stages.gathering import ledger_segments
from pipeline.stages.select_plan import SelectPlan
from pipeline.store.columns import prefix, read_column

if TYPE_CHECKING:
    from pipeline.judges.annotators.contamination import ContaminationIndex


def contamination_report(
    recipe: LoadedRecipe,
    index: ContaminationIndex | None,
    plan: SelectPlan,
    choices: Mapping[str, Choice],
) -> ContaminationClaim | None:
    """What the evaluation sets of a recipe found; None without any.

    Args:
        plan: of the select stage.
    """
    asked = recipe.recipe.decontaminate
    if asked is None or index is None:
        return None
    documents, items = contaminated(
        plan, {name: choices[name] for name in recipe.recipe.sources}, asked.action
    )
    hits: dict[str, list[HitClaim]] = {}
    for item, (count, most) in sorted(items.items()):
        match = index.match(item, most)
        hit = HitClaim(item=match.item, documents=count, found=match.found, total=match.total)
        hits.setdefault(match.set, []).append(hit)
    sets = [
        SetClaim(
            name=benchmark.definition.name,
            identity=benchmark.definition.identity,
            items=coverage.items,
            not_indexed=coverage.not_indexed,
            ngrams=coverage.ngrams,
            hits=hits.get(benchmark.definition.name, []),
        )
        for benchmark, coverage in zip(recipe.benchmarks, index.coverage, strict=True)
    ]
    return ContaminationClaim(action=asked.action, sets=sets, documents=documents)


def contaminated(
    plan: SelectPlan, choices: Mapping[str, Choice], action: str
) -> tuple[dict[str, int], dict[int, tuple[int, int]]]:
    """What the store holds of evaluation sets in a mix.

    Args:
        plan: of the select stage. choices: of the sources. action: what the recipe does with
            contaminated documents.

    Returns:
        Contaminated documents by source; and by number of an item over all sets, documents that
        hold it, and the most of its n-grams that one of them holds.
    """
    hits = _Hits(plan)
    documents = {name: hits.add(choice, action) for name, choice in choices.items()}
    return documents, {item: (count, found) for item, (count, found) in hits.items.items()}


class _Hits:
    """Items that were found. items: {item: [documents, most of its n-grams in one document]}."""

    def __init__(self, plan: SelectPlan) -> None:
        self._segments = ledger_segments(plan.sources)
        self._grams = [
            segment.counts[-1] if segment.counts else ()
            for source in plan.sources
            for segment in source.segments
        ]
        self.items: dict[int, list[int]] = {}

    def add(self, choice: Choice, action: str) -> int:
        """Add the contaminated documents of a source. Returns how many there are."""
        rows = _dropped(choice) if action == "drop" else _kept(choice)
        for segment in np.unique(rows[0]).tolist():
            self._add_segment(segment, rows[1][rows[0] == segment])
        return len(rows[0])

    def _add_segment(self, segment: int, ledger_rows: npt.NDArray[Any]) -> None:
        """Add the hits of documents of a segment. ledger_rows: int64 [num_docs]."""
        ledger, number = self._segments[segment]
        keys = read_column(ledger, "order_key", prefix(number))
        for grams in self._grams[segment]:
            rows = grams.keys.rows(keys)
            hit_rows = read_column(grams.folder, "hit_row", prefix(number)).astype(np.int64)
            inside = ledger_rows[(ledger_rows >= rows.start) & (ledger_rows < rows.stop)]
            wanted = np.isin(hit_rows + rows.start, inside)
            items = read_column(grams.folder, "hit_item", prefix(number))[wanted].tolist()
            found = read_column(grams.folder, "hit_found", prefix(number))[wanted].tolist()
            for item, count in zip(items, found, strict=True):
                held = self.items.setdefault(item, [0, 0])
                held[0], held[1] = held[0] + 1, max(held[1], count)


def _dropped(choice: Choice) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row) of the documents that are dropped as contaminated.

    Returns: int64 [num_docs] both.
    """
    bit = np.uint32(1 << list(choice.eligible.reasons).index(CONTAMINATED))
    pieces = []
    for partition, count in enumerate(choice.removed()):
        mine = (
            np.asarray(choice.eligible.removed_column("verdicts", partition)[:count]) & bit
        ) != 0
        pieces.append(
            [
                np.asarray(choice.eligible.removed_column(name, partition)[:count])[mine]
                for name in ("segment", "ledger_row")
            ]
        )
    return _joined(pieces)


def _kept(choice: Choice) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row) of the documents of the mix that are contaminated.

    Returns: int64 [num_docs] both.
    """
    pieces = []
    for run in choice.first_epoch:
        grams, *columns = (
            np.asarray(read_kept(choice.eligible, name, run.partition)[: run.documents])
            for name in ("grams", "segment", "ledger_row")
        )
        pieces.append([column[grams > 0] for column in columns])
    return _joined(pieces)


def _joined(pieces: list[list[npt.NDArray[Any]]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row), int64 [num_docs], of pieces of both."""
    empty = np.empty(0, np.int64)
    return np.concatenate([empty, *(segment for segment, _ in pieces)]), np.concatenate(
        [empty, *(row for _, row in pieces)]
    )
