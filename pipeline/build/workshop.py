"""What every step of a build has at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mixtures.recipe.model import Recipe
from pipeline.build.request import BuildRequest
from pipeline.executors import execute
from pipeline.executors.stage import Plan, StageClass
from pipeline.judges.judges import Judges
from pipeline.store.rules import short_key
from pipeline.store.store import Store
from pipeline.store.trust import Trust


@dataclass(frozen=True)
class Workshop:
    """A request, the store that its build holds, what of that is trusted, and its judges."""

    request: BuildRequest
    store: Store
    trust: Trust
    judges: Judges

    @property
    def recipe(self) -> Recipe:
        """What the user asks for."""
        return self.request.recipe.recipe

    def do(self, stage: StageClass, plan: Plan[Any], key: str | None = None) -> None:
        """Have all units of a plan done. key: names the plan's folder in the store's work (default:
        a hash of the plan).
        """
        name = f"{stage.name}-{key or short_key(plan.as_json())}"
        execute(self.request.executor, stage, plan, self.store.work_folder / name)
