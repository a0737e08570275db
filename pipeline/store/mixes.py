"""What builds said of the mixes that they made from a store: STORE/mixes/KEY.json, by a hash of it.

Licences, published figures, commits of the hub and the recipe's own words decide no byte of a mix,
so nothing in its bytes could contradict a manifest that was edited and sealed again. The store that
it was made from can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.store.records import read_record, write_record
from pipeline.store.rules import short_key

MIXES = "mixes"


def _record(store: Path, described: Mapping[str, Any]) -> Path:
    return store / MIXES / f"{short_key(described)}.json"


def note_mix(store: Path, described: Mapping[str, Any]) -> None:
    """Note what a build says of a mix, once. described: a `Description` as JSON."""
    path = _record(store, described)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_record(path, {"described": described})


def noted_mix(store: Path, described: Mapping[str, Any]) -> bool:
    """Whether a build from this store said exactly that.

    Raises:
        ManifestError: the record is damaged.
    """
    path = _record(store, described)
    return path.exists() and bool(read_record(path)["described"] == described)


def noted_mixes(store: Path) -> Iterator[Mapping[str, object]]:
    """All that builds said, by key.

    Raises:
        ManifestError: a record is damaged.
    """
    for path in sorted((store / MIXES).glob("*.json")):
        yield read_record(path)["described"]
