"""The command line. Tables and progress go to stderr, answers (`--json`) to stdout; exit codes are those of `mixtures.errors`.

Imports that cost time stand inside the commands: `annealmix --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.errors import AnnealmixError, RecipeError
from pipeline.commands.audit.options import add_audit
from pipeline.commands.build import add_executor, executor_of, refuse_mixed
from pipeline.commands.diff.options import add_diff
from pipeline.commands.export.options import add_export
from pipeline.commands.filter.options import add_filter
from pipeline.commands.options import (
    add_cache,
    add_data,
    data_folders,
    local_path,
    positive,
    written,
)
from pipeline.commands.plan.options import add_plan_options
from pipeline.commands.plan.options import run as run_plan
from pipeline.commands.slurm.options import add_worker
from pipeline.commands.trace.options import add_trace

if TYPE_CHECKING:
    from mixtures.recipe.loaded import LoadedRecipe
    from mixtures.stream.quotas import Size

DEFAULT_STORE = "annealmix-store"


class _InterruptedError(KeyboardInterrupt):
    """A stop by Ctrl-C or a batch system.

    A class of its own: CPython ends by SIGINT, whatever `main` returns, where KeyboardInterrupt itself met code that is run from a string.
    """


def _interrupt(number: int, frame: object) -> None:
    raise _InterruptedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)  # a batch system's stop is a Ctrl-C: workers end, nothing is lost
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started the command ignores it
            signal.signal(signal.SIGINT, _interrupt)
    try:
        status = int(options.command(options))
        sys.stdout.flush()
        return status
    except AnnealmixError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:  # whoever read the answer has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = error.filename or "the store or the output"
        _complain(f"{where}: {error.strerror or error}; when that is mended, the same command goes on from here")
        return 1
    except KeyboardInterrupt:
        _complain("interrupted; the same command goes on from here")
        return 1
    except Exception:
        traceback.print_exc()
        _complain("this is a defect of annealmix; please report it with the lines above")
        return 1


def _complain(message: str) -> None:
    from pipeline.report import complain

    complain(message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annealmix",
        description="Token mixes for language-model training: exact to the token, the same bytes everywhere.",
        epilog="exit codes: 0 ok, 1 internal, 2 usage or recipe, 3 audit failed or filter limit exceeded, 4 input corrupt, 5 supply short, "
        "6 manifest mismatch",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_plan(commands)
    _add_build(commands)
    add_audit(commands)
    _add_store(commands)
    add_filter(commands)
    add_trace(commands, DEFAULT_STORE)
    add_diff(commands)
    add_worker(commands)
    add_export(commands)
    return parser


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser("plan", help="what a recipe will take and cost, before anything is built; without RECIPE, list the recipes")
    plan.add_argument("recipe", nargs="?", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    _add_size(plan)
    add_data(plan, "probe the files of DIR/SOURCE instead of taking the publishers' figures")
    plan.add_argument("--tokenizer", type=local_path, metavar="FILE", help="the recipe's tokenizer.json (needed for a probe)")
    add_plan_options(plan)
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    _add_filters(plan)
    plan.set_defaults(command=_plan)


def _add_build(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("build", help="build a mix, or go on with one that was stopped")
    build.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    build.add_argument("--out", type=written, required=True, metavar="DIR", help="folder or URL of the mix; it appears when it is whole")
    add_data(build, "read DIR/SOURCE, in the published layout, instead of the hub")
    _add_size(build)
    build.add_argument(
        "--store", type=written, default=Path(DEFAULT_STORE), metavar="DIR", help=f"token store, shared by all mixes ({DEFAULT_STORE})"
    )
    add_cache(build)
    build.add_argument("--tokenizer", type=local_path, metavar="FILE", help="the recipe's tokenizer.json")
    _add_filters(build)
    build.add_argument("--workers", type=positive, metavar="N", help="tasks at a time (the cores, as far as memory allows)")
    build.add_argument("--tasks", type=positive, metavar="N", help="shares in which each stage's units are handed out (a few a worker)")
    add_executor(build)
    build.add_argument("--json", action="store_true", help="print the manifest, or the status")
    build.set_defaults(command=_build)


def _add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    store = commands.add_parser("store", help="look at a token store, or free the space of selections, logs and left-overs")
    store.add_argument(
        "action", choices=("ls", "gc"), help="ls: sources, groups, tokens; gc: delete what can be made again without reading a source"
    )
    store.add_argument("--store", type=local_path, default=Path(DEFAULT_STORE), metavar="DIR", help=f"the store ({DEFAULT_STORE})")
    store.add_argument("--json", action="store_true", help="print as JSON")
    store.set_defaults(command=_store)


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--filters", type=local_path, metavar="DIR", help="folder of filters that recipes name: DIR/NAME.yaml or DIR/NAME/filter.yaml"
    )
    command.add_argument(
        "--removed",
        choices=("refill", "shrink"),
        help="what follows where filters remove documents, whatever the recipe says: the next ones fill the quota, or the mix shrinks",
    )


def _add_size(command: argparse.ArgumentParser) -> None:
    size = command.add_mutually_exclusive_group()
    size.add_argument("--scale", type=_share, metavar="F", help="a preview of so much of the recipe, in the same proportions: 0 < F <= 1")
    size.add_argument("--tokens", type=positive, metavar="N", help="a preview of N tokens, in the same proportions")


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


def _size(options: argparse.Namespace) -> Size:
    from mixtures.stream.quotas import Size

    return Size(options.scale, options.tokens)


def _recipe(options: argparse.Namespace) -> LoadedRecipe:
    from mixtures.recipe.load import load_recipe

    recipe = load_recipe(options.recipe, options.filters)
    return recipe.with_removed(options.removed) if options.removed else recipe


def _plan(options: argparse.Namespace) -> int:
    return run_plan(options, lambda: (_recipe(options), _size(options), data_folders(options)))


def _build(options: argparse.Namespace) -> int:
    from pipeline import report
    from pipeline.build.build import BuildRequest, build
    from pipeline.build.remote import working_places
    from pipeline.commands import tables as mix_report

    refuse_mixed(options)
    out, store, remote = working_places(options.out, options.store, options.cache)
    request = BuildRequest(_recipe(options), out, store, data_folders(options), options.tokenizer, _size(options), remote=remote)
    if options.executor != "slurm":
        manifest, code = build(replace(request, executor=executor_of(options))), 0
    else:
        from pipeline.commands.slurm import commands

        if options.status:
            return commands.look(request, json=options.json)
        given, code = commands.give(request, options.filters, options.profile, wait=options.wait)
        if given is None:
            return code
        manifest = given
    if options.json:
        report.result(manifest)
    else:
        mix_report.show(manifest, options.out)
    return code


def _store(options: argparse.Namespace) -> int:
    from pipeline.commands import store as store_commands

    if not (options.store / "store.json").is_file():
        raise RecipeError(f"{options.store}: no store there; name one with --store DIR")
    if options.action == "ls":
        store_commands.show(options.store, as_json=options.json)
    else:
        store_commands.collect(options.store, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
