"""`annealmix plan STUDY`: what a plan says of a study beside that of its base. Its slots and donors
are those of the store, where it holds all that decides them; else they are estimated.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixtures.errors import InputError, RecipeError, SupplyError
from mixtures.estimates import SupplyEstimate
from mixtures.plan.arms import ArmFigures, StudyPlan, estimated_study, rewrites_note
from mixtures.plan.chances import Known
from mixtures.plan.plan import Plan
from mixtures.plan.removal_levels import ByLevel
from mixtures.plan.source_plan import supplies_within
from mixtures.stream.arms.study import LoadedStudy
from pipeline.arms.study import JudgedStudy, StudyRequest, judge_study
from pipeline.build.request import BuildRequest
from pipeline.commands.plan.probing import Probed
from pipeline.report import say
from pipeline.store.store import Store


def plan_study(
    study: LoadedStudy,
    build: BuildRequest | None,
    base: Plan,
    supplies: Mapping[str, SupplyEstimate],
    probed: Mapping[str, Probed],
    levels: ByLevel,
) -> StudyPlan:
    """Plan a study.

    Args:
        build: that is planned, if a store is named. base: the plan of the base. supplies, probed:
            of its sources. levels: what is published of removals.
    """
    if build is not None and (found := _measured(StudyRequest(study, build))) is not None:
        return found
    return estimated_study(
        Known(
            study,
            base.sources,
            supplies_within(study.base, supplies),
            {name: source.documents for name, source in probed.items()},
            levels,
        )
    )


def _measured(asked: StudyRequest) -> StudyPlan | None:
    """What a store holds; None: it lacks something, or is in use, which is said."""
    if not _may_hold(asked):
        return None
    try:
        found = judge_study(asked, set(), held=True)
    except (RecipeError, InputError, SupplyError) as error:
        say(f"the study is estimated, not measured in the store: {error}")
        return None
    return StudyPlan(
        study=asked.study.study.name,
        num_sources=len(asked.study.base.recipe.sources),
        basis="measured",
        sampled_documents={},
        figures=tuple(found.figures),
        arms={arm: _arm(found, arm) for arm in asked.study.study.arms},
        unknown={},
        shortages=tuple(found.faults),
        warnings=(),
        notes=tuple(rewrites_note(asked.study)),
    )


def _may_hold(asked: StudyRequest) -> bool:
    """Whether a store is there, and any of each source: else its files need not be listed."""
    recipe, folder = asked.study.base, asked.request.store
    if not (folder / "store.json").is_file() or any(
        use.bundle is None for use in asked.study.filters.values()
    ):
        return False
    store, request = Store(folder), recipe.recipe
    return all(
        store.groups(recipe.definitions[name], request.sources[name].quality)
        for name in request.sources
    )


def _arm(found: JudgedStudy, arm: str) -> ArmFigures:
    tokens = found.slots.num_tokens[found.slots.arms[arm]]
    return ArmFigures(found.study.study.arms[arm].fill, len(tokens), int(tokens.sum()))
