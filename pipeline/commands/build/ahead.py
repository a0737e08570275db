"""The workers of a build, begun before its recipe is read: the server that they are forked from
takes longer to start than the builder to know their work.

Whether there will be work for several is guessed from the recipe's text as it stands. A wrong guess
takes a second of another core, or begins the server a little later; nothing else hangs on it.
"""

from __future__ import annotations

import argparse
import os
import re
from contextlib import suppress
from pathlib import Path

import recipes
from pipeline.executors.server import begin_server
from pipeline.places.places import default_cache

LARGE_TOKENS = 8_000_000
"""Tokens of a mix whose ingest takes longer than a second worker takes to start."""
_MOST_BYTES = 1 << 18
"""Of a recipe (mixtures.yaml.events.MAX_BYTES, whose import costs what is to be saved)."""
_BUDGET = re.compile(r"^budget: *\{ *(tokens|steps): *([\d_]+)", re.MULTILINE)
_TOKENIZER = re.compile(r"^tokenizer: *([\w.-]+) *(?:#|$)", re.MULTILINE)


def begin_ahead(options: argparse.Namespace) -> None:
    """Begin the server, if a large mix seems to be asked for of a new store, by several workers."""
    several = (options.workers or os.cpu_count() or 1) > 1 and options.tasks != 1
    if not several or not is_new(options) or options.scale or options.steps:
        return
    file = Path(options.recipe)
    if file.suffix not in (".yaml", ".yml"):
        file = Path(recipes.__file__).parent / f"{options.recipe}.yaml"
    with suppress(OSError, ValueError):  # whoever reads the recipe tells
        if not file.is_file():  # a pipe would be waited for, a device read without end
            return
        with file.open("rb") as recipe:
            text = recipe.read(_MOST_BYTES).decode()
        budget, name = _BUDGET.search(text), _TOKENIZER.search(text)
        if not budget:
            return
        tokens = options.tokens or int(budget[2]) * (1 if budget[1] == "tokens" else LARGE_TOKENS)
        kept = default_cache() / "tokenizers" / f"{name[1]}.json" if name else None
        tokenizer = options.tokenizer or kept
        if tokens >= LARGE_TOKENS and tokenizer and tokenizer.is_file():
            begin_server(tokenizer)


def is_new(options: argparse.Namespace) -> bool:
    """Whether nothing is in the store."""
    return not (isinstance(options.store, Path) and options.store.exists())
