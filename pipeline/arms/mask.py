"""An arm whose slots are masked: its base, whose files are all its own, and the runs of tokens that
are no targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixtures.mix import manifest as manifests
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.judged import MaskClaim, MaskedClaim
from mixtures.mix.slots import MASK, MASK_FILE, windows_touched
from mixtures.mix.tables import TABLES, part_hash
from pipeline.arms.base import Base
from pipeline.arms.copies import share
from pipeline.stages.mix_folder import write_table


def build_mask(base: Base, arm: str, out: Path) -> manifests.Manifest:
    """Write an arm, or find it written, and return its manifest.

    Raises: as `pipeline.arms.arm.build_arm`.
    """
    places = base.places.among(base.slots.arms[arm])
    runs = {"start": places.first_token, "length": places.num_tokens}
    sources = {}
    for number, name in enumerate(base.slots.names):
        mine = base.slots.source[places.slot] == number
        sources[name] = MaskedClaim(
            documents=len(np.unique(places.slot[mine])),
            positions=int(mine.sum()),
            tokens=int(places.num_tokens[mine].sum()),
        )
    claim = MaskClaim(
        study=base.study.study.name,
        arm=arm,
        base=base.claims.identity,
        fill="mask",
        mask=part_hash(MASK, runs),
        sources=sources,
        windows=windows_touched(places.first_token, places.num_tokens)[0],
    )

    def write(folder: Path) -> Mapping[str, object]:
        share(base.whole(INDEX, base.claims.hashes.idx), folder / INDEX)
        base.require_tokens(base.folder / TOKENS)
        share(base.folder / TOKENS, folder / TOKENS)
        for table in TABLES:
            (folder / f"{table}.parquet").mkdir()
            for number in range(len(base.claims.hashes.documents_parts)):
                base.part(table, number)
                share(*(part_path(at, table, number) for at in (base.folder, folder)))
        write_table(folder / MASK_FILE, MASK, runs)
        return {}

    return base.publish(out, base.describe(arm, claim), write)
