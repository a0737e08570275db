"""What `annealmix trace` prints for people: a few lines a document and a row, on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixtures.words import percent_text, strand_label
from pipeline.lookup.fate import BEYOND_QUOTA, Fate, Judgement, Origin
from pipeline.report import Column, Table, count, plural, share, tell

_SHOWN_RUNS = 8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixtures.mix.slots import Donor
    from pipeline.commands.trace.steps import Span, StepAnswer, TrainingFigures
    from pipeline.commands.trace.trace import Answer, TracedDocument, TracedRow
    from pipeline.lookup.text import DocumentText


def print_answer(answer: Answer) -> None:
    """Print where documents stand in the mix, and what became of rows."""
    for document in answer.documents:
        _print_document(document)
    if not answer.documents:
        tell("not in the mix")
    for row in answer.rows:
        _print_row(row)
    if not answer.rows and not answer.documents:
        tell("why not is in the store that the mix was built from: name it with --store DIR")


def _print_document(document: TracedDocument) -> None:
    columns = document.columns
    last = columns.first_token + columns.num_tokens - 1
    tell(
        f"document {columns.position:,}: tokens {columns.first_token:,} to {last:,} of the"
        f" stream, {columns.num_tokens:,} with EOD"
    )
    if document.token is not None:
        end = ", its EOD" if document.token == last else ""
        tell(
            f"  token {document.token:,} is number {document.token_of_document:,} of the document"
            f" (from 0){end}"
        )
    kind = "insert" if document.insert else "copy in source" if columns.copy else "source"
    tell(
        f"  {kind} {columns.source} ({document.definition}), epoch {columns.epoch} (from 0),"
        f" {_licence(document)}"
    )
    tell(f"  file {columns.file} row {columns.row}")
    tell(f"  digest {columns.digest}, order key {document.order_key}")
    if document.whole_tokens is not None:
        tell(
            f"  cut: {columns.num_tokens:,} of {document.whole_tokens:,} tokens, to end the quota"
            " of its source"
        )
    if document.masked:
        _print_masked(document.masked)
    for donor in document.donors:
        _print_donor(donor)
    _print_text(document.text)


def _print_masked(runs: Sequence[tuple[int, int]]) -> None:
    shown = ", ".join(
        f"{first:,} to {first + count - 1:,}" if count > 1 else f"{first:,}"
        for first, count in runs[:_SHOWN_RUNS]
    )
    more = f" and {len(runs) - _SHOWN_RUNS:,} runs more" if len(runs) > _SHOWN_RUNS else ""
    masked = plural(sum(count for _, count in runs), "token")
    tell(f"  masked: {masked} of the document, counted from 0: {shown}{more}")


def _print_donor(donor: Donor) -> None:
    if donor.offset == 0:
        tell(
            f"  slot {donor.slot:,} of the study, {donor.kind}: instead of a document of"
            f" {donor.source} that the arm's filter removes"
        )
    tell(f"  {'' if donor.rewrite else 'donor of '}{_donated(donor)}")


def _donated(donor: Donor) -> str:
    if donor.rewrite:
        return f"rewrite: {plural(donor.num_tokens, 'token')}, file {donor.file} row {donor.row}"
    again = f", which stands {plural(donor.repeat, 'time')} before" if donor.repeat else ""
    cut = "" if donor.num_tokens == donor.donor_tokens else f" of its {donor.donor_tokens:,}"
    return (
        f"{donor.donor_source}{again}: {plural(donor.num_tokens, 'token')}{cut} from"
        f" {donor.offset:,} on, file {donor.file} row {donor.row}"
    )


def _licence(document: TracedDocument) -> str:
    note = ", which forbids commercial use" if document.non_commercial else ""
    return f"licence {document.licence}{note}"


def _print_row(row: TracedRow) -> None:
    fate = row.fate
    also = f", also {' and '.join(fate.also)}" if fate.also else ""
    tell(f"{_named(fate.origin)}: {fate.reason}{also}")
    for line in _explained(fate):
        tell(f"  {line}")
    if fate.document:
        num_tokens = fate.figures["num_tokens"]
        tokens = "" if num_tokens is None else f", {plural(num_tokens, 'token')}"
        tell(f"  digest {fate.document.digest.hex()}, order key {fate.document.key:016x}{tokens}")
    if ngrams := fate.figures.get("evaluation_ngrams"):
        tell(f"  holds {plural(ngrams, 'n-gram')} of items of evaluation sets")
    for judgement in fate.filters:
        removes = "masks" if fate.explanation.masked else "removes"
        tell(f"  filter {judgement.label}: {_judged(judgement, removes)}")
    if row.positions:
        first = ", ".join(f"{position:,}" for position in row.positions[:8])
        more = ", ..." if len(row.positions) > 8 else ""
        tell(f"  its text is in the mix {plural(len(row.positions), 'time')}: {first}{more}")
    _print_text(row.text)


def _named(origin: Origin) -> str:
    return f"{origin.source}, {origin.file} row {origin.row}"


def _explained(fate: Fate) -> list[str]:
    because, lines = fate.explanation, []
    if because.why is not None:
        lines.append(f"{because.why}: {because.detail}")
    if because.where is not None:
        lines.append(f"kept are rows with {because.where}")
    if because.missing is not None:
        lines.append(because.missing)
    if because.keys is not None:
        low, high = because.keys
        lines.append(f"the source takes order keys from {low} to below {high}, in hex")
    if because.survivor:
        lines.append(f"the same text is {_named(because.survivor)}")
    if because.excluded_by:
        other = _named(because.excluded_by)
        lines.append(f"the same text belongs to an excluded recipe: {other}")
    if because.near_copy:
        lines.append(f"the near-duplicate that stays instead is {_named(because.near_copy)}")
    if because.filled_by:
        slot = because.filled_by[0]
        lines.append(
            f"its slot, document {slot.position:,} of the arm, was filled ({slot.kind}) by"
        )
        lines += [f"  {_donated(donor)}, digest {donor.digest}" for donor in because.filled_by]
    if because.masked:
        terms = "the terms in it are no targets" if because.masked == "mask-terms" else None
        lines.append(f"it stays in the stream, and {terms or 'is no target'}")
    if donor := because.fills:
        lines.append(
            f"the base does not use it; in the arm it fills slot {donor.slot:,} of the study, at"
            f" document {donor.position:,}: {_donated(donor)}"
        )
    if fate.reason == BEYOND_QUOTA:
        last = because.last_order_key
        lines.append(
            f"the last document of the quota has order key {last}"
            if last
            else "the quota is 0 tokens"
        )
    return lines


def _judged(judgement: Judgement, removes: str) -> str:
    terms = (
        "terms not counted" if judgement.terms is None else plural(judgement.terms, "distinct term")
    )
    words = [f"{terms}, escalated from {judgement.threshold}"]
    if judgement.above is not None:
        score = "no score" if judgement.score is None else f"score {judgement.score:,} millionths"
        words.append(f"{score}, flagged above {judgement.above:,}")
    if judgement.dose is not None:
        words.append(f"{'in' if judgement.in_dose else 'outside'} the dose of {judgement.dose}")
    if judgement.placebo:
        words.append("a placebo, which removes what is not flagged")
    verdicts = {True: f"{removes} it", False: "does not remove it", None: "was not asked"}
    words.append(verdicts[judgement.removes])
    return "; ".join(words)


def _print_text(document: DocumentText | None) -> None:
    if document is None:
        return
    for label, terms in document.terms.items():
        tell(f"  terms of {label}: {', '.join(terms) or 'none'}")
    if document.text is None:
        tell("  text: the store has no tokens of it, since no quota came so far")
        return
    for line in document.text.splitlines():
        tell(f"  | {line}")


def print_steps(answer: StepAnswer) -> None:
    """Print what a trainer read: figures of each source, and of a sample every stretch."""
    _print_training(answer.training)
    first, last = answer.steps
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    samples = " and ".join(
        f"sample {low:,}" if low == high else f"samples {low:,} to {high:,}"
        for low, high in answer.samples
    )
    tell(
        f"{steps}, {samples} of the training: {plural(answer.tokens, 'token')} of"
        f" {plural(answer.documents, 'document')}"
    )
    if answer.masked is not None:
        share_of = percent_text(answer.masked, answer.tokens, 2)
        tell(f"masked of these: {plural(answer.masked, 'token')}, {share_of}%")
    Table(answer.sources, _SOURCE_COLUMNS).print("what was read")
    if answer.label:
        for span in answer.spans or ():
            _print_span(span)
        tell(
            f"last label: token {answer.label.token:,} of the stream, number"
            f" {answer.label.offset:,} of document {answer.label.position:,} (from 0)"
        )
    elif answer.spans is not None:
        tell(
            f"its {len(answer.spans):,} stretches of documents: --json, or one sample with"
            " --sample I"
        )


def _print_training(training: TrainingFigures) -> None:
    seed = "" if training.seed is None else f", seed {training.seed}"
    inferred = " (inferred; say --steps if they were others)" if training.inferred else ""
    for phase in training.phases:
        asked = ""
        if phase.samples_asked is not None and phase.epochs is not None:
            asked = (
                f"{plural(phase.samples_asked, 'sample')} asked{inferred},"
                f" {plural(phase.epochs, 'epoch')} of the mix, "
            )
        steps = plural(training.steps, "step")
        if len(training.phases) > 1:
            first, last = phase.steps
            steps = f"steps {first:,} to {last:,} from sample {phase.first_sample:,} on"
        tell(
            f"{training.trainer}{seed}: {asked}{steps}, batches of {phase.batch:,} x"
            f" {phase.sequence:,} tokens"
        )


def _epochs(tokens: dict[str, int]) -> str:
    return ", ".join(f"{epoch}: {count:,}" for epoch, count in tokens.items())


_SOURCE_COLUMNS = (
    Column("source", lambda source: strand_label(source.name, source.copy)),
    Column("documents", "documents", count),
    Column("tokens", "tokens", count),
    Column("share", lambda source: float(source.share), share),
    Column("tokens of each epoch of the source", "epochs", _epochs),
)


def _print_span(span: Span) -> None:
    document, columns = span.document, span.document.columns
    last = span.offset + span.num_tokens - 1
    part = f"{span.offset:,} to {last:,} of {columns.num_tokens:,}"
    cut = ", cut" if columns.cut else ""
    tell(
        f"document {columns.position:,}, tokens {part}{cut}: from token {span.token:,} of"
        " the stream"
    )
    tell(f"  {columns.source}, epoch {columns.epoch} (from 0), {_licence(document)}")
    tell(f"  file {columns.file} row {columns.row}, digest {columns.digest}")
    _print_text(span.text)
