"""The options of `annealmix trace`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from mixtures.trainers.names import ORDERS
from pipeline.commands.options import (
    DEFAULT_STORE,
    add_cache,
    add_command,
    add_filters_folder,
    add_flag,
    add_json,
    add_option,
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
    option = partial(add_option, trace)
    option("mix", "MIX", "folder or URL of a mix", written)
    add_cache(trace)
    one_of = partial(add_option, trace.add_mutually_exclusive_group(required=True))
    one_of("--token", "N", "the document of token N of the stream, from 0", whole_number)
    one_of("--position", "N", "document N of the stream, from 0", whole_number)
    what = "every place of a document: 32 hex digits, or the first 8 or more"
    one_of("--digest", "HEX", what, _digest)
    what = "with --file and --row: the document of that row, or why it is not in the mix"
    one_of("--source", "S", what)
    one_of("--step", "N", "what a trainer read in step N of a training, from 0", whole_number)
    one_of("--checkpoint", "K", "what it read up to the save after K steps", positive)
    option("--file", "F", "path below the source's folder or repository")
    option("--row", "R", "row of the file, from 0", whole_number)
    add_store_folder(
        trace, f"the store of the mix: says why, and what filters found ({DEFAULT_STORE})"
    )
    option("--data", "DIR", "DIR/SOURCE, to read again a row that is no document", readable)
    add_flag(trace, "--show-text", "print the text, of removed documents too")
    add_tokenizer(trace, "the mix's tokenizer.json, to decode the text")
    add_filters_folder(trace, "folder of filters: with --show-text, names their terms in it")
    add_json(trace, "the answer as JSON")
    _add_training(trace)
    trace.set_defaults(command=_trace)


def _add_training(trace: argparse.ArgumentParser) -> None:
    group = trace.add_argument_group(
        "the training, with --step or --checkpoint", "its training split is the whole mix"
    )
    training = partial(add_option, group)
    group.add_argument(
        "--trainer",
        choices=ORDERS,
        help="whose order: GPT-NeoX, megatron-core, or the mix as it lies",
    )
    training("--seed", "S", "the trainer's seed (1234)", _seed)
    training(
        "--batch",
        "B",
        "sequences of a step over all devices (as the recipe says, or 2048); 32,64@1000: 64"
        " from step 1000 on",
        _changing,
    )
    training(
        "--sequence",
        "L",
        "tokens of a sequence (as the recipe says, or 2048); 2048,4096@9000: 4096 from step 9000"
        " on",
        _changing,
    )
    asked = partial(add_option, group.add_mutually_exclusive_group(), kind=positive)
    what = "steps of the training (as the recipe says, or as many as see no token twice)"
    asked("--steps", "N", what)
    asked("--samples", "N", "sequences that the trainer was asked for, where not steps x batch")
    training("--sample", "I", "with --step: one sequence of its batch, from 0", whole_number)
    what = "with --checkpoint: since the save before, of saves I steps apart"
    training("--interval", "I", what, positive)
    what = "write the documents that were read to FILE, a line of JSON each"
    training("--list", "FILE", what, local_path)


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
    asked = (
        _of_steps if options.step is not None or options.checkpoint is not None else _of_documents
    )
    with local_mix(options.mix, options.cache) as mix:
        answer, show = asked(options, mix)
        if options.json:
            from pipeline.report import result

            result(answer.as_json())
        else:
            show(answer)
    return 0


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


def _of_documents(options: argparse.Namespace, mix: Path) -> tuple[Any, Callable[[Any], None]]:
    """The answer on documents and rows, and what prints it."""
    from pipeline.commands.trace.report import print_answer
    from pipeline.commands.trace.trace import Question, trace
    from pipeline.lookup.fate import Origin

    question = Question(
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
    return trace(question), print_answer


def _of_steps(options: argparse.Namespace, mix: Path) -> tuple[Any, Callable[[Any], None]]:
    """The answer on what a trainer read, and what prints it."""
    from mixtures.mix.training import Training
    from pipeline.commands.trace.report import print_steps
    from pipeline.commands.trace.steps import StepQuestion, last_save_before, trace_steps

    one = options.step is not None
    question = StepQuestion(
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
    return trace_steps(question), print_steps
