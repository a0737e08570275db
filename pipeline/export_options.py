"""The options of `annealmix export`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `export`."""
    export = commands.add_parser("export", help="show a mix to others: one page that says what is in it")
    export.add_argument("mix", type=Path, metavar="MIX", help="folder of a mix")
    export.add_argument(
        "--html", type=Path, required=True, metavar="FILE", help="write a page here that needs no network and has no scripts"
    )
    export.add_argument("--store", type=Path, metavar="DIR", help="the store of the mix: scores, and which documents were removed")
    export.add_argument("--tokenizer", type=Path, metavar="FILE", help="the mix's tokenizer.json: shows the texts of the sampled documents")
    export.add_argument("--samples", type=_samples, default=3, metavar="N", help="documents of each source that are shown, 0 to 100 (3)")
    export.set_defaults(command=_export)


def _samples(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or int(text) > 100:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 to 100")
    return int(text)


def _export(options: argparse.Namespace) -> int:
    from pipeline.html.page import write_page
    from pipeline.report import say, size

    write_page(options.mix, options.html, options.store, options.tokenizer, options.samples)
    say(f"{options.html}: {size(options.html.stat().st_size)}")
    return 0
