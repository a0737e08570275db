"""What a recipe says of evaluation sets: which ones, and what becomes of documents that hold an
item of them.

A document that holds enough n-grams of an item (`mixtures.rules.benchmark`) is contaminated.
Whether it is does not depend on filters, so arms of a study that differ in their filters are
decontaminated alike; and the place of one that is dropped is always taken by the next document,
also where filters leave gaps (`removed: shrink`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mixtures.rules.benchmark import LoadedBenchmark
from mixtures.yaml.fields import LocalPath, Model, describe, is_file_reference

CONTAMINATED = "contaminated"
"""The reason in waterfalls."""


def _file(value: str) -> str:
    if not is_file_reference(value):
        raise ValueError(
            f"{describe(value)} is no file of an evaluation set; write a path below the recipe's"
            " folder that ends in .yaml"
        )
    return value


class Decontamination(Model):
    """sets: files that describe evaluation sets (`mixtures.rules.benchmark.Benchmark`), below
    the recipe's folder.

    action: `drop` contaminated documents, or only `report` them.
    """

    sets: Annotated[
        tuple[Annotated[LocalPath, AfterValidator(_file)], ...], Field(min_length=1, max_length=64)
    ]
    action: Literal["drop", "report"] = "drop"


def canonical_decontamination(
    asked: Decontamination, benchmarks: tuple[LoadedBenchmark, ...]
) -> dict[str, object]:
    """What it asks, for a recipe's digest."""
    sets = [
        {"name": item.definition.name, "identity": item.definition.identity} for item in benchmarks
    ]
    return {"sets": sets, "action": asked.action}
