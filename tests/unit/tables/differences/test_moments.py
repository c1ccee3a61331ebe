"""Exact sums: against fractions, whatever the order and the pieces."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakemark.tables.differences.moments import Moments, measure

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | FINITE), st.integers(0, 50))
def test_the_sum_of_floats_is_exact_in_any_pieces(values: list[float | None], cut: int) -> None:
    column = pa.array(values, pa.float64())
    numbers = [value for value in values if value is not None]
    whole = measure(column)
    assert whole.total == sum(map(Fraction, numbers), Fraction(0))
    assert whole == measure(column.slice(cut)) + measure(column.slice(0, cut))
    assert whole.mean == (float(whole.total / len(numbers)) if numbers else None)


@pytest.mark.parametrize(
    ("values", "kind", "total"),
    [
        ([2**63 - 1, 2**63 - 1, -(2**63), None], pa.int64(), 2**63 - 2),
        ([127, 127, None], pa.int8(), 254),
        ([2**64 - 1, 2**64 - 1], pa.uint64(), 2**65 - 2),
        ([True, None, False, True], pa.bool_(), 2),
        ([Decimal("9" * 38)] * 3, pa.decimal128(38, 0), 3 * (10**38 - 1)),
        ([Decimal("0.10"), None], pa.decimal128(5, 2), Fraction(1, 10)),
        ([], pa.int64(), 0),
    ],
)
def test_numbers_of_all_types_are_summed(values: list[object], kind: pa.DataType, total: int | Fraction) -> None:
    found = measure(pa.array(values, kind))
    assert (found.total, found.rows, found.nulls) == (total, len(values), values.count(None))


def test_many_floats_are_summed_in_pieces() -> None:
    column = pa.array([0.1] * 200_000 + [1e300, -1e300])
    assert measure(column).total == 200_000 * Fraction(0.1)


def test_what_is_no_number_has_no_mean() -> None:
    found = measure(pa.array(["a", None]))
    assert (found.total, found.mean, found.nulls) == (None, None, 1)
    assert (found + Moments()).total is None


def test_nans_and_infinities() -> None:
    assert measure(pa.array([1.0, math.nan, None, 3.0])).mean == 2.0
    assert measure(pa.array([math.inf, 1.0], pa.float32())).mean == math.inf
    assert measure(pa.array([-math.inf, 1.0])).mean == -math.inf
    assert math.isnan(measure(pa.array([-math.inf, math.inf])).mean or 0.0)
    assert measure(pa.array([math.nan])).mean is None
