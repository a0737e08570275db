"""What commands keep for later ones in the cache folder: bytes that follow from a key and from the
modules that make them, and are made again where they are missing or damaged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from blake3 import blake3

from mixtures.errors import RecipeError
from pipeline.places.places import default_cache


def kept(kind: str, key: bytes, rules: Iterable[ModuleType], make: Callable[[], bytes]) -> bytes:
    """What an earlier command made and kept in the cache folder's `kind`, or else what `make` does.

    The file's name is a hash of the key and of the modules' sources, so that what other rules made
    is not found; it begins with a hash of the rest. Where no file can be written, none is kept.

    Args:
        rules: all modules by which `make` makes what follows from `key`.
    """
    hashed = blake3(key)
    for module in rules:
        hashed.update(blake3(Path(str(module.__file__)).read_bytes()).digest())
    try:
        file = default_cache() / kind / hashed.hexdigest()
    except RecipeError:  # a user without a home
        return make()
    with suppress(OSError):
        content = file.read_bytes()
        digest, made = content[:32], content[32:]
        if blake3(made).digest() == digest:
            return made
    made = make()
    temporary = file.with_suffix(f".{os.uname().nodename}-{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.touch(mode=0o600)  # an index holds the items of its sets
        temporary.write_bytes(blake3(made).digest() + made)
        temporary.replace(file)
    except OSError:  # such as a disk that is full, which a part would not empty
        with suppress(OSError):
            temporary.unlink()
    return made
