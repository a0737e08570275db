"""The n-grams of evaluation sets as arrays that the kernels search: each distinct one once, with
the items that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtures.errors import InputError
from mixtures.rules.benchmark import MAX_NGRAM, Benchmark, EvaluationSet, needed
from mixtures.rules.evaluation_text import begins_combining, fold_characters, is_word
from mixtures.yaml.fields import plain_decimal
from pipeline.judges.annotators.folding import BASE, FOLDS, Batch, WordReader, unmarked_utf8
from pipeline.judges.annotators.kernel_arrays import I64, U64, Bitmap, Hits, Ngrams, Words

SHOWN = 5  # items that are named
BITS_A_KEY = 64  # of a bitmap: about one unknown key in BITS_A_KEY passes


def evaluation_words(base: int = BASE) -> WordReader:
    """Finds the words by which items and documents are compared."""
    return WordReader(fold_characters, begins_combining, unmarked_utf8, base)


def bitmap(hashes: U64) -> Bitmap:
    """Mark hashes: uint64 [num_hashes]."""
    from pipeline.judges.annotators.ngram_kernels import add_to_bitmap

    size = min(max((BITS_A_KEY * len(hashes)).bit_length(), 12), 32)
    marked = Bitmap(np.zeros(1 << (size - 3), np.uint8), np.uint64(64 - size))
    add_to_bitmap(marked, hashes)
    return marked


Why = Literal["short", "common", "formula"]


@dataclass(frozen=True)
class Coverage:
    """What of an evaluation set is looked for. whole: items that are looked for as a whole, since
    no text of theirs has an n-gram's words. ngrams: distinct ones. missed: items that are not
    looked for (as `Item.where`), and why.
    """

    set: str
    items: int
    whole: int
    ngrams: int
    missed: Mapping[str, Why]

    @property
    def by_reason(self) -> dict[Why, list[str]]:
        """The items that are not looked for, by the reason."""
        found: dict[Why, list[str]] = {}
        for place, why in self.missed.items():
            found.setdefault(why, []).append(place)
        return found


@dataclass(frozen=True)
class NgramTable:
    """All n-grams of all items, and whose they are. Items of all sets are counted through.

    ngrams: what to look for. coverage: by set.
    owners: int64 [num_pairs], and owners_at: int64 [num_ngrams + 1]: the items
        owners[owners_at[row]:owners_at[row + 1]] have the n-gram of a row.
    totals, least: int64 [num_items], distinct n-grams, and how many of them contaminate.
    """

    ngrams: Ngrams
    owners: I64
    owners_at: I64
    totals: I64
    least: I64
    coverage: tuple[Coverage, ...]

    def __len__(self) -> int:
        """The number of distinct n-grams."""
        return len(self.ngrams.hashes)

    @property
    def num_items(self) -> int:
        """Of all sets."""
        return len(self.totals)


def indexed(sets: Sequence[EvaluationSet], reader: WordReader) -> NgramTable:
    """The n-grams of sets.

    Raises:
        InputError: a set of which nothing can be indexed.
    """
    from pipeline.judges.annotators.ngram_kernels import run_hashes

    owners, texts = _texts(sets)
    # words as items have them, one space between two, and a NUL behind each text
    found = reader.read(Batch(texts)).buffer.tobytes().translate(FOLDS.tobytes()).split()
    content = b" ".join([b"", *found, b""])
    words = reader.words(np.frombuffer(bytearray(content), np.uint8))
    lows, sizes, items = _occurrences(sets, owners, words)
    num_items = sum(len(evaluation.items) for evaluation in sets)
    lengths = np.zeros(num_items, np.int64)  # of each item's longest n-gram, in words
    np.maximum.at(lengths, items, sizes)
    known, numbered = _numbered(b" ".join(found).decode().split(" "))
    telling = _telling(known, numbered, lows, sizes)
    lows, sizes, items = lows[telling], sizes[telling], items[telling]
    told = np.bincount(items, minlength=num_items)
    hashes = run_hashes(words.sums, powers(int(reader.base), MAX_NGRAM), lows, sizes)
    rows, numbers = _distinct(numbered, lows, sizes, hashes)
    pairs = _own(sets, np.unique(numbers * num_items + items))
    kept, number = np.unique(pairs // num_items, return_inverse=True)
    rows = rows[kept]
    totals: I64 = np.bincount(pairs % num_items, minlength=num_items)
    coverage = _coverage(sets, lengths, told, pairs)
    return NgramTable(
        ngrams=searched(words, int(reader.base), lows[rows], sizes[rows]),
        owners=pairs % num_items,
        owners_at=np.searchsorted(number, np.arange(len(rows) + 1)),
        totals=totals,
        least=np.array(_least(sets, totals), np.int64),
        coverage=coverage,
    )


def powers(base: int, most: int) -> U64:
    """uint64 [most + 1], of the base of the polynomial."""
    return np.array([pow(base, power, 1 << 64) for power in range(most + 1)], np.uint64)


def searched(words: Words, base: int, lows: I64, sizes: I64) -> Ngrams:
    """Distinct n-grams, ready to be searched for. lows, sizes: int64 [num_ngrams], the first word
    of each in folded words, and how many; by hash, ascending.
    """
    from pipeline.judges.annotators.ngram_kernels import run_hashes

    # Windows of about half the shortest n-gram; any n-gram holds one at every multiple of the
    # stride, whichever of its first `stride` words that is.
    window = int(sizes.min()) // 2 + 1
    stride = int(sizes.min()) - window + 1
    raised = powers(base, int(sizes.max()))
    hashes = run_hashes(words.sums, raised, lows, sizes)
    begins = np.zeros(len(words.starts), np.bool_)
    begins[lows[:, None] + np.arange(stride)] = True
    places = np.flatnonzero(begins)
    windows = run_hashes(words.sums, raised, places, np.full(len(places), window))
    starts: I64 = words.starts.astype(np.int64)
    return Ngrams(
        hashes=hashes,
        content=words.buffer,
        lows=starts[lows],
        # One space is between a folded text's words, and before its mark.
        highs=starts[lows + sizes] - 1,
        powers=raised,
        sizes=np.unique(sizes),
        window=window,
        stride=stride,
        known=bitmap(hashes),
        known_windows=bitmap(windows),
    )


def occurrences(find: Callable[[Hits], int], room: int) -> Hits:
    """What `find` writes. room: for how many occurrences there is some at first."""
    while True:
        hits = Hits(np.empty(room, np.int64), np.empty(room, np.int64))
        count = find(hits)
        if count <= room:
            return Hits(hits.word[:count], hits.row[:count])
        room = count


def held(words: Words, ngrams: Ngrams) -> tuple[I64, I64]:
    """Distinct pairs of a text of a batch and the row of an n-gram in it, sorted: int64 [num_pairs]
    each.
    """
    from pipeline.judges.annotators.ngram_kernels import find_ngrams

    # More than one n-gram a word only if n-grams of several sizes begin at most words.
    found = occurrences(partial(find_ngrams, words, FOLDS, ngrams), len(words.starts))
    if not len(found.word):  # as in most batches
        return found.word, found.row
    texts = np.searchsorted(words.marks, words.starts[found.word])
    pairs = np.unique(texts * len(ngrams.hashes) + found.row)
    return pairs // len(ngrams.hashes), pairs % len(ngrams.hashes)


def _texts(sets: Sequence[EvaluationSet]) -> tuple[list[tuple[int, int]], list[str]]:
    """All texts of all items, and of each the number of its set and of its item, counted
    through.
    """
    owners: list[tuple[int, int]] = []
    texts: list[str] = []
    item = 0
    for number, evaluation in enumerate(sets):
        for _, item_texts in evaluation.items:
            owners += [(number, item)] * len(item_texts)
            texts += item_texts
            item += 1
    return owners, texts


def _occurrences(
    sets: Sequence[EvaluationSet], owners: list[tuple[int, int]], words: Words
) -> tuple[I64, I64, I64]:
    """First word, size in words and item of every n-gram of every text: int64 [num_occurrences]
    each. owners: of each text, set and item.
    """
    definitions = [evaluation.definition for evaluation in sets]
    ngram = np.array([definition.ngram for definition in definitions], np.int64)
    shortest = np.array([definition.shortest_words for definition in definitions], np.int64)
    of_set, item = np.array(owners, np.int64).reshape(-1, 2).T
    ends = np.searchsorted(words.starts, words.marks)
    lows = np.concatenate(([0], ends + 1))[:-1]
    size = np.minimum(ngram[of_set], ends - lows)
    counts = np.where(size >= shortest[of_set], ends - lows - size + 1, 0)
    ahead = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(lows, counts) + ahead, np.repeat(size, counts), np.repeat(item, counts)


def _numbered(words: Sequence[str]) -> tuple[list[str], I64]:
    """Distinct words, and which of them each word is: int64 [num_words]."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return list(numbers), np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))


