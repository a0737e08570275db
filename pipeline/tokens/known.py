"""What a tokenizer.json says, kept in the cache folder for later commands: to read a vocabulary
takes from a tenth of a CPU second (50,000 ids) to some seconds (262,144).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

from mixtures.recipe.tokenizer import form
from mixtures.recipe.tokenizer.form import AddedToken, Contents
from pipeline.places.places import default_cache


@lru_cache(maxsize=2)
def known_contents(content: bytes) -> Contents:
    """`mixtures.recipe.tokenizer.form.contents` of the tokenizer.json with these bytes.

    What is kept is known by these bytes and those of the module that reads them, so that other
    rules find nothing; damaged, or where no folder can be written, it is made again.

    Raises:
        ManifestError: as `contents`.
    """
    rules = Path(form.__file__).read_bytes()
    key = blake3(blake3(rules).digest() + blake3(content).digest()).hexdigest()
    kept = default_cache() / "contents" / f"{key}.json"
    with suppress(OSError, ValueError):
        digest, _, record = kept.read_bytes().partition(b"\n")
        if digest == _digest(record):
            said = json.loads(record)
            said["added"] = tuple(AddedToken(*token) for token in said["added"])
            return Contents(**said)
    found = form.contents(content)
    record = json.dumps(found._asdict()).encode()
    temporary = kept.with_suffix(f".{os.uname().nodename}-{os.getpid()}")
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(_digest(record) + b"\n" + record)
        temporary.replace(kept)
    return found


def _digest(record: bytes) -> bytes:
    return blake3(record).hexdigest().encode()
