"""What `annealmix trace` prints for people: a few lines a place and a row, on stderr."""

from __future__ import annotations

from typing import Any

from mixtures.words import strand_label
from pipeline.report import Column, Table, count, plural, say, share


def show(answer: dict[str, Any]) -> None:
    """Print an answer of `pipeline.commands.trace.trace.trace`."""
    for place in answer["places"]:
        _show_place(place)
    if not answer["places"]:
        say("not in the mix")
    for row in answer["rows"]:
        _show_row(row)
    if not answer["rows"] and not answer["places"]:
        say("why not is in the store that the mix was built from: name it with --store DIR")


def _show_place(place: dict[str, Any]) -> None:
    last = place["first_token"] + place["num_tokens"] - 1
    say(
        f"document {place['position']:,}: tokens {place['first_token']:,} to {last:,} of the"
        f" stream, {place['num_tokens']:,} with EOD"
    )
    if "token" in place:
        end = ", its EOD" if place["token"] == last else ""
        say(
            f"  token {place['token']:,} is number {place['place_in_document']:,} of the document"
            f" (from 0){end}"
        )
    kind = "insert" if place["insert"] else "copy in source" if place["copy"] else "source"
    note = ", which forbids commercial use" if place["non_commercial"] else ""
    say(
        f"  {kind} {place['source']} ({place['definition']}), epoch {place['epoch']} (from 0),"
        f" licence {place['licence']}{note}"
    )
    say(f"  file {place['file']} row {place['row']}")
    say(f"  digest {place['digest']}, order key {place['order_key']}")
    if place["cut"]:
        say(
            f"  cut: {place['num_tokens']:,} of {place['whole_tokens']:,} tokens, to end the quota"
            " of its source"
        )
    _show_text(place)


def _show_row(row: dict[str, Any]) -> None:
    say(f"{row['source']}, {row['file']} row {row['row']}: {row['reason']}")
    for line in _explained(row):
        say(f"  {line}")
    if "digest" in row:
        tokens = "" if row["num_tokens"] is None else f", {plural(row['num_tokens'], 'token')}"
        say(f"  digest {row['digest']}, order key {row['order_key']}{tokens}")
    if row.get("evaluation_ngrams"):
        say(f"  holds {plural(row['evaluation_ngrams'], 'n-gram')} of items of evaluation sets")
    for item in row.get("filters", []):
        say(f"  filter {item['label']}: {_judged(item)}")
    if positions := row.get("positions_of_its_text"):
        shown = ", ".join(f"{position:,}" for position in positions[:8])
        say(
            f"  its text is in the mix {plural(len(positions), 'time')}:"
            f" {shown}{', ...' if len(positions) > 8 else ''}"
        )
    _show_text(row)


_STAYS = {
    "survivor": "the same text is",
    "excluded_by": "the same text belongs to an excluded recipe:",
    "near_copy": "the near-duplicate that stays instead is",
}


def _explained(row: dict[str, Any]) -> list[str]:
    lines = []
    if "why" in row:
        lines.append(f"{row['why']}: {row['detail']}")
    if "where" in row:
        lines.append(f"kept are rows with {row['where']}")
    if "missing" in row:
        lines.append(row["missing"])
    if "keys" in row:
        lines.append(
            f"the source takes order keys from {row['keys'][0]} to below {row['keys'][1]}, in hex"
        )
    for name, words in _STAYS.items():
        if name in row:
            lines.append(
                f"{words} {row[name]['source']}, {row[name]['file']} row {row[name]['row']}"
            )
    if row["reason"] == "beyond quota":
        last = row["last_order_key"]
        lines.append(
            f"the last document of the quota has order key {last}"
            if last
            else "the quota is 0 tokens"
        )
    return lines