def _distinct(words: I64, lows: I64, sizes: I64, hashes: U64) -> tuple[I64, I64]:
    """Tell n-grams apart by their words, not their hashes.

    Args:
        words: int64 [num_words], as `_numbered` gives them. lows, sizes: int64 [num_occurrences],
            in words; hashes: uint64 [num_occurrences].
    Returns: int64 [num_ngrams], one occurrence of each distinct n-gram, by hash; and int64
    [num_occurrences], the number of each occurrence's n-gram in that order.
    """
    order = np.argsort(hashes, kind="stable")
    new = np.concatenate(([True], hashes[order][1:] != hashes[order][:-1]))[: len(order)]
    first = np.empty(len(hashes), np.int64)  # of each hash
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    again = np.flatnonzero(first != np.arange(len(first)))
    differs = sizes[again] != sizes[first[again]]
    for place in range(int(sizes.max(initial=0))):
        inside = np.minimum(place, sizes[again] - 1)
        differs |= words[lows[again] + inside] != words[lows[first[again]] + inside]
    seen = dict[bytes, int]()
    for one in np.flatnonzero(np.isin(hashes, hashes[again[differs]])).tolist():  # they collide
        ngram = words[lows[one] : lows[one] + sizes[one]].tobytes()
        first[one] = seen.setdefault(ngram, one)
    rows = np.flatnonzero(first == np.arange(len(first)))
    rows = rows[np.argsort(hashes[rows], kind="stable")]
    numbers = np.zeros(len(first), np.int64)
    numbers[rows] = np.arange(len(rows))
    return rows, numbers[first]


