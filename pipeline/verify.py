"""Between the stages, verify: hash what earlier builds left in the store before a mix is made of it.

A disk that returns other bytes than were written would otherwise put wrong tokens into a mix whose own hashes agree. What this
build itself has just written is not read again. About a second a gigabyte and core, a few per cent of what tokenizing it took.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.records import check_outputs
from pipeline.stage import Plan, Stage, Unit


class Verify(Stage):
    """Plan: units. Unit: folder (published, with a done-record)."""

    name = "verify"

    def do(self, plan: Plan, unit: Unit) -> None:
        """Hash one folder's outputs."""
        check_outputs(Path(unit["folder"]))
