"""What a quality step is to the readers, and what its making shares: arguments as datatrove takes
them, and tables held to hashes.

datatrove has tables that are no arguments (punctuation, policy phrases, lists of domains). They are
held to hashes here, so that no release can change them unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from mixtures.errors import ManifestError

# SHA-256 (hex) of each table's strings in a row, UTF-8; of the URL lists' files.
TABLES = {
    "punctuation": "add6d54a8847e51ecc60aeb110417c1bc08a89fbe827b378ddd5e66f78641863",
    "terminal punctuation": "223fdebf0f76873809176fd2d6d8872e39bdc969664a293b233a45ce7fc396ab",
    "C4 phrases": "47b73f13b20acd96da2bbc765285f8b29ddccc678d51393ecd609e20aff7cf93",
    "URL lists": "92214c318bbbd6a0ca98f52794d2c86264fd77e433c9455938f11206cc2cde2d",
}


class Dropped(NamedTuple):
    """A text is not a document of the source."""

    reason: str
    """Of the step; the same in every release, since ledgers and manifests hold it."""


StepRule = Callable[[str, Mapping[str, Any]], str | Dropped]
"""(text, row) -> the text, changed or not, or why it is dropped."""


def filter_rule(filter_: Any) -> StepRule:
    """The rule of a filter as datatrove has them: it answers True, False or (False, why), and may
    change the text.
    """
    from datatrove.data import Document

    def rule(text: str, row: Mapping[str, Any]) -> str | Dropped:
        document = Document(text=text, id="")
        answer = filter_.filter(document)
        kept, reason = answer if isinstance(answer, tuple) else (answer, None)
        return str(document.text) if kept else Dropped(str(reason or "removed"))

    return rule


def argument_values(arguments: Iterable[tuple[str, Any]]) -> dict[str, object]:
    """Arguments as datatrove takes them: decimals as floats, n-grams as pairs."""
    return {name: _value(value) for name, value in arguments}


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return tuple(_value(item) for item in value) if isinstance(value, tuple) else value


def require_table(name: str, values: Iterable[str]) -> None:
    """Hold a table of datatrove's to the one that the steps were written for."""
    require_hash(name, hashlib.sha256("".join(values).encode()).hexdigest())


def require_hash(name: str, sha256: str) -> None:
    """Refuse a table whose SHA-256 (hex) is not the pinned one.

    Raises:
        ManifestError: names the table and both hashes.
    """
    if sha256 != TABLES[name]:
        raise ManifestError(
            f"datatrove's {name} have SHA-256 {sha256}, {TABLES[name]} is pinned; install the"
            " datatrove that annealmix is pinned to"
        )
