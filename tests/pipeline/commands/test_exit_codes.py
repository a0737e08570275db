"""Every way to fail through the command line: its exit code, a message that says what to do,
nothing published, no traceback, no text.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mixtures.mix import manifest as manifests
from tests.pipeline.command_line import CHECKOUT, fails, passes, run
from tests.pipeline.corpus import prose, read_mix, sharded, tokenizer, write_files, write_recipe
from tests.pipeline.input_files import flip_bit

TEXTS = {"a": prose(31, 60), "b": prose(32, 90)}
SOURCES: dict[str, dict[str, Any]] = {"a": {"weight": 1}, "b": {"weight": 3}}
SUPPLY = {
    name: sum(len(tokenizer().encode(text).ids) + 1 for text in texts)
    for name, texts in TEXTS.items()
}


class Corpus:
    """A data folder, recipes over it, and the words of their builds."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.store = folder, folder / "data", folder / "store"
        for name, texts in TEXTS.items():
            write_files(self.data, name, sharded(texts, 2))

    def recipe(self, sources: dict[str, dict[str, Any]] | None = None, **more: Any) -> Path:
        """Write a recipe: 1,001 tokens of both sources unless it says otherwise."""
        if sources is None:
            sources, more = SOURCES, {"budget": {"tokens": 1001}, **more}
        return write_recipe(self.folder / "recipes", sources, **more)

    def build(self, recipe: Path | None = None, out: str = "out") -> list[Any]:
        """The words of a build."""
        return [
            "build",
            recipe or self.recipe(),
            "--data",
            self.data,
            "--store",
            self.store,
            "--out",
            self.folder / "mixes" / out,
        ]

    def refused(self, code: int, *words: Any) -> str:
        """A build that must fail with this code and leave nothing where mixes are. Returns
        stderr.
        """
        found = fails(code, *(words or self.build()))
        assert not any((self.folder / "mixes").glob("*"))
        return found


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus with a built mix, `mixes/out`, that no test changes."""
    made = Corpus(tmp_path_factory.mktemp("made"))
    passes(*made.build())
    return made


@pytest.fixture
def mix(made: Corpus, tmp_path: Path) -> Path:
    """A copy of the built mix, to be damaged."""
    return Path(shutil.copytree(made.folder / "mixes" / "out", tmp_path / "mix"))


# 2: usage, recipe, places


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bild"], "unknown command 'bild'; did you mean 'build'?"),
        (["build", "sample"], "--out"),
        (["build", "--out", "x"], "RECIPE"),
        (["build", "sample", "--out", "x", "--tokens", "0"], "'0' is not a whole number above 0"),
        (
            ["build", "sample", "--out", "x", "--tokens", "1e6"],
            "'1e6' is not a whole number above 0",
        ),
        (["build", "sample", "--out", "x", "--tokens=-5"], "'-5' is not a whole number above 0"),
        (["build", "sample", "--out", "x", "--tokens", "٣"], "is not a whole number above 0"),
        (["build", "sample", "--out", "x", "--scale", "2"], "'2' is not above 0 and at most 1"),
        (["build", "sample", "--out", "x", "--scale", "0"], "'0' is not above 0 and at most 1"),
        (["build", "sample", "--out", "x", "--scale", "1/0"], "'1/0' divides by 0"),
        (
            ["build", "sample", "--out", "x", "--scale", "nan"],
            "'nan' is not a number such as 0.01 or 1/100",
        ),
        (
            ["build", "sample", "--out", "x", "--scale", "0.5", "--tokens", "5"],
            "not allowed with argument",
        ),
        (["build", "sample", "--out", "x", "--workers", "0"], "'0' is not a whole number above 0"),
        (["build", "sample", "--out", "x", "--tasks", "0"], "'0' is not a whole number above 0"),
        (["plan", "sample", "--steps", "9", "--scale", "0.5"], "not allowed with argument"),
        (["plan", "sample", "--tokens", "0"], "'0' is not a whole number above 0"),
        (["plan", "sample", "--tokens", "1" + 19 * "0"], "below 2^63"),
        (["trace", "mix", "--token", "-1"], "'-1' is not a whole number from 0"),
        (["trace", "mix", "--step", "0", "--batch", "0"], "'0' is not a whole number above 0"),
        (
            ["export", "mix", "--html", "page.html", "--samples", "101"],
            "101 is not a whole number from 0 to 100",
        ),
        (["diff", "s3://bucket/a", "s3://bucket/b"], "a URL is not allowed here"),
        (["export", "s3://bucket/mix", "--card", "-"], "a URL is not allowed here"),
        (
            ["trace", "mix", "--token", "0", "--store", "s3://bucket/store"],
            "a URL is not allowed here",
        ),
        (["audit"], "MIX"),
        (["audit", "x", "--against"], "expected at least one argument"),
        (["store", "rm"], "unknown command 'rm'"),
    ],
)
def test_usage_errors_end_with_2_and_name_the_argument(words, told):
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(("usage: annealmix", "annealmix"))
    assert told in ended.err


FAULTY = """name: faulty
budget: {tokens: 1e6, steps: 5}
tokenizer: gpt-5
exclude: [pretraining-5b]
sources:
  wiki: {use: dolmino-wiki, weight: 7.37, tokens: 5}
  flan: {use: dolmino-flann, weight: -1}
  wiki: {use: dolmino-wiki, weight: 1}
  dclm: {use: dclm-dedup, tokens: 100, keys: [0.9, 0.1], shortfall: {refill: nobody}}
  pes2o: {use: dolmino-pes2o, wait: 1}
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sample", "--batch", "8"], "--batch: only with --steps"),
        (["holdout", "--steps", "9"], "has no token budget, so --steps cannot scale it"),
        (["sample", "--steps", "9" + 15 * "0"], "at most 4,503,599,627,370,496"),
    ],
)
def test_steps_that_no_mix_can_have_are_refused(words, told):
    assert told in fails(2, "plan", *words)


