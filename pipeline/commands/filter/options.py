"""The options of `annealmix filter check` and `annealmix filter train`. Nothing heavy is imported
before a command runs.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from mixtures.rules.levels import LEVELS, ScoredLevel
from pipeline.commands.options import (
    add_actions,
    add_command,
    add_filters_folder,
    add_json,
    add_option,
    add_store_folder,
    add_tokenizer,
)

if TYPE_CHECKING:
    from pipeline.judges.classifiers.training import Goal


def add_filter(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `filter` with its actions."""
    parser = add_command(
        commands,
        "filter",
        "check: what a filter flags in a data set; train: make a filter from labelled documents",
        "annealmix filter check chats.jsonl --filter control-lists",
    )
    actions = add_actions(parser, "ACTION")
    _add_check(actions)
    _add_train(actions)


def _add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = add_command(
        actions,
        "check",
        "exit 3 if a filter flags more of a data set than the limit; prints no text",
        "annealmix filter check chats.jsonl --filter control-lists",
    )
    option = partial(add_option, check)
    what = "file or folder of jsonl (.gz, .zst) or parquet, or OWNER/NAME[:CONFIG] of the hub"
    option("dataset", "DATASET", what)
    option("--filter", "F", "name of a filter, or a YAML file", required=True)
    add_filters_folder(
        check, "folder of filters that are not shipped: DIR/NAME.yaml or DIR/NAME/filter.yaml"
    )
    check.add_argument("--level", choices=LEVELS, help="published level at which it judges")
    what = "share of the documents that may be flagged or unreadable (0)"
    option("--limit", "SHARE", what, _limit, default=Fraction(0))
    what = "column with the text or the chat messages (`text`, or else `messages`)"
    option("--text-column", "NAME", what)
    what = "read the files in the published layout of this shipped source definition"
    option("--source", "NAME", what)
    option("--split", "NAME", "split of a data set of the hub (train)", default="train")
    add_store_folder(
        check, "look for documents, too, that filters removed from mixes of this store", folder=Path
    )
    add_tokenizer(check, "a tokenizer.json: count the flagged tokens, too", file=Path)
    add_json(check, "the result as JSON")
    check.set_defaults(command=_check)


def _add_train(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = add_command(
        actions,
        "train",
        "train a linear classifier, pick its threshold, write a filter that is ready to use",
        "annealmix filter train labelled.jsonl --out my-filter --blocklist terms.txt --recall 0.9",
    )
    option = partial(add_option, train)
    what = "jsonl (.gz, .zst) or parquet, one labelled document a row"
    option("labelled", "LABELLED", what, Path, nargs="+")
    needed = partial(option, kind=Path, required=True)
    needed("--out", "DIR", "folder of the filter; it appears when the filter is whole")
    needed("--blocklist", "FILE", "terms, one a line; it is copied into the filter")
    train.add_argument(
        "--mode",
        choices=("published", "words"),
        default="words",
        help="how terms are matched (words)",
    )
    what = "distinct terms from which on the classifier is asked (2)"
    option("--threshold", "N", what, int, default=2)
    goal = partial(add_option, train.add_mutually_exclusive_group(), kind=_decimal)
    goal("--recall", "R", "largest threshold that flags this share of the positive documents")
    goal("--removal", "R", "smallest threshold that flags at most this share of all documents")
    option(
        "--levels",
        "LEVEL=KIND:SHARE",
        "weak and extra-weak, fitted to removal:SHARE, recall:SHARE or threshold:SCORE on what"
        " the blocklist escalates (the published removal)",
        nargs="*",
    )
    option(
        "--holdout", "SHARE", "share that is measured on (0.2)", _decimal, default=Decimal("0.2")
    )
    option("--text-column", "NAME", "column of the text (text)", default="text")
    option("--label-column", "NAME", "column of the label (label)", default="label")
    option("--positive", "VALUE", "the label of documents to flag (1 or true)")
    option("--name", "NAME", "name of the filter (that of DIR)")
    golden = partial(option, action="append", default=[])
    golden("--golden-flagged", "TEXT", "harmless text that must be flagged")
    golden("--golden-passed", "TEXT", "text that must not be flagged")
    add_json(train, "what was measured as JSON")
    train.set_defaults(command=_train)


def _limit(text: str) -> Fraction:
    share = r"[0-9]{1,12}(\.[0-9]{1,30})?|[0-9]{1,18}/0*[1-9][0-9]{0,17}"
    if not re.fullmatch(share, text, re.ASCII) or Fraction(text) > 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share from 0 to 1, such as 0.001 or 1/1000"
        )
    return Fraction(text)


def _decimal(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,18})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a plain decimal number such as 0.95")
    return Decimal(text)


def _check(options: argparse.Namespace) -> int:
    from pipeline.commands.filter.check import CheckRequest, run_check

    request = CheckRequest(
        dataset=options.dataset,
        filter=options.filter,
        filters=options.filters,
        limit=options.limit,
        column=options.text_column,
        source=options.source,
        split=options.split,
        tokenizer=options.tokenizer,
        store=options.store,
        level=options.level,
    )
    return run_check(request, as_json=options.json)


def _goal(options: argparse.Namespace) -> Goal:
    from pipeline.judges.classifiers.training import Goal

    if options.recall is not None:
        return Goal("recall", options.recall)
    return Goal() if options.removal is None else Goal("removal", options.removal)


def _levels(words: Sequence[str] | None) -> dict[ScoredLevel, Goal]:
    """What levels are fitted to: nothing, what is published, or what was given."""
    from pipeline.commands.filter.train import PUBLISHED_LEVELS
    from pipeline.judges.classifiers.training import Goal

    if words is None:
        return {}
    if not words:
        return PUBLISHED_LEVELS
    found: dict[ScoredLevel, Goal] = {}
    for word in words:
        parts = re.fullmatch(
            r"(extra-weak|weak)=(threshold|recall|removal):([01](?:\.[0-9]{1,18})?)", word, re.ASCII
        )
        if parts is None or parts[1] in found:
            raise RecipeError(
                f"--levels: {word!r} is not, once a level, weak or extra-weak, `=`, removal, recall"
                " or threshold, and a share, such as weak=removal:0.54"
            )
        level: Any = parts[1]
        kind: Any = parts[2]
        found[level] = Goal(kind, Decimal(parts[3]))
    return found


def _train(options: argparse.Namespace) -> int:
    from pipeline import report
    from pipeline.commands.filter.train import TrainRequest, make_bundle, show
    from pipeline.judges.classifiers.labelled import LabelColumns

    request = TrainRequest(
        labelled=options.labelled,
        out=options.out,
        blocklist=options.blocklist,
        mode=options.mode,
        threshold=options.threshold,
        name=options.name,
        columns=LabelColumns(options.text_column, options.label_column, options.positive),
        holdout=options.holdout,
        goal=_goal(options),
        levels=_levels(options.levels),
        golden_flagged=tuple(options.golden_flagged),
        golden_passed=tuple(options.golden_passed),
    )
    bundle = make_bundle(request)
    if options.json:
        report.result(bundle.as_json())
    else:
        show(bundle)
    return 0
