"""Mixtures of discretized logistics (Salimans et al. 2017) as integer tables: what an entropy coder is told.

A number v of 0 … 255 has the interval [C(v), C(v + 1)) of [0, 2^16). All of it is integer arithmetic on tables that
were made by decimal arithmetic, which rounds alike everywhere: an encoder and a decoder on two machines agree to the
bit.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.ops.rans import PRECISION, Integers

LEVEL_PARTS = 16
"""Means are multiples of 1/16 level."""
SCALE_PARTS = 8
"""Scales are multiples of an eighth of an octave"""
SCALE_OCTAVES = (-4, 6)
"""between 2^-4 and 2^6 levels."""
LOGIT_PARTS = 16
"""Logits of a mixture's weights are multiples of 1/16 nat,"""
LOGIT_DEPTH = 12
"""at most 12 nats below the largest."""
MIXED = (1 << PRECISION) - 256
"""What the mixture shares out; the rest is one part for each of the 256 levels, so that none is impossible."""

_STEPS = 512
"""Steps of the logistic function's table for each unit of its argument,"""
_REACH = 12
"""which ends where the tail is below a part of the table."""
_HEIGHT = 1 << 14
_SHIFT = 8

Small = NDArray[np.int32]

Whole = NDArray[np.signedinteger[Any]]
"""Whole numbers of any size."""


@dataclass(frozen=True)
class Mixture:
    """Distributions of n numbers, each of k logistics: arrays k × n, int32."""

    mean: Small
    """In 1/16 level."""
    inverse: Small
    """Steps of the logistic's table for each 1/16 level, times 2^8."""
    weight: Small
    """Sums to at most `MIXED`."""

    def __getitem__(self, numbers: slice) -> "Mixture":
        return Mixture(self.mean[:, numbers], self.inverse[:, numbers], self.weight[:, numbers])


def mixture(mean: Small, octave: Small, logit: Small) -> Mixture:
    """From parameters k × n in the units above; `logit` counts down from 0, that of the heaviest component."""
    inverse = _inverse_scales()[octave - SCALE_OCTAVES[0] * SCALE_PARTS]
    heavy = _exponentials()[-logit]
    total = heavy.sum(0, dtype=np.int32)
    return Mixture(mean, inverse, heavy * np.int32(MIXED) // total)


def interval(mixed: Mixture, values: Integers) -> tuple[Integers, Integers]:
    """Low end and frequency of each value."""
    low, high = _below(mixed, values), _below(mixed, values + 1)
    return low, high - low


def find(mixed: Mixture, slots: Integers) -> tuple[Integers, Integers, Integers]:
    """Value, low end and frequency of the interval that each slot of [0, 2^16) lies in, by bisection."""
    value = np.zeros(len(slots), np.int64)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        tried = value | bit
        value = np.where(_below(mixed, tried) <= slots, tried, value)
    return value, *interval(mixed, value)


def _below(mixed: Mixture, values: Integers) -> Integers:
    """C(v): what all levels below v have together."""
    at = (values * LEVEL_PARTS - LEVEL_PARTS // 2).astype(np.int32) - mixed.mean
    at *= mixed.inverse
    at >>= _SHIFT
    at += _STEPS * _REACH
    parts = np.take(_logistic(), at, mode="clip")
    parts *= mixed.weight
    inside = (parts.sum(0, dtype=np.int32) >> 14) + values
    inside[values <= 0] = 0
    inside[values >= 256] = 1 << PRECISION
    return inside


@cache
def _logistic() -> Small:
    """1 / (1 + exp(-z)) at z = -12 … 12 in steps of 1/512, times 2^14."""
    with localcontext() as context:
        context.prec = 30
        half = [1 / (1 + (Decimal(-i) / _STEPS).exp()) for i in range(_STEPS * _REACH + 1)]
        up = [int((_HEIGHT * p).to_integral_value()) for p in half]
    return np.array([_HEIGHT - p for p in up[:0:-1]] + up, np.int32)


@cache
def _exponentials() -> Small:
    """Exp(-i / 16) times 2^14."""
    with localcontext() as context:
        context.prec = 30
        steps = range(LOGIT_DEPTH * LOGIT_PARTS + 1)
        return np.array(
            [int((_HEIGHT * (Decimal(-i) / LOGIT_PARTS).exp()).to_integral_value()) for i in steps], np.int32
        )


@cache
def _inverse_scales() -> Small:
    with localcontext() as context:
        context.prec = 30
        low, high = (octave * SCALE_PARTS for octave in SCALE_OCTAVES)
        steps = Decimal(_STEPS // LEVEL_PARTS << _SHIFT)
        return np.array(
            [int((steps / Decimal(2) ** (Decimal(i) / SCALE_PARTS)).to_integral_value()) for i in range(low, high + 1)],
            np.int32,
        )


LEVELS = 256
"""Values that a table tells apart."""


@dataclass(frozen=True)
class Rows:
    """Distributions of which many numbers share one: intervals and their inverse, looked up."""

    cumulated: Integers
    """rows × 257: what all values below v have together, from 0 to 2^16."""
    value: NDArray[np.uint8]
    """rows × 2^16: whose interval a slot lies in."""

    @classmethod
    def of(cls, mixed: Mixture) -> "Rows":
        """A row for each of the mixture's numbers."""
        count = mixed.mean.shape[1]
        every = Mixture(*(np.repeat(part, LEVELS + 1, 1) for part in (mixed.mean, mixed.inverse, mixed.weight)))
        cumulated = _below(every, np.tile(np.arange(LEVELS + 1), count)).reshape(count, LEVELS + 1).astype(np.int64)
        levels = np.arange(LEVELS, dtype=np.uint8)
        return cls(cumulated, np.stack([levels.repeat(f) for f in np.diff(cumulated)]))

    def joined(self, others: "Rows") -> "Rows":
        """These rows, then the others."""
        return Rows(np.concatenate([self.cumulated, others.cumulated]), np.concatenate([self.value, others.value]))

    def interval(self, rows: Whole, values: Whole) -> tuple[Integers, Integers]:
        """Low end and frequency of each value in its row."""
        low = self.cumulated[rows, values]
        return low, self.cumulated[rows, values + 1] - low

    def find(self, rows: Whole, slots: Integers) -> tuple[Integers, Integers, Integers]:
        """Value, low end and frequency of the interval that each slot of [0, 2^16) lies in."""
        values = self.value[rows, slots].astype(np.int64)
        return values, *self.interval(rows, values)


@cache
def powers(parts: int, first: int, last: int) -> NDArray[np.float32]:
    """2^(i / parts) for i = first … last, rounded from decimals, so that they are the same numbers everywhere."""
    with localcontext() as context:
        context.prec = 30
        return np.array([float(Decimal(2) ** (Decimal(i) / parts)) for i in range(first, last + 1)], np.float32)
