"""Each quality step beside datatrove's own class, on real and on hostile documents. Needs the extra
`quality`: `make test-models`.
"""

from __future__ import annotations

import inspect
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from pydantic import TypeAdapter

from mixtures.audit import audit_mix
from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.recipe.load import load_source_definition
from mixtures.recipe.quality import arguments as quality_arguments
from mixtures.recipe.quality.steps import Quality
from pipeline.inputs.quality.quality import GOLDEN, open_steps
from pipeline.inputs.readers import DocumentReader
from pipeline.store.records import file_sha256
from tests.pipeline.corpus import (
    contents,
    make,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)
from tests.pipeline.input_files import json_lines, list_inputs

pytestmark = pytest.mark.models
for package in ("spacy", "regex", "ftfy", "fasttext", "tldextract", "ahocorasick", "fasteners"):
    pytest.importorskip(package, reason="needs the extra quality")
filters = pytest.importorskip("datatrove.pipeline.filters")
formatters = pytest.importorskip("datatrove.pipeline.formatters")
get_filter_result = filters.base_filter.get_filter_result

FILTERS: dict[str, tuple[Any, Any]] = {
    "gopher-quality": (filters.GopherQualityFilter, quality_arguments.GopherQuality),
    "gopher-repetition": (filters.GopherRepetitionFilter, quality_arguments.GopherRepetition),
    "c4-quality": (filters.C4QualityFilter, quality_arguments.C4Quality),
    "fineweb-quality": (filters.FineWebQualityFilter, quality_arguments.FineWebQuality),
}
FORMATTERS: dict[str, tuple[Any, Any]] = {
    "ftfy": (formatters.FTFYFormatter, quality_arguments.Ftfy),
    "symbol-lines-remover": (formatters.SymbolLinesFormatter, quality_arguments.SymbolLinesRemover),
    "pii": (formatters.PIIFormatter, quality_arguments.Pii),
}
HOSTILE = (
    *GOLDEN,
    " ",
    "\n\n\n",
    "\u200b",
    "IS_ALPHA",
    "a" * 5000,
    "#" * 300,
    "the and of to " * 4000,
    "&#xD800; &lt;b&gt; \x1b[31mred\x1b[0m",
    "x@y.zz 9.9.9.9 \u2028 8.8.4.4 " * 9,
    "_\n" * 500,
    "</s> the of\u2029and",
)


