"""What evaluation sets found in the documents of a mix: by source, and by set, item and overlap,
for the manifest.

Only documents on which the mix decided are counted: in key order up to the last one that it takes,
dropped or (`action: report`) kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtures.mix.judged.contamination import ContaminationClaim, HitClaim, SetClaim
from mixtures.recipe.decontaminate import CONTAMINATED
from mixtures.recipe.loaded import LoadedRecipe
from pipeline.judges.annotators.ngram_table import Coverage, missed_words
from pipeline.report import plural, say
from pipeline.stages.eligible import Choice, ReadColumn
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
    chosen = {name: choices[name] for name in recipe.recipe.sources}
    sizes = [coverage.items for coverage in index.coverage]
    documents, items, by_set = contaminated(plan, chosen, asked.action, sizes)
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
            not_indexed=len(coverage.missed),
            missed=coverage.by_reason,
            whole=coverage.whole,
            documents=found,
            ngrams=coverage.ngrams,
            hits=hits.get(benchmark.definition.name, []),
        )
        for benchmark, coverage, found in zip(
            recipe.benchmarks, index.coverage, by_set, strict=True
        )
    ]
    for claim, coverage in zip(sets, index.coverage, strict=True):
        say(_told(claim, coverage, asked.action))
    return ContaminationClaim(action=asked.action, sets=sets, documents=documents)


def _told(claim: SetClaim, coverage: Coverage, action: str) -> str:
    """What became of a set, in one line."""
    done = "dropped" if action == "drop" else "reported"
    parts = [
        f"{claim.name}: {plural(claim.documents, 'document')} {done}, with"
        f" {len(claim.hits):,} of {plural(claim.items, 'item')}"
    ]
    if claim.often:
        often = (f"{hit.item} ({plural(hit.documents, 'document')})" for hit in claim.often)
        parts.append(f"most often {', '.join(often)}")
    if claim.whole:
        parts.append(f"{claim.whole:,} shorter than an n-gram are looked for as a whole")
    if coverage.missed:
        parts.append(f"{claim.not_indexed:,} are not looked for: {missed_words(coverage.missed)}")
    return "; ".join(parts)


def contaminated(
    plan: SelectPlan, choices: Mapping[str, Choice], action: str, sizes: Sequence[int]
) -> tuple[dict[str, int], dict[int, tuple[int, int]], list[int]]:
    """What the store holds of evaluation sets in a mix.

    Args:
        plan: of the select stage. choices: of the sources. action: what the recipe does with
            contaminated documents. sizes: items of each set.

    Returns:
        Contaminated documents by source; by number of an item over all sets, documents that hold
        it, and the most of its n-grams that one of them holds; and by set, documents that hold an
        item of it.
    """
    hits = _Hits(plan, sizes)
    documents = {name: hits.add(choice, action) for name, choice in choices.items()}
    items = {item: (count, found) for item, (count, found) in hits.items.items()}
    return documents, items, hits.by_set.tolist()


class _Hits:
    """Items that were found. items: {item: [documents, most of its n-grams in one document]}.
    by_set: int64 [num_sets], documents that hold an item of each.
    """

    def __init__(self, plan: SelectPlan, sizes: Sequence[int]) -> None:
        self._ends = np.cumsum(np.array(sizes, np.int64))
        self.by_set: npt.NDArray[np.int64] = np.zeros(len(sizes), np.int64)
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
            items = read_column(grams.folder, "hit_item", prefix(number))[wanted]
            found = read_column(grams.folder, "hit_found", prefix(number))[wanted].tolist()
            sets = np.searchsorted(self._ends, items.astype(np.int64), "right")
            pairs = np.unique(np.stack([hit_rows[wanted], sets]), axis=1)
            self.by_set += np.bincount(pairs[1], minlength=len(self.by_set))
            for item, count in zip(items.tolist(), found, strict=True):
                held = self.items.setdefault(item, [0, 0])
                held[0], held[1] = held[0] + 1, max(held[1], count)


def _dropped(choice: Choice) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row) of the documents that are dropped as contaminated.

    Returns: int64 [num_docs] both.
    """
    bit = np.uint32(1 << list(choice.eligible.reasons).index(CONTAMINATED))
    return _places((column, column("verdicts") & bit) for column in choice.removed_columns())


def _kept(choice: Choice) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row) of the documents of the mix that are contaminated.

    Returns: int64 [num_docs] both.
    """
    return _places((column, column("grams")) for column in choice.taken_columns())


def _places(
    found: Iterable[tuple[ReadColumn, npt.NDArray[Any]]],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(segment, ledger row), int64 [num_docs], of the documents for which a number is not 0."""
    pieces = [np.empty((2, 0), np.int64)]
    for column, numbers in found:
        mine = numbers != 0
        pieces.append(np.stack([column(name)[mine] for name in ("segment", "ledger_row")]))
    segment, row = np.concatenate(pieces, axis=1)
    return segment, row
