"""`annealmix filter check` and `filter train`: every exit code, every kind of data set, and no text
in any output.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import recipes
from annealmix.__main__ import main
from mixtures.errors import RecipeError
from mixtures.keys import digest_columns, text_digest
from mixtures.rules.filter_files import load_filter
from mixtures.rules.terms import content_hash
from mixtures.yaml.tree import parse_yaml
from pipeline.commands.filter.check import CheckRequest, CheckResult, run_check
from pipeline.commands.filter.check import check as run_library_check
from pipeline.commands.filter.inputs import find_dataset
from pipeline.commands.filter.train import _quoted
from pipeline.judges.filter import Filter
from tests.pipeline.corpus import make, prose, write_files, write_recipe

SECRET = "zanzibarian"  # a word of every text; no output may hold it
TWO, ONE_TERM, NONE = f"{SECRET} Abrin and Nipah virus", f"{SECRET} Abrin, abrin", f"{SECRET} tea"
TEXTS = [NONE, TWO, ONE_TERM, NONE + " 2"]
SHIPPED = Path(recipes.__file__).parent
TOKENIZER = SHIPPED / "sample" / "tokenizer.json"
Outcome = tuple[int, dict[str, Any], str]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]):
    """Run `filter check ... --json` and the same without --json; both exit alike, and neither
    prints a text.
    """

    def run(*arguments: str | Path, name: str = "control-lists") -> Outcome:
        options = ["filter", "check", *map(str, arguments), "--filter", name]
        code = main([*options, "--json"])
        printed = capsys.readouterr()
        assert main(options) == code
        table = capsys.readouterr()
        for shown in (printed.out, printed.err, table.out, table.err):
            assert SECRET not in shown
            assert "Nipah" not in shown
        return code, json.loads(printed.out) if printed.out else {}, table.out + table.err

    return run


def lines(path: Path, rows: list[Any]) -> Path:
    data = b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )
    if path.name.endswith(".gz"):
        data = gzip.compress(data)
    elif path.name.endswith(".zst"):
        data = zstandard.ZstdCompressor().compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def texts(path: Path, found: list[str] = TEXTS, column: str = "text") -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({column: found, "id": list(range(len(found)))}), path)
        return path
    return lines(path, [{column: text, "id": at} for at, text in enumerate(found)])


def chat(*contents: str | None) -> dict[str, Any]:
    return {
        "messages": [
            {"role": ("user", "assistant")[at % 2], "content": content}
            for at, content in enumerate(contents)
        ]
    }


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_flagged_document_is_exit_3_in_every_format_and_named_by_file_and_row(
    check, tmp_path, name
):
    code, answer, table = check(texts(tmp_path / name), "--tokenizer", TOKENIZER)
    assert code == 3
    counts = {
        key: answer[key]
        for key in ("rows", "documents", "escalated", "flagged", "quarantined", "empty", "files")
    }
    assert counts == {
        "rows": 4,
        "documents": 4,
        "escalated": 1,
        "flagged": 1,
        "quarantined": 0,
        "empty": 0,
        "files": 1,
    }
    assert answer["flagged_rows"] == [{"file": name, "row": 1, "terms": 2, "score": None}]
    assert answer["filter"] == {
        "name": "control-lists",
        "identity": load_filter("control-lists").definition.identity,
    }
    assert answer["passed"] is False
    assert "a check against accidents, not against an adversary" in answer["what"]
    assert "a check against accidents, not against an adversary" in table
    assert f"flagged: {name} row 1 (2 distinct terms)" in table


def test_a_filter_of_a_folder_is_found_by_its_name_before_a_shipped_one(check, tmp_path):
    mine = lenient(tmp_path)
    shutil.copy(mine, tmp_path / "control-lists.yaml")  # a shipped one has that name
    found = texts(tmp_path / "data" / "a.jsonl")
    for name in ("lenient", "control-lists"):
        code, answer, _ = check(found, "--filters", tmp_path, name=name)
        assert (code, answer["flagged"]) == (0, 0), name
    assert check(found, name="control-lists")[0] == 3
    assert main(["filter", "check", str(found), "--filter", "x", "--filters", "none"]) == 2


def test_flagged_tokens_are_those_of_the_reference_library_without_eod(check, tmp_path):
    from tokenizers import Tokenizer

    path = texts(tmp_path / "a.jsonl", [TWO, NONE, TWO + " <|endoftext|>"])
    native = Tokenizer.from_file(str(TOKENIZER))
    native.encode_special_tokens = True
    wanted = sum(
        len(native.encode(text, add_special_tokens=False).ids)
        for text in (TWO, TWO + " <|endoftext|>")
    )
    assert check(path, "--tokenizer", TOKENIZER)[1]["flagged_tokens"] == wanted
    assert check(path)[1]["flagged_tokens"] is None


@pytest.mark.parametrize(
    ("limit", "code"), [("0", 3), ("0.249999999", 3), ("1/4", 0), ("0.25", 0), ("1", 0)]
)
def test_the_limit_is_an_exact_share(check, tmp_path, limit, code):
    assert check(texts(tmp_path / "a.jsonl"), "--limit", limit)[0] == code


def test_clean_data_passes(check, tmp_path):
    code, answer, table = check(texts(tmp_path / "a.jsonl", [NONE, ONE_TERM]))
    assert (code, answer["passed"], answer["flagged_rows"]) == (0, True, [])
    assert "filter check passed" in table


def test_a_row_that_cannot_be_judged_counts_against_the_limit(check, tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        [{"text": NONE}, {"text": None}, b'{"text": "cut', {"text": ""}, {"text": NONE}],
    )
    code, answer, table = check(path)
    assert code == 3
    assert (answer["rows"], answer["documents"], answer["quarantined"], answer["empty"]) == (
        5,
        2,
        2,
        1,
    )
    assert answer["quarantine_reasons"] == {"json": 1, "null-field": 1}
    assert "such rows count against the limit" in table
    assert check(path, "--limit", "0.5")[0] == 0
    assert check(path, "--limit", "0.49")[0] == 3


def test_a_folder_is_all_its_files_of_every_format_and_what_is_not_read_is_said(check, tmp_path):
    folder = tmp_path / "Some_Folder"
    texts(lines(folder / "sub" / "b.jsonl.gz", []).with_name("a.jsonl"), [TWO])
    texts(folder / "sub" / "b.jsonl.gz", [TWO, NONE])
    texts(folder / "c.parquet", [NONE, NONE, TWO])
    (folder / "README.md").write_text(SECRET)
    (folder / ".hidden.jsonl").write_text(SECRET)
    code, answer, table = check(folder)
    assert (code, answer["files"], answer["documents"], answer["flagged"]) == (3, 3, 6, 3)
    assert [(one["file"], one["row"]) for one in answer["flagged_rows"]] == [
        ("c.parquet", 2),
        ("sub/a.jsonl", 0),
        ("sub/b.jsonl.gz", 0),
    ]
    assert answer["files_not_read"] == ["README.md"]
    assert "not read: README.md" in table


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_chat_messages_are_one_document_and_terms_of_several_turns_count_together(
    check, tmp_path, name
):
    rows = [
        chat(f"{SECRET} Abrin?", "Nipah virus"),
        chat("tea", NONE),
        chat("Nipah", "virus, Abrin"),
        chat("Abrin"),
        {"messages": []},
    ]
    if name == "a.jsonl":
        path = lines(tmp_path / name, rows)
    else:
        path = tmp_path / name
        pq.write_table(pa.Table.from_pylist(rows), path)
    code, answer, _ = check(path)
    assert (code, answer["documents"], answer["empty"]) == (3, 4, 1)
    # Contents are joined by white space, which mode `words` reads across: a name that is split
    # between two turns is still named.
    assert [one["row"] for one in answer["flagged_rows"]] == [0, 2]


def test_a_message_without_text_makes_its_row_unreadable(check, tmp_path):
    rows = [
        chat(NONE),
        chat(NONE, None),
        {"messages": [{"role": "user"}]},
        {"messages": ["x"]},
        {"messages": 3},
    ]
    code, answer, _ = check(lines(tmp_path / "a.jsonl", rows))
    assert (code, answer["documents"], answer["quarantined"]) == (3, 1, 4)
    assert answer["quarantine_reasons"] == {"not-text": 3, "null-field": 1}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_named_column_is_read(check, tmp_path, name):
    assert check(texts(tmp_path / name, column="body"), "--text-column", "body")[0] == 3
    assert check(texts(tmp_path / name, column="body"))[0] == 4


def test_rows_with_text_and_messages_need_the_column_named(check, tmp_path):
    path = lines(tmp_path / "a.jsonl", [{"text": NONE, **chat(TWO)}])
    assert check(path)[0] == 2
    assert check(path, "--text-column", "messages")[0] == 3
    assert check(path, "--text-column", "text")[0] == 0


def test_a_published_layout_is_read_by_its_source_definition(check, sample_data):
    planted = json.loads((SHIPPED / "sample" / "data" / "PLANTED.json").read_text(encoding="utf-8"))
    for source in ("dolmino-pes2o", "dolmino-flan", "camel-biology", "dclm-dedup"):
        entries = [
            one
            for one in planted
            if one["source"] == source and one["kind"] in ("listed-names", "disguised-names")
        ]
        wanted = {(one["file"], one["row"]) for one in entries if len(one["names"]) >= 2}
        code, answer, _ = check(sample_data / source, "--source", source, "--limit", "0")
        assert {(one["file"], one["row"]) for one in answer["flagged_rows"]} == wanted
        assert code == (3 if wanted or answer["quarantined"] else 0)


def test_a_data_set_of_the_hub_is_read_through_the_datasets_library_at_a_commit(check, monkeypatch):
    class Split(list):
        column_names = ("messages",)

        def select_columns(self, names):
            assert names == ["messages"]
            return self

    asked = []

    def load_dataset(location, **options):
        asked.append((location, options["name"], options["split"], options["revision"]))
        return Split([chat(NONE), chat(TWO)])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr("pipeline.inputs.listing.resolve_commit", lambda revision: "c" * 40)
    code, answer, _ = check("owner/Chat_set:small", "--split", "test")
    assert (code, answer["documents"], answer["flagged"]) == (3, 2, 1)
    assert set(asked) == {("owner/Chat_set", "small", "test", "c" * 40)}


def test_usage_errors_are_exit_2(check, tmp_path):
    path = texts(tmp_path / "a.jsonl")
    assert check(path, name="no-such-filter")[0] == 2
    assert check(path, "--text-column", "text", "--source", "dolmino-wiki")[0] == 2
    assert check(lines(tmp_path / "a.txt", []))[0] == 2
    for limit in ("-1", "1.5", "x", "1/0", "nan"):
        with pytest.raises(SystemExit) as caught:
            main(["filter", "check", str(path), "--filter", "control-lists", f"--limit={limit}"])
        assert caught.value.code == 2


@pytest.mark.parametrize(
    "damage",
    [
        "missing",
        "missing-in-folder",
        "empty-folder",
        "empty",
        "truncated",
        "only-empty-texts",
        "tokenizer",
    ],
)
def test_data_that_cannot_be_read_is_exit_4(check, tmp_path, damage):
    path, more = tmp_path / "a.jsonl.gz", []
    if damage == "empty-folder":
        (path := tmp_path / "none").mkdir()
    elif damage == "missing-in-folder":
        path = tmp_path / "data" / "train.jsonl"
    elif damage == "only-empty-texts":
        texts(path, ["", ""])
    elif damage == "tokenizer":
        texts(path)
        more = ["--tokenizer", texts(tmp_path / "b.jsonl")]
    elif damage != "missing":
        content = texts(path, [f"{NONE} {number}" for number in range(500)]).read_bytes()
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    assert check(path, *more)[0] == 4


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, names = (
        random.Random(3),
        [
            "Abrin",
            "Ricin",
            "Nipah virus",
            "Hendra virus",
            "Lassa virus",
            "Conotoxin",
        ],
    )
    rows = []
    for number in range(400):
        text = " ".join(
            source.choices(["river", "stone", "lamp", "garden", "ledger", SECRET], k=30)
        )
        positive = number % 3 == 0
        if positive:
            text += f" {' and '.join(source.sample(names, 3))} are named here"
        rows.append({"text": f"{text} {number}", "label": int(positive)})
    return lines(tmp_path_factory.mktemp("labelled") / "labelled.jsonl", rows)


TRAIN = ["--blocklist", str(SHIPPED / "filters" / "control-lists.txt")]


@pytest.fixture(scope="module")
def bundle(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "my-filter"
    assert (
        main(["filter", "train", str(labelled), "--out", str(out), *TRAIN, "--recall", "0.9"]) == 0
    )
    return out


def test_a_trained_filter_is_a_whole_bundle_that_opens_and_is_used(bundle, labelled, check):
    assert sorted(path.name for path in bundle.iterdir()) == [
        "blocklist.txt", "curve.svg", "filter.yaml", "report.json", "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in bundle.parent.iterdir()] == ["my-filter"]
    definition = Filter.load(str(bundle / "filter.yaml")).definition
    chosen = json.loads((bundle / "report.json").read_text())["chosen"]
    assert definition.classifier is not None
    assert definition.classifier.threshold_millionths == chosen["threshold"]
    assert (
        definition.blocklist.sha256
        == hashlib.sha256((bundle / "blocklist.txt").read_bytes()).hexdigest()
    )
    assert [one.flagged for one in definition.golden] == [True, False]
    assert SECRET not in (bundle / "filter.yaml").read_text()
    code, answer, _ = check(labelled, name=str(bundle / "filter.yaml"))
    assert (code, answer["escalated"]) == (3, 134)
    assert 0.8 * 134 <= answer["flagged"] <= 134
    assert all(one["score"] > chosen["threshold"] for one in answer["flagged_rows"])


def test_training_prints_precision_recall_f1_threshold_and_where_the_curve_is(
    labelled, tmp_path, capsys
):
    options = ["filter", "train", str(labelled), *TRAIN, "--removal", "0.3", "--name", "named"]
    assert main([*options, "--out", str(tmp_path / "A"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {
        "threshold",
        "precision",
        "recall",
        "f1",
        "removal",
        "curve",
        "filter",
        "identity",
    } <= answer.keys()
    assert answer["removal"] <= 300_000
    assert Path(answer["curve"]).read_text().startswith("<svg")
    assert load_filter(answer["filter"]).definition.name == "named"
    assert main([*options, "--out", str(tmp_path / "B")]) == 0
    shown = capsys.readouterr().out
    assert all(
        word in shown
        for word in ("precision", "recall", "F1", "threshold", "curve.svg", "golden texts", "0.3")
    )
    assert SECRET not in shown


def test_the_same_documents_make_the_same_filter(bundle, labelled, tmp_path):
    assert (
        main(
            [
                "filter",
                "train",
                str(labelled),
                "--out",
                str(tmp_path / "my-filter"),
                *TRAIN,
                "--recall",
                "0.9",
            ]
        )
        == 0
    )
    for path in bundle.iterdir():
        assert (tmp_path / "my-filter" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["blocklist.txt", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_one_flipped_byte_in_a_bundle_is_exit_6_and_a_missing_file_exit_4(
    bundle, check, tmp_path, name, share
):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    data = texts(tmp_path / "a.jsonl")
    content = bytearray((copy / name).read_bytes())
    content[int(share * len(content))] ^= 0x01
    (copy / name).write_bytes(bytes(content))
    assert check(data, name=str(copy / "filter.yaml"))[:2] == (6, {})
    (copy / name).unlink()
    assert check(data, name=str(copy / "filter.yaml"))[:2] == (4, {})


def test_a_golden_decision_that_fails_is_exit_6_before_the_data_is_looked_at(
    bundle, check, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    file = copy / "filter.yaml"
    swapped = (
        file.read_text()
        .replace("flagged: false", "flagged: ?")
        .replace("flagged: true", "flagged: false")
    )
    file.write_text(swapped.replace("flagged: ?", "flagged: true"))
    assert check(tmp_path / "no-such-data.jsonl", name=str(file))[0] == 6


def train(labelled: Path, out: Path, *more: str) -> int:
    return main(["filter", "train", str(labelled), "--out", str(out), *TRAIN, *more])


def test_golden_texts_may_be_the_users_and_are_decided_by_the_trained_filter(
    labelled, tmp_path, capsys
):
    given = [
        "--golden-flagged",
        "Ricin and Conotoxin are named here",
        "--golden-passed",
        "The pricing of tea.",
    ]
    assert train(labelled, tmp_path / "good", *given) == 0
    golden = load_filter(str(tmp_path / "good" / "filter.yaml")).definition.golden
    assert [one.text for one in golden] == [given[1], given[3]]
    capsys.readouterr()
    assert train(labelled, tmp_path / "bad", "--golden-flagged", "tea") == 6
    assert not list(tmp_path.glob("*bad*"))
    assert not list(tmp_path.glob(".*"))


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_golden_texts_of_any_characters_come_back_from_the_file(text):
    assert parse_yaml(f"text: {_quoted(text)}\n", "x.yaml").value == {"text": text}


def test_training_fails_whole(labelled, tmp_path, capsys):
    assert train(labelled, tmp_path / "Bad_Name") == 2
    assert train(labelled, tmp_path / "x", "--threshold", "0") == 2
    assert train(labelled, tmp_path / "x", "--holdout", "1") == 2
    assert train(labelled, tmp_path / "x", "--blocklist", str(tmp_path / "none.txt")) == 4
    assert train(tmp_path / "none.jsonl", tmp_path / "x") == 4
    assert train(texts(tmp_path / "unlabelled.jsonl"), tmp_path / "x") == 4
    with pytest.raises(SystemExit) as caught:
        train(labelled, tmp_path / "x", "--recall", "0.5", "--removal", "0.5")
    assert caught.value.code == 2
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    assert train(labelled, tmp_path / "taken") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "unlabelled.jsonl"}


def digests(*removed: str) -> np.ndarray:
    return digest_columns(b"".join(sorted(text_digest(text) for text in removed)))


def reappeared(path: Path, removed: np.ndarray | None, limit: str = "0") -> CheckResult:
    result = run_library_check(
        find_dataset(str(path)), Filter.load("control-lists"), removed=removed
    )
    if removed is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.commands.filter.removed.removed_digests", lambda store: removed)
            code = run_check(
                CheckRequest(
                    dataset=str(path),
                    filter="control-lists",
                    limit=Fraction(limit),
                    store=Path("store"),
                )
            )
        assert code == (0 if result.passes(Fraction(limit)) else 3)
    return result


def test_a_removed_document_that_reappears_counts_against_the_limit_and_is_named(tmp_path, capsys):
    path = texts(tmp_path / "a.jsonl", [NONE, TWO, ONE_TERM, NONE + " 2"])
    found = reappeared(path, digests(ONE_TERM, TWO, "elsewhere"), "1/2")
    assert (found.flagged, found.reappeared, found.failing) == (
        1,
        2,
        2,
    )  # TWO is both, and counts once
    assert found.reappeared_rows == [("a.jsonl", 1), ("a.jsonl", 2)]
    assert found.passes(Fraction(1, 2))
    assert not found.passes(Fraction(49, 100))
    shown = capsys.readouterr().out
    assert "removed before: a.jsonl row 2" in shown
    assert "1 of 4 documents flagged, 2 removed before, limit 1/2" in shown
    assert SECRET not in shown


def test_documents_that_were_never_removed_do_not_reappear(tmp_path):
    path = texts(tmp_path / "a.jsonl", [NONE, ONE_TERM, NONE + "."])
    for removed in (digests(NONE + " 2", ONE_TERM.upper()), np.empty((0, 2), np.uint64)):
        assert reappeared(path, removed).reappeared == 0
    assert reappeared(path, None).reappeared is None


def test_a_named_document_that_reappears_fails_where_the_filter_passes_it(tmp_path):
    path = texts(tmp_path / "a.jsonl", [NONE, ONE_TERM])
    assert reappeared(path, digests(NONE)).failing == 1


def test_what_a_filtered_mix_removed_is_found_again_by_any_filter_and_else_nothing_is_known(
    tmp_path, capsys
):
    flagged = ["Rinderpest virus and Abrin.", "Lassa fever virus beside Ricin."]
    write_files(tmp_path / "data", "a", {"one": [*prose(1, 40), *flagged]}, "jsonl")
    more: dict[str, Any] = {"budget": {"tokens": 500}, "filters": ["control-lists"]}
    recipe = write_recipe(tmp_path / "recipes", {"a": {"weight": 1}}, {"a": "jsonl"}, **more)
    make(recipe, tmp_path, tmp_path / "data")
    again = texts(tmp_path / "again.jsonl", [flagged[0], "Another text."])
    request = CheckRequest(
        dataset=str(again), filter=str(lenient(tmp_path)), store=tmp_path / "store"
    )
    assert run_check(request) == 3
    assert "1 removed before" in capsys.readouterr().out
    new = texts(tmp_path / "new.jsonl", ["Another text."])
    assert run_check(replace(request, dataset=str(new))) == 0
    shutil.rmtree(tmp_path / "store" / "select")
    for store in ("store", "none"):
        with pytest.raises(RecipeError, match="store"):
            run_check(replace(request, filter="control-lists", store=tmp_path / store))


def lenient(folder: Path) -> Path:
    """A filter that finds nothing in those texts."""
    content = b"tungsten\nmolybdenum\n"
    (folder / "terms.txt").write_bytes(content)
    golden = [
        {"text": "tungsten and molybdenum", "flagged": "true"},
        {"text": "The weather was fine.", "flagged": "false"},
    ]
    pin = {"file": "terms.txt", "sha256": content_hash(content), "mode": "words"}
    (folder / "lenient.yaml").write_text(
        json.dumps({"name": "lenient", "blocklist": pin, "golden": golden})
    )
    return folder / "lenient.yaml"
