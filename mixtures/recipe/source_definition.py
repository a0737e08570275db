"""A source definition: where a corpus is published, if it is, and how one of its rows becomes one
training text.

The definitions that annealmix ships are `recipes/sources/NAME.yaml`. What is listed in `identity`
decides the training texts and therefore keys the token store; the rest (licence, published counts,
notes) may be mended without reading a source again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mixtures.errors import RecipeError
from mixtures.rules.text_expression import Expression
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Line,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Text,
    describe,
)

Format = Literal["found", "jsonl", "jsonl.gz", "jsonl.zst", "parquet", "zip", "datasets"]
"""found: each file as its ending says, which its content must not contradict."""
Adapter = Literal["text", "flan", "title-text", "title-abstract", "question-answer", "camel"]

NOT_GIVEN = "not given"
"""The licence of a source whose definition states none."""
Split = Literal["train", "validation", "test"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def _repo(value: str) -> str:
    if not _REPO.fullmatch(value):
        raise ValueError(f"{describe(value)} is not a dataset repository; write OWNER/NAME")
    return value


class Conversion(Model):
    """How tokens of a published size count in another tokenizer.

    ratio: tokens of that tokenizer for one published token. note: where the ratio comes from.
    """

    ratio: Annotated[Exact, Field(gt=0, le=100)]
    note: Line


class PublishedSize(Checked):
    """Documents and tokens (without EOD) that the publisher or a paper states; estimates are for
    plans only.

    tokenizer: that counted the tokens, by the name of its definition, or as the publisher calls it;
        absent: the publisher names none.
    converted: by tokenizer, how its tokens follow from the published ones.
    note: where the figures come from, and what about them is estimated.
    """

    documents: Positive
    tokens: Positive
    tokenizer: Name | None = None
    converted: dict[Name, Conversion] = Field(default_factory=dict)
    note: Text = ""

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Nothing is converted to the tokenizer that counted."""
        converted, tokenizer = given.get("converted"), given.get("tokenizer")
        if isinstance(converted, Mapping) and isinstance(tokenizer, str) and tokenizer in converted:
            yield ("converted", tokenizer), "is the tokenizer that counted; remove it"

    def tokens_of(self, tokenizer: str) -> tuple[int, str]:
        """Tokens as a tokenizer would count them, and how they are known: `published`, with the
        ratio that they were converted by, or with the tokenizer that counted, where no ratio is
        known.
        """
        if self.tokenizer == tokenizer:
            return self.tokens, "published"
        counted = f"published, by {self.tokenizer or 'a tokenizer without a name'}"
        if conversion := self.converted.get(tokenizer):
            tokens = int(self.tokens * Fraction(conversion.ratio))
            return tokens, f"{counted} x {conversion.ratio:f}"
        return self.tokens, counted


class DatasetsSplit(Model):
    """The configuration and split that `datasets.load_dataset(repo, config, split=split)` reads
    (format `datasets`).
    """

    config: Line | None = None
    split: Line = "train"


class HubSplit(Model):
    """A split of a data set of the hub, read by the library `datasets`."""

    repo: Annotated[Line, AfterValidator(_repo)]
    revision: Line = "main"
    config: Line | None = None
    split: Line = "train"


Where = dict[Line, Annotated[tuple[Line, ...], Field(min_length=1)]]
"""Columns, and the values that select a row."""


class SourceDefinition(Checked):
    """One corpus.

    repo, revision: Hugging Face dataset repository and the commit that is read.  A revision that is
        not a commit (`main`) is
        resolved when a store first meets it, and frozen there.  Both absent: published nowhere, so
            the user brings the files.
    paths: glob patterns below the repository's root, or the folder's (`**` crosses folders); none
        for the format `datasets`.
    splits: of files whose paths name splits, those that are read; empty: no other than one split
        may be there. partial: whether shards may be missing that the names of others count.
    format: how the files are packed; adapter or text: how a row becomes a text, by an adapter's
        name or by an expression (`mixtures.rules.text_expression`).
    folder: where the files lie below `--data`, if not in a folder of the definition's name: for
        definitions that read one corpus.
    where: rows are read only if each named column is one of the listed values; the others are
        counted, not kept.
    """

    name: Name
    description: Text = ""
    repo: Annotated[Line, AfterValidator(_repo)] | None = None
    revision: Line | None = None
    paths: tuple[LocalPath, ...] = ()
    splits: tuple[Split, ...] = ()
    partial: Flag = False
    format: Format = "found"
    adapter: Adapter | None = None
    text: Expression | None = None
    where: Where = Field(default_factory=dict)
    datasets: DatasetsSplit | None = None
    folder: Name | None = None
    licence: Line = NOT_GIVEN
    non_commercial: Flag = False
    published: PublishedSize | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Files are found by paths, or by the `datasets` library with its own rules; what is not
        published is found by neither.
        """
        by_library = given.get("format") == "datasets"
        if ("repo" in given) != ("revision" in given):
            yield (
                (),
                "gives one of repo and revision; give both, or neither if the user brings the"
                " files",
            )
        if "repo" not in given:
            if by_library:
                yield (
                    ("format",),
                    "datasets reads a repository; add repo and revision, or give the files' own"
                    " format",
                )
        elif not by_library and not given.get("paths"):
            yield (
                (),
                "paths is missing or empty; give at least one pattern of files below the"
                " repository's root",
            )
        if ("adapter" in given) == ("text" in given):
            yield (
                (),
                "gives both adapter and text; keep one of them"
                if "text" in given
                else "does not say how a row becomes a text; give text: COLUMN (or an adapter)",
            )
        for field in ("paths", "splits", "partial"):
            if by_library and field in given:
                yield (
                    (field,),
                    "does not belong to the format datasets; remove it, or give the files' own"
                    " format",
                )
        if not by_library and "datasets" in given:
            yield (
                ("datasets",),
                "belongs to the format datasets; remove it, or write format: datasets",
            )

    @property
    def files_folder(self) -> str:
        """Name of the folder below `--data` that holds its files."""
        return self.folder or self.name

    @property
    def origin(self) -> str:
        """REPO@REVISION, or that the user brings the files."""
        return f"{self.repo}@{self.revision}" if self.repo else "brought by the user"

    @property
    def repository(self) -> tuple[str, str]:
        """Repository and revision.

        Raises:
            RecipeError: it is published nowhere.
        """
        if self.repo is None or self.revision is None:
            raise RecipeError(
                f"source {self.name} is published nowhere: bring its files, and name their"
                f" folder, --data {self.name}=DIR"
            )
        return self.repo, self.revision

    def identity(self) -> dict[str, object]:
        """What decides the training texts: JSON-able, keyed into the store. Where the files lie is
        not part of it.
        """
        return {
            "name": self.name,
            "format": self.format,
            **(
                {"text": [part.canonical() for part in self.text or ()]}
                if self.adapter is None
                else {"adapter": self.adapter}
            ),
            "where": {column: sorted(values) for column, values in sorted(self.where.items())},
            "datasets": self.datasets.model_dump() if self.datasets else None,
        }
