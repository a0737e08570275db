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

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mixtures.errors import InputError, ManifestError, RecipeError
from mixtures.rules.levels import SCORED_LEVELS, ScoredLevel
from mixtures.rules.terms import Mode, TermList, content_hash, parse_blocklist
from mixtures.yaml.disk import SHIPPED, is_file, is_folder, names_in, read_bytes, shown
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
from mixtures.yaml.tree import load_yaml, suggest, validate

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


@dataclass(frozen=True)
class FilterBundle:
    """A definition and the folder in which the files that it names lie. where: names it in
    messages.
    """

    definition: FilterDefinition
    folder: Path
    where: str


def list_filters() -> list[str]:
    """Names of the shipped filters."""
    return names_in(SHIPPED / "filters")


def load_filter(name_or_file: str, brought: Path | None = None) -> FilterBundle:
    """Read a filter by the name of a shipped one, or by file (anything with a `/` or ending in
    .yaml or .yml).

    Args:
        brought: folder of the user's filters, which go before shipped ones of that name.

    Raises:
        RecipeError: there is none, or it is malformed: every fault with file and line; `brought` is
            no folder.
    """
    if brought is not None:
        refuse_no_folder(brought)
    if "/" in name_or_file or name_or_file.endswith((".yaml", ".yml")):
        file = Path(name_or_file)
    elif brought is not None and (found := brought_filter(brought, name_or_file)):
        file = found
    elif name_or_file in list_filters():
        file = SHIPPED / "filters" / f"{name_or_file}.yaml"
    else:
        raise RecipeError(unknown_filter(name_or_file, brought))
    return read_filter(file)


def unknown_filter(name: str, brought: Path | None) -> str:
    """Why a name is no filter, for people. brought: folder of the user's filters, if any."""
    shipped = suggest(name, list_filters(), "shipped")
    bring = (
        f"{brought} has neither {name}.yaml nor {name}/filter.yaml"
        if brought is not None
        else f"plan, build, lock and filter check find {name}/filter.yaml in DIR with --filters DIR"
    )
    return (
        f"{name!r} is not a shipped filter; {shipped}; {bring}; a file is given with its ending,"
        f" such as {name}.yaml"
    )


def refuse_no_folder(brought: Path) -> None:
    """A folder of filters must be there, else a shipped filter of the same name would judge.

    Raises:
        RecipeError: it is not.
    """
    if not is_folder(brought):
        raise RecipeError(
            f"--filters {brought}: no such folder; name the one that holds your filters"
        )


def brought_filter(folder: Path, name: str) -> Path | None:
    """The file of a filter in a folder of the user's: NAME.yaml or NAME/filter.yaml.

    Raises:
        RecipeError: it holds both.
    """
    files = (folder / f"{name}.yaml", folder / name / "filter.yaml")
    found = [file for file in files if is_file(file)]
    if len(found) > 1:
        raise RecipeError(
            f"{folder}: holds {name}.yaml and {name}/filter.yaml, and one is meant; remove the"
            " other"
        )
    return found[0] if found else None


def read_filter(file: Path) -> FilterBundle:
    """Read a filter's file, and hash its list if it states no hash.

    Raises:
        RecipeError: it is missing or malformed: every fault with file and line.
    """
    return hashed_filter(
        validate(FilterDefinition, load_yaml(file, shown(file))), file.parent, shown(file)
    )


def hashed_filter(definition: FilterDefinition, folder: Path, where: str) -> FilterBundle:
    """A definition, with the hash of its list if it does not state it.

    Args:
        folder: of its files. where: names the definition in messages.

    Raises:
        RecipeError: the list cannot be read.
    """
    pin = definition.blocklist
    if not pin.sha256:
        try:
            sha256 = content_hash(pin.content(folder))
        except OSError as error:
            raise _not_readable(where, pin.place(folder), error) from None
        pin = pin.model_copy(update={"sha256": sha256})
    return FilterBundle(definition.model_copy(update={"blocklist": pin}), folder, where)


def filter_of_terms(name: str, pin: BlocklistPin, folder: Path, where: str) -> FilterBundle:
    """The filter that a list alone makes. Its golden decisions are of the list itself: a text of
    all its terms, and one of none.

    Raises:
        RecipeError: the list cannot be read, or is none.
    """
    try:
        terms = parse_blocklist(pin.content(folder), f"{where}: {pin.place(folder)}", pin.mode)
    except OSError as error:
        raise _not_readable(where, pin.place(folder), error) from None
    golden = [{"text": "\n".join(terms), "flagged": True}, {"text": "", "flagged": False}]
    fields = {"name": name, "blocklist": pin, "golden": golden}
    return hashed_filter(FilterDefinition.model_validate(fields), folder, where)


def _not_readable(where: str, path: object, error: OSError) -> RecipeError:
    return RecipeError(f"{where}: {path} cannot be read ({error.strerror}); put the file there")


def sha256_of(path: Path, where: str) -> str:
    """Hash of a file that a definition names without one. where: names the definition.

    Raises:
        RecipeError: it cannot be read.
    """
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        raise _not_readable(where, path, error) from None


def load_terms(pin: BlocklistPin, folder: Path) -> tuple[str, ...]:
    """The terms of the pinned list, read from the filter's folder.

    Raises:
        InputError: the file is missing or unreadable.
        ManifestError: its bytes are not the pinned ones.
        RecipeError: it is no blocklist, or holds fewer terms than the threshold asks.
    """
    path = pin.place(folder)
    try:
        content = pin.content(folder)
    except OSError as error:
        raise InputError(
            f"{path}: the blocklist cannot be read ({error.strerror}); restore the file that the"
            " filter names"
        ) from None
    actual = content_hash(content)
    if actual != pin.sha256:
        raise ManifestError(
            f"{path}: has sha256 {actual}, the filter pins {pin.sha256}: another list; restore it,"
            " or pin a new filter"
        )
    terms = parse_blocklist(content, path, pin.mode)
    count = len(TermList(terms, pin.mode).needles)
    if count < pin.threshold:
        raise RecipeError(
            f"{path}: holds {count:,} distinct terms, the filter escalates from {pin.threshold:,}"
            " on, so it could flag nothing; lower blocklist.threshold"
        )
    return terms
