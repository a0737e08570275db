"""`annealmix audit --filter F [--rescore N]`: the named checks that are made of judging every
document of a mix again.

    check           fails if
    `decoding`      documents spread over the mix are not encoded into their ids again: these are of
                    another tokenizer, and spell nothing
    `filter NAME`   the filter flags a document; of a mix that is masked by this filter: another
                    token is masked than it says
    `rescore NAME`  a document that is scored alone, or in reversed order, is decided otherwise
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixtures.audit.report import Check, judge, unread
from mixtures.errors import AuditFailed, RecipeError
from mixtures.mix.indexed import IndexedTokens
from mixtures.rules.levels import Level
from mixtures.words import plural
from mixtures.yaml.disk import read_bytes
from pipeline import report
from pipeline.commands.audit.masked import mask_filter
from pipeline.commands.audit.processes import rescan
from pipeline.commands.audit.rescan import (
    COUNTS,
    NEAR_MILLIONTHS,
    Agreement,
    FilterCounts,
    FlaggedDocument,
    Rescan,
    Scored,
    ShareJudge,
    agreement,
    rescore,
)
from pipeline.judges.filter import Filter
from pipeline.lookup.documents import StreamDocuments
from pipeline.store.scores import stored_scores
from pipeline.tokens.engines import open_engine

NUM_ENCODED = 64  # documents that are encoded again
MAX_ENCODED_TOKENS = 1 << 18  # of one of these: the reference library takes seconds for more


class FilterRow(NamedTuple):
    """What a filter says of the documents of a source."""

    source: str
    documents: int
    one_below: int
    """With one distinct term fewer than escalates."""
    escalated: int
    flagged: int
    flagged_tokens: int

    @property
    def approved(self) -> int:
        """Escalated and not flagged."""
        return self.escalated - self.flagged

    def as_json(self) -> dict[str, int]:
        counts = {name: getattr(self, name) for name in COUNTS}
        return {**counts, "approved": self.approved}


@dataclass(frozen=True)
class FilterFigures:
    """What one filter says of a mix."""

    name: str
    identity: str
    sources: list[FilterRow]
    near_threshold: int | None
    """Scores within NEAR_MILLIONTHS of the threshold; None without a classifier."""
    flagged_documents: list[FlaggedDocument]
    """The first."""
    rescored: dict[str, Agreement] | None
    """By what scored again; None where nothing was to."""

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        figures: dict[str, object] = {
            "name": self.name,
            "identity": self.identity,
            "sources": {row.source: row.as_json() for row in self.sources},
            "near_threshold": self.near_threshold,
            "flagged_documents": [document._asdict() for document in self.flagged_documents],
        }
        if self.rescored is not None:
            figures["rescored"] = {name: asdict(held) for name, held in self.rescored.items()}
        return figures


@dataclass(frozen=True)
class FilterAudit:
    """What the filters say of a mix."""

    checks: list[Check] = field(default_factory=list)
    filters: list[FilterFigures] = field(default_factory=list)


def audit_filters(
    mix: Path,
    names: Sequence[str],
    *,
    level: Level | None = None,
    tokenizer: Path | None = None,
    rescored: int | None = None,
    store: Path | None = None,
    workers: int | None = None,
) -> FilterAudit:
    """Judge every document of a mix folder, or of the pair of a prefix.

    Args:
        names: of filters, or their files. level: at which they judge; None: their own. rescored:
            documents to score again; None: none. store: holds scores against those of its table.
            workers: processes; None: the cores.

    Raises:
        RecipeError: a filter or a tokenizer is not known or not named, or has no classifier to
            score with.
        ManifestError: manifest, filter or tokenizer is not what its hash says. InputError: a file
            is missing, or a text cannot be scored.
    """
    filters = _opened(names, level, scored=rescored is not None)
    locate = StreamDocuments.of_mix if mix.is_dir() else StreamDocuments.of_pair
    stream = locate(mix, tokenizer)
    plan = Rescan(
        stream,
        tuple(names),
        tuple(one.identity for one in filters),
        rescored or 0,
        level,
        mask_filter(stream.folder),
    )
    try:
        pair = stream.open()
        judge_again = ShareJudge(plan, filters, pair)
        decoding = _decoding(stream, pair, judge_again)
        judged = _judged(plan, filters, pair, workers)
    except AuditFailed as error:
        return FilterAudit([unread(f"filter {one.definition.name}", str(error)) for one in filters])
    audit = FilterAudit([decoding])
    for one, counts in zip(filters, judged, strict=True):
        audit.checks.append(
            counts.masked.check(one.definition.name)
            if one.identity == plan.masking
            else _filter_check(one, stream, counts)
        )
        agreements = None
        if rescored is not None:
            agreements = _rescored(one, counts.scored, judge_again, store)
            audit.checks.append(_rescore_check(one, counts, agreements))
        audit.filters.append(_figures(one, stream, counts, agreements))
    return audit


def _opened(given: Sequence[str], level: Level | None, *, scored: bool) -> list[Filter]:
    """scored: whether they are to score again."""
    filters = [Filter.load(name, level) for name in given]
    names = [one.definition.name for one in filters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"--filter: {', '.join(twice)} is given twice, so its checks could not be told apart;"
            " give each name once"
        )
    for one in filters:
        if scored and one.definition.classifier is None:
            raise RecipeError(
                f"filter {one.definition.name}: has no classifier, so there is nothing to score"
                " again; leave --rescore out"
            )
    return filters


def _judged(
    plan: Rescan, filters: Sequence[Filter], pair: IndexedTokens, workers: int | None
) -> list[FilterCounts]:
    judged = [0]
    with report.progress("judge documents", len(pair.documents) - 1, lambda: judged[0]):
        return rescan(plan, filters, pair, workers, lambda count: judged.__setitem__(0, count))


def _decoding(stream: StreamDocuments, pair: IndexedTokens, reader: ShareJudge) -> Check:
    """Whether the ids are those of the tokenizer: documents that are read back and encoded again
    have the same ids.

    Of a mix all that are whole must; of a pair that others wrote more than half, since they may
    have cut texts where they liked.
    """
    engine = open_engine("tokenizers", read_bytes(stream.tokenizer))
    same = different = 0
    for share in stream.sample(pair, NUM_ENCODED):
        size = int(share.ends[0] - share.starts[0])
        if share.cut[0] or not 0 < size <= MAX_ENCODED_TOKENS:
            continue
        ids = np.asarray(pair.tokens[int(share.starts[0]) : int(share.ends[0])])
        (low,), (high,) = stream.text_bounds(ids, np.array([0]), np.array([size]))
        ids = ids[low:high]
        again, _ = engine.encode(reader.texts(share.starts, share.ends), parse=stream.parse)
        equal = np.array_equal(ids, again)
        same, different = same + equal, different + (not equal)
    faults = []
    if stream.folder is None and same + different == 0:
        faults.append(
            "none can be encoded again: each is empty or too long; nothing shows that the tokenizer"
            " made the ids"
        )
    elif different if stream.folder is not None else same <= different:
        faults.append(
            f"{plural(different, 'document')} encoded by {stream.tokenizer} get other ids; give the"
            " tokenizer that made the mix"
        )
    return judge(
        "decoding",
        f"{same:,} of {plural(same + different, 'document')} read back are encoded into the"
        " same ids",
        faults,
    )


def _filter_check(one: Filter, stream: StreamDocuments, judged: FilterCounts) -> Check:
    definition = one.definition
    documents, escalated, flagged = (
        judged.total(name) for name in ("documents", "escalated", "flagged")
    )
    figure = (
        f"{flagged:,} of {plural(documents, 'document')} flagged; {escalated:,} escalated,"
        f" {judged.total('one_below'):,} with "
    )
    figure += plural(definition.blocklist.threshold - 1, "distinct term")
    if not flagged:
        return Check(f"filter {definition.name}", True, figure)
    sources = [
        f"{name} {count:,}"
        for name, count in zip(
            stream.sources, judged.counts[:, COUNTS.index("flagged")], strict=True
        )
        if count
    ]
    detail = (
        f"{plural(flagged, 'document')} of {plural(judged.total('flagged_tokens'), 'token')}"
        f" flagged ({', '.join(sources)}): "
    )
    more = (
        f" (and {flagged - 3:,} more; --json names the first {len(judged.places):,})"
        if flagged > 3
        else ""
    )
    return Check(
        f"filter {definition.name}",
        False,
        figure,
        detail + "; ".join(map(_told, judged.places[:3])) + more,
    )


def _told(place: FlaggedDocument) -> str:
    score = "" if place.score is None else f", score {place.score:,} millionths"
    return (
        f"document {place.document:,} of {place.source}"
        f" ({plural(place.terms, 'distinct term')}{score}{', cut' if place.cut else ''})"
    )


def _figures(
    one: Filter,
    stream: StreamDocuments,
    judged: FilterCounts,
    rescored: dict[str, Agreement] | None,
) -> FilterFigures:
    # a source and its copies share a name; all its documents are counted where that comes last
    counts = dict(zip(stream.sources, judged.counts.tolist(), strict=True))
    return FilterFigures(
        name=one.definition.name,
        identity=one.identity,
        sources=[FilterRow(name, *row) for name, row in counts.items()],
        near_threshold=judged.near if one.definition.classifier else None,
        flagged_documents=judged.places,
        rescored=rescored,
    )


def _rescored(
    one: Filter, scored: Sequence[Scored], reader: ShareJudge, store: Path | None
) -> dict[str, Agreement]:
    pin = one.definition.classifier
    assert pin is not None
    assert one.classifier is not None

    def read(document: Scored) -> str:
        return reader.texts(np.array([document.start]), np.array([document.end]))[0]

    again = rescore(scored, one.classifier, read)
    if store is not None:
        again["as stored"] = stored_scores(
            store, pin.digest, [document.digest for document in scored]
        )
    return {
        name: agreement(scored, scores, pin.threshold_millionths) for name, scores in again.items()
    }


def _rescore_check(one: Filter, judged: FilterCounts, agreements: dict[str, Agreement]) -> Check:
    compared = "; ".join(
        f"{name}: {held.identical:,} of {plural(held.documents, 'score')} identical, the largest"
        f" difference {plural(held.largest_difference, 'millionth')}"
        for name, held in agreements.items()
    )
    figure = (
        f"{compared}; {plural(judged.near, 'score')} of the mix within {NEAR_MILLIONTHS:,}"
        " millionths of the threshold"
    )
    faults = [
        f"document {document:,} is decided otherwise {name}"
        for name, held in agreements.items()
        for document in held.changed
    ]
    faults += [
        f"{held.missing:,} documents have no score {name}"
        for name, held in agreements.items()
        if held.missing
    ]
    return judge(f"rescore {one.definition.name}", figure, faults)
