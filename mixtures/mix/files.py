"""The files of a mix folder, by name. What they hold: `mixtures.mix.indexed` and
`mixtures.mix.tables`.
"""

from __future__ import annotations

from pathlib import Path

TOKENS, INDEX = "tokens.bin", "tokens.idx"


def part_path(folder: Path, table: str, number: int) -> Path:
    """File of one part of a table, `documents` or `provenance`."""
    return folder / f"{table}.parquet" / f"part-{number:05d}.parquet"
