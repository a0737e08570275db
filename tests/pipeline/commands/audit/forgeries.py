"""Forgeries of a finished mix, each with all hashes made anew: of its documents and their tokens,
and of what its manifest says.

A case changes the mix of `conftest.work`, as careful a forger would: what the manifest counts is
counted again (`recount`) wherever it can be made to agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mixtures.keys import order_key
from mixtures.stream.order import deviation, deviation_bound
from mixtures.yaml.fields import json_digest
from tests.mixtures.audit.forged_mix import Document, ForgedMix


@dataclass(frozen=True)
class Forgery:
    """What is done, in words; how; and the checks that see it, no more and no fewer."""

    name: str
    change: Callable[[ForgedMix], None]
    seen_by: tuple[str, ...]


REFUSED = "refused"
"""In place of checks: the audit ends with an error that names the place."""
CASES: list[Forgery] = []


def forgery(*seen_by: str) -> Callable[[Callable[[ForgedMix], None]], Callable[[ForgedMix], None]]:
    """List a case; its name is its function's."""

    def add(change: Callable[[ForgedMix], None]) -> Callable[[ForgedMix], None]:
        CASES.append(Forgery(change.__name__.replace("_", " "), change, seen_by))
        return change

    return add


def _firsts(mix: ForgedMix, name: str) -> list[Document]:
    """Documents of a source, copies and later epochs not among them, whole, in stream order."""
    return [one for one in mix.of(name) if not (one.copy or one.epoch or one.cut)]


def _once(mix: ForgedMix, name: str) -> list[Document]:
    """Of those, the ones that are in the mix at one place alone."""
    digests = [one.digest for one in mix.documents]
    return [one for one in _firsts(mix, name) if digests.count(one.digest) == 1]


def _of_equal_length(documents: list[Document]) -> tuple[Document, Document]:
    return next(
        (one, two)
        for at, one in enumerate(documents)
        for two in documents[at + 1 :]
        if len(one.tokens) == len(two.tokens) and not np.array_equal(one.tokens, two.tokens)
    )


