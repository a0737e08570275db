"""`annealmix audit --source-check N`: documents of a mix read again from their sources and encoded
again, which ties tokens to digests.

    check            fails if
    `source files`   a file is not there, damaged, or not the one that the manifest names
    `source text`    the row of a document is none, or has another digest or an order key outside of
                     the source's key range
    `source tokens`  the reference library (Hugging Face tokenizers) makes other ids of a text than
                     the .bin holds

The documents are those with the N smallest digests, at all their places: any subset of the sources
is met in proportion, whoever asks meets the same, and no larger N leaves out what a smaller one
looked at. The rule is public, so only N = all documents holds against somebody who knows it. Of a
cut document the tokens that are left are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.recipe import require_recipe
from mixtures.audit.report import Check, judge, unread
from mixtures.audit.tables.parts import UNREADABLE, read_part
from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.keys import digest_columns, order_key, text_digest
from mixtures.mix.claims import Claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.manifest import MANIFEST
from mixtures.mix.tables import DOCUMENTS, PROVENANCE
from mixtures.recipe.quality.steps import read_quality
from mixtures.words import plural
from mixtures.yaml.disk import read_bytes
from pipeline import report
from pipeline.inputs.file import InputFile
from pipeline.inputs.listing import DataFolders, list_files
from pipeline.inputs.quality.quality import open_steps
from pipeline.lookup.documents import StreamDocuments
from pipeline.lookup.rows import texts_of_rows
from pipeline.lookup.selection import definitions
from pipeline.tokens.engines import Engine, open_engine

Int64s = npt.NDArray[np.int64]
NAMES = ("source files", "source text", "source tokens")


@dataclass(frozen=True)
class Chosen:
    """A place of a chosen document. source: code of its strand; row: of the file."""

    position: int
    first_token: int
    num_tokens: int
    source: int
    digest: bytes
    whole_tokens: int | None
    """That it had, where it is cut."""
    file: str
    row: int

    @property
    def cut(self) -> bool:
        """Whether it is shortened."""
        return self.whole_tokens is not None


def check_sources(
    folder: Path, number: int, data: DataFolders, tokenizer: Path | None
) -> list[Check]:
    """Read `number` documents of a mix again.

    Args:
        data: folders of the sources; what is not there is read from the hub, at the commit that the
            manifest names.
        tokenizer: the file; None finds the one that the manifest names.

    Returns:
        The checks of NAMES.

    Raises:
        ManifestError: the manifest is damaged, or the tokenizer is another one. RecipeError: no
            tokenizer of that name is known, or files of sources are neither published nor given.
            InputError: the tokenizer or a source's folder is not there.
    """
    mix, stream = MixDocuments(folder), StreamDocuments.of_mix(folder, tokenizer)
    try:
        require_recipe(mix.claims, MANIFEST)
    except ManifestError as error:
        return [unread(name, str(error)) for name in NAMES]
    pair, faults = try_open(folder / TOKENS, folder / INDEX)
    if pair is None or (faults := pointer_faults(pair)):
        return [unread(name, f"the .bin and .idx cannot be read: {faults[0]}") for name in NAMES]
    try:
        chosen = chosen_places(mix, number)
    except UNREADABLE as error:
        return [
            unread(name, f"the tables cannot be read: {type(error).__name__}: {error}")
            for name in NAMES
        ]
    engine = open_engine("tokenizers", read_bytes(stream.tokenizer))
    return _SourceCheck(mix, pair, engine).run(chosen, data)


def whole_ids(engine: Engine, claims: Claims, texts: Iterable[str]) -> list[Int64s]:
    """The tokens that the reference library makes of documents, with those that begin and end them:
    int64 [num_tokens] each.
    """
    said, written = claims.tokenizer, list(texts)
    ids, lengths = engine.encode(written, parse=said.special_tokens == "parse")
    begin = [] if said.bos_id is None else [said.bos_id]
    pieces = np.split(ids, np.cumsum(lengths)[:-1]) if written else []
    return [np.concatenate([begin, one, [said.eod_id]]).astype(np.int64) for one in pieces]


def chosen_places(mix: MixDocuments, number: int) -> list[Chosen]:
    """All places of the documents with the `number` smallest digests, in stream order.

    Raises:
        Any of UNREADABLE: a part of a table cannot be read.
    """
    smallest = np.empty((0, 2), np.uint64)
    for columns in mix.parts("digest"):
        digest = digest_columns(np.ascontiguousarray(columns["digest"]))
        if len(smallest) == number:
            digest = digest[digest[:, 0] <= smallest[-1, 0]]
        smallest = np.unique(np.concatenate([smallest, digest]), axis=0)[:number]
    last = tuple(smallest[-1].tolist()) if len(smallest) else (0, 0)
    return [place for part in range(mix.num_parts) for place in _places(mix, part, last)]


def _places(mix: MixDocuments, part: int, last: tuple[int, ...]) -> Iterator[Chosen]:
    """Places of a part with digests up to the last one."""
    columns = read_part(mix.part(part), DOCUMENTS, mix.max_rows)
    origins = read_part(part_path(mix.folder, "provenance", part), PROVENANCE, mix.max_rows)
    if len(origins["row"]) != len(columns["position"]):
        raise ValueError(
            f"part {part} has {len(columns['position']):,} documents and {len(origins['row']):,}"
            " rows of provenance"
        )
    digest = digest_columns(np.ascontiguousarray(columns["digest"]))
    source = mix.source_codes(columns)
    chosen = (digest[:, 0] < last[0]) | ((digest[:, 0] == last[0]) & (digest[:, 1] <= last[1]))
    slots = mix.slots.at(columns["position"])
    for row in np.flatnonzero(chosen).tolist():
        position, first_token = int(columns["position"][row]), int(columns["first_token"][row])
        if slots[row] >= 0:
            yield from _donors(mix, int(slots[row]), position, first_token)
            continue
        claimed = mix.claims.sources[source[row]].cut if source[row] >= 0 else None
        yield Chosen(
            position=position,
            first_token=first_token,
            num_tokens=int(columns["num_tokens"][row]),
            source=int(source[row]),
            digest=columns["digest"][row].tobytes(),
            whole_tokens=(claimed.num_tokens if claimed else 0) if columns["cut"][row] else None,
            file=str(origins["file"][row]),
            row=int(origins["row"][row]),
        )


def _donors(mix: MixDocuments, slot: int, position: int, first_token: int) -> Iterator[Chosen]:
    """What stands in a slot of an aligned arm. slot: as `SlotTable.at` gives it."""
    columns = mix.slots.columns
    for row in mix.slots.rows(slot):
        if mix.slots.rewritten[row]:  # a user's, which `pipeline.commands.audit.rewrites` reads
            continue
        num_tokens, whole = int(columns["num_tokens"][row]), int(columns["donor_tokens"][row])
        yield Chosen(
            position=position,
            first_token=first_token + int(columns["offset"][row]),
            num_tokens=num_tokens,
            source=mix.codes.get((str(columns["donor_source"][row]), 0), -1),
            digest=columns["digest"][row].tobytes(),
            whole_tokens=whole if num_tokens < whole else None,
            file=str(columns["file"][row]),
            row=int(columns["row"][row]),
        )


class _SourceCheck:
    """The check of some places. Source files are read one after the other, each once for all of its
    places.
    """

    def __init__(self, mix: MixDocuments, pair: IndexedTokens, engine: Engine) -> None:
        self.mix, self.pair, self.engine = mix, pair, engine
        self.files = self.places = self.cut = self.tokens = 0
        self.faults: dict[str, list[str]] = {name: [] for name in NAMES}
        self._definitions = definitions(mix.claims)
        recipe = mix.claims.recipe
        self._quality = {
            item["name"]: read_quality(item.get("quality", ())) for item in recipe["sources"]
        }

    def run(self, chosen: Sequence[Chosen], data: DataFolders) -> list[Check]:
        by_file: dict[
            tuple[str, str], list[Chosen]
        ] = {}  # a source and the copies of its documents are read together
        for place in chosen:
            name = self.mix.claims.sources[place.source].name if place.source >= 0 else ""
            by_file.setdefault((name, place.file), []).append(place)
        self._refuse_unbrought(chosen, data)
        listed: dict[str, dict[str, InputFile]] = {}
        done = [0]
        with report.progress("read sources again", len(by_file), lambda: done[0]):
            for name, path in sorted(by_file):
                self._check_file(path, by_file[name, path], listed, data)
                done[0] += 1
        return self._checks()

    def _check_file(
        self,
        path: str,
        places: list[Chosen],
        listed: dict[str, dict[str, InputFile]],
        data: DataFolders,
    ) -> None:
        if places[0].source < 0:
            self._fault(
                "source files",
                f"{path}: its documents are of a source that the manifest does not list",
            )
            return
        source = self.mix.claims.sources[places[0].source]
        name = source.definition
        if name not in listed:
            listed[name] = {file.path: file for file in self._files(name, data)}
        pins = {file.path: file.sha256 for file in self.mix.claims.inputs.get(name, [])}
        file = listed[name].get(path)
        if file is None or path not in pins:
            self._fault(
                "source files",
                f"{name}: {path} is not {'there' if path in pins else 'an input of the mix'}",
            )
            return
        quality = self._quality.get(source.name, ())
        steps = open_steps(quality) if quality else None
        try:
            texts, sha256 = texts_of_rows(
                file, self._definitions[name], steps, {place.row for place in places}
            )
        except InputError as error:
            self._fault("source files", str(error))
            return
        self.files += 1
        if sha256 != pins[path]:
            self._fault(
                "source files",
                f"{file.url}: has sha256 {sha256}, the mix was made from {pins[path]}",
            )
            return
        self._check_places(places, texts)

    def _refuse_unbrought(self, chosen: Sequence[Chosen], data: DataFolders) -> None:
        """Name all sources whose files nobody publishes or gives, with what to add.

        A manifest names no folder of the machine that a mix was made on, so the arguments name the
        sources, and the files tell which folders are meant.
        """
        read = {place.source for place in chosen if place.source >= 0}
        names = dict.fromkeys(self.mix.claims.sources[code].definition for code in sorted(read))
        lacking = {
            name: self.mix.claims.inputs.get(name, [])
            for name in names
            if self._definitions[name].repo is None and data.folder(self._definitions[name]) is None
        }
        if lacking:
            raise RecipeError(
                f"{plural(len(lacking), 'source')} of the mix can be read from folders of yours"
                f" alone; add {' '.join(f'--data {name}=DIR' for name in lacking)}, each DIR the"
                " folder that `data` names in the recipe: "
                + "; ".join(
                    f"{name} has {plural(len(files), 'file')}"
                    + (f", the first {files[0].path}" if files else "")
                    for name, files in lacking.items()
                )
            )

    def _files(self, name: str, data: DataFolders) -> list[InputFile]:
        """The files of a definition: in the user's folder, or on the hub at the mix's commit."""
        definition, origin = self._definitions[name], self.mix.claims.revisions.get(name)
        if origin is not None:
            definition = definition.model_copy(update={"revision": origin.rpartition("@")[2]})
        return list_files(definition, data.folder(definition))

    def _check_places(self, places: list[Chosen], texts: dict[int, str]) -> None:
        encoded = dict(
            zip(texts, whole_ids(self.engine, self.mix.claims, texts.values()), strict=True)
        )
        for place in places:
            self.places += 1
            where = f"document {place.position:,} ({place.file}, row {place.row:,})"
            if place.row not in texts:
                self._fault("source text", f"{where}: the row is no document")
                continue
            digest = text_digest(texts[place.row])
            keys = self.mix.claims.sources[place.source].key_range
            if digest != place.digest or not keys.holds(order_key(digest)):
                self._fault(
                    "source text",
                    f"{where}: its text has another digest, or its key is not the source's",
                )
            self._check_tokens(place, encoded[place.row], where)

    def _check_tokens(self, place: Chosen, ids: Int64s, where: str) -> None:
        """Hold the tokens of a document against `whole_ids` of its text, int64 [num_tokens]."""
        eod_id, count = self.mix.claims.tokenizer.eod_id, place.num_tokens
        held = np.asarray(self.pair.tokens[place.first_token : place.first_token + count])
        whole = len(ids)
        self.tokens += len(held)
        self.cut += place.cut
        fits = len(held) == count and (count <= whole if place.cut else count == whole)
        if not fits:
            self._fault(
                "source tokens",
                f"{where}: has {count:,} tokens{' after its cut' if place.cut else ''}, its text"
                f" has {whole:,}",
            )
        elif not np.array_equal(held, np.append(ids[: count - 1], eod_id)):
            self._fault("source tokens", f"{where}: its tokens are not those of its text")
        if place.cut and place.whole_tokens != whole:
            self._fault(
                "source tokens",
                f"{where}: the manifest says it was cut from {place.whole_tokens:,} tokens, its"
                f" text has {whole:,}",
            )

    def _fault(self, name: str, what: str) -> None:
        self.faults[name].append(what)

    def _checks(self) -> list[Check]:
        cut = f", {self.cut:,} of them cut" if self.cut else ""
        places = plural(self.places, "place")
        figures = (
            f"{plural(self.files, 'file')} read again, each the one that the mix was made from",
            f"{places} of the documents with the smallest digests: digest and order key are those"
            " of the row",
            f"{plural(self.tokens, 'token')} of {places}{cut} equal those of tokenizers"
            f" {version('tokenizers')}",
        )
        return [
            judge(name, figure, self.faults[name])
            for name, figure in zip(NAMES, figures, strict=True)
        ]
