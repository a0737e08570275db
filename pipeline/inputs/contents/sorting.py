"""Which files of a listing are read, and what of the others is said: the one place that decides it,
for folders of this machine, object stores and repositories of the hub.

    a file                                               outcome
    of the format, and matched by `paths` if there are    read
    hidden, or a companion of data                       left out
    unfinished, by its name                              error
    of several layouts, where endings say what is read   error
    of a format that is not the source's                 error; named, if `paths` chooses, and in a
                                                         repository of the hub
    beside files that a pattern with wildcards matches   named
    anything else                                        named

    what is read                                         outcome
    of several splits                                    error, unless `splits` names those to read
    some shards of a numbered set                        error, unless the source is `partial`
    some folders of a numbered set                       named: large corpora are copied so

Named means: in `Contents.notes`, which build and plan print. A file that nobody named would be text
that is silently not in the mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mixtures.errors import InputError
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.words import plural
from pipeline.inputs.contents.names import (
    HUB_DOWNLOADS,
    is_companion,
    is_hidden,
    is_unfinished,
    rsync_target,
    shard_of,
    splits_of,
)
from pipeline.inputs.contents.patterns import is_glob, matches
from pipeline.inputs.file import LAYOUTS, NAMED_FILES, SUFFIXES, layout_of
from pipeline.report import some

_NOTES = (".json", ".txt", ".csv", ".tsv")
"""Endings of data that are those of notes, too."""
_READABLE = tuple(
    ending for endings in SUFFIXES.values() for ending in endings if ending not in _NOTES
)


@dataclass(frozen=True)
class Contents:
    """A listing, sorted out."""

    read: list[str]
    """Paths, sorted by their UTF-8."""
    notes: list[str] = field(default_factory=list)
    """What is left out that may be data: a sentence each."""


def sort_out(
    definition: SourceDefinition,
    where: str,
    paths: Iterable[str],
    patterns: Sequence[str],
    *,
    published: bool = False,
) -> Contents:
    """Sort out a listing.

    Args:
        where: the folder or repository, for messages. paths: all files there.
        patterns: the definition's `paths`, where they choose; () takes every file of the format.
        published: whether somebody else laid the files out, who may publish them in several
            formats.

    Raises:
        InputError: nothing is left to read, or something must not be there.
    """
    everything = sorted(paths)
    visible = [path for path in everything if not is_hidden(path)]
    if not patterns:
        _refuse_unfinished(where, everything)
    notes_of_library = _saved_by_datasets(definition, where, visible)
    kept = [path for path in visible if not is_companion(path) and path not in notes_of_library]
    suffixes = SUFFIXES[definition.format]
    packed = [path for path in kept if path.lower().endswith(suffixes)]
    chosen = matches(definition, where, packed, patterns) if patterns else packed
    if not chosen:
        raise _nothing_matches(definition, where, visible)
    if definition.format == "found":
        _refuse_several_layouts(where, chosen)
    others = sorted(set(kept) - set(chosen))
    notes = []
    if patterns and not any(map(is_glob, patterns)):
        others = []  # files by their names are meant, and no others
    elif patterns:
        beside = {_folder(path) for path in chosen}
        others = [path for path in others if _folder(path) in beside]
        _refuse_unfinished(where, [path for path in everything if _folder(path) in beside])
    elif not published:
        _refuse_other_formats(definition, where, others)
    if others:
        notes.append(f"{where}: not read: {_named(others)}")
    read = _of_splits(definition, where, chosen, notes)
    whole = [path for path in visible if path.lower().endswith(suffixes)]
    _check_shards(definition, where, read, whole, notes)
    return Contents(read, notes)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _named(paths: Sequence[str]) -> str:
    return f"{plural(len(paths), 'file')} ({some(paths, NAMED_FILES)})"


def _nothing_matches(
    definition: SourceDefinition, where: str, visible: Sequence[str]
) -> InputError:
    pattern = ", ".join(f"**/*{suffix}" for suffix in SUFFIXES[definition.format])
    if definition.format == "found":
        pattern = f"{', '.join(f'*{ending}' for ending in LAYOUTS)} or one of them packed"
    return InputError(
        f"{where}: no file matches {pattern} (format {definition.format}); found"
        f" {some(visible, NAMED_FILES) or 'nothing'}"
    )


def _refuse_unfinished(where: str, paths: Sequence[str]) -> None:
    unfinished = [path for path in paths if _is_unfinished(path)]
    if unfinished:
        raise InputError(
            f"{where}: holds unfinished files ({some(unfinished, NAMED_FILES)}): a download or copy"
            " is under way, or was stopped; finish it, or delete them"
        )


def _is_unfinished(path: str) -> bool:
    if not is_hidden(path) or path.startswith(HUB_DOWNLOADS):
        return is_unfinished(path)
    target = rsync_target(path)
    return target is not None and target.lower().endswith(_READABLE)


def _saved_by_datasets(
    definition: SourceDefinition, where: str, visible: Sequence[str]
) -> set[str]:
    """What `datasets.save_to_disk` notes beside its rows, where endings say what is read.

    Raises:
        InputError: it saved several splits.
    """
    if definition.format != "found":
        return set()
    if "dataset_dict.json" in visible:
        splits = sorted({path.split("/")[0] for path in visible if "/" in path})
        raise InputError(
            f"{where}: is a data set of the splits {', '.join(splits)}, and a source is one of"
            f" them; name its folder, {where}/{splits[0] if splits else 'SPLIT'}"
        )
    names = ("state.json", "dataset_info.json")
    folders = [
        {path.removesuffix(name) for path in visible if path.rsplit("/", 1)[-1] == name}
        for name in names
    ]
    return {f"{folder}{name}" for folder in set.intersection(*folders) for name in names}


def _refuse_several_layouts(where: str, chosen: Sequence[str]) -> None:
    """Raises: InputError where nobody could say which files are the source's."""
    families: dict[str, list[str]] = {}
    for path in chosen:
        families.setdefault(layout_of(path).family, []).append(path)
    if len(families) > 1:
        found = ", ".join(
            f"{len(paths):,} of {name} ({paths[0]})" for name, paths in families.items()
        )
        raise InputError(
            f"{where}: holds files of several layouts: {found}; a source has one: say which with a"
            " pattern, such as data: FOLDER/**/*.jsonl"
        )


