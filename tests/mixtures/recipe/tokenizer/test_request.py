"""Any tokenizer.json is taken as it is; what is wrong with one is said where the recipe names it,
with the line to write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recipes
from mixtures.errors import ManifestError, RecipeError
from mixtures.recipe.load import FetchedTokenizer, load_recipe
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.tokenizer.form import contents
from mixtures.recipe.tokenizer.request import TokenizerRequest
from mixtures.rules.lock import lock_file, read_lock

SAMPLE = json.loads((Path(recipes.__file__).parent / "sample" / "tokenizer.json").read_text())
FLAGS = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}


def with_specials(*tokens: str, **changes: Any) -> dict[str, Any]:
    """The sample's tokenizer with further special tokens, from id 2,000 on."""
    added = [
        {"id": 2000 + number, "content": token, **FLAGS} for number, token in enumerate(tokens)
    ]
    return {**SAMPLE, "added_tokens": [*SAMPLE["added_tokens"], *added], **changes}


def recipe(folder: Path, tokenizer: str, content: Any = None, **files: Any) -> Path:
    """A recipe with `tokenizer: TOKENIZER`, and my.json beside it."""
    record = with_specials("<s>", "</s>") if content is None else content
    text = record if isinstance(record, str) else json.dumps(record)
    (folder / "my.json").write_text(text, encoding="utf-8")
    for name, value in files.items():
        (folder / f"{name}.yaml").write_text(value, encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(
        f"name: mine\nbudget: {{tokens: 10}}\ntokenizer: {tokenizer}\n"
        "sources:\n  wiki: {use: dolmino-wiki, weight: 1}\n"
    )
    return path


def load(folder: Path, tokenizer: str, content: Any = None, **files: Any) -> LoadedRecipe:
    return load_recipe(str(recipe(folder, tokenizer, content, **files)))


def refused(folder: Path, tokenizer: str, content: Any = None, **files: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        load(folder, tokenizer, content, **files)
    return str(caught.value)


def test_all_but_the_end_of_documents_is_computed_of_the_file(tmp_path):
    definition = load(tmp_path, '{file: my.json, eod: "</s>", bos: "<s>"}').tokenizer
    assert (definition.name, definition.eod_id, definition.bos_id) == ("my", 2001, 2000)
    assert (definition.vocab_size, definition.padded_vocab_size) == (2002, 2048)
    assert definition.dtype == np.dtype("<u2")
    assert definition.canonical() == {
        "name": "my",
        "digest": definition.digest,
        "eod": "</s>",
        "bos": "<s>",
    }


def test_bos_and_eod_are_part_of_what_a_recipe_asks(tmp_path):
    ends = ['eod: "</s>"', 'eod: "<s>"', 'eod: "</s>", bos: "<s>"', 'eod: "<s>", bos: "</s>"']
    digests = {load(tmp_path, f"{{file: my.json, {end}}}").digest for end in ends}
    assert len(digests) == len(ends)


def test_a_definition_file_is_read_from_its_own_folder(tmp_path):
    (tmp_path / "toks").mkdir()
    (tmp_path / "toks" / "inner.json").write_text(json.dumps(with_specials("</s>")))
    (tmp_path / "toks" / "t.yaml").write_text('file: inner.json\neod: "</s>"\nname: given\n')
    loaded = load(tmp_path, "toks/t.yaml")
    assert (loaded.tokenizer.name, loaded.tokenizer.eod_id) == ("given", 2000)
    assert loaded.tokenizer_file == (tmp_path / "toks" / "inner.json").absolute()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"file": "my.json"}, "my"),
        ({"file": "Llama 3/tokenizer.json"}, "llama-3"),
        ({"repo": "Qwen/Qwen2.5-7B"}, "qwen2.5-7b"),
        ({"file": "\u00e9.json"}, "tokenizer"),
        ({"file": "x.json", "name": "other"}, "other"),
    ],
)
def test_a_tokenizer_is_called_as_its_file_or_repository(given, name):
    assert TokenizerRequest.model_validate(given).label == name


def test_without_an_end_of_documents_the_line_to_write_is_given(tmp_path):
    message = refused(tmp_path, "my.json")
    assert message.startswith(f"{tmp_path / 'mine.yaml'}:3: tokenizer: ")
    assert 'write tokenizer: {file: my.json, eod: "<|endoftext|>"}' in message
    assert "'</s>'" in message
    assert "'<s>'" not in message


