"""The documents of each source of the sample, in the fields and the shapes of the published
corpora.

Counts and lengths are scaled to a mix of 200,000 tokens: the four large sources have more than
their quota, Wikipedia and Camel biology have less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from tests.sample.corpus import Record, SampleFile
from tests.sample.prose import Draw, Writer

ADDED = "2024-11-22T00:00:00.000Z"
WARC_FIELDS = (
    "Content-Length Content-Type WARC-Block-Digest WARC-Concurrent-To WARC-Date WARC-IP-Address"
    " WARC-Identified-Payload-Type WARC-Payload-Digest WARC-Record-ID WARC-Target-URI"
    " WARC-Truncated WARC-Type WARC-Warcinfo-ID"
).split()
_INSTRUCTIONS = (
    "Question: {q}\nAnswer briefly.\n\n{a}",
    "{q} Let us think it through. {a}",
    "Read the text and answer.\n\n{t}\n\n{q}\n\n{a}",
    "Write one sentence about the {n}.\n\n{a}",
    "{t}\nBased on this, is the following true?\n{a}\nOPTIONS:\n- yes\n- no\n\n{yes}",
    "Continue the list: {n}, {n}, {n}\n\n{n}, {n}",
    "Translate into plain English: {t}\n{a}",
)
_BIOLOGY = "leaf root seed cell muscle bone nerve fruit spider trout otter heron".split()
_CHEMISTRY = "solvent alloy polymer crystal mixture solution catalyst salt metal reaction".split()
_PHYSICS = "pendulum magnet lens spring photon wave prism battery piston satellite".split()


def dclm_row(text: str, url: str) -> dict[str, Any]:
    """Return a row of DCLM with the columns as published; scores are placeholders derived from the
    text.
    """
    score = (
        int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=4).digest(), "big")
        % 981_900
        + 18_100
    )
    return {
        "bff_contained_ngram_count_before_dedupe": 0,
        "language_id_whole_page_fasttext": {"en": 0.9 + (score % 1000) / 10_000},
        "metadata": {name: url if name == "WARC-Target-URI" else None for name in WARC_FIELDS},
        "previous_word_count": text.count(" ") + 1,
        "text": text,
        "url": url,
        "warcinfo": "",
        "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob": score / 1_000_000,
    }


def dolmino_row(
    source: str, key: str, text: str, metadata: dict[str, Any], kind: str | None = None
) -> dict[str, Any]:
    """Return a row of dolmino: id, text, source, added, created, version, metadata."""
    return {
        "id": key,
        "text": text,
        "source": kind or source,
        "added": ADDED,
        "created": ADDED,
        "version": "v0",
        "metadata": metadata,
    }


def _dclm(writer: Writer, number: int) -> dict[str, Any]:
    writer.start_topic()
    title = writer.title()
    text = title + "\n" + writer.paragraphs(writer.draw.length(80))
    slug = "-".join(title.lower().split())
    return dclm_row(
        text,
        f"https://{writer.place().lower()}.example"
        f"/{writer.draw.between(1998, 2022)}/{slug}-{number}",
    )


def _flan(writer: Writer, number: int) -> dict[str, Any]:
    writer.start_topic()
    template = writer.draw.below(len(_INSTRUCTIONS))
    text = _INSTRUCTIONS[template]
    parts: dict[str, Callable[[], str]] = {
        "q": lambda: writer.fill("Why does the {A} {N} {V} the {N} of {P}?"),
        "a": lambda: " ".join(writer.sentences(writer.draw.length(6))),
        "t": lambda: " ".join(writer.sentences(writer.draw.length(12))),
        "n": writer.noun,
        "yes": lambda: writer.draw.pick(("yes", "no")),
    }
    for name, part in parts.items():
        while "{" + name + "}" in text:
            text = text.replace("{" + name + "}", part(), 1)
    return dolmino_row(
        "flan",
        f"flan-sample-{number}",
        text,
        {"task": "sample", "template_idx": template, "shots": "zs"},
    )


def _stackexchange(writer: Writer, number: int) -> dict[str, Any]:
    writer.start_topic()
    title = writer.fill(
        writer.draw.pick(
            ("How do I {V} a {A} {N}?", "Why do {Ns} {V} the {N}?", "Can a {N} {V} two {Ns}?")
        )
    )
    answers = writer.draw.between(1, 3)
    body = [writer.paragraphs(writer.draw.length(15)) for _ in range(answers + 1)]
    metadata = {
        "site": "sample.example",
        "question_id": str(number),
        "score": writer.draw.below(40),
        "n_answers": answers,
    }
    return dolmino_row(
        "stackexchange", f"sample.example/{number}", "\n\n".join([title, *body]), metadata
    )


def _pes2o(writer: Writer, number: int) -> dict[str, Any]:
    writer.start_topic()
    title = writer.fill(
        writer.draw.pick(
            ("The {S} of {A} {Ns}", "{A} {Ns} and the {S}: a {A} model", "On the {N} of {P}")
        )
    )
    opening = writer.fill("We {V} the {S} of {D} {A} {Ns} in {P} in {Y}.")
    abstract = " ".join(
        [
            opening,
            *writer.sentences(writer.draw.length(35)),
            writer.fill("The {N} was {A} (n = {D}, p < 0.05)."),
        ]
    )
    year = writer.draw.between(1975, 2022)
    return dolmino_row(
        "pes2o",
        str(10_000_019 + 7 * number),
        f"{title}\n\n{abstract}",
        {"year": year, "fields": None},
        "s2ag/train",
    )


def _wiki(writer: Writer, number: int) -> dict[str, Any]:
    writer.start_topic()
    place = writer.place()
    text = (
        f"{place}\n\n"
        + writer.fill(
            place + " is a {A} village in the {A} part of {P}, known for its {C} and its {Ns}."
        )
        + "\n\n"
    )
    text += writer.paragraphs(writer.draw.length(36), "\n\n")
    if writer.draw.one_in(2):
        text += "\n\n History\n" + writer.paragraphs(writer.draw.length(30))
    return dolmino_row(
        "wiki", str(number), text, {"title": place, "url": f"https://wiki.example/{place}"}
    )


def _camel(writer: Writer, role: str, topics: list[str], number: int) -> dict[str, Any]:
    """Return a problem of Camel; the published files spell the key `topic;` with a semicolon."""
    writer.start_topic()
    topic = topics[number % len(topics)]
    question = writer.fill(
        f"How does the {{A}} {topic} {{V}} the {{N}}, and why does a {{N}} matter to it?"
    )
    answer = writer.fill(f"The {topic} {{Vs}} the {{A}} {{N}}. ") + " ".join(
        writer.sentences(writer.draw.length(22))
    )
    return {
        "role_1": f"{role}_RoleType.ASSISTANT",
        "topic;": topic.title(),
        "sub_topic": f"{topic.title()} in {writer.place()}",
        "message_1": question,
        "message_2": answer,
    }


def _files(source: str, paths: list[str], rows: list[dict[str, Any]]) -> list[SampleFile]:
    """Deal the rows to the files in consecutive runs."""
    share = -(-len(rows) // len(paths))
    return [
        SampleFile(source, path, [Record(row) for row in rows[i * share : (i + 1) * share]])
        for i, path in enumerate(paths)
    ]


def make_sources(seed: int) -> list[SampleFile]:
    """Return every source's files, before anything is planted. Each source has its own draws, so
    none depends on another's size.
    """
    files: list[SampleFile] = []
    shards = [
        f"data/global-shard_01_of_10/local-shard_0_of_10/shard_{i:08d}_processed.parquet"
        for i in range(3)
    ]
    dclm = Writer(Draw(seed * 100))
    files += _files("dclm-dedup", shards, [_dclm(dclm, i) for i in range(2250)])
    baseline = "global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl.zst"
    shared = [record.value for record in files[0].records[:120]]
    files += _files(
        "dclm-baseline", [baseline], [dict(row) for row in shared if isinstance(row, dict)]
    )
    dolmino = (
        ("flan", _flan, 1000, 2),
        ("stackexchange", _stackexchange, 130, 1),
        ("pes2o", _pes2o, 640, 2),
        ("wiki", _wiki, 57, 1),
    )
    for index, (name, make, count, parts) in enumerate(dolmino, start=1):
        writer = Writer(Draw(seed * 100 + index))
        paths = [f"{name}-{part:04d}.json.gz" for part in range(parts)]
        files += _files(f"dolmino-{name}", paths, [make(writer, i) for i in range(count)])
    camel = (
        ("biology", "Biologist", _BIOLOGY, 8),
        ("chemistry", "Chemist", _CHEMISTRY, 24),
        ("physics", "Physicist", _PHYSICS, 24),
    )
    for index, (name, role, topics, count) in enumerate(camel, start=10):
        writer = Writer(Draw(seed * 100 + index))
        files += _files(
            f"camel-{name}",
            [f"{name}.zip"],
            [_camel(writer, role, topics, i) for i in range(count)],
        )
    return files
