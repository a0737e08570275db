"""What a build was asked, as JSON, and back: a job that goes on with it reads the recipe again and
refuses another one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtures.errors import ManifestError
from mixtures.mix.claims import SizeClaim
from mixtures.recipe.load import load_recipe
from pipeline.build.output.places import RemotePlaces
from pipeline.build.output.remote import RemoteOutput
from pipeline.build.request import BuildRequest
from pipeline.executors.slurm.package import package, refuse_other_package
from pipeline.executors.slurm.profile import Profile
from pipeline.inputs.listing import DataFolders
from pipeline.places.places import parse_url, read_place
from pipeline.store.remote import RemoteStore
from pipeline.tokens.find import fetcher


def freeze(request: BuildRequest, filters: Path | None, profile: Profile) -> dict[str, object]:
    """A request as JSON. filters: folder of filters that the user brings."""
    data, tokenizer = request.data, request.tokenizer or request.recipe.tokenizer_file
    return {
        "package": package(),
        "recipe": str(request.recipe.file.absolute()),
        "recipe_digest": request.recipe.digest,
        "removed": request.recipe.recipe.removed if request.recipe.filters else None,
        "filters": str(filters.absolute()) if filters else None,
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


def thaw(value: dict[str, Any]) -> tuple[BuildRequest, Profile]:
    """The request again, with the executor still to be set.

    Raises:
        ManifestError: the recipe, or what it refers to, was changed since. RecipeError: it can no
            longer be read.
    """
    refuse_other_package(value["package"])
    tokenizer = Path(value["tokenizer"]) if value["tokenizer"] else None
    recipe = load_recipe(
        value["recipe"],
        Path(value["filters"]) if value["filters"] else None,
        fetcher(tokenizer),
    )
    if value["removed"]:
        recipe = recipe.with_removed(value["removed"])
    if recipe.digest != value["recipe_digest"]:
        raise ManifestError(
            f"{value['recipe']}: changed since the build was submitted (digest"
            f" {value['recipe_digest'][:16]}, now {recipe.digest[:16]}); give the command again to"
            " build the new one"
        )
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
    return sized, Profile.model_validate(value["profile"])
