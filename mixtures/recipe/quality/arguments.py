"""The arguments of each quality step that a recipe may name, with datatrove 0.10's defaults
(`mixtures.recipe.quality.steps`).

They are typed here, and not generated from datatrove's signatures, for three reasons: what to
take is decided with static types and without importing datatrove; the bounds are ours; and another
release must not change a default, and so a recipe's digest, unseen. `tests/models/test_quality.py`
compares names and defaults with datatrove's own, but for `language` and `url`, which also take
arguments of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mixtures.errors import RecipeError
from mixtures.recipe.quality.blocks import installed_block
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Integer,
    Line,
    Location,
    Model,
    Name,
    Text,
    describe,
)

LID_176_SHA256 = "7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e"
MAX_PATTERN = 1000  # characters of a regular expression

Count = Annotated[Integer, Field(ge=0)]
"""A whole number; 0 switches the rule off."""
Share = Annotated[Exact, Field(ge=0, le=1)]
"""A share of a document; in Gopher's two steps 0 switches the rule off."""
Ratio = Annotated[Exact, Field(ge=0)]
Language = Annotated[Line, Field(pattern=r"^[a-z]{2,3}(_[A-Z][a-z]{3})?$")]
"""A language by its ISO 639 code, such as eng or en, or with its script: eng_Latn."""
Sha256 = Annotated[Line, Field(pattern=r"^[0-9a-f]{64}$")]


