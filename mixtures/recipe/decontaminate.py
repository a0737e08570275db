"""What a recipe says of evaluation sets: which ones, and what becomes of documents that hold an
item of them.

A document that holds enough n-grams of an item (`mixtures.rules.benchmark`) is contaminated.
Whether it is does not depend on filters, so arms of a study that differ in their filters are
decontaminated alike; and the place of one that is dropped is always taken by the next document,
also where filters leave gaps (`removed: shrink`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from mixtures.rules.benchmark import Benchmark, LoadedBenchmark
from mixtures.yaml.fields import LocalPath, Model, describe, is_file_reference

CONTAMINATED = "contaminated"
"""The reason in waterfalls."""


def _file(value: str) -> str:
    if not is_file_reference(value):
        raise ValueError(
            f"{describe(value)} is no file of an evaluation set; write a path below the recipe's"
            " folder that ends in .yaml, or the set itself: {name, files, format, columns}"
        )
    return value


EvaluationSetField = Annotated[
    Annotated[Benchmark, Tag("set")] | Annotated[LocalPath, AfterValidator(_file), Tag("file")],
    Discriminator(lambda value: "file" if isinstance(value, str) else "set"),
]
"""An evaluation set, or the file that it stands in."""


class Decontamination(Model):
    """sets: evaluation sets (`mixtures.rules.benchmark.Benchmark`), each a file below the recipe's
    folder, or the set itself, whose files then are.

    action: `drop` contaminated documents, or only `report` them.
    """

    sets: Annotated[tuple[EvaluationSetField, ...], Field(min_length=1, max_length=64)]
    action: Literal["drop", "report"] = "drop"


def canonical_decontamination(
    asked: Decontamination, benchmarks: tuple[LoadedBenchmark, ...]
) -> dict[str, object]:
    """What it asks, for a recipe's digest."""
    sets = [
        {"name": item.definition.name, "identity": item.definition.identity} for item in benchmarks
    ]
    return {"sets": sets, "action": asked.action}
