"""The logistic function in integers: the same millionths on every machine, whatever its libm, numpy
or vector width.

A margin z is an integer in units of 2^-16. With E = exp(-|z| / 65536) in units of 2^-42,

    score = 1e6 * 2^42 / (2^42 + E)   for z >= 0        1e6 * E / (2^42 + E)   for z < 0        (to
    the nearest, halves up)

E is a product of two table entries, exp(-h / 64) * exp(-l / 65536) with |z| = 1024 h + l, each made
from exact rationals in units of 2^-62. Its error is under 2^-41, so a score differs from the
correctly rounded one only where the true value lies within 1e-6 of a half; a test compares all 2 x
2^20 margins with 256-bit integers.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from pipeline.judges.classifiers.scores import MILLION, Scores

FRACTION_BITS = 16
ONE = 1 << FRACTION_BITS
LIMIT = 16 * ONE
"""Margins beyond this score exactly 0 or 1,000,000: exp(-16) is 0.11 millionths."""

_LOW_BITS = 10
_TABLE_BITS = 62
_HALF_BITS = 31
_RESULT_BITS = 42
_GUARD_BITS = 192

Words = npt.NDArray[np.uint64]


def quantised_logistic(margins: npt.NDArray[np.int64]) -> Scores:
    """Scores uint32 [num], millionths, of margins int64 [num] in units of 2^-16."""
    size = np.minimum(np.abs(margins), LIMIT).astype(np.uint64)
    scale = np.uint64(1 << _RESULT_BITS)
    exponential = _exponential(size)
    denominator = scale + exponential
    numerator = np.uint64(MILLION) * np.where(margins >= 0, scale, exponential)
    rounded: Scores = ((numerator + (denominator >> np.uint64(1))) // denominator).astype(np.uint32)
    return rounded


def _exponential(size: Words) -> Words:
    """exp(-size / 65536) in units of 2^-42: uint64 [num] of uint64 [num]."""
    high_table, low_table = _tables()
    high = high_table[size >> np.uint64(_LOW_BITS)]
    low = low_table[size & np.uint64((1 << _LOW_BITS) - 1)]
    # Schoolbook multiplication of 62-bit factors in halves of 31 bits; the lowest half product is
    # too small to matter.
    shift, mask = np.uint64(_HALF_BITS), np.uint64((1 << _HALF_BITS) - 1)
    middle = (high >> shift) * (low & mask) + (high & mask) * (low >> shift)
    product = (high >> shift) * (low >> shift) + (middle >> shift)
    result: Words = product >> np.uint64(_TABLE_BITS - _RESULT_BITS)
    return result


@cache
def _tables() -> tuple[Words, Words]:
    """exp(-h / 64) for h up to 16 * 64, and exp(-l / 65536) for l below 1,024, in units of
    2^-62.
    """
    high = _powers(Fraction(1, 64), (LIMIT >> _LOW_BITS) + 1)
    return high, _powers(Fraction(1, ONE), 1 << _LOW_BITS)


def _powers(step: Fraction, count: int) -> Words:
    one = 1 << _GUARD_BITS
    factor = _series(step, one)
    values, value = [], one
    for _ in range(count):
        values.append(value >> (_GUARD_BITS - _TABLE_BITS))
        value = value * factor >> _GUARD_BITS
    return np.array(values, np.uint64)


def _series(step: Fraction, one: int) -> int:
    """exp(-step) * one by its Taylor series, in integers."""
    total, term, index = 0, one, 0
    while term:
        total += -term if index % 2 else term
        index += 1
        term = term * step.numerator // (step.denominator * index)
    return total
