"""Types of arguments, and options, that several commands have. Nothing heavy is imported before a
command runs.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from mixtures.trainers.names import TRAINERS
from pipeline.places.places import SCHEMES, WRITABLE, Place, is_url, parse_url

if TYPE_CHECKING:
    from mixtures.recipe.loaded import LoadedRecipe
    from mixtures.stream.arms.study import LoadedStudy
    from mixtures.stream.quotas import Size
    from pipeline.inputs.listing import DataFolders

DEFAULT_STORE = "annealmix-store"

MAX_NUMBER = 1 << 63  # what is counted is held in 64 bits, often signed

Options = argparse._ActionsContainer
"""A command, or a group of its options."""


class Help(argparse.HelpFormatter):
    """Paragraphs are filled, lines that are indented stand as they were written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = text.splitlines()
        return "\n".join(
            line if line.startswith("  ") else textwrap.fill(line, width) for line in lines
        )


class Parser(argparse.ArgumentParser):
    """Says which word it does not know before it says what is missing."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's own, which hands a command the words after its name."""
        for word in args or ():
            if word == "--":
                break
            if not word.startswith("--"):
                if self._subparsers is not None and not word.startswith("-"):
                    self._check_command(word)
                    break
                continue
            name = word.partition("=")[0]
            known = [option for option in self._option_string_actions if option.startswith("--")]
            if " " not in word and not any(option.startswith(name) for option in known):
                self._refuse(f"unknown option {name!r}", name, known)
        return super().parse_known_args(args, namespace)

    def _check_command(self, word: str) -> None:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and word not in action.choices:
                self._refuse(f"unknown command {word!r}", word, list(action.choices))

    def _refuse(self, what: str, word: str, known: Sequence[str]) -> None:
        from difflib import get_close_matches

        # --output begins as --out does, and is as close to --tokens by its letters
        begun = [option for option in known if option != "--" and word.startswith(option)]
        close = begun or get_close_matches(word, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        self.exit(
            RecipeError.exit_code,
            f"{self.prog}: error: {what}{hint} `{self.prog} --help` lists what is known\n",
        )


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    *examples: str,
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        what: it does, in a line. examples: command lines that can be given as they stand.
    """
    return commands.add_parser(
        name, help=what, description=what, epilog=example_text(examples), formatter_class=Help
    )


def example_text(examples: Sequence[str]) -> str:
    """The end of a help: command lines that can be given as they stand."""
    return "\n".join(
        ["example:" if len(examples) == 1 else "examples:", *(f"  {line}" for line in examples)]
    )


def data_folder(text: str) -> tuple[str | None, Place]:
    """`NAME=DIR` or `DIR`; a folder whose name has the form of the former is written
    `./NAME=DIR`.
    """
    name, equals, folder = text.partition("=")
    if equals and re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        if not folder:
            raise argparse.ArgumentTypeError(f"{text!r} names no folder; write {name}=DIR")
        return name, readable(folder)
    return None, readable(text)


def whole_number(text: str) -> int:
    """A whole number from 0 on; digits may be grouped by underscores."""
    plain = re.fullmatch(r"[0-9][0-9_]{0,24}", text, re.ASCII)
    number = int(text.replace("_", "")) if plain else MAX_NUMBER
    if number >= MAX_NUMBER:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number from 0 to below 2^63"
        )
    return number


def positive(text: str) -> int:
    """As `whole_number`, above 0."""
    try:
        number = whole_number(text)
    except argparse.ArgumentTypeError:
        number = 0
    if not number:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number above 0 and below 2^63"
        )
    return number


def add_option(
    command: Options,
    name: str,
    value: str,
    what: str,
    kind: Callable[[str], Any] = str,
    **more: Any,
) -> None:
    """Add an option, or an argument, with a value.

    Args:
        value: stands for it in the help. what: it is, for the help. kind: makes it of a word.
            more: as of argparse.
    """
    command.add_argument(name, metavar=value, help=what, type=kind, **more)


def add_flag(command: Options, name: str, what: str, default: bool | None = False) -> None:
    """Add an option without a value. what: it does, for the help. default: what it is if it is not
    given.
    """
    command.add_argument(name, action="store_true", default=default, help=what)


def add_data(command: Options, what: str, option: str = "--data") -> None:
    """Add an option whose folders `data_folders` reads. what: it does."""
    what += (
        "; SOURCE=DIR, as often as needed: DIR holds the files of that source definition alone; DIR"
        " may be a URL"
    )
    add_option(command, option, "DIR|SOURCE=DIR", what, data_folder, action="append", default=[])


def data_folders(options: argparse.Namespace, option: str = "--data") -> DataFolders:
    """The folders of an option.

    Raises:
        RecipeError: one is given twice.
    """
    from pipeline.inputs.listing import DataFolders

    folders: dict[str | None, Place] = {}
    for name, folder in getattr(options, option.removeprefix("--")):
        if name in folders:
            raise RecipeError(
                f"{option} {f'{name}=' if name else ''}...: given twice; keep one folder"
            )
        folders[name] = folder.absolute()
    return DataFolders(
        folders.get(None), {name: folder for name, folder in folders.items() if name is not None}
    )


def local_path(text: str) -> Path:
    """A folder or file of this machine's file systems."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            "the path is not UTF-8; plans and manifests could not name it"
        ) from None
    if is_url(text):
        raise argparse.ArgumentTypeError("a URL is not allowed here; name a local folder or file")
    return Path(text)


