"""The options of `annealmix export`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from functools import partial

from mixtures.errors import RecipeError
from mixtures.trainers.names import TRAINERS
from pipeline.commands.options import (
    add_command,
    add_data,
    add_flag,
    add_option,
    add_store_folder,
    add_tokenizer,
    data_folders,
    local_path,
    positive,
    whole_number,
)

SAMPLES, MOST_SAMPLES = 3, 100  # documents of each source that a page shows
# Options that belong to some of the forms alone.
_OPTIONS = {
    "tokenizer": ("html", "text", "trainer", "release", "removed"),
    "store": ("html",),
    "samples": ("html",),
    "workers": ("text", "release"),
    "out": ("trainer",),
    "sequence": ("trainer",),
    "batch": ("trainer",),
    "steps": ("trainer",),
    "salt": ("public", "release"),
    "with_tokens": ("release",),
    "push": ("release",),
    "accept_licences": ("push",),
    "urls": ("release",),
    "data": ("urls",),
}


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `export`."""
    export = add_command(
        commands,
        "export",
        "a mix in another form: a page, text, a dataset card, for a trainer, to be published",
        "annealmix export mix --card -",
    )
    option = partial(add_option, export)
    path, number = partial(option, kind=local_path), partial(option, kind=positive)
    path("mix", "MIX", "folder of a mix")
    forms = export.add_mutually_exclusive_group(required=True)
    form = partial(add_option, forms, kind=local_path)
    form("--html", "FILE", "a page that says what is in the mix; no network, no scripts")
    form("--text", "DIR", "parquet shards of the documents' texts, for datasets.load_dataset(DIR)")
    form("--card", "FILE", "dataset card (README.md of the hub); - prints it")
    forms.add_argument(
        "--trainer", choices=TRAINERS, help="data configuration of a trainer, written to --out"
    )
    form("--public", "DIR", "a copy without file and row, with salted digests")
    what = "a data set to publish: texts, card, licences, page, Croissant, training summary"
    form("--release", "DIR", what)
    what = "of an arm of a study: what it removes, with digest and text, to be rewritten"
    form("--removed", "FILE", what)
    add_tokenizer(
        export,
        "the mix's tokenizer.json (for --text, --trainer, --release, --removed, texts of --html)",
    )
    add_store_folder(export, "the mix's store (for --html: scores, and what was removed)")
    what = "documents of each source that are shown, 0 to 100 (for --html; 3)"
    option("--samples", "N", what, _samples)
    number("--workers", "N", "processes at a time (for --text, --release; the cores)")
    what = "where the configuration is written, and links to the mix beside it (for --trainer)"
    path("--out", "FILE", what)
    number("--sequence", "N", "tokens of a sequence (for --trainer; the recipe's, or 2048)")
    number("--batch", "N", "sequences of a step (for --trainer; the recipe's, or 2048)")
    number("--steps", "N", "steps (for --trainer; the recipe's, or all that see no token twice)")
    what = "salt of the digests, made if missing (for --public, --release; kept nowhere)"
    path("--salt", "FILE", what)
    what = "the public form of the mix comes along, in DIR/mix (for --release)"
    add_flag(export, "--with-tokens", what, default=None)
    what = "counts the domains that this column of the source's rows names (for --release)"
    option("--urls", "SOURCE=COLUMN", what, _url_column, action="append", default=[])
    add_data(export, "folders of sources that --urls reads again, which are read from the hub else")
    what = "sends the release to that data set of the hub; repeated, it goes on (for --release)"
    option("--push", "OWNER/NAME", what, _repository)
    what = "sends it although licences of its sources conflict (for --push)"
    add_flag(export, "--accept-licences", what, default=None)
    export.set_defaults(command=_export)


def _samples(text: str) -> int:
    number = whole_number(text)
    if number > MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"{number} is not a whole number from 0 to {MOST_SAMPLES}")
    return number


def _url_column(text: str) -> tuple[str, str]:
    source, equals, column = text.partition("=")
    if not (source and equals and column):
        raise argparse.ArgumentTypeError(f"{text!r} names no column; write SOURCE=COLUMN")
    return source, column


def _repository(text: str) -> str:
    from pipeline.commands.export.card import REPOSITORY

    if not REPOSITORY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no repository of the hub; write OWNER/NAME")
    return text


def _export(options: argparse.Namespace) -> int:
    from pipeline.report import plural, say, size

    for name, forms in _OPTIONS.items():
        given = {asked for asked in (name, *forms) if getattr(options, asked) not in (None, [])}
        if given == {name}:
            allowed = " and ".join(f"--{form}" for form in forms)
            raise RecipeError(f"export: --{name.replace('_', '-')} is for {allowed}; leave it out")
    if options.html is not None:
        from pipeline.commands.export.html.page import write_page

        write_page(
            options.mix,
            options.html,
            store=options.store,
            tokenizer=options.tokenizer,
            samples=SAMPLES if options.samples is None else options.samples,
        )
        say(f"{options.html}: {size(options.html.stat().st_size)}")
    elif options.text is not None:
        from pipeline.commands.export.text import export_text

        documents, shards = export_text(
            options.mix, options.text, options.tokenizer, workers=options.workers
        )
        say(f"{options.text}: {plural(documents, 'document')} in {plural(shards, 'shard')}")
    elif options.card is not None:
        from pipeline.commands.export.card import export_card

        export_card(options.mix, None if str(options.card) == "-" else options.card)
    elif options.public is not None:
        from mixtures.mix.manifest import names
        from pipeline.commands.export.public import export_public

        say(f"{options.public}: {names(export_public(options.mix, options.public, options.salt))}")
    elif options.removed is not None:
        from pipeline.commands.export.removed import export_removed

        documents, tokens = export_removed(options.mix, options.removed, options.tokenizer)
        say(f"{options.removed}: {plural(documents, 'document')} of {tokens:,} tokens")
    elif options.release is not None:
        from pipeline.commands.export.release.push import publish
        from pipeline.commands.export.release.release import ReleaseRequest, export_release

        urls = (dict(options.urls), data_folders(options)) if options.urls else None
        request = ReleaseRequest(
            options.mix,
            salt=options.salt,
            tokenizer=options.tokenizer,
            workers=options.workers,
            tokens=bool(options.with_tokens),
            urls=urls,
        )
        if options.push is None:
            export_release(request, options.release)
        else:
            accepted = bool(options.accept_licences)
            publish(request, options.release, options.push, accepted=accepted)
    else:
        from pipeline.commands.export.trainer import export_trainer

        made = export_trainer(
            options.mix,
            options.trainer,
            options.out,
            options.tokenizer,
            sequence=options.sequence,
            batch=options.batch,
            steps=options.steps,
        )
        size_of_steps = f"{made.batch:,} x {made.sequence:,} tokens"
        say(f"{options.out}: {plural(made.steps, 'step')} of {size_of_steps}")
    return 0
