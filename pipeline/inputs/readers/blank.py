"""Blank texts: those in which there is nothing to see.

White space, control characters, what Unicode lets software ignore (zero-width spaces and joiners,
byte order marks, soft hyphens, fillers: `Default_Ignorable_Code_Point` of DerivedCoreProperties,
Unicode 15.1), the empty braille pattern and interlinear marks. A text of such characters alone
is no document, whatever tokens it would give; within a text they stay.
"""

from __future__ import annotations

import re

_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_blank(text: str) -> bool:
    """Whether there is nothing to see in a text."""
    return _VISIBLE.search(text) is None
