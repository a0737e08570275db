"""The command line. Answers (tables, `--json`) go to stdout, progress and notes to stderr; exit
codes are those of `mixtures.errors`.

Imports that cost time stand inside the commands: `annealmix --help` answers at once.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from annealmix.completion import add_completion
from annealmix.streams import (
    STDOUT,
    flush_answer,
    give_up_stdout,
    start_again_in_utf8,
    take_closed,
)
from mixtures.errors import AnnealmixError
from pipeline.commands.audit.options import add_audit
from pipeline.commands.build.options import add_build
from pipeline.commands.diff.options import add_diff
from pipeline.commands.export.options import add_export
from pipeline.commands.filter.options import add_filter
from pipeline.commands.options import Help, Parser, add_actions, example_text
from pipeline.commands.plan.options import add_plan
from pipeline.commands.recipe.lock import add_lock
from pipeline.commands.recipe.options import add_init
from pipeline.commands.recipe.schema import add_schema
from pipeline.commands.slurm.options import WORKER, worker_parser
from pipeline.commands.store.options import add_store
from pipeline.commands.trace.options import add_trace


class _InterruptedError(KeyboardInterrupt):
    """A stop by Ctrl-C or a batch system.

    A class of its own: CPython ends by SIGINT, whatever `main` returns, where KeyboardInterrupt
    itself met code that is run from a string.
    """

    came = False
    """Whether one came: native libraries make errors of their own of what ends a call to Python."""


def _interrupt(number: int, frame: object) -> None:
    _InterruptedError.came = True
    raise _InterruptedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    if arguments is None:
        take_closed()
        start_again_in_utf8()
        # What a command makes most of lives until its end: modules, vocabularies, columns. Looking
        # for circles among them at every 700 new objects takes a tenth of a short command, at every
        # 50,000 a twentieth.
        gc.set_threshold(200_000)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    # only jobs give this command, and no help, suggestion or completion offers it
    parser = worker_parser() if words[:1] == [WORKER] else _parser()
    try:
        options = parser.parse_args(words)
    except SystemExit as asked:  # --help, too, which is an answer
        status = int(asked.code or 0)
        raise SystemExit(_ended(lambda: status)) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGTERM, _interrupt
        )  # a batch system's stop is a Ctrl-C: workers end, nothing is lost
        if (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):  # else whoever started the command ignores it
            signal.signal(signal.SIGINT, _interrupt)
    status = _ended(lambda: int(options.command(options)))
    if arguments is None:
        _end(status)
    return status


def _end(status: int) -> NoReturn:
    """End this process without taking its objects apart, which takes a tenth of a short command."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _ended(command: Callable[[], int]) -> int:
    """Run it, print its answer and return its exit code."""
    _InterruptedError.came = False
    try:
        status = command()
        flush_answer()
        return status
    except AnnealmixError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:  # whoever read the answer has gone
        give_up_stdout()
        return 1
    except OSError as error:
        if error.filename == STDOUT:
            give_up_stdout()
            _complain(f"{STDOUT}: {error.strerror}: the answer could not be printed")
            return 1
        # of a copy, the first name is that of what is read, and the second lacks the room
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = (full and error.filename2) or error.filename or "the store or the output"
        _complain(
            f"{where}: {error.strerror or error}{_limit(error)}; when that is mended, the same"
            " command goes on from here"
        )
        return 1
    except (KeyboardInterrupt, Exception) as error:
        if _InterruptedError.came or isinstance(error, KeyboardInterrupt):
            _complain("interrupted; the same command goes on from here")
            return 1
        import traceback

        _complain(traceback.format_exc())
        _complain("this is a defect of annealmix; please report it with the lines above")
        return 1


def _limit(error: OSError) -> str:
    """The limit that was met, where the user can raise it."""
    if error.errno != errno.EMFILE:
        return ""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f" (this process may open {soft:,}, and the system lets {hard:,}: ulimit -n)"


def _complain(message: str) -> None:
    from pipeline.report import complain

    complain(message)


class _Version(argparse.Action):
    """As argparse's own action, but looked up only when it is asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"annealmix {version('annealmix')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="annealmix",
        description=(
            "Token mixes for language-model training: exact to the token, the same bytes"
            " everywhere."
        ),
        epilog=(
            "exit codes: 0 ok, 1 internal, 2 usage or recipe, 3 audit failed or filter limit"
            " exceeded, 4 input corrupt, 5 supply short, 6 manifest mismatch\n\n"
            + example_text(["annealmix build sample --out mix", "annealmix audit mix"])
        ),
        formatter_class=Help,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version of annealmix and exit"
    )
    commands = add_actions(parser, "COMMAND")
    add_init(commands)
    add_plan(commands)
    add_build(commands)
    add_audit(commands)
    add_trace(commands)
    add_diff(commands)
    add_export(commands)
    add_filter(commands)
    add_store(commands)
    add_schema(commands)
    add_lock(commands)
    add_completion(commands, _parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
