"""A masked arm is its base, byte by byte, and says of each token of a flagged document, or of each
that spells a term in one, that it is no target: to the audit, and to the trainers that have an
input for it.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

import recipes
from mixtures.audit import audit_mix
from mixtures.errors import RecipeError, SupplyError
from mixtures.keys import content_of
from mixtures.words import percent_text
from pipeline.commands.export.html.page import page
from pipeline.tokens.decoder import Decoder
from tests.mixtures.recipe.tokenizer.test_request import with_specials
from tests.pipeline.arms.studies import (
    ARMS,
    DONORS,
    hold_audits,
    make_study,
    read_rows,
    texts,
    write_study,
)
from tests.pipeline.command_line import fails, passes, run
from tests.pipeline.corpus import sharded, tokenizer, write_files
from tests.pipeline.planted import digest, oracles, write_list_filter
from tests.pipeline.tokens.test_families import family

MASKS = {
    "masked": {**ARMS["strong"], "fill": "mask"},
    "half": {**ARMS["half"], "fill": "mask"},
    "terms": {**ARMS["strong"], "fill": "mask-terms"},
    "few-terms": {"remove": {**ARMS["half"]["remove"], "level": "weak"}, "fill": "mask-terms"},
}
REFERENCE = tokenizer()
SIZE = ["--sequence", "32", "--batch", "4"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"strong": ARMS["strong"], **MASKS}
    return write_study(tmp_path_factory.mktemp("masks"), arms=arms)


def no_targets(study: Path, arm: str) -> npt.NDArray[np.bool_]:
    """Which tokens of the base are of a document that the filter flags, or spell one of its terms
    there, by the filter's own rule.
    """
    (oracle,) = oracles(study.parent / "filters", [MASKS[arm]["remove"]])
    documents = [text for named in texts().values() for text in named]
    condemned = {digest(text) for text in oracle.removed(documents)}
    rows = read_rows(study.parent / "out" / "base")
    if MASKS[arm]["fill"] == "mask":
        return np.concatenate([np.full(len(row.ids), row.digest in condemned) for row in rows])
    return np.concatenate(
        [
            in_terms(row.ids, oracle.terms)
            if row.digest in condemned
            else np.zeros(len(row.ids), np.bool_)
            for row in rows
        ]
    )


def in_terms(ids: Sequence[int], terms: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which tokens of a document spell a part of a term, each as the reference library has it: its
    texts are ASCII.
    """
    pieces = [REFERENCE.decode([one]) for one in ids[:-1]]
    text, ends = "".join(pieces), list(accumulate(map(len, pieces)))
    inside = {
        at
        for term in terms
        for one in re.finditer(rf"\b{term}\b", text)
        for at in range(*one.span())
    }
    found = [
        not inside.isdisjoint(range(end - len(piece), end))
        for end, piece in zip(ends, pieces, strict=True)
    ]
    return np.array([*found, False])


@pytest.mark.parametrize("arm", MASKS)
def test_a_masked_arm_is_its_base_and_runs_that_are_no_targets(study, built, arm):
    base, mix = (study.parent / "out" / name for name in ("base", arm))
    names = sorted(path.relative_to(base) for path in base.rglob("*") if path.is_file())
    for name in names:
        if name.name != "build.json":
            same = (base / name).read_bytes() == (mix / name).read_bytes()
            assert same == (name.name != "manifest.json"), name
    runs = pq.read_table(mix / "mask.parquet").to_pylist()
    found = np.zeros(built["base"]["total_tokens"], np.bool_)
    for one in runs:
        found[one["start"] : one["start"] + one["length"]] = True
    np.testing.assert_array_equal(found, no_targets(study, arm))
    assert 0 < found.sum() < len(found)


def test_masked_arms_have_the_stream_of_the_base_and_a_mix_id_of_their_own(study, built):
    identities = {built[name]["identity"] for name in ("base", *MASKS)}
    assert len(identities) == 1
    assert len({manifest["mix_id"] for manifest in built.values()}) == len(built)


