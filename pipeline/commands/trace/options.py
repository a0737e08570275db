"""The options of `annealmix trace`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.errors import RecipeError
from mixtures.trainers.names import ORDERS
from pipeline.commands.options import (
    DEFAULT_STORE,
    add_cache,
    add_command,
    add_filters_folder,
    add_json,
    add_store_folder,
    add_tokenizer,
    local_path,
    positive,
    readable,
    whole_number,
    written,
)
from pipeline.lookup.local import local_mix

if TYPE_CHECKING:
    from mixtures.mix.training import Changes
    from pipeline.commands.trace.steps import StepQuestion
    from pipeline.commands.trace.trace import Question

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


def add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `trace`."""
    trace = add_command(
        commands,
        "trace",
        "what happened to one document or token of a mix, and why a row is not in it",
        "annealmix trace mix --token 1000",
        "annealmix trace mix --step 3 --trainer neox --batch 4 --sequence 256",
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
    add_store_folder(
        trace, f"the store of the mix: says why, and what filters found ({DEFAULT_STORE})"
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
    add_tokenizer(trace, "the mix's tokenizer.json, to decode the text")
    add_filters_folder(trace, "folder of filters: with --show-text, names their terms in it")
    add_json(trace, "the answer as JSON")
    _add_training(trace)
    trace.set_defaults(command=_trace)


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
        type=_changing,
        metavar="B",
        help="sequences of a step over all devices (as the recipe says, or 2048); 32,64@1000: 64"
        " from step 1000 on",
    )
    training.add_argument(
        "--sequence",
        type=_changing,
        metavar="L",
        help="tokens of a sequence (as the recipe says, or 2048); 2048,4096@9000: 4096 from step"
        " 9000 on",
    )
    asked = training.add_mutually_exclusive_group()
    asked.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="steps of the training (as the recipe says, or as many as see no token twice)",
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


def _changing(text: str) -> int | Changes:
    """One number, or numbers that change: 32,64@1000,128@3000."""
    first, *later = text.split(",")
    if not later:
        return positive(first)
    changes = [(0, positive(first))]
    for change in later:
        value, at, step = change.partition("@")
        if not at:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r} does not say from which step on it is {value[:20]!r}; write"
                f" {first[:20]},{value[:20]}@STEP"
            )
        changes.append((positive(step), positive(value)))
        if changes[-1][0] <= changes[-2][0]:
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: its steps do not rise")
    return tuple(changes)


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8,32}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not 8 to 32 hex digits")
    return text.lower()


def _trace(options: argparse.Namespace) -> int:
    # numpy would start threads that no question needs
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _check(options)
    steps = options.step is not None or options.checkpoint is not None
    with local_mix(options.mix, options.cache) as mix:
        (_trace_steps if steps else _trace_documents)(options, mix)
    return 0


def _trace_documents(options: argparse.Namespace, mix: Path) -> None:
    from pipeline.commands.trace.report import print_answer
    from pipeline.commands.trace.trace import trace
    from pipeline.report import result

    answer = trace(_question(options, mix))
    if options.json:
        result(answer.as_json())
    else:
        print_answer(answer)


def _trace_steps(options: argparse.Namespace, mix: Path) -> None:
    from pipeline.commands.trace.report import print_steps
    from pipeline.commands.trace.steps import trace_steps
    from pipeline.report import result

    answer = trace_steps(_step_question(options, mix))
    if options.json:
        result(answer.as_json())
    else:
        print_steps(answer)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not belong together."""
    origin = [options.source is not None, options.file is not None, options.row is not None]
    if any(origin) and not all(origin):
        raise RecipeError("trace: --source, --file and --row belong together; give all three")
    if options.filters and not options.show_text:
        raise RecipeError("trace: --filters names the terms in a text, so it needs --show-text")
    of_steps = [f"--{name}" for name in STEP_OPTIONS if getattr(options, name) is not None]
    if options.step is None and options.checkpoint is None:
        if of_steps:
            raise RecipeError(f"trace: {', '.join(of_steps)}: only with --step or --checkpoint")
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
    idle = [name for name in of_steps if name in ("--seed", "--steps", "--samples")]
    if options.trainer == "file-order" and idle:
        raise RecipeError(
            f"trace: {', '.join(idle)}: the order of the file does not depend on it; leave it out"
        )


def _question(options: argparse.Namespace, mix: Path) -> Question:
    from pipeline.commands.trace.trace import Question
    from pipeline.lookup.fate import Origin

    return Question(
        mix=mix,
        token=options.token,
        position=options.position,
        digest=options.digest,
        origin=(
            None if options.source is None else Origin(options.source, options.file, options.row)
        ),
        store=options.store,
        data=options.data,
        tokenizer=options.tokenizer,
        filters=options.filters,
        show_text=options.show_text,
    )


def _step_question(options: argparse.Namespace, mix: Path) -> StepQuestion:
    from mixtures.mix.training import Training
    from pipeline.commands.trace.steps import StepQuestion, last_save_before

    one = options.step is not None
    return StepQuestion(
        mix=mix,
        training=Training(
            trainer=options.trainer,
            seed=1234 if options.seed is None else options.seed,
            batch=options.batch,
            sequence=options.sequence,
            steps=options.steps,
            samples=options.samples,
        ),
        first_step=(
            options.step if one else last_save_before(options.checkpoint, options.interval)
        ),
        last_step=options.step + 1 if one else options.checkpoint,
        sample=options.sample,
        spans=one,
        listing=options.list,
        tokenizer=options.tokenizer,
        filters=options.filters,
        show_text=options.show_text,
    )
