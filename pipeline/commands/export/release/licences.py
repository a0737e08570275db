"""The licences of a mix's sources: what each is known to ask, where they do not go together, and
the page that names them.

A mix has no one licence: each document stays under that of its source. This module reads the names
of licences, never their texts, so what it finds is a reason to look and what it does not find is no
legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mixtures.mix.claims import Claims, SourceClaim
from mixtures.recipe.source_definition import NOT_GIVEN
from mixtures.words import share_text
from pipeline.commands.export.card import code, plain, repositories, table
from pipeline.report import plural

TO_WRITE = "TO BE WRITTEN"
"""Begins every place of a release that a person must fill: no manifest knows what belongs there."""

_CREATIVE = re.compile(
    r"cc-by(?P<nc>-nc)?(?P<kept>-sa|-nd)?(?P<version>-[1-4]\.[05])?(?:-[a-z]{2,})?", re.ASCII
)
_OTHERS = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0",
    "mit": "MIT",
    "odbl": "ODbL-1.0",
    "odbl-1.0": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "odc-by-1.0": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
    "pddl-1.0": "PDDL-1.0",
}
"""SPDX identifiers of licences beside those of Creative Commons, by name in lower case."""


@dataclass(frozen=True)
class Terms:
    """What a licence is known to ask.

    family: its name without a version. spdx: its SPDX identifier, if the name says the version.
    """

    family: str
    spdx: str | None = None
    known: bool = True
    non_commercial: bool = False
    no_derivatives: bool = False
    share_alike: bool = False

    @property
    def url(self) -> str | None:
        """Its page in the list of SPDX."""
        return f"https://spdx.org/licenses/{self.spdx}.html" if self.spdx else None


def terms_of(licence: str) -> Terms:
    """Read a licence's name as definitions give it (`CC-BY-SA 4.0`, `odc-by`)."""
    name = "-".join(licence.lower().split())
    if found := _CREATIVE.fullmatch(name):
        family = f"CC-BY{found['nc'] or ''}{found['kept'] or ''}".upper()
        spdx = f"{family}{found['version']}" if found["version"] else None
        return Terms(
            family,
            spdx,
            non_commercial=bool(found["nc"]),
            no_derivatives=found["kept"] == "-nd",
            share_alike=found["kept"] == "-sa",
        )
    if spdx := _OTHERS.get(name):
        return Terms(spdx, spdx, share_alike=spdx == "ODbL-1.0")
    return Terms(licence, known=False)


def licensed(claims: Claims) -> list[SourceClaim]:
    """The sources and inserts whose documents are in the mix, each once."""
    return [
        source
        for source in claims.sources
        if (source.realised_tokens or claims.given(source.name)) and not source.copy_number
    ]


def conflicts(claims: Claims) -> list[str]:
    """Why the texts may not be passed on as they are, or not as one work: a sentence for each
    reason, naming sources and licences.
    """
    sources = licensed(claims)
    licences = {source.name: source.licence for source in sources}
    terms = {name: terms_of(licence) for name, licence in licences.items()}

    def named(names: Sequence[str]) -> str:
        return ", ".join(f"{name} ({licences[name]})" for name in names)

    missing = [name for name in licences if licences[name] == NOT_GIVEN]
    unknown = [name for name in licences if not terms[name].known and name not in missing]
    kept = [name for name in licences if terms[name].no_derivatives]
    alike = [name for name in licences if terms[name].share_alike]
    bound = [
        source.name
        for source in sources
        if source.non_commercial or terms[source.name].non_commercial
    ]
    found = []
    if missing:
        found.append(
            f"no licence is given of {', '.join(missing)}: without one nobody may pass texts on;"
            " write `licence` in the source's definition and build again, which reads nothing again"
        )
    if unknown:
        found.append(
            f"licences that annealmix does not know: {named(unknown)}; read whether they allow"
            " passing the texts on"
        )
    if kept:
        found.append(
            f"licences that forbid changed copies: {named(kept)}; a mix joins fields, normalises"
            " and may cut"
        )
    if bound and (free := [name for name in licences if name not in bound]):
        found.append(
            f"no commercial use: {named(bound)}; so of the whole, though"
            f" {plural(len(free), 'other source')} would allow it"
        )
    strict = [name for name in licences if name in bound or name in alike]
    for family in dict.fromkeys(terms[name].family for name in alike):
        if others := [name for name in strict if terms[name].family != family]:
            own = ", ".join(name for name in alike if terms[name].family == family)
            found.append(
                f"{family} ({own}) asks that what is made of it is passed on under itself, which"
                f" the licences of {named(others)} do not allow: no one licence can cover the"
                " whole, and each document stays under its own"
            )
    return found


def licences_page(claims: Claims) -> str:
    """LICENSES.md: the licence of each source, whom to name for it, and what was changed."""
    sources = licensed(claims)
    names = {source.licence for source in sources}
    head = (
        f"All sources of this data set are under one licence, {plain(sources[0].licence)}."
        if len(names) == 1 and NOT_GIVEN not in names
        else "This data set has no one licence: each document is under the licence of its source,"
        " which the column `source` names."
    )
    rows = [
        [
            code(source.name),
            f"{source.documents:,}",
            f"{source.realised_tokens:,}",
            share_text(source.realised_tokens, claims.total_tokens, 4),
            _linked(source.licence),
        ]
        for source in sources
    ]
    reasons = conflicts(claims)
    warning = "".join(f"- {plain(reason)}\n" for reason in reasons)
    if claims.arm:
        head += (
            " In the slots of this arm stand documents of other sources, too (README.md, *Arm of a"
            " study*): the table counts them where they stand, the column names whose they are."
        )
    parts = [
        f"# Licences and attributions of {plain(claims.name)}\n\n{head}\n",
        table(["source", "documents", "tokens", "share", "licence"], rows),
        f"## Before you pass it on\n\n{warning}" if reasons else "",
        "## Attributions\n",
        *(_attribution(claims, source) for source in sources),
        "## What was changed\n\nThe fields of a row were joined to one text; rows that are no"
        " documents, duplicates, and what README.md lists under *What was removed* were left out;"
        " documents were put into the order of the mix, and those with `cut` are shortened.\n",
    ]
    return "\n".join(part for part in parts if part)


def _linked(licence: str) -> str:
    url = terms_of(licence).url
    return f"[{plain(licence)}]({url})" if url else plain(licence)


def _attribution(claims: Claims, source: SourceClaim) -> str:
    return (
        f"### {code(source.name)}\n\n- from: {origin(claims, source)}\n"
        f"- licence: {_linked(source.licence)}\n- definition: {code(source.definition)}\n"
    )


def origin(claims: Claims, source: SourceClaim) -> str:
    """Where a source is published, as Markdown; or that a person must say it."""
    repository = repositories(claims).get(source.definition)
    if not repository:
        return f"**{TO_WRITE}**: who made it, and where it can be had"
    read = claims.revisions.get(source.definition, "").partition("@")[2]
    if read:
        return f"data set {code(repository)} of the Hugging Face hub at {code(read)}"
    return (
        f"data set {code(repository)} of the Hugging Face hub, as the definition says: the files"
        " were read from another place and not compared with it"
    )
