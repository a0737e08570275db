"""Glob patterns of a source definition: which files of a listing they choose."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixtures.errors import InputError
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.file import SUFFIXES


def matches(
    definition: SourceDefinition, where: str, packed: Sequence[str], patterns: Sequence[str]
) -> list[str]:
    """Paths that one of the patterns matches, sorted, each once.

    Args:
        where: the folder or repository. packed: paths of files of the format.

    Raises:
        InputError: a pattern matches none: half a source would otherwise look like a whole one.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        expression = glob_expression(pattern)
        matched = [path for path in packed if expression.fullmatch(path)]
        if not matched:
            raise InputError(
                f"source {definition.name}: {pattern!r} matches no"
                f" {' or '.join(SUFFIXES[definition.format][:6])} file of {where} ({len(packed)}"
                " such files there); mend the pattern"
                + (", or the revision" if definition.repo else "")
            )
        chosen.update(matched)
    return sorted(chosen)


def glob_expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**/` any folders, `*` and `?` within one name, `[...]` one
    of these characters.
    """
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = ""
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.", pattern, re.DOTALL):
        if piece in parts:
            expression += parts[piece]
        elif len(piece) > 1:
            body = piece[1:-1].replace("\\", "\\\\")
            expression += f"[{'^' + body[1:] if body[0] == '!' else body}]"
        else:
            expression += re.escape(piece)
    return re.compile(expression, re.DOTALL)


def is_glob(pattern: str) -> bool:
    """Whether a pattern may match several paths."""
    return any(char in pattern for char in "*?[")
