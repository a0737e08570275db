"""croissant.json: the data set for machines, as Croissant 1.1 with the responsible-AI properties
(https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, RAI 1.0).

    distribution  the parquet files of data/ with sha256, and the set of all of them
    recordSet     `documents`, a field for each column
    rai:...       what was done to the texts; what a person must say begins with TO BE WRITTEN

`url` and `creator`, which the format asks for, are known when it has a repository (`placed`).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mixtures.mix.claims import Claims
from pipeline.commands.export.card import repositories
from pipeline.commands.export.release.licences import TO_WRITE, conflicts, licensed, terms_of
from pipeline.commands.export.release.processing import processing
from pipeline.commands.export.text import SCHEMA
from pipeline.report import plural, printable
from pipeline.store.records import read_json, write_json

_CROISSANT, _RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"
_OWN = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty"),
    *("excludes", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path"),
    *("readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _OWN},
}
_FILES, _DOCUMENTS = "parquet-files", "documents"
_TYPES = {pa.string(): "sc:Text", pa.int64(): "cr:Int64", pa.bool_(): "sc:Boolean"}
_COLUMNS = {
    "id": "Salted digest of the document; later epochs end in -eN, second copies in -cN.",
    "source": "Name of the source in the recipe; its licence is that of the document.",
    "text": "The document as the tokens of the mix spell it.",
    "tokens": "Number of its tokens, with the one that ends it.",
    "position": "Its place in the stream, from 0.",
    "cut": "Whether it was shortened to end the quota of its source.",
}


class DataFile(NamedTuple):
    """A file of a release. path: below its folder. size: bytes."""

    path: str
    size: int
    sha256: str


def croissant(claims: Claims, files: list[DataFile], date: datetime.date) -> Mapping[str, object]:
    """The JSON-LD. files: the parquet files. date: of publication."""
    sources = licensed(claims)
    known = {
        terms_of(source.licence).url or f"{TO_WRITE}: {printable(source.licence)}"
        for source in sources
    }
    facts = (
        f"{plural(claims.total_tokens, 'token')} in {plural(claims.total_documents, 'document')} of"
        f" {plural(len(sources), 'source')}"
    )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [_CROISSANT, _RAI],
        "name": printable(claims.name),
        "description": f"A mix of texts for language-model training: {facts}. Mix id"
        f" {claims.mix_id}. Each document is under the licence of its source (LICENSES.md).",
        "license": sorted(known),
        "version": "1.0.0",
        "datePublished": date.isoformat(),
        "keywords": ["annealmix", "pretraining", "text", "language modeling"],
        "citeAs": _citation(claims, date),
        "distribution": [*map(_file, files), _file_set(files)],
        "recordSet": [_record_set()],
        **_responsible(claims),
    }


def placed(file: Path, repo: str) -> None:
    """Add to a Croissant file where the hub has its data set, and whose it is, unless it says so.

    Raises:
        ManifestError: the file is damaged.
    """
    said, owner = read_json(file), repo.partition("/")[0]
    web = "https://huggingface.co"
    known = {
        "url": f"{web}/datasets/{repo}",
        "creator": {"@type": "sc:Organization", "name": owner, "url": f"{web}/{owner}"},
    }
    write_json(file, {**known, **said})


def _citation(claims: Claims, date: datetime.date) -> str:
    """BibTeX without authors, whom no manifest knows."""
    title = re.sub(r"[^\w .,+-]", " ", printable(claims.name))
    return (
        f"@misc{{annealmix-{claims.mix_id[:12]}, title = {{{title}}}, year = {{{date.year}}},"
        f" note = {{Token mix made by annealmix, mix id {claims.mix_id}}}}}"
    )


def _file(file: DataFile) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path.rpartition("/")[2],
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _file_set(files: list[DataFile]) -> Mapping[str, object]:
    return {
        "@type": "cr:FileSet",
        "@id": _FILES,
        "name": _FILES,
        "description": "All documents, in the order of the stream.",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }


def _record_set() -> Mapping[str, object]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{_DOCUMENTS}/{column.name}",
            "name": column.name,
            "description": _COLUMNS[column.name],
            "dataType": _TYPES[column.type],
            "source": {"fileSet": {"@id": _FILES}, "extract": {"column": column.name}},
        }
        for column in SCHEMA
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": _DOCUMENTS,
        "name": _DOCUMENTS,
        "description": "One record a document.",
        "key": {"@id": f"{_DOCUMENTS}/position"},
        "field": fields,
    }


def _responsible(claims: Claims) -> Mapping[str, object]:
    places = repositories(claims)
    raw = [
        f"{source.name}: {places.get(source.definition) or f'{TO_WRITE}: who made it'}"
        for source in licensed(claims)
    ]
    return {
        "rai:dataCollection": "Documents of existing corpora were selected and mixed by annealmix"
        " after the recipe in manifest.json; nothing was collected anew.",
        "rai:dataCollectionType": "Secondary Data analysis",
        "rai:dataCollectionRawData": "; ".join(map(printable, raw)),
        "rai:dataPreprocessingProtocol": [printable(step) for step in processing(claims)],
        "rai:dataUseCases": "Training of language models.",
        "rai:dataLimitations": [
            "Texts are what the tokens of the mix spell: in the tokenizer's normal form, and"
            " shortened where `cut` says so.",
            *(f"Licences: {printable(reason)}" for reason in conflicts(claims)),
            f"{TO_WRITE}: limits of the sources",
        ],
        "rai:dataBiases": f"{TO_WRITE}: biases of the sources and of the selection",
        "rai:personalSensitiveInformation": f"{TO_WRITE}: what the sources hold of persons;"
        " annealmix neither looks for it nor removes it",
        "rai:dataSocialImpact": f"{TO_WRITE}: what use and misuse may bring",
        "rai:dataReleaseMaintenancePlan": f"{TO_WRITE}: who keeps it, and how mistakes are told",
    }
