"""Predictions are stored without pickle, hashed exactly and rounded, and compared."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemark.models.predictions import Comparison, compare, decode, encode, exact_hash, rounded_hash


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, 2.5], [1.5, 2.5]),
        (np.array(["cat", "dog"], object), ["cat", "dog"]),
        (pd.Series(["cat", "dog"]), ["cat", "dog"]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pl.Series(["cat", "dog"]), ["cat", "dog"]),
        (np.array([1, 2.5], object), [1, 2.5]),
        (np.array(["a", None, 1], object), ['"a"', "null", "1"]),
        ([True, False], [True, False]),
        ([np.eye(2), np.zeros((2, 1))], [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_what_is_encoded_comes_back_without_pickle(values: object, expected: list[object]) -> None:
    data = encode(values)

    assert np.load(io.BytesIO(data), allow_pickle=False).tolist() == expected
    assert decode(data).tolist() == expected


def test_one_zero_and_one_nan() -> None:
    other_nan = np.frombuffer(np.uint64(0x7FF8000000000001).tobytes(), np.float64)[0]

    assert exact_hash([0.0, math.nan]) == exact_hash(np.array([-0.0, other_nan]))
    assert exact_hash(np.array([1.0], "<f8")) == exact_hash(np.array([1.0], ">f8"))
    assert exact_hash(np.array([1.0], "f4")) != exact_hash(np.array([1.0], "f8"))
    assert exact_hash(np.array(["a"], "U1")) == exact_hash(np.array(["a"], "U9"))
    assert exact_hash([[1.0], [2.0]]) != exact_hash([1.0, 2.0])


@given(st.lists(st.integers(-900, 900), min_size=1))
def test_noise_far_from_the_edges_keeps_the_rounded_hash(numbers: list[int]) -> None:
    values = np.array([123.0, *numbers])

    assert rounded_hash(values) == rounded_hash(values + 1e-9)
    assert exact_hash(values) != exact_hash(values + 1e-9)


def test_a_difference_above_the_step_changes_the_rounded_hash() -> None:
    assert rounded_hash([100.0, 1.0]) != rounded_hash([100.0, 1.001])


def test_rounding_survives_what_is_not_finite() -> None:
    assert rounded_hash([math.inf, math.nan, 0.0]) == rounded_hash([math.inf, math.nan, -0.0])
    assert rounded_hash([]) == rounded_hash([])
    assert rounded_hash(["a"]) == exact_hash(["a"])


def test_numbers_are_compared_by_their_largest_difference() -> None:
    found = compare(encode([1.0, -4.0, math.nan]), encode([1.0, -4.5, math.nan]))

    assert found == Comparison(rows=3, equal=False, max_abs_diff=0.5, scale=4.5, flips=0)


def test_equal_predictions_are_equal() -> None:
    found = compare(encode([1.0, math.inf]), encode([1.0, math.inf]))

    assert found == Comparison(rows=2, equal=True, max_abs_diff=0.0, scale=1.0, flips=0)


def test_labels_flip() -> None:
    found = compare(encode(["a", "b", "c"]), encode(["a", "c", "cc"]))
    assert (found.flips, found.equal, found.max_abs_diff) == (2, False, 0.0)

    numbered = compare(encode([0, 1, 2]), encode([0, 1, 1]))
    assert (numbered.flips, numbered.max_abs_diff) == (1, 1.0)


def test_the_most_probable_class_flips() -> None:
    before, after = [[0.5000001, 0.4999999], [0.9, 0.1]], [[0.4999999, 0.5000001], [0.9, 0.1]]
    found = compare(encode(before), encode(after))

    assert found.flips == 1
    assert found.max_abs_diff == pytest.approx(2e-7)


def test_targets_that_add_up_to_anything_do_not_flip() -> None:
    assert compare(encode([[3.0, 3.0]]), encode([[3.0, 3.1]])).flips == 0


@pytest.mark.parametrize("other", [[1.0], [[1.0, 2.0]], ["a", "b"], [1.0, math.nan]])
def test_what_cannot_be_compared_is_infinitely_far(other: object) -> None:
    assert compare(encode([1.0, 2.0]), encode(other)).max_abs_diff == math.inf