def recount(mix: ForgedMix) -> None:
    """Make the counts of the manifest those of the documents: a forger can."""
    manifest, sources = mix.manifest, mix.manifest["sources"]
    codes = {(item["name"], item["copy"]): number for number, item in enumerate(sources)}
    strand = np.array([codes[one.source, one.copy] for one in mix.documents])
    lengths = np.array([len(one.tokens) for one in mix.documents], np.int64)
    shares = []
    for number, source in enumerate(sources):
        mine = lengths[strand == number]
        change = int(mine.sum()) - source["realised_tokens"]
        for name in ("realised_tokens", "asked_tokens", "resolved_tokens"):
            source[name] += change
        source["documents"], source["longest_tokens"] = len(mine), int(mine.max(initial=0))
        shares.append(int(mine.sum()))
    bounds = deviation_bound(shares, [source["longest_tokens"] for source in sources])
    strays = deviation(np.zeros(len(sources), np.int64), strand, lengths, shares)
    total = sum(shares)
    for source, bound, stray in zip(sources, bounds, strays, strict=True):
        source["deviation"] = {
            "bound_tokens": -(-bound // (2 * total)),
            "measured_tokens": -(-stray // total),
        }
    manifest["total_tokens"], manifest["total_documents"] = total, len(lengths)
    manifest["eod_tokens"] = sum(int((one.tokens == 0).sum()) for one in mix.documents)


def reseal_recipe(mix: ForgedMix) -> None:
    """Make the digest of the recipe that of what the manifest says of it."""
    mix.manifest["recipe_digest"] = json_digest(mix.manifest["recipe"])


def _asked(mix: ForgedMix, name: str) -> dict[str, Any]:
    return next(item for item in mix.manifest["recipe"]["sources"] if item["name"] == name)


def _exchange(one: Document, two: Document, *names: str) -> None:
    for name in names:
        first, second = getattr(one, name), getattr(two, name)
        setattr(one, name, second)
        setattr(two, name, first)


# ---- tokens


@forgery("source tokens", "store tokens")
def tokens_of_two_documents_of_equal_length_exchanged(mix: ForgedMix) -> None:
    one, two = _of_equal_length(_once(mix, "b"))
    _exchange(one, two, "tokens")


@forgery("source tokens", "store tokens")
def tokens_of_documents_of_two_sources_exchanged(mix: ForgedMix) -> None:
    one, two = next(
        (one, two)
        for one in mix.of("extra")
        for two in _once(mix, "b")
        if len(one.tokens) == len(two.tokens)
    )
    _exchange(one, two, "tokens")


@forgery("source tokens", "store tokens")
def a_token_moved_over_the_boundary_of_two_documents(mix: ForgedMix) -> None:
    one, two = mix.of("extra")[:2]
    two.tokens = np.concatenate([one.tokens[-2:-1], two.tokens])
    one.tokens = np.delete(one.tokens, -2)
    recount(mix)


@forgery("source tokens", "store tokens")
def one_token_changed(mix: ForgedMix) -> None:
    document = _once(mix, "b")[3]
    document.tokens = document.tokens.copy()
    document.tokens[0] += 1


@forgery("repeated tokens", "source tokens", "store tokens")
def the_last_token_before_an_end_changed(mix: ForgedMix) -> None:
    document = mix.documents[-1]
    document.tokens = document.tokens.copy()
    document.tokens[-2] += 1


@forgery("source tokens", "store tokens")
def tokens_of_a_document_reversed(mix: ForgedMix) -> None:
    document = _once(mix, "b")[5]
    document.tokens = np.append(document.tokens[-2::-1], document.tokens[-1:])


@forgery("source tokens", "store tokens")
def a_document_emptied_but_for_its_length(mix: ForgedMix) -> None:
    document = _once(mix, "b")[7]
    document.tokens = np.append(np.full(len(document.tokens) - 1, 17, np.uint16), np.uint16(0))


@forgery("EOD count", "source tokens", "store tokens")
def the_end_of_a_document_inside_of_it(mix: ForgedMix) -> None:
    document = _once(mix, "b")[2]
    document.tokens = document.tokens.copy()
    document.tokens[3] = 0
    recount(mix)


@forgery("source tokens", "store tokens")
def a_cut_document_with_its_last_tokens_in_place_of_its_first(mix: ForgedMix) -> None:
    document = next(one for one in mix.of("b") if one.cut)
    document.tokens = np.append(np.roll(document.tokens[:-1], 3), document.tokens[-1:])


@forgery("source tokens", "store tokens")
def a_repeated_document_with_other_tokens_each_time(mix: ForgedMix) -> None:
    again = next(one for one in mix.of("a") if one.epoch == 1 and not (one.copy or one.cut))
    for one in mix.documents:
        if one.digest == again.digest and not one.cut:
            one.tokens = one.tokens.copy()
            one.tokens[1] += 1


@forgery("source tokens", "store tokens")
def a_copy_with_other_tokens_than_its_original(mix: ForgedMix) -> None:
    document = next(one for one in mix.of("b") if one.copy)
    document.tokens = document.tokens.copy()
    document.tokens[1] += 1


@forgery("source tokens", "store tokens")
def an_insert_with_other_tokens(mix: ForgedMix) -> None:
    document = mix.of("extra")[2]
    document.tokens = document.tokens.copy()
    document.tokens[1] += 1


@forgery("source tokens", "store manifest")
def a_document_made_longer_and_its_quota_with_it(mix: ForgedMix) -> None:
    document = mix.of("extra")[1]
    document.tokens = np.insert(document.tokens, 1, 19)
    recount(mix)


# ---- documents and their places


@forgery("source text", "store documents")
def a_digest_in_key_order_that_no_text_has(mix: ForgedMix) -> None:
    documents = _firsts(mix, "b")
    low, high = (order_key(documents[at].digest) for at in (3, 5))
    made = (number.to_bytes(16, "little") for number in range(1 << 20))
    documents[4].digest = next(one for one in made if low < order_key(one) < high)


@forgery("key order", "store documents", "store tokens", "store provenance")
def two_documents_of_a_source_exchanged(mix: ForgedMix) -> None:
    mix.swap(*_once(mix, "b")[3:5])
    recount(mix)


@forgery("stream order", "store order")
def neighbours_of_two_sources_exchanged(mix: ForgedMix) -> None:
    at = next(
        at
        for at in range(20, len(mix.documents))
        if {mix.documents[at].source, mix.documents[at + 1].source} == {"b", "extra"}
    )
    mix.swap(mix.documents[at], mix.documents[at + 1])
    recount(mix)


@forgery(
    "key order",
    "stream order",
    "source text",
    "source tokens",
    "store documents",
    "store order",
    "store tokens",
    "store provenance",
)
def documents_of_two_sources_exchange_their_labels(mix: ForgedMix) -> None:
    one, two = next(
        (one, two)
        for one in _once(mix, "a")
        for two in _once(mix, "b")
        if len(one.tokens) == len(two.tokens)
    )
    _exchange(one, two, "source")


@forgery("stream order", "store manifest", "store order", "store removals")
def the_last_document_of_an_insert_left_out(mix: ForgedMix) -> None:
    mix.documents.remove(mix.of("extra")[-1])
    mix.manifest["removed"]["extra"]["kept"] -= 1
    mix.manifest["removed"]["extra"]["empty"] += 1
    recount(mix)


@forgery("stream order", "source text", "store manifest")
def a_document_more_than_the_insert_has(mix: ForgedMix) -> None:
    last = mix.of("extra")[-1]
    made = (number.to_bytes(16, "little") for number in range(1 << 20))
    digest = next(one for one in made if order_key(one) > order_key(last.digest))
    at = mix.documents.index(last)
    mix.documents.insert(
        at + 1, Document("extra", digest, 0, 0, False, last.tokens, last.file, last.row)
    )
    mix.manifest["removed"]["extra"]["kept"] += 1
    mix.manifest["removed"]["extra"]["rows"] += 1
    recount(mix)


@forgery(
    "key order",
    "stream order",
    "prefix bound",
    "store documents",
    "store order",
    "store tokens",
    "store provenance",
)
def a_document_and_its_copy_exchange_their_places(mix: ForgedMix) -> None:
    copy = next(one for one in mix.of("b") if one.copy)
    original = next(one for one in _firsts(mix, "b") if one.digest == copy.digest)
    _exchange(copy, original, "copy")


@forgery("store manifest", "store documents", "store order", "store tokens", "store provenance")
def copies_that_begin_with_another(mix: ForgedMix) -> None:
    sources, placed = mix.manifest["sources"], []
    for number, source in enumerate(sources):
        strand = [one for one in mix.of(source["name"]) if one.copy == source["copy"]]
        if (source["name"], source["copy"]) == ("b", 1):
            strand = [*strand[1:], strand[0]]
            source["rotation"] += 1
        start, whole = 0, sum(len(one.tokens) for one in strand)
        for at, one in enumerate(strand):
            middle = Fraction(2 * start + len(one.tokens), 2 * whole)
            placed.append((middle, number, at, one))
            start += len(one.tokens)
    mix.documents[:] = [one for *_, one in sorted(placed, key=lambda item: item[:3])]
    recount(mix)


@forgery("key order", "store manifest", "store order")
def copies_said_to_begin_with_another(mix: ForgedMix) -> None:
    copies = [one for one in mix.manifest["sources"] if one["copy"]]
    next(one for one in copies if one["name"] == "b")["rotation"] += 1


@forgery("source tokens", "store documents")
def the_mark_of_a_cut_on_a_whole_document(mix: ForgedMix) -> None:
    for document in mix.of("b"):
        document.cut = False
    mix.source("b")["cut"] = None


@forgery("source tokens", "store documents")
def a_cut_document_was_longer_than_is_said(mix: ForgedMix) -> None:
    next(item for item in mix.manifest["sources"] if item["name"] == "b")["cut"]["num_tokens"] += 1


@forgery("store manifest")
def a_cut_one_token_earlier(mix: ForgedMix) -> None:
    document = next(one for one in mix.of("b") if one.cut)
    document.tokens = np.delete(document.tokens, -2)
    source = mix.source("b")
    source["cut"]["kept_tokens"] -= 1
    _asked(mix, "b")["tokens"] -= 1
    recount(mix)
    reseal_recipe(mix)


# ---- provenance


@forgery("source text", "source tokens", "store provenance")
def provenance_of_two_documents_exchanged(mix: ForgedMix) -> None:
    one, two = _once(mix, "b")[:2]
    _exchange(one, two, "file", "row")


@forgery("source text", "source tokens", "store provenance")
def a_row_that_was_dropped_as_the_origin(mix: ForgedMix) -> None:
    document = _once(mix, "b")[1]
    taken = {one.row for one in mix.of("b") if one.file == document.file}
    document.row = next(row for row in range(50) if row not in taken)


@forgery("source text", "store provenance")
def a_row_that_is_not_there_as_the_origin(mix: ForgedMix) -> None:
    _once(mix, "b")[1].row = 10**9


@forgery("source text", "source tokens", "store provenance")
def another_input_file_as_the_origin(mix: ForgedMix) -> None:
    document = _once(mix, "b")[1]
    document.file = next(one.file for one in mix.of("b") if one.file != document.file)


@forgery("source text", "source tokens", "store provenance")
def provenance_of_a_source_from_another_mix(mix: ForgedMix) -> None:
    documents = mix.of("b")
    origins = [(one.file, one.row) for one in documents]
    for document, (file, row) in zip(documents, origins[1:] + origins[:1], strict=True):
        document.file, document.row = file, row


@forgery("source files", "store manifest")
def an_input_file_renamed_with_all_its_provenance(mix: ForgedMix) -> None:
    file = mix.manifest["inputs"]["extra"][0]
    for document in mix.of("extra"):
        if document.file == file["path"]:
            document.file = "renamed.jsonl.gz"
    file["path"] = "renamed.jsonl.gz"


# ---- the manifest alone: what decides no byte


@forgery("store manifest")
def another_licence(mix: ForgedMix) -> None:
    for source in mix.manifest["sources"]:
        source["licence"] = "MIT"


@forgery("store manifest")
def another_purpose(mix: ForgedMix) -> None:
    mix.source("b")["non_commercial"] = True


@forgery("store manifest")
def other_published_figures(mix: ForgedMix) -> None:
    mix.manifest["published"]["documents"] = 109


@forgery("store manifest")
def published_figures_left_out(mix: ForgedMix) -> None:
    mix.manifest["published"] = {}


@forgery("store manifest")
def a_commit_that_was_never_read(mix: ForgedMix) -> None:
    mix.manifest["revisions"] = {"b": "owner/name@" + "0" * 40}


@forgery("recipe", "store manifest")
def a_repository_that_is_not_that_of_the_definition(mix: ForgedMix) -> None:
    mix.manifest["revisions"] = {"b": "other/name@" + "0" * 40}


@forgery("recipe", "store manifest")
def more_bad_rows_allowed(mix: ForgedMix) -> None:
    mix.manifest["recipe"]["max_quarantined"] = "5"
    reseal_recipe(mix)


@forgery("store manifest")
def a_budget_that_was_not_asked_for(mix: ForgedMix) -> None:
    mix.manifest["recipe"]["budget"] = {"tokens": 3400}
    reseal_recipe(mix)


@forgery("store manifest")
def more_epochs_allowed(mix: ForgedMix) -> None:
    _asked(mix, "a")["shortfall"] = {"repeat": 12}
    reseal_recipe(mix)


@forgery("store manifest")
def another_name(mix: ForgedMix) -> None:
    mix.manifest["name"] = mix.manifest["recipe"]["name"] = "mox"
    reseal_recipe(mix)


@forgery("store manifest")
def other_paths_of_a_source(mix: ForgedMix) -> None:
    _asked(mix, "b")["definition"]["paths"] = ["other/*"]
    reseal_recipe(mix)


@forgery("source files", "store manifest")
def another_adapter(mix: ForgedMix) -> None:
    _asked(mix, "b")["definition"]["adapter"] = "flan"
    reseal_recipe(mix)


@forgery("store manifest")
def a_field_of_the_recipe_that_no_recipe_has(mix: ForgedMix) -> None:
    mix.manifest["recipe"]["checked_by"] = "somebody"
    reseal_recipe(mix)


@forgery("store manifest")
def a_size_that_was_not_given(mix: ForgedMix) -> None:
    mix.manifest["size"] = {"scale": "1"}


@forgery("recipe", "store manifest")
def a_larger_vocabulary(mix: ForgedMix) -> None:
    mix.manifest["tokenizer"]["vocab_size"] = 2048


@forgery(REFUSED)
def a_tokenizer_of_another_name(mix: ForgedMix) -> None:
    mix.manifest["tokenizer"]["name"] = mix.manifest["recipe"]["tokenizer"]["name"] = "other"
    reseal_recipe(mix)


@forgery("store manifest")
def special_strings_said_to_be_parsed(mix: ForgedMix) -> None:
    mix.manifest["tokenizer"]["special_tokens"] = "parse"
    mix.manifest["recipe"]["special_tokens"] = "parse"
    reseal_recipe(mix)


@forgery("store manifest")
def other_chunks(mix: ForgedMix) -> None:
    mix.manifest["layout"]["chunk_tokens"] = 256


@forgery(REFUSED)
def a_field_that_no_manifest_has(mix: ForgedMix) -> None:
    mix.manifest["checked_by"] = "somebody"


@forgery(REFUSED)
def a_field_that_no_source_has(mix: ForgedMix) -> None:
    mix.source("b")["note"] = "reviewed"


@forgery(REFUSED)
def a_report_of_evaluation_sets_that_is_none(mix: ForgedMix) -> None:
    mix.manifest["contamination"] = {"checked": "yes"}


@forgery("contamination", "store manifest", "store removals")
def documents_said_to_be_found_in_evaluation_sets(mix: ForgedMix) -> None:
    counts = mix.manifest["removed"]["b"]
    counts["beyond quota"] -= 4
    counts["contaminated"] = 4


# ---- the manifest alone: what is counted


@forgery("store manifest", "store removals")
def a_count_moved_from_one_reason_to_another(mix: ForgedMix) -> None:
    counts = mix.manifest["removed"]["b"]
    counts["beyond quota"] -= 3
    counts["empty"] += 3


@forgery("store manifest", "store removals")
def rows_that_were_never_read(mix: ForgedMix) -> None:
    counts = mix.manifest["removed"]["b"]
    counts["rows"] += 3
    counts["quarantined"] += 3


@forgery("filters", "store manifest", "store removals", "store filters")
def a_filter_that_removed_more(mix: ForgedMix) -> None:
    counts, figures = mix.manifest["removed"]["b"], mix.manifest["filters"][0]["removed"]["b"]
    counts["filter toy weak"] += 1
    counts["beyond quota"] -= 1
    for name in ("documents", "first_documents"):
        figures[name] += 1


@forgery("store manifest", "store filters")
def tokens_that_a_filter_removed(mix: ForgedMix) -> None:
    figures = mix.manifest["filters"][0]["removed"]["b"]
    figures["tokens"] += 9
    figures["first_tokens"] += 9


@forgery("store manifest", "store filters")
def scores_of_another_run(mix: ForgedMix) -> None:
    mix.manifest["filters"][0]["scores"]["blake3"] = "0" * 64


@forgery("store manifest", "store filters")
def more_documents_scored(mix: ForgedMix) -> None:
    mix.manifest["filters"][0]["scores"]["documents"] += 1


@forgery("store manifest", "store near-duplicates")
def more_documents_searched_for_near_duplicates(mix: ForgedMix) -> None:
    mix.manifest["near"]["documents"] += 1


@forgery("near-duplicates", "store manifest", "store near-duplicates")
def clusters_of_other_sizes(mix: ForgedMix) -> None:
    for cluster in mix.manifest["near"]["largest"][:2]:
        cluster["documents"] = 6


@forgery("store manifest", "store removals")
def near_duplicates_of_another_source(mix: ForgedMix) -> None:
    counts = mix.manifest["removed"]["b"]
    counts["near-duplicate of a"] -= 1
    counts["near-duplicate of b"] += 1


@forgery("source files", "store manifest")
def an_input_with_another_hash(mix: ForgedMix) -> None:
    mix.manifest["inputs"]["b"][0]["sha256"] = "0" * 64


@forgery("store manifest")
def an_input_of_another_size(mix: ForgedMix) -> None:
    mix.manifest["inputs"]["b"][0]["size"] += 1


@forgery("store manifest")
def an_input_that_was_never_read(mix: ForgedMix) -> None:
    more = {"path": "part-999.jsonl.gz", "size": 10, "sha256": "0" * 64}
    mix.manifest["inputs"]["b"].append(more)


@forgery("provenance", "source files", "store manifest")
def an_input_left_out(mix: ForgedMix) -> None:
    used = {one.file for one in mix.of("b")}
    files = mix.manifest["inputs"]["b"]
    files.remove(next((one for one in files if one["path"] not in used), files[-1]))


@forgery("prefix bound", "store manifest")
def a_shorter_longest_document(mix: ForgedMix) -> None:
    mix.source("b")["longest_tokens"] -= 1


@forgery("prefix bound")
def a_smaller_deviation(mix: ForgedMix) -> None:
    mix.source("b")["deviation"]["measured_tokens"] -= 1


@forgery("prefix bound")
def a_larger_bound(mix: ForgedMix) -> None:
    mix.source("b")["deviation"]["bound_tokens"] += 1


@forgery("recipe", "store manifest")
def a_recipe_excluded_that_was_not(mix: ForgedMix) -> None:
    keys = ["0", "1000000000000000"]
    mix.manifest["excluded"] = [{"recipe": "other", "source": "b", "definition": "b", "keys": keys}]


@forgery("store manifest", "store near-duplicates")
def a_narrower_key_range(mix: ForgedMix) -> None:
    for source in mix.manifest["sources"]:
        if source["name"] == "b":
            source["keys"] = ["0", "fff0000000000000"]
    _asked(mix, "b")["keys"] = ["0", "0.999755859375"]
    reseal_recipe(mix)


@forgery("recipe", "store manifest")
def quotas_moved_between_asked_and_given(mix: ForgedMix) -> None:
    one, two = mix.source("a"), mix.source("b")
    one["asked_tokens"] += 7
    two["asked_tokens"] -= 7
    one["refilled"] = {"b": 7}
    _asked(mix, "a")["tokens"] += 7
    _asked(mix, "b")["tokens"] -= 7
    _asked(mix, "a")["shortfall"] = {"refill_from": "b"}
    reseal_recipe(mix)


def table() -> str:
    """FORGERIES.md: `python -m tests.pipeline.commands.audit.forgeries > FORGERIES.md`, beside
    this file.
    """
    inside = "mix alone", "store", "sources"

    def kind(check: str) -> str:
        return next((one for one in ("store", "source") if check.startswith(f"{one} ")), "mix")

    lines = [
        "# Forgeries",
        "",
        "One mix (copies, a filter, near-duplicates, an insert, a source in two epochs) is",
        "changed, and every hash, the identity and the digest are made anew. What an audit with",
        "`--full`, `--store` and `--source-check` sees; `refused`: it ends with an error that",
        "names the place. No forgery passes.",
        "",
        f"| | forgery | {' | '.join(inside)} |",
        "|---|---|---|---|---|",
    ]
    for number, case in enumerate(CASES, 1):
        cells = {"mix": "", "store": "", "source": ""}
        for check in case.seen_by:
            cells[kind(check)] += f"{', ' if cells[kind(check)] else ''}{check}"
        lines.append(f"| {number} | {case.name} | {' | '.join(cells.values())} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
