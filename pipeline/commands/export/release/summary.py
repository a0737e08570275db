"""TRAINING-SUMMARY.md: the public summary of training content that Art. 53(1)(d) of the EU AI Act
asks of a model's provider, as far as a mix knows it. Sections and questions are those of the
Commission's template of July 2025; what no manifest knows is marked for a person.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims, SourceClaim
from mixtures.recipe.load import load_source_definition
from mixtures.words import share_text
from pipeline.commands.export.card import code, plain, repositories, table
from pipeline.commands.export.release.domains import Domains
from pipeline.commands.export.release.licences import TO_WRITE, licensed, origin
from pipeline.commands.export.release.processing import processing, removed_by_filters
from pipeline.commands.page.elements import templates
from pipeline.report import plural

_SHOWN_DOMAINS = 20
_YES, _NO = "\N{BALLOT BOX WITH X}", "\N{BALLOT BOX}"


def summary(claims: Claims, date: datetime.date, domains: Domains | None = None) -> str:
    """The page. domains: of sources whose rows name a URL, as far as they were counted."""
    sources, repositories_of = licensed(claims), repositories(claims)
    published = [source for source in sources if repositories_of.get(source.definition)]
    brought = [source for source in sources if source not in published]
    template = templates(Path(__file__).parent, autoescape=False).get_template("summary.md.j2")
    page: str = template.render(
        name=plain(claims.name),
        mix_id=code(claims.mix_id),
        tokenizer=code(claims.tokenizer.name),
        date=date.isoformat(),
        mark=TO_WRITE,
        yes=_YES,
        no=_NO,
        box=lambda ticked: _YES if ticked else _NO,
        answer=f"**{TO_WRITE}**" if brought else f"{_NO} Yes {_YES} No (2.1 has every source)",
        tokens=claims.total_tokens,
        documents=claims.total_documents,
        contents=[_content(claims, source) for source in sources],
        repeats=any(source.epochs > 1 or source.copy_number for source in claims.sources),
        published=_listed(claims, published),
        brought=_listed(claims, brought),
        domains=None if domains is None else _domains(domains),
        filtered=plain(removed_by_filters(claims)),
        steps=[plain(step) for step in processing(claims)],
    )
    return page


def _domains(domains: Domains) -> str:
    """What DOMAINS.csv lists, and the first of it, as Markdown."""
    first = ", ".join(code(domain.name) for domain in domains.top[:_SHOWN_DOMAINS])
    return (
        f"Domain names of {', '.join(map(code, domains.sources))}, whose rows name a URL:"
        f" {len(domains.top):,} of {plural(len(domains.tokens), 'domain')}, the tenth with the"
        f" most tokens, are listed in DOMAINS.csv; the first of them: {first or 'none'}."
        f" {plural(domains.unnamed, 'document')} name none."
    )


def _content(claims: Claims, source: SourceClaim) -> str:
    """What a source holds, as the shipped definition that it reads describes it."""
    try:
        definition = load_source_definition(source.definition)
    except RecipeError:
        definition = None
    if definition is None or definition.repo != repositories(claims).get(source.definition):
        return f"{code(source.name)}: **{TO_WRITE}**"
    return f"{code(source.name)}: {plain(definition.description)}"


def _listed(claims: Claims, sources: list[SourceClaim]) -> str:
    """A table of sources; empty without any."""
    rows = [
        [
            code(source.name),
            origin(claims, source),
            f"{source.realised_tokens:,}",
            share_text(source.realised_tokens, claims.total_tokens, 4),
            plain(source.licence),
        ]
        for source in sources
    ]
    return table(["source", "what", "tokens", "share", "licence"], rows) if rows else ""
