"""How the frame that a model was evaluated on is kept, and got back exactly: columns, types and categories too.

numpy arrays become `.npy`, pandas and polars frames Arrow IPC files, everything else a pickle. A pandas frame that
Arrow would give back with another type in any column is pickled as well, since a model may look at types.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lakemark._base.errors import InvalidInputError, MissingExtraError
from lakemark.models.pickles import pickle_within

__all__ = ["FORMATS", "Kept", "head", "keep", "load", "row_hashes", "size_of", "sniff"]

FORMATS = ("npy", "arrow", "pickle")
"""The forms that a kept frame may have."""

_LABEL = "__label__"
_SERIES = b"lakemark.series"
_PROBE_ROWS = 100


class Kept(NamedTuple):
    """A frame as bytes.

    Parameters
    ----------
    format : {"npy", "arrow", "pickle"}
        How to read them.
    data : bytes
        The frame.
    """

    format: str
    data: bytes


class _Sliceable(Protocol):
    def __getitem__(self, rows: slice, /) -> object: ...


class _Table(Protocol):
    """What is used of a `pyarrow.Table`."""

    column_names: Sequence[str]

    def append_column(self, name: str, column: object, /) -> _Table: ...
    def rename_columns(self, names: Sequence[str], /) -> _Table: ...


def keep(frame: object) -> Kept:
    """Return a frame as bytes.

    Parameters
    ----------
    frame : object of shape (n, k)
        What a script gave to a model's `predict`.

    Raises
    ------
    Exception
        Whatever pickling a foreign object raises.

    Examples
    --------
    >>> keep(np.zeros((2, 3))).format
    'npy'
    """
    if type(frame) is np.ndarray and not frame.dtype.hasobject:
        file = io.BytesIO()
        np.save(file, frame, allow_pickle=False)
        return Kept("npy", file.getvalue())
    if _is(frame, "polars", "DataFrame"):
        file = io.BytesIO()
        _method(frame, "write_ipc")(file)
        return Kept("arrow", file.getvalue())
    if _is(frame, "pandas", "DataFrame", "Series") and "pyarrow" in sys.modules and _survives(frame):
        return Kept("arrow", _to_arrow_file(frame))
    return Kept("pickle", pickle_within(frame, limit=sys.maxsize))


def load(format: str, data: bytes) -> object:  # noqa: A002 - the name that the event and the receipt have
    """Return the frame that `keep` made the bytes of.

    Raises
    ------
    InvalidInputError
        If the format is none of `FORMATS`.
    MissingExtraError
        If the library that the frame belongs to is not installed.
    """
    if format == "npy":
        return np.load(io.BytesIO(data), allow_pickle=False)
    if format == "arrow":
        return _from_arrow_file(data)
    if format == "pickle":
        return pickle.loads(data)  # noqa: S301 - a frame of the user's own run, in an environment of their own
    raise InvalidInputError(f"frame format {format!r} is not known: it is one of {', '.join(FORMATS)}")


def sniff(data: bytes) -> str:
    r"""Return the format of a kept frame by its first bytes.

    Examples
    --------
    >>> sniff(b"ARROW1\0\0...")
    'arrow'
    """
    if data.startswith(b"\x93NUMPY"):
        return "npy"
    return "arrow" if data.startswith(b"ARROW1") else "pickle"


def size_of(frame: object) -> int:
    """Return about how many bytes a frame takes, without copying it; 0 where that is not known."""
    for name in ("estimated_size", "memory_usage"):
        measure = getattr(frame, name, None)
        if callable(measure):
            return int(np.sum(measure()))
    data = getattr(frame, "data", None)  # of a sparse matrix
    return int(getattr(frame, "nbytes", 0) or getattr(data, "nbytes", 0) or 0)


def head(frame: object, rows: int) -> object:
    """Return a copy of the first `rows` rows of a frame, as the same kind of thing."""
    by_place = getattr(frame, "iloc", frame)
    part = cast("_Sliceable", by_place)[:rows]
    copy = getattr(part, "copy", None) or getattr(part, "clone", None)
    return copy() if callable(copy) else part


def row_hashes(frame: object, labels: object | None) -> NDArray[np.uint64] | None:
    """Return one hash a row over all features and the label, or None for a frame that has no table form.

    Parameters
    ----------
    frame : object of shape (n, k)
        pandas or polars DataFrame, or a numpy array of one or two dimensions.
    labels : array-like of shape (n,), optional
        What was to be predicted.

    Returns
    -------
    ndarray of uint64, shape (n,)
        By `lakemark.tables.fingerprint.row_hashes`.

    Raises
    ------
    MissingExtraError
        If pyarrow is not loaded: then there are no tables to hash.
    """
    if "pyarrow" not in sys.modules:
        raise MissingExtraError("rows are hashed through pyarrow, which this process has not loaded")
    table = _to_table(frame)
    if table is None:
        return None
    if labels is not None:
        table = table.append_column(_LABEL, sys.modules["pyarrow"].array(np.asarray(labels).ravel()))
    hashing = importlib.import_module("lakemark.tables.fingerprint")
    return cast("NDArray[np.uint64]", hashing.row_hashes(table))


def _is(value: object, library: str, *names: str) -> bool:
    """Return True for an instance of one of a loaded library's classes."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, name) for name in names))


