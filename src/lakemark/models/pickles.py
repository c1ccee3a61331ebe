"""Pickling with a limit: a model that is too large, or that has no pickle, is no error but an absence with a reason."""

from __future__ import annotations

import importlib
import io
import pickle
from typing import Protocol, cast

__all__ = ["PickleTooLargeError", "pickle_bytes", "pickle_within"]

_PICKLERS = ("cloudpickle", "joblib.externals.cloudpickle")


class PickleTooLargeError(ValueError):
    """The pickle grew beyond the limit."""


class _Dumper(Protocol):
    def dump(self, value: object, file: io.BytesIO, /) -> None: ...


class _Limited(io.BytesIO):
    """Memory that refuses to grow beyond a number of bytes, so that a huge model is not held twice."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: object, /) -> int:
        size = len(memoryview(data).cast("B"))  # type: ignore[arg-type]  # BytesIO takes any buffer
        if self.tell() + size > self._limit:
            raise PickleTooLargeError(f"its pickle is larger than {self._limit:,} bytes")
        return super().write(data)  # type: ignore[arg-type]  # as above


def pickle_within(value: object, *, limit: int) -> bytes:
    """Return the pickle of `value`, with classes of a script inside it where cloudpickle or joblib is installed.

    Parameters
    ----------
    value : object
        What to pickle.
    limit : int
        Bytes that the pickle may have.

    Raises
    ------
    PickleTooLargeError
        If it would be larger.
    """
    file = _Limited(limit)
    _dumper().dump(value, file)
    return file.getvalue()


def pickle_bytes(value: object, *, limit: int) -> bytes | None:
    """Return the pickle of `value`, or None where it has none within `limit` bytes."""
    try:
        return pickle_within(value, limit=limit)
    except Exception:  # noqa: BLE001 - any object's own code runs here and may raise anything
        return None


def _dumper() -> _Dumper:
    for name in _PICKLERS:
        try:
            return cast("_Dumper", importlib.import_module(name))
        except ImportError:
            continue
    return cast("_Dumper", pickle)