@pytest.mark.parametrize("arm", ["masked", "terms"])
def test_a_mask_is_not_told_as_a_removal(study, built, arm):
    out = study.parent / "out"
    tokens = f"{int(no_targets(study, arm).sum()):,}"
    said = passes("diff", out / "base", out / arm).out
    assert f"B masks {tokens} tokens: they are read, and no targets" in said
    audited = passes("audit", out / arm).out
    assert "flagged by filters: in the mix, and masked there" in audited
    assert "removed by filters" not in audited
    shown = page(out / arm, None, None, 0)
    assert f"{tokens} tokens are no targets" in shown
    assert "removed by" not in shown.replace("removed by a filter", "")
    assert "annealmix build study.yaml" in shown


@pytest.mark.parametrize("arm", ["strong", *MASKS])
def test_masked_and_filled_arms_pass_their_audit_beside_each_other(study, built, arm):
    hold_audits(study.parent / "out", built, arm)


def test_a_mask_takes_no_donors_from_the_arms_that_are_filled(study, built, tmp_path):
    alone = make_study(write_study(tmp_path, arms={"strong": ARMS["strong"]}))
    assert alone["strong"]["identity"] == built["strong"]["identity"]


def test_a_study_of_masks_needs_no_donors_and_an_arm_of_nothing_is_a_warning(tmp_path, capsys):
    nothing = {"remove": {"name": "none", "terms": ["xyzzy"]}, "fill": "fresh"}
    arms = {"masked": MASKS["masked"], "nothing": nothing}
    found = make_study(write_study(tmp_path, arms=arms, donors={}))
    assert found["masked"]["mask"]["sources"]["small"]["documents"] > 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [line for line in warned if "by another name" in line] == [
        "warning: nothing removes no document of the base, so it is the base by another name"
    ]
    assert DONORS


@pytest.mark.parametrize("arm", MASKS)
def test_an_audit_by_the_filter_makes_every_run_again(study, built, arm):
    mix, said = study.parent / "out" / arm, MASKS[arm]["remove"]
    filters = study.parent / "filters" / said["use"] / "filter.yaml"
    audited = passes("audit", mix, "--filter", filters, "--level", said["level"]).out
    tokens = f"{int(no_targets(study, arm).sum()):,} tokens of them masked as it says"
    assert tokens in " ".join(audited.split())


def test_a_filter_that_the_mask_is_not_of_flags_what_it_flags(study, built):
    mix, filters = study.parent / "out" / "few-terms", study.parent / "filters" / "toy"
    ended = run("audit", mix, "--filter", filters / "filter.yaml", "--level", "strong")
    assert ended.code == 3
    assert "FAILED filter toy: " in ended.err + ended.out


def test_the_tokens_around_a_text_are_targets_whatever_its_terms(tmp_path):
    write_study(tmp_path)
    (tmp_path / "my.json").write_text(json.dumps(with_specials("<s>", "</s>")))
    own: dict[str, Any] = {"tokenizer": {"file": "my.json", "eod": "</s>", "bos": "<s>"}}
    everything = {
        "name": "all",
        "terms": [*"0123456789.abcdefghijklmnopqrstuvwxyz"],
        "mode": "published",
    }
    arms = {"all": {"remove": everything, "fill": "mask-terms"}}
    make_study(write_study(tmp_path, arms=arms, **own))
    mix = tmp_path / "out" / "all"
    assert not audit_mix(mix).failures
    found = np.zeros(sum(len(row.ids) for row in read_rows(mix)), np.bool_)
    for one in pq.read_table(mix / "mask.parquet").to_pylist():
        found[one["start"] : one["start"] + one["length"]] = True
    ends = np.cumsum([len(row.ids) for row in read_rows(mix)])
    starts = ends - [len(row.ids) for row in read_rows(mix)]
    assert not found[ends - 1].any()
    assert not found[starts].any()
    assert found[starts[:-1] + 1].any()
    assert found[ends - 2].any()


