"""Inputs of the Hugging Face hub: a definition's patterns at one commit.

A revision is resolved to a commit once, and everything that follows names the commit, so that a
branch that moves between the plan and the last task cannot mix two versions. The hub's hash of a
large file (LFS) is the sha256 of its content and pins it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from mixtures.errors import InputError
from mixtures.recipe.source import SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.places.files import retried

T = TypeVar("T")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve_commit(definition: SourceDefinition) -> str:
    """The commit (40 hex digits) that the definition's revision means now.

    Raises: InputError if the hub does not answer, or knows no such repository or revision;
    RecipeError if it is published nowhere.
    """
    repo, revision = definition.repository
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    commit = _asked(definition, lambda: HfApi().dataset_info(repo, revision=revision).sha)
    if commit is None or not _COMMIT.fullmatch(commit):
        raise InputError(
            f"{repo}: the hub names no commit for revision {revision!r}; pin one in the source"
            " definition"
        )
    return commit


def list_repository(definition: SourceDefinition, suffixes: tuple[str, ...]) -> list[InputFile]:
    """The files that the definition's patterns match, in no particular order.

    Raises: InputError if the hub does not answer, or a pattern matches no file with one of the
        suffixes; RecipeError if it is published nowhere.
    """
    commit = resolve_commit(definition)
    files = list_tree(definition, commit)
    return [files[path] for path in match_patterns(definition, files, suffixes)]


def list_tree(definition: SourceDefinition, commit: str, folder: str = "") -> dict[str, InputFile]:
    """Every file of a repository at a commit, or of one folder of it, by its path in the
    repository.

    Raises: InputError if the hub does not answer, or knows no such folder.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    repo = definition.repository[0]

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
            sha256=_content_hash(entry),
        )
        for entry in _asked(definition, entries)
        if isinstance(entry, RepoFile)
    }


def match_patterns(
    definition: SourceDefinition, names: Iterable[str], suffixes: tuple[str, ...]
) -> list[str]:
    """Names with one of the suffixes that one of the definition's patterns matches, sorted, each
    once.

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
                f"source {definition.name}: {pattern!r} matches no {' or '.join(suffixes)} file of"
                f" {definition.repo}@{definition.revision} ({len(packed)} such files there); mend"
                " `paths` or `revision`"
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


def _content_hash(entry: object) -> str | None:
    lfs = getattr(entry, "lfs", None)
    return str(lfs.sha256) if lfs is not None else None


def _asked(definition: SourceDefinition, question: Callable[[], T]) -> T:
    """Ask the hub. Every failure of its client (network, token, unknown repository) is one named
    error, at once if it will not pass.
    """
    return retried(
        f"{definition.repo}@{definition.revision}: the hub could not be read",
        question,
        "check the network and the access token, or give local files with --data",
    )
