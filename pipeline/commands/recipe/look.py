"""What is in a folder or a repository of the hub: which files make a source, what their rows are,
and which text they mean. Only the beginnings of a few files are read.

A folder with data files of its own, or with folders of splits, is one source; else each of its
folders that holds data files is one. Of files of several layouts the source is the one with the
most bytes. Where files are called train and test, the source is train.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from mixtures.errors import InputError
from mixtures.recipe.tokenizer import form
from mixtures.rules.text_expression import Expression, TextPart
from mixtures.words import plural
from pipeline.commands.recipe.guess import ColumnSeen, Guess, columns_of, guess_text
from pipeline.commands.recipe.sample import Sample, sample_of
from pipeline.inputs.adapters.expression import expression_adapter
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.contents.names import is_companion, is_hidden, splits_of
from pipeline.inputs.contents.patterns import glob_expression
from pipeline.inputs.file import SUFFIXES, InputFile, layout_of

FILES = 3
"""Of a source that are looked into."""
_LICENCE = re.compile(r"^license:[ \t]*([^\n#]+)", re.MULTILINE)


@dataclass(frozen=True)
class FoundSource:
    """What may become a source of a recipe."""

    name: str
    data: str
    """As the recipe has it, below the folder that was looked into; empty: the folder itself."""
    train: bool
    """Whether it is the files of train alone."""
    files: tuple[InputFile, ...]
    layout: str
    rows: int
    """Of all files: known or estimated."""
    exact: bool
    columns: tuple[ColumnSeen, ...]
    guess: Guess | None
    fates: Counter[str]
    """Rows that were read, by what becomes of them: texts, empty, unreadable."""
    left_out: tuple[str, ...]
    """What else is there, in words."""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)


def is_tokenizer(path: str, head: bytes) -> bool:
    """Whether a file is a tokenizer.json."""
    return path.endswith("tokenizer.json") or form.is_tokenizer(head)


def data_files(paths: Sequence[str]) -> list[str]:
    """Those that may hold rows: no mix, and nothing of a store."""
    made = {
        f"{path.rpartition('/')[0]}/"
        for path in paths
        if path.rpartition("/")[2] in ("store.json", "tokens.idx")
    } - {"/"}
    paths = [path for path in paths if not path.startswith(tuple(made))]
    return [
        path
        for path in sorted(paths)
        if path.endswith(SUFFIXES["found"])
        and path.rsplit("/", 1)[-1] not in ("dataset_info.json", "state.json")
        and not (is_hidden(path) or is_companion(path))
    ]


def source_names(paths: Sequence[str]) -> dict[str, list[str]]:
    """Data files by the folder that is a source; `""` is the folder that is looked into."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(path.split("/")[0] if "/" in path else "", []).append(path)
    splits = splits_of([f"{name}/" for name in folders])
    if "" in folders or all(split or name == "data/" for name, split in splits.items()):
        return {"": list(paths)}
    return folders


def find_source(
    name: str, folder: str, files: Mapping[str, InputFile], others: Sequence[str]
) -> FoundSource:
    """Look into the files of a source.

    Args:
        name: of the source. folder: below the one that is looked into, `""` for itself. files: by
            path below the one that is looked into. others: what lies there and is no data.

    Raises:
        InputError: one that is looked into is damaged, or not what it says.
    """
    chosen, left_out = _of_one_layout(list(files))
    beside = [path for path in others if path.startswith(f"{folder}/" if folder else "")]
    pattern = _pattern(folder, chosen, sorted([*files, *beside]))
    chosen, more, split = _of_one_split(chosen)
    inputs = tuple(files[path] for path in chosen)
    samples = [sample_of(file) for file in inputs[:FILES]]
    rows = [row for sample in samples for row in sample.rows]
    columns = columns_of(rows)
    layout, guess = layout_of(chosen[0]), guess_text(columns, len(rows))
    fates = _fates(guess, rows)
    fates["unreadable"] += sum(sample.bad for sample in samples)
    return FoundSource(
        name=name,
        data=pattern,
        train=split,
        files=inputs,
        layout=layout.name + (f".{layout.packing}" if layout.packing else ""),
        rows=_estimated(samples, inputs),
        exact=layout.name == "txt"
        or (len(samples) == len(inputs) and all(sample.exact for sample in samples)),
        columns=tuple(columns),
        guess=guess,
        fates=fates,
        left_out=(*left_out, *more),
    )


def _fates(guess: Guess | None, rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    fates: Counter[str] = Counter(texts=0, empty=0, unreadable=0)
    if guess is None:
        return fates
    parts: tuple[TextPart, ...] = TypeAdapter(Expression).validate_python(guess.expression)
    adapt = expression_adapter(parts, Counter())
    for row in rows:
        try:
            fates["texts" if adapt(row) else "empty"] += 1
        except BadRecord:
            fates["unreadable"] += 1
    return fates


def _estimated(samples: Sequence[Sample], inputs: Sequence[InputFile]) -> int:
    if layout_of(inputs[0].path).name == "txt":
        return len(inputs)
    looked, total = sum(file.size for file in inputs[:FILES]), sum(file.size for file in inputs)
    return round(sum(sample.num_rows for sample in samples) * total / looked) if looked else 0


def _of_one_layout(paths: list[str]) -> tuple[list[str], list[str]]:
    families = Counter(layout_of(path).family for path in paths)
    # what is txt may be a README beside the data
    most = max(families, key=lambda name: (name != "txt", families[name], name))
    left_out = [f"{count:,} of {name}" for name, count in sorted(families.items()) if name != most]
    return [path for path in paths if layout_of(path).family == most], left_out


def _of_one_split(paths: list[str]) -> tuple[list[str], list[str], bool]:
    """The files of train, where there are other splits, too; what the others are, in words; and
    whether the recipe must say so.
    """
    splits = {path: split or "train" for path, split in splits_of(paths).items()}
    counts = Counter(splits.values())
    if len(counts) == 1 or "train" not in counts:
        return paths, [], False
    others = [f"{plural(count, 'file')} of {name}" for name, count in counts.items()]
    train = [path for path in paths if splits[path] == "train"]
    return train, [words for words in others if not words.endswith(" of train")], True


def _pattern(folder: str, chosen: list[str], paths: list[str]) -> str:
    """What a recipe writes for these files of a folder.

    Raises:
        InputError: no pattern means them and no others.
    """
    if chosen == paths:
        return folder
    ending = max((one for one in SUFFIXES["found"] if chosen[0].endswith(one)), key=len)
    pattern = f"{f'{folder}/' if folder else ''}**/*{ending}"
    expression = glob_expression(pattern)
    if [path for path in paths if expression.fullmatch(path)] != chosen:
        raise InputError(
            f"{folder or 'the folder'}: {len(chosen):,} of {len(paths):,} files make the source,"
            f" such as {chosen[0]}, and no pattern means them alone; move them into a folder of"
            " their own"
        )
    return pattern


def licence_of(card: str) -> str | None:
    """The licence that a data set's card states in its head (`license:`)."""
    if not card.startswith("---"):
        return None
    head = card[3:].split("\n---", 1)[0]
    match = _LICENCE.search(head)
    said = match[1].strip().strip("'\"[]") if match else ""
    return said if said and said.isprintable() and len(said) <= 80 else None


def rows_in_words(source: FoundSource) -> Any:
    """Rows, with what is not known said."""
    return f"{source.rows:,}" if source.exact else f"about {source.rows:,}"
