"""What a search for near-duplicates will take: disk and memory, estimated before anything is read.

Disk of a document and band: the key in the store, and the key with its document among the spilled ones. 14 bands: 129 GB for 410M
documents (69 GB of it spilled), 194 GB for 615M; the reduction takes at most 5.3 and 8.0 GB of memory, in one process.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixtures.keys import KEY_SPACE
from mixtures.recipe.loaded import LoadedRecipe

BAND_BYTES = 8 + 12
COMPETING_BYTES_A_DOCUMENT = 1 + 8 + 16 + 2 + 4 + 4  # exempt; order_key, digest, source, segment, ledger_row
REDUCTION_BYTES_A_DOCUMENT = 13


def near_notes(recipe: LoadedRecipe) -> list[str]:
    """What a plan says beside the figures."""
    if recipe.recipe.near is None or recipe.recipe.near.effective.verify is None:
        return []
    return ["near: to verify, groups of files that hold candidates are read again; each word or character of these takes 8 bytes of disk"]


def near_resources(recipe: LoadedRecipe, within: Mapping[str, int]) -> dict[str, int]:
    """Documents and bytes; nothing if the recipe asks for no search.

    Args:
        within: estimated documents of each source in its key range.
    """
    near = recipe.recipe.near
    if near is None:
        return {}
    rule, documents = near.effective, sum(count for name, count in within.items() if near.competes(name))
    if near.excluded:
        documents += sum(_excluded_documents(other) for other in recipe.excluded)
    return {
        "near_documents": documents,
        "near_store_bytes": documents * (rule.bands * BAND_BYTES + COMPETING_BYTES_A_DOCUMENT),
        "near_reduction_bytes": documents * REDUCTION_BYTES_A_DOCUMENT,
    }


def _excluded_documents(recipe: LoadedRecipe) -> int:
    """Published documents of a recipe's key ranges."""
    count = 0
    for name, request in recipe.recipe.sources.items():
        if size := recipe.definitions[name].published:
            count += size.documents * (request.key_range[1] - request.key_range[0]) // KEY_SPACE
    return count
