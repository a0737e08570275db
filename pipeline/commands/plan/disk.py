"""Whether the store and the mix of a plan fit on their disks."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mixtures.plan.plan import Plan
from pipeline.report import size


@dataclass(frozen=True)
class Disk:
    """One disk that a build would write to."""

    folders: tuple[Path, ...]
    needed_bytes: int
    """Estimated."""
    least_bytes: int
    """What it takes at the very least."""
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


def disks(plan: Plan, token_bytes: int, store: Path | None, out: Path | None) -> list[Disk]:
    """The disks of the folders that are given, each once. What is there already counts as room: it
    may be what the build would write.
    """
    near_bytes = plan.resources.near.near_store_bytes if plan.resources.near else 0
    quotas = sum(row.resolved_tokens for row in plan.sources.values())
    wanted = (
        (store, plan.resources.store_bytes + near_bytes, _least_stored(plan)),
        (out, plan.resources.mix_bytes, quotas),
    )
    by_device: dict[int, Disk] = {}
    for folder, needed, tokens in wanted:
        if folder is None:
            continue
        parent = next(
            parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir()
        )
        device = os.stat(parent).st_dev
        before = by_device.get(device, Disk((), 0, 0, shutil.disk_usage(parent).free))
        least = 0 if folder.exists() or plan.removed == "shrink" else tokens * token_bytes
        by_device[device] = Disk(
            (*before.folders, folder),
            before.needed_bytes + needed,
            before.least_bytes + least,
            before.free_bytes,
        )
    return list(by_device.values())


def _least_stored(plan: Plan) -> int:
    """Tokens that a store must hold: those of the mix, without epochs and copies."""
    return sum(
        row.resolved_tokens // (row.epochs * (2 if row.copied_share_estimated else 1))
        for row in plan.sources.values()
        if row.epochs  # 0 of a quota of no token
    )
