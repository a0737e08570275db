"""Whether the store and the mix of a plan fit on their disks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report import size


@dataclass(frozen=True)
class Disk:
    """One disk that a build would write to. needed_bytes: estimated; least_bytes: what it takes at
    the very least.
    """

    folders: tuple[Path, ...]
    needed_bytes: int
    least_bytes: int
    free_bytes: int

    @property
    def line(self) -> str:
        """What is wrong with it, for people; empty if nothing is."""
        if self.needed_bytes <= self.free_bytes:
            return ""
        where = " and ".join(str(folder) for folder in self.folders)
        needs = (
            f"needs about {size(self.needed_bytes)}"
            if self.possible
            else f"needs {size(self.least_bytes)} at the very least"
        )
        return (
            f"{where}: {needs}, {size(self.free_bytes)} are free; name a folder on a larger disk,"
            " or plan a smaller mix (--tokens, --scale)"
        )

    @property
    def possible(self) -> bool:
        """Whether it may fit."""
        return self.least_bytes <= self.free_bytes


def disks(
    plan: Mapping[str, Any], token_bytes: int, store: Path | None, out: Path | None
) -> list[Disk]:
    """The disks of the folders that are given, each once. What is there already counts as room: it
    may be what the build would write.
    """
    resources = plan["resources"]
    wanted = (
        (
            store,
            resources["store_bytes"] + resources.get("near_store_bytes", 0),
            _least_stored(plan),
        ),
        (
            out,
            resources["mix_bytes"],
            sum(row["resolved_tokens"] for row in plan["sources"].values()),
        ),
    )
    found: dict[int, Disk] = {}
    for folder, needed, tokens in wanted:
        if folder is None:
            continue
        place = next(
            place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir()
        )
        device = os.stat(place).st_dev
        before = found.get(device, Disk((), 0, 0, shutil.disk_usage(place).free))
        least = 0 if folder.exists() or plan["removed"] == "shrink" else tokens * token_bytes
        found[device] = Disk(
            (*before.folders, folder),
            before.needed_bytes + needed,
            before.least_bytes + least,
            before.free_bytes,
        )
    return list(found.values())


def _least_stored(plan: Mapping[str, Any]) -> int:
    """Tokens that a store must hold: those of the mix, without epochs and copies."""
    rows = plan["sources"].values()
    return sum(
        row["resolved_tokens"]
        // (row["epochs"] * (2 if float(row["copied_share_estimated"] or 0) else 1))
        for row in rows
    )
