"""How each quality step is made of datatrove's own class and the arguments of the recipe: a rule
for one text.

    step                      made of                  besides
    gopher-quality,           datatrove's filter       words and sentences by spaCy's rules
    gopher-repetition,
    c4-quality,
    fineweb-quality
    language                  datatrove's FT176LID     lid.176.bin, held to its SHA-256; downloaded
                                                       where no cache holds it
    url                       datatrove's URLFilter    its lists are read from the package, as
                                                       UTF-8; the public suffix list is tldextract's
                                                       own copy
    ftfy,                     datatrove's formatter    pii begins with its first replacement in
    symbol-lines-remover,                              every document
    pii
    block                     an installed package's   by its entry point, held to its sources' hash
                              filter or formatter
    regex, length             ours                     the Rust regex engine, as polars has it,
                                                       whose time is linear in the text

What is left out: C4BadWordsFilter (draws random numbers), UnigramLogProbFilter (an unpinned
download), SamplerFilter (random), LambdaFilter and FastTextClassifierFilter (code and models of any
kind; see `mixtures.rules.filter_definition`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mixtures.errors import RecipeError
from mixtures.recipe.quality.arguments import (
    BlockQuality,
    C4Quality,
    FineWebQuality,
    Ftfy,
    GopherQuality,
    GopherRepetition,
    LanguageQuality,
    LengthQuality,
    Pii,
    RegexQuality,
    SymbolLinesRemover,
    UrlQuality,
)
from mixtures.recipe.quality.steps import OneStep
from pipeline.inputs.quality.assets import language_rule, url_rule
from pipeline.inputs.quality.blocks import block_rule
from pipeline.inputs.quality.rule import (
    Dropped,
    StepRule,
    argument_values,
    filter_rule,
    require_table,
)

NEEDS_MORE_THAN_RULES = ("ja", "vi", "zh")
"""Languages whose words spaCy gives to packages that bring dictionaries or write caches."""


def open_rule(step: OneStep) -> StepRule:
    """Make the rule of one step.

    Raises:
        ImportError: a package is missing.
        RecipeError: an argument cannot be met.
        ManifestError: a table or model is not the one that is pinned.
        InputError: the language model is not there and cannot be fetched.
    """
    arguments: Any = step.arguments
    return _STEPS[type(arguments)][0](arguments)


def _gopher_quality(arguments: GopherQuality) -> StepRule:
    from datatrove.pipeline.filters import GopherQualityFilter
    from datatrove.utils.text import PUNCTUATION_SET

    _require_words(arguments.language)
    require_table("punctuation", sorted(PUNCTUATION_SET))
    return filter_rule(GopherQualityFilter(**argument_values(arguments)))


def _gopher_repetition(arguments: GopherRepetition) -> StepRule:
    from datatrove.pipeline.filters import GopherRepetitionFilter

    _require_words(arguments.language)
    return filter_rule(GopherRepetitionFilter(**argument_values(arguments)))


def _c4_quality(arguments: C4Quality) -> StepRule:
    from datatrove.pipeline.filters import C4QualityFilter, c4_filters

    _require_words(arguments.language)
    phrases = (*c4_filters.END_PUNCTUATION, *c4_filters.POLICY_SUBSTRINGS)
    require_table("C4 phrases", [c4_filters.CITATION_REGEX.pattern, *phrases])
    values = argument_values(arguments)
    for name in ("min_num_sentences", "min_words_per_line", "max_word_length"):
        values[name] = values[name] or -1  # a recipe switches a rule off by 0, datatrove by -1
    return filter_rule(C4QualityFilter(**values))


def _fineweb_quality(arguments: FineWebQuality) -> StepRule:
    from datatrove.pipeline.filters import FineWebQualityFilter
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    _require_words(arguments.language)
    table = sorted(TERMINAL_PUNCTUATION)
    require_table("terminal punctuation", table)
    stop_chars = arguments.stop_chars or tuple(table)
    values = {**argument_values(arguments), "stop_chars": stop_chars}
    return filter_rule(FineWebQualityFilter(**values))


def _require_words(language: str) -> None:
    """Words of the language must be split by rules alone: no model, no download."""
    from datatrove.utils.word_tokenizers import SpaCyTokenizer, load_word_tokenizer

    try:
        splitter = load_word_tokenizer(language)
    except ValueError:
        raise RecipeError(
            f"datatrove has no words for the language {language!r}; write an ISO 639 code such as"
            " eng or deu"
        ) from None
    if not isinstance(splitter, SpaCyTokenizer) or splitter.language in NEEDS_MORE_THAN_RULES:
        raise RecipeError(
            f"words of the language {language!r} need a dictionary or model; allowed are those that"
            " spaCy splits by rules"
        )


def _regex(arguments: RegexQuality) -> StepRule:
    import polars

    pattern, keep = arguments.remove or arguments.keep, arguments.keep is not None

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        matches = polars.Series([text]).str.contains(str(pattern)).item()
        return text if matches == keep else Dropped("found" if matches else "not found")

    return rule


def _length(arguments: LengthQuality) -> StepRule:
    least, most = arguments.min_chars, arguments.max_chars

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        if len(text) < least:
            return Dropped("too short")
        return Dropped("too long") if most and len(text) > most else text

    return rule


def _ftfy(arguments: Ftfy) -> StepRule:
    from datatrove.pipeline.formatters import FTFYFormatter

    escapes: dict[str, str | bool] = {"auto": "auto", "true": True, "false": False}
    normalization = None if arguments.normalization == "none" else arguments.normalization
    values = {
        **argument_values(arguments),
        "unescape_html": escapes[arguments.unescape_html],
        "normalization": normalization,
    }
    formatter = FTFYFormatter(**values)
    return lambda text, row: str(formatter.format(text))


def _symbol_lines(arguments: SymbolLinesRemover) -> StepRule:
    from datatrove.pipeline.formatters import SymbolLinesFormatter
    from datatrove.utils.text import PUNCTUATION_SET

    require_table("punctuation", sorted(PUNCTUATION_SET))
    formatter = SymbolLinesFormatter(
        list(arguments.symbols_to_remove or sorted(PUNCTUATION_SET)), arguments.replace_char
    )
    return lambda text, row: str(formatter.format(text))


def _pii(arguments: Pii) -> StepRule:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter(**argument_values(arguments))

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        # datatrove goes on with the next replacement from document to document, which would make a
        # text depend on those before it.
        formatter.emails_replacer._replace_i = formatter.ip_replacer._replace_i = 0
        return str(formatter.format(text))

    return rule


def modules_of(step: OneStep) -> tuple[str, ...]:
    """The modules of the extra `quality` that a step needs."""
    return _STEPS[type(step.arguments)][1]


_WORDS = ("regex", "spacy")
_STEPS: dict[type, tuple[Callable[[Any], StepRule], tuple[str, ...]]] = {
    GopherQuality: (_gopher_quality, _WORDS),
    GopherRepetition: (_gopher_repetition, _WORDS),
    C4Quality: (_c4_quality, _WORDS),
    FineWebQuality: (_fineweb_quality, _WORDS),
    LanguageQuality: (language_rule, ("regex", "fasttext")),
    UrlQuality: (url_rule, ("regex", "tldextract", "ahocorasick", "fasteners")),
    RegexQuality: (_regex, ()),
    LengthQuality: (_length, ()),
    Ftfy: (_ftfy, ("regex", "ftfy")),
    SymbolLinesRemover: (_symbol_lines, ("regex",)),
    Pii: (_pii, ("regex",)),
    BlockQuality: (block_rule, ()),
}
