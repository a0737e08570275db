"""Decontamination: an evaluation set, which words of its items are looked for, and when a document
is contaminated by one.

```yaml
name: mmlu
files:                        # beside this file
  - {path: mmlu.jsonl, sha256: f658...}
format: jsonl                 # or parquet
columns: mmlu                 # a preset, or {question: ..., choices: ..., answer: ...}
ngram: 13                     # words
shortest: 8                   # a text of fewer words is not looked for
overlap: 0                    # the share of an item's n-grams that a document must hold; 0: one
    n-gram is enough
shared: 4                     # an n-gram that so many items have is a template's: it does not count
max_missed: 0.5               # the share of the items that may have no n-gram that counts
```

Texts of an item: its question (or context, or whole passage), and the question followed by the
right answer. So n-grams of the question, of the answer and across the two are looked for, and a
short question is looked for alone and with its answer. Wrong answers are not: many are made of
right ones or by machine, and none is evidence. Where no column says which answer is right (a test
split without labels), the question is followed by each choice in turn. What lies between question
and answer in some rendering ("A. ") hides the n-grams across the two, never those inside. Peers:
GPT-3 (arXiv 2005.14165, appendix C) and lm-evaluation-harness compare the question or passage;
datatrove's decontamination the right answer and n-grams across.

N-grams of a text: words are those of `mixtures.rules.evaluation_text`. A text of at least `ngram`
words has all its runs of `ngram` words; a shorter one is itself an n-gram, if it has at least
`shortest` words; else it has none, because a few words are everywhere. 13 and 8 are the largest and
the least n of GPT-3's appendix C. An item's n-grams are the distinct ones of its texts that are
telling (not a formula's) and that fewer than `shared` items of the set have; items of the same
n-grams are one. An instruction, a template or a passage that many items quote so marks no document
that quotes it, too; an item is found by what is its own. Without n-grams an item is not looked for,
and a set of which more than `max_missed` are so is an error.

A document holds an n-gram if the words stand in it side by side. It is contaminated by an item if
it holds at least one of the item's n-grams, and at least the share `overlap` of them, compared
exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from mixtures.errors import InputError
from mixtures.rules.filter_definition import Sha256
from mixtures.rules.filter_files import sha256_of
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Line,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Text,
    describe,
    json_digest,
    whole,
)
from mixtures.yaml.tree import load_yaml, suggest, validate

RULES = 2
"""Number of the rule above; a change that can change what any document holds raises it, and with it
every identity.
"""

NGRAM = 13
SHORTEST = 8
LEAST_NGRAM, MAX_NGRAM = 3, 64
SHARED, MAX_MISSED = 4, Decimal("0.5")
Format = Literal["jsonl", "parquet"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class ItemColumns(Checked):
    """Which columns make an item's texts.

    question: the question, context or passage. choices: one column that holds the list of them, or
        a column for each.
    answer: the index of the right choice, from 0, as a number or in digits.
    """

    question: Line
    choices: Annotated[tuple[Line, ...], BeforeValidator(_listed)] = ()
    answer: Line | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """An index needs something to point into."""
        if "answer" in given and not given.get("choices"):
            yield (
                ("answer",),
                "there are no choices that it could point into; name their column, or leave out"
                " answer",
            )


_MULTIPLE_CHOICE = ItemColumns(question="question", choices=("choices",), answer="answer")
PRESETS: dict[str, ItemColumns] = {
    "hellaswag": ItemColumns(question="ctx", choices=("endings",), answer="label"),
    "lambada": ItemColumns(question="text"),
    "mmlu": _MULTIPLE_CHOICE,
    "piqa": ItemColumns(question="goal", choices=("sol1", "sol2"), answer="label"),
    "wmdp": _MULTIPLE_CHOICE,
    "wmdp-cloze": _MULTIPLE_CHOICE,
    "wmdp-robust": _MULTIPLE_CHOICE,
}
"""The columns of evaluation sets as published: Rowan/hellaswag, EleutherAI/lambada_openai,
cais/mmlu, ybisk/piqa, cais/wmdp, EleutherAI/wmdp_bio_cloze and EleutherAI/wmdp_bio_robust_mcqa.
"""


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(
            f"{describe(value)} is not a preset; {suggest(value, PRESETS)}; or write {{question:"
            " COLUMN, ...}"
        )
    return PRESETS[value]


def _share(value: Decimal) -> Decimal:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not a share from 0 to 1")
    return value


def _path_alone(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class BenchmarkFile(Model):
    """One file of an evaluation set and the hash of its bytes; computed, if it is not stated."""

    path: LocalPath
    sha256: Sha256 = ""


class Benchmark(Checked):
    """One evaluation set, as its file says. shortest: None is 8, or `ngram` if that is less."""

    name: Name
    description: Text = ""
    files: Annotated[
        tuple[Annotated[BenchmarkFile, BeforeValidator(_path_alone)], ...], Field(min_length=1)
    ]
    format: Format
    columns: Annotated[ItemColumns, BeforeValidator(_preset)]
    ngram: Annotated[Positive, Field(ge=LEAST_NGRAM, le=MAX_NGRAM)] = NGRAM
    shortest: Annotated[Positive, Field(ge=LEAST_NGRAM, le=MAX_NGRAM)] | None = None
    overlap: Annotated[Exact, AfterValidator(_share)] = Decimal(0)
    shared: Annotated[Positive, Field(ge=2)] = SHARED
    max_missed: Annotated[Exact, AfterValidator(_share)] = MAX_MISSED

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """A text that is long enough for an n-gram is not too short to be looked for."""
        shortest, ngram = whole(given.get("shortest"), 0), whole(given.get("ngram"), 0) or NGRAM
        if shortest > ngram:
            yield (
                ("shortest",),
                f"{shortest} is more than the n-gram's {ngram} words; it is for texts"
                " that are shorter than that",
            )

    @property
    def shortest_words(self) -> int:
        """Texts of fewer words are not looked for."""
        return min(SHORTEST, self.ngram) if self.shortest is None else self.shortest

    @property
    def identity(self) -> str:
        """sha256 (hex) of what decides: the rule, the files' bytes in their order, format, columns,
        sizes and share.

        Name, description, paths, presets' names and the spelling of numbers are no part of it.
        """
        content = {
            "rules": RULES,
            "files": [file.sha256 for file in self.files],
            "format": self.format,
            "columns": self.columns.model_dump(),
            "ngram": self.ngram,
            "shortest": self.shortest_words,
            "overlap": str(Fraction(self.overlap)),
            "shared": self.shared,
        }
        return json_digest(content)


@dataclass(frozen=True)
class LoadedBenchmark:
    """A definition and the folder in which the files that it names lie. where: names it in
    messages.
    """

    definition: Benchmark
    folder: Path
    where: str


def load_benchmark(file: Path) -> LoadedBenchmark:
    """Read a definition, and of the files that it names the hashes that it does not state; their
    items are read by `pipeline.judges.annotators.evaluation_sets`.

    Raises:
        RecipeError: it cannot be read or is malformed: every fault with file and line.
    """
    return hashed_benchmark(validate(Benchmark, load_yaml(file)), file.parent, str(file))


def hashed_benchmark(definition: Benchmark, folder: Path, where: str) -> LoadedBenchmark:
    """A definition, with the hashes of its files that it does not state.

    Args:
        folder: of the files. where: names the definition in messages.

    Raises:
        RecipeError: a file cannot be read.
    """
    files = tuple(
        one
        if one.sha256
        else one.model_copy(update={"sha256": sha256_of(folder / one.path, where)})
        for one in definition.files
    )
    return LoadedBenchmark(definition.model_copy(update={"files": files}), folder, where)


class Item(NamedTuple):
    """One item of an evaluation set. where: its file and line (jsonl) or row (parquet), both from
    1.
    """

    where: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationSet:
    """A definition and the items that its files hold, in their order."""

    definition: Benchmark
    items: tuple[Item, ...]


class Match(NamedTuple):
    """A document holds `found` of the `total` n-grams of an item. set: the definition's name; item:
    as `Item.where`.
    """

    set: str
    item: str
    found: int
    total: int


def item_texts(columns: ItemColumns, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The texts of the item in a row: the question, and the question followed by the right answer
    (or by each possible one).

    Raises:
        InputError: a column is missing or of another type, or the answer's index points at no
            choice. Values are not shown.
    """
    question = _text(row, columns.question, where)
    if not columns.choices:
        return (question,)
    if len(columns.choices) == 1:
        choices = _texts(row, columns.choices[0], where)
    else:
        choices = [_text(row, column, where) for column in columns.choices]
    if columns.answer is not None:
        choices = [choices[_index(row, columns.answer, len(choices), where)]]
    return (question, *(f"{question} {choice}" for choice in choices))


def _value(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise InputError(
            f"{where}: has no column {column!r}, only {describe(', '.join(row))}; name the columns"
            " that the file has"
        )
    return row[column]


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = _value(row, column, where)
    if not isinstance(value, str):
        raise InputError(
            f"{where}: column {column!r} holds {type(value).__name__}, not text; mend the row, or"
            " name another column"
        )
    return value


def _texts(row: Mapping[str, Any], column: str, where: str) -> list[str]:
    value = _value(row, column, where)
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(choice, str) for choice in value)
    ):
        raise InputError(
            f"{where}: column {column!r} is not a list of texts; mend the row, or name another"
            " column"
        )
    return value


def _index(row: Mapping[str, Any], column: str, num_choices: int, where: str) -> int:
    value = _value(row, column, where)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < num_choices:
        raise InputError(
            f"{where}: column {column!r} is no index of one of {num_choices} choices, counted from"
            " 0; mend the row, or leave out `answer` (then every choice is looked for) if the set"
            " has no labels"
        )
    return value


def needed(total: int, overlap: Decimal) -> int:
    """How many of its `total` n-grams a document must hold to be contaminated by an item: at least
    one.
    """
    return max(1, math.ceil(Fraction(overlap) * total))
