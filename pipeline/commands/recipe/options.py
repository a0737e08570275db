"""What `annealmix init` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.options import add_command, local_path, positive


def add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `init`."""
    init = add_command(
        commands,
        "init",
        "look into a folder, or a data set of the hub, and write a recipe of it that builds",
        "annealmix init data --out mine.yaml",
    )
    init.add_argument(
        "dataset", metavar="DIR|OWNER/NAME", help="a folder, or a data set of the hub"
    )
    init.add_argument(
        "--out",
        type=local_path,
        metavar="FILE",
        help="the recipe (NAME.yaml, in a folder that DIR lies below)",
    )
    init.add_argument(
        "--tokenizer",
        metavar="NAME|FILE|OWNER/NAME",
        help=(
            "of the recipe: one that is shipped, a tokenizer.json below the recipe's folder, or one"
            " of the hub (one that is found there, else gpt-neox-20b)"
        ),
    )
    init.add_argument(
        "--tokens",
        type=positive,
        metavar="N",
        help="a budget, which the sources share by weight (without it all of them is taken)",
    )
    init.add_argument("--yes", action="store_true", help="write the recipe without asking")
    init.set_defaults(command=_init)


def _init(options: argparse.Namespace) -> int:
    from pipeline.commands.recipe.init import InitRequest, init

    init(
        InitRequest(
            options.dataset,
            options.out if options.out is None else Path(options.out),
            options.tokenizer,
            options.tokens,
            ask=not options.yes,
        )
    )
    return 0
