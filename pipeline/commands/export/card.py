"""`annealmix export MIX --card FILE`: a dataset card, README.md with the hub's YAML, from nothing
but the manifest.

It says what a reader needs in order to use the mix lawfully, to doubt it, and to make it again.
Every string of the manifest is shown as text (`pipeline.commands.export.card`), and the YAML is
written by huggingface_hub, so that no name can add a field, a link or a heading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixtures.audit.files import CARD
from mixtures.audit.recipe import require_recipe
from mixtures.errors import AnnealmixError
from mixtures.mix.claims import Claims, SourceClaim, read_claims
from mixtures.mix.manifest import MANIFEST
from mixtures.words import plural, share_text
from pipeline.commands.build.report import waterfall_table
from pipeline.commands.destination import refuse_inside, refuse_taken
from pipeline.commands.export.arm import arm_steps
from pipeline.report import page, printable
from pipeline.store.records import write_whole

LICENCES = {
    "apache-2.0": "apache-2.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-sa-3.0": "cc-by-sa-3.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc0": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    "mit": "mit",
    "odc-by": "odc-by",
}
"""Licences that the hub knows, by their name in lower case. Others, and several at once, are
`other` there.
"""
REPOSITORY = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII
)


def export_card(mix: Path, out: Path | None) -> None:
    """Write the card of a mix to `out`, or print it to stdout.

    Raises:
        RecipeError: `out` exists, or lies inside the mix and is not its README.md. ManifestError:
            the manifest is damaged or was edited.
    """
    if out is not None:
        refuse_taken(out)
        if out.resolve() != (mix / CARD).resolve():
            refuse_inside(out, mix)
    card = dataset_card(read_claims(mix), str(mix / MANIFEST))
    if out is None:
        page(card)
    else:
        write_whole(out, card.encode())


def dataset_card(
    claims: Claims, where: str, files: str | None = None, more: Mapping[str, Any] | None = None
) -> str:
    """The text of the card.

    Args:
        where: names the manifest in messages. files: a section in Markdown on the files beside the
            card, if they are not those of a mix. more: fields of the YAML.

    Raises:
        ManifestError: its recipe is not one that annealmix writes.
    """
    from huggingface_hub import DatasetCard

    require_recipe(claims, where)
    parts = [
        _head(claims),
        _sources(claims),
        _removed(claims),
        _filters(claims),
        _arm(claims),
        files or _format(claims),
        _rebuild(claims),
    ]
    body = "\n".join(part for part in parts if part)
    card = DatasetCard(f"---\n{_metadata(claims, more or {})}\n---\n\n{body}")
    return f"{card}\n"


def _metadata(claims: Claims, more: Mapping[str, Any]) -> str:
    from huggingface_hub import DatasetCardData

    licences = {LICENCES.get(source.licence.lower(), "other") for source in claims.sources}
    licence = licences.pop() if len(licences) == 1 else "other"
    repos = sorted({repo for repo in repositories(claims).values() if REPOSITORY.fullmatch(repo)})
    tags = ["annealmix", "megatron", "pretraining", "tokenized"]
    tags += ["non-commercial"] if _non_commercial(claims) else []
    data = DatasetCardData(
        license=licence,
        license_name="see-the-sources" if licence == "other" else None,
        pretty_name=" ".join(claims.name.split()),
        size_categories=_size(claims.total_documents),
        source_datasets=repos or None,
        tags=tags,
        task_categories=["text-generation"],
        **more,
    )
    return str(data.to_yaml()).rstrip("\n")


def _size(documents: int) -> str:
    """The hub's size category."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    at = max(len(str(documents)) - 3, 0)
    if at == 0:
        return "n<1K"
    return f"{names[at - 1]}<n<{names[at]}" if at < len(names) else "n>1B"


def repositories(claims: Claims) -> dict[str, str]:
    """{source definition: repository on the hub}, as the recipe says."""
    named = [
        item["definition"] for key in ("sources", "insert") for item in claims.recipe.get(key, [])
    ]
    return {str(item["name"]): str(item.get("repo") or "") for item in named}


def _head(claims: Claims) -> str:
    facts = (
        f"{plural(claims.total_tokens, 'token')} in {plural(claims.total_documents, 'document')}"
    )
    lines = [
        f"# {plain(claims.name)}\n",
        (
            f"A token mix for language-model training: {facts}, tokenizer"
            f" {code(claims.tokenizer.name)}. Mix id {code(claims.mix_id)}, identity of the stream"
            f" {code(claims.identity)}."
        ),
    ]
    if claims.public:
        lines.append(
            f"It is the public form of the mix {code(claims.public.of)}: without file and row of a"
            " document, its digests salted."
        )
    if bound := _non_commercial(claims):
        forbidding = ", ".join(f"{code(source.name)} ({plain(source.licence)})" for source in bound)
        lines.append(
            f"\n> **No commercial use.** The licences of these sources forbid it: {forbidding}."
        )
    return "\n".join(lines) + "\n"


def _non_commercial(claims: Claims) -> list[SourceClaim]:
    return [
        source
        for source in claims.sources
        if source.non_commercial and source.realised_tokens and not source.copy_number
    ]


def _sources(claims: Claims) -> str:
    repos, revisions = repositories(claims), claims.revisions

    def row(source: SourceClaim) -> list[str]:
        place = str(revisions.get(source.definition) or repos.get(source.definition) or "")
        share = share_text(source.realised_tokens, claims.total_tokens, 4)
        name = code(source.name) + (
            " (copies)" if source.copy_number else " (insert)" if source.insert else ""
        )
        counts = f"{source.documents:,}", f"{source.epochs:,}"
        origin = " at ".join(map(code, place.split("@", 1))) if place else "not published"
        tokens = f"{source.realised_tokens:,}"
        return [name, tokens, share, *counts, plain(source.licence), origin]

    columns = ["source", "tokens", "share", "documents", "epochs", "licence", "from"]
    return f"## Sources\n\n{table(columns, [row(source) for source in claims.sources])}"


