"""A build that is given to Slurm: what it was asked, as JSON, and back. A job that goes on with it
reads the recipe, or the study, again and refuses another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claim import SizeClaim
from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.manifest import Manifest
from mixtures.recipe.load import load_recipe
from mixtures.stream.arms.load import load_study
from mixtures.stream.arms.study import BASE, LoadedStudy
from pipeline.arms.study import StudyRequest, build_study
from pipeline.build.build import build
from pipeline.build.output.places import RemotePlaces
from pipeline.build.output.remote import RemoteOutput
from pipeline.build.request import BuildRequest
from pipeline.executors import Executor
from pipeline.executors.slurm.package import package, refuse_other_package
from pipeline.executors.slurm.profile import Profile
from pipeline.inputs.listing import DataFolders
from pipeline.places.places import parse_url, read_place
from pipeline.store.records import canonical_json
from pipeline.store.remote import RemoteStore
from pipeline.tokens.find import fetcher


@dataclass(frozen=True)
class Asked:
    """A build of a mix, or of a study. request: where it is a study's, as of `StudyRequest`.
    filters: folder of filters that the user brings.
    """

    request: BuildRequest
    filters: Path | None = None
    study: LoadedStudy | None = None

    @property
    def digest(self) -> str:
        """Of all that the recipe or the study asks."""
        if self.study is None:
            return self.request.recipe.digest
        arms = [self.study.digest(arm) for arm in self.study.study.arms]
        tolerance = str(self.study.study.tolerance)
        return sha256(canonical_json([self.study.base.digest, arms, tolerance])).hexdigest()

    def build(
        self, executor: Executor, trusted: set[Path], chain: Path | None = None
    ) -> dict[str, Manifest]:
        """Build it, or go on with it. Returns the manifests of its mixes by name.

        Args and raises: as `pipeline.build.build.build`.
        """
        request = replace(self.request, executor=executor)
        if self.study is None:
            return {request.recipe.recipe.name: build(request, trusted, chain)}
        return build_study(StudyRequest(self.study, request), trusted, chain)

    def finished(self) -> dict[str, Manifest]:
        """What `build` has returned when it was finished, as it stands there.

        Raises:
            ManifestError: one is not there.
        """
        if self.study is None:
            return {self.request.recipe.recipe.name: self._claims().as_json()}
        return {name: self._claims(name).as_json() for name in (BASE, *self.study.study.arms)}

    def _claims(self, name: str = "") -> Claims:
        """Of the mix, or that of this name of a study."""
        remote = self.request.remote.out
        if remote:
            return (remote.inside(name) if name else remote).claims()
        return read_claims(self.request.out / name)

    def names(self, found: Mapping[str, Manifest]) -> str:
        """What the finished mixes are called in a message."""
        if self.study is None:
            return "".join(map(manifests.names, found.values()))
        return "\n".join(f"{name}: {manifests.names(one)}" for name, one in found.items())


def freeze(asked: Asked, profile: Profile) -> dict[str, object]:
    """A request as JSON."""
    request, study = asked.request, asked.study
    data, tokenizer = request.data, request.tokenizer or request.recipe.tokenizer_file
    return {
        "package": package(),
        "recipe": str(request.recipe.file.absolute()),
        "study": str(study.file.absolute()) if study else None,
        "recipe_digest": asked.digest,
        "removed": request.recipe.recipe.removed if request.recipe.filters else None,
        "filters": str(asked.filters.absolute()) if asked.filters else None,
        "out": str(request.out),
        "store": str(request.store),
        "data": {
            "every": str(data.every) if data.every else None,
            "named": {name: str(folder) for name, folder in data.named.items()},
        },
        "tokenizer": str(tokenizer.absolute()) if tokenizer else None,
        "size": request.size.as_json(),
        "chunk_bytes": request.chunk_bytes,
        "slice_chunks": request.slice_chunks,
        "remote": {
            name: str(found.url) if found else None for name, found in vars(request.remote).items()
        },
        "profile": profile.model_dump(mode="json", exclude_none=True),
    }


def thaw(value: dict[str, Any]) -> tuple[Asked, Profile]:
    """The request again, with the executor still to be set.

    Raises:
        ManifestError: the recipe, or what it refers to, was changed since. RecipeError: it can no
            longer be read.
    """
    refuse_other_package(value["package"])
    tokenizer = Path(value["tokenizer"]) if value["tokenizer"] else None
    filters = Path(value["filters"]) if value["filters"] else None
    study = (
        load_study(Path(value["study"]), filters, fetcher(tokenizer)) if value["study"] else None
    )
    recipe = study.base if study else load_recipe(value["recipe"], filters, fetcher(tokenizer))
    if value["removed"]:
        recipe = recipe.with_removed(value["removed"])
    every, named = value["data"]["every"], value["data"]["named"]
    request = BuildRequest(
        recipe=recipe,
        out=Path(value["out"]),
        store=Path(value["store"]),
        data=DataFolders(
            read_place(every) if every else None,
            {name: read_place(folder) for name, folder in named.items()},
        ),
        tokenizer=tokenizer,
        size=SizeClaim.model_validate(value["size"]).size,
    )
    store, out = value["remote"]["store"], value["remote"]["out"]
    remote_store = RemoteStore(parse_url(store), request.store) if store else None
    remote = RemotePlaces(remote_store, RemoteOutput(parse_url(out), request.out) if out else None)
    sized = replace(
        request, chunk_bytes=value["chunk_bytes"], slice_chunks=value["slice_chunks"], remote=remote
    )
    asked = Asked(sized, filters, study)
    if asked.digest != value["recipe_digest"]:
        raise ManifestError(
            f"{value['study'] or value['recipe']}: changed since the build was submitted (digest"
            f" {value['recipe_digest'][:16]}, now {asked.digest[:16]}); give the command again to"
            " build the new one"
        )
    return asked, Profile.model_validate(value["profile"])
