"""Which part of a split a row belongs to: by the hash of its key, or by its time. A rule that any machine can repeat.

By hash: `lmfp1`'s hash of the key columns' values, mixed with the salt, is a number below 2**64; the part is the first
one whose bound is above it. A row's part depends on nothing but its key, so it stays when rows are added. By time: the
same with microseconds since 1970-01-01 UTC. `docs/guides/splits.md` has the definition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakemark._base.errors import InvalidInputError, NotFoundError, nearest
from lakemark.tables.cells import mix, type_name
from lakemark.tables.fingerprint import Frame, arrow_frame, row_hashes

__all__ = ["Assignment", "Method", "Places", "hash_bounds", "instant", "microseconds"]

Places = npt.NDArray[np.intp]
"""For each row the number of its part."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SALT = b"lakemark.split/1\n"
_TOLERANCE = Fraction(1, 10**9)
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_INTEGERS = tuple(f"{sign}int{width}" for sign in ("", "u") for width in (8, 16, 32, 64))
_FLOATS = ("float16", "float32", "float64")
_CASTS = {"integer": pa.int64(), "float": pa.float64(), "date": pa.date32(), "string": pa.string()}


class Method(StrEnum):
    """What decides on a row's part."""

    HASH = "hash"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A rule that gives every row a part.

    Parameters
    ----------
    method : Method
        By hash or by time.
    columns : tuple of str
        The key columns, in this order, or the one column of time.
    types : tuple of str
        Their types, as `lmfp1` spells them.
    names : tuple of str
        The parts, in order.
    bounds : tuple of int
        Where each part but the last ends: the first hash, or microsecond since 1970-01-01 UTC, that is beyond it.
    salt : str
        Gives another split of the same shares; by hash only.
    """

    method: Method
    columns: tuple[str, ...]
    types: tuple[str, ...]
    names: tuple[str, ...]
    bounds: tuple[int, ...]
    salt: str = ""

    def assign(self, frame: Frame) -> pa.Array:
        """Return the name of each row's part.

        Parameters
        ----------
        frame : object
            An Arrow batch or table, or a pandas or polars frame, that has the columns.

        Returns
        -------
        pyarrow.Array
            Of text, as long as the frame.

        Raises
        ------
        NotFoundError
            If a column is missing.
        InvalidInputError
            If a column has values of another kind, or a time is null.

        Examples
        --------
        >>> rule = Assignment(Method.HASH, ("id",), ("int64",), ("train", "test"), hash_bounds([0.8, 0.2]))
        >>> rule.assign(pa.table({"id": [1, 2, 10, 11, 12, 13]})).to_pylist()
        ['train', 'test', 'train', 'train', 'train', 'train']
        """
        return pa.array(self.names, pa.string()).take(pa.array(self.places(_table(frame))))

    def places(self, rows: pa.Table | pa.RecordBatch) -> Places:
        """Return the number of each row's part, from 0.

        Returns
        -------
        numpy.ndarray of int, shape (rows,)
        """
        if self.method is Method.TIME:
            return np.searchsorted(np.array(self.bounds, np.int64), self.times(rows), side="right")
        keys = [self._column(rows, name, kind) for name, kind in zip(self.columns, self.types, strict=True)]
        hashes = row_hashes(pa.Table.from_arrays(keys, names=list(self.columns)))
        hashes ^= np.uint64(int.from_bytes(hashlib.sha256(_SALT + self.salt.encode()).digest()[:8], "little"))
        return np.searchsorted(np.array(self.bounds, np.uint64), mix(hashes), side="right")

    def times(self, rows: pa.Table | pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Return the microseconds since 1970-01-01 UTC of each row; a time without a zone counts as UTC."""
        column = self._column(rows, self.columns[0], self.types[0])
        if column.null_count:
            raise InvalidInputError(
                f"column {self.columns[0]!r} has {column.null_count} nulls, and a row without a time is in no part",
                hint="split by another column, or by hash",
            )
        return microseconds(column)

    def _column(self, rows: pa.Table | pa.RecordBatch, name: str, kind: str) -> pa.Array:
        if name not in rows.schema.names:
            close = nearest(name, rows.schema.names)
            raise NotFoundError(
                f"there is no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"the split is by {', '.join(self.columns)}",
            )
        column = rows.column(name)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        return _fit(column, name, kind)


