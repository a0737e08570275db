"""How each quality step is made of datatrove's own class and the arguments of the recipe: a rule for one text.

| step | made of | besides |
|---|---|---|
| gopher-quality, gopher-repetition, c4-quality, fineweb-quality | datatrove's filter | words and sentences by spaCy's rules |
| language | datatrove's FT176LID | lid.176.bin, held to its SHA-256; downloaded where no cache holds it |
| url | datatrove's URLFilter | its lists are read from the package, as UTF-8; the public suffix list is tldextract's own copy |
| ftfy, symbol-lines-remover, pii | datatrove's formatter | pii begins with its first replacement in every document |
| regex, length | ours | the Rust regex engine, as polars has it, whose time is linear in the text |

What is left out: C4BadWordsFilter (draws random numbers), UnigramLogProbFilter (an unpinned download), SamplerFilter (random),
LambdaFilter and FastTextClassifierFilter (code and models of any kind; see `mixtures.filters`).

datatrove has tables that are no arguments (punctuation, policy phrases, lists of domains). They are held to hashes here, so that no
release can change them unseen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.quality import (
    C4Quality,
    FineWebQuality,
    Ftfy,
    GopherQuality,
    GopherRepetition,
    LanguageQuality,
    LengthQuality,
    OneStep,
    Pii,
    RegexQuality,
    SymbolLinesRemover,
    UrlQuality,
)
from pipeline.adapters import BadRecord
from pipeline.classifiers.scores import file_sha256

TABLES = {
    "punctuation": "add6d54a8847e51ecc60aeb110417c1bc08a89fbe827b378ddd5e66f78641863",
    "terminal punctuation": "223fdebf0f76873809176fd2d6d8872e39bdc969664a293b233a45ce7fc396ab",
    "C4 phrases": "47b73f13b20acd96da2bbc765285f8b29ddccc678d51393ecd609e20aff7cf93",
    "URL lists": "92214c318bbbd6a0ca98f52794d2c86264fd77e433c9455938f11206cc2cde2d",
}
URL_LISTS = "url_filterblacklistsv0_3_0.tar.gz"
NEEDS_MORE_THAN_RULES = ("ja", "vi", "zh")  # spaCy hands these to packages that bring dictionaries or write caches


class Dropped(NamedTuple):
    """A text is not a document of the source. reason: of the step, stable."""

    reason: str


Rule = Callable[[str, Mapping[str, Any]], str | Dropped]
"""(text, row) -> the text, changed or not, or why it is dropped."""


def open_rule(step: OneStep) -> Rule:
    """Make the rule of one step.

    Raises:
        ImportError: a package is missing.
        RecipeError: an argument cannot be met.
        ManifestError: a table or model is not the one that is pinned.
        InputError: the language model is not there and cannot be fetched.
    """
    arguments: Any = step.arguments
    return _OPENERS[type(arguments)](arguments)


def _values(arguments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Arguments as datatrove takes them: decimals as floats, n-grams as pairs."""
    return {name: _value(value) for name, value in arguments}


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return tuple(_value(item) for item in value) if isinstance(value, tuple) else value


def _filter_rule(filter_: Any) -> Rule:
    """The rule of a datatrove filter, which judges a text and may change it."""
    from datatrove.data import Document
    from datatrove.pipeline.filters.base_filter import get_filter_result

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        document = Document(text=text, id="")
        kept, reason = get_filter_result(filter_.filter(document))
        return str(document.text) if kept else Dropped(str(reason or "removed"))

    return rule


def _gopher_quality(arguments: GopherQuality) -> Rule:
    from datatrove.pipeline.filters import GopherQualityFilter
    from datatrove.utils.text import PUNCTUATION_SET

    _require_words(arguments.language)
    _require_table("punctuation", sorted(PUNCTUATION_SET))
    return _filter_rule(GopherQualityFilter(**_values(arguments)))


def _gopher_repetition(arguments: GopherRepetition) -> Rule:
    from datatrove.pipeline.filters import GopherRepetitionFilter

    _require_words(arguments.language)
    return _filter_rule(GopherRepetitionFilter(**_values(arguments)))


