"""A document's name and place: its content digest, and the order key that every selection follows.

    digest    = blake2b-128 (RFC 7693) of the training text in UTF-8
    order_key = blake2b-64 of the digest, keyed with the store's salt, read as a little-endian
    integer

Order keys are uniform on [0, 2^64) and depend on nothing but the text. So a key range is a sample,
two disjoint ranges are two disjoint samples, and equal texts share a key wherever they are
published.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SALT = b"annealmix-1"
DIGEST_BYTES = 16
KEY_SPACE = 1 << 64


class KeyRange(NamedTuple):
    """Order keys low <= key < high. The upper bound may be 2^64, which no uint64 holds: all that
    compares keys with bounds stands here.
    """

    low: int
    high: int

    @classmethod
    def parse(cls, bounds: Iterable[str]) -> KeyRange:
        """Read what `hex` gives."""
        low, high = bounds
        return cls(int(low, 16), int(high, 16))

    @classmethod
    def partition(cls, number: int, partitions: int) -> KeyRange:
        """One of equal parts of the key space; `partitions` is a power of two."""
        width = KEY_SPACE // partitions
        return cls(number * width, (number + 1) * width)

    def hex(self) -> list[str]:
        """The bounds as plans and manifests hold them."""
        return [f"{self.low:x}", f"{self.high:x}"]

    @property
    def width(self) -> int:
        """How many keys lie in it; 0 or less in none."""
        return self.high - self.low

    def holds(self, key: int) -> bool:
        """Whether a key lies in it."""
        return self.low <= key < self.high

    def common(self, other: KeyRange) -> KeyRange:
        """What lies in both; its width is not positive where they do not meet."""
        return KeyRange(max(self.low, other.low), min(self.high, other.high))

    def meets(self, other: KeyRange) -> bool:
        """Whether any key lies in both."""
        return self.common(other).width > 0

    def minus(self, others: Iterable[KeyRange]) -> list[KeyRange]:
        """What no other range covers, in ascending order."""
        missing: list[KeyRange] = []
        at = self.low
        for low, high in sorted(others):
            if high <= at or low >= self.high or low >= high:
                continue
            if low > at:
                missing.append(KeyRange(at, low))
            at = max(at, high)
        if at < self.high:
            missing.append(KeyRange(at, self.high))
        return missing

    def rows(self, keys: npt.NDArray[np.uint64]) -> slice:
        """The rows of ascending keys, uint64 [num_docs], that lie in it."""
        low, high = (
            len(keys) if bound >= KEY_SPACE else int(np.searchsorted(keys, np.uint64(bound)))
            for bound in self
        )
        return slice(low, high)

    def mask(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these keys, uint64 [num_docs] in any order, lie in it: bool [num_docs]."""
        if self.low >= KEY_SPACE:
            return np.zeros(len(keys), np.bool_)
        inside = keys >= np.uint64(self.low)
        return inside if self.high >= KEY_SPACE else inside & (keys < np.uint64(self.high))


ALL_KEYS = KeyRange(0, KEY_SPACE)


def merged(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """The union of key ranges, as ranges that do not touch, in ascending order."""
    union: list[KeyRange] = []
    for low, high in sorted(ranges):
        if union and low <= union[-1].high:
            union[-1] = KeyRange(union[-1].low, max(union[-1].high, high))
        else:
            union.append(KeyRange(low, high))
    return union


def text_digest(text: bytes) -> bytes:
    """Return the 16-byte digest of a training text that is already UTF-8."""
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


def order_key(digest: bytes) -> int:
    """Return the order key of a digest: 0 <= key < 2^64."""
    return int.from_bytes(blake2b(digest, digest_size=8, key=SALT).digest(), "little")


def order_keys(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Order keys of many digests.

    Args:
        digests: uint64 [num_docs, 2], the two halves as `digest_columns` makes them.
    """
    raw = digests.astype(">u8").tobytes()
    keys = b"".join(
        blake2b(raw[at : at + DIGEST_BYTES], digest_size=8, key=SALT).digest()
        for at in range(0, len(raw), DIGEST_BYTES)
    )
    return np.frombuffer(keys, "<u8").astype(np.uint64)


def digest_columns(
    raw: bytes | bytearray | memoryview | npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint64]:
    """View concatenated 16-byte digests as uint64 [num_docs, 2]; column order is byte order, so
    sorting agrees with bytes.
    """
    return np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)


class DigestSet:
    """Digests to look for.

    Args:
        digests: uint64 [num, 2] as `digest_columns` makes them, in ascending order.

    Raises:
        ValueError: they are not in order, so that searching would miss some.
    """

    def __init__(self, digests: npt.NDArray[np.uint64]) -> None:
        """digests: uint64 [num_docs, 2], ascending."""
        # one array a column, since a search copies what is not contiguous
        self._high, self._low = (np.ascontiguousarray(digests[:, column]) for column in (0, 1))
        rises = self._high[1:] > self._high[:-1]
        if not (
            rises | ((self._high[1:] == self._high[:-1]) & (self._low[1:] >= self._low[:-1]))
        ).all():
            raise ValueError(f"{len(digests)} digests that are not in ascending order")

    def __len__(self) -> int:
        return len(self._high)

    def holds(self, digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these digests, uint64 [num_docs, 2], are in the set: bool [num_docs]."""
        first, last = (
            np.searchsorted(self._high, digests[:, 0], side) for side in ("left", "right")
        )
        found = np.zeros(len(digests), np.bool_)
        for at in np.flatnonzero(last > first).tolist():  # almost always those that are in the set
            found[at] = bool((self._low[first[at] : last[at]] == digests[at, 1]).any())
        return found


def key_bound(share: Decimal) -> int:
    """Turn an exact decimal share of the key space into a key: ceil(share * 2^64), so that ranges
    that touch never overlap.
    """
    bound = Fraction(share) * KEY_SPACE
    return -((-bound.numerator) // bound.denominator)


def sort_order(
    keys: npt.NDArray[np.uint64], digests: npt.NDArray[np.uint64], *ties: npt.NDArray[np.integer]
) -> npt.NDArray[np.intp]:
    """Return the permutation that sorts documents by (key, digest, *ties).

    Keys are almost always distinct, so only the rows that share a key with another are compared
    further.

    Args:
        keys: uint64 [num_docs].
        digests: uint64 [num_docs, 2].
        ties: columns [num_docs], most significant first, that order documents of equal digest.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order
    tied = np.flatnonzero(np.concatenate(([False], same)) | np.concatenate((same, [False])))
    rows = order[tied]
    columns = [digests[rows, 0], digests[rows, 1], *(column[rows] for column in ties)]
    order[tied] = rows[np.lexsort([*reversed(columns), keys[rows]])]
    return order
