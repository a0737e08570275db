"""Files that recipes and definitions are read from, shipped ones and the user's, and how messages
name them; the door for every file that a user names; bytes of files that are larger than the
memory; and what installed packages bring.

Tokens pass through once, and what the system kept of them in its cache would cost more than to
read or write it, and drive out what others need. So it is asked to keep none (RWF_DONTCACHE, from
Linux 6.14 on; what is in the cache already is used, and stays), and where it cannot, it reads and
writes as ever.

Of `mixtures` this module alone touches the disk, and the rooms `mix` and `audit`, which read a
finished mix.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import recipes
from mixtures.errors import RecipeError
from mixtures.yaml.events import MAX_BYTES, TOO_LARGE

SHIPPED = Path(recipes.__file__).parent
"""The folder of the recipes, filters, sources and tokenizers that annealmix brings."""
EntryPoint = metadata.EntryPoint
_DONTCACHE = 0x80 if sys.platform == "linux" else 0
"""Of linux/fs.h; `os` does not name it yet."""
_PASSING_BYTES = 1 << 16
"""Less shares pages with what is read or written next, which would wait for the disk."""
_KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def names_in(folder: Path) -> list[str]:
    """Names of the YAML files of a folder, without their ending."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def shown(file: Path) -> str:
    """Name a file for messages: shipped ones by their place in the project, others as they were
    given.
    """
    if not file.is_relative_to(SHIPPED):
        return str(file)
    return f"recipes/{file.relative_to(SHIPPED).as_posix()}"


def json_heads(folder: Path) -> dict[str, bytes]:
    """How the JSON files of a folder begin, by name; what cannot be read is left out."""
    heads = {}
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError), open_file(path) as file:
            heads[path.name] = file.read(256)
    return heads


def lies_there(path: Path) -> bool:
    """Whether anything has that name: also a folder, or a link to nothing."""
    return os.path.lexists(path)


def is_file(path: Path) -> bool:
    """Whether there is a file, perhaps at the end of a link."""
    return path.is_file()


def is_folder(path: Path) -> bool:
    """Whether there is a folder, perhaps at the end of a link."""
    return path.is_dir()


def literal_glob(name: str) -> str:
    """The glob that this name alone fits."""
    return escape(name)


def without_links(path: Path) -> Path:
    """The path that all symbolic links lead to: one name for one file."""
    return path.resolve()


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path stays below a folder, also through symbolic links."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        return False


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, perhaps at the end of a link.

    A pipe without a writer would be waited for without end, and a device be read without end. So
    what is at the path is looked at first, and again when it is open, should it have changed.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says what it is.
    """
    _require_regular(path, path.stat())
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(path, os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def sha256_of(path: Path) -> str:
    """Of a file's content, in hex, read in pieces.

    Raises:
        RecipeError: it cannot be read.
    """
    digest = sha256()
    try:
        with open_file(path) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise RecipeError(f"{shown(path)}: cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def _require_regular(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(state.st_mode) else errno.EINVAL
        raise OSError(code, f"{kind_of(state)}, not a regular file", str(path))


def kind_of(state: os.stat_result) -> str:
    """What is at a path, in words: `a folder`."""
    return _KINDS.get(stat.S_IFMT(state.st_mode), "a special file")


def read_bytes(path: Path) -> bytes:
    """Read a whole regular file that a user or a definition names, such as a list of terms.

    Raises:
        OSError: it cannot be read, or is no regular file; `strerror` says what it is.
    """
    with open_file(path) as file:
        return file.read()


def read_at(handle: int, offset: int, into: memoryview) -> int:
    """Fill `into` with what a file holds from `offset` on. Returns the bytes that were read: fewer
    only where the file ends.
    """
    read = 0
    while read < len(into) and (done := _passing(os.preadv, handle, into[read:], offset + read)):
        read += done
    return read


def write_at(handle: int, offset: int, content: memoryview) -> None:
    """Write all of `content` at its place."""
    while content:
        written = _passing(os.pwritev, handle, content, offset)
        content, offset = content[written:], offset + written


def _passing(call: Callable[..., int], handle: int, content: memoryview, offset: int) -> int:
    """Bytes that `call`, os.preadv or os.pwritev, moved."""
    if _DONTCACHE and len(content) >= _PASSING_BYTES:
        try:
            return call(handle, [content], offset, _DONTCACHE)
        except NotImplementedError:  # Python was built where there are no flags
            pass
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
    return call(handle, [content], offset)


def read_text(path: Path, where: str) -> str:
    """Read a small UTF-8 file.

    Raises:
        RecipeError: it cannot be read, is no regular file, is over 256 KiB or is not UTF-8.
    """
    try:
        with open_file(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RecipeError(
            f"{where}: cannot be read ({reason}); give an existing YAML file"
        ) from None
    if len(content) > MAX_BYTES:
        raise RecipeError(f"{where}:1: {TOO_LARGE}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"{where}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as"
            " UTF-8"
        ) from None


def entry_points(group: str) -> list[EntryPoint]:
    """What installed packages name in a group. Nothing of them is imported."""
    return list(metadata.entry_points(group=group))


def sources_of(package: str) -> dict[str, bytes]:
    """All Python sources of an installed top-level package or module, by path below its folder,
    in the order of the paths; none if it has no source file. Nothing of it is imported.

    Raises:
        OSError: one cannot be read.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return {}
    origin = Path(spec.origin)
    root, files = origin.parent, [origin]
    if spec.submodule_search_locations is not None:
        files = sorted(root.rglob("*.py"))
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
