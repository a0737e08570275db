"""A build, on one page: recipe -> ingest -> score -> near -> select -> quotas -> write -> seal.

    ingest   reads what the store lacks (pipeline.build.sources.readings, pipeline.stages.ingest),
             tokenizing below each source's ceiling (pipeline.build.sources.sources), and notes what
             filters must know (pipeline.judges.judges, pipeline.judges.annotators.reading)
    score    what a blocklist escalated, where a filter has a classifier (pipeline.stages.score)
    near     if the recipe asks for it: clusters of near-duplicates, and which of their documents
             give way (pipeline.build.near)
    select   sorts and deduplicates by key partition (pipeline.build.select,
             pipeline.stages.select), after what earlier builds left is verified
             (pipeline.store.trust)
    quotas   fits the recipe to the supply (mixtures.stream.quotas); a source that needs more tokens
             raises its ceiling and the stages go on
    write    the stream, slice by slice (pipeline.build.write, pipeline.stages.write)
    seal     manifest, flush, rename into place (pipeline.build.claims, pipeline.build.output)

The output appears under its final name only when all of it is written and counted. A build that is
stopped is started again with the same command: every unit that was done stays done. Where the
output or the store is a URL, working copies are pulled and pushed between the steps
(pipeline.build.output.places).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixtures.mix import manifest as manifests
from mixtures.mix.judged.filters import PlaceboClaim
from pipeline.build.near import Found, NearSearch, check_clusters, tell_clusters
from pipeline.build.output import output
from pipeline.build.request import BuildRequest
from pipeline.build.select import Selected, select
from pipeline.build.sources.readings import Readings
from pipeline.build.workshop import Workshop
from pipeline.build.write import write_mix
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.judges.judges import Judges
from pipeline.report import say, size
from pipeline.stages.eligible import Choice
from pipeline.stages.score import Score, delete_texts
from pipeline.stages.select_plan import SelectPlan
from pipeline.store.store import HeldStore, Store
from pipeline.store.trust import Trust


def build(
    request: BuildRequest, trusted: set[Path] | None = None, chain: Path | None = None
) -> manifests.Manifest:
    """Build a mix, or finish one that was begun, and return its manifest.

    With more than one worker, call it under `if __name__ == "__main__":`, since workers import the
    calling module again.

    Args:
        trusted: folders of the store that need not be hashed again, since this build wrote or
            verified them; it grows.
        chain: that of which this is a part, if a cluster builds (`pipeline.executors.slurm`).

    Raises:
        AnnealmixError: of the kind that the exit codes list; nothing is then visible at
            `request.out`.
    """
    output.refuse_nested(request.out, request.store)
    output.refuse_foreign(request.out, request.recipe.digest, request.size.as_json())
    request.remote.begin(request.recipe.digest, request.size.as_json())
    store = Store(request.store)
    with store.lock():
        refuse_busy(request.store if store.writable else None, request.out, chain)
        store.sweep()
        manifest = _Build(request, store, Trust() if trusted is None else Trust(trusted)).run()
        request.remote.push()
    request.remote.end(manifest)
    return manifest


@dataclass(frozen=True)
class Judged:
    """What a mix takes of each source and what its filters remove there, before it is written.
    placebos: what they imitate, by number of the filter.
    """

    plan: SelectPlan
    choices: Mapping[str, Choice]
    placebos: Mapping[int, PlaceboClaim]


def judge(
    request: BuildRequest, trusted: set[Path], chain: Path | None = None, *, held: bool = False
) -> Judged:
    """Read, judge and select as `build` does, and write no mix; `request.out` is not looked at.

    Args:
        trusted, chain: as of `build`. held: whether nothing is read but the store; what follows
            from it alone, a selection, may be made there.

    Raises:
        LackingError: `held`, and the store lacks something. Else as `build`.
    """
    request.remote.open_store()
    store = (HeldStore if held else Store)(request.store)
    with store.lock():
        refuse_busy(request.store if store.writable else None, None, chain)
        store.sweep()
        selected, _ = _Build(request, store, Trust(trusted, looking=held)).selected()
        return Judged(selected.plan, selected.choices(request), selected.placebos)


class _Build:
    """The steps of one build."""

    def __init__(self, request: BuildRequest, store: Store, trust: Trust) -> None:
        recipe = request.recipe
        judges = Judges(store, recipe.filters, recipe.benchmarks)
        self._shop = Workshop(request, store, trust, judges)
        self._readings = Readings(self._shop)

    def run(self) -> manifests.Manifest:
        selected, near = self.selected()
        return write_mix(self._shop, self._readings.inputs, selected, near)

    def selected(self) -> tuple[Selected, Found | None]:
        """What the mix takes, and the search for near-duplicates."""
        remote = self._shop.request.remote
        self._readings.begin()
        while True:
            self._readings.ingest()
            remote.push()
            self._score()
            near = self._near()
            remote.push()
            selected = select(self._shop, self._readings, near)
            if not selected.quotas.wanted:
                return selected, near
            self._readings.go_on(selected.quotas, selected.eligible)

    def _score(self) -> None:
        """Score what waits for a classifier, and delete the texts that no other waits for.

        Texts are looked up again rather than taken of the jobs: several classifiers may share one,
        and an earlier build may have been stopped between scoring and deleting.
        """
        shop, groups = self._shop, self._readings.judged
        for job in shop.judges.scoring(groups):
            shop.store.require_writable(f"scores of {job.bundle.definition.name}")
            shop.trust.verify(job.texts)
            plan = job.plan()
            say(
                f"score: {size(plan.text_bytes)} of escalated text for {job.bundle.definition.name}"
            )
            shop.do(Score, plan)
            job.table.seal(plan.folder, job.scored)
        if shop.store.writable:
            delete_texts(shop.judges.scored([group for group, _ in groups]))

    def _near(self) -> Found | None:
        """Search for near-duplicates, or find the search done."""
        shop, readings = self._shop, self._readings
        if shop.recipe.near is None:
            return None
        search = NearSearch(
            shop.store,
            shop.recipe.near,
            readings.sources,
            readings.inputs,
            partitions=readings.partitions,
            executor=shop.request.executor,
            trust=shop.trust,
        )
        shop.request.remote.pull([search.folder])
        found = search.run()
        tell_clusters(found)
        check_clusters(found, shop.recipe.near)
        return found