@pytest.mark.parametrize("name", ["gpt-2", "gpt-neox"])
def test_terms_are_masked_however_their_letters_are_written(tmp_path, name):
    """Under a tokenizer that keeps the form of a text and one that composes it, in a source that is
    repeated and then cut.
    """
    write_study(tmp_path)
    written = [
        "K\u00f6ln fever",
        "KO\u0308LN\u2014Fever",
        "Ko\u0308ln\u00ad\r\nfever",
        "Koln fever",
    ]
    documents = [
        f"{number} e\u0301 \U0001f9ec {written[number % 4]}, a\u0323\u0301 "
        + "so on " * (number % 5)
        for number in range(40)
    ]
    shutil.rmtree(tmp_path / "data" / "a")
    write_files(tmp_path / "data", "a", sharded(documents, 1))
    (tmp_path / "my.json").write_text(family(name))
    write_list_filter(tmp_path / "filters", "towns", ["k\u00f6ln fever", "fever"])
    arms = {"terms": {"remove": "towns", "fill": "mask-terms"}}
    own: dict[str, Any] = {"tokenizer": {"file": "my.json", "eod": "</s>"}}
    more: dict[str, Any] = {
        "sources": {"a": {"weight": 1, "shortfall": {"repeat": 3}}},
        "budget": {"tokens": 2_500},
    }
    made = make_study(write_study(tmp_path, arms=arms, donors={}, **more, **own))
    assert made["terms"]["sources"][0]["epochs"] > 1
    mix, filters = tmp_path / "out" / "terms", tmp_path / "filters" / "towns.yaml"
    options = ["--tokenizer", tmp_path / "my.json", "--workers", "2"]
    passes("audit", mix, "--filter", filters, *options)
    tokens = np.fromfile(mix / "tokens.bin", "<u2")
    starts, lengths = pq.read_table(mix / "mask.parquet").to_pydict().values()
    ends = np.add(starts, lengths, dtype=np.int64)
    decoder = Decoder(family(name).encode(), name)
    masked = decoder.texts(tokens, np.array(starts, np.int64), ends)
    # a token may reach a little further than its term
    assert {content_of(one).strip(" ,\u2014").casefold() for one in masked} == {
        "k\u00f6ln fever",
        "k\u00f6ln\u2014fever",
        "k\u00f6ln\u00ad\r\nfever",
    }


def test_terms_of_texts_that_no_ids_spell_are_refused_before_any_work(tmp_path):
    write_study(tmp_path)
    form = json.loads((Path(recipes.__file__).parent / "sample" / "tokenizer.json").read_text())
    (tmp_path / "my.json").write_text(json.dumps(form | {"normalizer": {"type": "Lowercase"}}))
    own: dict[str, Any] = {"tokenizer": {"file": "my.json", "eod": "<|endoftext|>"}}
    path = write_study(tmp_path, arms={"terms": MASKS["terms"]}, **own)
    with pytest.raises(RecipeError, match="texts cannot be read back from its ids"):
        make_study(path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_a_flagged_document_whose_tokens_spell_no_term_is_refused(tmp_path):
    write_study(tmp_path)
    (tmp_path / "my.json").write_text(family("gemma"))
    write_files(
        tmp_path / "data", "a", sharded([f"{number} zor\u2581vex" for number in range(90)], 1)
    )
    own: dict[str, Any] = {"tokenizer": {"file": "my.json", "eod": "</s>", "bos": "<s>"}}
    remove = {"name": "bar", "terms": ["zor\u2581vex"], "mode": "published"}
    arms = {"terms": {"remove": remove, "fill": "mask-terms"}}
    more: dict[str, Any] = {"sources": {"a": {"weight": 1}}, "budget": {"tokens": 500}}
    path = write_study(tmp_path, arms=arms, donors={}, **more, **own)
    with pytest.raises(SupplyError, match=r"is flagged, and what its tokens spell holds no term"):
        make_study(path)
    assert not (tmp_path / "out" / "terms").exists()


@pytest.mark.parametrize("damage", ["moved", "short", "left out", "gone"])
def test_a_mask_that_is_another_is_named(study, built, tmp_path, damage):
    shutil.copytree(study.parent / "out" / "masked", tmp_path / "mix")
    file = tmp_path / "mix" / "mask.parquet"
    table = pq.read_table(file)
    runs = {name: table.column(name).to_pylist() for name in table.column_names}
    if damage == "moved":
        runs["start"][0] += 1
    elif damage == "short":
        runs["length"][3] -= 1
    elif damage == "left out":
        runs = {name: values[1:] for name, values in runs.items()}
    pq.write_table(table.schema.empty_table().from_pydict(runs, table.schema), file)
    if damage == "gone":
        file.unlink()
    ended = run("audit", tmp_path / "mix")
    assert ended.code == 3
    assert "FAILED mask: " in ended.err + ended.out


def exported(study: Path, arm: str, trainer: str, out: Path, *more: str) -> dict[str, Any]:
    mix = study.parent / "out" / arm
    passes("export", mix, "--trainer", trainer, "--out", out, *SIZE, *more)
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, Any] = json.loads("\n".join(lines))
    return found


