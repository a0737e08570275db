"""The build of a study, on one page: judge -> slots -> donors -> base -> arms.

    judge    the base's documents are read once and judged by every filter of the study; donors are
             tokenized too (pipeline.build.build.judge)
    slots    what the filters of all arms remove (pipeline.arms.slots)
    donors   one assignment for the slots of all arms (pipeline.arms.filling)
    base     built as any mix is, from the same store
    arms     OUT/ARM each (pipeline.arms.arm, pipeline.arms.mask)

Each mix appears under its name when it is whole, and the same command goes on with a study that was
stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import typed
from mixtures.stream.arms.study import BASE, LoadedStudy
from mixtures.words import plural
from pipeline.arms.arm import build_arm
from pipeline.arms.base import Base
from pipeline.arms.filling import check_cuts, fill
from pipeline.arms.mask import build_mask
from pipeline.arms.slots import find_places, find_slots
from pipeline.build.build import build, judge
from pipeline.build.output import output
from pipeline.build.request import BuildRequest
from pipeline.report import say
from pipeline.store.store import Store


@dataclass(frozen=True)
class StudyRequest:
    """What is built: a study, and all else as of a build. request: its recipe is the study's base,
    its output the folder of all mixes.
    """

    study: LoadedStudy
    request: BuildRequest


def build_study(asked: StudyRequest) -> dict[str, manifests.Manifest]:
    """Build the base and the arms of a study, or go on with it. Returns their manifests by name,
    the base's first.

    Raises:
        AnnealmixError: of the kind that the exit codes list; the mixes that are there are whole.
    """
    study, request = asked.study, asked.request
    _refuse_foreign(asked)
    below = {name: study.donor_keys(name).high for name in _givers(study)}
    trusted: set[Path] = set()
    judged = judge(replace(request, recipe=study.judged, tokenized_to=below), trusted)
    store = Store(request.store)
    with store.lock():
        slots = find_slots(study, judged)
        say(f"{plural(len(slots), 'slot')} of {int(slots.num_tokens.sum()):,} tokens in all arms")
        filling = fill(study, judged, slots)
        check_cuts(study, slots, filling)
    folder = request.out / BASE
    built = build(replace(request, recipe=study.base, out=folder, told=True), trusted)
    with store.lock():
        places = find_places(folder, slots)
        base = Base(study, judged, folder, typed(built, str(folder)), slots, places, filling)
        found = {BASE: built}
        for arm, one in study.study.arms.items():
            write = {"fresh": build_arm, "mask": build_mask}[one.fill]
            found[arm] = write(base, arm, request.out / arm)
            say(f"{request.out / arm}: {manifests.names(found[arm])}")
        return found


def _givers(study: LoadedStudy) -> set[str]:
    return {study.donor_source(name) for name in study.base.recipe.sources}


def _refuse_foreign(asked: StudyRequest) -> None:
    """Say before any work that a place of an arm is taken by something else, or is none.

    Raises:
        RecipeError: names it.
    """
    study, request = asked.study, asked.request
    if request.remote.out is not None or request.remote.store is not None:
        raise RecipeError(
            f"{study.study.name}: arms share files of one disk, so --out and --store of a study are"
            " local folders; copy the finished mixes to an object store"
        )
    output.refuse_nested(request.out, request.store)
    size = request.size.as_json()
    output.refuse_foreign(request.out / BASE, study.base.digest, size)
    for arm in study.study.arms:
        output.refuse_foreign(request.out / arm, study.digest(arm), size)
