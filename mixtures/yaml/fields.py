"""Field types of recipe and definition files: read from text exactly as written, or refused.

The YAML reader (`mixtures.yaml.tree`) leaves every scalar as the text that stands in the file, so
that `1.10`, `017`, `no` and `12:30:45` mean what they look like. These types turn that text into
values, and refuse what could be read in two ways.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from typing_extensions import Self

Location = tuple[str | int, ...]
"""Keys and list indices from the top of a file down to a value."""

CROSS_FAULT = "cross_fault"
"""Error type of the faults that `Checked` adds: their message is complete as it stands."""


class Model(BaseModel):
    """A frozen record that knows every key it may hold."""

    # a command uses few of the many records that it imports
    model_config = ConfigDict(extra="forbid", frozen=True)


class Described(Model):
    """A record whose JSON schema says what stands below its fields. pydantic's own way to that
    (`use_attribute_docstrings`) reads the source of every class that is imported.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for kind in reversed(cls.__mro__[: cls.__mro__.index(Described)]):
            (record,) = ast.parse(inspect.getsource(kind)).body
            assert isinstance(record, ast.ClassDef)
            for field, said in pairwise(record.body):
                if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr):
                    name = ast.unparse(field.target)
                    text = inspect.cleandoc(ast.literal_eval(said.value))
                    properties[cls.model_fields[name].alias or name]["description"] = text
        return schema


class Checked(Model):
    """A record with rules that join several of its fields.

    pydantic's own model validators run only when every field is well-formed, which would hide these
    faults behind a misspelt key. `cross_faults` sees what was given, well-formed or not, so that
    all faults are reported at once.
    """

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Yield (where below this record, message) for every broken rule; `given` is what the file
        says, not yet converted.
        """
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _report_all(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        faults: list[InitErrorDetails] = []
        record: Self | None = None
        try:
            record = handler(value)
        except ValidationError as error:
            faults += [_again(detail) for detail in error.errors(include_url=False)]
        if isinstance(value, Mapping):
            stated = {key: item for key, item in value.items() if item is not None}
            for location, message in cls.cross_faults(stated):
                failure = PydanticCustomError(CROSS_FAULT, "{message}", {"message": message})
                faults.append(InitErrorDetails(type=failure, loc=location, input=None))
        if faults or record is None:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return record


def _again(detail: Any) -> InitErrorDetails:
    """Make an error of a finished validation fit to be raised once more."""
    kind = detail["type"]
    if kind == CROSS_FAULT:
        kind = PydanticCustomError(CROSS_FAULT, "{message}", detail["ctx"])
    return InitErrorDetails(
        type=kind, loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {})
    )


def describe(value: Any) -> str:
    """Say what was found, for an error message: short, on one line, and safe to print."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def plain_decimal(number: Decimal) -> str:
    """Write 0.10 and 0.1 alike."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_digest(value: object) -> str:
    """SHA-256, in hex, of a value as JSON in ASCII with sorted keys and no white space: what names
    a recipe, a rule, a filter, a tokenizer.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


_INTEGER = re.compile(r"0|[1-9][0-9]{0,2}(_[0-9]{3})+|[1-9][0-9]*")
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
MAX_DIGITS = 18  # below 2^63, and exact in Decimal's default context of 28 digits


def _integer(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not _INTEGER.fullmatch(value):
        raise ValueError(
            f"{describe(value)} is not a whole number; write digits only, such as 50_000_000_000"
        )
    if len(value.replace("_", "")) > MAX_DIGITS:
        raise ValueError(f"{describe(value)} is too long; at most {MAX_DIGITS} digits")
    return int(value)


def _decimal(value: Any) -> Any:
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if number and Decimal(value).is_finite():
        return Decimal(value)
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError(f"{describe(value)} is not a plain decimal number; write it like 16.87")
    if len(value) > MAX_DIGITS + 1:
        raise ValueError(f"{describe(value)} is too long; at most {MAX_DIGITS} digits")
    return Decimal(value)


def mapping(value: Any) -> Mapping[Any, Any]:
    """A mapping as a file gives it; an empty one for what is none, which is the field's own
    fault.
    """
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """A list, likewise."""
    return value if isinstance(value, list | tuple) else ()


def whole(value: Any, otherwise: int) -> int:
    """A whole number as a file gives it, for rules that join it with others; `otherwise` for what
    is none, which is the field's own fault.
    """
    text = str(value).replace("_", "")
    return int(text) if text.isascii() and text.isdigit() else otherwise


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ValueError(f"{describe(value)} is neither true nor false; write true or false")
    return value == "true"


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"{describe(value)} is not text; write one value")
    return value


def _line(value: Any) -> Any:
    text: str = _text(value)
    if not text or not text.isprintable():
        raise ValueError(
            f"{describe(text)} is not one line of visible text; leave out line breaks and control"
            " characters"
        )
    return text


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"{describe(value)} is not a name; write at most 64 of a-z, 0-9, '.' and '-', a letter"
            " or digit first"
        )
    return value


def _local_path(value: Any) -> Any:
    text: str = _line(value)
    path = PurePosixPath(text)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in text
        or ":" in text
        or text.startswith("~")
    ):
        raise ValueError(
            f"{describe(text)} leaves the recipe's folder; write a path below it, with '/' and"
            " without '..'; where data lies elsewhere, plan, build and audit take --data NAME=DIR"
            " (data: NAME in the recipe)"
        )
    return text


def is_file_reference(reference: str) -> bool:
    """Whether a reference names a file beside the recipe, and not something that annealmix
    ships.
    """
    return reference.endswith(".yaml")


def _reference(value: Any) -> Any:
    if isinstance(value, str) and is_file_reference(value):
        return _local_path(value)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"{describe(value)} is neither a name nor a file; write a shipped name, or a path that"
            " ends in .yaml"
        )
    return value


# The schemas that an editor is given: YAML 1.2 leaves `50_000_000_000` as text, and decimals must
# not become floats on the way.
_INTEGER_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^({_INTEGER.pattern})$"}]}
)
_DECIMAL_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^({_DECIMAL.pattern})$"}]}
)
Integer = Annotated[int, BeforeValidator(_integer), _INTEGER_SCHEMA]
Positive = Annotated[int, BeforeValidator(_integer), Field(ge=1), _INTEGER_SCHEMA]
Exact = Annotated[Decimal, BeforeValidator(_decimal), _DECIMAL_SCHEMA]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Text = Annotated[str, BeforeValidator(_text)]
"""Any text, line breaks and escaped control characters included."""
Line = Annotated[str, BeforeValidator(_line)]
"""Text that may be printed or become part of a path: one line, no control characters, not empty."""
Name = Annotated[str, BeforeValidator(_name)]
LocalPath = Annotated[str, BeforeValidator(_local_path)]
"""A path relative to the folder of the file that holds it, and below that folder."""
Reference = Annotated[str, BeforeValidator(_reference)]
"""The name of something that annealmix ships, or a `LocalPath` that ends in .yaml."""
