"""Where a tokenizer.json is: in the file that is given, among what annealmix ships, in the cache
folder, on the hub. Wherever it is found, it must have the canonical digest that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mixtures.errors import InputError, ManifestError
from mixtures.recipe.load import FetchedTokenizer, FetchTokenizer
from mixtures.recipe.tokenizer.definition import TokenizerDefinition
from mixtures.recipe.tokenizer.request import TokenizerRequest
from mixtures.words import first_line
from mixtures.yaml.disk import read_bytes
from pipeline.places.files import retried
from pipeline.places.places import default_cache
from pipeline.tokens.known import known_contents


def find_tokenizer(definition: TokenizerDefinition, file: Path | None = None) -> Path:
    """The file of a tokenizer: `file` if given, else the shipped one, the cache folder's, the copy
    that a build kept, or the hub's; the first that exists.

    The cache folder is `$ANNEALMIX_CACHE` (default `~/.cache/annealmix`), the file in it
    `tokenizers/NAME.json`. The hub's copy lies in the cache of huggingface_hub, which serves it
    without a network once it is there.

    Raises:
        ManifestError: that file is another tokenizer; no further place is tried, since somebody put
            it there on purpose.
        InputError: `file` does not exist, or no place has one; lists the places.
    """
    if file is not None:
        return _checked(given_file(file, definition.name), definition)
    looked = []
    for place in _local_places(definition):
        if place.is_file():
            return _checked(place, definition)
        looked.append(str(place))
    if definition.repo is not None:
        try:
            downloaded = _download(definition.repo, definition.revision, definition.filename)
        except InputError as error:
            looked.append(str(error))
        # the hub's client has many ways to fail; the reason is in the message below
        except Exception as error:
            looked.append(_failed(definition.repo, definition.revision, error))
        else:
            return _checked(downloaded, definition)
    raise InputError(
        f"tokenizer {definition.name}: not found in {'; '.join(looked)}; give it with --tokenizer"
        " FILE or put it into the cache folder"
    )


def likely_file(definition: TokenizerDefinition, file: Path | None = None) -> Path | None:
    """The file that `find_tokenizer` will look at, if it is on this machine; nothing is read."""
    places = _local_places(definition) if file is None else iter([file])
    return next(filter(Path.is_file, places), None)


def fetcher(file: Path | None = None) -> FetchTokenizer:
    """Brings tokenizers of the hub for `mixtures.recipe.load.load_recipe`.

    Args:
        file: taken in the hub's place, which is then not asked.

    Raises (when it brings one):
        InputError: the file does not exist; the hub cannot be reached, or has no such file.
    """

    def fetch(request: TokenizerRequest) -> FetchedTokenizer:
        repo, name = str(request.repo), request.label
        if file is not None:
            return FetchedTokenizer(given_file(file, name), request.revision or "main")
        path = from_hub(name, repo, request.revision, request.filename)
        # models--OWNER--NAME/snapshots/COMMIT/filename
        return FetchedTokenizer(path, path.parents[request.filename.count("/")].name)

    return fetch


def kept_copy(digest: str) -> Path:
    """Where a build keeps a copy of a tokenizer whose file nothing ships, so that its mixes can be
    read on this machine when the file was moved.
    """
    return default_cache() / "tokenizers" / f"{digest}.json"


def given_file(file: Path, name: str) -> Path:
    """A file that somebody named, if there is one.

    Raises:
        InputError: there is none.
    """
    if not file.is_file():
        raise InputError(
            f"tokenizer {name}: {file} is not a file; give the tokenizer.json itself"
            " with --tokenizer FILE"
        )
    return file


def _local_places(definition: TokenizerDefinition) -> Iterator[Path]:
    if definition.file is not None:
        import recipes

        yield Path(str(recipes.__file__)).parent / definition.file
    yield default_cache() / "tokenizers" / f"{definition.name}.json"
    if (kept := kept_copy(definition.digest)).is_file():
        yield kept


def from_hub(name: str, repo: str, revision: str | None, filename: str) -> Path:
    """The tokenizer.json of a repository, in the cache of the hub's client.

    Args:
        name: of the tokenizer, for messages.

    Raises:
        InputError: the hub cannot be reached, or has no such file.
    """
    try:
        return _download(repo, revision, filename)
    except InputError as error:
        raise InputError(f"tokenizer {name}: {error}; or give it with --tokenizer FILE") from None
    # the hub's client has many ways to fail
    except Exception as error:
        raise InputError(
            f"tokenizer {name}: {_failed(repo, revision, error)}; give it with --tokenizer FILE, or"
            " name another repository"
        ) from error


def _failed(repo: str, revision: str | None, error: Exception) -> str:
    at = f" at {revision}" if revision else ""
    return f"{repo}{at} on the hub ({type(error).__name__}: {first_line(error)})"


def _download(repo: str, revision: str | None, name: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(repo, name, revision=revision), str):
        # The client asks for a file again and again by itself, whatever the reason; a hub that
        # cannot be reached shows here first.
        at = f" at {revision}" if revision else ""
        retried(
            f"{repo}{at} on the hub could not be read",
            lambda: HfApi().model_info(repo, revision=revision, expand=["sha"]),
            "check the network and the access token",
            most=3,  # seconds, not a minute: the file can be named instead
        )
    return Path(hf_hub_download(repo, name, revision=revision))


def _checked(path: Path, definition: TokenizerDefinition) -> Path:
    require_digest(path, known_contents(content_of(path)).digest, definition)
    return path


def content_of(path: Path) -> bytes:
    """The bytes of a tokenizer.json.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        raise InputError(
            f"tokenizer file {path} cannot be read ({error.strerror}); give a readable one with"
            " --tokenizer FILE"
        ) from error


def num_ids(path: Path) -> int:
    """One more than the largest id of a tokenizer.json.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return known_contents(content_of(path)).vocab_size
    except ManifestError as error:
        raise InputError(f"{path}: {error}") from None


def require_digest(path: Path, digest: str, definition: TokenizerDefinition) -> None:
    """Refuse a file that is another tokenizer than its definition means.

    Raises:
        ManifestError: says both digests.
    """
    if digest != definition.digest:
        raise ManifestError(
            f"tokenizer {definition.name}: {path} has canonical digest {digest}, the definition"
            f" says {definition.digest}; it is another tokenizer: remove it, or give the right file"
            " with --tokenizer FILE"
        )
