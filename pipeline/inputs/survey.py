"""What of a source is there: its files as listed now, held against the groups of files that a store
has read already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from mixtures.errors import RecipeError
from mixtures.recipe.quality import Quality, reading_name
from mixtures.recipe.source import SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import list_files
from pipeline.places.places import Place
from pipeline.store.records import read_json, write_json
from pipeline.store.rules import short_key
from pipeline.store.store import Group, Store

GROUP_BYTES = (16 << 20, 512 << 20)  # smallest and largest target of a group's input files


GROUPS = 512  # groups of a source that are aimed at between those


@dataclass(frozen=True)
class SourceInputs:
    """A source's files as listed now, the groups of the store that cover some of them, and the
    groups that must be read anew.

    groups: each with its files in the group's order.
    """

    definition: SourceDefinition
    quality: Quality
    files: list[InputFile]
    groups: list[tuple[Group, list[InputFile]]]
    new_groups: list[list[InputFile]]

    @property
    def reading(self) -> str:
        """Names the definition and its quality steps."""
        return reading_name(self.definition.name, self.quality)


def survey(
    store: Store, definition: SourceDefinition, quality: Quality, folder: Place | None
) -> SourceInputs:
    """List a source's files and find the groups that hold them already. A branch of the hub is read
    at the commit that the store froze.
    """
    files = list_files(definition if folder else frozen(store, definition), folder)
    groups, rest = _cover(store.groups(definition, quality), files)
    return SourceInputs(
        definition, quality, files, groups, grouped(rest, sum(file.size for file in files))
    )


def refuse_shared_files(surveys: dict[str, SourceInputs]) -> None:
    """Two definitions that read the same rows of a file are one source under two names: its quota
    would be asked twice.

    Args:
        surveys: by definition and quality steps.

    Raises:
        RecipeError: names the file and both definitions.
    """
    seen: dict[tuple[object, ...], str] = {}
    for found in surveys.values():
        name = found.definition.name
        where = tuple(sorted((column, values) for column, values in found.definition.where.items()))
        for file in found.files:
            first = seen.setdefault((file.url, where), name)
            if first != name:
                raise RecipeError(
                    f"source definitions {name} and {first} read the same rows of {file.url}; leave"
                    " one of them out"
                )


def _cover(
    groups: Iterable[Group], files: Sequence[InputFile]
) -> tuple[list[tuple[Group, list[InputFile]]], list[InputFile]]:
    """Choose groups that hold exactly files of the list, no file twice. Returns them and the files
    that none holds.
    """
    rest = {file.path: file for file in files}
    chosen = []
    for group in groups:
        members = [rest.get(known["path"]) for known in group.inputs]
        if all(
            file and _same(known, file) for known, file in zip(group.inputs, members, strict=True)
        ):
            chosen.append((group, [file for file in members if file]))
            for known in group.inputs:
                del rest[known["path"]]
    return chosen, list(rest.values())


def _same(known: dict[str, object], file: InputFile) -> bool:
    """Whether a file still has the content that a group was read from; a file that was only touched
    is hashed to find out.
    """
    if known["size"] != file.size and "://" not in file.url:
        return False
    if not file.local:
        return (known["etag"], known["url"]) == (file.etag, file.url) and file.sha256 in (
            None,
            known["sha256"],
        )
    if (known["mtime_ns"], known["inode"]) == (file.mtime_ns, file.inode):
        return file.sha256 in (None, known["sha256"])
    with open(file.url, "rb") as stream:
        digest = sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return known["sha256"] == digest.hexdigest()


def group_target(source_bytes: int) -> int:
    """Bytes of input files from which on a group of a source is full."""
    return min(max(source_bytes // GROUPS, GROUP_BYTES[0]), GROUP_BYTES[1])


def grouped(files: Sequence[InputFile], source_bytes: int) -> list[list[InputFile]]:
    """Group neighbouring files to a size that grows with the source."""
    target = group_target(source_bytes)
    groups: list[list[InputFile]] = []
    size = target
    for file in files:
        if size >= target:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return groups


def group_name(files: Sequence[InputFile]) -> str:
    """A name that depends on which files are read together, and on their state."""
    states = [
        [file.path, file.size, file.mtime_ns, file.inode, file.etag, file.sha256] for file in files
    ]
    return short_key(
        [
            state if file.local else [*state, file.url]
            for state, file in zip(states, files, strict=True)
        ]
    )


def frozen(store: Store, definition: SourceDefinition) -> SourceDefinition:
    """The definition at the commit that its revision meant when the store first met it.

    So two mixes of one store are of one version of a source, even if its branch has moved
    between them; delete the source's `revision.json` to take the newer version.

    Raises:
        RecipeError: the definition is published nowhere. InputError: the hub does not answer.
    """
    from pipeline.inputs.hub import resolve_commit

    record = store.source_folder(definition) / "revision.json"
    repo, revision = definition.repository
    asked = {"repo": repo, "revision": revision}
    known = read_json(record) if record.exists() else {}
    if any(known.get(name) != value for name, value in asked.items()):
        known = {**asked, "commit": resolve_commit(definition)}
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, known)
    return definition.model_copy(update={"revision": known["commit"]})
