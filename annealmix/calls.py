"""The commands as functions of Python: what their options say in text, these take as values.

A folder is a `str` or a path; one that a command takes as a URL may be a URL. Progress goes to
stderr. Errors name the options of the commands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from multiprocessing import current_process
from pathlib import Path
from typing import Literal

from mixtures.errors import RecipeError
from mixtures.recipe.load import load_recipe as load_recipe_file
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.rules.levels import Level
from mixtures.stream.arms.load import is_study, load_study
from mixtures.stream.quotas import Size, sized
from pipeline.arms.study import StudyRequest
from pipeline.arms.study import build_study as build_arms
from pipeline.build.build import build as build_mix
from pipeline.build.output.places import working_places
from pipeline.build.request import BuildRequest
from pipeline.commands.audit.audit import AuditRequest, MixAudit
from pipeline.commands.audit.audit import audit as audit_mix
from pipeline.commands.options import DEFAULT_STORE
from pipeline.commands.plan.build_plan import CLUSTER_WORKERS, BuildPlan, PlanRequest
from pipeline.commands.plan.build_plan import plan as plan_build
from pipeline.commands.plan.calibration import load_rates
from pipeline.executors.local import LocalExecutor
from pipeline.executors.steps import MakeExecutor, StepsExecutor
from pipeline.inputs.listing import DataFolders
from pipeline.lookup.local import local_mixes
from pipeline.lookup.mix import Mix, open_mix
from pipeline.places.places import WRITABLE, Place, read_place
from pipeline.tokens.find import fetcher

Folder = str | os.PathLike[str]
Removed = Literal["refill", "shrink"]


def load_recipe(
    recipe: Folder | LoadedRecipe,
    *,
    filters: Folder | None = None,
    removed: Removed | None = None,
    tokenizer: Folder | None = None,
) -> LoadedRecipe:
    """Read a recipe: the name of a shipped one, or a YAML file (with a `/`, or ending in .yaml).

    Args:
        filters: folder of your filters, NAME.yaml or NAME/filter.yaml. removed: what follows where
            filters remove documents, whatever the recipe says. tokenizer: the tokenizer.json of a
            recipe that names one of the hub, which is then not asked.

    Raises:
        RecipeError: every fault of the recipe and of the files it refers to, with file and line.
    """
    if not isinstance(recipe, LoadedRecipe):
        recipe = load_recipe_file(os.fspath(recipe), _path(filters), fetcher(_path(tokenizer)))
    return recipe.with_removed(removed) if removed else recipe


def plan(
    recipe: Folder | LoadedRecipe,
    *,
    tokens: int | None = None,
    scale: Fraction | float | str | None = None,
    steps: int | None = None,
    data: Folder | Mapping[str, Folder] | None = None,
    extract: Folder | Mapping[str, Folder] | None = None,
    filters: Folder | None = None,
    tokenizer: Folder | None = None,
    store: Folder | None = None,
    out: Folder | None = None,
    workers: int = CLUSTER_WORKERS,
) -> BuildPlan:
    """What a recipe, or a study, will take and cost, before anything is built.

    Args:
        recipe: loaded, or as `load_recipe` takes it; or a study's YAML file. tokens, scale: of a
            preview in the same proportions; scale is a share of the recipe such as 0.01 or "1/100".
            steps: as many tokens as so many steps take, of the recipe's batch, sequence and
            trainer. data: folder whose DATA/SOURCE are probed, or {source: its folder}. extract:
            likewise, of some of the files; sizes are then the publishers'. filters: as of
            `load_recipe`. tokenizer: the recipe's tokenizer.json. store, out: of the build: is
            there room on their disks, and what does the store hold of a study? workers: tasks at a
            time on a cluster.

    Raises:
        RecipeError: the recipe or the data is not as it must be. InputError: a file is damaged.
    """
    study, file = None, "" if isinstance(recipe, LoadedRecipe) else os.fspath(recipe)
    if file.endswith((".yaml", ".yml")) and is_study(Path(file)):
        study = load_study(Path(file), _path(filters), fetcher(_path(tokenizer)))
    loaded = study.base if study else load_recipe(recipe, filters=filters, tokenizer=tokenizer)
    return plan_build(
        PlanRequest(
            recipe=loaded,
            study=study,
            size=_size(loaded, tokens, scale, steps),
            data=_data(data),
            extract=_data(extract),
            tokenizer=_path(tokenizer),
            store=_path(store),
            out=_path(out),
            workers=workers,
            rates=load_rates(),
        )
    )


def build(
    recipe: Folder | LoadedRecipe,
    *,
    out: Folder,
    store: Folder = DEFAULT_STORE,
    tokens: int | None = None,
    scale: Fraction | float | str | None = None,
    steps: int | None = None,
    data: Folder | Mapping[str, Folder] | None = None,
    tokenizer: Folder | None = None,
    workers: int | None = None,
    tasks: int | None = None,
    executor: MakeExecutor | None = None,
    cache: Folder | None = None,
) -> Mix:
    """Build a mix on this machine, or go on with one that was stopped, and open it.

    With more than one worker, call it under `if __name__ == "__main__":`, since workers import the
    calling module again.

    Args:
        out: folder or URL of the mix; it appears when it is whole. store: likewise, of tokens that
            all mixes share. data: read DATA/SOURCE instead of the hub, or {source: its folder}.
            workers: tasks at a time (the cores, as far as memory allows). tasks: shares of a stage
            (a few a worker). executor: instead of both, makes a datatrove executor of the steps of
            a stage, its number of units and a folder for logs. cache: of working copies of remote
            folders. The others: as `plan`.

    Raises:
        AnnealmixError: of the kind that the exit codes list; nothing is then visible at `out`.
        RuntimeError: a worker that imports the calling module came to this call.
    """
    _refuse_in_worker("annealmix.build")
    if executor and (workers, tasks) != (None, None):
        raise RecipeError("workers, tasks: the executor that you make has its own; leave them out")
    local_out, local_store, remote = working_places(_written(out), _written(store), _path(cache))
    loaded = load_recipe(recipe, tokenizer=tokenizer)
    build_mix(
        BuildRequest(
            recipe=loaded,
            out=local_out,
            store=local_store,
            data=_data(data),
            tokenizer=_path(tokenizer),
            size=_size(loaded, tokens, scale, steps),
            executor=StepsExecutor(executor) if executor else LocalExecutor(workers, tasks),
            remote=remote,
        )
    )
    return open_mix(out, tokenizer=tokenizer, cache=cache)


def build_study(
    study: Folder,
    *,
    out: Folder,
    store: Folder = DEFAULT_STORE,
    filters: Folder | None = None,
    tokens: int | None = None,
    scale: Fraction | float | str | None = None,
    steps: int | None = None,
    data: Folder | Mapping[str, Folder] | None = None,
    tokenizer: Folder | None = None,
    workers: int | None = None,
    tasks: int | None = None,
    cache: Folder | None = None,
) -> dict[str, Mix]:
    """Build the base and the arms of a study on this machine, or go on with one that was stopped,
    and open them by their names, the base first.

    Call it as `build`.

    Args:
        study: a YAML file. out: folder or URL of all mixes. filters: as of `load_recipe`. The
            others: as of `build`.

    Raises: as `load_recipe` and `build`.
    """
    _refuse_in_worker("annealmix.build_study")
    loaded = load_study(Path(study), _path(filters), fetcher(_path(tokenizer)))
    place = _written(out).absolute()
    local_out, local_store, remote = working_places(place, _written(store), _path(cache))
    request = BuildRequest(
        recipe=loaded.base,
        out=local_out,
        store=local_store,
        data=_data(data),
        tokenizer=_path(tokenizer),
        size=_size(loaded.base, tokens, scale, steps),
        executor=LocalExecutor(workers, tasks),
        remote=remote,
    )
    found = build_arms(StudyRequest(loaded, request))
    return {name: open_mix(str(place / name), tokenizer=tokenizer, cache=cache) for name in found}


def audit(
    mix: Folder | Mix,
    *,
    against: Sequence[Folder] = (),
    aligned: Sequence[Folder] = (),
    full: bool = False,
    source_check: int | None = None,
    data: Folder | Mapping[str, Folder] | None = None,
    store: Folder | None = None,
    filters: Sequence[str] = (),
    level: Level | None = None,
    rescore: int | None = None,
    tokenizer: Folder | None = None,
    workers: int | None = None,
    rewrites: Folder | None = None,
    cache: Folder | None = None,
) -> MixAudit:
    """Count again everything that a mix says of itself; a check that fails is an answer (`ok`), not
    an error.

    Args:
        mix: opened, a folder or URL, or the prefix of a bare .bin/.idx pair. against: folders
            or URLs of mixes that are to share no document with it. aligned: likewise of its study,
            that are to differ from it in slots alone. full: every check that the others allow.
            source_check: documents to read again in their sources, in `data` or on the hub. store:
            the mix's own, to hold removals and scores against. filters: names or files, to judge
            every document again. level: published level at which they judge. rescore: documents to
            score again. tokenizer: that made the ids. workers: processes that judge at a time.
            rewrites: the file of what stands in the slots of an arm.

    Raises:
        RecipeError: there is nothing to audit, or an option does nothing. ManifestError: the
            manifest is not what its digest says. InputError: a file at hand is damaged.
    """
    place = mix.folder if isinstance(mix, Mix) else _written(mix)
    places = [place, *map(_written, [*against, *aligned])]
    with local_mixes(places, _path(cache)) as (folder, *others):
        return audit_mix(
            AuditRequest(
                mix=folder,
                against=others[: len(against)],
                aligned=others[len(against) :],
                full=full,
                source_check=source_check,
                data=_data(data),
                tokenizer=_path(tokenizer),
                store=_path(store),
                filters=filters,
                level=level,
                rescore=rescore,
                workers=workers,
                rewrites=_path(rewrites),
            )
        )


def _refuse_in_worker(name: str) -> None:
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise RuntimeError(
            f"{name} was called by a worker of itself, which imports the calling module;"
            ' call it under `if __name__ == "__main__":`, or with workers=1'
        )


def _path(folder: Folder | None) -> Path | None:
    return None if folder is None else Path(folder)


def _written(folder: Folder) -> Place:
    return read_place(os.fspath(folder), WRITABLE)


def _size(
    recipe: LoadedRecipe,
    tokens: int | None,
    scale: Fraction | float | str | None,
    steps: int | None,
) -> Size:
    if sum(one is not None for one in (tokens, scale, steps)) > 1:
        raise ValueError("tokens, scale and steps all say how large a mix is; give one of them")
    for name, number in (("tokens", tokens), ("steps", steps)):
        if number is not None and number < 1:
            raise ValueError(f"{name} {number} is not above 0")
    share = None if scale is None else Fraction(str(scale))  # 0.01 is 1/100, as on the command line
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"scale {scale} is not above 0 and at most 1")
    return sized(recipe.recipe, scale=share, tokens=tokens, steps=steps)


def _data(data: Folder | Mapping[str, Folder] | None) -> DataFolders:
    if data is None:
        return DataFolders()
    if isinstance(data, Mapping):
        folders = {name: read_place(os.fspath(one)).absolute() for name, one in data.items()}
        return DataFolders(None, folders)
    return DataFolders(read_place(os.fspath(data)).absolute())
