"""The way to `lakemark.models` from inside a user's process: imported when used, because it needs numpy.

A hook only comes here when the script holds a model or an array, so numpy is loaded already.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence, Sized
from typing import Protocol, cast

from lakemark._base.canonical import Json
from lakemark.storage.objects import ObjectStore

__all__ = ["Array", "describe", "frames", "numpy", "predictions", "rows_of"]


class Array(Protocol):
    """What the recorder uses of a `numpy.ndarray`."""

    shape: tuple[int, ...]
    ndim: int

    def __getitem__(self, place: object, /) -> Array: ...

    def ravel(self) -> Array:
        """Return the values in one dimension."""

    def tobytes(self) -> bytes:
        """Return the memory of the values."""


class _Numpy(Protocol):
    def asarray(self, value: object, /) -> Array: ...
    def array_equal(self, a: Array, b: Array, /) -> bool: ...
    def unique(self, array: object, /) -> Array: ...


class _KeptFrame(Protocol):
    """A frame as bytes; see `lakemark.models.frames.Kept`."""

    @property
    def format(self) -> str: ...
    @property
    def data(self) -> bytes: ...


class _Frames(Protocol):
    """The functions of `lakemark.models.frames`."""

    def keep(self, frame: object) -> _KeptFrame: ...
    def size_of(self, frame: object) -> int: ...
    def head(self, frame: object, rows: int) -> object: ...
    def row_hashes(self, frame: object, labels: object | None) -> Array | None: ...


class _Predictions(Protocol):
    """The functions of `lakemark.models.predictions`."""

    def encode(self, values: object) -> bytes: ...
    def exact_hash(self, values: object) -> str: ...
    def rounded_hash(self, values: object) -> str: ...


class _Described(Protocol):
    """A model as its event; see `lakemark.models.kept.DescribedModel`."""

    @property
    def fields(self) -> Mapping[str, Json]: ...
    @property
    def lacking(self) -> str | None: ...


class _Describing(Protocol):
    def describe(self, model: object, *, name: str, how: str, objects: ObjectStore, limit: int) -> _Described: ...


def numpy() -> _Numpy:
    """Return numpy, which the script has loaded."""
    return cast("_Numpy", importlib.import_module("numpy"))


def frames() -> _Frames:
    """Return `lakemark.models.frames`."""
    return cast("_Frames", importlib.import_module("lakemark.models.frames"))


def predictions() -> _Predictions:
    """Return `lakemark.models.predictions`."""
    return cast("_Predictions", importlib.import_module("lakemark.models.predictions"))


def describe(model: object, *, name: str, objects: ObjectStore, limit: int) -> _Described:
    """Fingerprint and keep a model that was seen; see `lakemark.models.kept.describe`."""
    kept = cast("_Describing", importlib.import_module("lakemark.models.kept"))
    return kept.describe(model, name=name, how="observed", objects=objects, limit=limit)


def rows_of(frame: object) -> int | None:
    """Return how many rows a frame has; None where that can't be told."""
    shape = getattr(frame, "shape", None)
    if shape:
        return int(cast("Sequence[int]", shape)[0])
    return len(frame) if isinstance(frame, Sized) and not isinstance(frame, str | bytes | Mapping) else None
