"""The options of `annealmix audit`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse

from mixtures.rules.levels import LEVELS
from pipeline.commands.options import (
    add_cache,
    add_command,
    add_data,
    add_json,
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
    audit.add_argument(
        "mix",
        type=written,
        metavar="MIX",
        help="folder or URL of a mix, or the prefix of a bare .bin/.idx pair",
    )
    add_cache(audit)
    audit.add_argument(
        "--against",
        type=written,
        nargs="+",
        default=[],
        metavar="MIX",
        help="prove that these mixes share no document with it",
    )
    audit.add_argument(
        "--aligned",
        type=written,
        nargs="+",
        default=[],
        metavar="MIX",
        help="prove that these mixes of its study differ from it in slots alone",
    )
    audit.add_argument(
        "--full",
        action="store_true",
        help="every check that the other options allow; says what is missing for the others",
    )
    audit.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="F",
        help="judge every document again; fails if any is flagged (may be repeated)",
    )
    audit.add_argument("--level", choices=LEVELS, help="published level at which the filters judge")
    audit.add_argument(
        "--rescore",
        type=positive,
        metavar="N",
        help="score N documents again, alone and in reversed order",
    )
    audit.add_argument(
        "--source-check",
        type=positive,
        metavar="N",
        help="read N documents again in their sources and encode them with the reference library",
    )
    audit.add_argument(
        "--rewrites",
        type=local_path,
        metavar="FILE",
        help="hold slots that rewrites fill against their file, and against the base",
    )
    add_data(audit, "for --source-check: read DIR/SOURCE instead of the hub")
    add_store_folder(
        audit, "hold every token and row, removals and scores against this store, the mix's own"
    )
    add_tokenizer(
        audit, "the tokenizer.json that made the ids (for --filter, --source-check, --rewrites)"
    )
    audit.add_argument(
        "--workers", type=positive, metavar="N", help="processes that judge at a time (the cores)"
    )
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
