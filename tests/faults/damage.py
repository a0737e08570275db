"""Damage to a file: bits that flip, bytes that go or come, values of JSON that are other ones;
drawn from a seed, and never none.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOSTILE: tuple[Any, ...] = (
    0,
    -1,
    1 << 31,
    1 << 62,
    1 << 64,
    "",
    "../x",
    "0" * 64,
    [],
    {},
    None,
    True,
    1.5,
)
"""What a value of JSON is replaced by: of another type, out of range, or a path that leads
elsewhere.
"""


def flip(content: bytes, draw: random.Random) -> bytes:
    """One to three bits of it are others."""
    changed = bytearray(content)
    for at in draw.sample(range(len(content)), min(len(content), draw.randint(1, 3))):
        changed[at] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncate(content: bytes, draw: random.Random) -> bytes:
    """Its end is gone, or all of it."""
    return content[: draw.choice([0, draw.randrange(len(content)), len(content) - 1])]


def insert(content: bytes, draw: random.Random) -> bytes:
    """Some bytes more, somewhere."""
    at = draw.choice([0, len(content), draw.randint(0, len(content))])
    return content[:at] + draw.randbytes(draw.choice([1, 2, 8, 16, 100])) + content[at:]


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """Eight bytes are a number that no file holds, as lengths and counts would be."""
    at = draw.randrange(len(content))
    return (
        content[:at]
        + draw.choice([b"\xff" * 8, (1 << 62).to_bytes(8, "little"), bytes(8)])
        + content[at + 8 :]
    )


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value within a value of JSON."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def swap_values(content: bytes, draw: random.Random) -> bytes:
    """A value of a JSON file is another one, or gone, or two of them have changed places."""
    value = json.loads(content)
    (into, key), (other, at) = draw.choice(found := places(value)), draw.choice(found)
    kind = draw.randrange(3)
    if kind == 0:
        into[key] = draw.choice(HOSTILE)
    elif kind == 1:
        del into[key]
    else:
        into[key], other[at] = json.loads(json.dumps(other[at])), json.loads(json.dumps(into[key]))
    return json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"


def damaged(path: Path, draw: random.Random) -> str:
    """Damage a file. Returns what was done to it; what left it as it was is drawn again."""
    content = path.read_bytes()
    kinds = [flip, truncate, insert, overwrite] + [swap_values] * 3 * (path.suffix == ".json")
    while True:
        kind = draw.choice(kinds)
        changed = kind(content, draw) if content or kind is insert else content
        if changed != content:
            path.write_bytes(changed)
            return f"{path.name}: {kind.__name__}"


def renew(folder: Path, pristine: Path) -> None:
    """Make a folder what another one is."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)


@contextmanager
def bounded_memory(num_bytes: int = 1 << 30) -> Iterator[None]:
    """The process may take so much more address space than it has: what a damaged length claims
    does not fit.
    """
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
