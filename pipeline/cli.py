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

from mixtures.errors import AnnealmixError, RecipeError, SupplyError
from pipeline.executor_options import add_executor, executor_of, refuse_mixed
from pipeline.executors.slurm.options import add_worker
from pipeline.export_options import add_export
from pipeline.filter_options import add_filter
from pipeline.trace_options import add_trace

if TYPE_CHECKING:
    from mixtures.loaded_recipe import LoadedRecipe
    from mixtures.quotas import Size
    from pipeline.inputs import DataFolders

DEFAULT_STORE = "annealmix-store"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a Ctrl-C: workers end, nothing is lost
    try:
        status = int(options.command(options))
        sys.stdout.flush()
        return status
    except AnnealmixError as error:
        for line in str(error).splitlines():
            _complain(line)
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


def _complain(line: str) -> None:
    from pipeline.report import say

    say(f"annealmix: {line}")


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
    _add_audit(commands)
    _add_store(commands)
    add_filter(commands)
    add_trace(commands, DEFAULT_STORE)
    add_worker(commands)
    add_export(commands)
    return parser


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser("plan", help="what a recipe will take and cost, before anything is built; without RECIPE, list the recipes")
    plan.add_argument("recipe", nargs="?", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    _add_size(plan)
    _add_data(plan, "probe the files of DIR/SOURCE instead of taking the publishers' figures")
    plan.add_argument("--tokenizer", type=_path, metavar="FILE", help="the recipe's tokenizer.json (needed for a probe)")
    plan.add_argument("--schema", action="store_true", help="print the JSON schema of a recipe")
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    _add_filters(plan)
    plan.set_defaults(command=_plan)


def _add_build(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("build", help="build a mix, or go on with one that was stopped")
    build.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    build.add_argument("--out", type=_path, required=True, metavar="DIR", help="folder of the mix; it appears when the mix is whole")
    _add_data(build, "read DIR/SOURCE, in the published layout, instead of the hub")
    _add_size(build)
    build.add_argument(
        "--store", type=_path, default=Path(DEFAULT_STORE), metavar="DIR", help=f"token store, shared by all mixes ({DEFAULT_STORE})"
    )
    build.add_argument("--tokenizer", type=_path, metavar="FILE", help="the recipe's tokenizer.json")
    _add_filters(build)
    build.add_argument("--workers", type=_positive, metavar="N", help="tasks at a time (the cores, as far as memory allows)")
    build.add_argument("--tasks", type=_positive, metavar="N", help="shares in which each stage's units are handed out (a few a worker)")
    add_executor(build)
    build.add_argument("--json", action="store_true", help="print the manifest, or the status")
    build.set_defaults(command=_build)


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser("audit", help="recount a mix from its bytes; exit 3 when anything is off")
    audit.add_argument("mix", type=_path, metavar="MIX", help="folder of a mix, or the prefix of a bare .bin/.idx pair")
    audit.add_argument(
        "--against", type=_path, nargs="+", default=[], metavar="MIX", help="prove that these mixes share no document with it"
    )
    audit.add_argument("--full", action="store_true", help="compare repeated documents token by token as well")
    audit.add_argument(
        "--filter", action="append", default=[], metavar="F", help="judge every document again; fails if any is flagged (may be repeated)"
    )
    audit.add_argument("--level", choices=("extra-weak", "weak", "strong"), help="published level at which the filters judge")
    audit.add_argument("--rescore", type=_positive, metavar="N", help="score N documents again, alone and in reversed order")
    audit.add_argument("--store", type=_path, metavar="DIR", help="hold their scores against those that decided, in this store")
    audit.add_argument("--tokenizer", type=_path, metavar="FILE", help="the tokenizer.json that made the ids (for --filter)")
    audit.add_argument("--workers", type=_positive, metavar="N", help="processes that judge at a time (the cores)")
    audit.add_argument("--json", action="store_true", help="print the report as JSON")
    audit.set_defaults(command=_audit)


def _add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    store = commands.add_parser("store", help="look at a token store, or free the space of selections, logs and left-overs")
    store.add_argument(
        "action", choices=("ls", "gc"), help="ls: sources, groups, tokens; gc: delete what can be made again without reading a source"
    )
    store.add_argument("--store", type=_path, default=Path(DEFAULT_STORE), metavar="DIR", help=f"the store ({DEFAULT_STORE})")
    store.add_argument("--json", action="store_true", help="print as JSON")
    store.set_defaults(command=_store)


def _add_data(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--data",
        type=_data_folder,
        action="append",
        default=[],
        metavar="DIR|SOURCE=DIR",
        help=f"{what}; SOURCE=DIR, as often as needed: DIR holds the files of that source definition alone",
    )


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--filters", type=_path, metavar="DIR", help="folder of filters that recipes name: DIR/NAME.yaml or DIR/NAME/filter.yaml"
    )
    command.add_argument(
        "--removed",
        choices=("refill", "shrink"),
        help="what follows where filters remove documents, whatever the recipe says: the next ones fill the quota, or the mix shrinks",
    )


def _add_size(command: argparse.ArgumentParser) -> None:
    size = command.add_mutually_exclusive_group()
    size.add_argument("--scale", type=_share, metavar="F", help="a preview of so much of the recipe, in the same proportions: 0 < F <= 1")
    size.add_argument("--tokens", type=_positive, metavar="N", help="a preview of N tokens, in the same proportions")


def _path(text: str) -> Path:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("the path is not UTF-8; plans and manifests could not name it") from None
    return Path(text)


def _data_folder(text: str) -> tuple[str | None, Path]:
    """`NAME=DIR` or `DIR`; a folder whose name has the form of the former is written `./NAME=DIR`."""
    name, equals, folder = text.partition("=")
    if equals and re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        if not folder:
            raise argparse.ArgumentTypeError(f"{text!r} names no folder; write {name}=DIR")
        return name, _path(folder)
    return None, _path(text)


def _positive(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(digits)


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
    from mixtures.quotas import Size

    return Size(options.scale, options.tokens)


def _data(options: argparse.Namespace) -> DataFolders:
    from pipeline.inputs import DataFolders

    folders: dict[str | None, Path] = {}
    for name, folder in options.data:
        if name in folders:
            raise RecipeError(f"--data {f'{name}=' if name else ''}...: given twice; keep one folder")
        folders[name] = folder.absolute()
    return DataFolders(folders.get(None), {name: folder for name, folder in folders.items() if name is not None})


def _recipe(options: argparse.Namespace) -> LoadedRecipe:
    from mixtures.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.filters)
    return recipe.with_removed(options.removed) if options.removed else recipe


def _plan(options: argparse.Namespace) -> int:
    from pipeline import planning, report

    if options.schema:
        report.result(planning.recipe_schema())
        return 0
    if options.recipe is None:
        planning.show_recipes(as_json=options.json)
        return 0
    plan = planning.plan(_recipe(options), _size(options), _data(options), options.tokenizer)
    if options.json:
        report.result(plan)
    else:
        planning.show(plan)
    for line in plan["shortages"]:
        _complain(line)
    return SupplyError.exit_code if plan["shortages"] else 0


def _build(options: argparse.Namespace) -> int:
    from pipeline import mix_report, report
    from pipeline.build import BuildRequest, build

    refuse_mixed(options)
    request = BuildRequest(
        _recipe(options), options.out.absolute(), options.store.absolute(), _data(options), options.tokenizer, _size(options)
    )
    if options.executor != "slurm":
        manifest, code = build(replace(request, executor=executor_of(options))), 0
    else:
        from pipeline.executors.slurm import commands

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


def _audit(options: argparse.Namespace) -> int:
    from pipeline import auditing
    from pipeline.filter_audit import FilterOptions

    chosen = FilterOptions(tuple(options.filter), options.tokenizer, options.rescore, options.workers, options.level, options.store)
    return auditing.run(options.mix, options.against, full=options.full, as_json=options.json, options=chosen)


def _store(options: argparse.Namespace) -> int:
    from pipeline import store_commands

    if not (options.store / "store.json").is_file():
        raise RecipeError(f"{options.store}: no store there; name one with --store DIR")
    if options.action == "ls":
        store_commands.show(options.store, as_json=options.json)
    else:
        store_commands.collect(options.store, as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