def _removed(claims: Claims) -> str:
    names = [source.name for source in claims.sources if not source.copy_number]
    rows = waterfall_table({name: claims.removed.get(name, {}) for name in names})
    shown = table(
        [plain(column) for column in rows.names], [[code(row[0]), *row[1:]] for row in rows.cells]
    )
    near = ""
    if claims.near:
        near = (
            "\nOf each cluster of near-duplicates one document was kept; the manifest has the rule"
            " and the sizes of the clusters.\n"
        )
    return f"## What was removed\n\nRows of each source, by what became of them.\n\n{shown}{near}"


def _filters(claims: Claims) -> str:
    if not claims.filters:
        return ""
    rows = []
    for item in claims.filters:
        judge = f"{item.blocklist.threshold:,} terms of list {code(item.blocklist.sha256[:16])}"
        if item.classifier:
            judge += (
                f", then {plain(item.classifier.kind)} above {plain(item.classifier.threshold)}"
            )
        figures = f"{item.documents:,}", f"{item.tokens:,}"
        rows.append([code(item.label), code(item.identity[:16]), judge, *figures])
    done = "masked" if claims.masked else "removed"
    columns = ["filter", "identity", "flags a document with"]
    columns += [f"{what} {done}" for what in ("documents", "tokens")]
    return (
        f"## Filters\n\n{table(columns, rows)}\nWhat they {done} is counted within the quotas of"
        " the sources.\n"
    )


def _arm(claims: Claims) -> str:
    """What an arm of a study is, and by source what gave way in it."""
    if claims.study is None:
        return ""
    sentences = "".join(f"{plain(step)}\n" for step in arm_steps(claims))
    if claims.arm:
        columns = ["source", "slots", "places", "tokens", "in cut donors", "donors that it gives"]
        rows = [
            [
                code(name),
                *(f"{count:,}" for count in (one.slots, one.positions, one.tokens, one.cut_tokens)),
                f"{claims.arm.given(name):,}",
            ]
            for name, one in claims.arm.sources.items()
        ]
    else:
        assert claims.mask is not None
        columns = ["source", "flagged documents", "places", "tokens that are no targets"]
        rows = [
            [code(name), f"{one.documents:,}", f"{one.positions:,}", f"{one.tokens:,}"]
            for name, one in claims.mask.sources.items()
        ]
    return f"## Arm of a study\n\n{sentences}\n{table(columns, rows)}"


def _format(claims: Claims) -> str:
    tokenizer = claims.tokenizer
    begins = "" if tokenizer.bos_id is None else f"begins with id {tokenizer.bos_id} and "
    return (
        f"## Format\n\n`tokens.bin` holds all tokens, little-endian {claims.layout.token_dtype},"
        f" every document {begins}ends in id {tokenizer.eod_id}; `tokens.idx` is its index for\n"
        "Megatron and GPT-NeoX. `documents.parquet/` has one row a document in stream order."
        " `manifest.json` says all that is said here, and\n"
        "the hashes. `annealmix audit DIR` counts everything again, `annealmix export DIR"
        " --trainer NAME` writes a trainer's data configuration.\n"
    )


def _rebuild(claims: Claims) -> str:
    identity = claims.public.of if claims.public else claims.identity
    size = "".join(
        f" --{name} {value}" for name, value in claims.size.model_dump(exclude_none=True).items()
    )
    name = shipped_name(claims)
    what = name or ("STUDY.yaml" if claims.study else "RECIPE")
    source = "The recipe comes with annealmix." if name else f"{what} says what stands below."
    hashes = " The manifest has SHA-256 of the input files." if all(claims.inputs.values()) else ""
    recipe = json.dumps(
        claims.recipe, indent=1, sort_keys=True
    )  # no line of it can end the block: all begin with a blank, { or }
    built = f"DIR/{claims.study.arm}" if claims.study else "The mix that is built"
    return (
        f"## Making it again\n\n{source} {plain(built)} must have identity"
        f" {code(identity)}.{hashes}\n\n"
        f"```\nannealmix build {what} --out DIR{size}\n```\n\nThe recipe in its canonical form,"
        f" digest {code(claims.recipe_digest)}:\n\n"
        f"<details><summary>recipe</summary>\n\n```json\n{recipe}\n```\n\n</details>\n"
    )


def shipped_name(claims: Claims) -> str | None:
    """The name of the shipped recipe that made the mix, if one did."""
    from mixtures.recipe.load import list_recipes, load_recipe

    if claims.name not in list_recipes():
        return None
    try:
        recipe = load_recipe(claims.name)
    except AnnealmixError:  # of a filter that cannot be shipped
        return None
    return claims.name if recipe.digest == claims.recipe_digest else None


_MARKS = re.compile(r"([!-+/:-@\[-`{-~])")  # all ASCII punctuation but , - and .
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+=-]*", re.ASCII)


def plain(text: str) -> str:
    """A text within a line: a backslash before every character that could mean something
    (CommonMark 2.4).
    """
    return _MARKS.sub(r"\\\1", " ".join(printable(text).split())).replace("www.", r"www\.")


def code(text: str) -> str:
    """A name or hash as code; what is no plain name is shown as `plain` shows it."""
    return f"`{text}`" if _NAME.fullmatch(text) else plain(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; columns of figures are right-aligned."""
    marks = [
        "---:" if all(re.fullmatch(r"[0-9,.%]+", cell) for cell in cells) else "---"
        for cells in zip(*rows, strict=True)
    ]
    lines = [columns, marks, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
