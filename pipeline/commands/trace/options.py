"""The options of `annealmix trace`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from mixtures.errors import RecipeError
from mixtures.trainers.names import ORDERS
from pipeline.commands.options import (
    add_cache,
    local_path,
    positive,
    readable,
    whole_number,
    written,
)
from pipeline.lookup.local import local_mix

STEP_OPTIONS = (
    "sample",
    "interval",
    "trainer",
    "seed",
    "batch",
    "sequence",
    "steps",
    "samples",
    "list",
)


def add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser], store: str) -> None:
    """Add the command `trace`. store: folder that a build takes when none is named."""
    trace = commands.add_parser(
        "trace", help="what happened to one document or token of a mix, and why a row is not in it"
    )
    trace.add_argument("mix", type=written, metavar="MIX", help="folder or URL of a mix")
    add_cache(trace)
    what = trace.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--token",
        type=whole_number,
        metavar="N",
        help="the document of token N of the stream, from 0",
    )
    what.add_argument(
        "--position", type=whole_number, metavar="N", help="document N of the stream, from 0"
    )
    what.add_argument(
        "--digest",
        type=_digest,
        metavar="HEX",
        help="every place of a document: 32 hex digits, or the first 8 or more",
    )
    what.add_argument(
        "--source",
        metavar="S",
        help="with --file and --row: the document of that row, or why it is not in the mix",
    )
    what.add_argument(
        "--step",
        type=whole_number,
        metavar="N",
        help="what a trainer read in step N of a training, from 0",
    )
    what.add_argument(
        "--checkpoint", type=positive, metavar="K", help="what it read up to the save after K steps"
    )
    trace.add_argument("--file", metavar="F", help="path below the source's folder or repository")
    trace.add_argument("--row", type=whole_number, metavar="R", help="row of the file, from 0")
    trace.add_argument(
        "--store",
        type=local_path,
        metavar="DIR",
        help=f"the store of the mix: says why, and what filters found ({store})",
    )
    trace.add_argument(
        "--data",
        type=readable,
        metavar="DIR",
        help="DIR/SOURCE, to read again a row that is no document",
    )
    trace.add_argument(
        "--show-text", action="store_true", help="print the text, of removed documents too"
    )
    trace.add_argument(
        "--tokenizer",
        type=local_path,
        metavar="FILE",
        help="the mix's tokenizer.json, to decode the text",
    )
    trace.add_argument(
        "--filters",
        type=local_path,
        metavar="DIR",
        help="folder of filters: with --show-text, names their terms in it",
    )
    trace.add_argument("--json", action="store_true", help="print the answer as JSON")
    _add_training(trace)
    trace.set_defaults(command=lambda options: _trace(options, Path(store)))


def _add_training(trace: argparse.ArgumentParser) -> None:
    training = trace.add_argument_group(
        "the training, with --step or --checkpoint", "its training split is the whole mix"
    )
    training.add_argument(
        "--trainer",
        choices=ORDERS,
        help="whose order: GPT-NeoX, megatron-core, or the mix as it lies",
    )
    training.add_argument("--seed", type=_seed, metavar="S", help="the trainer's seed (1234)")
    training.add_argument(
        "--batch",
        type=positive,
        metavar="B",
        help="sequences of a step over all devices (as the recipe says, or 2048)",
    )
    training.add_argument(
        "--sequence",
        type=positive,
        metavar="L",
        help="tokens of a sequence (as the recipe says, or 2048)",
    )
    asked = training.add_mutually_exclusive_group()
    asked.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="steps of the training (as the recipe says, or nearest to the mix)",
    )
    asked.add_argument(
        "--samples",
        type=positive,
        metavar="N",
        help="sequences that the trainer was asked for, where not steps x batch",
    )
    training.add_argument(
        "--sample",
        type=whole_number,
        metavar="I",
        help="with --step: one sequence of its batch, from 0",
    )
    training.add_argument(
        "--interval",
        type=positive,
        metavar="I",
        help="with --checkpoint: since the save before, of saves I steps apart",
    )
    training.add_argument(
        "--list",
        type=local_path,
        metavar="FILE",
        help="write the documents that were read to FILE, a line of JSON each",
    )


def _seed(text: str) -> int:
    number = whole_number(text)
    if number >> 32:
        raise argparse.ArgumentTypeError(
            f"{number} is not below 2^32, which no trainer's generator takes"
        )
    return number


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8,32}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not 8 to 32 hex digits")
    return text.lower()


def _trace(options: argparse.Namespace, default_store: Path) -> int:
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # numpy would start threads that no question needs
    _check(options)
    from pipeline import report
    from pipeline.commands.trace.report import show, show_steps

    steps = options.step is not None or options.checkpoint is not None
    with local_mix(options.mix, options.cache) as mix:
        answer = (
            _step_answer(options, mix) if steps else _document_answer(options, mix, default_store)
        )
    if options.json:
        report.result(answer)
    elif steps:
        show_steps(answer)
    else:
        show(answer)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not belong together."""
    given = [options.source is not None, options.file is not None, options.row is not None]
    if any(given) and not all(given):
        raise RecipeError("trace: --source, --file and --row belong together; give all three")
    if options.filters and not options.show_text:
        raise RecipeError("trace: --filters names the terms in a text, so it needs --show-text")
    said = [f"--{name}" for name in STEP_OPTIONS if getattr(options, name) is not None]
    if options.step is None and options.checkpoint is None:
        if said:
            raise RecipeError(f"trace: {', '.join(said)}: only with --step or --checkpoint")
        return
    if options.trainer is None:
        raise RecipeError(
            f"trace: --step and --checkpoint need --trainer, one of {', '.join(ORDERS)}"
        )
    what, useless = (
        ("step", ["interval"])
        if options.step is not None
        else ("checkpoint", ["sample", "show_text"])
    )
    for name in ["store", "data", *useless]:
        if getattr(options, name) not in (None, False):
            raise RecipeError(
                f"trace: --{name.replace('_', '-')} says nothing with --{what}; leave it out"
            )
    if options.trainer == "file-order" and (
        told := [name for name in said if name in ("--seed", "--steps", "--samples")]
    ):
        raise RecipeError(
            f"trace: {', '.join(told)}: the order of the file does not depend on it; leave it out"
        )


def _document_answer(options: argparse.Namespace, mix: Path, default_store: Path) -> dict[str, Any]:
    from pipeline.commands.trace.trace import Question, trace

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
    return trace(question)


def _step_answer(options: argparse.Namespace, mix: Path) -> dict[str, Any]:
    from mixtures.mix.training import Training
    from pipeline.commands.trace.steps import StepQuestion, trace_steps

    seed = 1234 if options.seed is None else options.seed
    training = Training(
        options.trainer, seed, options.batch, options.sequence, options.steps, options.samples
    )
    if options.step is not None:
        first, last = options.step, options.step + 1
    else:
        first, last = (
            (
                (options.checkpoint - 1) // options.interval * options.interval
                if options.interval
                else 0
            ),
            options.checkpoint,
        )
    question = StepQuestion(
        mix,
        training,
        first,
        last,
        options.sample,
        options.step is not None,
        options.list,
        options.tokenizer,
        options.filters,
        options.show_text,
    )
    return trace_steps(question)