def hash_bounds(shares: Sequence[float]) -> tuple[int, ...]:
    """Return where the parts of these shares end, as hashes.

    Parameters
    ----------
    shares : sequence of float
        Above 0, and 1 together. They count as the decimal numbers that are written: 0.1 is one tenth.

    Examples
    --------
    >>> [hex(bound) for bound in hash_bounds([0.8, 0.1, 0.1])]
    ['0xcccccccccccccccc', '0xe666666666666666']
    """
    return tuple(min(int(share * 2**64), 2**64 - 1) for share in cumulative(shares))


def cumulative(shares: Sequence[float]) -> list[Fraction]:
    """Return the sums of the first share, the first two and so on, without the last, which is 1."""
    exact = [Fraction(repr(float(share))) if 0 < share <= 1 else Fraction(0) for share in shares]
    if not all(exact) or abs(sum(exact, Fraction(-1))) > _TOLERANCE:
        total = sum(shares)
        raise InvalidInputError(
            f"the shares {', '.join(str(share) for share in shares)} are {total:g} together: "
            "each must be above 0, and all together 1",
            hint="for example train=0.8, valid=0.1, test=0.1",
        )
    return [sum(exact[:count], Fraction(0)) for count in range(1, len(exact))]


def instant(microsecond: int) -> str:
    """Return an instant as RFC 3339 text.

    Examples
    --------
    >>> instant(1372032000000000)
    '2013-06-24T00:00:00.000000Z'
    """
    return f"{(_EPOCH + timedelta(microseconds=microsecond)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def microseconds(times: pa.Array | datetime | str) -> npt.NDArray[np.int64]:
    """Return microseconds since 1970-01-01 UTC, of an array of times or dates, or of one instant.

    Raises
    ------
    InvalidInputError
        For an instant without a zone, for text that is no RFC 3339, and for an array of something else.
    """
    if isinstance(times, datetime | str):
        return np.array([_parsed(times)], np.int64)
    kind = times.type
    if pa.types.is_date32(kind):
        return _numbers(times, pa.int32()).astype(np.int64) * 86_400_000_000
    if pa.types.is_timestamp(kind):
        numbers = _numbers(times, pa.int64())
        return numbers // 1_000 if kind.unit == "ns" else numbers * _MICROSECONDS[kind.unit]
    raise InvalidInputError(f"a column of {kind} holds no times", hint="split by a timestamp or a date")


def _numbers(column: pa.Array, kind: pa.DataType) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = column.view(kind).to_numpy(zero_copy_only=False)
    return found


def _parsed(text: datetime | str) -> int:
    hint = "write it with its offset, for example 2013-06-24T00:00:00Z"
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError:
        raise InvalidInputError(f"{text!r} is no instant in RFC 3339", hint=hint) from None
    if moment.tzinfo is None:
        raise InvalidInputError(f"{str(text)!r} has no time zone", hint=hint)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _table(frame: Frame) -> pa.Table | pa.RecordBatch:
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return frame
    return pa.table(arrow_frame(frame))


def _family(kind: str) -> str:
    return "integer" if kind in _INTEGERS else "float" if kind in _FLOATS else kind


def _fit(column: pa.Array, name: str, kind: str) -> pa.Array:
    """Return a column of the kind that the rule was made for: the number 3 is not the float 3.0 to a hash."""
    found = type_name(column.type)
    if _family(found) == _family(kind):
        return column
    wanted = _CASTS.get(_family(kind))
    numbers = {_family(found), _family(kind)} == {"integer", "float"}
    days = kind == "date" and found == "timestamp"
    if wanted is not None and (numbers or days or found == "null"):
        try:
            return column.cast(wanted)
        except pa.ArrowException as error:
            raise InvalidInputError(f"column {name!r}: {error}") from error
    raise InvalidInputError(
        f"column {name!r} is of type {found}, the split was made by one of type {kind}",
        hint="convert the column, so that each key has the same part everywhere",
    )