@pytest.mark.parametrize("command", ["plan", "build"])
def test_all_faults_of_a_recipe_are_told_at_once_with_file_and_line(tmp_path, command):
    recipe = tmp_path / "faulty.yaml"
    recipe.write_text(FAULTY.replace("  wiki: {use: dolmino-wiki, weight: 1}\n", ""))
    found = fails(2, command, recipe, *(["--out", tmp_path / "out"] if command == "build" else []))
    for line, told in {
        2: "budget",
        3: "gpt-5",
        4: "pretraining-5b",
        6: "wiki",
        7: "dolmino-flan",
        8: "keys",
        9: "wait",
    }.items():
        assert any(
            f"{recipe}:{line}: " in told_line and told in told_line
            for told_line in found.splitlines()
        ), (line, found)
    assert not (tmp_path / "out").exists()


def test_a_key_that_is_given_twice_is_told_with_its_line(tmp_path):
    recipe = tmp_path / "faulty.yaml"
    recipe.write_text(FAULTY)
    found = fails(2, "plan", recipe)
    assert f"{recipe}:8: " in found
    assert "wiki" in found


def test_an_unknown_recipe_is_told_with_the_one_that_was_meant():
    assert "annealing-50b" in fails(2, "plan", "anealing-50b")


def test_a_recipe_file_that_is_not_there_ends_with_2(tmp_path):
    assert "none.yaml" in fails(2, "plan", tmp_path / "none.yaml")


def test_an_output_that_another_mix_has_taken_is_refused_and_kept(corpus):
    passes(*corpus.build())
    kept = (corpus.folder / "mixes" / "out" / "tokens.bin").read_bytes()
    assert "another recipe or size" in fails(2, *corpus.build(), "--tokens", "99")
    assert "another recipe or size" in fails(
        2, *corpus.build(corpus.recipe(SOURCES, budget={"tokens": 1002}))
    )
    assert (corpus.folder / "mixes" / "out" / "tokens.bin").read_bytes() == kept


def test_an_output_that_is_no_mix_is_refused_and_kept(corpus):
    taken = corpus.folder / "mixes" / "out" / "thesis.tex"
    taken.parent.mkdir(parents=True)
    taken.write_text("precious")
    assert "is no mix" in fails(2, *corpus.build())
    assert taken.read_text() == "precious"


def test_a_store_that_is_no_store_is_refused_and_kept(corpus):
    corpus.store.mkdir()
    (corpus.store / "thesis.tex").write_text("precious")
    assert "not a store" in corpus.refused(2)
    assert "no store there" in fails(2, "store", "ls", "--store", corpus.store)
    assert "no store there" in fails(2, "store", "gc", "--store", corpus.store)
    assert [path.name for path in corpus.store.iterdir()] == ["thesis.tex"]


