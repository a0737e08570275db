"""The form in which evaluation sets and documents are compared: the words of a text without what a
rendering adds to it, and whether an n-gram of them tells an item from other text.

What is marked up is taken away first (`unmarked`), in this order:

1. A word that a hyphen parts at a line's end, and that goes on in lower case, is one word.
2. Numbers at the beginnings of neighbouring lines that count up by one vanish.
3. HTML entities become their characters, twice, since many pages escape twice.
4. HTML tags vanish where they stand within running text (`<b>`, `<i>`, `<span>`), others part
   words; raised digits (`<sup>2</sup>`) vanish with their tags.
5. LaTeX's commands vanish, and of what a source escaped (`\\\\n`) the mark; their arguments stay.
6. Footnote marks in brackets (`[12]`, `[a]`, `[citation needed]`) vanish.

Then words are those of `mixtures.rules.word_characters.fold_words`, with two differences: raised
digits vanish, and letters that are apostrophes (U+02BC) part words as apostrophes do. Last, letters
that look like others become Latin ones (`LOOK_ALIKES`), in whatever language: both sides are folded
alike, so a Russian item is still found in Russian text.

An n-gram is telling if at least half of its words have two characters or more, not all of them
digits. A run of one-letter words and numbers is a formula, which stands wherever somebody writes
it.
"""

from __future__ import annotations

import html
import re
import unicodedata

from mixtures.rules.word_characters import (
    SUPERSCRIPT_DIGITS,
    character_class,
    fold_words,
    leads_with_combining,
)

# Letters that are apostrophes or quotes: modifier letters, and the saltillo.
_APOSTROPHES = "2B9-2BF 2C8 2CA-2CB 2EE 7F4-7F5 A78B-A78C"
_CHARACTERS = re.compile(
    f"(?P<raised>[{character_class(SUPERSCRIPT_DIGITS)}]+)|[{character_class(_APOSTROPHES)}]"
)

# Cyrillic, Greek, IPA and Armenian letters in folded case, and the Latin ones that they, or their
# capitals, look like. Case must not matter, so a letter has one counterpart.
LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝвнмткґѵӏαβεζηικμνορτυχϳɑɡɩıօսհոցք",
    "aeopcyxijshdqwbhmtkrvlabezhikmnoptyxjagiiouhngp",
)

_RUNNING = "a abbr b bdi bdo big code del em font i ins kbd mark q s small span strike strong sub"
_INLINE = frozenset((*_RUNNING.split(), "sup", "tt", "u", "var", "wbr"))
# Patterns begin with a literal where they can: so the text before it is passed over quickly.
_TAGS = re.compile(
    r"<(?:[Ss][Uu][Pp]>\s{0,3}\[?\d{1,3}\]?\s{0,3}</[Ss][Uu][Pp]>"
    r"|/?(?P<name>[A-Za-z][A-Za-z0-9]*)(?:\s[^<>]*)?/?>|!--[^<>]*-->)",
    re.ASCII,
)
_LATEX = re.compile(r"\\(?:[nrt](?=[A-Z])|[A-Za-z]+)")
_MARKS = re.compile(
    r"\[(?:\d{1,3}(?:\s?[,;\u2013-]\s?\d{1,3})*|[a-z]|(?:note|nb)\s\d{1,3}|citation needed)\]",
    re.ASCII,
)
_LETTER = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f"
_LOWER = r"a-z\u00df-\u00f6\u00f8-\u00ff\u03ac-\u03ce\u0430-\u045f"
_HYPHEN = r"-\u00ad\u2010\u2011\u00ac"
_HYPHENS = re.compile(
    rf"\n(?:(?<=[{_LETTER}][{_HYPHEN}]\n)|(?<=[{_LETTER}][{_HYPHEN}][ \t\r]\n))[ \t]*(?=[{_LOWER}])"
)
_NUMBERED = re.compile(r"\n[ \t>]*\(?(\d{1,4})(?:[.):|]|[ \t])", re.ASCII)


def unmarked(text: str) -> str:
    """The text without what a rendering adds (1 to 6 above). A text that has none of it is returned
    as it is.
    """
    if "\n" in text:
        text = _without_line_numbers(_without_hyphens(text))
    return without_markup(text)


def without_markup(text: str) -> str:
    """The text without its markup (3 to 6 above)."""
    for _ in range(2):
        if "&" in text:
            text = html.unescape(text)
    if "<" in text:
        text = _TAGS.sub(_tag, text)
    if "\\" in text:
        text = _LATEX.sub(" ", text)
    if "[" in text:
        text = _MARKS.sub(" ", text)
    return text


def _tag(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None:
        return " " if found[0].startswith("<!") else ""
    return "" if name.lower() in _INLINE else " "


def _without_hyphens(text: str) -> str:
    pieces, written = [], 0
    for found in _HYPHENS.finditer(text):
        at = found.start() - (2 if text[found.start() - 1] in " \t\r" else 1)
        pieces.append(text[written:at])
        written = found.end()
    return "".join([*pieces, text[written:]]) if pieces else text


def _without_line_numbers(text: str) -> str:
    text = f"\n{text}"
    found = list(_NUMBERED.finditer(text))
    counted = [False] * len(found)
    for at in range(1, len(found)):
        before, here = found[at - 1], found[at]
        if int(here[1]) == int(before[1]) + 1 and "\n" not in text[
            before.end() : here.start()
        ].rstrip("\r\n\t "):
            counted[at - 1] = counted[at] = True
    pieces, written = [], 1
    for one, counts in zip(found, counted, strict=True):
        if counts:
            pieces += [text[written : one.start()], " "]
            written = one.end()
    return "".join([*pieces, text[written:]])


def fold_characters(text: str) -> str:
    """The words of a text that is unmarked, with one space between two and none around them. Like
    `fold_words`, words can be folded one at a time.
    """
    text = _CHARACTERS.sub(lambda found: "" if found["raised"] else " ", text)
    # a letter that has become Latin composes with an accent behind it
    return unicodedata.normalize("NFKC", fold_words(text).translate(LOOK_ALIKES))


def begins_combining(text: str) -> bool:
    """Whether the text begins, what vanishes apart, with a character that may compose or change
    places with one before it.
    """
    return leads_with_combining(
        _CHARACTERS.sub(lambda found: found[0] * (not found["raised"]), text)
    )


def is_word(word: str) -> bool:
    """Whether a folded word is more than a letter or a number."""
    return len(word) > 1 and not (word.isascii() and word.isdigit())
