"""A filter: what decides that a document is flagged, pinned to the bit.
`recipes/filters/NAME.yaml`, or a file of the user's own.

```yaml
name: my-filter
description: what it is meant to find
blocklist:
  file: terms.txt             # beside this file; one term a line
  sha256: 5d7b...             # of the file's bytes
  mode: published             # or words (mixtures.rules.terms)
  threshold: 2                # escalate from so many distinct terms on
classifier:                   # none: every escalated document is flagged
  kind: sequence              # linear, fasttext or sequence (pipeline.judges.classifiers)
  path: modernbert            # file or folder, beside this file
  digest: 08ab...             # of weights and rules, as `annealmix filter train` prints it
  threshold: 0.0105           # flag if the score is GREATER; an exact decimal
  parameters: {label: unsafe, context: 8192}
levels:                       # scores above which recipes flag that ask for such a level
  extra-weak: {threshold: 0.5}
  weak: {threshold: 0.0105}
golden:                       # decided anew before every use; at least one of each
  - {text: "A list names Abrin and Ricin.", flagged: true}
  - {text: "The weather was fine.", flagged: false}
```

The rule is that of the published filters (arXiv 2508.06601): a document is escalated if it holds at
least `threshold` distinct terms; an escalated one is flagged if there is no classifier, or if its
score is greater than the classifier's threshold. Scores are whole millionths, and the comparison is
exact.

Files are named by paths below the filter's folder. Symbolic links may lead anywhere (a model cache
is made of them): what is found at their end is held to its pinned hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mixtures.rules.levels import SCORED_LEVELS, ScoredLevel
from mixtures.rules.terms import Mode
from mixtures.yaml.disk import read_bytes
from mixtures.yaml.fields import (
    Checked,
    Exact,
    Flag,
    Integer,
    Line,
    LocalPath,
    Location,
    Model,
    Name,
    Positive,
    Text,
    describe,
    json_digest,
)

RULES = 1
"""Number of the decision rule above; a change that can change any decision raises it, and with it
every identity.
"""

MILLION = 1_000_000
MAX_THRESHOLD = 65_535  # where counts of distinct terms saturate

ClassifierKind = Literal["linear", "fasttext", "sequence"]
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "linear": (),
    "fasttext": ("label",),
    "sequence": ("label", "context", "rows", "dtype", "device", "threads"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _sha256(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError(
            f"{describe(value)} is not a sha256; write its 64 hex digits in lower case"
        )
    return value


def _below_one(value: Decimal) -> Decimal:
    if not 0 <= value < 1:
        raise ValueError(
            f"{value} is not at least 0 and below 1; scores are probabilities, and none is above 1"
        )
    return value


Sha256 = Annotated[Line, AfterValidator(_sha256)]


def _term(value: str) -> str:
    if value.startswith("#") or value.strip() != value:
        raise ValueError(
            f"{describe(value)} begins with # or has white space at an end, which no term of a list"
            " has"
        )
    return value


class BlocklistPin(Checked):
    """The list, the hash of its bytes (computed, if it is not stated), its rule of matching
    (`mixtures.rules.terms`), and from how many distinct terms on a document is escalated.

    terms: instead of `file`, the terms themselves; their bytes are those of a file with one a line.
    """

    file: LocalPath | None = None
    terms: tuple[Annotated[Line, AfterValidator(_term)], ...] = ()
    sha256: Sha256 = ""
    mode: Mode
    threshold: Annotated[Positive, Field(le=MAX_THRESHOLD)] = 2

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """One list."""
        if bool(given.get("file")) == bool(given.get("terms")):
            yield (), "gives one of file and terms: where the list is, or the list itself"

    def content(self, folder: Path) -> bytes:
        """The bytes of the list. folder: of its file.

        Raises:
            OSError: the file cannot be read.
        """
        if self.file is None:
            return "".join(f"{term}\n" for term in self.terms).encode()
        return read_bytes(folder / self.file)

    def place(self, folder: Path) -> str:
        """Names the list in messages."""
        return "the terms of the filter" if self.file is None else str(folder / self.file)


class ClassifierParameters(Model):
    """What an engine is told (`pipeline.judges.classifiers.open_classifier`); each kind takes some
    of them. label: of the positive class.

    context: tokens of a window; rows: windows of a forward pass; threads: of torch. All of the kind
        sequence but for label.
    """

    label: Line | None = None
    context: Annotated[Integer, Field(ge=0)] | None = None
    rows: Positive | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: Literal["cpu", "cuda"] | None = None
    threads: Annotated[Integer, Field(ge=0)] | None = None

    def given(self) -> dict[str, int | str]:
        """Those that the file states."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ClassifierPin(Checked):
    """A model, and the score above which it flags. path: file or folder beside the filter.
    threshold: exact, from 0 to below 1.
    """

    kind: ClassifierKind
    path: LocalPath
    digest: Sha256
    threshold: Annotated[Exact, AfterValidator(_below_one)]
    parameters: ClassifierParameters = ClassifierParameters()

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Each kind of classifier knows its own parameters."""
        known, parameters = _PARAMETERS.get(str(given.get("kind"))), given.get("parameters")
        if known is None or not isinstance(parameters, Mapping):
            return
        for name in parameters:
            if name in ClassifierParameters.model_fields and name not in known:
                yield (
                    ("parameters", name),
                    f"the kind {given['kind']} has no such parameter; it has"
                    f" {', '.join(known) or 'none'}",
                )

    @property
    def threshold_millionths(self) -> int:
        """A whole score is above the threshold just if it is above this."""
        return int(self.threshold * MILLION)


class LevelPin(Model):
    """A level of a filter: the score above which it flags. threshold: exact, from 0 to below 1."""

    threshold: Annotated[Exact, AfterValidator(_below_one)]


class GoldenDecision(Model):
    """A harmless text and what the filter must say of it."""

    text: Text
    flagged: Flag


class FilterDefinition(Checked):
    """One filter, as its file says."""

    name: Name
    description: Text = ""
    blocklist: BlocklistPin
    classifier: ClassifierPin | None = None
    levels: dict[ScoredLevel, LevelPin] = Field(default_factory=dict)
    golden: tuple[GoldenDecision, ...]

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """A filter that flags all or nothing must show in its golden decisions; weaker levels flag
        less.
        """
        yield from _level_faults(given)
        golden = given.get("golden")
        if not isinstance(golden, list | tuple):
            return
        decided = {
            str(item["flagged"]).lower()
            for item in golden
            if isinstance(item, Mapping) and "flagged" in item
        }
        if missing := [word for word in ("true", "false") if word not in decided]:
            yield (
                ("golden",),
                f"no text with flagged: {' and none with flagged: '.join(missing)}; give at"
                " least one of each",
            )

    @property
    def identity(self) -> str:
        """sha256 (hex) of what decides: the rule, the list, its mode and threshold, the
        classifier's digest and threshold.

        Two filters of one identity flag the same documents. Name, description, golden decisions,
        paths and the spelling of numbers are no part of it; nor are device and threads (see
        `pipeline.judges.classifiers.sequence`).
        """
        blocklist, pin = self.blocklist, self.classifier
        classifier = None if pin is None else (pin.kind, pin.digest, pin.threshold_millionths)
        return filter_identity(blocklist.sha256, blocklist.mode, blocklist.threshold, classifier)


def _level_faults(given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
    levels = given.get("levels")
    if not isinstance(levels, Mapping) or not levels:
        return
    if "classifier" not in given:
        yield ("levels",), "are scores, and there is no classifier; add one, or leave them out"
    found = [
        level["threshold"]
        for name in SCORED_LEVELS
        if isinstance(level := levels.get(name), Mapping) and "threshold" in level
    ]
    try:
        extra_weak, weak = map(Decimal, map(str, found))
    except (ValueError, ArithmeticError):
        return
    if extra_weak <= weak:
        yield (
            ("levels",),
            f"extra-weak flags above {extra_weak}, weak above {weak}: it must flag less; give it"
            " the higher threshold",
        )


def filter_identity(
    sha256: str, mode: str, threshold: int, classifier: tuple[str, str, int] | None
) -> str:
    """The identity of a filter (`FilterDefinition.identity`) by what decides.

    Args:
        sha256, mode, threshold: of the list. classifier: kind, digest, threshold in millionths;
            None without one.
    """
    content = {
        "rules": RULES,
        "blocklist": {"sha256": sha256, "mode": mode, "threshold": threshold},
        "classifier": (
            classifier and dict(zip(("kind", "digest", "threshold"), classifier, strict=True))
        ),
    }
    return json_digest(content)
