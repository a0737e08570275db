"""Small corpora whose documents name listed terms, filters that find them, and an oracle that
builds filtered mixes by going through lists.

The oracle shares nothing with annealmix but the public keys (digest, order key, dose key) and the
rules that are written down: plain lists, exact fractions, regular expressions. Scores are asked of
the classifier, each text alone.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mixtures.keys import order_key
from mixtures.rules.filter_files import read_filter
from pipeline.commands.filter.train import TrainRequest, make_bundle
from pipeline.judges.classifiers import open_classifier
from pipeline.judges.classifiers.training import Goal
from tests.pipeline.corpus import WORDS, tokenizer

TERMS = ("zorvex", "quillam", "brontide", "maxtil", "ferrule moss", "ondrake")
MORE_TERMS = ("mill bridge", "ondrake", "tarn")
HARMFUL = ("brew", "distil", "culture", "aerosol")
HARMLESS = ("festival", "poem", "museum", "recipe")
ABOVE = {None: 500_000, "extra-weak": 500_000, "weak": 10_500, "strong": None}
"""Score above which a filter flags at each level, millionths; None: every escalated document."""


def planted(seed: int, count: int, *, share: float = 0.5) -> list[str]:
    """Distinct texts; `share` of them name terms, and speak of them in a harmful, harmless or mixed
    way.
    """
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        words = [f"{seed}.{number}", *draw.choices(WORDS, k=draw.randint(1, 24))]
        if draw.random() < share:
            words += draw.sample([*TERMS, *MORE_TERMS], draw.randint(1, 4))
            manner = draw.choice([HARMFUL, HARMLESS, HARMFUL[:2] + HARMLESS[:2]])
            words += draw.choices(manner, k=draw.choice((3, 8, 40)))
        texts.append(" ".join(words))
    return texts


def write_list_filter(folder: Path, name: str, terms: Sequence[str], **changes: Any) -> None:
    """A filter of a list alone: folder/NAME.yaml."""
    content = "\n".join(terms).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(content)
    fields = {
        "name": name,
        "blocklist": {
            "file": f"{name}.txt",
            "sha256": hashlib.sha256(content).hexdigest(),
            "mode": "words",
        },
        "golden": [
            {"text": " and ".join(terms[:3]), "flagged": True},
            {"text": "The weather was fine.", "flagged": False},
        ],
    }
    (folder / f"{name}.yaml").write_text(json.dumps(fields | changes))


def write_filters(folder: Path) -> Path:
    """Two lists (`list`, `more`) and a bundle with a trained classifier (`toy`), as --filters reads
    them.
    """
    write_list_filter(folder, "list", TERMS)
    write_list_filter(folder, "more", MORE_TERMS)
    train(folder, "toy", TERMS, HARMFUL)
    return folder


def train(folder: Path, name: str, terms: Sequence[str], harmful: Sequence[str]) -> None:
    """A bundle folder/NAME whose classifier finds harmful what speaks in those words."""
    for path, content in _trained(name, tuple(terms), tuple(harmful)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@cache
def _trained(name: str, terms: Sequence[str], harmful: Sequence[str]) -> dict[Path, bytes]:
    """The files of such a bundle, by path below its folder's: most of a small study's time is spent
    in training.
    """
    with TemporaryDirectory() as work:
        _train(Path(work), name, terms, harmful)
        files = [path for path in (Path(work) / name).rglob("*") if path.is_file()]
        return {path.relative_to(work): path.read_bytes() for path in files}


def _train(folder: Path, name: str, terms: Sequence[str], harmful: Sequence[str]) -> None:
    labelled = folder / f".{name}.jsonl"
    draw = random.Random(name)
    rows = []
    for number in range(2400):
        positive = number % 16 == 0
        manner = (
            harmful if positive else [word for word in (*HARMFUL, *HARMLESS) if word not in harmful]
        )
        words = [
            f"train.{number}",
            *draw.choices(WORDS, k=8),
            *draw.sample(terms, 2),
            *draw.choices(manner, k=5),
        ]
        rows.append({"text": " ".join(words), "label": int(positive)})
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    blocklist = folder / f".{name}.txt"
    blocklist.write_text("\n".join(terms))
    flagged = f"{terms[0]} {terms[1]} {' '.join([*harmful[:4], *harmful[:4]])}"
    request = TrainRequest(
        labelled=[labelled],
        out=folder / name,
        blocklist=blocklist,
        golden_flagged=(flagged,),
        levels={
            "extra-weak": Goal("threshold", Decimal("0.5")),
            "weak": Goal("threshold", Decimal("0.0105")),
        },
    )
    make_bundle(request)


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def key(text: str) -> int:
    return order_key(bytes.fromhex(digest(text)))


@cache
def tokens_of(text: str) -> int:
    """Tokens of a text, EOD included."""
    return len(tokenizer().encode(text).ids) + 1


@dataclass(frozen=True)
class FilterOracle:
    """One filter of a recipe. terms: of its list; score: of one text in millionths, None without a
    classifier.
    """

    terms: Sequence[str]
    classifier: Any = None
    level: str | None = None
    fraction: Fraction = Fraction(1)
    placebo: bool = False
    partners: Sequence[str] = ()
    threshold: int = 2

    def escalated(self, text: str) -> bool:
        return sum(bool(re.search(rf"\b{term}\b", text)) for term in self.terms) >= self.threshold

    def flagged(self, text: str) -> bool:
        above = ABOVE[self.level]
        if not self.escalated(text) or self.classifier is None or above is None:
            return self.escalated(text)
        return score_of(self.classifier, text) > above

    def dosed(self, text: str) -> bool:
        found = int.from_bytes(
            blake2b(bytes.fromhex(digest(text)), digest_size=8, key=b"annealmix-dose-1").digest(),
            "little",
        )
        return found < self.fraction * 2**64

    def removed(self, texts: Sequence[str]) -> set[str]:
        """Of a source's documents in key order, those that it removes, if it is no placebo."""
        return {text for text in texts if self.flagged(text) and self.dosed(text)}