def _c4_quality(arguments: C4Quality) -> Rule:
    from datatrove.pipeline.filters import C4QualityFilter, c4_filters

    _require_words(arguments.language)
    _require_table("C4 phrases", [c4_filters.CITATION_REGEX.pattern, *c4_filters.END_PUNCTUATION, *c4_filters.POLICY_SUBSTRINGS])
    values = _values(arguments)
    off = {name: -1 for name in ("min_num_sentences", "min_words_per_line", "max_word_length") if values[name] == 0}
    return _filter_rule(C4QualityFilter(**{**values, **off}))


def _fineweb_quality(arguments: FineWebQuality) -> Rule:
    from datatrove.pipeline.filters import FineWebQualityFilter
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    _require_words(arguments.language)
    table = sorted(TERMINAL_PUNCTUATION)
    _require_table("terminal punctuation", table)
    return _filter_rule(FineWebQualityFilter(**{**_values(arguments), "stop_chars": arguments.stop_chars or tuple(table)}))


def _require_words(language: str) -> None:
    """Words of the language must be split by rules alone: no model, no download."""
    from datatrove.utils.word_tokenizers import SpaCyTokenizer, load_word_tokenizer

    try:
        splitter = load_word_tokenizer(language)
    except ValueError:
        raise RecipeError(f"datatrove has no words for the language {language!r}; write an ISO 639 code such as eng or deu") from None
    if not isinstance(splitter, SpaCyTokenizer) or splitter.language in NEEDS_MORE_THAN_RULES:
        raise RecipeError(f"words of the language {language!r} need a dictionary or model; allowed are those that spaCy splits by rules")


def _require_table(name: str, values: Iterable[str]) -> None:
    """Hold a table of datatrove's to the one that the steps were written for."""
    _require_hash(name, hashlib.sha256("".join(values).encode()).hexdigest())


def _require_hash(name: str, found: str) -> None:
    if found != TABLES[name]:
        raise ManifestError(
            f"datatrove's {name} have SHA-256 {found}, {TABLES[name]} is pinned; install the datatrove that annealmix is pinned to"
        )


def _language(arguments: LanguageQuality) -> Rule:
    from datatrove.data import Document
    from datatrove.utils.lid import FT176LID
    from fasttext.FastText import _FastText

    path = _language_model(arguments.model_sha256)
    identifier = FT176LID(list(arguments.languages))
    identifier._model = _FastText(str(path))  # datatrove would download its own, unchecked
    known = {label.removeprefix("__label__") for label in identifier._model.labels}
    if unknown := sorted(set(arguments.languages) - known):
        raise RecipeError(f"{path} knows no language {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    threshold = float(arguments.language_threshold)

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        _, scores = identifier.predict(Document(text=text, id=""))
        return text if any(score > threshold for score in scores.values()) else Dropped("language")

    return rule


def _language_model(sha256: str) -> Path:
    from datatrove.io import cached_asset_path_or_download
    from datatrove.utils.lid import FT176LID

    path = Path(os.environ.get("ANNEALMIX_CACHE") or "~/.cache/annealmix").expanduser() / "models" / "lid.176.bin"
    if not path.is_file():
        try:
            downloaded = cached_asset_path_or_download(FT176LID.MODEL_URL, namespace="lid", subfolder="ft176", desc="lid.176.bin")
        except Exception as error:  # every file system and client has errors of its own
            why = f"{FT176LID.MODEL_URL} cannot be fetched ({type(error).__name__})"
            raise InputError(f"{path}: not there, and {why}; put it there") from None
        path = Path(downloaded)
    if (found := file_sha256(path)) != sha256:
        raise ManifestError(f"{path}: has SHA-256 {found}, the step pins {sha256}; restore the file, or name its hash")
    return path


def _url(arguments: UrlQuality) -> Rule:
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from datatrove.pipeline.filters.base_filter import get_filter_result
    from tldextract import TLDExtract

    column = arguments.column
    filter_ = URLFilter(**{name: value for name, value in _values(arguments).items() if name != "column"})
    filter_.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)  # else it fetches today's list of public suffixes
    if arguments.use_integrated_lists:
        _add_lists(filter_)

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        url = row.get(column)
        if not isinstance(url, str) or not url:
            reason = "missing-field" if column not in row else "null-field" if url in (None, "") else "not-text"
            raise BadRecord(reason, f"column {column!r} holds no address for the quality step url")
        kept, reason = get_filter_result(filter_.filter(Document(text="", id="", metadata={"url": url})))
        return text if kept else Dropped(str(reason))

    return rule


