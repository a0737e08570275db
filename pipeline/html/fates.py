"""What can become of a row, in the order in which it is decided, and the kinds into which the page's charts gather the reasons."""

from __future__ import annotations

from collections.abc import Iterable

from mixtures.decontamination import CONTAMINATED
from mixtures.near_request import NEAR

FATES = {
    "early": "not a document, or dropped by a quality step",
    "range": "outside the key range",
    "exact": "exact copy, or excluded",
    "near": "near-duplicate",
    "contaminated": "holds an evaluation item",
    "filter": "removed by a filter",
    "quota": "beyond the quota",
    "kept": "in the mix",
}
"""Kinds of reasons in the order of eligibility, named as their colours in the style sheet."""


_COPIES = {"duplicate of ": "exact copy", NEAR: "near-duplicate"}
_KINDS = {
    "out of key range": "range",
    "excluded": "exact",
    "exact copy": "exact",
    "near-duplicate": "near",
    CONTAMINATED: "contaminated",
    "beyond quota": "quota",
    "kept": "kept",
}


def joined(reason: str) -> str:
    """A reason of a manifest's `removed`, without the name of the source that keeps the other copy."""
    return next((words for start, words in _COPIES.items() if reason.startswith(start)), reason)


def fate_of(reason: str) -> str:
    """The kind of a reason, joined or not."""
    return _KINDS.get(joined(reason), "filter" if reason.startswith("filter ") else "early")


def in_order(reasons: Iterable[str]) -> list[str]:
    """Reasons by their kind, then by name."""
    order = list(FATES)
    return sorted(reasons, key=lambda reason: (order.index(fate_of(reason)), reason))
