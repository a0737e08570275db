"""What a trainer reads in a step, told through the files of a built mix, is what the trainer's own
loops read of them.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.mix.training import Training
from pipeline.commands.trace.steps import StepQuestion, trace_steps
from tests.mixtures.trainers import original_order
from tests.mixtures.trainers.original_order import Token
from tests.pipeline import command_line
from tests.pipeline.corpus import (
    Document,
    make,
    prose,
    read_mix,
    sharded,
    tokenizer,
    write_files,
    write_recipe,
)

BATCH, SEQUENCE, SEED = 3, 16, 1234
SOURCES: dict[str, dict[str, Any]] = {
    "a": {"tokens": 300, "shortfall": {"repeat": 9}},
    "b": {"tokens": 1200},
}
# Steps asked for: of one epoch, and of several, which GPT-NeoX pools and megatron-core pools (60)
# or keeps the last apart (40).
STEPS = {"neox": (30, 71), "megatron": (30, 60, 40), "file-order": (None,)}
TRAININGS = [(trainer, steps) for trainer, all_steps in STEPS.items() for steps in all_steps]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("steps")
    for seed, (name, count) in enumerate((("a", 8), ("b", 80))):
        write_files(work / "data", name, sharded(prose(seed, count), 3))
    make(write_recipe(work, SOURCES), work, work / "data")
    return work / "out"


def own_loops(trainer: str, documents: list[Document], steps: int | None) -> list[list[Token]]:
    """What every sample reads, and its last label."""
    sizes = [document.num_tokens for document in documents]
    if steps is None:
        stream = [(position, token) for position, size in enumerate(sizes) for token in range(size)]
        return [stream[at : at + SEQUENCE + 1] for at in range(0, len(stream) - SEQUENCE, SEQUENCE)]
    loops = original_order.neox if trainer == "neox" else original_order.megatron
    return loops(sizes, SEQUENCE, steps * BATCH, SEED)


def training(trainer: Any, steps: int | None) -> Training:
    return Training(trainer, SEED, BATCH, SEQUENCE, steps)


def by_source(documents: list[Document], read: Counter[int]) -> list[dict[str, Any]]:
    """The figures of both sources, counted token by token."""
    figures = []
    for name in SOURCES:
        mine = {
            position: count
            for position, count in read.items()
            if documents[position].source == name
        }
        epochs: Counter[str] = Counter()
        for position, count in mine.items():
            epochs[str(documents[position].epoch)] += count
        figures.append(
            {
                "name": name,
                "documents": len(mine),
                "tokens": sum(mine.values()),
                "epochs": dict(epochs),
            }
        )
    return figures


def told(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: source[name] for name in ("name", "documents", "tokens", "epochs")}
        for source in answer["sources"]
    ]


@pytest.mark.parametrize(("trainer", "steps"), TRAININGS)
def test_every_step_and_sample_reads_what_the_trainers_own_loops_read(mix, trainer, steps):
    documents = read_mix(mix)
    samples = own_loops(trainer, documents, steps)
    made = min(len(samples), (steps or len(samples)) * BATCH) // BATCH
    for step in range(made):
        answer = trace_steps(
            StepQuestion(
                mix=mix,
                training=training(trainer, steps),
                first_step=step,
                last_step=step + 1,
                spans=True,
            )
        ).as_json()
        batch = samples[step * BATCH : (step + 1) * BATCH]
        found: list[list[Token]] = [[] for _ in range(BATCH)]
        for span in answer["spans"]:
            said, document = span["document"], documents[span["document"]["position"]]
            assert (said["source"], said["file"], said["row"], said["digest"]) == (
                document.source,
                document.file,
                document.row,
                document.digest,
            )
            assert (said["epoch"], said["cut"], said["num_tokens"]) == (
                document.epoch,
                document.cut,
                document.num_tokens,
            )
            assert span["token"] == said["first_token"] + span["offset"]
            found[span["sample"]] += [
                (said["position"], span["offset"] + token) for token in range(span["num_tokens"])
            ]
        assert found == [text[:-1] for text in batch]
        assert told(answer) == by_source(
            documents, Counter(position for text in batch for position, _ in text[:-1])
        )
    assert answer["training"]["steps"] == made
    with_sample = trace_steps(
        StepQuestion(
            mix=mix,
            training=training(trainer, steps),
            first_step=made - 1,
            last_step=made,
            sample=BATCH - 1,
            spans=True,
        )
    ).as_json()
    label = with_sample["label"]
    assert (label["position"], label["offset"]) == batch[-1][-1]
    with_last = [span for span in answer["spans"] if span["sample"] == BATCH - 1]
    assert with_sample["spans"] == with_last


@pytest.mark.parametrize(("trainer", "steps"), TRAININGS)
def test_figures_between_two_saves_are_the_sums_of_their_steps(mix, trainer, steps, tmp_path):
    documents, samples = read_mix(mix), own_loops(trainer, read_mix(mix), steps)
    answer = trace_steps(
        StepQuestion(
            mix=mix,
            training=training(trainer, steps),
            first_step=10,
            last_step=25,
            listing=tmp_path / "list",
        )
    ).as_json()
    read = Counter(
        position for text in samples[10 * BATCH : 25 * BATCH] for position, _ in text[:-1]
    )
    assert told(answer) == by_source(documents, read)
    assert (answer["tokens"], answer["documents"]) == (15 * BATCH * SEQUENCE, len(read))
    lines = [json.loads(line) for line in (tmp_path / "list").read_text().splitlines()]
    assert {line["position"]: line["tokens_read"] for line in lines} == read
    assert [line["position"] for line in lines] == sorted(read)
    assert [line["digest"] for line in lines] == [
        documents[position].digest for position in sorted(read)
    ]
    assert stat.S_IMODE((tmp_path / "list").stat().st_mode) == 0o600


def value_at(value: int | tuple[tuple[int, int], ...], step: int) -> int:
    if isinstance(value, int):
        return value
    return [one for begin, one in value if begin <= step][-1]


@pytest.mark.parametrize(
    ("trainer", "batch", "sequence", "samples"),
    [
        ("neox", ((0, 2), (7, 3), (11, 1)), 16, None),  # passes samples over, then reads some again
        ("megatron", ((0, 2), (7, 3), (11, 1)), 16, None),
        ("megatron", ((0, 2), (7, 3)), 16, 70),
        ("neox", 2, ((0, 16), (8, 24)), None),
        ("megatron", ((0, 2), (9, 4)), ((0, 16), (8, 24)), None),
    ],
)
def test_each_phase_reads_its_own_order_from_where_its_trainer_goes_on(
    mix, trainer, batch, sequence, samples
):
    """The steps of a training whose batch or sequence length changes, one by one, beside what the
    trainer's loops read that are started again at every change.
    """
    documents, steps = read_mix(mix), 20
    sizes = [document.num_tokens for document in documents]
    loops = original_order.neox if trainer == "neox" else original_order.megatron
    asked = Training(trainer, SEED, batch, sequence, None if samples else steps, samples)
    consumed, counted = 0, Counter[int]()
    for step in range(steps):
        size, length = value_at(batch, step), value_at(sequence, step)
        order = loops(sizes, length, samples or steps * size, SEED)
        first = step * size if trainer == "neox" else consumed
        consumed += size
        answer = trace_steps(
            StepQuestion(mix=mix, training=asked, first_step=step, last_step=step + 1, spans=True)
        ).as_json()
        found: list[list[Token]] = [[] for _ in range(size)]
        for span in answer["spans"]:
            position, offset = span["document"]["position"], span["offset"]
            found[span["sample"]] += [
                (position, offset + token) for token in range(span["num_tokens"])
            ]
        assert found == [text[:-1] for text in order[first : first + size]], step
        assert answer["samples"] == [first, first + size - 1]
        counted.update(position for text in found for position, _ in text)
    whole = trace_steps(
        StepQuestion(mix=mix, training=asked, first_step=0, last_step=steps)
    ).as_json()
    assert told(whole) == by_source(documents, counted)


def test_changes_that_no_training_makes_are_refused(mix):
    neox = ("trace", mix, "--step", "4", "--trainer", "neox", "--sequence", "16")
    refused = {
        ("--batch", "2,3"): "from which step",
        ("--batch", "2,3@0"): "above 0",
        ("--batch", "2,3@9,4@9"): "do not rise",
        ("--batch", "2,0@9"): "above 0",
        ("--batch", "2,3@9"): "--steps",
        ("--batch", "2,3@50", "--steps", "30"): "makes 30 steps; there is no step 50",
        ("--batch", "2,3@30", "--steps", "30"): "no step 30",
        ("--batch", "2,3@10,4@60", "--samples", "90"): "no step 60",
    }
    for words, why in refused.items():
        assert why in command_line.fails(2, *neox, *words), words
    in_file = ("--trainer", "file-order", "--batch", "2", "--sequence", "16,24@3")
    assert "file-order" in command_line.fails(2, "trace", mix, "--step", "1", *in_file)
    ramp = command_line.passes(
        *neox[:-4], "--trainer", "megatron", "--sequence", "16", "--batch", "2,3@3", "--steps", "30"
    ).out
    assert "steps 0 to 2 from sample 0 on, batches of 2 x 16 tokens" in ramp
    assert "steps 3 to 29 from sample 6 on, batches of 3 x 16 tokens" in ramp


def trace(mix: Path, *words: Any) -> tuple[Any, ...]:
    return ("trace", mix, *map(str, words), "--batch", str(BATCH), "--sequence", str(SEQUENCE))


def test_the_command_answers_for_steps_samples_and_saves(mix, tmp_path):
    step = command_line.passes(*trace(mix, "--step", 4, "--trainer", "neox", "--json")).answer
    same = trace_steps(
        StepQuestion(
            mix=mix,
            training=Training("neox", 1234, BATCH, SEQUENCE),
            first_step=4,
            last_step=5,
            spans=True,
        )
    ).as_json()
    assert step == same
    assert step["training"]["inferred"] is True
    other = command_line.passes(
        *trace(mix, "--step", 4, "--trainer", "neox", "--seed", 7, "--json")
    ).answer
    assert other["spans"] != step["spans"]
    save = command_line.passes(
        *trace(
            mix,
            "--checkpoint",
            25,
            "--interval",
            10,
            "--trainer",
            "megatron",
            "--steps",
            30,
            "--json",
        )
    ).answer
    assert (save["steps"], "spans" in save) == ([20, 24], False)
    first = command_line.passes(
        *trace(
            mix,
            "--checkpoint",
            20,
            "--interval",
            10,
            "--trainer",
            "megatron",
            "--samples",
            90,
            "--json",
        )
    ).answer
    assert first["steps"] == [10, 19]
    whole = command_line.passes(
        *trace(mix, "--checkpoint", 25, "--trainer", "file-order", "--list", tmp_path / "l")
    )
    assert "steps 0 to 24" in whole.out
    assert (tmp_path / "l").exists()


def test_text_is_shown_when_asked_for_and_is_that_of_the_stretch_alone(mix):
    words = trace(mix, "--step", 4, "--sample", 1, "--trainer", "neox")
    spans = command_line.passes(*words, "--show-text", "--json").answer["spans"]
    documents, reader = read_mix(mix), tokenizer()
    for span in spans:
        ids = reader.encode(documents[span["document"]["position"]].text).ids[
            span["offset"] : span["offset"] + span["num_tokens"]
        ]
        assert span["text"] == reader.decode(ids, skip_special_tokens=False)
    assert any(span["text"] for span in spans)
    shown = next(line for line in spans[0]["text"].splitlines() if line)
    assert shown in command_line.passes(*words, "--show-text").out
    assert shown not in command_line.passes(*words).out
    assert all("text" not in span for span in command_line.passes(*words, "--json").answer["spans"])


def test_nonsense_is_refused_with_what_there_is(mix, tmp_path):
    neox, kept = ("--trainer", "neox"), tmp_path / "kept"
    kept.write_text("mine")
    refused = {
        ("--step", 4): "--trainer",
        ("--step", 31, *neox): "0 to 29",
        ("--step", 4, "--sample", BATCH, *neox): f"0 to {BATCH - 1}",
        ("--step", 4, "--interval", 5, *neox): "--interval",
        ("--checkpoint", 4, "--sample", 1, *neox): "--sample",
        ("--checkpoint", 4, "--show-text", *neox): "--show-text",
        ("--checkpoint", 4, "--list", kept, *neox): "exists",
        ("--checkpoint", 4, "--list", tmp_path / "nowhere" / "list", *neox): "cannot be made",
        ("--step", 4, "--store", tmp_path, *neox): "--store",
        ("--step", 4, "--trainer", "file-order", "--seed", 1): "--seed",
        ("--step", 4, "--seed", 1 << 32, *neox): "2^32",
        ("--step", 0, "--samples", 1 << 62, *neox): "can be numbered",
        ("--checkpoint", 0, *neox): "above 0",
        ("--token", 4): "--batch, --sequence: only with",
    }
    for words, why in refused.items():
        assert why in command_line.fails(2, *trace(mix, *words)), words
    assert kept.read_text() == "mine"
    unsized = ("trace", mix, "--step", "0", *neox)
    assert "--steps" in command_line.fails(2, *unsized)
    assert "makes 0 steps" in command_line.fails(
        2, "trace", mix, "--step", "0", "--trainer", "file-order"
    )


def test_tables_that_disagree_with_the_manifest_are_noticed(mix, tmp_path):
    one, two = (mix / "documents.parquet" / f"part-{number:05d}.parquet" for number in (0, 1))
    table = pq.read_table(one)
    renamed = table.set_column(3, "source", pa.array(["z"] * len(table)))
    copied = table.set_column(6, "copy", pa.array([7] * len(table), pa.uint16()))
    for number, damaged in enumerate((renamed, copied, table.slice(1), pq.read_table(two))):
        folder = tmp_path / str(number)
        shutil.copytree(mix, folder)
        pq.write_table(damaged, folder / "documents.parquet" / one.name, use_dictionary=["source"])
        assert str(folder) in command_line.fails(
            6, *trace(folder, "--step", 0, "--trainer", "file-order")
        )


def test_a_list_that_cannot_be_finished_is_no_file(mix, tmp_path):
    folder = shutil.copytree(mix, tmp_path / "damaged")
    part = folder / "provenance.parquet" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).slice(0, 1), part)
    words = ("--checkpoint", 5, "--trainer", "file-order", "--list", tmp_path / "list")
    assert str(part) in command_line.fails(6, *trace(folder, *words))
    assert not (tmp_path / "list").exists()


def test_sizes_that_do_not_make_up_the_tokens_are_noticed(mix, tmp_path):
    for number, size in enumerate((1, 0)):
        folder = tmp_path / str(number)
        shutil.copytree(mix, folder)
        with (folder / "tokens.idx").open("r+b") as file:
            file.seek(34)
            file.write(size.to_bytes(4, "little"))
        assert "sizes in tokens.idx" in command_line.fails(
            6, *trace(folder, "--step", 0, "--trainer", "neox")
        )


def test_a_mix_is_read_at_the_steps_that_its_recipe_budgets(mix):
    work, budget = mix.parent, {"steps": 5, "batch": BATCH, "sequence": SEQUENCE}
    sources = {"a": {"weight": 1}, "b": {"weight": 9}}
    make(
        write_recipe(work, sources, name="budgeted", budget=budget),
        work,
        work / "data",
        out="budgeted",
    )
    for trainer in ("megatron", "neox"):
        answer = command_line.passes(
            "trace", work / "budgeted", "--checkpoint", "4", "--trainer", trainer, "--json"
        ).answer["training"]
        assert (answer["steps"], answer["batch"], answer["sequence"], answer["samples_asked"]) == (
            5,
            BATCH,
            SEQUENCE,
            5 * BATCH,
        )


def test_the_last_step_of_neox_is_missing_where_the_mix_holds_it_exactly(mix):
    """Its loader serves a sequence fewer than it builds (gpt-neox issue 972): 1,500 tokens are 93
    sequences, of which 92 are served.
    """
    for trainer, steps in (("neox", 30), ("megatron", 31)):
        answer = trace_steps(
            StepQuestion(mix=mix, training=training(trainer, 31), first_step=0, last_step=1)
        ).as_json()
        assert (answer["training"]["steps"], answer["training"]["epochs"]) == (steps, 1)
