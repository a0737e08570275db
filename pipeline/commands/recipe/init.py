"""`annealmix init`: says what is in a folder or in a data set of the hub, and writes a recipe of it
that builds as it stands. The recipe is read back before it is kept.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.load import load_recipe
from mixtures.recipe.tokenizer.form import contents
from mixtures.recipe.tokenizer.request import TokenizerRequest
from mixtures.yaml.disk import open_file, read_bytes
from pipeline.commands.recipe.look import (
    FoundSource,
    data_files,
    find_source,
    is_tokenizer,
    licence_of,
    rows_in_words,
    source_names,
)
from pipeline.inputs.file import InputFile
from pipeline.inputs.hub import Revision, resolve_commit
from pipeline.inputs.local import LocalFolder
from pipeline.inputs.readers.content import HEAD_BYTES
from pipeline.inputs.remote import list_hub_folder
from pipeline.places.files import content
from pipeline.places.places import RemoteFolder, parse_url
from pipeline.report import Column, Table, count, say, size, some, tell
from pipeline.store.records import write_whole
from pipeline.tokens.find import fetcher

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]")
"""Tokens that are known to end documents."""
DEFAULT_TOKENIZER = "gpt-neox-20b"
_SHOWN = 8
"""Columns of a source that are named."""


@dataclass(frozen=True)
class InitRequest:
    """What the command is asked."""

    dataset: str
    out: Path | None = None
    tokenizer: str | None = None
    tokens: int | None = None
    ask: bool = False


@dataclass(frozen=True)
class _Place:
    """What is looked into."""

    name: str
    """Of the only source, or of the recipe."""
    files: Mapping[str, InputFile]
    """Data files, by path below it."""
    others: Sequence[str]
    """Files below it that a source must not take for data."""
    root: str
    """What `data` begins with in the recipe: a path below the recipe's folder or a URL; empty for
    the recipe's folder itself.
    """
    folder: Path
    """Of the recipe, where nobody says another."""
    licence: str | None
    tokenizers: Sequence[str]
    """Below the recipe's folder."""


def init(request: InitRequest) -> Path:
    """Look, say, and write; returns the recipe's path.

    Raises:
        InputError: there is nothing to read, or a file is not what it says. RecipeError: the recipe
            is there already, or is refused as it would be written.
    """
    place = _place(request)
    sources = _sources(place)
    _show(sources, place)
    usable = [source for source in sources if source.guess is not None]
    if not usable:
        names = some([source.name for source in sources], 5)
        raise InputError(
            f"{request.dataset}: no column of text was found in {names}; write the source by hand,"
            " with text: COLUMN"
        )
    path = request.out or place.folder / f"{place.name}.yaml"
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if path.exists():
        raise RecipeError(f"{path}: is there already; name another with --out, or remove it")
    text = _recipe(path.stem, usable, place, request)
    if request.ask and sys.stdin.isatty() and not _agreed(path):
        say("nothing was written")
        return path
    _write(path, text)
    say(f"wrote {path}; next: annealmix build {path} --out {path.with_suffix('')}-mix")
    return path


def _place(request: InitRequest) -> _Place:
    folder = Path(request.dataset)
    if folder.is_dir():
        return _local_place(folder, request.out)
    if not _HUB_NAME.fullmatch(request.dataset):
        raise InputError(
            f"{request.dataset}: no such folder; name one, or a data set of the hub as OWNER/NAME"
        )
    commit = resolve_commit(Revision(request.dataset, "main"))
    remote = parse_url(f"hf://datasets/{request.dataset}@{commit}")
    assert isinstance(remote, RemoteFolder)
    everything = list_hub_folder(remote).everything
    named = data_files(list(everything))
    tokenizers = [path for path in named if is_tokenizer(path, b"")]
    card = content(remote, "README.md") if "README.md" in everything else b""
    return _Place(
        _slug(request.dataset.split("/")[1]),
        {path: everything[path] for path in named if path not in tokenizers},
        tokenizers,
        str(remote),
        Path(),
        licence_of(card.decode("utf-8", "replace")),
        [],
    )


def _local_place(folder: Path, out: Path | None) -> _Place:
    resolved = folder.resolve()
    base = (out.parent if out else Path()).resolve()
    if not resolved.is_relative_to(base):
        if out:
            raise RecipeError(
                f"{out}: a recipe reads files below its own folder, and {folder} is not there; put"
                f" the recipe into {resolved.parent}, or a folder above; or write it there, copy"
                " it, and give plan and build the data with --data NAME=DIR"
            )
        base = resolved.parent
    lister = LocalFolder(resolved)
    paths = list(lister.paths())
    heads = {path: _head(resolved / path) for path in paths if path.endswith(".json")}
    tokenizers = [path for path, head in heads.items() if is_tokenizer(path, head)]
    named = [path for path in data_files(paths) if path not in tokenizers]
    files = {file.path: file for file in lister.files(named)}
    if empty := [path for path, file in files.items() if not file.size]:
        raise InputError(
            f"{folder}: holds empty files ({some(empty, _SHOWN)}), which a build refuses; fetch"
            " them again, or remove them"
        )
    card = resolved / "README.md"
    beside = [
        path.name for path in sorted(base.glob("*.json")) if is_tokenizer(path.name, _head(path))
    ]
    root = resolved.relative_to(base).as_posix()
    below = "" if root == "." else f"{root}/"
    return _Place(
        _slug(resolved.name),
        files,
        tokenizers,
        "" if root == "." else root,
        base,
        licence_of(card.read_text("utf-8", "replace")) if card.is_file() else None,
        list(dict.fromkeys([*beside, *(below + path for path in tokenizers)])),
    )


