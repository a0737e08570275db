"""Options that name a place, which may be a URL. Nothing heavy is imported before the command runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixtures.errors import RecipeError
from pipeline.places.places import (
    SCHEMES,
    WRITABLE,
    Place,
    RemoteFolder,
    default_cache,
    is_url,
    parse_url,
)


def local_path(text: str) -> Path:
    """A folder or file of this machine's file systems."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("the path is not UTF-8; plans and manifests could not name it") from None
    if is_url(text):
        raise argparse.ArgumentTypeError("a URL is not allowed here; name a local folder or file")
    return Path(text)


def readable(text: str) -> Place:
    """A folder to read from, which may be the hub's."""
    return _place(text, SCHEMES)


def written(text: str) -> Place:
    """A folder that annealmix writes."""
    return _place(text, WRITABLE)


def _place(text: str, allowed: tuple[str, ...]) -> Place:
    try:
        return parse_url(text, allowed) if is_url(text) else local_path(text)
    except RecipeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_cache(command: argparse.ArgumentParser) -> None:
    """Add --cache."""
    cache = default_cache()
    command.add_argument(
        "--cache", type=local_path, default=cache, metavar="DIR", help="working copies of remote stores and mixes (~/.cache/annealmix)"
    )


@contextmanager
def local_mix(mix: Place, cache: Path) -> Iterator[Path]:
    """A mix to read: where it lies, or a copy of a remote one that is deleted afterwards."""
    if not isinstance(mix, RemoteFolder):
        yield mix
        return
    from pipeline.build.remote_output import fetched

    with fetched(mix, cache) as folder:
        yield folder
