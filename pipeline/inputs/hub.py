"""Inputs of the Hugging Face hub: a definition's patterns at one commit.

A revision is resolved to a commit once, and everything that follows names the commit, so that a
branch that moves between the plan and the last task cannot mix two versions. The hub's hash of a
large file (LFS) is the sha256 of its content and pins it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from mixtures.errors import InputError
from mixtures.recipe.source_definition import SourceDefinition
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


def match_patterns(
    definition: SourceDefinition, names: Iterable[str], suffixes: tuple[str, ...], where: str
) -> list[str]:
    """Names with one of the suffixes that one of the definition's patterns matches, sorted, each
    once. where: they are, for messages.

    Raises: InputError for a pattern without a match: half a source would otherwise look like a
    whole one.
    """
    packed = sorted(name for name in names if name.endswith(suffixes))
    chosen: set[str] = set()
    for pattern in definition.paths:
        expression = glob_expression(pattern)
        matched = [name for name in packed if expression.fullmatch(name)]
        if not matched:
            raise InputError(
                f"source {definition.name}: {pattern!r} matches no {' or '.join(suffixes[:6])} file"
                f" of {where} ({len(packed)} such files there); mend the pattern, or the revision"
            )
        chosen.update(matched)
    return sorted(chosen)


def glob_expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**/` any folders, `*` and `?` within one name, `[...]` one
    of these characters.
    """
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = ""
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.", pattern, re.DOTALL):
        if piece in parts:
            expression += parts[piece]
        elif len(piece) > 1:
            body = piece[1:-1].replace("\\", "\\\\")
            expression += f"[{'^' + body[1:] if body[0] == '!' else body}]"
        else:
            expression += re.escape(piece)
    return re.compile(expression, re.DOTALL)


def _asked(revision: Revision, question: Callable[[], T]) -> T:
    """Ask the hub. Every failure of its client (network, token, unknown repository) is one named
    error, at once if it will not pass.
    """
    return retried(
        f"{revision}: the hub could not be read",
        question,
        "check the network and the access token, or give local files with --data",
    )
