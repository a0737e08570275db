"""Which folders of a store need not be hashed again: those that a build wrote, or has verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.report import progress
from pipeline.store.records import check_outputs


@dataclass(frozen=True)
class Trust:
    """folders: those; they grow. looking: whether the store is only looked at, so that what is read
    of it need not be hashed where nothing that lasts is made of it.
    """

    folders: set[Path] = field(default_factory=set)
    looking: bool = False

    def add(self, written: Iterable[Path]) -> None:
        """Trust what was written just now."""
        self.folders.update(written)

    def verify(self, folders: Iterable[Path], *, lasting: bool = True) -> None:
        """Hash what an earlier build left in the store, each folder once a build.

        A disk that returns other bytes than were written would otherwise put wrong tokens into a
        mix whose own hashes agree.

        Args:
            lasting: whether what is made of them stays, whoever looks.

        Raises:
            ManifestError: see `check_outputs`.
        """
        if self.looking and not lasting:
            return
        todo = sorted(set(folders) - self.folders)
        before = len(self.folders)
        with progress("verify", len(todo), lambda: len(self.folders) - before):
            for folder in todo:
                check_outputs(folder)
                self.folders.add(folder)
