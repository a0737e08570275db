"""Readable, repeatable English from word lists: a small generator of pseudo-random numbers and the
sentences drawn with it.

Everything is integer arithmetic on splitmix64 (Steele, Lea, Flood 2014), so the text is the same on
every machine and Python: `random` promises that only for `random.random()`, and `math.exp` may
differ in its last bit. Words are drawn with weights 1 / (rank + 3), which gives the Zipf-like
frequencies that a byte-pair encoding feeds on.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from tests.sample import words

T = TypeVar("T")
_MASK = (1 << 64) - 1

# Lengths as percent of a source's median: sixteenths of a log-normal with sigma about 0.75, its
# long tail cut at seven times.
_LENGTH_PERCENT = (18, 25, 32, 42, 52, 62, 73, 86, 100, 116, 136, 162, 196, 245, 330, 480, 700)

SENTENCES = (
    "The {A} {N} {Vd} the {N} {M}.",
    "{W} {Vd} the {A} {N} before the {N} closed.",
    "In {Y}, the {N} of {P} {L} {Vd} every {N} that the {N} had {Vd}.",
    "Most {Ns} {V} a {N}, but the {A} {N} {Vs} the {N} {L}.",
    "A {A} {N} near {P} {Vs} about {D} {Ns} a year.",
    "{W} {Vd} the {N}, and {W} {L} {Vd} the {Ns}.",
    "When the {N} {Vd} the {A} {N}, nobody {Vd} the {C}.",
    "The {C} of {P} was {A} and {A}.",
    "There were {D} {Ns} and a {A} {N} in the {C}.",
    "Why would a {N} {V} the {N} of a {A} {N}?",
    "It is {A} to {V} the {N} without a {N}.",
    "After the {N} {Vd} {P}, the {Ns} {V} the {A} {C} again.",
    "By {Mo} {Y} the {A} {Ns} had {Vd} {D} {Ns}.",
    "Each {N} {Vs} its own {N}; the {A} ones {V} two.",
    "“We {V} the {N},” said {W}, “and the {N} {Vs} us.”",
    "The {S} {Vs} a {A} {N} with {D} {Ns}.",
    "According to {W}, the {S} was {L} {Vd} in {P}.",
    "Neither the {N} nor the {C} {Vd} the {A} {N}.",
    "If the {N} is {A}, the {N} {Vs} the {C}.",
    "Many {Ns} in {P} still {V} a {A} {C}.",
    "They {L} {Vd} the {N}, {Vd} the {N} and {Vd} the {C}.",
    "To {V} a {N}, first {V} the {A} {N} and then {V} the {Ns}.",
    "The {N} was {Vd} in {Y} and {Vd} again by {W}.",
    "Between {P} and {P} the {N} {Vs} {D} {A} {Ns}.",
    "{P} has a {A} {N}, a {C} and {D} {Ns}.",
    "Nobody at the {C} could {V} the {N} that {W} {Vd}.",
    "One {N} in {D} is {A}.",
    "Such {Ns} are {A}, {A} and rarely {A}.",
)
_SLOT = re.compile(r"\{(\w+)\}")


class Draw:
    """Pseudo-random draws from one integer seed (splitmix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def bits(self) -> int:
        """Return the next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """Return an integer of [0, bound); the bias of the multiplication, under 2^-50 here, is of
        no concern.
        """
        return (self.bits() * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """Return an integer of [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, all equally likely."""
        return items[self.below(len(items))]

    def one_in(self, count: int) -> bool:
        """Return true once in `count` draws."""
        return self.below(count) == 0

    def length(self, median: int) -> int:
        """Return a length about the median, distributed nearly log-normally."""
        step = self.below(16)
        low, high = _LENGTH_PERCENT[step], _LENGTH_PERCENT[step + 1]
        return max(1, median * self.between(low, high) // 100)


class Zipf:
    """Words by rank: the word of rank r (from 0) is drawn with weight 1 / (r + 3)."""

    def __init__(self, items: Sequence[str]) -> None:
        self._items = items
        self._sums = list(accumulate(10**9 // (rank + 3) for rank in range(len(items))))

    def draw(self, draw: Draw) -> str:
        return self._items[bisect_right(self._sums, draw.below(self._sums[-1]))]


def shuffled(items: Sequence[T], draw: Draw) -> list[T]:
    """Return the items in an order drawn by Fisher and Yates' method."""
    result = list(items)
    for last in range(len(result) - 1, 0, -1):
        other = draw.below(last + 1)
        result[last], result[other] = result[other], result[last]
    return result


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun in ("leaf", "shelf"):
        return noun[:-1] + "ves"
    return noun + "s"


def past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


class Writer:
    """Sentences of one topic: some nouns, verbs and adjectives of the whole vocabulary are
    preferred within a document.
    """

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        compounds = [
            start + end
            for start in words.COMPOUND_STARTS
            for end in words.COMPOUND_ENDS
            if start != end
        ]
        science = [start + end for start in words.SCIENCE_STARTS for end in words.SCIENCE_ENDS]
        places = [start + end for start in words.PLACE_STARTS for end in words.PLACE_ENDS]
        surnames = [start + end for start in words.PLACE_STARTS for end in words.SURNAME_ENDS]
        self._nouns, self._verbs, self._adjectives = (
            Zipf(words.NOUNS),
            Zipf(words.VERBS),
            Zipf(words.ADJECTIVES),
        )
        self._adverbs = Zipf(words.ADVERBS)
        # Their own shuffle, so that the frequent compounds do not all begin alike.
        self._compounds, self._science, self._places, self._surnames = (
            Zipf(shuffled(made, Draw(index)))
            for index, made in enumerate((compounds, science, places, surnames))
        )
        self.start_topic()

    def start_topic(self) -> None:
        """Choose the words that the next document prefers."""
        self._topic = [self._nouns.draw(self.draw) for _ in range(8)] + [
            self._compounds.draw(self.draw) for _ in range(2)
        ]

    def person(self) -> str:
        return f"{self.draw.pick(words.FIRST_NAMES)} {self._surnames.draw(self.draw)}"

    def place(self) -> str:
        return self._places.draw(self.draw)

    def noun(self) -> str:
        return self.draw.pick(self._topic) if self.draw.one_in(2) else self._nouns.draw(self.draw)

    def _word(self, slot: str) -> str:
        draw = self.draw
        plain = {
            "A": self._adjectives,
            "L": self._adverbs,
            "V": self._verbs,
            "C": self._compounds,
            "S": self._science,
        }
        if slot in plain:
            return plain[slot].draw(draw)
        made: dict[str, Callable[[], str]] = {
            "N": self.noun,
            "Ns": lambda: plural(self.noun()),
            "Vs": lambda: plural(self._verbs.draw(draw)),
            "Vd": lambda: past(self._verbs.draw(draw)),
            "P": self.place,
            "W": self.person,
            "Mo": lambda: draw.pick(words.MONTHS),
            "Y": lambda: str(draw.between(1680, 2023)),
            "D": lambda: str(draw.length(40)),
            "M": lambda: (
                f"in {draw.pick(words.MONTHS)}" if draw.one_in(2) else f"near {self.place()}"
            ),
        }
        return made[slot]()

    def fill(self, template: str) -> str:
        """Return the template with its slots filled: `{N}` noun, `{Ns}` nouns, `{V}` verb, `{Vd}`
        past, `{A}` adjective, ...
        """
        text = _SLOT.sub(lambda match: self._word(match[1]), template)
        text = re.sub(r"\b([Aa]) (?=[aeiou])(?!use|uni)", r"\1n ", text)
        return text[0].upper() + text[1:]

    def sentence(self) -> str:
        """Return a sentence; one in thirty holds a phrase beyond ASCII."""
        text = self.fill(self.draw.pick(SENTENCES))
        if self.draw.one_in(30) and text.endswith("."):
            text = f"{text[:-1]} {self.draw.pick(words.UNICODE_PHRASES)}."
        return text

    def sentences(self, num_words: int) -> list[str]:
        """Return sentences that together have at least `num_words` words."""
        result: list[str] = []
        while num_words > 0:
            result.append(self.sentence())
            num_words -= result[-1].count(" ") + 1
        return result

    def paragraphs(self, num_words: int, separator: str = "\n") -> str:
        """Return text of about `num_words` words, in paragraphs of two to seven sentences."""
        sentences = self.sentences(num_words)
        parts: list[str] = []
        while sentences:
            size = self.draw.between(2, 7)
            parts.append(" ".join(sentences[:size]))
            sentences = sentences[size:]
        return separator.join(parts)

    def title(self) -> str:
        return self.fill(
            self.draw.pick(
                (
                    "The {A} {N} of {P}",
                    "{P}",
                    "{W}",
                    "{A} {Ns}",
                    "The {S}",
                    "A {C} in {P}",
                    "{Ns} and {Ns}",
                )
            )
        )