@pytest.mark.parametrize("arm", MASKS)
def test_olmo_core_gets_a_byte_a_token(study, built, tmp_path, arm):
    dataset = exported(study, arm, "olmo-core", tmp_path / "olmo.yaml")["dataset"]
    (labels,), (tokens,) = dataset["label_mask_paths"], dataset["paths"]
    found = np.fromfile(labels, np.bool_)
    assert len(found) == Path(tokens).stat().st_size // 2
    np.testing.assert_array_equal(~found, no_targets(study, arm))


@pytest.mark.parametrize("arm", ["masked", "terms"])
def test_gpt_neox_gets_ids_and_minus_100_in_documents_of_the_same_lengths(
    study, built, tmp_path, arm
):
    config = exported(study, arm, "neox", tmp_path / "neox.yaml", "--steps", "90")
    assert "data_path" not in config
    assert config["train_data_weights"] == [1.0]
    for split in ("valid", "test"):
        assert config[f"{split}_data_paths"] == config["train_data_paths"]
    (labels,), (tokens,) = config["train_label_data_paths"], config["train_data_paths"]
    ids = np.fromfile(f"{tokens}.bin", "<u2").astype(np.int64)
    found = np.fromfile(f"{labels}.bin", "<i4").astype(np.int64)
    np.testing.assert_array_equal(found, np.where(no_targets(study, arm), -100, ids))
    one, two = (Path(f"{path}.idx").read_bytes() for path in (tokens, labels))
    (count,) = struct.unpack_from("<Q", one, 18)
    assert two[:9] == one[:9]
    assert two[17] == 4  # int32
    assert two[18 : 34 + 4 * count] == one[18 : 34 + 4 * count]
    pointers = [np.frombuffer(index, "<i8", count, 34 + 4 * count) for index in (one, two)]
    np.testing.assert_array_equal(2 * pointers[0], pointers[1])
    assert two[34 + 12 * count :] == one[34 + 12 * count :]


def masked_of_batches(text: str) -> list[str]:
    """At least, median and most of what a configuration says of its batches."""
    (said,) = (line for line in text.splitlines() if line.startswith("# masked of each batch"))
    return [one for name, one in re.findall(r"(at least|median|at most) (\S+?)%", said)]


def test_a_trace_says_which_tokens_of_a_document_are_no_targets(study, built):
    mix, wanted = study.parent / "out" / "terms", no_targets(study, "terms")
    first = 0
    for position, row in enumerate(read_rows(mix)[:40]):
        answer = passes("trace", mix, "--position", str(position), "--json").answer
        found = np.zeros(len(row.ids), np.bool_)
        for start, count in answer["places"][0]["masked"]:
            found[start : start + count] = True
        np.testing.assert_array_equal(found, wanted[first : first + len(row.ids)])
        first += len(row.ids)
    told = passes("trace", mix, "--token", str(int(np.argmax(wanted)))).out
    assert re.search(r"^  masked: \d+ tokens? of the document, .*: \d", told, re.MULTILINE)


