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

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mixtures.audit.documents import MixDocuments
from mixtures.errors import InputError, RecipeError, SupplyError
from mixtures.keys import DigestSet, digest_columns
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims, typed
from mixtures.mix.judged.filters import FilterClaim
from mixtures.stream.arms.figures import Given, StudyFigures
from mixtures.stream.arms.study import BASE, MASKS, LoadedStudy
from mixtures.words import plural
from mixtures.yaml.disk import shown
from pipeline.arms.arm import fill_draft
from pipeline.arms.base import Base
from pipeline.arms.filling import Filler, Filling
from pipeline.arms.mask import mask_draft, open_masks
from pipeline.arms.removals import arm_filters, unlike_arms
from pipeline.arms.rewrites import Rewrites, RewritesFile, read_rewrites
from pipeline.arms.slots import Slots, find_places, find_slots
from pipeline.arms.writing import write_arms
from pipeline.build.build import Judged, build, judge
from pipeline.build.output import output
from pipeline.build.request import BuildRequest
from pipeline.executors.slurm.chain import refuse_busy
from pipeline.report import say
from pipeline.stages.gathering import token_files
from pipeline.store.store import Store
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.loaded import loaded_tokenizer


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
    for name in study.rewrites:
        RewritesFile(study.file.parent / name)  # which refuses what it cannot read
    for name in (BASE, *study.study.arms):
        refuse_busy(None, request.out / name, chain)
    trusted = set() if trusted is None else trusted
    known = judge_study(asked, trusted, chain)
    judged, slots, store = known.judged, known.slots, Store(request.store)
    say(f"{plural(len(slots), 'slot')} of {int(slots.num_tokens.sum()):,} tokens in all arms")
    for line in (line for one in known.figures for line in one.lines):
        say(line)
    for arm in study.study.arms:
        if not slots.arms[arm].any():
            say(
                f"warning: {arm} removes no document of the base, so it is the base by another name"
            )
    if known.faults:
        raise SupplyError("\n".join(known.faults))
    with store.lock():
        fillings: dict[str, Filling] = {}
        for filler, given in known.shared:
            fillings |= dict.fromkeys(filler.filled.arms, filler.fill(given))
    folder = request.out / BASE
    local = replace(remote, out=None)  # mixes are sent when all are whole: arms begin as the base
    of_base = replace(request, recipe=study.base, out=folder, told=True, remote=local)
    built = build(of_base, trusted, chain)
    with store.lock():
        refuse_busy(request.store if store.writable else None, request.out, chain)
        places, claims = find_places(folder, slots), typed(built, str(folder))
        base = Base(study, judged, folder, claims, slots, places, fillings, known.filters, masks)
        _refuse_known(base)
        _refuse_of_another_base(base, request.out)
        drafts = {
            arm: mask_draft if one.fill in MASKS else fill_draft
            for arm, one in study.study.arms.items()
        }
        arms = write_arms(base, drafts, request.out, store, request.executor)
        for made in base.rewrites:
            shutil.rmtree(made.folder)
        remote.push()
    found = {BASE: built, **arms}
    if remote.out:
        remote.out.send_study(found)
    return found


def _read_rewrites(
    asked: StudyRequest, judged: Judged, slots: Slots, store: Store
) -> dict[str, Rewrites]:
    """The rewrites of each file, by its name."""
    study, base = asked.study, asked.study.base
    wanted = [one for one in study.filled() if one.rewrites]
    if not wanted:
        return {}
    path = find_tokenizer(base.tokenizer, asked.request.tokenizer or base.tokenizer_file)
    tokenizer = loaded_tokenizer(path, base.tokenizer, base.recipe.special_tokens)
    first = len(token_files(judged.plan.sources))
    return {
        one.rewrites: read_rewrites(study, one, slots, tokenizer, store, number)
        for number, one in enumerate(wanted, first)
    }


def _refuse_known(base: Base) -> None:
    """Refuse rewrites that stand in their mix already: in the base, or as a donor.

    Raises:
        InputError: names the first.
    """
    for made in base.rewrites:
        filling = next(one for one in base.fillings.values() if one.rewrites is made)
        order = np.lexsort((made.digest[:, 1], made.digest[:, 0]))
        known, faults = DigestSet(made.digest[order]), []
        others = [filling.donors.digest[len(made.slot) :]]
        parts = MixDocuments(base.folder).parts("digest")
        others += [digest_columns(np.ascontiguousarray(part["digest"])) for part in parts]
        for digests in others:
            faults += digests[known.holds(digests)].tolist()
        if faults:
            row = int(made.row[(made.digest == np.array(faults[0], np.uint64)).all(axis=1)][0])
            raise InputError(
                f"{base.study.file.parent / made.file}: row {row:,} is the text of a document that"
                f" the mix has already, as {len(faults):,} are; the mix would have it twice"
            )


@dataclass(frozen=True)
class JudgedStudy:
    """What is known of a study before any mix of it is written."""

    study: LoadedStudy
    judged: Judged
    slots: Slots
    filters: Mapping[str, FilterClaim]
    """By arm, what its filter removes."""
    shared: Sequence[tuple[Filler, Mapping[str, Given]]]
    """Of arms that share their donors, what each source gives."""

    @cached_property
    def figures(self) -> list[StudyFigures]:
        """How slots are filled, of arms that share their donors."""
        names = self.slots.names
        return [StudyFigures.of(filler.filled, names, given) for filler, given in self.shared]

    @property
    def faults(self) -> list[str]:
        """Why it cannot be built, for people."""
        donors = [line for one in self.figures for line in one.faults(self.study)]
        return [*unlike_arms(self.study, self.filters), *donors]


def judge_study(
    asked: StudyRequest, trusted: set[Path], chain: Path | None = None, *, held: bool = False
) -> JudgedStudy:
    """Read, judge and select all that a study needs, and share the donors out.

    Args:
        trusted, chain, held: as of `pipeline.build.build.judge`.

    Raises: as `pipeline.build.build.judge`.
    """
    study, request = asked.study, asked.request
    givers = {study.donor_source(name) for name in study.base.recipe.sources}
    below = {name: study.donor_keys(name).high for name in givers}
    request_of_all = replace(request, recipe=study.judged, tokenized_to=below)
    judged = judge(request_of_all, trusted, chain, held=held)
    store = Store(request.store)
    with store.lock():
        slots = find_slots(study, judged)
        # a plan, which reads nothing, says nothing of arms of rewrites
        rewrites = {} if held else _read_rewrites(asked, judged, slots, store)
        fillers = [
            Filler(study, judged, slots, one, rewrites.get(one.rewrites))
            for one in study.filled()
            if one.rewrites in ("", *rewrites)
        ]
        shared = [(filler, filler.share_out()) for filler in fillers]
        filters = arm_filters(study, judged, slots)
        return JudgedStudy(study, judged, slots, filters, shared)


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
