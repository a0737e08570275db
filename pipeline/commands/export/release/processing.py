"""What was done to the texts of a mix before they were tokens, in sentences: for people who read
the summary and for programs that read the Croissant file. They are plain text; names in them are
those of the manifest, unescaped.
"""

from __future__ import annotations

from collections import Counter

from mixtures.mix.claims import Claims
from mixtures.mix.judged.contamination import ContaminationClaim
from pipeline.commands.build.report import joined
from pipeline.commands.export.arm import arm_steps
from pipeline.report import plural


def processing(claims: Claims) -> list[str]:
    """The steps, in their order."""
    counts: Counter[str] = Counter()
    for source in claims.sources:
        if not source.copy_number:
            counts.update(joined(claims.removed.get(source.name, {})))
    files = sum(len(listed) for listed in claims.inputs.values())
    read, kept = counts.pop("rows", 0), counts.pop("kept", 0)
    left = [f"{reason} {rows:,}" for reason, rows in sorted(counts.items()) if rows]
    where = f" of {plural(files, 'file')}" if files else ""
    begins = f"begins with {claims.tokenizer.bos} and " if claims.tokenizer.bos else ""
    return [
        f"{plural(read, 'row')}{where} were read; the fields of each were joined to one text. Texts"
        " that are equal in Unicode normalization form C are one document.",
        f"{plural(kept, 'row')} are in the mix. Rows left out, by reason:"
        f" {', '.join(left) or 'none'}.",
        *_judged(claims),
        *arm_steps(claims),
        "Which documents a source's quota takes is decided by a hash of their text, which is"
        " independent of their files and order.",
        f"Texts were tokenized by {claims.tokenizer.name}; each {begins}ends in"
        f" {claims.tokenizer.eod}, and at most one document of a source and epoch is cut.",
    ]


def _judged(claims: Claims) -> list[str]:
    """Searches for near-duplicates and evaluation items, and filters."""
    steps = []
    if claims.near:
        steps.append("Of each cluster of near-duplicates one document was kept.")
    if isinstance(claims.contamination, ContaminationClaim):
        sets = ", ".join(item.name for item in claims.contamination.sets)
        done = "left out" if claims.contamination.action == "drop" else "counted"
        steps.append(f"Documents that hold items of evaluation sets were {done}: {sets}.")
    return [*steps, removed_by_filters(claims)] if claims.filters else steps


def removed_by_filters(claims: Claims) -> str:
    """What filters removed, by label; or that there is none."""
    if not claims.filters:
        return "No filter of content was applied to this mix."
    figures = []
    for item in claims.filters:
        kind = "placebo" if item.placebo else "filter"
        figures.append(f"{kind} {item.label} {plural(item.documents, 'document')}")
    done = "Not removed, but masked," if claims.masked else "Removed"
    return f"{done} within the quotas of the sources: {', '.join(figures)}."