def _ngram(value: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if len(value) != 2:
        raise ValueError(f"found {len(value)} values; write two, [words, share]")
    words, share = value
    if words != int(words) or not 1 <= words <= 32 or not 0 < share <= 1:
        raise ValueError(
            f"found [{words}, {share}]; 1 to 32 words and a share above 0, at most 1, are allowed"
        )
    return value


NGram = Annotated[tuple[Exact, ...], AfterValidator(_ngram)]
"""Words of an n-gram, and the share of the text's characters from which on it is too much."""


def _ngrams(*given: tuple[int, str]) -> tuple[tuple[Decimal, ...], ...]:
    return tuple((Decimal(words), Decimal(share)) for words, share in given)


class GopherQuality(Model):
    """datatrove's GopherQualityFilter (arXiv 2112.11446, table A1): numbers of words, their length,
    symbols, stop words.
    """

    min_doc_words: Count = 50
    max_doc_words: Count = 100_000
    min_avg_word_length: Count = 3
    max_avg_word_length: Count = 10
    max_symbol_word_ratio: Ratio = Decimal("0.1")
    max_bullet_lines_ratio: Share = Decimal("0.9")
    max_ellipsis_lines_ratio: Share = Decimal("0.3")
    max_non_alpha_words_ratio: Share = Decimal("0.8")
    min_stop_words: Count = 2
    stop_words: tuple[Line, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    language: Language = "eng"


class GopherRepetition(Model):
    """datatrove's GopherRepetitionFilter (arXiv 2112.11446, table A1): repeated lines, paragraphs
    and n-grams.
    """

    dup_line_frac: Share = Decimal("0.3")
    dup_para_frac: Share = Decimal("0.3")
    dup_line_char_frac: Share = Decimal("0.2")
    dup_para_char_frac: Share = Decimal("0.2")
    top_n_grams: tuple[NGram, ...] = _ngrams((2, "0.2"), (3, "0.18"), (4, "0.16"))
    dup_n_grams: tuple[NGram, ...] = _ngrams(
        (5, "0.15"), (6, "0.14"), (7, "0.13"), (8, "0.12"), (9, "0.11"), (10, "0.1")
    )
    language: Language = "eng"


class C4Quality(Model):
    """datatrove's C4QualityFilter (JMLR 21, 20-074): drops lines from the text, and documents with
    too few sentences left.
    """

    split_paragraph: Flag = True
    remove_citations: Flag = True
    filter_no_terminal_punct: Flag = True
    min_num_sentences: Count = 5
    min_words_per_line: Count = 3
    max_word_length: Count = 1000
    filter_lorem_ipsum: Flag = True
    filter_javascript: Flag = True
    filter_curly_bracket: Flag = True
    filter_policy: Flag = True
    language: Language = "eng"


class FineWebQuality(Model):
    """datatrove's FineWebQualityFilter (arXiv 2406.17557): line ends, short lines, repeated
    characters, lists.

    stop_chars: what a line may end in; empty for datatrove's table of terminal punctuation, which
        is held to a hash.
    """

    line_punct_thr: Share = Decimal("0.12")
    line_punct_exclude_zero: Flag = False
    stop_chars: tuple[Line, ...] = ()
    short_line_thr: Share = Decimal("0.67")
    short_line_length: Count = 30
    char_duplicates_ratio: Share = Decimal("0.01")
    new_line_ratio: Ratio = Decimal("0.3")
    language: Language = "eng"


class LanguageQuality(Model):
    """datatrove's LanguageFilter with fastText's lid.176: kept is what has one of the languages
    with more than the threshold.

    model_sha256: of the model file, so that another one is refused.
    """

    languages: Annotated[
        tuple[Annotated[Line, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(min_length=1)
    ]
    language_threshold: Share = Decimal("0.65")
    model_sha256: Sha256 = LID_176_SHA256


class UrlQuality(Model):
    """datatrove's URLFilter: domains, addresses and words of addresses. column: of the row, holds
    the document's address.
    """

    column: Line = "url"
    soft_word_threshold: Annotated[Integer, Field(ge=1)] = 2
    extra_domains: tuple[Line, ...] = ()
    extra_urls: tuple[Line, ...] = ()
    banned_words: tuple[Line, ...] = ()
    banned_subwords: tuple[Line, ...] = ()
    soft_banned_words: tuple[Line, ...] = ()
    use_integrated_lists: Flag = True


def _pattern(value: str) -> str:
    """Compile with the engine that will search: linear in the text whatever the pattern, so no
    document can make it hang.
    """
    import polars

    if not 0 < len(value) <= MAX_PATTERN:
        raise ValueError(f"found {len(value):,} characters; a pattern has 1 to {MAX_PATTERN:,}")
    try:
        polars.Series([""]).str.contains(value)
    except polars.exceptions.ComputeError as error:
        lines = str(error).splitlines()
        reason = next(
            (line for line in lines if line.startswith("error: ")), lines[0]
        ).removeprefix("error: ")
        raise ValueError(
            f"{describe(value)} is not a pattern ({reason}); write it as the Rust crate regex"
        ) from None
    return value


class RegexQuality(Checked):
    """Documents in which a pattern is found are removed, or they alone are kept. Patterns of the
    Rust crate regex: no look-around.
    """

    remove: Annotated[Text, AfterValidator(_pattern)] | None = None
    keep: Annotated[Text, AfterValidator(_pattern)] | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """One of the two."""
        if ("remove" in given) == ("keep" in given):
            yield (), "give either remove: PATTERN or keep: PATTERN"


class LengthQuality(Checked):
    """Characters (Unicode code points) that a text has at least and at most; 0 for no bound."""

    min_chars: Count = 0
    max_chars: Count = 0

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """At least one bound."""
        if "min_chars" not in given and "max_chars" not in given:
            yield (), "gives no bound; write min_chars, max_chars or both"


class BlockQuality(Model):
    """A filter or formatter of an installed package (`mixtures.recipe.quality.blocks`).

    arguments: by name, text or lists of it, typed by the block itself.

    distribution, version, sha256: of the code that is meant; left out, they are those of what is
        installed when the recipe is read, and stand in its digest and in the store's key.
    """

    use: Name
    arguments: dict[Line, Text | tuple[Text, ...]] = Field(default_factory=dict)
    distribution: Line | None = None
    version: Line | None = None
    sha256: Sha256 | None = None

    def __hash__(self) -> int:  # a mapping has none; equality compares it
        return hash((self.use, self.sha256, tuple(self.arguments)))

    @model_validator(mode="before")
    @classmethod
    def _installed(cls, value: Any) -> Any:
        """Name the code that is installed, where the recipe does not."""
        names = ("distribution", "version", "sha256")
        if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
            return value
        if all(name in value for name in names):
            return value
        try:
            found = installed_block(value["use"])
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return {name: getattr(found, name) for name in names} | dict(value)


class Ftfy(Model):
    """datatrove's FTFYFormatter: mends wrongly decoded text. Every argument is a field of ftfy's
    TextFixerConfig.
    """

    unescape_html: Literal["auto", "true", "false"] = "auto"
    remove_terminal_escapes: Flag = True
    fix_encoding: Flag = True
    restore_byte_a0: Flag = True
    replace_lossy_sequences: Flag = True
    decode_inconsistent_utf8: Flag = True
    fix_c1_controls: Flag = True
    fix_latin_ligatures: Flag = False
    fix_character_width: Flag = False
    uncurl_quotes: Flag = False
    fix_line_breaks: Flag = False
    fix_surrogates: Flag = True
    remove_control_chars: Flag = True
    normalization: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "none"


class SymbolLinesRemover(Model):
    """datatrove's SymbolLinesFormatter: removes lines of nothing but symbols.

    symbols_to_remove: characters, in one text; empty for datatrove's table of punctuation, which is
        held to a hash.
    """

    symbols_to_remove: Text = ""
    replace_char: Text = ""


class Pii(Model):
    """datatrove's PIIFormatter: replaces e-mail and IP addresses. The replacements are used in
    turn, from the first in every document.
    """

    remove_emails: Flag = True
    remove_ips: Flag = True
    only_remove_public_ips: Flag = True
    email_replacement: Annotated[tuple[Line, ...], Field(min_length=1)] = (
        "email@example.com",
        "firstname.lastname@example.org",
    )
    ip_replacement: Annotated[tuple[Line, ...], Field(min_length=1)] = (
        "22.214.171.124",
        "126.96.36.199",
        "188.8.131.52",
        "184.108.40.206",
        "220.127.116.11",
        "18.104.22.168",
    )
