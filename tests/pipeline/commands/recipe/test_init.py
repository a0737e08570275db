"""`annealmix init` says what is in a folder and writes a recipe of it that builds."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import recipes
from mixtures.errors import AnnealmixError, ManifestError
from mixtures.recipe.load import load_recipe
from pipeline.commands.recipe.guess import columns_of, guess_text
from pipeline.commands.recipe.init import InitRequest, init
from pipeline.commands.recipe.look import licence_of
from pipeline.inputs.readers.raw import RawFile
from pipeline.tokens.find import fetcher
from tests.mixtures.recipe.tokenizer.test_request import with_specials
from tests.pipeline.command_line import Process, fails, moving_hub, passes
from tests.pipeline.corpus import prose
from tests.pipeline.inputs.test_hub import COMMIT
from tests.pipeline.shapes import lines


def write(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(lines(rows))


def notes(folder: Path, name: str = "notes/2024 (a)/ü.jsonl", count: int = 30) -> None:
    write(folder, name, [{"id": 1, "data": {"text": text}} for text in prose(3, count)])


def written(folder: Path, **asked: object) -> str:
    request = InitRequest(str(folder), **{"tokenizer": "sample", **asked})  # type: ignore[arg-type]
    return init(request).read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_it_writes_builds_and_passes_its_audit(here: Path, capsys: pytest.CaptureFixture[str]):
    notes(here)
    rows: list[dict[str, object]] = [
        {"title": None if number == 3 else "A", "body": text}
        for number, text in enumerate(prose(5, 30))
    ]
    write(here, "papers/p.parquet", rows)
    (here / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Card")
    text = written(here, out=Path("mine.yaml"), tokens=600)
    assert text.splitlines()[1:] == [
        "name: mine",
        "budget: {tokens: 600}",
        "tokenizer: sample",
        "sources:",
        "  notes: {data: notes, text: data.text, licence: cc-by-4.0, weight: 1}",
        '  papers: {data: papers, text: [title?, "\\n\\n", body], licence: cc-by-4.0, weight: 1}',
    ]
    shown = capsys.readouterr()
    assert "notes: columns id (number), data.text (text)" in shown.out
    assert "papers: of the 30 rows that were read: 30 texts" in shown.out
    passes("build", "mine.yaml", "--out", "mix")
    passes("audit", "mix")
    unbrought = fails(2, "audit", "mix", "--source-check", "5")
    assert "add --data notes=DIR --data papers=DIR, each DIR" in unbrought
    assert "papers has 1 file, the first p.parquet" in unbrought
    folders = [word for name in ("notes", "papers") for word in ("--data", f"{name}={name}")]
    passes("audit", "mix", "--source-check", "5", *folders)
    again = written(here, out=Path("again.yaml"))
    assert [line.split(":")[0] for line in again.splitlines()[4:]] == ["  notes", "  papers"]
    manifest = json.loads((here / "mix/manifest.json").read_text())
    assert [source["licence"] for source in manifest["sources"]] == ["cc-by-4.0"] * 2


def test_a_template_that_begins_texts_is_said(here: Path, capsys: pytest.CaptureFixture[str]):
    notes(here, "d/a.jsonl")
    first = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [first]}
    record = with_specials("<s>", post_processor=template)
    (here / "tokenizer.json").write_text(json.dumps(record))
    line = written(here / "d", tokenizer="tokenizer.json").splitlines()[2]
    assert line == (
        'tokenizer: {file: tokenizer.json, eod: "<|endoftext|>"}'
        '    # its template begins texts with "<s>": add bos: "<s>"'
    )
    assert 'add bos: "<s>" if documents' in passes("plan", "d.yaml").err


def test_of_splits_train_is_taken_and_the_others_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("train-0.jsonl", "train-1.jsonl", "test-0.jsonl"):
        notes(here, f"d/data/{name}")
    assert "d: {data: d, text: data.text, splits: [train]" in written(here / "d")
    assert "left out: 1 file of test" in capsys.readouterr().out
    assert load_recipe("./d.yaml").definitions["d"].splits == ("train",)


def test_folders_of_splits_are_one_source(here: Path):
    for split in ("train", "validation"):
        notes(here, f"d/{split}/a.jsonl")
    assert "d: {data: d, text: data.text, splits: [train]" in written(here / "d")


def test_a_readme_beside_the_rows_is_no_row(here: Path):
    notes(here, "d/a.jsonl")
    (here / "d/README.txt").write_text("About.")
    assert "d: {data: d, text: data.text, all: true}" in written(here / "d")
    (here / "d.yaml").unlink()
    (here / "d/b.txt").write_text("A text.")
    assert 'd: {data: "d/**/*.jsonl", text: data.text, all: true}' in written(here / "d")


def test_no_more_than_a_sample_is_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    notes(here, "d/a.jsonl", 60_000)
    asked, read = RawFile._from_file, [0]

    def counting(raw: RawFile, num_bytes: int) -> bytes:
        block = asked(raw, num_bytes)
        read[0] += len(block)
        return block

    monkeypatch.setattr(RawFile, "_from_file", counting)
    written(here / "d")
    assert (here / "d/a.jsonl").stat().st_size > 10_000_000
    assert read[0] < 3 << 20
    assert re.search(r" about (5[5-9]|6[0-5]),\d{3} ", capsys.readouterr().out)  # of 60,000


def test_a_tokenizer_that_is_there_is_taken_and_is_no_source(here: Path):
    notes(here, "d/a.jsonl")
    added = [
        {"content": "<s>", "special": True},
        {"content": "<eos>", "special": False},
        {"content": "</s>", "special": True},
    ]
    small = {"version": "1.0", "truncation": None, "added_tokens": added}
    (here / "d/my tokenizer.json").write_text(json.dumps(small))
    # it is none, which reading the recipe says; but it is the one that is meant
    with pytest.raises(AnnealmixError, match=r"my tokenizer\.json"):
        written(here / "d", tokenizer=None)
    shutil.copy(Path(str(recipes.__file__)).parent / "sample/tokenizer.json", here / "d/my.json")
    (here / "d/my tokenizer.json").unlink()
    text = written(here / "d", tokenizer=None)
    assert 'tokenizer: {file: d/my.json, eod: "<|endoftext|>"}' in text
    assert '  d: {data: "d/**/*.jsonl", text: data.text, all: true}' in text


def test_a_recipe_that_is_there_stays(here: Path):
    notes(here, "d/a.jsonl")
    (here / "d.yaml").write_text("mine")
    with pytest.raises(AnnealmixError, match=r"is there already"):
        written(here / "d")
    assert (here / "d.yaml").read_text() == "mine"


def test_a_recipe_that_its_lock_refuses_is_not_kept(here: Path):
    notes(here, "d/a.jsonl")
    written(here / "d")
    passes("lock", "d.yaml")
    (here / "d.yaml").unlink()
    locked = (here / "d.lock.yaml").read_text()
    changed = re.sub(r"[0-9a-f]{64}", "0" * 64, locked)
    assert changed != locked
    (here / "d.lock.yaml").write_text(changed)
    with pytest.raises(ManifestError, match="lock"):
        written(here / "d")
    assert sorted(path.name for path in here.iterdir()) == ["d", "d.lock.yaml"]


def test_a_tokenizer_of_the_hub_is_written_with_its_end(
    here: Path, monkeypatch: pytest.MonkeyPatch
):
    notes(here, "d/a.jsonl")
    shipped = Path(str(recipes.__file__)).parent / "sample/tokenizer.json"
    hub = here / "hub/models--owner--name/snapshots" / ("a" * 40) / "tokenizer.json"
    hub.parent.mkdir(parents=True)
    shutil.copy(shipped, hub)
    asked = []

    def from_hub(name: str, repo: str, revision: str | None, filename: str) -> Path:
        asked.append(repo)
        return hub

    monkeypatch.setattr("pipeline.tokens.find.from_hub", from_hub)
    text = written(here / "d", tokenizer="owner/name")
    assert 'tokenizer: {repo: owner/name, eod: "<|endoftext|>"}' in text
    assert set(asked) == {"owner/name"}
    assert load_recipe("./d.yaml", fetch=fetcher()).tokenizer.repo == "owner/name"


def test_a_folder_elsewhere_gets_its_recipe_beside_it(here: Path, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    notes(other, "d/a.jsonl")
    assert "data: d," in written(other / "d")
    assert (other / "d.yaml").is_file()
    with pytest.raises(AnnealmixError, match="reads files below its own folder"):
        written(other / "d", out=Path("x.yaml"))


def test_the_rows_of_a_small_file_are_known(here: Path, capsys: pytest.CaptureFixture[str]):
    notes(here, "d/a.jsonl", 777)
    written(here / "d")
    assert " 777 " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing", "unknown.bin", "numbers.jsonl", "empty.jsonl"])
def test_a_folder_without_texts_is_an_error(here: Path, name: str):
    (here / "d").mkdir()
    if name == "empty.jsonl":
        (here / "d" / name).touch()
    if name == "unknown.bin":
        (here / "d" / name).write_bytes(b"\0\1")
    if name == "numbers.jsonl":
        write(here, f"d/{name}", [{"n": 1}])
    with pytest.raises(
        AnnealmixError, match=r"no file that is read|no column of text|holds empty files"
    ):
        written(here / "d")


def test_a_data_set_of_the_hub_is_pinned_to_its_commit(here: Path):
    with moving_hub() as server:
        words = ["init", "owner/name", "--tokenizer", "sample"]
        ended = Process(here, *words, environment=server.environment(here / "home")).end()
        assert ended.code == 0, ended.err
        assert f'data: "hf://datasets/owner/name@{COMMIT}"' in (here / "name.yaml").read_text()
        words = ["build", "name.yaml", "--out", "mix"]
        ended = Process(here, *words, environment=server.environment(here / "home")).end()
    assert ended.code == 0, ended.err
    passes("audit", "mix")


@pytest.mark.parametrize(
    ("row", "expression"),
    [
        ({"url": "http://a.example/a/long/address", "text": "a"}, "text"),
        ({"id": "12345678", "content": "a", "summary": "longer text"}, "content"),
        ({"a": "short", "b": "the longest of the texts", "n": 1}, "b"),
        (
            {"messages": [{"role": "user", "content": "Hi"}], "id": "x"},
            {"column": "messages", "chat": "roles"},
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}]},
            {"column": "conversations", "chat": "roles"},
        ),
        ({"instruction": "a", "output": "b"}, ["instruction", "\n\n", "output"]),
        ({"meta": {"a.b": "some text"}}, {"path": ["meta", "a.b"]}),
        ({"n": 1}, None),
    ],
)
def test_the_text_is_guessed(row: dict[str, object], expression: object):
    guess = guess_text(columns_of([row]), 1)
    assert (guess.expression if guess else None) == expression


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\ntags: [a]\nlicense: 'apache-2.0'  # yes\n---\n", "apache-2.0"),
        ("# license: mit", None),
        ("---\ntags: [a]\n---\nlicense: mit", None),
        ("---\nlicense: \x1b[31m\n---\n", None),
    ],
)
def test_the_licence_is_the_cards(card: str, licence: str | None):
    assert licence_of(card) == licence
