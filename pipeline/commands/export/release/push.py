"""`annealmix export MIX --release DIR --push OWNER/NAME`: a release to a data set repository of the
Hugging Face hub.

A push that was stopped is repeated: what the hub has whole is not sent again, and whatever was
stopped when, the repository ends up the same. What a person may mend goes last, with the card, so
that a repository without a card is not yet whole. A repository that is made here is private until
somebody makes it public on its page.

A repository holds one release: files of another, among which `datasets` would read its documents,
too, are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mixtures.errors import InputError, RecipeError
from mixtures.mix.claims import read_claims
from mixtures.mix.manifest import MANIFEST
from mixtures.yaml.disk import read_bytes
from pipeline.commands.export.release.croissant import placed
from pipeline.commands.export.release.licences import conflicts
from pipeline.commands.export.release.release import (
    CROISSANT,
    DATA,
    DOMAINS,
    MIX,
    SUMS,
    WRITTEN,
    ReleaseRequest,
    export_release,
    files_of,
)
from pipeline.places.files import retried
from pipeline.report import plural, say
from pipeline.store.records import file_sha256

if TYPE_CHECKING:  # costs half a second
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

T = TypeVar("T")


def publish(request: ReleaseRequest, out: Path, repo: str, *, accepted: bool) -> None:
    """Make a release, or take the one that is there, and push it.

    Args:
        repo: OWNER/NAME. accepted: whether the user passes texts on whatever their licences say.

    Raises:
        RecipeError: licences conflict, or as `export_release`, `opened_release` and `push`.
        InputError: as those.
    """
    reasons = conflicts(read_claims(request.mix))
    if reasons and not accepted:
        raise RecipeError(
            f"{request.mix}: nothing was made or sent, since the licences of its sources do not go"
            f" together: {'; '.join(reasons)}; --release without --push makes the folder, and"
            " --accept-licences pushes it all the same"
        )
    if out.exists():
        say(f"{out}: is there, and is pushed as it is")
    else:
        export_release(request, out)
    sums = opened_release(out, request.mix)
    asked = {"with-tokens": (request.tokens, f"{MIX}/{MANIFEST}"), "urls": (request.urls, DOMAINS)}
    for option, (wanted, name) in asked.items():
        if wanted and name not in sums:
            raise RecipeError(f"{out}: has no {name}; delete it, or leave out --{option}")
    placed(out / CROISSANT, repo)
    push(out, sums, repo)


def opened_release(folder: Path, mix: Path) -> Mapping[str, str]:
    """Prove that a folder is a whole release of a mix.

    Returns:
        The sha256 of each file that no person mends, by its path.

    Raises:
        RecipeError: it is a release of another mix, or holds a file of no release.
        InputError: a file is missing, or not what its sum says. ManifestError: it is no release.
    """
    claims, wanted = read_claims(folder), read_claims(mix)
    public = claims.public
    if not (
        public and public.of == wanted.identity and claims.recipe_digest == wanted.recipe_digest
    ):
        raise RecipeError(f"{folder}: is no release of {mix}; delete it, or name another place")
    sums = dict(_sums(folder / SUMS))
    there = {path.relative_to(folder).as_posix() for path in files_of(folder)}
    if strange := sorted(there - {*sums, *WRITTEN, SUMS}):
        raise RecipeError(f"{folder / strange[0]}: is no part of a release; take it elsewhere")
    if lacking := sorted({*sums, *WRITTEN} - there):
        raise InputError(f"{folder / lacking[0]}: missing; delete {folder} and release again")
    for name, sha256 in sums.items():
        if file_sha256(folder / name) != sha256:
            raise InputError(
                f"{folder / name}: is not what {SUMS} says; delete {folder} and release again"
            )
    return sums


def _sums(file: Path) -> Iterator[tuple[str, str]]:
    """(path, sha256) of each line."""
    try:
        lines = read_bytes(file).decode().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); delete its folder and release again"
        ) from None
    for line in lines:
        sha256, _, name = line.partition("  ")
        yield name, sha256


def push(folder: Path, sums: Mapping[str, str], repo: str) -> None:
    """Send a release, and see that the hub has all of it.

    Args:
        sums: as `opened_release` returns them.

    Raises:
        RecipeError: the repository holds files of another release. InputError: the hub does not
            answer, does not allow it, or has other bytes in the end.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    _asked(
        f"{repo}: the repository could not be made or found",
        lambda: api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True),
    )
    _refuse_others(folder, sums, repo, _listed(api, repo))
    for names in ([*sums, SUMS], WRITTEN):
        _upload(api, folder, repo, names)
    listed = _listed(api, repo)
    for name in (*sums, SUMS, *WRITTEN):
        if name not in listed or not _same(folder / name, listed[name], sums.get(name)):
            raise InputError(f"{repo}: {name} is not on the hub as it is in {folder}; push again")
    info = _asked(f"{repo}: the hub could not be read", lambda: api.dataset_info(repo))
    private = ", private: make it public on its page when it is ready" if info.private else ""
    files = plural(len(sums) + 1 + len(WRITTEN), "file")
    say(f"{api.endpoint}/datasets/{repo}: {files}, commit {info.sha}{private}")


def _upload(api: HfApi, folder: Path, repo: str, names: Sequence[str]) -> None:
    _asked(
        f"{repo}: the release could not be sent",
        lambda: api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="Add a release of annealmix",
        ),
    )


def _listed(api: HfApi, repo: str) -> dict[str, RepoFile]:
    """The files of a repository, by path."""
    from huggingface_hub.hf_api import RepoFile

    def entries() -> dict[str, RepoFile]:
        commit = api.dataset_info(repo).sha
        tree = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type="dataset")
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    return _asked(f"{repo}: the hub could not be read", entries)


def _refuse_others(
    folder: Path, sums: Mapping[str, str], repo: str, listed: Mapping[str, RepoFile]
) -> None:
    for name, entry in listed.items():
        mine = name in sums
        data = name.startswith((f"{DATA}/", f"{MIX}/"))
        if (data and not mine) or (mine and not _same(folder / name, entry, sums[name])):
            raise RecipeError(
                f"{repo}: holds {name} of another release; nothing was sent: name another"
                " repository, or delete that one's files"
            )


def _same(file: Path, entry: RepoFile, sha256: str | None) -> bool:
    """Whether the hub's file is ours: by sha256 (large ones), or as git hashes its content."""
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == (sha256 or file_sha256(file)))
    content = read_bytes(file)
    return bool(hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest() == entry.blob_id)


def _asked(where: str, question: Callable[[], T]) -> T:
    mend = "check the network, and that HF_TOKEN may write there; what was sent is not sent again"
    return retried(where, question, mend)
