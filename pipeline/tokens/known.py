"""What a tokenizer.json says, kept in the cache folder for later commands: to read a vocabulary
takes from a tenth of a CPU second (50,000 ids) to some seconds (262,144).
"""

from __future__ import annotations

import json
from functools import lru_cache

from mixtures.recipe.tokenizer import form
from mixtures.recipe.tokenizer.form import AddedToken, Contents
from mixtures.yaml import fields
from pipeline.places.kept import kept


@lru_cache(maxsize=2)
def known_contents(content: bytes) -> Contents:
    """`mixtures.recipe.tokenizer.form.contents` of the tokenizer.json with these bytes.

    Raises:
        ManifestError: as `contents`.
    """
    rules = [form, fields]  # which has what digests are made of
    record = kept(
        "contents", content, rules, lambda: json.dumps(form.contents(content)._asdict()).encode()
    )
    said = json.loads(record)
    said["added"] = tuple(AddedToken(*token) for token in said["added"])
    return Contents(**said)