def _add_lists(filter_: Any) -> None:
    """What URLFilter.download_data does, but from the package itself: that unpacks into a shared cache, and reads it by the locale."""
    import io
    import tarfile

    from datatrove.pipeline.filters.url_filter import get_list, parse_list
    from datatrove.utils._import_utils import ASSETS_PATH

    files = [Path(ASSETS_PATH, name) for name in (URL_LISTS, "banned_words.txt", "banned_subwords.txt", "soft_banned_words.txt")]
    _require_hash("URL lists", hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())
    with tarfile.open(files[0], "r:gz") as archive:
        for member, name in (("domains", "block_listed_domains"), ("urls", "block_listed_url")):
            content = archive.extractfile(member)
            assert content is not None, f"{URL_LISTS} is held to its hash and has {member}"
            getattr(filter_, name).update(parse_list(io.TextIOWrapper(content, "utf-8"), do_normalize=False))
    for file in files[1:]:
        name = file.stem
        setattr(filter_, name, get_list(ASSETS_PATH, file.name, getattr(filter_, name)))
    for word in filter_.banned_subwords:
        filter_.banned_subwords_automaton.add_word(word, len(filter_.banned_subwords_automaton))
    filter_.banned_subwords_automaton.make_automaton()
    filter_._downloaded = True


def _regex(arguments: RegexQuality) -> Rule:
    import polars

    pattern, keep = arguments.remove or arguments.keep, arguments.keep is not None

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        found = polars.Series([text]).str.contains(str(pattern)).item()
        return text if found == keep else Dropped("found" if found else "not found")

    return rule


def _length(arguments: LengthQuality) -> Rule:
    least, most = arguments.min_chars, arguments.max_chars

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        if len(text) < least:
            return Dropped("too short")
        return Dropped("too long") if most and len(text) > most else text

    return rule


def _ftfy(arguments: Ftfy) -> Rule:
    from datatrove.pipeline.formatters import FTFYFormatter

    escapes: dict[str, str | bool] = {"auto": "auto", "true": True, "false": False}
    normalization = None if arguments.normalization == "none" else arguments.normalization
    values = {**_values(arguments), "unescape_html": escapes[arguments.unescape_html], "normalization": normalization}
    formatter = FTFYFormatter(**values)
    return lambda text, row: str(formatter.format(text))


def _symbol_lines(arguments: SymbolLinesRemover) -> Rule:
    from datatrove.pipeline.formatters import SymbolLinesFormatter
    from datatrove.utils.text import PUNCTUATION_SET

    _require_table("punctuation", sorted(PUNCTUATION_SET))
    formatter = SymbolLinesFormatter(list(arguments.symbols_to_remove or sorted(PUNCTUATION_SET)), arguments.replace_char)
    return lambda text, row: str(formatter.format(text))


def _pii(arguments: Pii) -> Rule:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter(**_values(arguments))

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        # datatrove goes on with the next replacement from document to document, which would make a text depend on those before it.
        formatter.emails_replacer._replace_i = formatter.ip_replacer._replace_i = 0
        return str(formatter.format(text))

    return rule


_OPENERS: dict[type, Callable[[Any], Rule]] = {
    GopherQuality: _gopher_quality,
    GopherRepetition: _gopher_repetition,
    C4Quality: _c4_quality,
    FineWebQuality: _fineweb_quality,
    LanguageQuality: _language,
    UrlQuality: _url,
    RegexQuality: _regex,
    LengthQuality: _length,
    Ftfy: _ftfy,
    SymbolLinesRemover: _symbol_lines,
    Pii: _pii,
}
