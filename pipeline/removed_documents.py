"""The documents that filters removed in a store: what `annealmix filter check --store` looks for in later data.

Every selection in the store keeps the digests of what its recipe's filters removed (pipeline.eligible), whichever they were, placebos and
doses included. So a document that one filter removed is known again when data are checked with another one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.errors import RecipeError
from pipeline.columns import read_column
from pipeline.eligible import REMOVED
from pipeline.records import is_done, read_done


def removed_digests(store: Path) -> npt.NDArray[np.uint64]:
    """Digests of all documents that selections of a store removed: uint64 [num_docs, 2], ascending, each once.

    Raises:
        RecipeError: it is no store, or none of its selections had filters.
        ManifestError: a selection is damaged.
    """
    if not (store / "store.json").is_file():
        raise RecipeError(f"{store}: no store there; name one with --store DIR")
    found, filtered = [np.empty((0, 2), np.uint64)], False
    ending = f"{REMOVED}.digest"
    for folder in sorted(path for path in store.glob("select/*/p*") if is_done(path)):
        for name in read_done(folder)["outputs"]:
            if name.endswith(ending):
                filtered = True
                found.append(read_column(folder, "digest", name.removesuffix("digest")).astype(np.uint64))
    if not filtered:
        raise RecipeError(
            f"{store}: no selection of it was filtered (`annealmix store gc` deletes selections), so nothing is known to be removed; "
            "build a filtered mix in it, or leave --store out"
        )
    return np.unique(np.concatenate(found), axis=0)
