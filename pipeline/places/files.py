"""File systems of remote places, and patience with them: what may pass is tried again, what cannot
is said at once.

Clients' own retries are switched off, so that the rules here are the only ones: throttling (429),
5xx, timeouts, broken connections and whatever is unknown are tried again, ATTEMPTS times with
growing waits (about 90 s in all); 404, 403 and missing credentials are not. Causes are named by
type and first line, without query strings (a signed URL has its signature there) and without values
of the environment that look secret; the exceptions themselves are not chained, since a log would
show their variables.
"""

from __future__ import annotations

import base64
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from mixtures.errors import AnnealmixError, InputError, RecipeError
from pipeline.places.places import RemoteFolder

T = TypeVar("T")
ATTEMPTS = 8
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
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


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

            found = S3FileSystem(
                use_listings_cache=False,
                max_concurrency=2,
                config_kwargs={"retries": {"total_max_attempts": 1}},
            )
            found.retries = 1
            return found
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
) -> T:
    """Do something remote, again if it fails for a reason that may pass.

    Args:
        where: begins the message. mend: ends it. reset: called after each failure.

    Raises:
        AnnealmixError: of the kind `failure`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except AnnealmixError:
            raise
        except Exception as error:
            reset()
            if is_permanent(error):
                raise failure(f"{where} ({told(error)}); {mend}") from None
            if attempt == ATTEMPTS:
                raise failure(f"{where} after {attempt} tries ({told(error)}); {mend}") from None
            time.sleep(
                min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
                * random.uniform(0.5, 1.0)
            )
    raise AssertionError("unreachable: the last try returns or raises")


def is_permanent(error: BaseException) -> bool:
    """Whether trying again cannot help: not found, not allowed, nobody's credentials. Unknown
    exceptions may pass.
    """
    for one in _chain(error):
        response = getattr(one, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        status = _status(one, response)
        if code in _PASSING_CODES or status in _PASSING_STATUS:
            return False
        if status is not None and 400 <= status < 500:
            return True
        if isinstance(
            one, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
        ):
            return True
        if "Credential" in type(one).__name__:
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it, the deepest last."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _status(error: BaseException, response: Any) -> int | None:
    """The HTTP status that an exception of botocore, gcsfs, aiohttp or the hub's client stands
    for.
    """
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None)
        if type(error).__name__ in (
            "HttpError",
            "ClientResponseError",
        ):  # others call their own findings about a broken answer so
            found = found or getattr(error, "status", None) or getattr(error, "code", None)
    return (
        int(found)
        if isinstance(found, int) or (isinstance(found, str) and found.isdigit())
        else None
    )


def told(error: BaseException) -> str:
    """An exception in one line that holds no secret."""
    text = (str(error).strip().splitlines() or [""])[0]
    text = re.sub(r"\?[^\s'\">]*", "?...", text)
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET_NAMES.search(name):
            text = text.replace(value, "...").replace(quote(value, safe=""), "...")
    return f"{type(error).__name__}: {text}"[:500]


def listed(
    folder: RemoteFolder, failure: type[AnnealmixError] = InputError
) -> dict[str, dict[str, Any]]:
    """Every object below a prefix of an object store: path below it -> size (bytes), etag and md5
    (hex, or None).

    Raises:
        AnnealmixError: of the kind `failure`, if it cannot be listed, or a key could mean something
            else as a path.
    """
    system = file_system(folder.scheme)
    prefix = folder.url.split("://", 1)[1]

    def find() -> dict[str, Any]:
        system.invalidate_cache()
        if "/" in prefix:
            system.info(prefix.split("/", 1)[0])  # `find` takes an unknown bucket for an empty one
        return dict(system.find(prefix, detail=True))

    found = retried(f"{folder.url}: cannot be listed", find, failure=failure)
    objects = {}
    for key, entry in sorted(found.items()):
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
        objects[path] = {"size": int(entry["size"]), "etag": etag_of(entry), "md5": md5_of(entry)}
    return objects


def etag_of(entry: dict[str, Any]) -> str:
    """What an object store says changes with an object's content: S3's ETag, the generation of
    Google's.
    """
    return str(entry.get("ETag") or entry.get("generation") or entry.get("etag") or "").strip('"')


def md5_of(entry: dict[str, Any]) -> str | None:
    """MD5 (hex) of an object, as far as its listing says: S3's ETag is one where it was sent in one
    piece and not encrypted otherwise.
    """
    if "md5Hash" in entry:
        return base64.b64decode(entry["md5Hash"]).hex()
    found = str(entry.get("ETag") or "").strip('"')
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else None


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


def remove(folder: RemoteFolder, path: str) -> None:
    """Delete an object."""
    system, where = file_system(folder.scheme), f"{folder.url}/{path}"
    retried(f"{where}: cannot be deleted", lambda: system.rm_file(where), failure=AnnealmixError)