def test_an_export_says_how_much_of_each_batch_is_masked(study, built, tmp_path):
    mix, wanted = study.parent / "out" / "terms", no_targets(study, "terms")
    exported(study, "terms", "neox", tmp_path / "neox.yaml", "--steps", "20")
    asked = ["--trainer", "neox", "--samples", str(math.ceil(20 * 4 * 1.005)), *SIZE]
    batches = []
    for step in range(20):
        answer = passes("trace", mix, "--step", str(step), *asked, "--json").answer
        stretches = [(one["token"], one["token"] + one["num_tokens"]) for one in answer["spans"]]
        batches.append(sum(int(wanted[low:high].sum()) for low, high in stretches))
        assert answer["masked"] == batches[-1]
    expected = [percent_text(count, 128, 2) for count in sorted(batches)]
    said = masked_of_batches((tmp_path / "neox.yaml").read_text())
    assert said == [expected[0], expected[9], expected[19]]


def test_a_batch_without_a_target_is_a_warning(study, built, tmp_path):
    windows = no_targets(study, "masked")[: 12_000 // 32 * 32].reshape(-1, 32).sum(axis=1)
    steps = ["--sequence", "32", "--batch", "1"]  # a batch is a window, in whichever order
    command = ["export", study.parent / "out" / "masked", "--trainer", "olmo-core"]
    told = passes(*command, "--out", tmp_path / "olmo.yaml", *steps).err
    assert f"warning: of {int((windows == 32).sum())} of {len(windows)} batches every token" in told
    expected = [percent_text(count, 32, 2) for count in sorted(windows.tolist())]
    said = masked_of_batches((tmp_path / "olmo.yaml").read_text())
    assert said == [expected[0], expected[(len(windows) - 1) // 2], expected[-1]]


def test_gpt_neox_is_not_let_into_a_second_epoch_by_its_half_per_cent(study, built, tmp_path):
    mix, out = study.parent / "out" / "masked", tmp_path / "neox.yaml"
    command = ["export", mix, "--trainer", "neox", "--out", out, "--sequence", "8", "--batch", "4"]
    steps = int(passes(*command).err.split(f"{out}: ")[1].split(" steps of 4 x 8 tokens")[0])
    tokens = built["base"]["total_tokens"]
    assert math.ceil(steps * 4 * 1.005) * 8 + 1 <= tokens
    assert math.ceil((steps + 1) * 4 * 1.005) * 8 + 1 > tokens
    other = [*command[:5], tmp_path / "more.yaml", *command[6:], "--steps"]
    assert f"give --steps {steps}, or fewer" in fails(2, *other, str(steps + 1))
    passes(*other, str(steps))


@pytest.mark.parametrize("trainer", ["megatron", "nanotron"])
def test_a_trainer_that_has_no_input_for_a_mask_is_refused(study, built, tmp_path, trainer):
    mix = study.parent / "out" / "masked"
    told = fails(2, "export", mix, "--trainer", trainer, "--out", tmp_path / "x", *SIZE)
    assert f"{trainer} has no input that says which tokens are targets" in told
    assert not list(tmp_path.iterdir())


def test_a_mask_that_is_not_the_manifests_makes_no_labels(study, built, tmp_path):
    shutil.copytree(study.parent / "out" / "masked", tmp_path / "mix")
    shutil.copy(study.parent / "out" / "half" / "mask.parquet", tmp_path / "mix" / "mask.parquet")
    out = tmp_path / "olmo.yaml"
    told = fails(6, "export", tmp_path / "mix", "--trainer", "olmo-core", "--out", out, *SIZE)
    assert "is not the one of the manifest" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix"]
