"""Quality steps of a source: filters and formatters that ingest applies to each document, in the
recipe's order, before it is hashed.

    quality:
      - gopher-repetition                                # by name, with the arguments written below
      - gopher-quality: {min_doc_words: 100}             # or with some of them changed
      - regex: {remove: 'lorem ipsum'}

A step is a pure function of one document: it drops the text, changes it or lets it pass. The
defaults are those of datatrove 0.10, written out here so that another release cannot change them
unseen; every one is part of the recipe's digest and of the store's key. What a step needs to run,
and what it does, is in `pipeline.inputs.quality.quality`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, TypeAdapter

from mixtures.recipe.quality.arguments import (
    BlockQuality,
    C4Quality,
    FineWebQuality,
    Ftfy,
    GopherQuality,
    GopherRepetition,
    LanguageQuality,
    LengthQuality,
    Pii,
    RegexQuality,
    SymbolLinesRemover,
    UrlQuality,
)
from mixtures.yaml.fields import Checked, Location, Model, describe, json_digest, plain_decimal
from mixtures.yaml.tree import suggest

# what the steps themselves do; raise it when the same arguments give other results
QUALITY_FORMAT = 1


class OneStep(Checked):
    """One step: exactly one of the names, with its arguments."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    gopher_quality: GopherQuality | None = None
    gopher_repetition: GopherRepetition | None = None
    c4_quality: C4Quality | None = None
    fineweb_quality: FineWebQuality | None = None
    language: LanguageQuality | None = None
    url: UrlQuality | None = None
    regex: RegexQuality | None = None
    length: LengthQuality | None = None
    ftfy: Ftfy | None = None
    symbol_lines_remover: SymbolLinesRemover | None = None
    pii: Pii | None = None
    block: BlockQuality | None = None

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Exactly one."""
        if len(given) != 1:
            yield (
                (),
                f"names {len(given)} steps; write one a list item, as NAME or as {{NAME:"
                " {ARGUMENT: VALUE}}",
            )

    @property
    def name(self) -> str:
        """As the recipe writes it."""
        return next(name for name in STEP_NAMES if self._at(name) is not None)

    @property
    def arguments(self) -> Model:
        """All arguments, defaults too."""
        arguments: Model = self._at(self.name)
        return arguments

    def _at(self, name: str) -> Any:
        return getattr(self, name.replace("-", "_"))


STEP_NAMES = tuple(name.replace("_", "-") for name in OneStep.model_fields)


def _by_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in STEP_NAMES:
        raise ValueError(f"{describe(value)} is not a quality step; {suggest(value, STEP_NAMES)}")
    return {value: {}}


class _NameOrMapping:
    """The schema for editors: a step may be written as its bare name."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(STEP_NAMES)}, handler(core_schema)]}


QualityStep = Annotated[OneStep, BeforeValidator(_by_name), _NameOrMapping()]
Quality = tuple[QualityStep, ...]
"""The steps of a source, in order."""


def canonical_quality(steps: Iterable[OneStep]) -> list[dict[str, Any]]:
    """The steps with every argument, as dicts, lists, integers and strings; a recipe could be
    written so.
    """
    return [
        {step.name: {name: _plain(value) for name, value in step.arguments if value is not None}}
        for step in steps
    ]


def read_quality(canonical: Iterable[Mapping[str, Any]]) -> Quality:
    """The steps of which `canonical_quality` made this."""
    return _QUALITY.validate_python(canonical)


_QUALITY: TypeAdapter[Quality] = TypeAdapter(Quality)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in sorted(value.items())}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain_decimal(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def reading_name(definition: str, steps: Iterable[OneStep]) -> str:
    """Names what a definition gives under these steps: NAME where there are none, else NAME+16 hex
    digits of the steps.
    """
    canonical = canonical_quality(steps)
    if not canonical:
        return definition
    return f"{definition}+{json_digest([QUALITY_FORMAT, canonical])[:16]}"
