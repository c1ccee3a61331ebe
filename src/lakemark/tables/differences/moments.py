"""Nulls and means of columns, exactly: sums are kept as fractions, so neither order nor files nor batches matter.

Sums of floats that engines compute in parallel differ from run to run; a difference of two such means would be noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Moments", "measure"]

_PIECE_ROWS = 1 << 16  # half a mantissa times this is far below 2**53, so sums of so many halves are exact
_HALF = 26
_SHIFT = 1074  # makes the exponent of every float64 positive
_UNIT = 2 ** (_SHIFT + 53)


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of one column of some rows; `+` gives that of both sets of rows.

    Parameters
    ----------
    rows : int
        Number of rows.
    nulls : int
        How many are null.
    nans : int
        How many are NaN.
    infinities : tuple of two int
        How many are minus infinity, and plus infinity.
    total : fractions.Fraction or None
        The exact sum of the finite values (True is 1), None for what is no number.

    Examples
    --------
    >>> whole = measure(pa.array([1.0, None])) + measure(pa.array([0.1, 0.2]))
    >>> whole.nulls, whole.mean
    (1, 0.43333333333333335)
    """

    rows: int = 0
    nulls: int = 0
    nans: int = 0
    infinities: tuple[int, int] = (0, 0)
    total: Fraction | None = None

    def __add__(self, other: Moments) -> Moments:
        if self.total is None or other.total is None:
            total = self.total if other.total is None else other.total
        else:
            total = self.total + other.total
        return Moments(
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            infinities=(self.infinities[0] + other.infinities[0], self.infinities[1] + other.infinities[1]),
            total=total,
        )

    @property
    def mean(self) -> float | None:
        """The mean of the values that are neither null nor NaN, correctly rounded; None where there are none."""
        count = self.rows - self.nulls - self.nans
        if self.total is None or count == 0:
            return None
        below, above = self.infinities
        if below or above:
            return math.nan if below and above else math.inf if above else -math.inf
        return float(self.total / count)


def measure(column: pa.Array) -> Moments:
    """Return the moments of an array.

    Parameters
    ----------
    column : pyarrow.Array
        Of any type; means are of integers, floats, decimals and booleans.
    """
    kind, rows, nulls = column.type, len(column), column.null_count
    if pa.types.is_floating(kind):
        return _measure_floats(column)
    total: Fraction | None = None
    if pa.types.is_boolean(kind):
        total = Fraction(pc.sum(column, min_count=0).as_py())
    elif pa.types.is_integer(kind):
        total = Fraction(_sum_integers(column.drop_null()))
    elif pa.types.is_decimal(kind):
        found: Decimal = pc.sum(column.cast(pa.decimal256(76, kind.scale)), min_count=0).as_py()
        total = Fraction(found)
    return Moments(rows=rows, nulls=nulls, total=total)


def _sum_integers(column: pa.Array) -> int:
    numbers = column.to_numpy(zero_copy_only=False)
    if numbers.dtype.itemsize < 8:
        return int(numbers.sum(dtype=np.int64))
    return (int((numbers >> 32).sum()) << 32) + int((numbers & 0xFFFFFFFF).sum())


def _measure_floats(column: pa.Array) -> Moments:
    numbers = column.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
    finite = numbers[np.isfinite(numbers)]
    below = above = nans = 0
    if len(finite) < len(numbers):
        nans = int(np.isnan(numbers).sum())
        below, above = int((numbers == -np.inf).sum()), int((numbers == np.inf).sum())
    scaled = sum(_sum_floats(finite[start : start + _PIECE_ROWS]) for start in range(0, len(finite), _PIECE_ROWS))
    return Moments(
        rows=len(column),
        nulls=column.null_count,
        nans=nans,
        infinities=(below, above),
        total=Fraction(scaled, _UNIT),
    )


def _sum_floats(numbers: npt.NDArray[np.float64]) -> int:
    """Return the sum in units of 2**-1127: whole mantissas, added up apart for each exponent."""
    mantissas, exponents = np.frexp(numbers)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    lowest = int(exponents.min())
    places = exponents - lowest
    high = np.bincount(places, weights=(whole >> _HALF).astype(np.float64))
    low = np.bincount(places, weights=(whole & ((1 << _HALF) - 1)).astype(np.float64))
    total = 0
    for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
        total += ((int(high[place]) << _HALF) + int(low[place])) << place
    return total << (lowest + _SHIFT)