def _telling(known: Sequence[str], words: I64, lows: I64, sizes: I64) -> npt.NDArray[np.bool_]:
    """Whether each n-gram is telling (`mixtures.rules.evaluation_text`): bool [num_occurrences].

    Args:
        known, words: as `_numbered` gives them. lows, sizes: int64 [num_occurrences], in words.
    """
    counts = np.fromiter(map(is_word, known), np.bool_, len(known))
    before = np.concatenate(([0], np.cumsum(counts[words])))
    telling: npt.NDArray[np.bool_] = 2 * (before[lows + sizes] - before[lows]) >= sizes
    return telling


def _own(sets: Sequence[EvaluationSet], pairs: I64) -> I64:
    """The pairs of n-gram and item in which the n-gram is not common: so many items of the set have
    it that it is a template's. Items of the same n-grams count as one.

    Args:
        pairs: int64 [num_pairs], n-gram * num_items + item, ascending and distinct.
    """
    num_items = sum(len(evaluation.items) for evaluation in sets)
    of_set = np.repeat(np.arange(len(sets)), [len(evaluation.items) for evaluation in sets])
    shared = np.array([evaluation.definition.shared for evaluation in sets], np.int64)
    ngrams, items = pairs // num_items, pairs % num_items
    by_item = np.argsort(items, kind="stable")
    bounds = np.searchsorted(items[by_item], np.arange(num_items + 1))
    alike: dict[bytes, int] = {}
    like = np.array(
        [
            alike.setdefault(ngrams[by_item[low:high]].tobytes(), item)
            for item, (low, high) in enumerate(pairwise(bounds.tolist()))
        ],
        np.int64,
    )
    # n-gram and set in one number, and once for each of the items that differ
    keys = ngrams * len(sets) + of_set[items]
    differing = np.unique(keys * num_items + like[items]) // num_items
    known, counts = np.unique(differing, return_counts=True)
    own: I64 = pairs[counts[np.searchsorted(known, keys)] < shared[of_set[items]]]
    return own


def _coverage(
    sets: Sequence[EvaluationSet], lengths: I64, told: I64, pairs: I64
) -> tuple[Coverage, ...]:
    """Of each set.

    Args:
        lengths: int64 [num_items], words of each item's longest n-gram, 0: it has none. told: int64
            [num_items], n-grams that are telling. pairs: as `_own` gives them.

    Raises:
        InputError: more of a set's items than it allows cannot be looked for.
    """
    num_items = len(lengths)
    totals = np.bincount(pairs % num_items, minlength=num_items)
    by_set, low = [], 0
    for evaluation in sets:
        definition, high = evaluation.definition, low + len(evaluation.items)
        missed: dict[str, Why] = {
            item.where: ("short" if not lengths[at] else "formula" if not told[at] else "common")
            for at, item in enumerate(evaluation.items, start=low)
            if not totals[at]
        }
        if len(missed) == high - low or len(missed) > definition.max_missed * (high - low):
            raise InputError(_too_few(definition, high - low, missed))
        owners = pairs % num_items
        ngrams = np.unique(pairs[(owners >= low) & (owners < high)] // num_items)
        found = lengths[low:high][totals[low:high] > 0]
        whole = int(np.count_nonzero(found < definition.ngram))
        by_set.append(Coverage(definition.name, high - low, whole, len(ngrams), missed))
        low = high
    return tuple(by_set)


WHY: Mapping[Why, str] = {
    "short": "too short",
    "formula": "of nothing but letters and numbers",
    "common": "of nothing but what other items have, too",
}


def missed_words(missed: Mapping[str, Why]) -> str:
    """How many items are not looked for by reason, with the first of each."""
    parts = []
    for why, words in WHY.items():
        if places := [place for place, reason in missed.items() if reason == why]:
            more = ", ..." if len(places) > SHOWN else ""
            parts.append(f"{len(places):,} {words} ({', '.join(places[:SHOWN])}{more})")
    return "; ".join(parts)


def _too_few(definition: Benchmark, items: int, missed: Mapping[str, Why]) -> str:
    whole = "none of its" if len(missed) == items else f"{len(missed):,} of its"
    return (
        f"evaluation set {definition.name}: {whole} {items:,} items can"
        f"{'' if len(missed) == items else 'not'} be looked for: {missed_words(missed)}; lower"
        f" shortest (now {definition.shortest_words}) and ngram, raise max_missed (now"
        f" {plain_decimal(definition.max_missed)}), or leave the set out"
    )


def _least(sets: Sequence[EvaluationSet], totals: I64) -> list[int]:
    """How many of its n-grams contaminate, by item. totals: int64 [num_items]."""
    overlaps = [evaluation.definition.overlap for evaluation in sets for _ in evaluation.items]
    return [
        needed(total, overlap) for total, overlap in zip(totals.tolist(), overlaps, strict=True)
    ]
