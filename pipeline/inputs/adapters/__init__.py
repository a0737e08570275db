"""Adapters: how a row becomes a training text, as a source definition says: by an adapter's name or
by a text expression (`mixtures.rules.text_expression`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.adapters.expression import expression_adapter, expression_columns
from pipeline.inputs.adapters.named import named_adapter, named_columns
from pipeline.inputs.adapters.rows import AdaptRow, NeededColumn, bad_field

SelectRow = Callable[[Mapping[str, Any]], bool]


def adapter_columns(definition: SourceDefinition) -> tuple[NeededColumn, ...]:
    """Columns that make the text, in its order."""
    if definition.adapter is not None:
        return named_columns(definition.adapter)
    return expression_columns(definition.text or ())


def needed_columns(
    definition: SourceDefinition, columns: tuple[NeededColumn, ...] | None = None
) -> tuple[NeededColumn, ...]:
    """Columns that are read from the files: those of the text (or those given in their place), then
    those of `where`, each once.
    """
    columns = adapter_columns(definition) if columns is None else columns
    texts = {column.path for column in columns}
    where = [NeededColumn((name,), "plain") for name in definition.where if (name,) not in texts]
    return tuple(dict.fromkeys((*columns, *where)))


def make_adapter(definition: SourceDefinition, counts: Counter[str] | None = None) -> AdaptRow:
    """The function that turns a row (column name -> value) of this source into its training text.

    Args:
        counts: where rows without an optional column are counted (`expression_adapter`).

    Raises: (the function) BadRecord with the reasons missing-field, null-field, number, not-text.
    """
    if definition.adapter is not None:
        return named_adapter(definition.adapter)
    return expression_adapter(definition.text or (), Counter() if counts is None else counts)


def make_selector(definition: SourceDefinition) -> SelectRow | None:
    """The function that says if `where` keeps a row; None if the definition keeps all.

    A whole number is compared as its decimal digits, true and false as those words. A row without
    the column, or with null or another type in it, raises BadRecord: a row that cannot be judged is
    neither kept nor counted as judged.
    """
    if not definition.where:
        return None
    allowed = tuple((column, frozenset(values)) for column, values in definition.where.items())

    def select(row: Mapping[str, Any]) -> bool:
        return all(_comparable(row, column) in values for column, values in allowed)

    return select


def _comparable(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise bad_field(row, column)
