"""What of a source is there: its files as listed now, held against the groups of files that a store
has read already.

    survey(store, definition, quality, folder) -> SourceInputs
        files        as `pipeline.inputs.listing.list_source` gives them
        groups       of the store, that hold exactly some of these files as they are
        new_groups   of the files that no group holds

A file that was only touched is hashed to find out whether its group still holds; all else is
decided by what listing says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.recipe.quality.steps import Quality, reading_name
from mixtures.recipe.source_definition import SourceDefinition
from pipeline.inputs.file import InputFile
from pipeline.inputs.hub import Revision, resolve_commit
from pipeline.inputs.listing import list_source
from pipeline.places.places import Place
from pipeline.store.records import file_sha256, read_json, write_json
from pipeline.store.rules import short_key
from pipeline.store.store import Group, Store

GROUPS = (16, 512)
"""Groups of a source that are aimed at, as far as GROUP_BYTES allows: as many as the workers of one
machine share evenly, and more where they would be larger than USUAL_GROUP_BYTES."""
USUAL_GROUP_BYTES = 16 << 20
GROUP_BYTES = (2 << 20, 512 << 20)
"""Smallest and largest target of a group's input files, bytes: below, a task takes longer to start
than to read; above, one that is stopped loses much.
"""


@dataclass(frozen=True)
class SourceInputs:
    """A source's files as listed now, the groups of the store that cover some of them, and the
    groups that must be read anew.
    """

    definition: SourceDefinition
    quality: Quality
    """Steps that its texts go through, which decide the folder of the store."""
    files: list[InputFile]
    """All, sorted by path."""
    groups: list[tuple[Group, list[InputFile]]]
    """Each with its files in the group's order."""
    new_groups: list[list[InputFile]]
    """Files that are to be read together."""
    notes: Sequence[str] = ()
    """What is left out that may be data, as listing says it."""

    @property
    def reading(self) -> str:
        """Names the definition and its quality steps."""
        return reading_name(self.definition.name, self.quality)

    @property
    def documents(self) -> int:
        """Of the ledgers of its groups."""
        return sum(group.record.documents for group, _ in self.groups)


def survey(
    store: Store, definition: SourceDefinition, quality: Quality, folder: Place | None
) -> SourceInputs:
    """List a source's files and find the groups that hold them already. A branch of the hub is read
    at the commit that the store froze.
    """
    listing = list_source(definition if folder else frozen(store, definition), folder)
    files = listing.files
    groups, uncovered = cover(store.groups(definition, quality), files, _is_same)
    new_groups = grouped(uncovered, sum(file.size for file in files))
    return SourceInputs(definition, quality, files, groups, new_groups, listing.notes)


def frozen(store: Store, definition: SourceDefinition) -> SourceDefinition:
    """The definition at the commit that its revision meant when the store first met it.

    So two mixes of one store are of one version of a source, even if its branch has moved between
    them; delete the source's `revision.json` to take the newer version.

    Raises:
        RecipeError: the definition is published nowhere. InputError: the hub does not answer.
    """
    record = store.source_folder(definition) / "revision.json"
    revision = Revision(*definition.repository)
    asked = {"repo": revision.repo, "revision": revision.name}
    known = read_json(record) if record.exists() else {}
    if any(known.get(name) != value for name, value in asked.items()):
        known = {**asked, "commit": resolve_commit(revision)}
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, known)
    return definition.model_copy(update={"revision": known["commit"]})


def refuse_shared_files(surveys: Mapping[str, SourceInputs]) -> None:
    """Two definitions that read the same rows of a file are one source under two names: its quota
    would be asked twice.

    Args:
        surveys: by definition and quality steps.

    Raises:
        RecipeError: names the file and both definitions.
    """
    readers: dict[tuple[object, ...], tuple[str, str]] = {}
    for inputs in surveys.values():
        name = inputs.definition.name
        where = tuple(sorted(inputs.definition.where.items()))
        for file in inputs.files:
            # of hard links and links of one file inode and times are the same
            same = (file.size, file.state) if file.local and file.size else (file.url,)
            first, url = readers.setdefault((same, where), (name, file.url))
            if first != name:
                linked = f" (which is {url}, too)" if url != file.url else ""
                raise RecipeError(
                    f"source definitions {name} and {first} read the same rows of"
                    f" {file.url}{linked}; leave one of them out"
                )


def grouped(files: Sequence[InputFile], source_bytes: int) -> list[list[InputFile]]:
    """Group neighbouring files to a size that grows with the source, whose files are of
    `source_bytes` in all.
    """
    target = group_target(source_bytes)
    groups: list[list[InputFile]] = []
    group_bytes = target
    for file in files:
        if group_bytes >= target:
            groups.append([])
            group_bytes = 0
        groups[-1].append(file)
        group_bytes += file.size
    return groups


def group_target(source_bytes: int) -> int:
    """Bytes of input files from which on a group of a source is full."""
    few, many = GROUPS
    aimed = max(min(source_bytes // few, USUAL_GROUP_BYTES), source_bytes // many)
    return min(max(aimed, GROUP_BYTES[0]), GROUP_BYTES[1])


def group_name(files: Sequence[InputFile]) -> str:
    """A name that depends on which files are read together, and on their state."""
    states = [[file.path, file.size, *file.state, file.etag, file.sha256] for file in files]
    return short_key(
        [
            state if file.local else [*state, file.url]
            for state, file in zip(states, files, strict=True)
        ]
    )


def cover(
    groups: Iterable[Group],
    files: Sequence[InputFile],
    same: Callable[[InputFile, InputFile], bool],
) -> tuple[list[tuple[Group, list[InputFile]]], list[InputFile]]:
    """Choose groups that hold exactly files of the list, no file twice. Returns them and the files
    that none holds. same: whether a group's file has the content of one of the list.
    """
    uncovered = {file.path: file for file in files}
    chosen = []
    for group in groups:
        members = []
        for known in (InputFile(**held) for held in group.record.inputs):
            file = uncovered.get(known.path)
            if file is None or not same(known, file):
                break
            members.append(file)
        else:
            chosen.append((group, members))
            for file in members:
                del uncovered[file.path]
    return chosen, list(uncovered.values())


def _is_same(known: InputFile, file: InputFile) -> bool:
    """Whether a file still has the content that a group was read from."""
    if file.local:
        if known.size != file.size:
            return False
        if known.state != file.state and known.sha256 != file_sha256(Path(file.url)):
            return False
    elif (known.etag, known.url) != (file.etag, file.url):
        return False
    return file.sha256 in (None, known.sha256)
