"""What `annealmix store` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline.commands.options import (
    DEFAULT_STORE,
    add_actions,
    add_command,
    add_json,
    add_store_folder,
)


def add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `store` with its actions."""
    store = add_command(
        commands,
        "store",
        "look at a token store, or free the space of selections, logs and left-overs",
        "annealmix store ls",
    )
    actions = add_actions(store, "ACTION")
    ls = add_command(
        actions, "ls", "what a store holds: sources, groups, tokens", "annealmix store ls"
    )
    gc = add_command(
        actions,
        "gc",
        "delete what can be made again without reading a source; tokens and ledgers stay",
        "annealmix store gc --dry-run",
    )
    gc.add_argument(
        "--dry-run", action="store_true", help="say what would be deleted, and delete nothing"
    )
    for action, command in ((ls, _ls), (gc, _gc)):
        add_store_folder(action, f"the store ({DEFAULT_STORE})", default=Path(DEFAULT_STORE))
        add_json(action, "as JSON")
        action.set_defaults(command=command)


def _ls(options: argparse.Namespace) -> int:
    from pipeline.commands.store.store import list_contents

    list_contents(_there(options.store), as_json=options.json)
    return 0


def _gc(options: argparse.Namespace) -> int:
    from pipeline.commands.store.store import collect

    collect(_there(options.store), dry_run=options.dry_run, as_json=options.json)
    return 0


def _there(store: Path) -> Path:
    if not (store / "store.json").is_file():
        raise RecipeError(f"{store}: no store there; name one with --store DIR")
    return store