def steps(*given: Any) -> Any:
    return TypeAdapter(Quality).validate_python(list(given))


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest) -> list[str]:
    """Some real documents of each kind, where the folder of real data is, and always the hostile
    ones.
    """
    found = list(HOSTILE)
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return found
    for name in ("dclm-baseline", "dolmino-flan", "dolmino-stackexchange", "dolmino-wiki"):
        definition = load_source_definition(name)
        file = list_inputs(definition, shared / "data")[0]
        every = [text for _, text in DocumentReader(file, definition) if len(text) < 8_000]
        found += every[:: max(1, len(every) // 20)][:20]
    return found


def judged(filter_: Any, text: str) -> Any:
    """What datatrove makes of one text: (text, None), (None, reason) or the name of what it
    raises.
    """
    document = Document(text=text, id="")
    try:
        kept, reason = get_filter_result(filter_.filter(document))
    except Exception as error:
        return type(error).__name__
    return (document.text, None) if kept else (None, reason or "removed")


def ours(opened: Any, label: str, text: str, row: Any = None) -> Any:
    from pipeline.inputs.adapters.rows import BadRecord

    try:
        outcome = opened.apply(text, row)
    except BadRecord as bad:
        return bad.detail.rpartition(" ")[2]
    if isinstance(outcome, str):
        return outcome, None
    reason = outcome.reason.removeprefix(f"quality {label}: ")
    return ("", None) if reason == "emptied" else (None, reason)


CHANGED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("gopher-quality", {}, {}),
    (
        "gopher-quality",
        {"min_doc_words": "5", "min_stop_words": "0", "language": "deu"},
        {"min_doc_words": 5, "min_stop_words": 0, "language": "deu"},
    ),
    ("gopher-quality", {"min_doc_words": "0"}, {"min_doc_words": None}),
    ("gopher-repetition", {}, {}),
    (
        "gopher-repetition",
        {"top_n_grams": [["3", "0.02"]], "dup_line_frac": "0", "dup_n_grams": []},
        {"top_n_grams": ((3, 0.02),), "dup_line_frac": None, "dup_n_grams": ()},
    ),
    ("c4-quality", {}, {}),
    (
        "c4-quality",
        {
            "split_paragraph": "false",
            "min_num_sentences": "0",
            "filter_curly_bracket": "false",
            "max_word_length": "0",
        },
        {
            "split_paragraph": False,
            "min_num_sentences": -1,
            "filter_curly_bracket": False,
            "max_word_length": -1,
        },
    ),
    ("fineweb-quality", {}, {}),
    (
        "fineweb-quality",
        {"stop_chars": [".", "?"], "line_punct_exclude_zero": "true", "new_line_ratio": "0.05"},
        {"stop_chars": (".", "?"), "line_punct_exclude_zero": True, "new_line_ratio": 0.05},
    ),
]


@pytest.mark.parametrize(("name", "asked", "arguments"), CHANGED)
def test_a_filter_gives_what_datatrove_gives(texts, name, asked, arguments):
    reference, opened = FILTERS[name][0](**arguments), open_steps(steps({name: asked}))
    expected = [judged(reference, text) for text in texts]
    assert [ours(opened, name, text) for text in texts] == expected
    assert expected != [(text, None) for text in texts], "every text passes as it is"


@pytest.mark.parametrize(
    ("name", "asked", "arguments"),
    [
        ("ftfy", {}, {}),
        (
            "ftfy",
            {"unescape_html": "true", "normalization": "NFKC"},
            {"unescape_html": True, "normalization": "NFKC"},
        ),
        (
            "ftfy",
            {"uncurl_quotes": "true", "fix_encoding": "false"},
            {"uncurl_quotes": True, "fix_encoding": False},
        ),
        ("symbol-lines-remover", {}, {}),
        (
            "symbol-lines-remover",
            {"symbols_to_remove": "_=", "replace_char": "\n"},
            {"symbols_to_remove": ["_", "="], "replace_char": "\n"},
        ),
        ("pii", {}, {}),
        (
            "pii",
            {"only_remove_public_ips": "false", "email_replacement": ["x"]},
            {"only_remove_public_ips": False, "email_replacement": "x"},
        ),
    ],
)
def test_a_formatter_gives_what_a_new_one_of_datatroves_gives(texts, name, asked, arguments):
    opened = open_steps(steps({name: asked}))
    expected = [FORMATTERS[name][0](**arguments).format(text) for text in texts]
    assert [ours(opened, name, text)[0] for text in texts] == expected
    assert expected != texts, "no text is changed"


def test_removing_by_regex_is_datatroves_regex_filter(texts):
    for pattern in (r"\bthe\b", r"^\s*$", r"(?i)[a-z]+@[a-z]+\.", r"\w{40}", "\u6d4b"):
        reference, opened = (
            filters.RegexFilter(pattern),
            open_steps(steps({"regex": {"remove": pattern}})),
        )
        assert [ours(opened, "regex", text)[0] for text in texts] == [
            judged(reference, text)[0] for text in texts
        ]


@pytest.mark.parametrize("name", [*FILTERS, *FORMATTERS])
def test_every_argument_of_datatroves_is_named_with_its_default(name):
    reference, model = {**FILTERS, **FORMATTERS}[name]
    parameters = {
        key: item.default
        for key, item in inspect.signature(reference.__init__).parameters.items()
        if key != "self"
    }
    parameters.pop("exclusion_writer", None)
    assert set(parameters) == set(model.model_fields)
    tables = {
        "stop_words": None,
        "stop_chars": None,
        "symbols_to_remove": None,
        "normalization": None,
    }
    for key, default in parameters.items():
        ((_, found),) = [item for item in model() if item[0] == key]
        plain = found if not isinstance(found, Decimal) else float(found)
        if key in tables:
            assert default is tables[key]
        elif key.endswith("_n_grams"):
            assert tuple((int(words), float(share)) for words, share in found) == default
        else:
            assert plain == default, key


def test_the_words_that_gopher_counts_are_the_ones_written_here():
    from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS

    assert quality_arguments.GopherQuality().stop_words == tuple(STOP_WORDS)


@pytest.mark.parametrize("name", [*FILTERS, *FORMATTERS])
def test_a_step_forgets_what_it_saw_before(texts, name):
    opened = open_steps(steps(name))
    shuffled = random.Random(1).sample(texts, len(texts))
    expected = {text: ours(opened, name, text) for text in texts}
    assert {text: ours(opened, name, text) for text in shuffled} == expected


@pytest.mark.parametrize("language", ["zho", "jpn", "vie", "tha", "xqz"])
def test_a_language_whose_words_need_more_than_rules_is_refused(language):
    with pytest.raises(RecipeError, match="quality step gopher-quality"):
        open_steps(steps({"gopher-quality": {"language": language}}))


def test_a_table_that_is_not_the_pinned_one_is_refused(monkeypatch):
    from datatrove.utils import text

    open_steps.cache_clear()
    monkeypatch.setattr(text, "PUNCTUATION_SET", text.PUNCTUATION_SET | {"x"})
    with pytest.raises(
        ManifestError,
        match="quality step symbol-lines-remover: datatrove's punctuation have SHA-256",
    ):
        open_steps(steps("symbol-lines-remover"))


@pytest.fixture
def language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model of two languages, where the real one would lie."""
    import fasttext

    words = {
        "en": ["the", "river", "and", "mill", "of", "water", "was", "old"],
        "de": ["der", "Fluss", "und", "die", "Mühle", "das", "Wasser", "war", "alt"],
    }
    source = random.Random(3)
    lines = [
        f"__label__{label} {' '.join(source.choices(words[label], k=8))}"
        for label in words
        for _ in range(200)
    ]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    path = tmp_path / "cache" / "models" / "lid.176.bin"
    path.parent.mkdir(parents=True)
    options = {"dim": 8, "epoch": 20, "bucket": 200, "thread": 1, "seed": 1, "verbose": 0}
    fasttext.train_supervised(str(tmp_path / "lines.txt"), **options).save_model(str(path))
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path / "cache"))
    return path


def test_language_gives_what_datatrove_gives_with_the_same_model(texts, language_model):
    from datatrove.utils.lid import FT176LID
    from fasttext.FastText import _FastText

    reference = object.__new__(
        filters.LanguageFilter
    )  # its own opening insists on one of the packages that provide fasttext
    reference.__dict__.update(
        languages=["en"],
        language_threshold=0.6,
        backend="ft176",
        label_only=False,
        keep_top_pairs_threshold=-1,
    )
    reference.model = FT176LID(["en"])
    reference.model._model = _FastText(str(language_model))
    asked = {
        "languages": ["en"],
        "language_threshold": "0.6",
        "model_sha256": file_sha256(language_model),
    }
    opened = open_steps(steps({"language": asked}))
    given = [*texts, "the old mill and the river", "der alte Fluss und das Wasser"]
    expected = [judged(reference, text)[0] for text in given]
    assert [ours(opened, "language", text)[0] for text in given] == expected
    assert expected[-2:] == [given[-2], None]


def test_another_language_model_and_an_unknown_language_are_refused(language_model):
    with pytest.raises(ManifestError, match=r"quality step language: .*lid\.176\.bin: has SHA-256"):
        open_steps(steps({"language": {"languages": ["en"]}}))
    with pytest.raises(RecipeError, match="knows no language fr; it has de, en"):
        open_steps(
            steps({"language": {"languages": ["fr"], "model_sha256": file_sha256(language_model)}})
        )


def test_a_language_model_that_cannot_be_fetched_is_an_input_error(tmp_path, monkeypatch):
    from datatrove import io

    def refuse(*args: Any, **more: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(io, "cached_asset_path_or_download", refuse)
    monkeypatch.setenv("ANNEALMIX_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="put it there"):
        open_steps(steps({"language": {"languages": ["de"]}}))


URLS = (
    "https://www.example.org/a",
    "http://bad.example.co.uk/x",
    "https://worse.example.com/y",
    "https://ok.org/one-casino-two",
    "https://ok.org/some/prize/and/free",
    "https://ok.org/bannedword/x",
    "https://ok.org/exact",
    "no url at all",
)
URL_ARGUMENTS: dict[str, Any] = {
    "extra_domains": ["example.co.uk", "worse.example.com"],
    "extra_urls": ["https://ok.org/exact"],
    "banned_words": ["bannedword"],
    "banned_subwords": ["casino"],
    "soft_banned_words": ["prize", "free"],
}


def test_url_gives_what_datatrove_gives_with_the_packaged_suffix_list():
    from tldextract import TLDExtract

    reference = filters.URLFilter(use_integrated_lists=False, **URL_ARGUMENTS)
    reference.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    opened = open_steps(steps({"url": {**URL_ARGUMENTS, "use_integrated_lists": "false"}}))
    expected = [
        get_filter_result(reference.filter(Document(text="", id="", metadata={"url": url})))[1]
        for url in URLS
    ]
    assert [ours(opened, "url", "text", {"url": url})[1] for url in URLS] == expected
    assert set(expected) == {
        None,
        "domain",
        "subdomain",
        "url",
        "hard_blacklisted",
        "soft_blacklisted",
        "blacklisted_subword",
    }


@pytest.mark.campaign
def test_the_integrated_lists_are_the_ones_that_datatrove_unpacks(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    from pipeline.inputs.quality.assets import _add_lists

    loaded, reference = filters.URLFilter(), filters.URLFilter()
    _add_lists(loaded)
    reference.download_data()
    for name in (
        "block_listed_domains",
        "block_listed_url",
        "banned_words",
        "banned_subwords",
        "soft_banned_words",
    ):
        assert getattr(loaded, name) == getattr(reference, name), name


def test_a_mix_with_every_kind_of_step_is_audited_and_placement_free(tmp_path):
    rows = [
        {"text": f"{text} Write to a{at}@mill.example.", "url": f"https://{at % 5}.example.org/"}
        for at, text in enumerate(prose(4, 90))
    ]
    wanted = [
        "ftfy",
        "pii",
        {"url": {"extra_domains": ["3.example.org"], "use_integrated_lists": "false"}},
        {"length": {"max_chars": 300}},
    ]
    wanted += [{"gopher-quality": {"min_doc_words": 12}}]
    sources: dict[str, dict[str, Any]] = {"a": {"all": True, "quality": wanted}}
    for name, size, order in (("one", 90, 1), ("two", 11, -1)):
        folder = tmp_path / name / "a"
        folder.mkdir(parents=True)
        given = rows[::order]
        for at in range(0, 90, size):
            (folder / f"{at:03d}.jsonl").write_bytes(json_lines(given[at : at + size]))
        recipe = write_recipe(tmp_path / f"recipe-{name}", sources, {"a": "jsonl"})
        manifest = make(recipe, tmp_path, tmp_path / name, f"out-{name}", f"store-{name}")
    assert contents(tmp_path / "out-one") == contents(tmp_path / "out-two")
    assert manifest["removed"]["a"]["quality url: subdomain"] == 18
    assert all("email@example.com" in document.text for document in read_mix(tmp_path / "out-one"))
    assert audit_mix(tmp_path / "out-two", full=True).passed


def test_a_file_without_the_address_column_fails_and_names_it(tmp_path):
    write_files(tmp_path / "data", "a", sharded(prose(1, 9), 1))
    recipe = write_recipe(
        tmp_path,
        {
            "a": {
                "all": True,
                "quality": [{"url": {"use_integrated_lists": "false", "extra_urls": ["x"]}}],
            }
        },
    )
    with pytest.raises(InputError, match="no column 'url'"):
        make(recipe, tmp_path, tmp_path / "data")