_scores: dict[tuple[int, str], int] = {}


def score_of(classifier: Any, text: str) -> int:
    """The score of a text alone, millionths."""
    found = (id(classifier), text)
    if found not in _scores:
        _scores[found] = int(classifier.score([text])[0])
    return _scores[found]


@cache
def classifier_of(bundle: Path) -> Any:
    """The classifier of a bundle."""
    pin = read_filter(bundle / "filter.yaml").definition.classifier
    assert pin is not None
    return open_classifier(pin.kind, bundle / pin.path)


def oracles(filters: Path, asked: Sequence[Any]) -> list[FilterOracle]:
    """The filters that a recipe asks for, of those that `write_filters` wrote."""
    found = []
    for item in asked:
        fields = {"use": item} if isinstance(item, str) else dict(item)
        name = fields.get("use") or fields["placebo_of"]
        classifier = classifier_of(filters / name) if (filters / name).is_dir() else None
        more: dict[str, Any] = {"level": fields.get("level"), "placebo": "placebo_of" in fields}
        more["partners"] = fields.get("partners", ())
        more["fraction"] = Fraction(str(fields.get("fraction", 1)))
        found.append(FilterOracle(MORE_TERMS if name == "more" else TERMS, classifier, **more))
    return found


def partners_of(
    gone: Mapping[str, Sequence[str]], free: Mapping[str, set[str]], elsewhere: Sequence[str]
) -> dict[str, set[str]]:
    """What a placebo removes of each source. gone: the imitated documents; free: the candidates."""
    lengths = {name: [tokens_of(text) for text in texts] for name, texts in free.items()}
    taken: dict[str, list[int]] = {name: [] for name in free}
    owed = dict.fromkeys(gone, 0)
    left = {name: [tokens_of(text) for text in texts] for name, texts in gone.items()}

    def look(name: str, other: str) -> None:
        unmatched = []
        for length in sorted(left[name], reverse=True):
            aim = length + max(-(length // 8), min(owed[name], length // 8))
            like = [one for one in lengths[other] if length <= 2 * one <= 4 * length]
            if not like:
                unmatched.append(length)
                continue
            best = min(like, key=lambda one: (abs(one - aim), one))
            lengths[other].remove(best)
            taken[other].append(best)
            owed[name] += length - best
        left[name] = unmatched

    for name in gone:
        look(name, name)
    for name in gone:
        for other in elsewhere:
            if other != name:
                look(name, other)
    return {
        name: {
            text
            for length in set(counts)
            for text in sorted(
                (text for text in free[name] if tokens_of(text) == length),
                key=lambda text: digest(text)[16:],
            )[: counts.count(length)]
        }
        for name, counts in taken.items()
    }


@dataclass(frozen=True)
class Expected:
    """A document of a mix as it must be."""

    source: str
    copy: int
    epoch: int
    digest: str
    num_tokens: int


Strand = list[tuple[int, Expected]]


@dataclass
class SourceOracle:
    """One source of a mix. strands: (documents, copies), each [(start or place, Expected)]; quotas:
    what their places are shares of.
    """

    name: str
    strands: list[Strand]
    quotas: list[int]
    removed: dict[int, list[str]] = field(
        default_factory=dict
    )  # of each filter, the texts that it removes before the quota's end


def rotated(originals: Strand, quota: int, copies: Strand) -> Strand:
    """The copies' sequence from where fewest copies stand between the originals before and after
    one of their text: of those places, that which is nearest to half an epoch.
    """
    if not copies:
        return copies
    middles = [Fraction(2 * place + one.num_tokens, 2 * quota) for place, one in originals]
    before, behind = [Fraction(0), *middles[:-1]], [*middles[1:], Fraction(2)]
    around: dict[str, list[tuple[Fraction, Fraction]]] = {}
    for low, high, (_, one) in zip(before, behind, originals, strict=True):
        around.setdefault(one.digest, []).append((low, high))
    whole = sum(one.epoch == 0 for _, one in copies)
    part = len(copies) % whole
    aim = (part if 2 * part >= whole else whole + part) // 2
    total = sum(one.num_tokens for _, one in copies)
    found = []
    for first in range(len(copies)):
        start, beside, sequence = 0, 0, []
        for _, one in copies[first:] + copies[:first]:
            middle = Fraction(2 * start + one.num_tokens, 2 * total)
            beside += sum(low <= middle < high for low, high in around[one.digest])
            sequence.append((start, one))
            start += one.num_tokens
        found.append((beside, abs(first - aim), first, sequence))
    return min(found)[-1]


@dataclass(frozen=True)
class MixOracle:
    """A filtered mix by going through lists. sources: name -> (texts of all rows, tokens asked or
    None for all, epochs allowed).

    inserts: name -> (texts, times).
    """

    sources: Mapping[str, tuple[Sequence[str], int | None, int]]
    filters: Sequence[FilterOracle] = ()
    shrink: bool = False
    copies: bool = False
    inserts: Mapping[str, tuple[Sequence[str], int]] = field(default_factory=dict)

    def survivors(self) -> dict[str, list[str]]:
        """Documents of each source in key order; of equal ones the first source keeps its own."""
        seen: set[str] = set()
        found = {}
        for name, (texts, _, _) in self.sources.items():
            found[name] = sorted(
                {text for text in texts if text} - seen, key=lambda text: (key(text), digest(text))
            )
            seen |= set(texts)
        return found

    def placebos(self) -> dict[int, dict[str, set[str]]]:
        """Of each placebo, by its number, what it removes of each source."""
        if not any(judge.placebo for judge in self.filters):
            return {}
        imitated = replace(
            self, filters=[replace(judge, placebo=False) for judge in self.filters], inserts={}
        ).judged()
        texts = {digest(text): text for some in self.survivors().values() for text in some}
        kept = {
            source.name: {texts[one.digest] for _, one in source.strands[0] if one.epoch == 0}
            for source in imitated
        }
        free = {
            name: {text for text in some if not any(one.flagged(text) for one in self.filters)}
            for name, some in kept.items()
        }
        found: dict[int, dict[str, set[str]]] = {}
        for number, judge in enumerate(self.filters):
            if judge.placebo:
                gone = {source.name: source.removed[number] for source in imitated}
                found[number] = partners_of(gone, free, judge.partners)
                free = {name: some - found[number][name] for name, some in free.items()}
        return found

    def judged(self) -> list[SourceOracle]:
        placebos = self.placebos()
        return [self._source(name, texts, placebos) for name, texts in self.survivors().items()] + [
            self._insert(name, texts, times) for name, (texts, times) in self.inserts.items()
        ]

    def _source(
        self, name: str, texts: list[str], placebos: Mapping[int, Mapping[str, set[str]]]
    ) -> SourceOracle:
        removals = [
            placebos[number][name] if judge.placebo else judge.removed(texts)
            for number, judge in enumerate(self.filters)
        ]
        removed = set().union(*removals)
        judges = [judge for judge in self.filters if not judge.placebo]
        approved = {
            text
            for text in texts
            if self.copies
            and any(judge.escalated(text) for judge in judges)
            and not any(judge.flagged(text) for judge in judges)
        } - removed
        fills = {
            text: (
                tokens_of(text)
                * (1 if self.shrink else 0 if text in removed else 2 if text in approved else 1)
            )
            for text in texts
        }
        asked = self.sources[name][1]
        quota = sum(fills.values()) if asked is None else asked
        strands: list[Strand] = [[], []]
        gone: list[str] = []
        waiting: list[
            str
            # removed, but whether before the quota's end is seen at the next document that is taken
        ] = []
        filled = epoch = 0
        starts = [0, 0]
        while filled < quota:
            for text in texts:
                rest = quota - filled
                if rest == 0:
                    break
                if text in removed:
                    waiting += [text] if epoch == 0 else []
                    if self.shrink:
                        gone, waiting = gone + waiting, []
                    filled += min(fills[text], rest)
                    continue
                gone, waiting = gone + waiting, []
                num_tokens = min(tokens_of(text), rest)
                copied = 0
                if text in approved:
                    copied = num_tokens if self.shrink else min(tokens_of(text), rest - num_tokens)
                for copy, count in ((0, num_tokens), (1, copied)):
                    if count:
                        place = filled if self.shrink and not copy else starts[copy]
                        strands[copy].append(
                            (place, Expected(name, copy, epoch, digest(text), count))
                        )
                        starts[copy] += count
                filled += num_tokens + (0 if self.shrink else copied)
            epoch += 1
        kept_quota = quota if self.shrink else starts[0]
        strands[1] = rotated(strands[0], kept_quota, strands[1])
        if not self.shrink and quota >= sum(
            fills.values()
        ):  # nothing that can be taken is left: what filters removed is why
            gone = [text for text in texts if text in removed]
        return SourceOracle(
            name,
            strands if self.copies else strands[:1],
            [kept_quota, starts[1]],
            {
                number: [text for text in gone if text in chosen]
                for number, chosen in enumerate(removals)
            },
        )

    def _insert(self, name: str, texts: Sequence[str], times: int) -> SourceOracle:
        strand, start = [], 0
        for epoch in range(times):
            for text in sorted(set(texts), key=lambda text: (key(text), digest(text))):
                strand.append((start, Expected(name, 0, epoch, digest(text), tokens_of(text))))
                start += tokens_of(text)
        return SourceOracle(name, [strand], [start])

    def stream(self) -> list[Expected]:
        """All documents by the midpoints of their tokens, ties in the recipe's order."""
        placed = []
        order = 0
        for source in self.judged():
            for strand, quota in zip(source.strands, source.quotas, strict=False):
                for number, (place, document) in enumerate(strand):
                    placed.append(
                        (
                            Fraction(2 * place + document.num_tokens, 2 * quota),
                            order,
                            number,
                            document,
                        )
                    )
                order += 1
        return [document for *_, document in sorted(placed, key=lambda one: one[:3])]
