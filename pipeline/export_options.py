"""The options of `annealmix export`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.trainer_config import TRAINERS

# Options that belong to some of the forms alone.
_OPTIONS = {
    "tokenizer": ("text", "trainer"),
    "workers": ("text",),
    "out": ("trainer",),
    "sequence": ("trainer",),
    "batch": ("trainer",),
    "steps": ("trainer",),
    "salt": ("public",),
}


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `export`."""
    export = commands.add_parser("export", help="a mix in another form: as text, as a dataset card, for a trainer, or fit to be published")
    export.add_argument("mix", type=Path, metavar="MIX", help="folder of a mix")
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument("--text", type=Path, metavar="DIR", help="parquet shards of the documents' texts, for datasets.load_dataset(DIR)")
    form.add_argument("--card", type=Path, metavar="FILE", help="dataset card (README.md of the hub); - prints it")
    form.add_argument("--trainer", choices=TRAINERS, help="data configuration of a trainer, printed or written to --out")
    form.add_argument("--public", type=Path, metavar="DIR", help="a copy without file and row, with salted digests")
    export.add_argument("--tokenizer", type=Path, metavar="FILE", help="the mix's tokenizer.json (for --text, --trainer)")
    export.add_argument("--workers", type=_positive, metavar="N", help="processes at a time (for --text; the cores)")
    export.add_argument("--out", type=Path, metavar="FILE", help="where the configuration is written (for --trainer)")
    export.add_argument("--sequence", type=_positive, metavar="N", help="tokens of a sequence (for --trainer; the recipe's, or 2048)")
    export.add_argument("--batch", type=_positive, metavar="N", help="sequences of a step (for --trainer; the recipe's, or 2048)")
    export.add_argument("--steps", type=_positive, metavar="N", help="steps (for --trainer; the recipe's, or all that see no token twice)")
    export.add_argument("--salt", type=Path, metavar="FILE", help="salt of the digests, made if missing (for --public; kept nowhere)")
    export.set_defaults(command=_export)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9][0-9_]{0,14}", text, re.ASCII) or int(text.replace("_", "")) == 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number above 0")
    return int(text.replace("_", ""))


def _export(options: argparse.Namespace) -> int:
    for name, forms in _OPTIONS.items():
        if getattr(options, name) is not None and all(getattr(options, form) is None for form in forms):
            raise RecipeError(f"export: --{name} is for {' and '.join(f'--{form}' for form in forms)}; leave it out")
    if options.text is not None:
        from pipeline.text_export import export_text

        export_text(options.mix, options.text, options.tokenizer, options.workers)
    elif options.card is not None:
        from pipeline.dataset_card import export_card

        export_card(options.mix, None if str(options.card) == "-" else options.card)
    elif options.public is not None:
        from pipeline.public_export import export_public
        from pipeline.report import say

        say(f"{options.public}: identity {export_public(options.mix, options.public, options.salt)['identity']}")
    else:
        from pipeline.trainer_export import Wish, export_trainer

        export_trainer(options.mix, options.trainer, options.out, options.tokenizer, Wish(options.sequence, options.batch, options.steps))
    return 0
