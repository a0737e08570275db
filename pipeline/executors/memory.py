"""How much memory there is: of the machine, within the limits that a container or a batch system
sets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def machine_memory() -> int:
    """Bytes of memory that this machine has, or that a cgroup allows."""
    return min(
        [
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            *(limit for limit, _ in _limits()),
        ]
    )


def available_memory() -> int:
    """Bytes of memory that can be taken without swapping; where the system does not say, all that
    the machine has.
    """
    return min([_mem_available(), *(max(limit - used, 0) for limit, used in _limits())])


def _mem_available() -> int:
    try:
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return machine_memory()
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else machine_memory()


def _limits() -> Iterator[tuple[int, int]]:
    """Limit of each cgroup that this process is in, and what of it is used by more than the page
    cache; versions 2 and 1.
    """
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = (
                CGROUPS / "memory",
                (
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                ),
            )
        else:
            continue
        folder = root / path.strip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(root) and (found := _limit(group, *names)):
                yield found


def _limit(group: Path, limit: str, usage: str, cache: str) -> tuple[int, int] | None:
    try:
        allowed, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        stat = (group / "memory.stat").read_text().splitlines()
        cached = [
            int(line.removeprefix(f"{cache} ")) for line in stat if line.startswith(f"{cache} ")
        ]
    except (OSError, ValueError):
        return None  # not a cgroup with this controller
    return (int(allowed), used - sum(cached)) if allowed.isdigit() else None
