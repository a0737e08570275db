"""Inputs of the Hugging Face hub: the files of a repository at one commit.

A revision is resolved to a commit once, and everything that follows names the commit, so that a
branch that moves between the plan and the last task cannot mix two versions. The hub's hash of a
large file (LFS) is the sha256 of its content and pins it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from mixtures.errors import InputError
from pipeline.inputs.file import InputFile
from pipeline.places.files import retried

T = TypeVar("T")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Revision(NamedTuple):
    """A dataset repository, and the branch, tag or commit that is asked for."""

    repo: str
    name: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


def resolve_commit(revision: Revision) -> str:
    """The commit (40 hex digits) that a revision means now; a commit is taken as it is.

    Raises:
        InputError: the hub does not answer, or knows no such repository or revision.
    """
    if _COMMIT.fullmatch(revision.name):
        return revision.name
    from huggingface_hub import HfApi

    commit = _asked(
        revision, lambda: HfApi().dataset_info(revision.repo, revision=revision.name).sha
    )
    if commit is None or not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{revision.repo}: the hub names no commit for revision {revision.name!r}; pin one in"
            " the source definition"
        )
    return commit


def list_tree(revision: Revision, folder: str = "") -> dict[str, InputFile]:
    """Every file of a repository, or of one folder of it, by its path in the repository, at the
    commit that the revision means now.

    Raises:
        InputError: the hub does not answer, or knows no such revision or folder.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    repo, commit = revision.repo, resolve_commit(revision)

    def entries() -> list[object]:
        api = HfApi()
        # The client asks for a listing again and again by itself, whatever the reason; a hub that
        # cannot be reached shows here first.
        api.dataset_info(repo, revision=commit, expand=["sha"])
        return list(
            api.list_repo_tree(
                repo, folder or None, recursive=True, revision=commit, repo_type="dataset"
            )
        )

    return {
        entry.path: InputFile(
            path=entry.path,
            url=f"hf://datasets/{repo}@{commit}/{entry.path}",
            size=entry.size,
            etag=entry.blob_id,
            sha256=entry.lfs.sha256 if entry.lfs is not None else None,
        )
        for entry in _asked(revision, entries)
        if isinstance(entry, RepoFile)
    }


def _asked(revision: Revision, question: Callable[[], T]) -> T:
    """Ask the hub. Every failure of its client (network, token, unknown repository) is one named
    error, at once if it will not pass.
    """
    return retried(
        f"{revision}: the hub could not be read",
        question,
        "check the network and the access token, or give local files with --data",
    )
