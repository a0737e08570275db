"""File systems of remote places, and patience with them: what may pass is tried again, what cannot
is said at once.

The rules here are the only ones, since clients' own retries are switched off where they can be (not
in the hub's client, which asks for a listing or a block six times by itself):

    404, 403, no credentials, offline mode of the hub's client    fail at the first try
    a host whose name is not known                                RESOLVE_ATTEMPTS, about 3 s in all
    429, 5xx, timeouts, broken connections, the unknown           ATTEMPTS, about 90 s in all
    stale handles of a network file system, listed files that     LOCAL_ATTEMPTS, about 5 s in all
    are not there when they are opened

The waits grow, and each says on stderr what is waited for. Causes are named by type and first line,
without query strings (a signed URL has its signature there) and without values of the environment
that look secret; the exceptions themselves are not chained, since a log would show their variables.
"""

from __future__ import annotations

import base64
import errno
import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from mixtures.errors import AnnealmixError, InputError, RecipeError
from mixtures.words import first_line
from pipeline.places.places import RemoteFolder
from pipeline.report import say

T = TypeVar("T")
ATTEMPTS = 8
RESOLVE_ATTEMPTS = 3  # a resolver may stumble, a name that nobody knows stays unknown
LOCAL_ATTEMPTS = 4  # a client's memory of a folder is some seconds old at most
STALE = frozenset((errno.ESTALE,))
"""What a network file system says of a file that was replaced on another machine, until it has
looked again."""
NOT_YET = STALE | {errno.ENOENT}
"""And of one that another machine has just made."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
BLOCK_BYTES = 8 << 20  # what an open remote file asks for at a time
_PASSING_STATUS = (408, 425, 429)
_PASSING_CODES = (
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalError",
)
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_LASTING_NAMES = "Credential|OfflineMode"  # of exceptions of clients that are not imported here
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """What a listing says of an object."""

    size: int
    """Bytes."""
    etag: str
    """As `etag_of`."""
    md5: str | None
    """As `md5_of`."""


def file_system(scheme: str) -> Any:
    """The fsspec file system of a scheme of `pipeline.places.places`, without listings that it
    remembers.

    Raises:
        RecipeError: its package is not installed.
    """
    package, extra = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "hf": ("huggingface_hub", "")}[
        scheme
    ]
    try:
        if scheme == "s3":
            from s3fs import S3FileSystem

            system = S3FileSystem(
                use_listings_cache=False,
                max_concurrency=2,
                config_kwargs={"retries": {"total_max_attempts": 1}},
            )
            system.retries = 1
            return system
        if scheme == "gs":
            from gcsfs import GCSFileSystem

            return GCSFileSystem(use_listings_cache=False)
    except ImportError:
        raise RecipeError(
            f"{scheme}:// needs the package {package}; pip install 'annealmix[{extra}]'"
        ) from None
    from huggingface_hub import HfFileSystem

    return HfFileSystem()


def retried(
    where: str,
    action: Callable[[], T],
    mend: str = "check the network and the credentials in the environment",
    *,
    failure: type[AnnealmixError] = InputError,
    reset: Callable[[], None] = lambda: None,
    most: int = ATTEMPTS,
) -> T:
    """Do something remote, again if it fails for a reason that may pass.

    Args:
        where: begins the message. mend: ends it. reset: called after each failure. most: attempts;
            fewer where somebody waits who can help himself.

    Raises:
        AnnealmixError: of the kind `failure`.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return action()
        except AnnealmixError:
            raise
        except Exception as error:
            reset()
            reason, allowed = error_line(error), min(attempts_at(error), most)
            if attempt >= allowed:
                tries = f" after {attempt} tries" if allowed > 1 else ""
                raise failure(f"{where}{tries} ({reason}); {mend}") from None
        _wait(where, reason, attempt)


def patient(where: str, action: Callable[[], T], passing: frozenset[int] = STALE) -> T:
    """Do something on a file system of this machine, again while it fails with an errno that may
    pass.

    Args:
        where: begins the lines on stderr. passing: STALE, or NOT_YET for what is known to be there.

    Raises:
        OSError: the last, for the caller's own message; any other at once.
    """
    for attempt in range(1, LOCAL_ATTEMPTS):
        try:
            return action()
        except OSError as error:
            if error.errno not in passing:
                raise
            reason = error.strerror
        _wait(where, reason, attempt)
    return action()


def _wait(where: str, reason: str | None, attempt: int) -> None:
    longest = min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
    seconds = longest * random.uniform(0.5, 1.0)  # so that many tasks do not ask in step
    say(f"{where} ({reason}); next try in {seconds:.1f} s")
    time.sleep(seconds)


