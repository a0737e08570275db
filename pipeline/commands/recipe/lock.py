"""`annealmix lock`: the hashes that a recipe is held to, written beside it."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.options import add_command, add_filters_folder, add_tokenizer


def add_lock(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `lock`."""
    lock = add_command(
        commands,
        "lock",
        "write NAME.lock.yaml beside a recipe: hashes of its tokenizer, terms and evaluation sets",
        "annealmix lock recipe.yaml",
    )
    lock.add_argument("recipe", metavar="RECIPE", help="a YAML file")
    add_filters_folder(
        lock, "folder of filters that recipes name: DIR/NAME.yaml or DIR/NAME/filter.yaml"
    )
    add_tokenizer(lock, "the tokenizer.json of a recipe that names one of the hub")
    lock.set_defaults(command=_lock)


def _lock(options: argparse.Namespace) -> int:
    from mixtures.errors import RecipeError
    from mixtures.recipe.load import list_recipes, load_recipe
    from mixtures.rules.lock import lock_file
    from pipeline.report import say
    from pipeline.store.records import write_whole
    from pipeline.tokens.find import fetcher

    if options.recipe in list_recipes():
        raise RecipeError(
            f"{options.recipe}: a shipped recipe states its hashes; copy it to a file to lock that"
        )
    recipe = load_recipe(
        options.recipe, options.filters, fetcher(options.tokenizer), honour_lock=False
    )
    lock, file = recipe.lock(), lock_file(recipe.file)
    comment = f"# By `annealmix lock {recipe.file.name}`; what differs from it is refused.\n"
    write_whole(file, (comment + lock.as_yaml()).encode())
    for item in recipe.filters:
        if item.bundle is None:
            say(f"{item.name}: not at hand, so it is not locked; give it with --filters")
    sys.stdout.write(lock.as_yaml())
    say(f"written to {file}")
    return 0
