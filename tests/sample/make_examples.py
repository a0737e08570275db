"""Writes the data of `examples/`: made text, so small that a build takes seconds.

    python -m tests.sample.make_examples [DIR]      (default: examples)

Sentences are those of the sample (`tests.sample.prose`), and three kinds of their own: copies that
differ in a word, a question with its answer, and two worlds that share the words hive, queen and
swarm. Recipes, terms and pages of the examples are written by hand. Nobody else wrote any of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from tests.sample.prose import Draw, Writer

CHECKOUT = Path(__file__).resolve().parent.parent.parent
VOCAB_SIZE = 600
BEES = (
    "The queen of the hive at {P} laid {D} eggs before the swarm left.",
    "{W} opened the hive, and the honey of {Y} was {A}.",
    "A keeper feeds the queen when the swarm has no honey near {P}.",
    "Smoke calms the swarm, so that the hive and its honey can be moved to {P}.",
)
MACHINES = (
    "The Hive table of {P} holds {D} rows, and a swarm of containers reads it.",
    "{W} wrote a query for Hive, and the swarm answered in {D} seconds.",
    "A queen on the board is worth more than a swarm of pawns, said {W} in {Y}.",
    "Each node of the swarm at {P} keeps a hive of registry keys.",
)
"""Sentences of two worlds that a list of words cannot tell from each other."""


def _texts(seed: int, count: int, num_words: int, special: Sequence[str] = ()) -> list[str]:
    """Texts of about so many words, each with two sentences of the special ones, if there are."""
    writer, made = Writer(Draw(seed)), []
    for _ in range(count):
        writer.start_topic()
        sentences = writer.sentences(writer.draw.length(num_words))
        for _ in range(2 if special else 0):
            sentence = writer.fill(writer.draw.pick(special))
            sentences.insert(writer.draw.below(len(sentences) + 1), sentence)
        made.append(" ".join(sentences))
    return made


def _write_lines(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_bytes("".join(lines).encode())


def _tokenizer(texts: Sequence[str]) -> str:
    """A tokenizer.json as GPT-2's: byte-level BPE without normalizer; and a template of its
    post-processor that would put `<s>` and `</s>` about every text, which a mix must not take over.
    """
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    return made.to_str()


def write_own_corpus(folder: Path) -> None:
    """Notes as JSON lines in nested folders, papers as parquet, and a tokenizer of one's own."""
    notes, papers = _texts(1, 96, 60), _texts(2, 46, 60)
    rows = [{"data": {"text": text, "number": at}} for at, text in enumerate(notes)]
    _write_lines(folder / "notes/of 2024/notes.jsonl", rows[:60])
    _write_lines(folder / "notes/older/notes.jsonl", rows[60:])
    writer = Writer(Draw(3))
    table = pa.table({"title": [writer.title() for _ in papers], "body": papers})
    (folder / "papers").mkdir(exist_ok=True)
    pq.write_table(table, folder / "papers/papers.parquet", compression="zstd")
    (folder / "my.json").write_bytes(_tokenizer([*notes, *papers]).encode())


def write_three_corpora(folder: Path) -> None:
    """Corpora with copies between them that differ in one word, and an evaluation set of which one
    holds two items.
    """
    books, letters, web = _texts(4, 30, 70), _texts(5, 50, 40), _texts(6, 50, 40)
    near = [f"{text} Reprinted." for text in [*books[:10], *letters[:5]]]
    writer = Writer(Draw(7))
    items = [
        {
            "question": " ".join(writer.sentences(14)),
            "choices": [writer.noun(), writer.noun()],
            "answer": at % 2,
        }
        for at in range(6)
    ]
    quoted = [f"{text} {item['question']}" for text, item in zip(web[:2], items, strict=False)]
    _write_lines(folder / "books/books.jsonl", [{"text": text} for text in books])
    _write_lines(folder / "letters/letters.jsonl", [{"text": text} for text in letters])
    _write_lines(folder / "web/web.jsonl", [{"text": text} for text in [*quoted, *web[2:], *near]])
    _write_lines(folder / "evaluation/items.jsonl", items)


def write_filter(folder: Path) -> None:
    """A corpus of which some documents speak of bees, and labelled ones of the same two worlds."""
    rows = [
        {"text": text, "label": label}
        for label, seed, special in ((1, 8, BEES), (0, 9, MACHINES))
        for text in _texts(seed, 60, 12, special)
    ]
    corpus = [*_texts(10, 70, 40), *_texts(11, 20, 25, BEES), *_texts(12, 20, 25, MACHINES)]
    _write_lines(folder / "labelled.jsonl", rows)
    _write_lines(folder / "corpus/corpus.jsonl", [{"text": text} for text in corpus])


WRITERS = {
    "own-corpus": write_own_corpus,
    "three-corpora": write_three_corpora,
    "filter": write_filter,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKOUT / "examples")
    folder = parser.parse_args().folder
    for name, write in WRITERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)


if __name__ == "__main__":
    main()
