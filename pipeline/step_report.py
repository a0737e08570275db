"""What `annealmix trace --step` and `--checkpoint` print for people: the training, figures by source, the stretches of one sample."""

from __future__ import annotations

from typing import Any

from mixtures.words import plural, strand_label
from pipeline.report import say, table

COLUMNS = ("source", "documents", "tokens", "share", "tokens of each epoch of the source")


def show(answer: dict[str, Any]) -> None:
    """Print an answer of `pipeline.commands.trace.steps.trace_steps`."""
    _show_training(answer["training"])
    (first, last), (low, high) = answer["steps"], answer["samples"]
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    samples = f"sample {low:,}" if low == high else f"samples {low:,} to {high:,}"
    say(f"{steps}, {samples} of the training: {plural(answer['tokens'], 'token')} of {plural(answer['documents'], 'document')}")
    table("what was read", COLUMNS, [_row(source) for source in answer["sources"]])
    if "label" in answer:
        for span in answer["spans"]:
            _show_span(span)
        label = answer["label"]
        say(f"last label: token {label['token']:,} of the stream, number {label['offset']:,} of document {label['position']:,} (from 0)")
    elif "spans" in answer:
        say(f"its {len(answer['spans']):,} stretches of documents: --json, or one sample with --sample I")


def _show_training(training: dict[str, Any]) -> None:
    batches = f"batches of {training['batch']:,} x {training['sequence']:,} tokens"
    if "epochs" not in training:
        say(f"{training['trainer']}: {plural(training['steps'], 'step')}, {batches}")
        return
    inferred = " (inferred; say --steps if they were others)" if training["inferred"] else ""
    say(
        f"{training['trainer']}, seed {training['seed']}: {plural(training['samples_asked'], 'sample')} asked{inferred}, "
        f"{plural(training['epochs'], 'epoch')} of the mix, {plural(training['steps'], 'step')}, {batches}"
    )


def _row(source: dict[str, Any]) -> list[str]:
    name = strand_label(source["name"], source["copy"])
    epochs = ", ".join(f"{epoch}: {tokens:,}" for epoch, tokens in source["epochs"].items())
    return [name, f"{source['documents']:,}", f"{source['tokens']:,}", f"{100 * float(source['share']):.2f}%", epochs]


def _show_span(span: dict[str, Any]) -> None:
    document = span["document"]
    last = span["offset"] + span["num_tokens"] - 1
    part = f"{span['offset']:,} to {last:,} of {document['num_tokens']:,}"
    cut = ", cut" if document["cut"] else ""
    note = ", which forbids commercial use" if document["non_commercial"] else ""
    say(f"document {document['position']:,}, tokens {part}{cut}: from token {span['token']:,} of the stream")
    say(f"  {document['source']}, epoch {document['epoch']} (from 0), licence {document['licence']}{note}")
    say(f"  file {document['file']} row {document['row']}, digest {document['digest']}")
    for label, terms in span.get("terms", {}).items():
        say(f"  terms of {label}: {', '.join(terms) or 'none'}")
    for line in span.get("text", "").splitlines():
        say(f"  | {line}")
