"""The files of a mix folder, by name, and their bytes. What they hold: `mixtures.mix.indexed` and
`mixtures.mix.tables`.

Tokens pass through once: they are more than the memory, and what the system kept of them in its
cache would cost more than to read or write it, and drive out what others need. So it is asked to
keep none (RWF_DONTCACHE, from Linux 6.14 on; what is in the cache already is used, and stays), and
where it cannot, it reads and writes as ever.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

TOKENS, INDEX = "tokens.bin", "tokens.idx"
_DONTCACHE = 0x80 if sys.platform == "linux" else 0
"""Of linux/fs.h; `os` does not name it yet."""
_PASSING_BYTES = 1 << 16
"""Less shares pages with what is read or written next, which would wait for the disk."""


def part_path(folder: Path, table: str, number: int) -> Path:
    """File of one part of a table, `documents` or `provenance`."""
    return folder / f"{table}.parquet" / f"part-{number:05d}.parquet"


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
