"""An arm whose slots are masked: its base, whose files are all its own, and the runs of tokens that
are no targets.
"""

from __future__ import annotations

import numpy as np

from mixtures.mix.judged import MaskClaim, MaskedClaim
from mixtures.mix.slots import MASK, MASK_FILE, windows_touched
from mixtures.mix.tables import part_hash
from pipeline.arms.base import Base
from pipeline.arms.writing import Draft


def mask_draft(base: Base, arm: str) -> Draft:
    """Which runs of tokens of an arm are no targets."""
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

    return Draft(base.describe(arm, claim), MASK_FILE, MASK, runs)
