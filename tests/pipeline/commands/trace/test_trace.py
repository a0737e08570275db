"""Every row of every source has the reason under which the manifest counts it; every token and
document leads to its row and back.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.keys import order_key
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims, typed
from mixtures.mix.trace import TracedMix
from mixtures.recipe.load import load_recipe
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from pipeline.inputs.quality.quality import QualitySteps
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.linear import LinearWeights
from pipeline.lookup.fate import Origin
from pipeline.lookup.fates import Fates
from pipeline.lookup.selection import MixStore
from tests.pipeline import command_line
from tests.pipeline.corpus import LAYOUT, nfc, prose, tokenizer, write_recipe
from tests.pipeline.input_files import json_lines

TERMS = ["zorvex", "quillam", "brontide"]
A, B, C = prose(1, 40), prose(2, 110), prose(3, 30)
B = [f"{text} {' '.join(TERMS[: 1 + at % 4])}" if at % 2 else text for at, text in enumerate(B)]
ITEM = (
    "Which of the red stones was laid down first when the old bridge was built across the wide"
    " river"
)
B[20:60:9] = [f"{at} {ITEM} and some more {' '.join(TERMS)}" for at in range(len(B[20:60:9]))]
ROWS: dict[str, list[Any]] = {
    "a": [*A, A[3], A[3], "", "x", B[9]],
    "b": [*B, A[5], B[7], "", 17, b"{broken", C[0], B[9]],
    "c": [
        *C,
        A[5],
        A[6],
        B[8],
        "",
        "x",
        None,
        *(f"{text} and more" for text in (*B[10:16], *C[:4])),
    ],
    "extra": [B[0], "an insert of its own", B[0]],
    "taken": [
        A[0],
        B[1],
        B[3],
        C[2],
        "only in the excluded one",
        *(f"{text} and less" for text in B[30:36]),
    ],
}
SOURCES: dict[str, dict[str, Any]] = {
    "a": {"tokens": 700, "shortfall": {"repeat": 9}},
    "b": {"tokens": 1500, "keys": [0, 0.9]},
    "c": {"tokens": 300},
}
LOOSE = {"unit": "words", "shingle": 3, "bands": 6, "rows": 2}
LIST, TOY = {"filters": ["list"]}, {"filters": ["toy"]}
CASES: dict[str, dict[str, Any]] = {
    "unfiltered": {},
    "list": LIST,
    "list shrink": {**LIST, "removed": "shrink"},
    "toy": TOY,
    "toy copies": {**TOY, "copies": "approved"},
    "toy shrink copies": {**TOY, "removed": "shrink", "copies": "approved"},
    "dose and another": {"filters": [{"use": "list", "fraction": "0.5"}, "toy"]},
    "placebo": {"filters": [{"placebo_of": "list", "tolerance": "1"}], "removed": "shrink"},
    "insert": {**LIST, "insert": {"extra": {"use": "extra.yaml", "times": 2}}},
    "nothing is escalated": {"filters": ["rare"]},
    "contaminated": {
        **TOY,
        "removed": "shrink",
        "copies": "approved",
        "decontaminate": {"sets": ["bench.yaml"]},
    },
    "reported": {"decontaminate": {"sets": ["bench.yaml"], "action": "report"}},
    "quality": {"quality": [{"length": {"min_chars": 60}}]},
    "near": {**LIST, "near": {"rule": LOOSE, "excluded": "true"}},
    "near in some sources": {"near": {"rule": LOOSE, "verify": "0.1", "sources": ["b", "c"]}},
}


BEYOND = ("--source", "b", "--file", "part-1.jsonl", "--row", 10**6)


def passes(*arguments: Any) -> command_line.Ended:
    return command_line.passes(*map(str, arguments))


def fails(code: int, *arguments: Any) -> str:
    return command_line.fails(code, *map(str, arguments))


def line(value: Any, number: int) -> Any:
    return (
        value
        if isinstance(value, bytes)
        else {"text": value, "kind": "drop" if number % 11 == 10 else "keep"}
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, filters and, for each case, a mix."""
    folder = tmp_path_factory.mktemp("trace")
    for name, rows in ROWS.items():
        (folder / "data" / name).mkdir(parents=True)
        for part, (low, high) in enumerate(((0, len(rows) // 3), (len(rows) // 3, len(rows)))):
            lines = [line(value, number) for number, value in enumerate(rows)][low:high]
            (folder / "data" / name / f"part-{part}.jsonl").write_bytes(json_lines(lines))
    write_filters(folder / "filters")
    return folder


def write_filters(folder: Path) -> None:
    folder.mkdir()
    content = "\n".join(TERMS).encode()
    (folder / "terms.txt").write_bytes(content)
    (folder / "rare.txt").write_bytes(b"nowhere\nneither here\n")
    draw = np.random.default_rng(5)
    LinearWeights(draw.integers(-60_000, 60_000, 256).astype(np.int32), 0, 0).save(
        folder / "weights.safetensors"
    )
    golden = [{"text": " ".join(TERMS), "flagged": True}, {"text": "tea", "flagged": False}]
    blocklist = {
        "file": "terms.txt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": "words",
    }
    model = open_classifier("linear", folder / "weights.safetensors")
    above = min(model.score([" ".join(TERMS)])[0] - 1, 500_000) / 1_000_000
    classifier = {
        "kind": "linear",
        "path": "weights.safetensors",
        "digest": model.digest,
        "threshold": f"{above:.6f}",
    }
    rare = {
        "file": "rare.txt",
        "sha256": hashlib.sha256(b"nowhere\nneither here\n").hexdigest(),
        "mode": "words",
    }
    golden_of_rare = [{"text": "nowhere, neither here", "flagged": True}, golden[1]]
    sure = {**classifier, "threshold": "0"}
    bundles: dict[str, Any] = {"list": {}, "toy": {"classifier": classifier}}
    bundles["rare"] = {"blocklist": rare, "golden": golden_of_rare, "classifier": sure}
    for name, more in bundles.items():
        (folder / f"{name}.yaml").write_text(
            json.dumps({"name": name, "blocklist": blocklist, "golden": golden, **more})
        )


def write_set(folder: Path) -> None:
    content = json_lines([{"text": ITEM}])
    (folder / "bench.jsonl").write_bytes(content)
    pin = {"path": "bench.jsonl", "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "bench.yaml").write_text(
        json.dumps({"name": "bench", "files": [pin], "format": "jsonl", "columns": "lambada"})
    )


def built(work: Path, case: str) -> Path:
    """The mix of a case, built once."""
    out = work / case
    if out.exists():
        return out
    recipes, more = work / f"{case} recipes", dict(CASES[case])
    sources = {name: {**request} for name, request in SOURCES.items()}
    if quality := more.pop("quality", None):
        sources["b"]["quality"] = quality
    packings = dict.fromkeys(ROWS, "jsonl")
    write_recipe(recipes, {"extra": {"all": "true"}}, packings, name="unused")
    write_recipe(recipes, {"taken": {"all": "true", "keys": [0, 0.95]}}, packings, name="other")
    path = write_recipe(
        recipes,
        sources,
        packings,
        name="mix",
        exclude=["other.yaml"],
        max_quarantined="0.2",
        **more,
    )
    write_set(recipes)
    for name in SOURCES:
        file = recipes / f"{name}.yaml"
        file.write_text(json.dumps({**json.loads(file.read_text()), "where": {"kind": ["keep"]}}))
    recipe = load_recipe(str(path), work / "filters")
    layout: dict[str, Any] = {**LAYOUT}
    request = BuildRequest(
        recipe,
        out,
        work / "store",
        data=DataFolders(work / "data"),
        executor=LocalExecutor(1),
        **layout,
    )
    build(request)
    return out


def origins(name: str) -> list[tuple[str, int]]:
    """File and row of each row of a source."""
    count = len(ROWS[name])
    return [
        (f"part-{int(at >= count // 3)}.jsonl", at - (count // 3) * (at >= count // 3))
        for at in range(count)
    ]


@pytest.mark.parametrize("case", CASES)
def test_every_row_has_the_reason_under_which_the_manifest_counts_it(work, case):
    out = built(work, case)
    manifest = manifests.load(out)
    fates = Fates(MixStore(typed(manifest, "m"), work / "store"))
    mix = TracedMix(out)
    for name, waterfall in manifest["removed"].items():
        counts: Counter[str] = Counter()
        for file, row in origins(name):
            fate = fates.of_row(Origin(name, file, row))
            counts[fate.reason] += 1
            places = mix.places_from(name, file, row)
            assert (fate.reason == "kept") == bool(places)
            said = [fate.reason, *fate.also]
            assert [one for one in said if one.startswith("filter ")] == [
                f"filter {one.label}" for one in fate.filters if one.removes
            ]
            # what is behind the quota's end stays there, whatever else is known of it
            assert fate.reason == "beyond quota" or "beyond quota" not in fate.also
            if fate.document:
                assert all(place.digest == fate.document.digest.hex() for place in places)
        assert {"rows": len(ROWS[name]), **counts} == {
            reason: count for reason, count in waterfall.items() if count
        }


def test_a_row_that_a_quality_step_dropped_is_judged_alone(work, monkeypatch):
    fates = Fates(MixStore(typed(manifests.load(built(work, "quality")), "m"), work / "store"))
    seen, judge = [], QualitySteps.apply

    def counting(steps: QualitySteps, text: str, row: Any = None) -> Any:
        seen.append(text)
        return judge(steps, text, row)

    monkeypatch.setattr(QualitySteps, "apply", counting)
    dropped = 0
    for (file, row), text in zip(origins("b"), ROWS["b"], strict=True):
        seen.clear()
        if fates.of_row(Origin("b", file, row)).reason.startswith("quality length"):
            dropped += 1
            assert seen == [text]
    assert dropped > 1


def test_the_corpus_has_every_reason(work):
    """Without this the test above could pass on rows that are all kept."""
    waterfalls = [
        found for case in CASES for found in manifests.load(built(work, case))["removed"].values()
    ]
    reasons = {reason for found in waterfalls for reason, count in found.items() if count}
    assert reasons >= {
        "where",
        "empty",
        "quarantined",
        "out of key range",
        "excluded",
        "duplicate of a",
        "duplicate of b",
    }
    assert reasons >= {
        "filter list",
        "filter toy",
        "filter list x 0.5",
        "filter placebo of list",
        "beyond quota",
        "kept",
    }
    assert reasons >= {
        "contaminated",
        "near-duplicate of b",
        "near-duplicate of an excluded recipe",
    }
    assert any(reason.startswith("quality length") for reason in reasons)


@pytest.mark.parametrize("case", ["unfiltered", "toy shrink copies", "insert"])
def test_every_token_and_document_leads_to_its_row_and_back(work, case):
    mix, reader = TracedMix(built(work, case)), tokenizer()
    tokens = np.fromfile(mix.folder / "tokens.bin", "<u2")
    at = 0
    for position in range(mix.total_documents):
        place = mix.document(position)
        assert (place.position, place.first_token) == (position, at)
        assert {mix.position_of(token) for token in range(at, at + place.num_tokens)} == {position}
        rows = dict(zip(origins(place.source), ROWS[place.source], strict=True))
        text = rows[place.file, place.row]
        assert place.digest == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        decoded = reader.decode(
            tokens[at : at + place.num_tokens - 1].tolist(), skip_special_tokens=False
        )
        assert nfc(text).startswith(decoded) if place.cut else decoded == nfc(text)
        assert place in mix.places_from(place.source, place.file, place.row)
        assert place in mix.places_of(place.digest)
        assert mix.places_of(place.digest[:9]) == mix.places_of(place.digest)
        at += place.num_tokens
    assert at == mix.total_tokens == len(tokens)


def answer(*arguments: Any) -> Any:
    return passes("trace", *arguments, "--json").answer


def test_the_command_answers_each_question(work):
    out, mix = built(work, "toy copies"), TracedMix(built(work, "toy copies"))
    place = mix.document(3)
    by_token = answer(out, "--token", place.first_token + 1)["places"]
    assert by_token[0]["position"] == 3
    assert by_token[0]["place_in_document"] == 1
    assert by_token[0]["licence"] == "CC0"
    assert "text" not in by_token[0]
    by_position = answer(out, "--position", 3, "--show-text")["places"][0]
    assert nfc(
        dict(zip(origins(place.source), ROWS[place.source], strict=True))[place.file, place.row]
    ).startswith(by_position["text"])
    assert (
        answer(out, "--digest", place.digest[:8])["places"]
        == answer(out, "--digest", place.digest.upper())["places"]
    )
    by_row = answer(out, "--source", place.source, "--file", place.file, "--row", place.row)
    assert [one["position"] for one in by_row["places"]] == [
        one.position for one in mix.places_of(place.digest)
    ]


def removed_row(work: Path, case: str, reason: str) -> tuple[str, str, int]:
    fates = Fates(MixStore(read_claims(built(work, case)), work / "store"))
    return next(
        (name, *at)
        for name in SOURCES
        for at in origins(name)
        if fates.of_row(Origin(name, *at)).reason == reason
    )


def test_a_removed_document_is_explained_and_its_text_shown_only_when_asked(work):
    out, (name, file, row) = built(work, "toy"), removed_row(work, "toy", "filter toy")
    asked = (out, "--source", name, "--file", file, "--row", row, "--store", work / "store")
    (found,) = answer(*asked)["rows"]
    (said,) = found["filters"]
    assert said["terms"] >= said["threshold"] == 2
    assert said["score_millionths"] > said["removed_above_millionths"]
    assert said["removes"] is True
    secret = dict(zip(origins(name), ROWS[name], strict=True))[file, row]
    for ended in (passes("trace", *asked), passes("trace", *asked, "--json")):
        assert secret not in ended.out + ended.err
        assert not any(term in ended.out + ended.err for term in TERMS)
    (shown,) = answer(*asked, "--show-text", "--filters", work / "filters")["rows"]
    assert shown["text"] == nfc(secret)
    assert shown["terms"] == {"toy": [term for term in TERMS if term in secret]}
    assert secret in passes("trace", *asked, "--show-text").out


def test_a_flagged_row_beyond_the_quota_is_counted_there_and_its_filter_is_named_beside(work):
    out = built(work, "toy")
    fates = Fates(MixStore(read_claims(out), work / "store"))
    rows = [(name, *at) for name in SOURCES for at in origins(name)]
    name, file, row = next(at for at in rows if fates.of_row(Origin(*at)).also == ("filter toy",))
    asked = (out, "--source", name, "--file", file, "--row", row, "--store", work / "store")
    (found,) = answer(*asked)["rows"]
    assert (found["reason"], found["also"]) == ("beyond quota", ["filter toy"])
    assert found["filters"][0]["removes"] is True
    assert (
        f"{name}, {file} row {row}: beyond quota, also filter toy\n" in passes("trace", *asked).out
    )


def test_a_digest_that_is_not_in_the_mix_is_explained_by_the_store(work):
    out, (name, file, row) = built(work, "toy"), removed_row(work, "toy", "beyond quota")
    digest = hashlib.blake2b(
        dict(zip(origins(name), ROWS[name], strict=True))[file, row].encode(), digest_size=16
    ).hexdigest()
    assert answer(out, "--digest", digest) == {
        "mix": manifests.load(out)["identity"],
        "mix_id": manifests.load(out)["mix_id"],
        "places": [],
        "rows": [],
    }
    rows = answer(out, "--digest", digest, "--store", work / "store")["rows"]
    assert (name, file, row, "beyond quota") in [
        (one["source"], one["file"], one["row"], one["reason"]) for one in rows
    ]
    last = next(one["last_order_key"] for one in rows if one["reason"] == "beyond quota")
    assert int(last, 16) < order_key(bytes.fromhex(digest))


@pytest.mark.parametrize("case", ["toy shrink copies", "placebo", "near"])
def test_what_the_store_has_forgotten_is_made_again(work, case, tmp_path):
    out = built(work, case)
    manifest = manifests.load(out)
    shutil.copytree(work / "store", tmp_path / "store")
    passes("store", "gc", "--store", tmp_path / "store")
    before, after = (
        Fates(MixStore(typed(manifest, "m"), folder))
        for folder in (work / "store", tmp_path / "store")
    )
    for name in SOURCES:
        for file, row in origins(name):
            one, two = before.of_row(Origin(name, file, row)), after.of_row(Origin(name, file, row))
            assert one.as_json() == two.as_json()


def test_nonsense_is_refused_with_what_there_is(work):
    out, store = built(work, "unfiltered"), ("--store", work / "store")
    total, documents = (manifests.load(out)[name] for name in ("total_tokens", "total_documents"))
    assert f"0 to {total - 1:,}" in fails(2, "trace", out, "--token", total)
    assert f"0 to {documents - 1:,}" in fails(2, "trace", out, "--position", documents)
    assert "a, b, c" in fails(2, "trace", out, "--source", "d", "--file", "x", "--row", 1)
    assert "part-0.jsonl" in fails(2, "trace", out, "--source", "a", "--file", "x", "--row", 1)
    assert "0 to" in fails(
        2, "trace", out, "--source", "a", "--file", "part-0.jsonl", "--row", 10**12, *store
    )
    assert "--store" in fails(2, "trace", out, *BEYOND, "--store", work / "nowhere")
    fails(2, "trace", out, "--source", "a")
    fails(2, "trace", out)
    fails(2, "trace", out, "--token", "-1")
    fails(2, "trace", out, "--digest", "123456g8")
    assert "all 32" in fails(2, "trace", out, "--digest", "0123456789", *store)


def test_a_row_that_became_nothing_is_explained_only_where_its_file_is_at_hand(work, tmp_path):
    out, row = built(work, "unfiltered"), len(A) - len(ROWS["a"]) // 3 + 2
    shutil.copytree(work / "data", tmp_path / "data")
    asked = (
        "trace",
        out,
        "--source",
        "a",
        "--file",
        "part-1.jsonl",
        "--row",
        row,
        "--store",
        work / "store",
    )
    assert "a, part-1.jsonl row" in passes(*asked).out
    assert answer(*asked[1:], "--data", tmp_path / "data")["rows"][0]["reason"] in (
        "empty",
        "where",
    )
    (tmp_path / "data" / "a" / "part-1.jsonl").write_bytes(
        json_lines([{"text": "another", "kind": "keep"}])
    )
    assert "sha256" in fails(4, *asked, "--data", tmp_path / "data")


@pytest.mark.parametrize(
    "damaged",
    ["tokens.idx", "documents.parquet/part-00000.parquet", "provenance.parquet/part-00000.parquet"],
)
def test_a_damaged_mix_is_named(work, tmp_path, damaged):
    shutil.copytree(built(work, "unfiltered"), tmp_path / "mix")
    content = (tmp_path / "mix" / damaged).read_bytes()
    (tmp_path / "mix" / damaged).write_bytes(content[:-5])
    assert damaged in fails(6, "trace", tmp_path / "mix", "--position", 0)
    (tmp_path / "mix" / damaged).unlink()
    assert damaged in fails(6, "trace", tmp_path / "mix", "--position", 0)


def test_a_table_that_disagrees_with_the_index_is_named(work, tmp_path):
    shutil.copytree(built(work, "unfiltered"), tmp_path / "mix")
    parts = sorted((tmp_path / "mix" / "documents.parquet").iterdir())
    shutil.copy(parts[1], parts[0])
    assert "audit" in fails(6, "trace", tmp_path / "mix", "--position", 0)


def test_a_provenance_of_another_length_is_named(work, tmp_path):
    shutil.copytree(built(work, "unfiltered"), tmp_path / "mix")
    path = tmp_path / "mix" / "provenance.parquet" / "part-00000.parquet"
    table = pq.read_table(path)
    pq.write_table(
        pa.concat_tables([table, table.slice(0, 1)]), path
    )  # as a part of a longer mix; the rows that are asked for agree
    assert "rows, the documents of that part are" in fails(
        6, "trace", tmp_path / "mix", "--position", 0
    )


def test_another_store_is_refused(work, tmp_path):
    out = built(work, "unfiltered")
    (tmp_path / "data").symlink_to(work / "data")
    shutil.copytree(work / "store", tmp_path / "store")
    gone = next(path for path in (tmp_path / "store" / "sources").glob("b-*/*"))
    shutil.rmtree(gone)
    assert "part-" in fails(6, "trace", out, *BEYOND, "--store", tmp_path / "store")
