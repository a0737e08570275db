"""The base of a study, built, and what all of its arms are made from: what is said of them before
their bytes are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Claims, Description
from mixtures.mix.judged.arms import ArmClaim, MaskClaim
from mixtures.mix.judged.filters import FilterClaim, FilterRuleClaim
from mixtures.stream.arms.study import LoadedStudy
from pipeline.arms.filling import Filling
from pipeline.arms.rewrites import Rewrites
from pipeline.arms.slots import Places, Slots
from pipeline.build.build import Judged
from pipeline.build.claims.description import filter_rule
from pipeline.judges.term_mask import TermMask
from pipeline.stages.gathering import token_files
from pipeline.stages.select_plan import inputs_of


@dataclass(frozen=True)
class Base:
    """The base of a study, built, and what fills the slots of all arms."""

    study: LoadedStudy
    judged: Judged
    folder: Path
    claims: Claims
    slots: Slots
    places: Places
    fillings: Mapping[str, Filling]
    """By arm, of those that are filled."""
    filters: Mapping[str, FilterClaim]
    """By arm, what its filter removes."""
    masks: Mapping[str, TermMask]
    """Of arms that mask terms, what finds these."""

    @property
    def rewrites(self) -> list[Rewrites]:
        """Of all arms, each file's once."""
        made = (one.rewrites for one in self.fillings.values())
        return list({one.file: one for one in made if one}.values())

    @property
    def token_files(self) -> list[Path]:
        """That donors are read from, as `Filling` counts them: the store's, then rewrites."""
        return [*token_files(self.judged.plan.sources), *(one.tokens for one in self.rewrites)]

    @property
    def inputs(self) -> dict[Path, str]:
        """The folders of `token_files`, with the digests of their records."""
        folders = {file.parent for file in self.token_files}
        stored = inputs_of(self.judged.plan)
        found = {folder: digest for folder, digest in stored.items() if folder in folders}
        return found | {one.folder: one.record for one in self.rewrites}

    @property
    def rules(self) -> list[FilterRuleClaim]:
        """What the filters and placebos of all arms decide by, as they judged the base."""
        placebos = self.judged.placebos
        return [
            filter_rule(use, placebos.get(number))
            for number, use in enumerate(self.study.judged.filters)
        ]

    def describe(self, arm: str, claim: ArmClaim | MaskClaim) -> Description:
        """What is known of an arm before its bytes are written."""
        filters = self.filters[arm]
        described: manifests.Manifest = {
            **self.claims.described.as_json(),
            "name": f"{self.study.study.name}.{arm}",
            "recipe": self.study.canonical(arm),
            "recipe_digest": self.study.digest(arm),
            "published": {},
            "filters": [filters.as_json()],
            "removed": self._removed(filters, claim),
            "arm" if isinstance(claim, ArmClaim) else "mask": claim.as_json(),
        }
        return Description.model_validate(described)

    def _removed(
        self, filters: FilterClaim, claim: ArmClaim | MaskClaim
    ) -> dict[str, dict[str, int]]:
        """The waterfall of the base, with removed documents and donors at their new places."""
        removed = {}
        for name, counts in self.claims.removed.items():
            removed[name] = dict(counts)
            if name in filters.removed:
                gone, given = filters.removed[name].documents, claim.given(name)
                removed[name] |= {
                    f"filter {filters.label}": gone,
                    "kept": counts["kept"] - gone + given,
                    "beyond quota": counts["beyond quota"] - given,
                }
        return removed
