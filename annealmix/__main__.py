"""The command line. Tables and progress go to stderr, answers (`--json`) to stdout; exit codes are
those of `mixtures.errors`.

Imports that cost time stand inside the commands: `annealmix --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

from mixtures.errors import AnnealmixError
from pipeline.commands.audit.options import add_audit
from pipeline.commands.build import add_build
from pipeline.commands.diff.options import add_diff
from pipeline.commands.export.options import add_export
from pipeline.commands.filter.options import add_filter
from pipeline.commands.plan.options import add_plan
from pipeline.commands.slurm.options import add_worker
from pipeline.commands.store.options import add_store
from pipeline.commands.trace.options import add_trace


class _InterruptedError(KeyboardInterrupt):
    """A stop by Ctrl-C or a batch system.

    A class of its own: CPython ends by SIGINT, whatever `main` returns, where KeyboardInterrupt
    itself met code that is run from a string.
    """


def _interrupt(number: int, frame: object) -> None:
    raise _InterruptedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    options = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGTERM, _interrupt
        )  # a batch system's stop is a Ctrl-C: workers end, nothing is lost
        if (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):  # else whoever started the command ignores it
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
        _complain(
            f"{where}: {error.strerror or error}; when that is mended, the same command goes on"
            " from here"
        )
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
        description=(
            "Token mixes for language-model training: exact to the token, the same bytes"
            " everywhere."
        ),
        epilog=(
            "exit codes: 0 ok, 1 internal, 2 usage or recipe, 3 audit failed or filter limit"
            " exceeded, 4 input corrupt, 5 supply short, 6 manifest mismatch"
        ),
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_plan(commands)
    add_build(commands)
    add_audit(commands)
    add_store(commands)
    add_filter(commands)
    add_trace(commands)
    add_diff(commands)
    add_worker(commands)
    add_export(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
