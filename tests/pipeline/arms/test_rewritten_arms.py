"""Arms whose slots hold a user's rewrites: each in the slot of its document, cut where that ends or
followed by fresh donors, whatever the file looks like; and a file that is not whole fills nothing.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.errors import InputError, RecipeError
from mixtures.stream.arms.load import load_study
from tests.pipeline.arms.studies import (
    ARMS,
    Row,
    fill_one_by_one,
    hold_audits,
    hold_slots_alone,
    make_study,
    read_slots,
    texts,
    write_study,
)
from tests.pipeline.arms.test_aligned_arms import expected_free
from tests.pipeline.command_line import fails, passes, run
from tests.pipeline.corpus import tokenizer
from tests.pipeline.planted import digest, oracles, tokens_of

FILE = "rewrites.jsonl"
REWRITTEN: dict[str, dict[str, Any]] = {
    "strong": {**ARMS["strong"], "fill": FILE},
    "half": {**ARMS["half"], "fill": FILE},
}
OTHERS = {"fresh": ARMS["strong"], "list": ARMS["list"]}
Rewrite = dict[str, Any]


def rewrites_of(study: Path) -> list[Rewrite]:
    """Of all that the filter flags, in the base or not: shorter, longer, of their length, and of
    special strings.
    """
    (strong,) = oracles(study.parent / "filters", [ARMS["strong"]["remove"]])
    documents = [text for named in texts().values() for text in named]
    draw = random.Random(3)
    rows: list[Rewrite] = []
    for text in sorted(strong.removed(documents)):
        count = max(1, len(text.split()) * draw.choice([0, 1, 2, 4]) // 2)
        words = draw.choices(["mill", "river", "<|endoftext|>", "stone"], k=count)
        rewrite = f"of {digest(text)[:9]} {' '.join(words)}"
        while len(rows) % 3 == 0 and tokens_of(rewrite) < tokens_of(text):
            rewrite += " mill"
        rows.append({"digest": digest(text), "text": rewrite})
    return rows


def write_rewrites(path: Path, rows: list[Rewrite]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("rewritten"), arms={**OTHERS, **REWRITTEN})
    write_rewrites(path.parent / FILE, rewrites_of(path))
    return path


def ids_of(text: str) -> list[int]:
    return [*tokenizer().encode(text).ids, 0]


@pytest.mark.parametrize("arm", REWRITTEN)
def test_every_slot_begins_with_the_rewrite_of_its_document(study, built, mixes, arm):
    rewrites = {row["digest"]: row["text"] for row in rewrites_of(study)}
    begun = [row for row in read_slots(study.parent / "out" / arm) if row["offset"] == 0]
    kinds = set()
    for row in begun:
        there, here = (mixes[name][row["position"]] for name in ("base", arm))
        text = rewrites[there.digest]
        ids = ids_of(text)
        kept = row["num_tokens"]
        assert row["rewrite"]
        assert here.digest == row["digest"].hex() == digest(text)
        assert (here.file, row["file"], row["donor_source"]) == (FILE, FILE, "")
        assert row["donor_tokens"] == len(ids)
        assert list(here.ids[:kept]) == [*ids[: kept - 1], 0]
        assert kept == min(len(ids), len(there.ids))
        assert here.ids.count(0) == sum(
            one["position"] == row["position"] for one in read_slots(study.parent / "out" / arm)
        )
        kinds.add(row["kind"])
    assert kinds == {"exact", "cut", "joined"}
    assert len(begun) == sum(
        there.digest != here.digest for there, here in zip(mixes["base"], mixes[arm], strict=True)
    )


def test_what_rewrites_leave_has_the_fresh_donors_that_the_rule_gives(study, built, mixes):
    rewrites = {row["digest"]: row["text"] for row in rewrites_of(study)}
    rows = read_slots(study.parent / "out" / "strong")
    gone = {mixes["base"][row["position"]].digest for row in rows}
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        there = mixes["base"][row["position"]]
        if row["offset"] and not there.epoch and not there.cut:
            piece = (row["digest"].hex(), row["num_tokens"])
            found.setdefault(there.digest, []).append(piece)
            assert not row["rewrite"]
    checked = 0
    for slots, free in expected_free(study, mixes["base"], gone):
        left = [(name, tokens - len(ids_of(rewrites[name]))) for name, tokens in slots]
        expected = fill_one_by_one([one for one in left if one[1] > 0], free)
        for name, pieces in expected.items():
            if name in found:
                assert found.pop(name) == pieces
                checked += 1
    assert checked > 10
    assert not found


@pytest.mark.parametrize("arm", REWRITTEN)
def test_a_rewritten_arm_differs_from_its_base_in_its_slots_alone(study, built, mixes, arm):
    out = study.parent / "out"
    hold_slots_alone(out, mixes, arm, {row["position"] for row in read_slots(out / arm)})
    hold_audits(out, built, arm)


def test_rewritten_doses_nest_and_leave_no_tokens_behind(study, built):
    half, whole = (
        {(row["position"], row["offset"]): row for row in read_slots(study.parent / "out" / arm)}
        for arm in ("half", "strong")
    )
    assert 0 < len(half) < len(whole)
    assert half.items() <= whole.items()
    assert not list((study.parent / "store" / "work").glob("rewrites-*"))


def test_the_manifest_and_the_build_say_how_much_was_rewritten(study, built):
    said, rows = built["strong"]["arm"]["rewrites"], rewrites_of(study)
    first: dict[int, int] = {}
    once = [
        row
        for row in read_slots(study.parent / "out" / "strong")
        if first.setdefault(row["slot"], row["position"]) == row["position"]
    ]
    mine = [row for row in once if row["rewrite"]]
    assert said["documents"] == len(mine) == said["exact"] + said["cut"] + said["followed"]
    assert said["cut"] == sum(row["num_tokens"] < row["donor_tokens"] for row in mine)
    assert said["exact"] == sum(row["donor_tokens"] == row["length"] for row in mine)
    assert said["tokens"] == sum(row["num_tokens"] for row in mine)
    assert said["donor_tokens"] == sum(row["num_tokens"] for row in once) - said["tokens"]
    assert said["unused"] == len(rows) - said["documents"]
    folder = study.parent
    told = passes(
        *("build", study, "--out", folder / "told", "--store", folder / "store"),
        *("--data", folder / "data", "--filters", folder / "filters"),
    ).err
    assert (
        f"{FILE}: {said['documents']} rewrites of {said['tokens']:,} tokens in slots:"
        f" {said['exact']} of their slot's length, {said['cut']} cut, {said['followed']} followed"
    ) in told
    assert f"{said['unused']} rewrites of documents that stay" in told


def parquet(path: Path, rows: list[Rewrite]) -> Path:
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path)
    return path


def packed(path: Path, rows: list[Rewrite]) -> Path:
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"more": 1, **row}) + "\n" for row in rows)
    return path


@pytest.mark.parametrize(
    ("name", "write", "more"),
    [("other.parquet", parquet, {"workers": 2, "tasks": 3}), ("deep/other.jsonl.gz", packed, {})],
)
def test_a_rewritten_arm_does_not_depend_on_the_file_or_on_who_builds(
    study, built, tmp_path, name, write, more
):
    arms = {arm: {**one, "fill": name} for arm, one in reversed(REWRITTEN.items())}
    path = write_study(tmp_path, arms={**arms, **OTHERS}, files=7)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path / name, rewrites_of(path)[::-1])
    found = make_study(path, **more)
    for arm in REWRITTEN:
        assert found[arm]["identity"] == built[arm]["identity"]
        assert found[arm]["mix_id"] != built[arm]["mix_id"]


def test_rewrites_take_nothing_from_fresh_arms(study, built, tmp_path):
    alone = make_study(write_study(tmp_path, arms=OTHERS))
    for arm in OTHERS:
        assert alone[arm]["identity"] == built[arm]["identity"]


def unread(rows: list[Rewrite]) -> str:
    rows[4] = {"digest": rows[4]["digest"], "text": 7}
    return "row 4 cannot be read (number: int in column 'text')"


def no_column(rows: list[Rewrite]) -> str:
    del rows[4]["digest"]
    return "row 4 cannot be read (missing-field: no column 'digest')"


def no_digest(rows: list[Rewrite]) -> str:
    rows[4]["digest"] = "xyz"
    return "row 4: its digest is none"


def blank(rows: list[Rewrite]) -> str:
    rows[4]["text"] = " \n"
    return "1 row without a text"


def half_a_pair(rows: list[Rewrite]) -> str:
    rows[4]["text"] += " \ud800"
    return "row 4: its text has half of a surrogate pair"


@pytest.mark.parametrize("spoil", [unread, no_column, no_digest, blank, half_a_pair])
def test_a_row_that_is_no_rewrite_is_named(tmp_path, spoil: Callable[[list[Rewrite]], str]):
    path = write_study(tmp_path, arms={"strong": REWRITTEN["strong"]})
    rows = rewrites_of(path)
    said = spoil(rows)
    write_rewrites(tmp_path / FILE, rows)
    with pytest.raises(InputError) as refused:
        make_study(path)
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_every_fault_of_a_file_is_told_at_once_before_a_mix_is_written(
    study, built, mixes, tmp_path
):
    path = write_study(tmp_path, arms={"strong": REWRITTEN["strong"]})
    used = {row.digest for row in mixes["base"]}
    by_digest = {digest(text): text for named in texts().values() for text in named}
    rows = [row for row in rewrites_of(path) if row["digest"] in used]
    missing, rows[2]["text"] = rows.pop(0), by_digest[rows[2]["digest"]]
    rows[3]["text"] = rows[4]["text"]
    rows.append({**rows[7], "text": "once more"})
    write_rewrites(tmp_path / FILE, rows)
    with pytest.raises(InputError) as refused:
        make_study(path)
    lines = str(refused.value).splitlines()
    for line, said in zip(
        lines,
        (
            f"rows 7 and {len(rows) - 1} are rewrites of one document, {rows[7]['digest']}",
            f"has no rewrite of 1 removed documents, the first {missing['digest']}",
            "row 2 is the text of the document that it is to replace",
            "rows 3 and 4 have one text for two documents",
        ),
        strict=True,
    ):
        assert line.startswith(f"{tmp_path / FILE}: {said}")
    assert not (tmp_path / "out").exists()


def test_a_rewrite_that_the_base_has_is_refused(study, built, mixes, tmp_path):
    path = write_study(tmp_path, arms={"strong": REWRITTEN["strong"]})
    rows = rewrites_of(path)
    removed = {row["digest"] for row in rows}
    known = next(
        text
        for text in texts()["a"]
        if digest(text) in {row.digest for row in mixes["base"]} - removed
    )
    at = next(
        number
        for number, row in enumerate(rows)
        if row["digest"] in {one.digest for one in mixes["base"]}
    )
    rows[at]["text"] = known
    write_rewrites(tmp_path / FILE, rows)
    with pytest.raises(InputError, match=f"row {at} is the text of a document that the mix has"):
        make_study(path)
    assert not (tmp_path / "out" / "strong").exists()


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        ("none.jsonl", "'none.jsonl' is no file"),
        ("../rewrites.jsonl", "leaves the recipe's folder"),
        ("stale", "or a file of rewrites beside the study, such as rewrites.jsonl"),
    ],
)
def test_a_fill_that_is_no_file_is_refused_with_its_line(tmp_path, fill, said):
    path = write_study(tmp_path, arms={"x": {**ARMS["strong"], "fill": fill}})
    with pytest.raises(RecipeError) as refused:
        load_study(path, tmp_path / "filters")
    assert said in str(refused.value)
    assert "study.yaml:" in str(refused.value)


def test_a_file_of_no_known_layout_is_refused_before_anything_is_read(tmp_path):
    path = write_study(tmp_path, arms={"x": {**ARMS["strong"], "fill": "rewrites.docx"}})
    (tmp_path / "rewrites.docx").write_text("x")
    with pytest.raises(RecipeError, match=r"rewrites.docx"):
        make_study(path)
    assert not (tmp_path / "store").exists()


def test_what_an_arm_removes_is_listed_to_be_rewritten(study, built, mixes, tmp_path):
    listed = tmp_path / "removed.jsonl"
    told = passes("export", study.parent / "out" / "fresh", "--removed", listed).err
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    by_digest = {digest(text): text for named in texts().values() for text in named}
    gone: dict[str, Row] = {}
    for there, here in zip(mixes["base"], mixes["fresh"], strict=True):
        if there.digest != here.digest:
            gone.setdefault(there.digest, there)
    assert {row["digest"] for row in rows} == gone.keys()
    assert len(rows) == len(gone)
    for row in rows:
        assert row["cut"] or row["text"] == by_digest[row["digest"]]
        assert row["cut"] or row["tokens"] == len(gone[row["digest"]].ids)
        assert row["source"] == gone[row["digest"]].source
    assert f"{len(rows)} documents of {sum(row['tokens'] for row in rows):,} tokens" in told
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    (tmp_path / "own").mkdir()
    own = write_study(tmp_path / "own", arms={"strong": REWRITTEN["strong"]})
    write_rewrites(own.parent / FILE, [{**row, "text": f"no {row['text']}"} for row in rows])
    assert make_study(own)["strong"]["arm"]["rewrites"]["documents"] == len(rows)
    assert "no arm of a study" in fails(
        2, "export", study.parent / "out" / "base", "--removed", tmp_path / "x"
    )


def test_a_masked_arm_lists_what_it_masks(study, built, tmp_path):
    arms = {name: {**ARMS["strong"], "fill": name} for name in ("mask", "mask-terms")}
    path = write_study(tmp_path, arms=arms)
    make_study(path)
    listed = []
    for arm in ("mask", "mask-terms"):
        passes("export", tmp_path / "out" / arm, "--removed", tmp_path / arm)
        listed.append((tmp_path / arm).read_text())
    passes("export", study.parent / "out" / "fresh", "--removed", tmp_path / "fresh")
    assert listed[0] == (tmp_path / "fresh").read_text()
    assert set(listed[1].splitlines()) <= set(listed[0].splitlines())


def test_the_audit_holds_an_arm_against_its_file_and_its_base(study, built, mixes, tmp_path):
    arm, file = study.parent / "out" / "strong", study.parent / FILE
    passes("audit", arm, "--rewrites", file)
    passes("audit", arm, "--source-check", "5000", "--data", study.parent / "data")
    passes("audit", arm, "--store", study.parent / "store")
    rows = rewrites_of(study)
    used = {there.digest for there in mixes["base"]}
    one, two = [number for number, row in enumerate(rows) if row["digest"] in used][:2]
    rows[one]["text"], rows[two]["text"] = rows[two]["text"], rows[one]["text"]
    write_rewrites(tmp_path / FILE, rows)
    ended = run("audit", arm, "--rewrites", tmp_path / FILE)
    assert ended.code == 3
    said = " ".join((ended.err + ended.out).split())
    assert f"stands for what row {one} rewrites, and is another" in said
    assert "has sha256" in said
    assert "has no rewrites in slots" in fails(
        2, "audit", study.parent / "out" / "fresh", "--rewrites", file
    )


def test_a_study_of_rewrites_that_was_stopped_goes_on(study, built, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "out" / "strong")
    assert make_study(tmp_path / "study" / study.name) == built


def test_trace_says_which_row_stands_in_a_slot(study, built):
    mix = study.parent / "out" / "strong"
    row = next(row for row in read_slots(mix) if row["kind"] == "joined")
    said = passes("trace", mix, "--position", str(row["position"])).out
    assert f"rewrite: {row['num_tokens']} tokens, file {FILE} row {row['row']}" in said
    assert "donor of" in said
    assert "licence not given" in said  # of the user's text, whatever the slot's source has