def test_a_wrong_beginning_is_answered_with_beginnings(tmp_path):
    message = refused(tmp_path, '{file: my.json, eod: "</s>", bos: "<bos>"}')
    assert 'write tokenizer: {file: my.json, eod: "</s>", bos: "<s>"}, or leave bos' in message
    assert "(its special tokens that look like a beginning: '<s>')" in message


def test_a_tokenizer_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    (tmp_path / "rows.json").write_text('[{"version": "1.0"}]')
    message = refused(tmp_path, '{file: tok.json, eod: "</s>"}')
    assert "'tok.json' is no file" in message
    assert message.endswith("; tokenizers there: my.json")


SPECIAL = {"SpecialToken": {"id": "<s>", "type_id": 0}}
TEMPLATE = {"type": "TemplateProcessing", "single": [SPECIAL, {"Sequence": {"id": "A"}}]}


@pytest.mark.parametrize(
    ("step", "begin"),
    [
        (TEMPLATE, "<s>"),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, TEMPLATE]}, "<s>"),
        ({"type": "RobertaProcessing", "cls": ["<s>", 2000], "sep": ["</s>", 2001]}, "<s>"),
        ({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, SPECIAL]}, None),
        ({"type": "BertProcessing", "cls": ["[CLS]", 1]}, None),
        ({"type": "TemplateProcessing", "single": "$A"}, None),
        (None, None),
    ],
)
def test_what_its_template_begins_texts_with_is_known(step, begin):
    record = with_specials("<s>", "</s>", post_processor=step)
    assert contents(json.dumps(record).encode()).begin == begin


def test_a_tokenizer_without_special_tokens_is_told_what_to_add(tmp_path):
    plain = {**SAMPLE, "added_tokens": []}
    assert "it has no special token at all" in refused(tmp_path, "{file: my.json, eod: x}", plain)


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ('{file: my.json, eod: "<eos>"}', "eod '<eos>' is not one of its special tokens; write"),
        ('{file: my.json, eod: "</s>", bos: "[X]"}', "bos '[X]' is not one of its special tokens"),
        ('{file: my.json, eod: "</s>", bos: "</s>"}', "'</s>' is the eod, too"),
        ('{file: my.json, eod: "</s>", vocab_size: 7}', "vocab_size is 2002, stated is 7"),
        ('{file: my.json, eod: "</s>", revision: x}', "belongs to repo"),
        ('{file: my.json, repo: a/b, eod: "</s>"}', "gives file and repo"),
        ('{eod: "</s>"}', "gives none of them"),
        ("{use: sample, bos: x}", "use stands alone"),
        ('{file: ../my.json, eod: "</s>"}', "leaves the recipe's folder"),
        ('{file: other.json, eod: "</s>"}', "'other.json' is no file"),
        ("gpt-neox", "not a shipped tokenizer"),
        ("gpt2", "any other is {repo: OWNER/NAME, eod: TOKEN} on the hub, or {file: FILE.json,"),
        ("other.yaml", "'other.yaml' is no file"),
        ("t.yaml", "refers to 'gpt-neox-20b'"),
        ("a/b/c", "is not OWNER/NAME"),
        ("owner/name", "is on the hub, which is not asked here"),
    ],
)
def test_what_a_recipe_cannot_mean_is_said_where_it_stands(tmp_path, tokenizer, message):
    found = refused(tmp_path, tokenizer, t="use: gpt-neox-20b\n")
    assert message in found
    assert f"{tmp_path / 'mine.yaml'}:3: tokenizer" in found


HOLE = {**SAMPLE["model"], "vocab": {**SAMPLE["model"]["vocab"], "\u0120hole": 2001}}
TWICE = {**SAMPLE["model"], "vocab": {**SAMPLE["model"]["vocab"], "\u0120twice": 1999}}
HUGE = {**SAMPLE["model"], "vocab": {**SAMPLE["model"]["vocab"], "\u0120huge": 1 << 31}}
PLAIN_END = [*SAMPLE["added_tokens"], {"id": 2000, "content": "</s>", **FLAGS, "special": False}]
OTHER_ID = [*SAMPLE["added_tokens"], {"id": 2007, "content": "</s>", **FLAGS}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(SAMPLE)[:5000], "not valid JSON"),
        ('{"a": 1, "a": 2}', "stands twice in one object"),
        ("[]", "not laid out like a tokenizer.json"),
        ({**SAMPLE, "model": {**SAMPLE["model"], "dropout": 0.1}}, "it has dropout"),
        ({**SAMPLE, "model": TWICE}, "have one id, 1999"),
        ({**SAMPLE, "model": HUGE}, "its largest id is 2,147,483,648; allowed are ids below"),
        ({**with_specials("</s>"), "model": HOLE}, "added token '</s>' states id 2000"),
        ({**SAMPLE, "added_tokens": PLAIN_END}, "is an added token that is not special"),
        ({**SAMPLE, "added_tokens": OTHER_ID}, "states id 2007"),
    ],
)
def test_a_wrong_tokenizer_is_refused_for_what_is_wrong(tmp_path, content, message):
    assert message in refused(tmp_path, '{file: my.json, eod: "</s>"}', content)


