"""Which folders of a store need not be hashed again: those that a build wrote, or has verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.report import progress
from pipeline.store.records import check_outputs


@dataclass(frozen=True)
class Trust:
    """folders: those; they grow."""

    folders: set[Path] = field(default_factory=set)

    def add(self, written: Iterable[Path]) -> None:
        """Trust what was written just now."""
        self.folders.update(written)

    def verify(self, folders: Iterable[Path]) -> None:
        """Hash what an earlier build left in the store, each folder once a build.

        A disk that returns other bytes than were written would otherwise put wrong tokens into a
        mix whose own hashes agree.

        Raises:
            ManifestError: see `check_outputs`.
        """
        todo = sorted(set(folders) - self.folders)
        before = len(self.folders)
        with progress("verify", len(todo), lambda: len(self.folders) - before):
            for folder in todo:
                check_outputs(folder)
                self.folders.add(folder)
