"""The lock file of a recipe, NAME.lock.yaml beside NAME.yaml: hashes that nobody should compute by
hand, written by `annealmix lock`. Whoever reads the recipe is refused what differs from it.

```yaml
format: 1
tokenizer: {name: my, digest: 5ef4..., eod: "</s>", eod_id: 2, vocab_size: 32000}
filters: {control-lists: 5d7b...}              # sha256 of the terms
evaluation_sets: {mmlu: [f658...]}             # sha256 of each file
```

A tokenizer of the hub also has its commit, which is then the one that is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from mixtures.errors import ManifestError
from mixtures.yaml.disk import lies_there, shown
from mixtures.yaml.fields import Integer, Line, Model, Name, Positive, Text
from mixtures.yaml.tree import load_yaml, validate

LOCK_FORMAT = 1


class LockedTokenizer(Model):
    """What a tokenizer was."""

    name: Name
    digest: Text
    commit: Line | None = None
    """Of its repository on the hub."""
    eod: Line
    eod_id: Integer
    bos: Line | None = None
    bos_id: Integer | None = None
    vocab_size: Positive


class Lock(Model):
    """What a recipe's files were."""

    format: Integer
    tokenizer: LockedTokenizer
    filters: dict[Name, Text] = Field(default_factory=dict)
    """sha256 of the terms, by the filter's name, of those that were at hand."""
    evaluation_sets: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    """sha256 of each file, by the set's name."""

    def as_yaml(self) -> str:
        """The text of the lock file, without a comment."""
        lines: list[str] = []
        for name, value in self.model_dump(mode="json", exclude_none=True).items():
            if isinstance(value, dict):
                items = [f"  {key}: {_said(item)}" for key, item in value.items()]
                lines += [f"{name}:", *items] if items else []
            else:
                lines.append(f"{name}: {_said(value)}")
        return "\n".join(lines) + "\n"


def lock_file(recipe: Path) -> Path:
    """Where the lock file of a recipe is, or would be."""
    return recipe.with_name(f"{recipe.stem}.lock.yaml")


def read_lock(recipe: Path) -> Lock | None:
    """The lock of a recipe; None: it has none.

    Raises:
        RecipeError: the file is malformed: every fault with file and line.
        ManifestError: it is of another format.
    """
    file = lock_file(recipe)
    if not lies_there(file):  # a link to nothing is a lock that is lost, not none
        return None
    lock = validate(Lock, load_yaml(file))
    if lock.format != LOCK_FORMAT:
        raise ManifestError(
            f"{shown(file)}: format {lock.format}, this version reads {LOCK_FORMAT}; run"
            f" `annealmix lock {shown(recipe)}`"
        )
    return lock


def require_locked(lock: Lock, found: Lock, recipe: Path) -> None:
    """Hold what a recipe reads against its lock.

    Args:
        found: the lock that would be written now.

    Raises:
        ManifestError: lists all that differs.
    """
    faults = list(_differences("", lock.model_dump(), found.model_dump()))
    if faults:
        file = shown(lock_file(recipe))
        raise ManifestError(
            "\n".join(f"{file}: {fault}" for fault in faults)
            + f"\nrestore what was locked, or accept it with `annealmix lock {shown(recipe)}`"
        )


def _differences(where: str, locked: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*locked, *found}):
        here, there = locked.get(name), found.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            yield from _differences(f"{where}{name}.", here, there)
        elif here != there:
            yield f"{where}{name} is {_said(there)}, locked is {_said(here)}"


def _said(value: Any) -> str:
    return "not there" if value is None else json.dumps(value, ensure_ascii=False)