def test_a_vocabulary_with_holes_counts_to_its_largest_id(tmp_path):
    model = {**SAMPLE["model"], "vocab": {**SAMPLE["model"]["vocab"], "\u0120far": 70_000}}
    loaded = load(tmp_path, '{file: my.json, eod: "<|endoftext|>"}', {**SAMPLE, "model": model})
    assert loaded.tokenizer.vocab_size == 70_001
    assert loaded.tokenizer.dtype == np.dtype("<u4")


def test_a_tokenizer_of_the_hub_is_fetched_and_its_commit_is_known(tmp_path):
    path = recipe(tmp_path, '{repo: owner/name, eod: "</s>"}')
    asked: list[str | None] = []

    def fetch(request: TokenizerRequest) -> FetchedTokenizer:
        asked.append(request.revision)
        return FetchedTokenizer(tmp_path / "my.json", "c0ffee")

    definition = load_recipe(str(path), fetch=fetch).tokenizer
    assert (definition.repo, definition.revision, definition.name) == (
        "owner/name",
        "c0ffee",
        "name",
    )
    lock_file(path).write_text(load_recipe(str(path), fetch=fetch).lock().as_yaml())
    load_recipe(str(path), fetch=fetch)
    assert asked == [None, None, "c0ffee"], "the lock names the commit"


def test_what_differs_from_the_lock_is_refused_by_its_name(tmp_path):
    path = recipe(tmp_path, '{file: my.json, eod: "</s>"}')
    lock = load_recipe(str(path)).lock()
    lock_file(path).write_text(lock.as_yaml())
    assert load_recipe(str(path)).lock() == lock
    (tmp_path / "my.json").write_text(json.dumps(with_specials("<s>", "</s>", "<new>")))
    with pytest.raises(ManifestError) as caught:
        load_recipe(str(path))
    lines = str(caught.value).splitlines()
    assert [line.split(" is ")[0].split(": ")[-1] for line in lines[:-1]] == [
        "tokenizer.digest",
        "tokenizer.vocab_size",
    ]
    assert lines[-1].endswith(f"accept it with `annealmix lock {path}`")
    assert load_recipe(str(path), honour_lock=False).lock() != lock


def test_a_filter_and_an_evaluation_set_need_no_hash_and_are_locked(tmp_path):
    path = recipe(tmp_path, '{file: my.json, eod: "</s>"}')
    (tmp_path / "terms.txt").write_text("lorem\nipsum\ndolor\n")
    (tmp_path / "f.yaml").write_text(
        "name: f\nblocklist: {file: terms.txt, mode: words, threshold: 1}\n"
        "golden: [{text: plain, flagged: false}, {text: lorem, flagged: true}]\n"
    )
    (tmp_path / "e.jsonl").write_text('{"question": "a"}\n')
    (tmp_path / "e.yaml").write_text(
        "name: e\nfiles: [{path: e.jsonl}]\nformat: jsonl\ncolumns: {question: question}\n"
    )
    path.write_text(f"{path.read_text()}filters: [f.yaml]\ndecontaminate: {{sets: [e.yaml]}}\n")
    lock = load_recipe(str(path)).lock()
    assert len(lock.filters["f"]) == len(lock.evaluation_sets["e"][0]) == 64
    lock_file(path).write_text(lock.as_yaml())
    for file, name in (("terms.txt", "filters.f"), ("e.jsonl", "evaluation_sets.e")):
        content = (tmp_path / file).read_text()
        (tmp_path / file).write_text(f"{content}more\n")
        with pytest.raises(ManifestError, match=name):
            load_recipe(str(path))
        (tmp_path / file).write_text(content)
    path.write_text(path.read_text().replace("filters: [f.yaml]\n", ""))
    with pytest.raises(ManifestError, match=r"filters\.f is not there"):
        load_recipe(str(path))


def test_a_lock_that_is_a_link_to_nothing_is_not_taken_for_none(tmp_path):
    (tmp_path / "mine.lock.yaml").symlink_to("gone.yaml")
    with pytest.raises(RecipeError, match=r"mine\.lock\.yaml: cannot be read"):
        read_lock(tmp_path / "mine.yaml")
