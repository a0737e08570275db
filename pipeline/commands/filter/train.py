"""`annealmix filter train`: a trained classifier and a blocklist, pinned together as a filter that
is ready to use.

    DIR/weights.safetensors, report.json, curve.svg     as `pipeline.judges.classifiers.training`
                                                        writes them
    DIR/blocklist.txt                                   a copy of the list
    DIR/filter.yaml                                     the filter: hashes, thresholds and golden
                                                        decisions

Golden texts must be harmless and short, so none is taken from the labelled documents. They are the
user's, or else two made here: "A list names TERM1 and TERM2.", of the list's own terms, and "The
weather was fine.". A classifier may well find a sentence of bare names harmless, so the terms are
those of the list that it scores highest: neighbours in the list, as many as the threshold asks and
then twice and four times as many. Whatever the texts, the finished filter is opened from its files,
which decides them again.

Nothing appears under DIR unless all of it is there and holds.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mixtures.errors import InputError, RecipeError
from mixtures.rules.filter_definition import BlocklistPin, FilterDefinition
from mixtures.rules.filter_files import load_filter, load_terms
from mixtures.rules.levels import ScoredLevel
from mixtures.rules.terms import Mode, content_hash, parse_blocklist
from mixtures.yaml.disk import read_bytes
from mixtures.yaml.fields import Name
from pipeline import report
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.judges.classifiers import MILLION, Classifier, open_classifier
from pipeline.judges.classifiers.labelled import LabelColumns
from pipeline.judges.classifiers.training import (
    PICTURE,
    REPORT,
    WEIGHTS,
    Goal,
    LevelGoals,
    TrainedFilter,
    train_filter,
)
from pipeline.judges.filter import Filter
from pipeline.store.records import write_whole

FILTER, BLOCKLIST = "filter.yaml", "blocklist.txt"
HARMLESS = "The weather was fine."
_CANDIDATES = 2048  # groups of neighbouring terms that are tried as golden text


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What a filter is made of."""

    labelled: Sequence[Path]
    """Files of labelled documents."""
    out: Path
    """Folder of the filter."""
    blocklist: Path
    """That decides what the classifier sees; it is copied."""
    mode: Mode = "words"
    threshold: int = 2
    """Distinct terms from which on the classifier is asked."""
    name: str | None = None
    """Of the filter; None: that of the folder."""
    columns: LabelColumns | None = None
    holdout: Decimal = Decimal("0.2")
    """Share of the documents that is measured on."""
    goal: Goal = field(default_factory=Goal)
    levels: Mapping[ScoredLevel, Goal] = field(default_factory=dict)
    """What the filter's levels are fitted to."""
    golden_flagged: tuple[str, ...] = ()
    """The user's own golden texts; without any, one is made."""
    golden_passed: tuple[str, ...] = ()
    """Likewise."""


@dataclass(frozen=True)
class Bundle:
    """What was made."""

    folder: Path
    trained: TrainedFilter
    filter: Filter
    """As opened from the finished files."""

    @property
    def paths(self) -> dict[str, str]:
        """Of what was written, by what it is."""
        return {
            name: str(self.folder / file)
            for name, file in (("curve", PICTURE), ("report", REPORT), ("filter", FILTER))
            if file != PICTURE or self.trained.has_picture
        }

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        chosen = self.trained.chosen
        return {
            "threshold": chosen.threshold,
            "precision": chosen.precision,
            "recall": chosen.recall,
            "f1": chosen.f1,
            "removal": chosen.removal,
            "levels": {
                level.name: {
                    "rule": str(level.goal),
                    "threshold": level.chosen.threshold,
                    "recall": level.chosen.recall,
                    "removal": level.chosen.removal,
                }
                for level in self.trained.levels
            },
            **self.paths,
            "documents": asdict(self.trained.documents),
            "rule": self.trained.rule,
            "identity": self.filter.identity,
            "digest": self.trained.digest,
            "unit": "millionths",
        }


