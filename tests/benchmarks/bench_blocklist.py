"""The blocklist against a plain Aho-Corasick pass, polars and the naive rule: megabytes of text a
CPU second, in one run, A B A B.

    python tests/benchmarks/bench_blocklist.py [--megabytes 60] [--rounds 3] [--terms 6178]
    [--shared ../shared]

Text: every text of the shared sample data, repeated. Terms: two to four words each, drawn from the
vocabulary of these texts, a few of them phrases that do stand in a text; then more such phrases;
then, as the worst case, common phrases only. In turn:

    words       pipeline.judges.annotators.blocklist.Blocklist(terms, "words").count
    plain       lower-case, table-driven Aho-Corasick over the whole text, a check of both
                boundaries of each match; nothing folded, so
                it misses what stands across a line wrap or no-break space: less work than `words`,
                and another answer
    folded      the same on text that was folded first, by one translate and split: the answer of
                `words` on ASCII text
    published   Blocklist(terms, "published").count
    lowered     lower-case, the same automaton, no checks: the answer of `published`
    polars      Series.str.contains_any, ASCII case folded: only whether a text holds a term at all
    naive       mixtures.rules.terms, mode words, on few documents

The best round of each counts: the machine's other work only ever adds. Nothing is asserted; trust
the ratios.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import ahocorasick_rs
import polars as pl

from mixtures.rules.word_characters import fold_words
from pipeline.judges.annotators.blocklist import Blocklist
from tests.benchmarks.distinct import shared_texts
from tests.mixtures.rules.naive import count_distinct_naive

NAIVE_DOCUMENTS = 3
_SPACED = bytes(
    byte if byte >= 128 or chr(byte).isalnum() else 32 for byte in bytes(range(256)).lower()
)


def make_terms(texts: Sequence[str], count: int, phrase_every: int, commonest: int) -> list[str]:
    """Distinct terms of two to four words; one in `phrase_every` stands in a text, its rarest word
    in at most `commonest` of them.
    """
    draw = random.Random(3)
    lines = [fold_words(text[:4000]).split() for text in texts[::10]]
    frequency = Counter(word for line in lines for word in set(line))
    lines = [line for line in lines if len(line) > 20]
    vocabulary = sorted(
        word for word in frequency if word.isascii() and word.isalpha() and len(word) > 4
    )
    made: dict[str, None] = {}
    while len(made) < count:
        size, line = draw.choice([2, 2, 2, 3, 3, 4]), draw.choice(lines)
        place = draw.randrange(len(line) - size)
        term = (
            line[place : place + size]
            if len(made) % phrase_every == 0
            else draw.choices(vocabulary, k=size)
        )
        if min(frequency[word] for word in term) <= commonest:
            made[" ".join(term)] = None
    return list(made)


def plain_pass(
    terms: Sequence[str], prepare: Callable[[str], bytes], check: bool
) -> Callable[[Sequence[str]], list[int]]:
    """A whole pass of an automaton over each prepared text, and a check of boundaries in Python."""
    automaton = ahocorasick_rs.BytesAhoCorasick(
        [term.lower().encode() for term in terms], implementation=ahocorasick_rs.Implementation.DFA
    )

    def count(texts: Sequence[str]) -> list[int]:
        counts = []
        for text in texts:
            content = b" " + prepare(text) + b" "
            matches = automaton.find_matches_as_indexes(content, overlapping=True)
            if check:
                found = {
                    term
                    for term, low, high in matches
                    if not (_inner(content[low - 1]) or _inner(content[high]))
                }
            else:
                found = {term for term, _, _ in matches}
            counts.append(len(found))
        return counts

    return count


def _inner(byte: int) -> bool:
    return byte >= 128 or chr(byte).isalnum()


def lowered(text: str) -> bytes:
    """Lower-case UTF-8."""
    return text.lower().encode()


def folded(text: str) -> bytes:
    """Lower-case UTF-8, every run of ASCII separators one space."""
    return b" ".join(text.encode().translate(_SPACED).split())


def compare(texts: Sequence[str], terms: Sequence[str], rounds: int) -> None:
    """Time all ways in turn and print megabytes a second of the best round, and the ratios."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    started = time.process_time()
    words = Blocklist(terms, "words")
    made = time.process_time() - started
    published = Blocklist(terms, "published")
    plain, flat, bare = (
        plain_pass(terms, lowered, True),
        plain_pass(terms, folded, True),
        plain_pass(terms, lowered, False),
    )
    series, lower = pl.Series(texts), [term.lower() for term in terms]
    ways: dict[str, Callable[[], object]] = {
        "words": lambda: words.count(texts),
        "plain": lambda: plain(texts),
        "folded": lambda: flat(texts),
        "published": lambda: published.count(texts),
        "lowered": lambda: bare(texts),
        "polars": lambda: series.str.contains_any(lower, ascii_case_insensitive=True),
    }
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name] = min(seconds[name], time.process_time() - started)
    started = time.process_time()
    for text in texts[:: max(1, len(texts) // NAIVE_DOCUMENTS)][:NAIVE_DOCUMENTS]:
        count_distinct_naive(text, terms, "words")
    naive = (
        sum(
            len(text.encode())
            for text in texts[:: max(1, len(texts) // NAIVE_DOCUMENTS)][:NAIVE_DOCUMENTS]
        )
        / 1e6
    )
    seconds["naive"] = (time.process_time() - started) * size / naive
    counts = words.count(texts)
    print(f"{size:.0f} MB, {len(texts):,} documents, {len(words):,} terms; ", end="")
    print(
        f"{100 * (counts > 0).mean():.1f}% of the documents hold a term,"
        f" {100 * (counts > 1).mean():.1f}% two or more; ",
        end="",
    )
    print(f"made in {made:.2f} CPU s")
    for name, value in seconds.items():
        print(f"  {name:10s}{size / value:9.2f} MB/s")
    print(
        f"  words / plain {seconds['plain'] / seconds['words']:.2f}, words / folded"
        f" {seconds['folded'] / seconds['words']:.2f}, ",
        end="",
    )
    print(f"published / lowered {seconds['lowered'] / seconds['published']:.2f}", flush=True)


def main() -> None:
    """Run the comparison on a list with few hits and on one with many."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--terms", type=int, default=6_178)
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("ANNEALMIX_SHARED", "../shared"))
    )
    options = parser.parse_args()
    once = list(shared_texts(options.shared / "data"))
    texts: list[str] = []
    size = 0
    while size < options.megabytes * 1_000_000:
        texts.append(once[len(texts) % len(once)])
        size += len(texts[-1].encode())
    for phrase_every, commonest in ((40, 4), (4, 40), (1, len(once))):
        compare(texts, make_terms(once, options.terms, phrase_every, commonest), options.rounds)


if __name__ == "__main__":
    main()
