"""The options of `annealmix trace`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline.place_options import add_cache, local_mix, readable, written

MAX_NUMBER = 1 << 63


def add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser], store: str) -> None:
    """Add the command `trace`. store: folder that a build takes when none is named."""
    trace = commands.add_parser("trace", help="what happened to one document or token of a mix, and why a row is not in it")
    trace.add_argument("mix", type=written, metavar="MIX", help="folder or URL of a mix")
    add_cache(trace)
    what = trace.add_mutually_exclusive_group(required=True)
    what.add_argument("--token", type=_number, metavar="N", help="the document of token N of the stream, from 0")
    what.add_argument("--position", type=_number, metavar="N", help="document N of the stream, from 0")
    what.add_argument("--digest", type=_digest, metavar="HEX", help="every place of a document: 32 hex digits, or the first 8 or more")
    what.add_argument("--source", metavar="S", help="with --file and --row: the document of that row, or why it is not in the mix")
    trace.add_argument("--file", metavar="F", help="path below the source's folder or repository")
    trace.add_argument("--row", type=_number, metavar="R", help="row of the file, from 0")
    trace.add_argument("--store", type=Path, metavar="DIR", help=f"the store of the mix: says why, and what filters found ({store})")
    trace.add_argument("--data", type=readable, metavar="DIR", help="DIR/SOURCE, to read again a row that is no document")
    trace.add_argument("--show-text", action="store_true", help="print the text, of removed documents too")
    trace.add_argument("--tokenizer", type=Path, metavar="FILE", help="the mix's tokenizer.json, to decode the text")
    trace.add_argument("--filters", type=Path, metavar="DIR", help="with --show-text: folder of filters, whose terms in the text are named")
    trace.add_argument("--json", action="store_true", help="print the answer as JSON")
    trace.set_defaults(command=lambda options: _trace(options, Path(store)))


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9][0-9_]{0,24}", text, re.ASCII) or int(text.replace("_", "")) >= MAX_NUMBER:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 on")
    return int(text.replace("_", ""))


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8,32}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not 8 to 32 hex digits")
    return text.lower()


def _trace(options: argparse.Namespace, default_store: Path) -> int:
    from pipeline import report, trace_report
    from pipeline.tracing import Question, trace

    given = [options.source is not None, options.file is not None, options.row is not None]
    if any(given) and not all(given):
        raise RecipeError("trace: --source, --file and --row belong together; give all three")
    if options.filters and not options.show_text:
        raise RecipeError("trace: --filters names the terms in a text, so it needs --show-text")
    with local_mix(options.mix, options.cache) as mix:
        question = Question(
            mix,
            options.token,
            options.position,
            options.digest,
            (options.source, options.file, options.row) if options.source is not None else None,
            options.store,
            default_store,
            options.data,
            options.tokenizer,
            options.filters,
            options.show_text,
        )
        answer = trace(question)
    if options.json:
        report.result(answer)
    else:
        trace_report.show(answer)
    return 0
