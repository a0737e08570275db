"""What `annealmix init` does. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from pipeline.commands.options import add_command, add_flag, add_option, local_path, positive


def add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `init`."""
    init = add_command(
        commands,
        "init",
        "look into a folder, or a data set of the hub, and write a recipe of it that builds",
        "annealmix init data --out mine.yaml",
    )
    option = partial(add_option, init)
    option("dataset", "DIR|OWNER/NAME", "a folder, or a data set of the hub")
    option("--out", "FILE", "the recipe (NAME.yaml, in a folder that DIR lies below)", local_path)
    option(
        "--tokenizer",
        "NAME|FILE|OWNER/NAME",
        "of the recipe: one that is shipped, a tokenizer.json below the recipe's folder, or one"
        " of the hub (one that is found there, else gpt-neox-20b)",
    )
    what = "a budget, which the sources share by weight (without it all of them is taken)"
    option("--tokens", "N", what, positive)
    add_flag(init, "--yes", "write the recipe without asking")
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
