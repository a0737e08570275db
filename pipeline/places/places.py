"""Where sources, stores and mixes lie: a folder of this machine's file systems, or a URL of an
allowed scheme.

    s3://BUCKET/PREFIX, gs://BUCKET/PREFIX                sources, stores and mixes
    hf://datasets/OWNER/NAME[@REVISION][/FOLDER]          sources

A URL says where, never who: credentials come from the environment alone, so that none can enter a
plan, a manifest or a log.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import RecipeError

SCHEMES = ("s3", "gs", "hf")
WRITABLE = ("s3", "gs")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_DATASET = re.compile(r"datasets/[^/@]+/[^/@]+(@[^/@]+)?(/[^@]*)?")


@dataclass(frozen=True)
class RemoteFolder:
    """A prefix of an object store, or a folder of a repository of the hub."""

    url: str
    """Without a slash at its end."""

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self.url.split("://", 1)[0]

    def __truediv__(self, name: str) -> RemoteFolder:
        return RemoteFolder(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    def absolute(self) -> RemoteFolder:
        """Itself: a URL has no working directory."""
        return self

    def holds(self, other: RemoteFolder) -> bool:
        """Whether the other is this one, or lies in it."""
        return f"{other.url}/".startswith(f"{self.url}/")


Place = Path | RemoteFolder


def is_url(text: str) -> bool:
    """Whether a text has the form of a URL, of whichever scheme."""
    return _SCHEME.fullmatch(text) is not None


def parse_url(text: str, allowed: tuple[str, ...] = SCHEMES) -> RemoteFolder:
    """Read a URL. What it says is not repeated in an error, since it may hold a password.

    Raises:
        RecipeError: another scheme, credentials, a query, or a path that could mean something else
            than it says.
    """
    match = _SCHEME.fullmatch(text)
    shown = ", ".join(f"{scheme}://" for scheme in allowed)
    if match is None or match[1] not in allowed:
        scheme = f"the scheme {match[1]!r}" if match else "a URL without a scheme"
        raise RecipeError(
            f"{scheme} is not allowed here; allowed are local folders and {shown}; download the"
            " files first, and name their folder"
        )
    scheme, rest = match[1], match[2].rstrip("/")
    if scheme != "hf" and "@" in rest.split("/", 1)[0]:
        raise RecipeError(
            f"a {scheme}:// URL with a user or password is refused; put credentials into the"
            " environment"
        )
    if re.search(r"[?#\\\s]", rest) or not rest.isprintable():
        raise RecipeError(
            f"a {scheme}:// URL with a query, fragment, backslash or white space is refused; write"
            f" {scheme}://PLACE/FOLDER"
        )
    if any(part in ("", ".", "..") for part in rest.split("/")):
        raise RecipeError(
            f"a {scheme}:// URL with an empty part, '.' or '..' is refused; write"
            f" {scheme}://PLACE/FOLDER"
        )
    if scheme == "hf" and not _DATASET.fullmatch(rest):
        raise RecipeError("an hf:// URL has the form hf://datasets/OWNER/NAME[@REVISION][/FOLDER]")
    return RemoteFolder(f"{scheme}://{rest}")


def read_place(text: str, allowed: tuple[str, ...] = SCHEMES) -> Place:
    """A URL, or else a local path.

    Raises: RecipeError as `parse_url`.
    """
    return parse_url(text, allowed) if is_url(text) else Path(text)


def default_cache() -> Path:
    """What is kept between commands: tokenizers, models, the calibration and, if nobody says
    otherwise, copies of remote folders.

    Raises:
        RecipeError: nobody says where it is: containers run as users that have no home.
    """
    asked = os.environ.get("ANNEALMIX_CACHE")
    try:
        return Path(asked or "~/.cache/annealmix").expanduser()
    except RuntimeError:
        raise RecipeError(
            f"{'ANNEALMIX_CACHE ' + repr(asked) if asked else 'the cache folder'}: no such home"
            f" (HOME is not set, or there is no such user; user {os.getuid()} runs this); set"
            " ANNEALMIX_CACHE to a folder to keep tokenizers and the like in"
        ) from None


def cache_folder(cache: Path | None, kind: str, remote: RemoteFolder) -> Path:
    """The working copy of a remote folder. kind: `stores` or `mixes`."""
    name = hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    return (cache or default_cache()).absolute() / kind / name