def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path):
    fails(2, "store", "ls", "--store", tmp_path / "none")
    fails(2, "store", "gc", "--store", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_recipe_without_a_token_budget_cannot_be_sized_in_tokens(corpus):
    assert "use --scale" in corpus.refused(
        2, *corpus.build(corpus.recipe({"a": {"all": True}})), "--tokens", "100"
    )


def test_a_size_that_leaves_no_token_is_refused(corpus):
    assert "0 tokens" in corpus.refused(2, *corpus.build(), "--scale", "1/100000")


def test_auditing_something_that_is_no_mix_ends_with_2_or_6(tmp_path):
    assert "neither the folder of a mix" in fails(2, "audit", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no finished mix" in fails(6, "audit", tmp_path / "empty")


def test_a_bare_pair_cannot_be_compared(made):
    out = made.folder / "mixes" / "out"
    assert "--against" in fails(2, "audit", out / "tokens", "--against", out)


def test_two_sources_of_the_same_files_are_refused(corpus):
    shutil.rmtree(corpus.data / "b")
    (corpus.data / "b").symlink_to("a", target_is_directory=True)
    found = corpus.refused(2)
    assert "read the same " in found
    assert str(corpus.data / "a" / "part-000.json.gz") in found


# 3: a finished mix that is not what it says


@pytest.mark.parametrize("full", [[], ["--full"]])
def test_one_changed_token_ends_the_audit_with_3(mix, full):
    flip_bit(mix / "tokens.bin", 1000)
    ended = run("audit", mix, *full)
    assert ended.code == 3
    assert "FAILED chunk hashes" in ended.out
    assert ended.out.splitlines()[-1].startswith("audit FAILED: ")
    assert "Traceback" not in ended.err
    answer = run("audit", mix, "--json", *full)
    assert answer.code == 3
    assert not answer.answer["passed"]
    assert (
        next(check["name"] for check in answer.answer["checks"] if not check["ok"])
        == "chunk hashes"
    )


FILES = (
    "tokens.bin",
    "tokens.idx",
    "documents.parquet/part-00000.parquet",
    "provenance.parquet/part-00000.parquet",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_a_damaged_file_of_a_mix_ends_the_audit_with_3_and_no_traceback(mix, name, damage):
    path = mix / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if damage == "cut" else 0])
    ended = run("audit", mix)
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err
    assert "FAILED" in ended.out


def test_mixes_that_share_documents_end_the_audit_with_3(made, mix):
    ended = run("audit", mix, "--against", made.folder / "mixes" / "out")
    assert ended.code == 3
    assert "FAILED shared documents with" in ended.out


def test_a_bare_pair_that_does_not_fit_ends_with_3(mix, tmp_path):
    shutil.copy(mix / "tokens.idx", tmp_path / "bare.idx")
    (tmp_path / "bare.bin").write_bytes((mix / "tokens.bin").read_bytes()[:-2])
    ended = run("audit", tmp_path / "bare")
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err


# 4: inputs


def test_a_damaged_input_ends_with_4_and_names_the_file(corpus):
    path = corpus.data / "a" / "part-001.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in corpus.refused(4)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_error_of_a_worker_is_told_as_that_of_one_process(corpus, workers):
    path = corpus.data / "b" / "part-000.json.gz"
    path.write_bytes(b"no gzip")
    assert str(path) in corpus.refused(4, *corpus.build(), "--workers", workers)


def test_a_source_that_is_not_there_ends_with_4_and_names_the_folder(corpus):
    shutil.rmtree(corpus.data / "b")
    assert str(corpus.data / "b") in corpus.refused(4)
    assert str(corpus.data / "b") in fails(4, "plan", corpus.recipe(), "--data", corpus.data)


def test_more_unreadable_rows_than_allowed_end_with_4_and_the_mended_build_goes_on(corpus):
    bad = corpus.data / "a" / "bad.json.gz"
    bad.write_bytes(gzip.compress(b'{"text": 5}\nnot json\n{"text": "fine"}\n'))
    found = corpus.refused(4)
    assert "sources.a: 2 of 63 rows are unreadable" in found
    assert "quarantine.jsonl" in found
    quarantine = Path(
        next(word for word in found.replace(",", " ").split() if word.endswith("quarantine.jsonl"))
    )
    assert [json.loads(line)["row"] for line in quarantine.read_text().splitlines()] == [0, 1]
    assert quarantine.stat().st_mode & 0o077 == 0
    bad.unlink()
    passes(*corpus.build())


def test_checksums_that_do_not_fit_end_with_4(corpus):
    (corpus.data / "a" / "SHA256SUMS").write_text(
        "".join(f"{'0' * 64}  part-{number:03d}.json.gz\n" for number in range(2))
    )
    assert re.search(
        r"part-00[01]\.json\.gz: expected sha256 0+", corpus.refused(4)
    )  # whichever is read first


def test_a_tokenizer_file_that_is_not_there_ends_with_4(corpus):
    assert "none.json" in corpus.refused(
        4, *corpus.build(), "--tokenizer", corpus.folder / "none.json"
    )


# 5: supply; and what is done about it


def test_a_short_source_ends_with_5_and_says_asked_available_and_what_to_do(corpus):
    recipe = corpus.recipe({"a": {"tokens": SUPPLY["a"] + 1}, "b": {"tokens": 10}})
    found = corpus.refused(5, *corpus.build(recipe))
    assert str(recipe) in found
    assert f"sources.a asks {SUPPLY['a'] + 1:,} tokens, {SUPPLY['a']:,} are available" in found
    assert "shortfall" in found
    assert "sources.b" not in found


def test_a_plan_of_a_short_source_ends_with_5_and_still_shows_the_plan(corpus):
    recipe = corpus.recipe({"a": {"tokens": 100 * SUPPLY["a"]}, "b": {"tokens": 10}})
    ended = run("plan", recipe, "--data", corpus.data)
    assert ended.code == 5
    assert f"sources.a asks {100 * SUPPLY['a']:,} tokens" in ended.err
    assert "estimated cost" in ended.out
    answer = run("plan", recipe, "--data", corpus.data, "--json")
    assert answer.code == 5
    assert len(answer.answer["shortages"]) == 1


def test_a_shortage_is_refilled_when_the_recipe_says_so(corpus):
    recipe = corpus.recipe(
        {"a": {"tokens": SUPPLY["a"] + 1, "shortfall": {"refill": "b"}}, "b": {"tokens": 10}}
    )
    ended = passes(*corpus.build(recipe))
    assert "sources.a was 1 token short; b gave what was missing" in ended.err
    assert [
        source["realised_tokens"]
        for source in manifests.load(corpus.folder / "mixes" / "out")["sources"]
    ] == [SUPPLY["a"], 11]
    assert (
        "1 token given by other sources"
        in passes("audit", corpus.folder / "mixes" / "out", "--full").out
    )


def test_a_shortage_is_repeated_when_the_recipe_says_so_and_no_more(corpus):
    recipe = corpus.recipe({"a": {"tokens": 2 * SUPPLY["a"], "shortfall": {"repeat": 2}}})
    passes(*corpus.build(recipe))
    documents = read_mix(corpus.folder / "mixes" / "out")
    assert [document.epoch for document in documents].count(1) == len(TEXTS["a"])
    passes("audit", corpus.folder / "mixes" / "out", "--full")
    recipe = corpus.recipe({"a": {"tokens": 2 * SUPPLY["a"] + 1, "shortfall": {"repeat": 2}}})
    assert "2 epochs of them are allowed" in fails(5, *corpus.build(recipe, "more"))
    assert not (corpus.folder / "mixes" / "more").exists()


# 6: manifests, records, tokenizers


def test_an_edited_manifest_ends_with_6(mix):
    manifest = mix / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"licence": "CC0"', '"licence": "MIT"'))
    for words in (["audit", mix], ["audit", mix, "--json"]):
        assert "edited after it was written" in fails(6, *words)


def test_an_edited_manifest_of_the_other_mix_ends_with_6(made, mix):
    (mix / "manifest.json").write_text("{}")
    assert str(mix) in fails(6, "audit", made.folder / "mixes" / "out", "--against", mix)


def test_a_damaged_manifest_at_the_output_ends_with_6(corpus):
    passes(*corpus.build())
    (corpus.folder / "mixes" / "out" / "manifest.json").write_text("{")
    assert "manifest.json" in fails(6, *corpus.build())


@pytest.mark.parametrize(
    "pattern", ["ledger/*.digest", "ledger/*.row", "tokens-*/*.tokens", "tokens-*/*.num_tokens"]
)
def test_a_file_of_the_store_with_other_bytes_ends_with_6_and_names_it(corpus, pattern):
    passes(*corpus.build())
    path = next(corpus.store.glob(f"sources/a-*/*/{pattern}"))
    flip_bit(path, path.stat().st_size // 2)
    found = fails(6, *corpus.build(out="again"))
    assert str(path) in found
    assert "delete" in found
    assert not (corpus.folder / "mixes" / "again").exists()


def test_a_done_record_that_is_cut_ends_with_6(corpus):
    passes(*corpus.build())
    path = next(corpus.store.glob("sources/a-*/*/ledger/done.json"))
    path.write_bytes(path.read_bytes()[:-30])
    assert str(path) in fails(6, *corpus.build(out="again"))
    assert str(path) in fails(6, "store", "ls", "--store", corpus.store)


def test_a_store_of_another_salt_or_format_ends_with_6(corpus):
    passes(*corpus.build())
    (corpus.store / "store.json").write_text('{"format": 99, "salt": "another"}')
    assert "this version reads" in fails(6, *corpus.build(out="again"))


def test_another_tokenizer_than_the_recipes_ends_with_6(corpus, tmp_path):
    content = json.loads((CHECKOUT / "recipes" / "sample" / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert "it is another tokenizer" in corpus.refused(
        6, *corpus.build(), "--tokenizer", tmp_path / "other.json"
    )
    assert "it is another tokenizer" in fails(
        6, "plan", corpus.recipe(), "--data", corpus.data, "--tokenizer", tmp_path / "other.json"
    )


def test_a_tokenizer_file_that_is_no_tokenizer_ends_with_6(corpus, tmp_path):
    (tmp_path / "other.json").write_text('{"model": 5}')
    corpus.refused(6, *corpus.build(), "--tokenizer", tmp_path / "other.json")


# 1: this machine


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_ends_with_1_and_names_it(corpus):
    closed = corpus.folder / "mixes"
    closed.mkdir(mode=0o500)
    assert str(closed) in fails(1, *corpus.build())


def test_an_output_below_a_file_ends_with_a_named_error(corpus):
    (corpus.folder / "mixes").write_text("a file")
    ended = run(*corpus.build())
    assert ended.code in (1, 2)
    assert str(corpus.folder / "mixes") in ended.err
    assert "Traceback" not in ended.err


# texts


MARKER = (  # in every row, whether it is read or not; two letters of it are one token at most
    "quicksilverowl"
)


@pytest.fixture
def marked(tmp_path: Path) -> Corpus:
    """A corpus of which every row has the marker: in texts, in broken lines, in other columns, and
    beside what is unreadable.
    """
    corpus = Corpus(tmp_path)
    for name, texts in TEXTS.items():
        write_files(corpus.data, name, sharded([f"{MARKER} {text} {MARKER}" for text in texts], 2))
    rows = [
        f'{{"text": "{MARKER}'.encode(),
        f'{{"text": 5, "{MARKER}": "{MARKER}"}}'.encode(),
        f'{{"text": ["{MARKER}"]}}'.encode(),
        f'["{MARKER}"]'.encode(),
        f'{{"txt": "{MARKER}"}}'.encode(),
        f'{{"text": "{MARKER} '.encode() + b'\xff\xfe"}',
        f'{{"text": "{MARKER} \\ud800"}}'.encode(),
        f'{{"text": "{MARKER} <|endoftext|> {MARKER}"}}'.encode(),
        f'{{"text": "{MARKER}", "text": "{MARKER}"}}'.encode(),
        f"{MARKER}".encode(),
    ]
    (corpus.data / "a" / "bad.json.gz").write_bytes(gzip.compress(b"\n".join(rows)))
    return corpus


def test_the_documents_text_is_in_no_output_log_or_record(marked):
    strict, lenient = (
        marked.build(),
        marked.recipe(SOURCES, budget={"tokens": 1001}, name="lenient", max_quarantined="0.5"),
    )
    mixes = marked.folder / "mixes"
    ended = [
        run(*strict),
        run(*marked.build(lenient, "one")),
        run(*marked.build(lenient, "one"), "--json"),
        run(*marked.build(lenient, "two"), "--tokens", "500"),
        run("plan", lenient, "--data", marked.data),
        run("plan", lenient, "--data", marked.data, "--json"),
        run("audit", mixes / "one", "--full"),
        run("audit", mixes / "one", "--against", mixes / "two", "--json"),
        run("audit", mixes / "one" / "tokens"),
        run("store", "ls", "--store", marked.store),
    ]
    assert [one.code for one in ended] == [4, 0, 0, 0, 0, 0, 0, 3, 0, 0]
    path = marked.data / "b" / "part-000.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    ended += [run(*marked.build(lenient, "three")), run("plan", lenient, "--data", marked.data)]
    assert ended[-2].code == 4
    for one in ended:
        assert MARKER not in one.out + one.err
    records = [
        path for folder in (marked.store, mixes) for path in folder.rglob("*") if path.is_file()
    ]
    assert any(path.name == "quarantine.jsonl" and path.stat().st_size for path in records)
    assert any("logs" in path.parts for path in records)
    for path in records:
        assert MARKER.encode() not in path.read_bytes(), path
