"""The build of a study, on one page: judge -> slots -> donors -> base -> arms.

    judge    the base's documents are read once and judged by every filter of the study; donors are
             tokenized too (pipeline.build.build.judge)
    slots    what the filters of all arms remove (pipeline.arms.slots, pipeline.arms.removals)
    donors   one assignment for the slots of all arms with one fill (pipeline.arms.filling); what
             cannot be built of any arm is an error here, before a mix is written
    base     built as any mix is, from the same store
    arms     OUT/ARM each, side by side: what stands in their slots (pipeline.arms.arm,
             pipeline.arms.mask), then the slices of all of them (pipeline.arms.writing)

Each mix appears under its name when it is whole, and the same command goes on with a study that was
stopped. Where the output is a URL, all are sent when the last is whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mixtures.errors import RecipeError, SupplyError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims, typed
from mixtures.stream.arms.figures import StudyFigures
from mixtures.stream.arms.study import BASE, LoadedStudy
from mixtures.words import plural
from mixtures.yaml.disk import shown
from pipeline.arms.arm import fill_draft
from pipeline.arms.base import Base
from pipeline.arms.filling import Filler, Filling
from pipeline.arms.mask import mask_draft, open_masks
from pipeline.arms.removals import arm_filters, unlike_arms
from pipeline.arms.slots import find_places, find_slots
from pipeline.arms.writing import write_arms
from pipeline.build.build import build, judge
from pipeline.build.output import output
from pipeline.build.request import BuildRequest
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.report import say
from pipeline.store.store import Store

_DRAFTS = {
    "fresh": fill_draft,
    "approved": fill_draft,
    "mask": mask_draft,
    "mask-terms": mask_draft,
}


@dataclass(frozen=True)
class StudyRequest:
    """What is built: a study, and all else as of a build. request: its recipe is the study's base,
    its output the folder of all mixes.
    """

    study: LoadedStudy
    request: BuildRequest


def build_study(
    asked: StudyRequest, trusted: set[Path] | None = None, chain: Path | None = None
) -> dict[str, manifests.Manifest]:
    """Build the base and the arms of a study, or go on with it. Returns their manifests by name,
    the base's first.

    Args:
        trusted, chain: as of `pipeline.build.build.build`.

    Raises:
        AnnealmixError: of the kind that the exit codes list; the mixes that are there are whole.
    """
    study, request, remote = asked.study, asked.request, asked.request.remote
    _refuse_foreign(asked)
    _refuse_unopened(study)
    masks = open_masks(study, request.tokenizer)
    refuse_busy(None, request.out, chain)
    trusted = set() if trusted is None else trusted
    judged = judge(judged_request(asked), trusted, chain)
    store = Store(request.store)
    with store.lock():
        slots = find_slots(study, judged)
        say(f"{plural(len(slots), 'slot')} of {int(slots.num_tokens.sum()):,} tokens in all arms")
        filters = arm_filters(study, judged, slots)
        fillings: dict[str, Filling] = {}
        fillers = [Filler(study, judged, slots, one) for one in study.filled()]
        given = [filler.share_out() for filler in fillers]
        faults = unlike_arms(study, filters)
        for filler, shared in zip(fillers, given, strict=True):
            figures = StudyFigures.of(filler.filled, slots.names, shared)
            for line in figures.lines:
                say(line)
            faults += figures.faults(study)
        if faults:
            raise SupplyError("\n".join(faults))
        for filler, shared in zip(fillers, given, strict=True):
            fillings |= dict.fromkeys(filler.filled.arms, filler.fill(shared))
    folder = request.out / BASE
    local = replace(remote, out=None)  # mixes are sent when all are whole: arms begin as the base
    of_base = replace(request, recipe=study.base, out=folder, told=True, remote=local)
    built = build(of_base, trusted, chain)
    with store.lock():
        refuse_busy(request.store if store.writable else None, request.out, chain)
        places, claims = find_places(folder, slots), typed(built, str(folder))
        base = Base(study, judged, folder, claims, slots, places, fillings, filters, masks)
        _refuse_of_another_base(base, request.out)
        drafts = {arm: _DRAFTS[one.fill] for arm, one in study.study.arms.items()}
        arms = write_arms(base, drafts, request.out, store, request.executor)
        remote.push()
    found = {BASE: built, **arms}
    if remote.out:
        remote.out.send_study(found)
    return found


def judged_request(asked: StudyRequest) -> BuildRequest:
    """What is asked of `pipeline.build.build.judge` for the slots and donors of a study."""
    study = asked.study
    givers = {study.donor_source(name) for name in study.base.recipe.sources}
    below = {name: study.donor_keys(name).high for name in givers}
    return replace(asked.request, recipe=study.judged, tokenized_to=below)


def _refuse_unopened(study: LoadedStudy) -> None:
    """Refuse filters that are not there as their arms ask for them.

    Raises:
        RecipeError: names every such arm.
    """
    faults = []
    for arm, use in study.filters.items():
        try:
            _ = use.definition
        except RecipeError as error:
            faults.append(f"{shown(study.file)}: arms.{arm}.remove: {error}")
    if faults:
        raise RecipeError("\n".join(faults))


def _refuse_of_another_base(base: Base, out: Path) -> None:
    """Refuse arms that are at their places and were made from other documents, before any is
    written.

    Raises:
        RecipeError: names them.
    """
    faults = []
    for arm in base.study.study.arms:
        if not (out / arm / manifests.MANIFEST).is_file():
            continue
        claims = read_claims(out / arm)
        made = claims.arm or claims.mask
        if made is None or made.base != base.claims.identity:
            faults.append(
                f"{shown(base.study.file)}: arms.{arm}: {out / arm}: was made from another base"
                f" than {base.folder}; delete it, or choose another --out"
            )
    if faults:
        raise RecipeError("\n".join(faults))


def _refuse_foreign(asked: StudyRequest) -> None:
    """Say before any work that a place of an arm is taken by something else, or is none.

    Raises:
        RecipeError: names it.
    """
    study, request = asked.study, asked.request
    output.refuse_nested(request.out, request.store)
    request.remote.refuse_nested()
    remote = request.remote.out
    size = request.size.as_json()
    faults = []
    digests = {f"arms.{arm}": (arm, study.digest(arm)) for arm in study.study.arms}
    for field, (name, digest) in {"base": (BASE, study.base.digest), **digests}.items():
        try:
            output.refuse_foreign(request.out / name, digest, size)
            if remote:
                remote.inside(name).refuse_foreign(digest, size)
        except RecipeError as error:
            faults.append(f"{shown(study.file)}: {field}: {error}")
    if faults:
        raise RecipeError("\n".join(faults))
