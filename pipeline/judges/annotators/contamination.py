"""The decontamination annotator: which items of evaluation sets each document holds, exactly as
`mixtures.rules.benchmark` says, and fast.

    texts -> batches of about 256 KB -> words and their hashes -> known windows -> known n-grams,
    compared word by word
          -> distinct (document, n-gram) pairs -> items with enough of theirs -> counts and matches

All work on bytes is done by compiled kernels (`pipeline.judges.annotators.ngram_kernels`) and, for
rare characters, `pipeline.judges.annotators.folding`. Hashes and bitmaps only turn words away; what
they let through is compared with the words of the n-gram, so a document that holds no n-gram of an
item has no match, whatever collides.

Results depend on each text and the sets alone: not on the batches, the other texts, or threads
(there are none). Memory: about 150 bytes an n-gram. Cost: see
`tests/benchmarks/bench_contamination.py`.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.rules import benchmark, evaluation_text, word_characters
from mixtures.rules.benchmark import EvaluationSet, Match
from pipeline.judges.annotators import folding, kernel_arrays, ngram_table
from pipeline.judges.annotators.folding import BASE, Batch, batches
from pipeline.judges.annotators.kernel_arrays import I64, Bitmap, Ngrams
from pipeline.judges.annotators.ngram_table import (
    Coverage,
    NgramTable,
    evaluation_words,
    held,
    indexed,
)
from pipeline.places.kept import kept


class Annotation(NamedTuple):
    """What a batch of documents holds.

    counts: uint32 [num_docs], distinct n-grams of the items that contaminate the document; 0: it is
        clean.
    documents, items, held: int64 [num_matches], sorted: the document, the item
        (`ContaminationIndex.match` names it), and how many of the item's n-grams the document
        holds.
    """

    counts: npt.NDArray[np.uint32]
    documents: I64
    items: I64
    held: I64


class ContaminationIndex:
    """Evaluation sets that are ready to be searched for. Their table of n-grams is kept in the
    cache folder, by all that decides it.

    Args:
        sets: at least one, with names of their own; their order is that of the matches.
        base: of the word hashes; it decides speed, never a result (a bad one lets tests see what
            collisions do).

    Raises:
        InputError: a set of which nothing can be indexed.
    """

    def __init__(self, sets: Sequence[EvaluationSet], *, base: int = BASE) -> None:
        self._reader = evaluation_words(base)
        made = kept(
            "indexes", _key(sets, base), _rules(), lambda: _packed(indexed(sets, self._reader))
        )
        self._table = _unpacked(made)
        self._items = [
            (evaluation.definition.name, item.where)
            for evaluation in sets
            for item in evaluation.items
        ]

    def __len__(self) -> int:
        """The number of distinct n-grams."""
        return len(self._table)

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """What of each set is looked for, and how many of its items are not."""
        return self._table.coverage

    def count(self, texts: Sequence[str]) -> npt.NDArray[np.uint32]:
        """The number of distinct n-grams in each text, of the items that contaminate it: uint32
        [num_docs].
        """
        return self.annotate(texts).counts

    def matches(self, text: str) -> list[Match]:
        """The items that contaminate a text, in the order of the sets and of their rows."""
        _, _, items, held = self.annotate_batch(Batch([text]))
        return [
            self.match(item, count)
            for item, count in zip(items.tolist(), held.tolist(), strict=True)
        ]

    def match(self, item: int, held: int) -> Match:
        """Name a match of an annotation."""
        name, where = self._items[item]
        return Match(name, where, held, int(self._table.totals[item]))

    def annotate(self, texts: Sequence[str]) -> Annotation:
        """What each text holds."""
        found, first = [Annotation(np.zeros(0, np.uint32), _EMPTY, _EMPTY, _EMPTY)], 0
        for batch in batches(texts):
            here = self.annotate_batch(batch)
            found.append(here._replace(documents=here.documents + first))
            first += len(batch)
        return Annotation(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def annotate_batch(self, batch: Batch) -> Annotation:
        """What each text of a batch holds."""
        documents, rows = held(batch.words(self._reader), self._table.ngrams)
        if not len(rows):
            return Annotation(np.zeros(len(batch), np.uint32), _EMPTY, _EMPTY, _EMPTY)
        contaminated, matches = self._matches(documents, rows)
        counts = np.bincount(contaminated, minlength=len(batch)).astype(np.uint32)
        return Annotation(counts, *matches)

    def _matches(self, documents: I64, rows: I64) -> tuple[I64, tuple[I64, I64, I64]]:
        """From distinct pairs of document and n-gram, int64 [num_pairs] each: the document of each
        n-gram that counts, and (documents, items, counts), int64 [num_matches] each.
        """
        table = self._table
        owners = table.owners_at[rows + 1] - table.owners_at[rows]
        pair = np.repeat(np.arange(len(rows)), owners)
        # The place of each owner among its n-gram's: 0, 1, ... again for every pair.
        ahead = np.arange(len(pair)) - np.repeat(np.cumsum(owners) - owners, owners)
        keys = documents[pair] * table.num_items + table.owners[table.owners_at[rows][pair] + ahead]
        matches, of, held_ngrams = np.unique(keys, return_inverse=True, return_counts=True)
        items = matches % table.num_items
        enough = held_ngrams >= table.least[items]
        # An n-gram that counts for several items counts once.
        held = documents[np.unique(pair[enough[of]])]
        return held, (
            matches[enough] // table.num_items,
            items[enough],
            held_ngrams[enough].astype(np.int64),
        )


def _key(sets: Sequence[EvaluationSet], base: int) -> bytes:
    """All that decides an index, but for the rules."""
    items = [[one.definition.model_dump(mode="json"), one.items] for one in sets]
    # the number, too: sources may be replaced while a command runs what was read of them
    return json.dumps([unicodedata.unidata_version, benchmark.RULES, base, items]).encode()


def _rules() -> list[ModuleType]:
    from pipeline.judges.annotators import contamination, ngram_kernels, text_kernels

    mine = [contamination, folding, kernel_arrays, ngram_kernels, ngram_table, text_kernels]
    return [benchmark, evaluation_text, word_characters, *mine]


_ARRAYS = ("owners", "owners_at", "totals", "least")
_BITMAPS, _NUMBERS = ("known", "known_windows"), ("window", "stride")


def _packed(table: NgramTable) -> bytes:
    """A table as an .npz of its arrays."""
    arrays = {name: getattr(table, name) for name in _ARRAYS} | table.ngrams._asdict()
    for name in _BITMAPS:
        arrays[name], arrays[f"{name}.shift"] = arrays[name]
    coverage = json.dumps([asdict(of_set) for of_set in table.coverage]).encode()
    content = io.BytesIO()
    np.savez(content, coverage=np.frombuffer(coverage, np.uint8), **arrays)
    return content.getvalue()


def _unpacked(content: bytes) -> NgramTable:
    """The table of which `_packed` made these bytes."""
    arrays: dict[str, Any] = dict(np.load(io.BytesIO(content), allow_pickle=False))
    for name in _BITMAPS:
        arrays[name] = Bitmap(arrays[name], np.uint64(arrays[f"{name}.shift"]))
    for name in _NUMBERS:
        arrays[name] = int(arrays[name])
    arrays["content"].setflags(write=False)  # as kernels are compiled for it
    coverage = json.loads(arrays["coverage"].tobytes())
    return NgramTable(
        Ngrams(*(arrays[name] for name in Ngrams._fields)),
        **{name: arrays[name] for name in _ARRAYS},
        coverage=tuple(Coverage(**of_set) for of_set in coverage),
    )


_EMPTY: I64 = np.zeros(0, np.int64)
