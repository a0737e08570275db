"""What `annealmix store` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline.commands.options import DEFAULT_STORE, add_json, add_store_folder


def add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    store = commands.add_parser(
        "store", help="look at a token store, or free the space of selections, logs and left-overs"
    )
    store.add_argument(
        "action",
        choices=("ls", "gc"),
        help=(
            "ls: sources, groups, tokens; gc: delete what can be made again without reading a"
            " source"
        ),
    )
    add_store_folder(store, f"the store ({DEFAULT_STORE})", default=Path(DEFAULT_STORE))
    add_json(store, "as JSON")
    store.set_defaults(command=_store)


def _store(options: argparse.Namespace) -> int:
    from pipeline.commands.store.store import collect, list_contents

    if not (options.store / "store.json").is_file():
        raise RecipeError(f"{options.store}: no store there; name one with --store DIR")
    if options.action == "ls":
        list_contents(options.store, as_json=options.json)
    else:
        collect(options.store, as_json=options.json)
    return 0
