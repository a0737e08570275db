"""`annealmix completion`: a script that completes commands, options and files in a shell.

The script is made from the options as they are (shtab) and asks nothing of annealmix when it runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

from pipeline.commands.options import add_command

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = ("DIR", "DIR|SOURCE=DIR")
_FILES = ("A", "B", "DATASET", "F", "FILE", "LABELLED", "MIX", "RECIPE")


def add_completion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    parser: Callable[[], argparse.ArgumentParser],
) -> None:
    """Add the command `completion`. parser: makes that of all commands."""
    completion = add_command(
        commands,
        "completion",
        "print a script that completes commands and options in your shell",
        "annealmix completion bash > annealmix.bash",
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell that will read it")
    completion.set_defaults(command=partial(_complete, parser))


def _complete(parser: Callable[[], argparse.ArgumentParser], options: argparse.Namespace) -> int:
    import shtab

    whole = parser()
    for action in _actions(whole):
        kind = (
            shtab.DIRECTORY
            if action.metavar in _FOLDERS
            else shtab.FILE
            if action.metavar in _FILES
            else None
        )
        if kind:
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks
    print(shtab.complete(whole, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options of a command and of all commands below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
        else:
            yield action
