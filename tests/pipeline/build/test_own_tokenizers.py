"""A mix with a tokenizer of the user's: documents are [BOS] ids EOD as the reference library makes
the ids, both are counted and audited, and texts come back.

Oracle: the `tokenizers` library, called here directly on the file without its template.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

import annealmix
from mixtures.audit.mix import audit_mix
from mixtures.errors import InputError
from mixtures.mix.claims import read_claims
from mixtures.mix.indexed import open_indexed
from mixtures.recipe.load import load_tokenizer_definition
from pipeline.build.output.output import keep_tokenizer
from pipeline.stages import ingest
from pipeline.tokens.engines import ENGINES, Fastokens
from pipeline.tokens.find import find_tokenizer, kept_copy
from pipeline.tokens.tokenizer import Tokenizer
from tests.mixtures.recipe.tokenizer.test_request import with_specials
from tests.pipeline.corpus import make, prose, write_files, write_recipe

SPELLED = "It says <s> and </s> and <|endoftext|> here."
TEXTS = [*prose(11, 40, (1, 20)), SPELLED]
ENDS = {"eod": "</s>", "bos": "<s>"}
TEMPLATE = json.loads(
    tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2000), ("</s>", 2001)]
    ).__getstate__()
)
BOS, EOD = 2000, 2001


@dataclass(frozen=True)
class Work:
    """A folder with data, and my.json beside the recipes."""

    folder: Path

    def build(self, out: str, tokenizer: Any = None, tokens: Any = None, **more: Any) -> Path:
        """Build a mix of all texts, or of so many tokens; a store for all."""
        request = {"all": "true"} if tokens is None else {"tokens": tokens}
        recipe = write_recipe(
            self.folder / "recipes",
            {"a": request},
            {"a": "jsonl"},
            out,
            tokenizer={"file": "my.json", **ENDS} if tokenizer is None else tokenizer,
            **more,
        )
        make(recipe, self.folder, self.folder / "data", out)
        return self.folder / out

    def reference(self, parse: bool = False) -> tokenizers.Tokenizer:
        record = json.loads((self.folder / "recipes" / "my.json").read_text())
        loaded = tokenizers.Tokenizer.from_str(json.dumps({**record, "post_processor": None}))
        loaded.encode_special_tokens = not parse
        return loaded


def documents(mix: Path) -> list[list[int]]:
    """Ids of each document, from the pair alone."""
    pair = open_indexed(mix / "tokens.bin", mix / "tokens.idx")
    ends = np.cumsum(pair.sizes)
    return [
        pair.tokens[end - size : end].tolist() for end, size in zip(ends, pair.sizes, strict=True)
    ]


def failed(mix: Path) -> list[str]:
    return [check.name for check in audit_mix(mix, True).checks if not check.ok]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("own")
    (folder / "recipes").mkdir()
    record = with_specials("<s>", "</s>", post_processor=TEMPLATE)
    (folder / "recipes" / "my.json").write_text(json.dumps(record))
    write_files(folder / "data", "a", {"part": TEXTS}, "jsonl")
    return Work(folder)


@pytest.fixture(scope="module")
def mix(work: Work) -> Path:
    return work.build("mix")


def test_documents_are_bos_the_ids_of_the_reference_and_eod(work, mix):
    reference = work.reference()
    expected = [[BOS, *reference.encode(text, add_special_tokens=False).ids, EOD] for text in TEXTS]
    assert sorted(documents(mix)) == sorted(expected)
    claims = read_claims(mix)
    assert (claims.bos_tokens, claims.eod_tokens) == (len(TEXTS), len(TEXTS))
    assert (claims.tokenizer.bos, claims.tokenizer.eod) == ("<s>", "</s>")
    assert failed(mix) == []
    names = [check.name for check in audit_mix(mix, False).checks]
    assert {"document starts", "BOS count"} <= set(names)


def test_texts_come_back_without_what_stands_around_them(mix, work):
    with annealmix.open_mix(mix, tokenizer=work.folder / "recipes" / "my.json") as opened:
        assert sorted(opened.text(index) for index in range(len(opened))) == sorted(TEXTS)


def test_the_kept_copy_of_the_tokenizer_decodes_when_the_file_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "my.json"
    file.write_text(json.dumps(with_specials("<s>", "</s>")))
    write_files(tmp_path / "data", "a", {"part": TEXTS[:3]}, "jsonl")
    mix = Work(tmp_path).build("mix")
    file.unlink()
    with annealmix.open_mix(mix) as opened:
        assert sorted(opened.text(index) for index in range(3)) == sorted(TEXTS[:3])


def test_a_shipped_definition_without_its_file_is_found_in_the_copy_of_a_build(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    sample = load_tokenizer_definition("sample")
    file = find_tokenizer(sample)
    bare = sample.model_copy(update={"file": None, "repo": None})
    with pytest.raises(InputError, match="not found in"):
        find_tokenizer(bare)
    keep_tokenizer(file, sample)
    assert not kept_copy(sample.digest).exists(), "its file comes along"
    keep_tokenizer(file, bare)
    assert find_tokenizer(bare) == kept_copy(sample.digest)


def test_a_cache_that_cannot_be_written_costs_the_copy_and_no_mix(tmp_path, monkeypatch, capsys):
    (tmp_path / "no-folder").write_text("as a home that compute nodes cannot write")
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "no-folder" / "cache"))
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "my.json").write_text(json.dumps(with_specials("<s>", "</s>")))
    write_files(tmp_path / "data", "a", {"part": TEXTS[:3]}, "jsonl")
    assert len(documents(Work(tmp_path).build("mix"))) == 3
    assert "no copy of the tokenizer is kept" in capsys.readouterr().err


def test_a_document_that_is_cut_to_one_token_is_eod_alone(mix, work):
    """Every number of tokens is met exactly, whatever is left of the last document."""
    lengths = [len(ids) for ids in documents(mix)]
    for kept in (1, 2, 3):
        cut = work.build(f"cut{kept}", tokens=sum(lengths[:4]) + kept)
        last = documents(cut)[-1]
        assert last == [*documents(mix)[4][: kept - 1], EOD]
        claims = read_claims(cut)
        assert (claims.bos_tokens, claims.eod_tokens) == (4 + (kept > 1), 5)
        assert failed(cut) == []


def test_parsed_special_strings_are_counted_beside_those_around_documents(work):
    parsed = work.build("parsed", special_tokens="parse")
    claims = read_claims(parsed)
    assert (claims.bos_tokens, claims.eod_tokens) == (len(TEXTS) + 1, len(TEXTS) + 1)
    ids = work.reference(parse=True).encode(SPELLED, add_special_tokens=False).ids
    assert [BOS, *ids, EOD] in documents(parsed)
    assert failed(parsed) == []


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (lambda tokens, starts: tokens.__setitem__(starts[3], 5), {"document starts", "BOS count"}),
        (lambda tokens, starts: tokens.__setitem__(starts[3] + 1, BOS), {"BOS count"}),
    ],
)
def test_a_missing_and_a_further_bos_are_found(
    mix, work, tmp_path, change: Callable[[Any, Any], None], caught
):
    forged = work.build("forged")
    ends = np.cumsum([len(ids) for ids in documents(forged)])
    tokens = np.fromfile(forged / "tokens.bin", "<u2")
    change(tokens, np.concatenate([[0], ends[:-1]]))
    tokens.tofile(forged / "tokens.bin")
    found = set(failed(forged))
    (forged / "tokens.bin").unlink()  # the next build makes it again
    forged.rename(tmp_path / "forged")
    assert found == {*caught, "chunk hashes"}


def test_another_bos_is_other_tokens_and_says_what_is_read_again(mix, work, capsys):
    capsys.readouterr()
    plain = work.build("plain", {"file": "my.json", "eod": "</s>"})
    said = capsys.readouterr().err
    assert "tokenized by another tokenizer: they are read again for my" in said
    assert sorted(documents(plain)) == sorted(ids[1:] for ids in documents(mix))
    assert read_claims(plain).bos_tokens == 0
    assert failed(plain) == []


def test_an_engine_that_differs_gives_way_to_the_reference_and_the_mix_is_the_same(
    mix, work, tmp_path, monkeypatch, capsys
):
    class Different(Fastokens):
        def encode(self, texts: list[str], *, parse: bool) -> Any:
            ids, counts = super().encode(texts, parse=parse)
            return np.where(ids == 300, 301, ids), counts

    monkeypatch.setitem(ENGINES, "fastokens", Different)
    # not what an earlier build of this process has loaded
    monkeypatch.setattr(ingest, "loaded_tokenizer", Tokenizer)
    (tmp_path / "data").symlink_to(work.folder / "data")
    (tmp_path / "recipes").symlink_to(work.folder / "recipes")
    capsys.readouterr()
    slow = Work(tmp_path).build("slow")
    said = capsys.readouterr().err
    assert "tokenizing with tokenizers" in said
    assert "fastokens makes other ids of the text" in said
    assert read_claims(slow).hashes.bin == read_claims(mix).hashes.bin
