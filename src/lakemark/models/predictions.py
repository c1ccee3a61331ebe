"""Predictions as evidence: stored without pickle, hashed exactly and rounded, compared number by number.

The exact hash says that two predictions are the same bits (a negative zero counts as zero, every NaN as the same NaN).
The rounded hash forgives noise: values are rounded to a millionth of their scale, a power of ten. Equal rounded hashes
mean numerically equal predictions. Different ones mean nothing yet: a value that lies at the edge between two steps
falls on either side for the smallest noise, so whoever decides compares the stored values with `compare`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDING", "Comparison", "compare", "decode", "encode", "exact_hash", "rounded_hash"]

ROUNDING = 1e-6
"""Step of the rounded hash, as a share of the scale of the values."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two predictions of the same rows are apart.

    Parameters
    ----------
    rows : int
        Rows that were compared: those of the first.
    equal : bool
        The same bits, by `exact_hash`.
    max_abs_diff : float
        Largest absolute difference, in units of the prediction; infinity where shapes differ or a NaN meets a number.
    scale : float
        Largest absolute finite value in either.
    flips : int
        Rows whose label differs; for class probabilities, whose most probable class differs.
    """

    rows: int
    equal: bool
    max_abs_diff: float
    scale: float
    flips: int


def encode(values: object) -> bytes:
    """Return predictions or labels as the bytes of a `.npy` file that loads without pickle.

    Parameters
    ----------
    values : array-like of shape (n,) or (n, k)
        Numbers, booleans, dates or text; a pandas or polars column; a list. Mixed objects are kept as their JSON text.
    """
    file = io.BytesIO()
    np.save(file, _plain(values), allow_pickle=False)
    return file.getvalue()


def decode(data: bytes) -> NDArray[np.generic]:
    """Return the array that `encode` made the bytes of.

    Examples
    --------
    >>> decode(encode(["cat", "dog"])).tolist()
    ['cat', 'dog']
    """
    return cast("NDArray[np.generic]", np.load(io.BytesIO(data), allow_pickle=False))


def exact_hash(values: object) -> str:
    """Return the sha256 of type, shape and values.

    Examples
    --------
    >>> exact_hash([0.0, 1.0]) == exact_hash([-0.0, 1.0])
    True
    """
    array = _canonical(_plain(values))
    return _hash(array.dtype.str, array)


def rounded_hash(values: object) -> str:
    """Return the sha256 of the values rounded to `ROUNDING` times their scale; labels are hashed as they are.

    Notes
    -----
    The scale is the power of ten below the largest finite absolute value, so noise in that value itself seldom moves
    it. Both edges (of a step, and of a power of ten) exist; see the module.
    """
    array = _canonical(_plain(values))
    if array.dtype.kind != "f":
        return exact_hash(array)
    largest = _scale(array)
    scale = 10.0 ** math.floor(math.log10(largest)) if largest else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(array.astype(np.float64) / (scale * ROUNDING)) + 0.0
    return _hash(f"rounded {scale:g}", rounded)


def compare(a: bytes, b: bytes) -> Comparison:
    """Compare two predictions of the same rows, as `encode` wrote them.

    Parameters
    ----------
    a, b : bytes
        Of `.npy` files.

    Notes
    -----
    Rows of two or more numbers that add up to one are class probabilities: a change of the largest is a flip.

    Examples
    --------
    >>> compare(encode([1.0, 2.0]), encode([1.0, 2.5]))
    Comparison(rows=2, equal=False, max_abs_diff=0.5, scale=2.5, flips=0)
    """
    first, second = decode(a), decode(b)
    rows = len(first) if first.ndim else 1
    equal = exact_hash(first) == exact_hash(second)
    scale = max(_scale(first), _scale(second))
    if first.shape != second.shape or _is_number(first) != _is_number(second):
        return Comparison(rows, equal=False, max_abs_diff=math.inf, scale=scale, flips=rows)
    difference = 0.0 if equal else _difference(first, second)
    return Comparison(rows, equal=equal, max_abs_diff=difference, scale=scale, flips=_flips(first, second))


def _plain(values: object) -> NDArray[np.generic]:
    """Return `values` as an array without objects."""
    to_dense = getattr(values, "toarray", None)
    array = np.asarray(_joined(values) if to_dense is None else cast("Callable[[], object]", to_dense)())
    if array.dtype.hasobject:
        return _without_objects(array)
    if array.dtype.kind == "T":  # NumPy's variable-width strings have no .npy form
        return array.astype(np.str_)
    return array


def _joined(values: object) -> object:
    """Put the probabilities of several outputs, a list of (n, k) arrays, side by side."""
    if isinstance(values, list) and values and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in values):
        return np.concatenate(values, axis=1)
    return values


def _without_objects(array: NDArray[np.generic]) -> NDArray[np.generic]:
    items = array.ravel().tolist()
    kinds = {type(item) for item in items}
    if kinds <= {str}:
        return np.array(items, dtype=np.str_).reshape(array.shape)
    if kinds <= {int, bool} or kinds <= {int, float}:
        return np.array(items).reshape(array.shape)
    return np.array([json.dumps(item, default=str) for item in items], dtype=np.str_).reshape(array.shape)


def _canonical(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the array in the machine's order with one zero and one NaN, and text no wider than its longest item."""
    if array.dtype.kind == "U":
        width = max((len(str(item)) for item in array.ravel().tolist()), default=0)
        return array.astype(f"<U{max(width, 1)}")
    array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.kind == "f":
        floats = cast("NDArray[np.floating]", array) + 0
        floats[np.isnan(floats)] = np.nan
        return floats
    return array


def _hash(kind: str, array: NDArray[np.generic]) -> str:
    head = f"lakemark.predictions/1\n{kind}\n{array.shape}\n".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _is_number(array: NDArray[np.generic]) -> bool:
    return array.dtype.kind in "fiub"


def _scale(array: NDArray[np.generic]) -> float:
    if not _is_number(array):
        return 0.0
    numbers = np.abs(array.astype(np.float64))
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def _difference(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    if not _is_number(first):
        return 0.0
    a, b = first.astype(np.float64), second.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    return math.inf if np.isnan(apart).any() else float(apart.max(initial=0.0))


def _flips(first: NDArray[np.generic], second: NDArray[np.generic]) -> int:
    if first.dtype.kind != "f" or second.dtype.kind != "f":
        differs = np.asarray(first != second)
        return int((differs if differs.ndim < 2 else differs.any(axis=1)).sum())
    if _are_probabilities(first) and _are_probabilities(second):
        return int((np.argmax(first, axis=1) != np.argmax(second, axis=1)).sum())
    return 0


def _are_probabilities(array: NDArray[np.generic]) -> bool:
    if array.ndim != 2 or array.shape[1] < 2:
        return False
    numbers = array.astype(np.float64)
    return bool((numbers >= 0).all() and np.allclose(numbers.sum(axis=1), 1.0, atol=1e-6))
