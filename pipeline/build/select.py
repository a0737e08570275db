"""What a mix takes of each source: the select stage says what is eligible, and quotas are taken of
that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from mixtures.errors import SupplyError
from mixtures.mix.judged.filters import PlaceboClaim
from mixtures.stream.quotas import Quotas, Supply, resolve_quotas, scale_of
from mixtures.yaml.disk import shown
from pipeline.build.near import Found
from pipeline.build.placebo import find_partners, matchings
from pipeline.build.request import BuildRequest
from pipeline.build.sources.readings import Readings
from pipeline.build.workshop import Workshop
from pipeline.stages.eligible import Choice, Eligible, read_eligible
from pipeline.stages.select import Select
from pipeline.stages.select_plan import SelectPlan, inputs_of
from pipeline.store.records import is_done


@dataclass(frozen=True)
class Selected:
    """What is eligible, and what each source gives. placebos: what they imitate, by number of the
    filter.
    """

    plan: SelectPlan
    eligible: dict[str, Eligible]
    quotas: Quotas
    placebos: Mapping[int, PlaceboClaim]

    def choices(self, request: BuildRequest) -> dict[str, Choice]:
        """What the quotas take of each source."""
        resolved, asked = self.quotas.resolved, self.quotas.asked
        return {
            name: self.eligible[name].select(
                resolved[name], asked=source.all or max(asked[name], resolved[name]) > 0
            )
            for name, source in request.recipe.recipe.sources.items()
        }


def inserts(request: BuildRequest, eligible: Mapping[str, Eligible]) -> dict[str, Choice]:
    """Whole documents: of a preview the same share as of the recipe, but always one; of a larger
    mix, or of an insert that says so, all of them.
    """
    recipe = request.recipe.recipe
    scale = min(scale_of(recipe, request.size), Fraction(1))
    return {
        name: eligible[name].select_whole(
            math.ceil((1 if insert.whole else scale) * eligible[name].documents), insert.times
        )
        for name, insert in recipe.insert.items()
    }


def select(shop: Workshop, readings: Readings, near: Found | None) -> Selected:
    """Select, and find the partners of placebos in what the imitated mix takes.

    Raises:
        SupplyError: the sources do not hold what is asked. ManifestError: the store is damaged.
    """
    recipe, judges, rule = shop.recipe, shop.judges, shop.request.rule
    plan = SelectPlan(
        partitions=readings.partitions,
        sources=tuple(
            source.as_selected(readings.inputs[source.reading], rule, judges)
            for source in readings.sources
        ),
        filters=tuple(judges.rules),
        counts=tuple(judges.counts),
        decontaminate=recipe.decontaminate.action if recipe.decontaminate else None,
        scores=tuple(map(tuple, judges.scores())),
        near=(near.drops, near.digest) if near else None,
        shrink=recipe.shrinks,
        copies=recipe.copies == "approved",
    )
    if not plan.placebos:
        return _select_by(shop, plan)
    try:
        imitated = _select_by(shop, plan.imitated())
    except SupplyError as error:
        labels = [plan.filters[number].label for number in plan.placebos]
        raise SupplyError(
            f"{', '.join(labels)}: the mix that is imitated cannot be built: {error}"
        ) from None
    if imitated.quotas.wanted:
        return imitated
    found = find_partners(
        imitated.choices(shop.request), matchings(judges.filters), spared=imitated.plan.spared
    )
    selected = _select_by(shop, plan.model_copy(update={"partners": found.partners}))
    return replace(selected, placebos=found.claims)


def _select_by(shop: Workshop, plan: SelectPlan) -> Selected:
    """Make what the store lacks of a selection; of placebos it knows nothing."""
    plan = plan.placed(shop.store.folder)
    todo = [unit for unit in plan.all_units if not Select.is_done(plan, unit)]
    if todo:
        what = "a selection from these sources under these filters"
        shop.store.require_writable(what, read=False)
    shop.trust.verify(inputs_of(plan), lasting=bool(todo))
    partitions = [partition for unit in plan.all_units for partition in Select.outputs(plan, unit)]
    shop.trust.verify(filter(is_done, partitions), lasting=bool(todo))
    assert plan.folder is not None
    shop.do(Select, plan.having(todo), plan.folder.name)
    shop.trust.add(partitions)
    eligible = read_eligible(plan, [*shop.recipe.sources, *shop.recipe.insert])
    return Selected(plan, eligible, _quotas(shop.request, eligible), {})


def _quotas(request: BuildRequest, eligible: Mapping[str, Eligible]) -> Quotas:
    recipe = request.recipe.recipe
    supplies = {
        name: Supply(eligible[name].tokens, eligible[name].complete) for name in recipe.sources
    }
    inserted = {name: choice.quota for name, choice in inserts(request, eligible).items()}
    return resolve_quotas(recipe, request.size, supplies, shown(request.recipe.file), inserted)
