"""From places in a document's content (form C) back to its text as it is published.

A text is cut before each character that composes with nothing before it and does not change places
with it; each stretch has a form C of its own, and these laid end to end are that of the text. In a
stretch that is in form C already a place keeps its characters; one that touches a stretch which
form C changes has all of it, since its characters have no order of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from mixtures.keys import content_of

_HANGUL_JOINING = "\u1161-\u1175\u11a8-\u11c2"  # vowels and final consonants, composed by rule
_PLANES = 0x20000  # all that composes or is reordered lies below


def places_in_text(text: str, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places of `content_of(text)` as places of the text: characters, from the first to one past
    the last, which is behind it.
    """
    first, behind = list[int](), list[int]()  # of each character of the content, where it is from
    for found in _stretches().finditer(text):
        stretch, content = found[0], content_of(found[0])
        if content == stretch:
            first += range(found.start(), found.end())
            behind += range(found.start() + 1, found.end() + 1)
        else:
            first += [found.start()] * len(content)
            behind += [found.end()] * len(content)
    return [(first[start], behind[end - 1]) for start, end in places]


@cache
def _stretches() -> re.Pattern[str]:
    """Matches a character and all behind it that may compose or change places with what is before
    them.
    """
    seconds = set[str]()
    for code in range(_PLANES):
        decomposed = unicodedata.decomposition(chr(code)).split()
        if len(decomposed) == 2 and not decomposed[0].startswith("<"):
            seconds.add(chr(int(decomposed[1], 16)))

    def joins(char: str) -> bool:
        begins = unicodedata.normalize("NFD", char)[0]
        return unicodedata.combining(begins) > 0 or begins in seconds

    # no surrogate has a decomposition
    joining = "".join(re.escape(char) for code in range(_PLANES) if joins(char := chr(code)))
    return re.compile(f"(?s:.)[{joining}{_HANGUL_JOINING}]*")
