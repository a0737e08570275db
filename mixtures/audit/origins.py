"""Where the files of a mix come from: inputs and commits, held against the definitions of its
recipe.

A commit decides which files are read, but not what they say: that is in the hashes of the inputs.
So a commit that was edited is seen only where the definition pins one; of others
`audit --store` knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mixtures.mix.claims import Claims

_COMMIT = re.compile(r"[0-9a-f]{40}")


def origin_faults(claims: Claims) -> list[str]:
    """Faults of `inputs` and `revisions`.

    Raises:
        KeyError, TypeError, AttributeError: the recipe cannot be read.
    """
    recipe = claims.recipe
    asked = [*recipe["sources"], *recipe["exclude"], *recipe.get("insert", [])]
    definitions: dict[str, Mapping[str, Any]] = {
        item["definition"]["name"]: item["definition"] for item in asked
    }
    faults = []
    if strange := sorted(set(claims.inputs) ^ set(definitions)):
        faults.append(f"inputs and definitions differ in {', '.join(strange)}")
    for name, origin in claims.revisions.items():
        definition = definitions.get(name, {})
        repo, _, commit = origin.rpartition("@")
        pinned = str(definition.get("revision"))
        if repo != definition.get("repo") or not _COMMIT.fullmatch(commit):
            faults.append(
                f"revisions: {name} was read at {origin!r}, its definition names"
                f" {definition.get('repo')}@{pinned}"
            )
        elif _COMMIT.fullmatch(pinned) and commit != pinned:
            faults.append(f"revisions: {name} was read at {commit}, its definition pins {pinned}")
    return faults
