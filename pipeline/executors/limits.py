"""How many files a process may have open at a time."""

from __future__ import annotations

import resource

NEEDED_FILES = 200
"""That a task may have open, with those that libraries keep: 115 were counted at most, of 20
sources in 64 key partitions, and of 300 sources 111.
"""
_ENOUGH = 1 << 16


def raise_open_files() -> int:
    """Raise the limit of this process, and of those that it starts, as far as the system lets it.
    Returns the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else _ENOUGH
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def few_open_files() -> str | None:
    """A sentence, if a task may need more files than the system lets it open."""
    if (limit := raise_open_files()) >= NEEDED_FILES:
        return None
    return (
        f"a process may open {limit:,} files here (ulimit -n), a task of a build may need"
        f" {NEEDED_FILES:,}; raise the limit"
    )
