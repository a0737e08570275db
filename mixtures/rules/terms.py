"""Blocklists: terms, what it means that a document holds one, and the rule as it is written, which
the fast form must equal.

A document's figure is the number of DISTINCT terms that it holds, however often. What a filter does
with it (escalate from two on, as published) is the filter's business. Two rules:

- `published`: a document holds a term if the lower-cased term is a substring of the lower-cased
  document (`str.lower`), wherever it stands: "ricin" is in "pricing". Nothing else is normalised.
  The rule of the published filter (arXiv 2508.06601).
- `words`: it holds a term if the term's words stand in it side by side, as whole words, in folded
  form (`mixtures.rules.word_characters`). Case, compatibility forms, soft hyphens and zero-width
  characters make no difference, and every run of non-word characters counts as one space, so
  no-break spaces, line wraps and hyphens cannot hide a term.

In both, nested terms count separately: a text with "lassa fever virus" holds "lassa fever", too,
where both are listed.

Compatibility forms (NFKC) are folded in `words` because full-width letters, ligatures (U+FB01) and
letter-like symbols (the Kelvin sign) are the same words to a reader; case folding alone keeps the
first two apart. Accents are kept: "Sabiá" is not "Sabia". A word that a line end cuts in two at a
hyphen is two words.

Terms that have one normal form are one term (the first spelling names it): a list may spell "T-2
toxin" in several ways, and counting one name twice would escalate a document for one thing. So a
list counts `len(rule.needles)` terms, at most its lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

from mixtures.errors import RecipeError
from mixtures.rules.word_characters import fold_words

Mode = Literal["published", "words"]
MODES: tuple[Mode, ...] = get_args(Mode)
RULES = 1
"""Number of the two rules above; a change that can change any count raises it, and stored counts
are made anew.
"""


def normalise(text: str, mode: Mode) -> str:
    """A term or document in the form in which the mode compares them. `words` gives no space at
    either end; "" if no word is left.
    """
    return text.lower() if mode == "published" else fold_words(text)


@dataclass(frozen=True)
class TermList:
    """The terms of a blocklist, as given and in their order, and the mode in which they are
    matched.

    needles: {normal form: the first term that has it}, in the order of the terms. Derived, and what
        is searched for.

    Raises:
        RecipeError: no term, an unknown mode, or a term of which the normal form is empty (it would
            be in every document).
    """

    terms: tuple[str, ...]
    mode: Mode
    needles: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RecipeError(
                f"blocklist: mode {self.mode!r} is not known; choose {' or '.join(MODES)}"
            )
        if not self.terms:
            raise RecipeError(
                "blocklist: it holds no term, so it would pass every document; give at least one"
            )
        needles: dict[str, str] = {}
        for term in self.terms:
            needle = normalise(term, self.mode)
            if not needle or needle.isspace():
                raise RecipeError(f"blocklist: {_empty(term, self.mode)}")
            needles.setdefault(needle, term)
        object.__setattr__(self, "needles", needles)


def content_hash(content: bytes) -> str:
    """SHA-256, in hex, of a blocklist file's bytes: its identity in a filter, comments included."""
    return sha256(content).hexdigest()


def parse_blocklist(content: bytes, where: str, mode: Mode) -> tuple[str, ...]:
    """The terms of a blocklist file: UTF-8, one term a line without the white space around it; `#`
    at a line's start is a comment.

    Blank lines are skipped, and so is a term of which an earlier line has the normal form.

    Args:
        where: names the file in messages.

    Raises:
        RecipeError: with the line: not UTF-8, or a term without a normal form. With the file: it
            holds no term.
    """
    terms: dict[str, str] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            term = line.decode().strip()
        except UnicodeDecodeError as error:
            raise RecipeError(
                f"{where}:{number}: not UTF-8 ({error.reason} at byte {error.start + 1}); save the"
                " list as UTF-8"
            ) from None
        if not term or term.startswith("#"):
            continue
        needle = normalise(term, mode)
        if not needle:
            raise RecipeError(f"{where}:{number}: {_empty(term, mode)}")
        terms.setdefault(needle, term)
    if not terms:
        raise RecipeError(
            f"{where}: it holds no term, so it would pass every document; write one term a line"
        )
    return tuple(terms.values())


def _empty(term: str, mode: Mode) -> str:
    return (
        f"the term {term!r} has no letter, mark or number that mode {mode!r} compares, so it would"
        " be everywhere; mend or delete it"
    )


def matches_naive(text: str, terms: Sequence[str], mode: Mode) -> list[str]:
    """The terms that a document holds, in their order, by the rule as it is written. Slow: one
    search a term.
    """
    document = _padded(normalise(text, mode), mode)
    needles = TermList(tuple(terms), mode).needles
    return [term for needle, term in needles.items() if _padded(needle, mode) in document]


def _padded(form: str, mode: Mode) -> str:
    return f" {form} " if mode == "words" else form
