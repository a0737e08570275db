"""The quality steps of a source, opened and proven: text and row in, text or a reason out
(`mixtures.recipe.quality.steps` says what a recipe may ask).

    open_steps(source.quality).apply(text) -> the text as the steps leave it, or Dropped("quality
    gopher-repetition: dup_line_frac")

Opening needs the packages of the extra `quality` (but for regex and length), and runs every step
twice over golden documents, the second time in the opposite order: a step that depends on what it
saw before would give every sharding of the input another mix.

A text that a step empties is dropped with the reason `quality NAME: emptied`, so that `empty` goes
on meaning that the row had no text. A step that raises on a document has not judged it: the row is
quarantined (`quality`), and the build fails unless the recipe allows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any, TypedDict

from mixtures.errors import AnnealmixError, ManifestError, RecipeError
from mixtures.recipe.quality.arguments import UrlQuality
from mixtures.recipe.quality.steps import Quality, canonical_quality, read_quality
from mixtures.words import first_line
from pipeline.inputs.adapters.rows import BadRecord
from pipeline.inputs.quality.rule import Dropped, StepRule
from pipeline.inputs.quality.steps import open_rule

PREFIX = "quality "
"""Begins the reason of every document that a step dropped, in ledgers and manifests."""

# What steps may use; their versions are recorded in ledgers.
PACKAGES = ("datatrove", "fasttext-community", "ftfy", "polars", "regex", "spacy", "tldextract")

GOLDEN_URL = "https://www.example.org/garden/measured-by-hand.html"
GOLDEN = (
    "The miller had measured the water of the old bridge every spring, and the town kept what he"
    " wrote. " * 6,
    "\n".join(
        f"It was line {number} of the letter, and it was read to the end." for number in range(12)
    )
    + "\n\nIt was line 3.",
    "same line\n" * 20,
    (
        "Write to anna@mill.example or to ben@mill.example; the machine is at 8.8.8.8, its twin at"
        " 1.1.1.1 and one at 10.0.0.1."
    ),
    (
        "cafÃ© &amp; bar \u201cÃ¼ber\u201d [12]\n*** --- ***\n=====\nAccept cookies and javascript:"
        " we use cookies { }\nlorem ipsum ..."
    ),
    "- one\n- two\n\u2022 three\n# four\nfive \u2026",
    (
        "\u6d4b\u8bd5\u3002 \u043f\u0440\u0438\u043c\u0435\u0440"
        " \u0442\u0435\u043a\u0441\u0442\u0430. e\u0301\u00a0\u200b\ufeff\x00"
    ),
    "x",
)


class QualityRecord(TypedDict):
    """What a ledger records of how it was made."""

    steps: Sequence[Mapping[str, Any]]
    """As `canonical_quality` writes them."""
    packages: Mapping[str, str]
    """Versions of the packages that steps may use, by name."""


class QualitySteps:
    """Made by `open_steps`.

    Attributes:
        steps: as the recipe has them.
        columns: of the row, besides the text's own, that a step needs.
    """

    def __init__(self, steps: Quality, rules: Sequence[StepRule]) -> None:
        self.steps = steps
        self.columns = _columns(steps)
        self._rules = list(zip(_labels(steps), rules, strict=True))

    def apply(self, text: str, row: Mapping[str, Any] | None = None) -> str | Dropped:
        """Put a text through the steps.

        Args:
            row: the row that the text is of; only `columns` of it are looked at.

        Raises:
            BadRecord: a step could not judge the text; says which, never what the text holds.
        """
        for label, rule in self._rules:
            try:
                outcome = rule(text, row or {})
            except (BadRecord, MemoryError):
                raise
            # datatrove's steps divide by counts that may be 0; each library has errors of its own
            except Exception as error:
                detail = f"the step {label} raised {type(error).__name__}"
                raise BadRecord("quality", detail) from None
            if isinstance(outcome, Dropped):
                return Dropped(f"{PREFIX}{label}: {outcome.reason}")
            if not outcome:
                return Dropped(f"{PREFIX}{label}: emptied")
            text = outcome
        return text

    def record(self) -> QualityRecord:
        """What a ledger records of how it was made."""
        return {"steps": canonical_quality(self.steps), "packages": package_versions()}


def package_versions() -> dict[str, str]:
    """Versions of the packages that steps may use, by name, of those that are there."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


class PostponedSteps(QualitySteps):
    """Lets every text pass, for steps that are applied afterwards to those that were chosen.

    Attributes:
        row: of the text that passed last: the columns that the steps need.
    """

    def __init__(self, steps: QualitySteps) -> None:
        self.columns = steps.columns
        self.row: Mapping[str, Any] = {}
        self._later = steps

    def apply(self, text: str, row: Mapping[str, Any] | None = None) -> str:
        """Let a text pass."""
        row = row or {}
        self.row = {name: row[name] for name in self.columns if name in row}
        return text

    def judge(self, text: str, row: Mapping[str, Any]) -> str | Dropped:
        """As `QualitySteps.apply`."""
        return self._later.apply(text, row)


def _columns(steps: Quality) -> tuple[str, ...]:
    arguments = (step.arguments for step in steps)
    return tuple(dict.fromkeys(one.column for one in arguments if isinstance(one, UrlQuality)))


def _labels(steps: Quality) -> list[str]:
    """Names of the steps in reasons; a step that stands there again is numbered."""
    seen: Counter[str] = Counter()
    labels = []
    for step in steps:
        seen[step.name] += 1
        labels.append(step.name if seen[step.name] == 1 else f"{step.name} {seen[step.name]}")
    return labels


@lru_cache(maxsize=16)
def open_steps(steps: Quality) -> QualitySteps:
    """Open and prove the steps; once a process, however many files it reads.

    Raises:
        RecipeError: a package is missing, or an argument cannot be met.
        ManifestError: a step does not agree with itself, or a table or model is not the one that is
            pinned.
        InputError: a model is not there.
    """
    rules = []
    for step, label in zip(steps, _labels(steps), strict=True):
        try:
            rules.append(open_rule(step))
            _require_pure(rules[-1], dict.fromkeys(_columns(steps), GOLDEN_URL))
        except ImportError as error:
            reason = first_line(error, type(error).__name__)
            raise RecipeError(
                f"quality step {label} lacks a package ({reason}): pip install 'annealmix[quality]'"
            ) from None
        except AnnealmixError as error:
            raise type(error)(f"quality step {label}: {error}") from None
    return QualitySteps(steps, rules)


def planned_steps(canonical: Sequence[Mapping[str, Any]]) -> QualitySteps | None:
    """Open the steps of a plan, which holds them as `canonical_quality` wrote them; None where
    there are none.
    """
    return open_steps(read_quality(canonical)) if canonical else None


def _require_pure(rule: StepRule, row: Mapping[str, Any]) -> None:
    """Hold a step to itself on the golden documents, which it sees in order and in reverse."""
    forward = [_outcome(rule, text, row) for text in GOLDEN]
    backward = [_outcome(rule, text, row) for text in reversed(GOLDEN)][::-1]
    for number, outcomes in enumerate(zip(forward, backward, strict=True)):
        if outcomes[0] != outcomes[1]:
            raise ManifestError(
                f"gives golden document {number} another result when it sees it again; it cannot be"
                " used"
            )


def _outcome(rule: StepRule, text: str, row: Mapping[str, Any]) -> str | Dropped:
    try:
        return rule(text, row)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # that it raises is a result too
        return Dropped(type(error).__name__)