def _refuse_other_formats(definition: SourceDefinition, where: str, others: Sequence[str]) -> None:
    strangers = [path for path in others if path.lower().endswith(_READABLE)]
    if strangers:
        raise InputError(
            f"{where}: holds {_named(strangers)} of another format than the source's"
            f" ({definition.format}), which would not be read; move them away, or bring them as a"
            " source of their own"
            + (", or choose with `paths` in the source definition" if not definition.repo else "")
        )


def _of_splits(
    definition: SourceDefinition, where: str, chosen: Sequence[str], notes: list[str]
) -> list[str]:
    """The files of the splits that the source names. A file that names none is training text."""
    by_split: dict[str, list[str]] = {}
    for path, split in splits_of(chosen).items():
        by_split.setdefault(split or "train", []).append(path)
    wanted = definition.splits
    if not wanted:
        if len(by_split) > 1:
            found = "; ".join(f"{name}: {_named(files)}" for name, files in by_split.items())
            raise InputError(
                f"{where}: holds several splits ({found}); write `splits: [train]` to read one"
                f" of them, or `splits: [{', '.join(by_split)}]` for all: in the recipe's source"
                f" {definition.name} where its `data` stands there, else in its definition"
            )
        return list(chosen)
    missing = [name for name in wanted if name not in by_split]
    if missing:
        raise InputError(
            f"{where}: no file of the split {', '.join(missing)}, which `splits` of source"
            f" {definition.name} names; found: {', '.join(by_split)}"
        )
    left = [path for name, files in by_split.items() if name not in wanted for path in files]
    if left:
        notes.append(f"{where}: not read, of other splits: {_named(sorted(left))}")
    return sorted(path for name in wanted for path in by_split[name])


def _check_shards(
    definition: SourceDefinition,
    where: str,
    read: Sequence[str],
    whole: Sequence[str],
    notes: list[str],
) -> None:
    """Hold numbered sets of which files are read against what lies there, chosen or not."""
    asked = {shard.series for shard in map(shard_of, read) if shard}
    if gaps := _gaps(path for path in whole if (s := shard_of(path)) and s.series in asked):
        text = f"{where}: shards are missing: {'; '.join(gaps[:NAMED_FILES])}"
        if not definition.partial:
            raise InputError(
                f"{text}; fetch them, or write `partial: true` in the source definition"
            )
        notes.append(text)
    folders = {folder for path in whole for folder in _folders(path)}
    if gaps := _gaps(folders):
        notes.append(f"{where}: numbered folders are missing: {some(gaps, NAMED_FILES)}")


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _gaps(paths: Iterable[str]) -> list[str]:
    """Numbered sets that are not whole: `train-*-of-00041.parquet (3 of 41 are there)`."""
    found: dict[str, tuple[int, set[int]]] = {}
    for path in paths:
        if shard := shard_of(path):
            found.setdefault(shard.series, (shard.total, set()))[1].add(shard.number)
    return [
        f"{series} ({len(numbers):,} of {total:,} are there; not {_numbers(numbers, total)})"
        for series, (total, numbers) in sorted(found.items())
        if len(numbers) < total
    ]


def _numbers(present: set[int], total: int) -> str:
    """The numbers that are not there. Sets count from 0, or from 1 up to the total."""
    first = 1 if total in present else 0
    absent = (number for number in range(first, first + total) if number not in present)
    shown = [str(number) for number, _ in zip(absent, range(NAMED_FILES), strict=False)]
    more = total - len(present) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
