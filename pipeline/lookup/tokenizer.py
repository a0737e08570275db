"""The tokenizer that made the ids of a mix."""

from __future__ import annotations

from pathlib import Path

from mixtures.errors import ManifestError, RecipeError
from mixtures.mix.claims import MixClaims
from mixtures.recipe.load import load_tokenizer_definition
from pipeline.tokens.find import content_of, find_tokenizer, from_hub, given_file, kept_copy
from pipeline.tokens.known import known_contents


def find_of_mix(claims: MixClaims, file: Path | None) -> Path:
    """The tokenizer.json that made the ids of a mix: `file` if given, else that of the shipped
    definition, the copy that a build on this machine kept, or the hub's.

    Raises:
        ManifestError: the file is another tokenizer. RecipeError: nothing says where there is one.
        InputError: it cannot be found or read.
    """
    claim, origin = claims.tokenizer, claims.tokenizer_origin
    if file is None and (kept := kept_copy(claim.digest)).is_file():
        file = kept
    if file is not None:
        file = given_file(file, claim.name)
        digest = known_contents(content_of(file)).digest
        if digest != claim.digest:
            raise ManifestError(
                f"{file} has canonical digest {digest}, the ids of the mix were made by tokenizer"
                f" {claim.name} with {claim.digest}; give that one with --tokenizer FILE"
            )
        return file
    try:
        definition = load_tokenizer_definition(claim.name)
    except RecipeError as error:
        if origin is None:
            raise RecipeError(
                f"{error}; the mix names it: give its file with --tokenizer FILE"
            ) from None
    else:
        if definition.digest == claim.digest:
            return find_tokenizer(definition)
        if origin is None:
            raise ManifestError(
                f"tokenizer {claim.name}: the mix was made with {claim.digest}, this version"
                f" knows {definition.digest}; give its file with --tokenizer FILE"
            )
    return find_of_mix(claims, from_hub(claim.name, origin.repo, origin.revision, origin.filename))