def _judged(item: dict[str, Any]) -> str:
    terms = "terms not counted" if item["terms"] is None else plural(item["terms"], "distinct term")
    words = [f"{terms}, escalated from {item['threshold']}"]
    if "removed_above_millionths" in item:
        score = item["score_millionths"]
        said = "no score" if score is None else f"score {score:,} millionths"
        words.append(f"{said}, flagged above {item['removed_above_millionths']:,}")
    if "dose" in item:
        words.append(f"{'in' if item['in_dose'] else 'outside'} the dose of {item['dose']}")
    if item["placebo"]:
        words.append("a placebo, which removes what is not flagged")
    words.append(
        {True: "removes it", False: "does not remove it", None: "was not asked"}[item["removes"]]
    )
    return "; ".join(words)


def _show_text(said: dict[str, Any]) -> None:
    for label, terms in said.get("terms", {}).items():
        say(f"  terms of {label}: {', '.join(terms) or 'none'}")
    if "text" not in said:
        return
    if said["text"] is None:
        say("  text: the store has no tokens of it, since no quota came so far")
        return
    for line in said["text"].splitlines():
        say(f"  | {line}")


def show_steps(answer: dict[str, Any]) -> None:
    """Print an answer of `pipeline.commands.trace.steps.trace_steps`."""
    _show_training(answer["training"])
    (first, last), (low, high) = answer["steps"], answer["samples"]
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    samples = f"sample {low:,}" if low == high else f"samples {low:,} to {high:,}"
    say(
        f"{steps}, {samples} of the training: {plural(answer['tokens'], 'token')} of"
        f" {plural(answer['documents'], 'document')}"
    )
    Table(answer["sources"], _SOURCE_COLUMNS).print("what was read")
    if "label" in answer:
        for span in answer["spans"]:
            _show_span(span)
        label = answer["label"]
        say(
            f"last label: token {label['token']:,} of the stream, number {label['offset']:,} of"
            f" document {label['position']:,} (from 0)"
        )
    elif "spans" in answer:
        say(
            f"its {len(answer['spans']):,} stretches of documents: --json, or one sample with"
            " --sample I"
        )


def _show_training(training: dict[str, Any]) -> None:
    batches = f"batches of {training['batch']:,} x {training['sequence']:,} tokens"
    if "epochs" not in training:
        say(f"{training['trainer']}: {plural(training['steps'], 'step')}, {batches}")
        return
    inferred = " (inferred; say --steps if they were others)" if training["inferred"] else ""
    say(
        f"{training['trainer']}, seed {training['seed']}:"
        f" {plural(training['samples_asked'], 'sample')} asked{inferred},"
        f" {plural(training['epochs'], 'epoch')} of the mix, {plural(training['steps'], 'step')},"
        f" {batches}"
    )


def _epochs(tokens: dict[str, int]) -> str:
    return ", ".join(f"{epoch}: {count:,}" for epoch, count in tokens.items())


_SOURCE_COLUMNS = (
    Column("source", lambda source: strand_label(source["name"], source["copy"])),
    Column("documents", "documents", count),
    Column("tokens", "tokens", count),
    Column("share", lambda source: float(source["share"]), share),
    Column("tokens of each epoch of the source", "epochs", _epochs),
)


def _show_span(span: dict[str, Any]) -> None:
    document = span["document"]
    last = span["offset"] + span["num_tokens"] - 1
    part = f"{span['offset']:,} to {last:,} of {document['num_tokens']:,}"
    cut = ", cut" if document["cut"] else ""
    note = ", which forbids commercial use" if document["non_commercial"] else ""
    say(
        f"document {document['position']:,}, tokens {part}{cut}: from token {span['token']:,} of"
        " the stream"
    )
    say(
        f"  {document['source']}, epoch {document['epoch']} (from 0), licence"
        f" {document['licence']}{note}"
    )
    say(f"  file {document['file']} row {document['row']}, digest {document['digest']}")
    for label, terms in span.get("terms", {}).items():
        say(f"  terms of {label}: {', '.join(terms) or 'none'}")
    for line in span.get("text", "").splitlines():
        say(f"  | {line}")