def readable(text: str) -> Place:
    """A folder to read from, which may be the hub's."""
    return _place(text, SCHEMES)


def written(text: str) -> Place:
    """A folder that annealmix writes."""
    return _place(text, WRITABLE)


def _place(text: str, allowed: tuple[str, ...]) -> Place:
    try:
        return parse_url(text, allowed) if is_url(text) else local_path(text)
    except RecipeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_cache(command: Options) -> None:
    """Add --cache."""
    what = "working copies of remote stores and mixes (~/.cache/annealmix)"
    add_option(command, "--cache", "DIR", what, local_path)


def add_json(command: Options, what: str) -> None:
    """Add --json, which prints `what`."""
    add_flag(command, "--json", f"print {what}")


def add_store_folder(
    command: Options,
    what: str,
    *,
    folder: Callable[[str], Place] = local_path,
    default: Path | None = None,
) -> None:
    """Add --store. what: its help. folder: the type of its argument."""
    add_option(command, "--store", "DIR", what, folder, default=default)


def add_tokenizer(command: Options, what: str, *, file: Callable[[str], Path] = local_path) -> None:
    """Add --tokenizer. what: its help. file: the type of its argument."""
    add_option(command, "--tokenizer", "FILE", what, file)


def add_actions(
    command: argparse.ArgumentParser, metavar: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Let a command have commands of its own; given without one, it prints its help and exits with
    2, so that a script whose words got lost does not go on.
    """

    def help_alone(options: argparse.Namespace) -> int:
        command.print_help()
        return RecipeError.exit_code

    command.set_defaults(command=help_alone)
    return command.add_subparsers(metavar=metavar, title="commands", parser_class=Parser)


def add_filters_folder(command: Options, what: str) -> None:
    """Add --filters. what: its help."""
    add_option(command, "--filters", "DIR", what, local_path)


def add_filters(command: Options) -> None:
    """Add --filters and --removed to a command that is given a recipe."""
    add_filters_folder(
        command, "folder of filters that recipes name: DIR/NAME.yaml or DIR/NAME/filter.yaml"
    )
    command.add_argument(
        "--removed",
        choices=("refill", "shrink"),
        help=(
            "what follows where filters remove documents, whatever the recipe says: the next ones"
            " fill the quota, or the mix shrinks"
        ),
    )


def add_size(command: Options) -> None:
    """Add --scale, --tokens and --steps, read by `size_of`."""
    group = command.add_mutually_exclusive_group()
    what = "a preview of so much of the recipe, in the same proportions: 0 < F <= 1"
    add_option(group, "--scale", "F", what, _share)
    size = partial(add_option, group, kind=positive)
    size("--tokens", "N", "a preview of N tokens, in the same proportions")
    size("--steps", "N", "as many tokens as N steps of a trainer take, in the same proportions")
    option = partial(add_option, command, kind=positive)
    option("--batch", "B", "with --steps: sequences of a step (the recipe's, or 2048)")
    option("--sequence", "L", "with --steps: tokens of a sequence (the recipe's, or 2048)")
    command.add_argument(
        "--trainer", choices=TRAINERS, help="with --steps: whose they are (the recipe's, or neox)"
    )


def _share(text: str) -> Fraction:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,30})?|[0-9]{1,18}/[0-9]{1,18}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 0.01 or 1/100")
    try:
        share = Fraction(text)
    except ZeroDivisionError:
        raise argparse.ArgumentTypeError(f"{text!r} divides by 0") from None
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 1")
    return share


def size_of(options: argparse.Namespace, recipe: LoadedRecipe) -> Size:
    """The size that is asked for. Steps that the recipe's own budget names are its full size.

    Raises:
        RecipeError: options of --steps without it.
    """
    from mixtures.stream.quotas import sized

    own = {name: getattr(options, name) for name in ("batch", "sequence", "trainer")}
    idle = [f"--{name}" for name, value in own.items() if value is not None]
    if idle and options.steps is None:
        raise RecipeError(f"{', '.join(idle)}: only with --steps; add it, or leave this out")
    return sized(
        recipe.recipe, scale=options.scale, tokens=options.tokens, steps=options.steps, **own
    )


def recipe_of(options: argparse.Namespace) -> LoadedRecipe:
    from mixtures.recipe.load import load_recipe
    from pipeline.tokens.find import fetcher

    recipe = load_recipe(options.recipe, options.filters, fetcher(options.tokenizer))
    return recipe.with_removed(options.removed) if options.removed else recipe


def study_of(options: argparse.Namespace) -> LoadedStudy | None:
    """The study that a command is given instead of a recipe; None of a recipe."""
    if not options.recipe.endswith((".yaml", ".yml")):
        return None

    from mixtures.stream.arms.load import is_study, load_study
    from pipeline.tokens.find import fetcher

    file = Path(options.recipe)
    if not is_study(file):
        return None
    if options.removed:
        raise RecipeError(
            f"{file}: in an aligned arm a donor stands where a document is removed; leave out"
            " --removed"
        )
    return load_study(file, options.filters, fetcher(options.tokenizer))
