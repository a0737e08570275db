"""Distinct text at any size, made of the documents of ../shared/data.

Tokenizers, blocklists and indexes keep what they saw, so text that is repeated flatters them: of a
real corpus that grows, most words are old and some are new each time (Heaps' law). Round 0 holds
every distinct document as it is. In each further round the words that occur at most RARE times in
round 0 are spelled anew: each letter by another one of its kind, as often as it occurs in English,
digits by digits, in its capitals. So a round has the lengths, the common words, the punctuation and
the share of new words of round 0, and no document of another round.

How this was checked: `python -m tests.benchmarks.distinct` encodes each round with the engine of a
build, without and with what an earlier round left in its caches, and prints MB a CPU second and
bytes a token.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pyarrow.parquet as pq

RARE = 2
_WORD = re.compile(r"[A-Za-z0-9]{3,}")
_KINDS = {
    "aeiou": (8.2, 12.7, 7.0, 7.5, 2.8),
    "bcdfghjklmnpqrstvwxyz": (
        *(1.5, 2.8, 4.3, 2.2, 2.0, 6.1, 0.2, 0.8, 4.0, 2.4, 6.7),
        *(1.9, 0.1, 6.0, 6.3, 9.1, 1.0, 2.4, 0.2, 2.0, 0.1),
    ),
    "0123456789": (1,) * 10,
}
_KIND_OF = {letter: kind for kind in _KINDS for letter in kind}
_CUMULATIVE = {kind: list(accumulate(shares)) for kind, shares in _KINDS.items()}


def shared_texts(data: Path) -> Iterator[str]:
    """Every training text of the shared sample data, in a fixed order."""
    for path in sorted(data.rglob("*")):
        if path.name.endswith(".json.gz"):
            with gzip.open(path) as lines:
                yield from (json.loads(line)["text"] for line in lines)
        elif path.suffix == ".parquet":
            yield from pq.read_table(path, columns=["text"]).column("text").to_pylist()
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                rows = [json.loads(archive.read(name)) for name in sorted(archive.namelist())]
            yield from (f"{row['message_1']}\n\n{row['message_2']}" for row in rows)


def base_texts(shared: Path) -> list[str]:
    """The distinct ones, in their order."""
    return [text for text in dict.fromkeys(shared_texts(shared / "data")) if text]


def distinct_texts(base: list[str], num_bytes: int) -> Iterator[str]:
    """Distinct documents of `num_bytes` of UTF-8 in all, up to the last one."""
    counts: Counter[str] = Counter()
    for text in base:
        counts.update(_WORD.findall(text))
    parted = [_around_rare(text, counts) for text in base]
    number, size = 0, 0
    while True:
        for text, parts in zip(base, parted, strict=True):
            made = text if number == 0 else _spelled_anew(parts, number)
            size += len(made.encode())
            yield made
            if size >= num_bytes:
                return
        number += 1


def repeated_texts(base: list[str], num_bytes: int) -> Iterator[str]:
    """The same documents again and again, apart by their last line alone."""
    number, size = 0, 0
    while True:
        for text in base:
            made = f"{text}\n\nCopy {number}."
            size += len(made.encode())
            yield made
            if size >= num_bytes:
                return
        number += 1


def _around_rare(text: str, counts: Counter[str]) -> list[str]:
    """A text in parts, of which every second one is a rare word."""
    parts, end = [], 0
    for found in _WORD.finditer(text):
        if counts[found[0]] <= RARE:
            parts += [text[end : found.start()], found[0]]
            end = found.end()
    return [*parts, text[end:]]


def _spelled_anew(parts: list[str], number: int) -> str:
    again = parts.copy()
    again[1::2] = [_spelling(word, number) for word in parts[1::2]]
    # a document of common words alone must be another one, too
    return f"{''.join(again)}\n\nRound {number}."


def _spelling(word: str, number: int) -> str:
    draw, letters = random.Random(f"{number} {word}"), []
    for letter in word:
        kind = _KIND_OF[letter.lower()]
        drawn = draw.choices(kind, cum_weights=_CUMULATIVE[kind])[0]
        letters.append(drawn.upper() if letter.isupper() else drawn)
    return "".join(letters)


def main() -> None:
    """Print how fast each round is encoded, fresh and after round 0."""
    from mixtures.recipe.tokenizer.request import TokenizerRequest, define
    from pipeline.tokens.tokenizer import Tokenizer

    shared = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared")
    base = base_texts(shared)
    size = sum(len(text.encode()) for text in base)
    rounds = list(distinct_texts(base, 3 * size))
    file = shared / "tokenizers" / "gpt-neox-20b.json"
    request = TokenizerRequest(file="x.json", name="x", eod="<|endoftext|>")
    definition = define(request, file.read_bytes(), None)

    def encoded(tokenizer: Tokenizer, texts: list[str]) -> str:
        begun, num_bytes = time.process_time(), sum(len(text.encode()) for text in texts)
        num_tokens = sum(
            len(tokenizer.encode(texts[at : at + 500])[0]) for at in range(0, len(texts), 500)
        )
        seconds = time.process_time() - begun
        return f"{num_bytes / seconds / 1e6:.1f} MB/s, {num_bytes / num_tokens:.2f} bytes a token"

    parts = {"round 0": rounds[: len(base)], "round 1": rounds[len(base) : 2 * len(base)]}
    print(f"{len(base):,} distinct documents, {size / 1e6:.1f} MB")
    for name, texts in parts.items():
        tokenizer = Tokenizer(file, definition)
        print(f"{name}, fresh: {encoded(tokenizer, texts)}")
        print(f"{name}, the same again: {encoded(tokenizer, texts)}")
    tokenizer = Tokenizer(file, definition)
    encoded(tokenizer, parts["round 0"])
    print(f"round 1, after round 0: {encoded(tokenizer, parts['round 1'])}")


if __name__ == "__main__":
    main()
