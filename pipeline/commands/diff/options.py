"""The options of `annealmix diff`. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from functools import partial

from pipeline.commands.options import (
    add_command,
    add_json,
    add_option,
    add_store_folder,
    local_path,
)


def add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `diff`."""
    diff = add_command(
        commands,
        "diff",
        "what two mixes share, and what only one of them has and why",
        "annealmix diff mix other-mix",
    )
    option = partial(add_option, diff, kind=local_path)
    option("one", "A", "folder of a mix")
    option("two", "B", "folder of another")
    add_store_folder(diff, "the store of both: says why where the manifests leave several reasons")
    what = "write the documents in which they differ to a new parquet file, mode 0600"
    option("--list", "FILE", what)
    option(
        "--html",
        "FILE",
        "write one page: shares side by side, what only one has and why, lengths and scores"
        " (needs the extra `report`)",
    )
    add_json(diff, "the answer as JSON")
    diff.set_defaults(command=_diff)


def _diff(options: argparse.Namespace) -> int:
    from pipeline import report
    from pipeline.commands.destination import refuse_file
    from pipeline.commands.diff import report as diff_report
    from pipeline.commands.diff.diff import diff

    if options.html is not None:
        from pipeline.commands.page.elements import require_packages

        require_packages()
        for mix in (options.one, options.two):
            refuse_file(options.html, mix)
    mix_diff = diff(options.one, options.two, store=options.store, listing=options.list)
    if options.html is not None:
        from pipeline.commands.diff.page import write_page

        try:
            write_page(mix_diff, options.html)
        except BaseException:
            if options.list is not None:
                options.list.unlink()  # else the same command would be refused for it
            raise
        report.say(f"{options.html}: {report.size(options.html.stat().st_size)}")
    if options.json:
        report.result(mix_diff.as_json())
    else:
        diff_report.show(mix_diff)
    return 0