def make_bundle(request: TrainRequest) -> Bundle:
    """Train on labelled documents and write the folder of the filter.

    Raises:
        RecipeError: `out` is there and not empty, options out of range, or no golden text can be
            made.
        InputError: a file is missing or damaged, or too few documents are labelled.
        ManifestError: a golden text of the user's comes out otherwise.
    """
    out = request.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(
            f"{out}: is there already; name a new folder, since a filter that is in use must not"
            " change"
        )
    content = _content(request.blocklist)  # before the training, which takes longer
    pin = _pin(request, content)
    name = _named(out.name if request.name is None else request.name)
    terms = parse_blocklist(content, str(request.blocklist), request.mode)
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        folder = staging / "filter"
        trained = train_filter(
            request.labelled,
            folder,
            columns=request.columns,
            holdout=request.holdout,
            goal=request.goal,
            levels=_level_goals(request, terms),
        )
        write_whole(folder / BLOCKLIST, content)
        definition = _definition(name, pin, trained, folder, request)
        write_whole(folder / FILTER, _yaml(definition, trained).encode("ascii"))
        loaded = load_filter(str(folder / FILTER))
        opened = Filter.open(loaded.definition, folder, f"{out / FILTER}")
        folder.replace(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Bundle(out, trained, opened)


PUBLISHED_LEVELS: dict[ScoredLevel, Goal] = {
    "extra-weak": Goal("removal", Decimal("0.2156")),
    "weak": Goal("removal", Decimal("0.5379")),
}
"""Of the documents that the blocklist escalates: 2.02% and 5.04% of the annealing mix, where strong
removes 9.37% (arXiv 2508.06601)."""


def _level_goals(request: TrainRequest, terms: Sequence[str]) -> LevelGoals | None:
    if not request.levels:
        return None
    judge = Blocklist(terms, request.mode)
    return LevelGoals(request.levels, lambda texts: judge.count(texts) >= request.threshold)


def _named(name: str) -> str:
    try:
        return str(TypeAdapter(Name).validate_python(name))
    except ValidationError:
        raise RecipeError(
            f"{name!r} is no name for a filter; give one of a-z, 0-9, '.' and '-' with --name"
        ) from None


def _pin(request: TrainRequest, content: bytes) -> BlocklistPin:
    fields = {
        "file": BLOCKLIST,
        "sha256": content_hash(content),
        "mode": request.mode,
        "threshold": request.threshold,
    }
    try:
        return BlocklistPin.model_validate(fields)
    except ValidationError:
        raise RecipeError(
            f"{request.blocklist}: mode {request.mode!r} and threshold {request.threshold:,} are"
            " asked; the mode is published or words, the threshold 1 to 65,535"
        ) from None


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise InputError(
            f"{path}: the blocklist cannot be read ({error.strerror}); give an existing file with"
            " --blocklist"
        ) from None


def _definition(
    name: str, pin: BlocklistPin, trained: TrainedFilter, folder: Path, request: TrainRequest
) -> FilterDefinition:
    terms = load_terms(pin, folder)
    threshold = trained.chosen.threshold
    if threshold >= MILLION:
        raise RecipeError(
            f"the picked threshold is {threshold:,} millionths, and no score is higher; ask for"
            " another recall or removal"
        )
    classifier = open_classifier("linear", folder / WEIGHTS, digest=trained.digest)
    flagged = request.golden_flagged or (
        _flagged_text(terms, pin.threshold, classifier, threshold),
    )
    decisions = [{"text": text, "flagged": True} for text in flagged]
    decisions += [{"text": text, "flagged": False} for text in request.golden_passed or (HARMLESS,)]
    fields = {
        "name": name,
        "description": "trained by annealmix filter train",
        "blocklist": pin.model_dump(),
        "classifier": {
            "kind": "linear",
            "path": WEIGHTS,
            "digest": trained.digest,
            "threshold": Decimal(threshold).scaleb(-6),
        },
        "levels": {
            level.name: {"threshold": Decimal(level.chosen.threshold).scaleb(-6)}
            for level in trained.levels
        },
        "golden": decisions,
    }
    return FilterDefinition.model_validate(fields)


def _flagged_text(terms: Sequence[str], needed: int, classifier: Classifier, threshold: int) -> str:
    """The sentence of neighbouring terms with the highest score; the first of equals.

    Raises:
        RecipeError: the classifier would not flag it.
    """
    best = 0
    for size in dict.fromkeys(min(needed * times, len(terms)) for times in (1, 2, 4)):
        starts = range(0, len(terms) - size + 1, max(1, (len(terms) - size + 1) // _CANDIDATES))
        texts = [_sentence(terms[start : start + size]) for start in starts]
        scores = classifier.score(texts)
        best = max(best, int(scores.max()))
        if best > threshold:
            return texts[int(scores.argmax())]
    raise RecipeError(
        f"the trained classifier gives sentences of bare terms at most {best:,} millionths, the"
        f" picked threshold is {threshold:,}: none can be a golden text; give a short and harmless"
        " text that it flags with --golden-flagged, or ask for a higher recall"
    )


def _sentence(terms: Sequence[str]) -> str:
    if len(terms) == 1:
        return f"A list names {terms[0]}."
    return f"A list names {', '.join(terms[:-1])} and {terms[-1]}."


def _yaml(definition: FilterDefinition, trained: TrainedFilter) -> str:
    """The file, in ASCII."""
    blocklist, classifier = definition.blocklist, definition.classifier
    assert classifier is not None
    shown = f"{REPORT} and {PICTURE} say" if trained.has_picture else f"{REPORT} says"
    lines = [
        (
            f"# Written by `annealmix filter train`. {shown} how the threshold was picked:"
            f" {trained.rule}."
        ),
        f"name: {_quoted(definition.name)}",
        f"description: {_quoted(definition.description)}",
        "blocklist:",
        f"  file: {blocklist.file}",
        f"  sha256: {blocklist.sha256}",
        f"  mode: {blocklist.mode}",
        f"  threshold: {blocklist.threshold}",
        "classifier:",
        f"  kind: {classifier.kind}",
        f"  path: {classifier.path}",
        f"  digest: {classifier.digest}",
        f"  threshold: {classifier.threshold:f}",
        *_level_lines(trained),
        "golden:",
    ]
    lines += [
        f"  - {{text: {_quoted(one.text)}, flagged: {'true' if one.flagged else 'false'}}}"
        for one in definition.golden
    ]
    return "\n".join(lines) + "\n"


def _level_lines(trained: TrainedFilter) -> list[str]:
    if not trained.levels:
        return []
    return [
        "levels:",
        *(
            f"  {level.name}: {{threshold: {_decimal(level.chosen.threshold)}}}"
            f"  # {level.goal} of the escalated"
            for level in trained.levels
        ),
    ]


def _quoted(text: str) -> str:
    """A double-quoted YAML string; whatever a reader might take otherwise is escaped (JSON would
    write large characters as two halves).
    """
    plain = (char.isascii() and char.isprintable() and char not in '"\\' for char in text)
    escaped = (
        f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}" for char in text
    )
    chars = (char if kept else code for char, kept, code in zip(text, plain, escaped, strict=True))
    return f'"{"".join(chars)}"'


def show(bundle: Bundle) -> None:
    """Print what was measured on the held-out documents, and where the files are."""
    held_out = bundle.trained.documents.held_out
    title = (
        f"{held_out.positive + held_out.negative:,} held-out documents,"
        f" {held_out.positive:,} of them positive"
    )
    columns = [
        report.Column("threshold", lambda row: row[1].threshold, _decimal),
        report.Column("precision", lambda row: row[1].precision, _decimal),
        report.Column("recall", lambda row: row[1].recall, _decimal),
        report.Column("F1", lambda row: row[1].f1, _decimal),
        report.Column("removed", lambda row: row[1].removal, _decimal),
    ]
    chosen = [(bundle.trained.rule, bundle.trained.chosen)]
    report.Table(chosen, [report.Column("", 0), *columns]).print(title)
    if bundle.trained.levels:
        rows = [(f"{one.name} ({one.goal})", one.chosen) for one in bundle.trained.levels]
        title = "levels, on those that the blocklist escalates"
        report.Table(rows, [report.Column("level", 0), *columns]).print(title)
    undrawn = f"not drawn, its points are in {REPORT}; pip install 'annealmix[report]' draws it"
    report.tell(f"curve {bundle.paths.get('curve', undrawn)}")
    report.tell(f"filter {bundle.paths['filter']}, identity {bundle.filter.identity}")
    made = " and ".join(
        json.dumps(one.text, ensure_ascii=False) for one in bundle.filter.definition.golden
    )
    report.tell(f"golden texts, decided by the finished filter: {made}")
    report.say(
        "measured on all held-out documents; in use the classifier sees those only that hold enough"
        " terms of the blocklist"
    )


def _decimal(millionths: int | None) -> str:
    return "-" if millionths is None else f"{millionths // MILLION}.{millionths % MILLION:06d}"
