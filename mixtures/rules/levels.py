"""The published levels of filters, from the one that removes least. Apart from what they decide:
the command line names them.
"""

from __future__ import annotations

from typing import Literal, get_args

Level = Literal["extra-weak", "weak", "strong"]
LEVELS: tuple[Level, ...] = get_args(Level)
ScoredLevel = Literal["extra-weak", "weak"]
SCORED_LEVELS: tuple[ScoredLevel, ...] = get_args(ScoredLevel)
"""Those that a classifier decides, at thresholds of its own; `strong` is the blocklist alone."""
