"""The domain names that documents of a mix came from, where the rows of a source name their URL.

A mix keeps no URLs, so the files of these sources are read again: those that gave documents, each
once, held to the sha256 in the manifest. A domain is the host of a URL without a leading `www.`;
it counts the distinct documents of the mix and their tokens, whatever epochs and copies repeat
them.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mixtures.audit.tables.parts import proven_part
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.errors import AuditFailed, InputError, RecipeError
from mixtures.mix.claims import Claims, read_claims
from mixtures.recipe.source_definition import SourceDefinition
from mixtures.yaml.tree import suggest
from pipeline.inputs.listing import DataFolders, list_files
from pipeline.inputs.readers import DocumentReader
from pipeline.lookup.selection import definitions
from pipeline.report import progress

_HOST = re.compile(r"[^\W_]([\w.-]*[^\W_])?")
_TOP = 10  # percent of all domains, as the template of the training summary asks


class Domain(NamedTuple):
    """A domain name, with the documents and tokens of it."""

    name: str
    documents: int
    tokens: int


@dataclass
class Domains:
    """What was counted. sources: their names; unnamed: documents whose row names no URL."""

    sources: list[str]
    documents: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0

    @property
    def top(self) -> list[Domain]:
        """The tenth of all domains with the most tokens, the largest first."""
        ranked = sorted(self.tokens, key=lambda name: (-self.tokens[name], name))
        most = -(-len(ranked) * _TOP // 100)
        return [Domain(name, self.documents[name], self.tokens[name]) for name in ranked[:most]]

    def add(self, url: str | None, tokens: int) -> None:
        """Count a document; url: None if its row names none."""
        if name := url and domain_of(url):
            self.documents[name] += 1
            self.tokens[name] += tokens
        else:
            self.unnamed += 1

    def as_csv(self) -> bytes:
        """The top domains: domain, documents, tokens."""
        page = io.StringIO()
        rows = [("domain", "documents", "tokens"), *self.top]
        csv.writer(page, lineterminator="\n").writerows(rows)
        return page.getvalue().encode()


def domain_of(url: str) -> str | None:
    """The host of a URL, in lower case, without `www.`; None where there is none."""
    try:
        host = urlsplit(url.strip()).hostname or ""
    except ValueError:
        return None
    name = host.removeprefix("www.").rstrip(".")
    return name if _HOST.fullmatch(name) else None


def count_domains(mix: Path, columns: Mapping[str, str], data: DataFolders) -> Domains:
    """Count the domains of some sources.

    Args:
        columns: {source: column of its rows that holds the URL}. data: folders of the sources; what
            is not there is read from the hub, at the commit that the manifest names.

    Raises:
        RecipeError: the mix has no such source, or its files are neither given nor published.
        InputError: a file is missing, damaged, not what the manifest names, or has no such column.
        AuditFailed: the tables are not what the manifest says.
    """
    claims = read_claims(mix)
    names = [source.name for source in claims.sources if not source.copy_number]
    for name in columns:
        if name not in names:
            raise RecipeError(f"--urls {name}=...: no source of the mix; {suggest(name, names)}")
    read = definitions(claims)
    data.refuse_unknown(read.values())
    places, domains = places_of(mix, claims, set(columns)), Domains(list(columns))
    definition_of = {source.name: source.definition for source in claims.sources}
    done = 0
    with progress("read URLs of sources", sum(map(len, places.values())), lambda: done):
        for name, column in columns.items():
            if not places[name]:
                continue
            definition = _reading(claims, read[definition_of[name]], column)
            listed = list_files(definition, data.folder(definition))
            files = {file.path: file for file in listed}
            pins = {item.path: item.sha256 for item in claims.inputs.get(definition.name, [])}
            for path, rows in sorted(places[name].items()):
                if path not in files:
                    raise InputError(
                        f"{definition.name}: {path} is not there; give its folder with --data"
                        f" {definition.name}=DIR"
                    )
                _count(DocumentReader(files[path], definition), pins.get(path), rows, domains)
                done += 1
    return domains


def _reading(claims: Claims, definition: SourceDefinition, column: str) -> SourceDefinition:
    """The definition with the column as its text, at the commit that the mix was made from."""
    if definition.format == "datasets":
        raise RecipeError(
            f"--urls: {definition.name} is read by the library datasets, which is not read again"
        )
    known = definition.model_dump(exclude_unset=True, exclude={"adapter", "text"})
    if commit := claims.revisions.get(definition.name, "").partition("@")[2]:
        known["revision"] = commit
    try:
        return SourceDefinition.model_validate({**known, "text": column})
    except ValidationError as error:
        raise RecipeError(f"--urls ...={column}: {error.errors()[0]['msg']}") from None


Rows = npt.NDArray[np.int64]
"""[num_docs, 2]: row of a file, and tokens of its document."""


def places_of(mix: Path, claims: Claims, sources: set[str]) -> dict[str, dict[str, Rows]]:
    """Where the documents of some sources lie in their first epoch: {source: {file: rows}}."""
    found: dict[str, dict[str, list[Rows]]] = {name: defaultdict(list) for name in sources}
    slots = SlotTable.proven(mix, claims)
    donors = slots.once
    for name in sources:
        mine = np.flatnonzero((donors["donor_source"] == name) & ~donors["again"])
        _add(found[name], donors["file"][mine], donors["row"][mine], donors["num_tokens"][mine])
    for number in range(len(claims.hashes.documents_parts)):
        documents = proven_part(mix, claims, number)
        origins = proven_part(mix, claims, number, "provenance")
        if len(origins["row"]) != len(documents["source"]):
            raise AuditFailed(f"{mix}: the tables differ in part {number}; audit it")
        first = (documents["epoch"] == 0) & (documents["copy"] == 0)
        first &= slots.at(documents["position"]) < 0
        for name in sources:
            chosen = np.flatnonzero(first & (documents["source"] == name))
            columns = origins["file"], origins["row"], documents["num_tokens"]
            _add(found[name], *(column[chosen] for column in columns))
    return {
        name: {file: np.concatenate(parts) for file, parts in files.items()}
        for name, files in found.items()
    }


def _add(
    found: dict[str, list[Rows]],
    files: npt.NDArray[np.object_],
    rows: npt.NDArray[np.integer],
    num_tokens: npt.NDArray[np.integer],
) -> None:
    """Add documents to those of their files. files, rows, num_tokens: [num_docs]."""
    pairs = np.stack([rows.astype(np.int64), num_tokens.astype(np.int64)], axis=1)
    for file, here in _by_name(files):
        found[file].append(pairs[here])


def _by_name(names: npt.NDArray[np.object_]) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """Each distinct name, and where it stands. names: [num_docs]."""
    distinct, codes = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(distinct) + 1))
    for code, name in enumerate(distinct.tolist()):
        yield name, order[bounds[code] : bounds[code + 1]]


def _count(reader: DocumentReader, pin: str | None, rows: Rows, domains: Domains) -> None:
    """Count the documents of a file. pin: its sha256 in the manifest; rows: int64 [num_docs, 2]."""
    left = dict(rows.tolist())
    for row, url in reader:
        if (tokens := left.pop(row, None)) is not None:
            domains.add(url, tokens)
    if reader.sha256 != pin:
        raise InputError(
            f"{reader.file.url}: has sha256 {reader.sha256}, the mix was made from {pin}; give the"
            " file that it was"
        )
    for tokens in left.values():
        domains.add(None, tokens)