def _method(value: object, name: str) -> Callable[..., object]:
    return cast("Callable[..., object]", getattr(value, name))


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(f"the frame was kept by {name}, which is not installed here") from None


def _to_table(frame: object) -> _Table | None:
    arrow = sys.modules["pyarrow"]
    if _is(frame, "pandas", "DataFrame"):
        table = cast("_Table", arrow.Table.from_pandas(frame, preserve_index=False))
        return table.rename_columns([str(name) for name in getattr(frame, "columns", ())])
    if _is(frame, "polars", "DataFrame"):
        return cast("_Table", _method(frame, "to_arrow")())
    if isinstance(frame, np.ndarray) and frame.ndim in (1, 2) and not frame.dtype.hasobject:
        columns = frame.reshape(len(frame), -1).T
        return cast("_Table", arrow.table({str(at): arrow.array(column) for at, column in enumerate(columns)}))
    return None


def _to_arrow_file(frame: object) -> bytes:
    """Write a pandas frame, or a series as a frame of one column that says so."""
    arrow, ipc = sys.modules["pyarrow"], importlib.import_module("pyarrow.ipc")
    whole = frame if _is(frame, "pandas", "DataFrame") else _method(frame, "to_frame")()
    table = arrow.Table.from_pandas(whole)
    if whole is not frame:
        named = b"0" if getattr(frame, "name", None) is None else b"1"
        table = table.replace_schema_metadata({**table.schema.metadata, _SERIES: named})
    file = io.BytesIO()
    with ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def _from_arrow_file(data: bytes) -> object:
    table = _module("pyarrow.ipc").open_file(data).read_all() if not _polars_only() else None
    metadata = (table.schema.metadata or {}) if table is not None else {}
    if table is None or b"pandas" not in metadata:
        return _module("polars").read_ipc(io.BytesIO(data), use_pyarrow=False)
    _module("pandas")
    frame = table.to_pandas()
    if _SERIES not in metadata:
        return frame
    series = frame.iloc[:, 0]
    return series if metadata[_SERIES] == b"1" else series.rename(None)


def _polars_only() -> bool:
    return "polars" in sys.modules and importlib.util.find_spec("pyarrow") is None


def _survives(frame: object) -> bool:
    """Return True where Arrow gives a pandas frame back with the same types, names and index.

    The first rows are tried out. Objects are only trusted where they are all text: None and NaN, for example, are the
    same to Arrow, and not to an encoder.
    """
    if len({type(name) for name in getattr(frame, "columns", ())}) > 1:  # Arrow would warn, in the script's process
        return False
    columns = [frame] if _is(frame, "pandas", "Series") else [part for _, part in _method(frame, "items")()]  # type: ignore[attr-defined]  # (name, Series) pairs
    if any(str(getattr(column, "dtype", "")) == "object" and not _is_text(column) for column in columns):
        return False
    sample = getattr(frame, "iloc")[:_PROBE_ROWS]  # noqa: B009 - a pandas frame or series, untyped here
    try:
        again = _from_arrow_file(_to_arrow_file(sample))
    except Exception:  # noqa: BLE001 - Arrow has many ways to refuse a type; the pickle is left
        return False
    return _same_form(sample, again)


def _is_text(column: object) -> bool:
    return all(type(item) is str for item in cast("Sequence[object]", np.asarray(column)))


def _same_form(a: object, b: object) -> bool:
    testing = importlib.import_module("pandas.testing")
    check = testing.assert_frame_equal if _is(a, "pandas", "DataFrame") else testing.assert_series_equal
    try:
        check(a, b, check_exact=True, check_categorical=True, check_freq=False)
    except AssertionError:
        return False
    return True