def _head(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(HEAD_BYTES)


def _sources(place: _Place) -> list[FoundSource]:
    if not place.files:
        raise InputError(
            f"{place.root or place.folder}: holds no file that is read as rows; `annealmix init"
            " --help` and docs/sources.md say which are"
        )
    found, names = [], Counter[str]()
    for folder, paths in source_names(list(place.files)).items():
        name = _slug(folder) if folder else place.name
        names[name] += 1
        name += f"-{names[name]}" if names[name] > 1 else ""
        found.append(
            find_source(name, folder, {path: place.files[path] for path in paths}, place.others)
        )
    return found


def _show(sources: Sequence[FoundSource], place: _Place) -> None:
    columns = [
        Column("source", "name"),
        Column("files", lambda source: len(source.files), count),
        Column("format", "layout", left=True),
        Column("size", "size", size),
        Column("rows", rows_in_words),
        Column(
            "text",
            lambda source: _written(source.guess.expression) if source.guess else "-",
            left=True,
        ),
        Column(
            "because", lambda source: source.guess.why if source.guess else "no text", left=True
        ),
    ]
    Table(sources, columns).print(f"found in {place.root or place.folder}")
    for source in sources:
        names = [f"{column.name} ({'/'.join(sorted(column.kinds))})" for column in source.columns]
        tell(f"{source.name}: columns {some(names, _SHOWN)}")
        if source.left_out:
            tell(f"{source.name}: left out: {', '.join(source.left_out)}")
        if source.guess is not None:
            words = [f"{number:,} {name}" for name, number in source.fates.items() if number]
            read = f"of the {source.fates.total():,} rows that were read: {', '.join(words)}"
            tell(f"{source.name}: {read}")
    tell(f"licence: {place.licence or 'not given'}")


def _recipe(name: str, sources: Sequence[FoundSource], place: _Place, request: InitRequest) -> str:
    """The recipe's text."""
    lines = [
        "# Written by `annealmix init`; docs/recipes.md and docs/sources.md have every field.",
        f"name: {_slug(name)}",
    ]
    if request.tokens:
        lines.append(f"budget: {{tokens: {request.tokens:_}}}")
    lines.append(f"tokenizer: {_tokenizer(place, request.tokenizer)}")
    if any(source.fates["unreadable"] for source in sources):
        lines.append(
            "max_quarantined: 0.01    # of a source's rows: some that were looked at cannot be read"
        )
    lines.append("sources:")
    for source in sources:
        data = "/".join(part for part in (place.root, source.data) if part) or "."
        fields: dict[str, object] = {
            "data": data,
            "text": source.guess.expression if source.guess else "",
        }
        if source.train:
            fields["splits"] = ["train"]
        if place.licence:
            fields["licence"] = place.licence
        amount = "weight: 1" if request.tokens else "all: true"
        written = ", ".join(f"{key}: {_written(value)}" for key, value in fields.items())
        lines.append(f"  {source.name}: {{{written}, {amount}}}")
    return "\n".join(lines) + "\n"


def _tokenizer(place: _Place, asked: str | None) -> str:
    """What `tokenizer` says: what is asked, else a file that is there, else one that is shipped."""
    if asked is not None and _HUB_NAME.fullmatch(asked) and not asked.endswith((".json", ".yaml")):
        path = fetcher()(TokenizerRequest(repo=asked)).path
        return f"{{repo: {_written(asked)}{_ends(path, _end_token(path))}"
    if asked is not None and not asked.endswith(".json"):
        return _written(asked)
    if asked is not None:
        file = _below(place.folder, Path(asked))
        path = place.folder / file
        return f"{{file: {_written(file)}{_ends(path, _end_token(path))}"
    for file in place.tokenizers:
        if end := _end_token(place.folder / file):
            return f"{{file: {_written(file)}{_ends(place.folder / file, end)}"
        say(f"{file}: is a tokenizer, and none of its tokens is known to end documents: not taken")
    return DEFAULT_TOKENIZER


def _below(folder: Path, file: Path) -> str:
    resolved = file.resolve()
    if not resolved.is_relative_to(folder):
        raise RecipeError(
            f"--tokenizer {file}: a recipe reads files below its own folder, {folder}; copy it"
            " there (an OWNER/NAME of the hub may lie anywhere: plan and build take its file with"
            " --tokenizer FILE)"
        )
    return resolved.relative_to(folder).as_posix()


def _ends(path: Path, end: str | None) -> str:
    """The rest of what a recipe says of a tokenizer.json. end: the token that ends documents; a
    recipe that names none is refused, with the line to write.
    """
    if end is None:
        return "}"
    try:
        begin = contents(read_bytes(path)).begin
    except ManifestError:
        begin = None  # as below
    return f", eod: {_written(end)}}}" + (
        f"    # its template begins texts with {json.dumps(begin)}: add bos: {json.dumps(begin)}"
        if begin not in (None, end)
        else ""
    )


def _end_token(path: Path) -> str | None:
    """The special token of a tokenizer.json that is known to end documents."""
    try:
        added = json.loads(read_bytes(path))["added_tokens"]
        tokens = {str(token["content"]) for token in added if token["special"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # reading the recipe says what is wrong with it
    return next((token for token in _ENDS if token in tokens), None)


_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./?-]*")


def _written(value: object) -> str:
    """A value in YAML's flow style, which is read back as it is."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(item)}' for key, item in value.items())}}}"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _slug(name: str) -> str:
    """A name of a recipe or source."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:64].strip("-.")
    return slug or "source"


def _agreed(path: Path) -> bool:
    print(f"write {path}? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _write(path: Path, text: str) -> None:
    """Write the recipe, and read it back; one that is refused is not kept."""
    write_whole(path, text.encode())
    try:
        load_recipe(str(path) if "/" in str(path) else f"./{path}", fetch=fetcher())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
