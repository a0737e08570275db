"""The documents that filters removed in a store: what `annealmix filter check --store` looks for in
later data.

Every selection in the store keeps the digests of what its recipe's filters removed
(pipeline.stages.eligible), whichever they were, placebos and doses included. So a document that one
filter removed is known again when data are checked with another one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.errors import RecipeError
from pipeline.stages.eligible import REMOVED
from pipeline.store.columns import read_column
from pipeline.store.records import is_done, read_done


def removed_digests(store: Path) -> npt.NDArray[np.uint64]:
    """Digests of all documents that selections of a store removed: uint64 [num_docs, 2], ascending,
    each once.

    Raises:
        RecipeError: it is no store, or none of its selections had filters.
        ManifestError: a selection is damaged.
    """
    if not (store / "store.json").is_file():
        raise RecipeError(f"{store}: no store there; name one with --store DIR")
    removed, filtered = [np.empty((0, 2), np.uint64)], False
    ending = f"{REMOVED}.digest"
    for folder in sorted(path for path in store.glob("select/*/p*") if is_done(path)):
        record = read_done(folder)
        if not record.get("filters"):
            continue
        filtered = True
        # "drop": bit 0 is of evaluation sets, which are no reason to warn
        lowest = 2 if record["decontaminate"] == "drop" else 1
        for name in record["outputs"]:
            if name.endswith(ending):
                digests, verdicts = (
                    read_column(folder, column, name.removesuffix("digest"))
                    for column in ("digest", "verdicts")
                )
                removed.append(digests[verdicts >= lowest].astype(np.uint64))
    if not filtered:
        raise RecipeError(
            f"{store}: no selection of it was filtered (`annealmix store gc` deletes selections),"
            " so nothing is known to be removed; build a filtered mix in it, or leave --store out"
        )
    return np.unique(np.concatenate(removed), axis=0)