def attempts_at(error: BaseException) -> int:
    """How often what failed so is tried: once where trying again cannot help (not found, not
    allowed, nobody's credentials, offline mode). Unknown exceptions may pass.
    """
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        status = _status(cause, response)
        if code in _PASSING_CODES or status in _PASSING_STATUS:
            return ATTEMPTS
        if status is not None and 400 <= status < 500:
            return 1
        if isinstance(cause, _LASTING) or re.search(_LASTING_NAMES, type(cause).__name__):
            return 1
        if isinstance(cause, socket.gaierror):
            return RESOLVE_ATTEMPTS
    return ATTEMPTS


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it, the deepest last."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _status(error: BaseException, response: Any) -> int | None:
    """The HTTP status that an exception of botocore, gcsfs, aiohttp or the hub's client stands
    for.
    """
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(response, "status_code", None)
        # exceptions of other kinds mean something else by status or code
        if type(error).__name__ in ("HttpError", "ClientResponseError"):
            status = status or getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int) or (isinstance(status, str) and status.isdigit()):
        return int(status)
    return None


def error_line(error: BaseException) -> str:
    """An exception in one line that holds no secret."""
    text = re.sub(r"\?[^\s'\">]*", "?...", first_line(error, ""))
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET_NAMES.search(name):
            text = text.replace(value, "...").replace(quote(value, safe=""), "...")
    return f"{type(error).__name__}: {text}"[:500]


def list_objects(
    folder: RemoteFolder, failure: type[AnnealmixError] = InputError
) -> dict[str, RemoteObject]:
    """Every object below a prefix of an object store, by its path below it.

    Raises:
        AnnealmixError: of the kind `failure`, if it cannot be listed, or a key could mean something
            else as a path.
    """
    system = file_system(folder.scheme)
    prefix = folder.url.split("://", 1)[1]

    def find() -> dict[str, Mapping[str, Any]]:
        system.invalidate_cache()
        if "/" in prefix:
            system.info(prefix.split("/", 1)[0])  # `find` takes an unknown bucket for an empty one
        return dict(system.find(prefix, detail=True))

    objects = {}
    entries = retried(f"{folder.url}: cannot be listed", find, failure=failure)
    for key, entry in sorted(entries.items()):
        if key.endswith("/") or entry.get("type") == "directory":
            continue
        path = key.removeprefix(f"{prefix}/")
        if (
            path == key
            or any(part in ("", ".", "..") for part in path.split("/"))
            or not path.isprintable()
        ):
            raise failure(
                f"{folder.url}: holds a key that is no path ({key!r}); rename or remove it"
            )
        objects[path] = RemoteObject(int(entry["size"]), etag_of(entry), md5_of(entry))
    return objects


def etag_of(entry: Mapping[str, Any]) -> str:
    """What an object store says changes with an object's content: S3's ETag, the generation of
    Google's.
    """
    return str(entry.get("ETag") or entry.get("generation") or entry.get("etag") or "").strip('"')


def md5_of(entry: Mapping[str, Any]) -> str | None:
    """MD5 (hex) of an object, as far as its listing says: S3's ETag is one where it was sent in one
    piece and not encrypted otherwise.
    """
    if "md5Hash" in entry:
        return base64.b64decode(entry["md5Hash"]).hex()
    etag = str(entry.get("ETag") or "").strip('"')
    return etag if re.fullmatch(r"[0-9a-f]{32}", etag) else None


def content(folder: RemoteFolder, path: str, failure: type[AnnealmixError] = InputError) -> bytes:
    """The whole of a small object."""
    system, where = file_system(folder.scheme), f"{folder.url}/{path}"
    return bytes(
        retried(f"{where}: cannot be read", lambda: system.cat_file(where), failure=failure)
    )


def put(folder: RemoteFolder, path: str, data: bytes) -> None:
    """Write an object whole, replacing what is there."""
    system, where = file_system(folder.scheme), f"{folder.url}/{path}"
    retried(
        f"{where}: cannot be written", lambda: system.pipe_file(where, data), failure=AnnealmixError
    )


def copy(source: RemoteFolder, folder: RemoteFolder, path: str) -> None:
    """Copy an object to the same path below another prefix, replacing what is there, without its
    bytes coming here.
    """
    system, where = file_system(folder.scheme), f"{folder.url}/{path}"
    retried(
        f"{where}: cannot be copied",
        lambda: system.cp_file(f"{source.url}/{path}", where),
        failure=AnnealmixError,
    )


def remove(folder: RemoteFolder, path: str) -> None:
    """Delete an object."""
    system, where = file_system(folder.scheme), f"{folder.url}/{path}"
    retried(f"{where}: cannot be deleted", lambda: system.rm_file(where), failure=AnnealmixError)
