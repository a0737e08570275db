"""The options of `annealmix audit`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from functools import partial

from mixtures.rules.levels import LEVELS
from pipeline.commands.options import (
    add_cache,
    add_command,
    add_data,
    add_flag,
    add_json,
    add_option,
    add_store_folder,
    add_tokenizer,
    data_folders,
    local_path,
    positive,
    written,
)
from pipeline.lookup.local import local_mixes


def add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `audit`."""
    audit = add_command(
        commands,
        "audit",
        "recount a mix from its bytes; exit 3 when anything is off",
        "annealmix audit mix --full",
    )
    option = partial(add_option, audit)
    number = partial(option, kind=positive)
    option("mix", "MIX", "folder or URL of a mix, or the prefix of a bare .bin/.idx pair", written)
    add_cache(audit)
    others = partial(option, kind=written, nargs="+", default=[])
    others("--against", "MIX", "prove that these mixes share no document with it")
    others("--aligned", "MIX", "prove that these mixes of its study differ from it in slots alone")
    what = "every check that the other options allow; says what is missing for the others"
    add_flag(audit, "--full", what)
    what = "judge every document again; fails if any is flagged (may be repeated)"
    option("--filter", "F", what, action="append", default=[])
    audit.add_argument("--level", choices=LEVELS, help="published level at which the filters judge")
    number("--rescore", "N", "score N documents again, alone and in reversed order")
    what = "read N documents again in their sources and encode them with the reference library"
    number("--source-check", "N", what)
    what = "hold slots that rewrites fill against their file, and against the base"
    option("--rewrites", "FILE", what, local_path)
    add_data(audit, "for --source-check: read DIR/SOURCE instead of the hub")
    add_store_folder(
        audit, "hold every token and row, removals and scores against this store, the mix's own"
    )
    add_tokenizer(
        audit, "the tokenizer.json that made the ids (for --filter, --source-check, --rewrites)"
    )
    number("--workers", "N", "processes that judge at a time (the cores)")
    add_json(audit, "the report as JSON")
    audit.set_defaults(command=_audit)


def _audit(options: argparse.Namespace) -> int:
    from mixtures.errors import AuditFailed
    from pipeline.commands.audit.audit import AuditRequest, audit
    from pipeline.commands.audit.report import show
    from pipeline.report import result

    places = [options.mix, *options.against, *options.aligned]
    with local_mixes(places, options.cache) as (mix, *others):
        found = audit(
            AuditRequest(
                mix=mix,
                against=others[: len(options.against)],
                aligned=others[len(options.against) :],
                full=options.full,
                source_check=options.source_check,
                data=data_folders(options),
                tokenizer=options.tokenizer,
                store=options.store,
                filters=options.filter,
                level=options.level,
                rescore=options.rescore,
                workers=options.workers,
                rewrites=options.rewrites,
            )
        )
        if options.json:
            result(found.as_json())
        else:
            show(found)
    return 0 if found.ok else AuditFailed.exit_code
