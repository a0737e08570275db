"""`annealmix export MIX --release DIR`: a mix as a data set that can be published, all of it made
from the public form of the mix (`mixtures.mix.public`).

    DIR/README.md            dataset card; its YAML tells `datasets` and the hub of data/
        LICENSES.md          licence and attribution of each source, and where licences conflict
        TRAINING-SUMMARY.md  public summary of training content (Art. 53(1)(d) of the EU AI Act)
        croissant.json       Croissant 1.1 with responsible-AI properties
        page.html            what is in the mix, on one page
        manifest.json        of the public form
        slots.parquet        of an arm of a study: where donors stand; or mask.parquet: what is no
                             target
        data/*.parquet       the documents, as `--text` writes them, ids salted
        DOMAINS.csv          on wish: the domain names with the most tokens
        mix/                 on wish: the public form itself, which `annealmix audit` recounts
        SHA256SUMS           of all files but the first four, which a person may mend

The folder appears when it is whole.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.manifest import MANIFEST
from mixtures.mix.slots import MASK_FILE, SLOTS_FILE
from mixtures.yaml.disk import read_bytes
from pipeline.commands.destination import appearing
from pipeline.commands.export.card import code, dataset_card, table
from pipeline.commands.export.html.page import write_page
from pipeline.commands.export.public import export_public
from pipeline.commands.export.release.croissant import DataFile, croissant
from pipeline.commands.export.release.domains import Domains, count_domains
from pipeline.commands.export.release.licences import TO_WRITE, conflicts, licences_page
from pipeline.commands.export.release.summary import summary
from pipeline.commands.export.text import export_text
from pipeline.commands.page.elements import require_packages
from pipeline.inputs.listing import DataFolders
from pipeline.lookup.documents import StreamDocuments
from pipeline.report import plural, say
from pipeline.store.records import file_sha256, write_json, write_whole

CARD, LICENCES, SUMMARY = "README.md", "LICENSES.md", "TRAINING-SUMMARY.md"
CROISSANT, PAGE, SUMS, DOMAINS = "croissant.json", "page.html", "SHA256SUMS", "DOMAINS.csv"
DATA, MIX = "data", "mix"
WRITTEN = (CARD, LICENCES, SUMMARY, CROISSANT)
"""What a person may mend before it is published."""


class ReleaseRequest(NamedTuple):
    """What a release is made of.

    salt: as `export_public`. tokenizer, workers: as `export_text`. tokens: whether the public form
    of the mix, with its tokens, comes along. urls: columns and folders of sources whose domain
    names are counted, as `count_domains`.
    """

    mix: Path
    salt: Path | None = None
    tokenizer: Path | None = None
    workers: int | None = None
    tokens: bool = False
    urls: tuple[Mapping[str, str], DataFolders] | None = None


def export_release(request: ReleaseRequest, out: Path) -> None:
    """Make a release at `out`.

    Raises:
        RecipeError: as `refuse_place`, or a package of the extra `report` is missing.
        AuditFailed, ManifestError, InputError: as `export_public` and `export_text`.
    """
    require_packages()  # what cannot be done is said before a mix is copied
    StreamDocuments.of_mix(request.mix, request.tokenizer)
    domains = count_domains(request.mix, *request.urls) if request.urls else None
    for reason in conflicts(read_claims(request.mix)):
        say(f"licences: {reason}")
    with appearing(out, request.mix) as folder:
        public = folder / MIX
        export_public(request.mix, public, request.salt)
        claims = read_claims(public)
        export_text(public, folder / DATA, request.tokenizer, workers=request.workers)
        write_page(public, folder / PAGE, store=None, tokenizer=None, samples=0)
        of_arms = [SLOTS_FILE] * bool(claims.arm) + [MASK_FILE] * bool(claims.mask)
        for name in (MANIFEST, *of_arms):
            shutil.copyfile(public / name, folder / name)
        if not request.tokens:
            shutil.rmtree(public)
        if domains:
            write_whole(folder / DOMAINS, domains.as_csv())
        _describe(folder, claims, domains)
    say(f"{out}: {claims.name}, identity {claims.identity}, mix id {claims.mix_id}")
    for name in WRITTEN:
        if places := read_bytes(out / name).count(TO_WRITE.encode()):
            say(f"{out / name}: {plural(places, 'place')} for a person to fill: {TO_WRITE}")


def _describe(folder: Path, claims: Claims, domains: Domains | None) -> None:
    """Write what is said of the files that are there, and their sums."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    files = [
        DataFile(path.relative_to(folder).as_posix(), path.stat().st_size, file_sha256(path))
        for path in files_of(folder)
    ]
    sums = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    write_whole(folder / SUMS, sums.encode())
    tables = [file for file in files if file.path.startswith((f"{DATA}/", SLOTS_FILE, MASK_FILE))]
    write_json(folder / CROISSANT, croissant(claims, tables, today))
    write_whole(folder / SUMMARY, summary(claims, today, domains).encode())
    write_whole(folder / LICENCES, licences_page(claims).encode())
    split = [{"split": "train", "path": f"{DATA}/*.parquet"}]
    card = dataset_card(
        claims,
        str(folder / MANIFEST),
        files=_files_section({path.name for path in folder.iterdir()}),
        more={
            "configs": [{"config_name": "default", "data_files": split}],
            "license_link": LICENCES,
        },
    )
    write_whole(folder / CARD, card.encode())


def files_of(folder: Path) -> Iterator[Path]:
    """Its files, at any depth, by name."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


_SHOWN = {
    DATA: "the documents as parquet, in stream order: `id` (a salted digest), `source`, `text` as"
    " the tokens spell it, `tokens`, `position`, `cut`",
    MIX: "the tokens, for Megatron, GPT-NeoX and others; `annealmix audit mix` counts everything"
    " again, `annealmix export mix --trainer NAME` writes a trainer's configuration",
    MANIFEST: "all that is said here, and more",
    SLOTS_FILE: "the donors of this arm, a row a donor and place; of what gave way, where it stood",
    MASK_FILE: "what is no target in this arm: runs of tokens of the stream, `start` and `length`",
    PAGE: "what is in the mix, on one page",
    LICENCES: "the licence of each source, and whom to name",
    SUMMARY: "public summary of training content, Art. 53(1)(d) of the EU AI Act",
    DOMAINS: "the tenth of the domain names that has the most tokens",
    CROISSANT: "this data set for machines, as Croissant 1.1",
    SUMS: f"of the data; `sha256sum -c {SUMS}`",
}


def _files_section(there: set[str]) -> str:
    """A table of files. there: names of what the folder holds; the card is not listed."""
    rows = [
        [code(f"{name}/" if name in (DATA, MIX) else name), what]
        for name, what in _SHOWN.items()
        if name in there
    ]
    return (
        f"## Files\n\n{table(['file', 'what'], rows)}\n`datasets.load_dataset` reads `{DATA}/`.\n"
    )
