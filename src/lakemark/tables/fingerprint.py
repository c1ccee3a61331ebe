"""`lmfp1`: the content of a table as two hashes, one that sees the order of rows and one that does not.

Equal rows give equal hashes whatever the files, row groups, batches or encodings they come in. The definition, with
test vectors, is `docs/reference/fingerprints.md`. Not cryptographic: it finds changes, it does not withstand somebody
who constructs a collision. Imports numpy and pyarrow only: it runs inside users' processes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakemark._base.canonical import canonical
from lakemark._base.errors import InvalidInputError
from lakemark.tables.cells import GOLDEN, Words, mix, salt, type_name, words

__all__ = ["ALGORITHM", "ArrowStream", "Fingerprint", "fingerprint", "fingerprint_frame", "row_hashes"]

ALGORITHM = "lmfp1"
_PIECE_ROWS = 1 << 15  # a column of it and the scratch space fit into the second-level cache


class ArrowStream(Protocol):
    """Anything that speaks the Arrow stream protocol: pyarrow, polars, DuckDB, arro3."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with an ArrowArrayStream."""


Frame: TypeAlias = object
"""A pandas or polars DataFrame, a pyarrow table, batch or reader, or a numpy array: told apart by what it can do."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The content of a table.

    Parameters
    ----------
    algorithm : str
        `"lmfp1"`.
    rows : int
        Number of rows.
    ordered : str
        Hash that changes when rows change places; 64 hexadecimal digits.
    unordered : str
        Hash that does not; 64 hexadecimal digits.
    """

    algorithm: str
    rows: int
    ordered: str
    unordered: str


def fingerprint(data: ArrowStream) -> Fingerprint:
    """Return the fingerprint of a table or of a stream, which is read once and never held whole.

    Parameters
    ----------
    data : ArrowStream
        For example a `pyarrow.Table` or a `pyarrow.RecordBatchReader`.

    Raises
    ------
    InvalidInputError
        For a column whose type `lmfp1` does not define; it is named.

    Notes
    -----
    Columns count by name, type and place. Linear in the cells; memory is constant.

    Examples
    --------
    >>> one = fingerprint(pa.table({"x": [1, 2]}))
    >>> two = fingerprint(pa.table({"x": [2, 1]}))
    >>> one.unordered == two.unordered, one.ordered == two.ordered
    (True, False)
    """
    schema, batches = _open(data)
    unordered, ordered, rows = (0, 0), (0, 0), 0
    for batch in batches:
        hashes = _batch_hashes(batch)
        unordered = _add(unordered, hashes)
        ordered = _add(ordered, _placed(hashes, rows))
        rows += len(hashes)
    header = canonical([[field.name, type_name(field.type)] for field in schema])
    return Fingerprint(
        algorithm=ALGORITHM,
        rows=rows,
        ordered=_digest("ordered", header, [rows, *ordered]),
        unordered=_digest("unordered", header, [rows, *unordered]),
    )


def row_hashes(data: ArrowStream) -> Words:
    """Return a 64-bit hash of each row.

    They depend on the values and the places of the columns only, not on names nor on the width of numbers, so that the
    rows of two tables can be matched.

    Returns
    -------
    numpy.ndarray of uint64, shape (rows,)

    Examples
    --------
    >>> narrow = pa.table({"x": pa.array([1, 2], pa.int8())})
    >>> bool((row_hashes(narrow) == row_hashes(pa.table({"y": [1, 2]}))).all())
    True
    """
    _, batches = _open(data)
    found = [_batch_hashes(batch) for batch in batches]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def fingerprint_frame(frame: Frame) -> Fingerprint:
    """Return the fingerprint of whatever frame a script works with.

    Parameters
    ----------
    frame : object
        A pandas or polars DataFrame, anything that speaks the Arrow stream protocol, or a numpy array of one column or
        more.

    Raises
    ------
    InvalidInputError
        If it is none of these, or has values that Arrow cannot hold.

    Notes
    -----
    In pandas a missing number is NaN, so there NaN counts as null, as everywhere between pandas and Arrow. The index of
    a pandas frame counts as columns unless it is unnamed and of integers: that is only the numbers of the rows.

    Examples
    --------
    >>> fingerprint_frame(np.array([[1, 2], [3, 4]])) == fingerprint(pa.table({"0": [1, 3], "1": [2, 4]}))
    True
    """
    return fingerprint(arrow_frame(frame))


def arrow_frame(frame: Frame) -> pa.Table | ArrowStream:
    """Return a frame as an Arrow table, without a copy where that is possible."""
    try:
        if isinstance(frame, np.ndarray):
            return _from_numpy(frame)
        if hasattr(frame, "iloc") and hasattr(frame, "columns") and hasattr(frame, "index"):
            return _from_pandas(frame)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise InvalidInputError(f"a {type(frame).__name__} with values that Arrow cannot hold: {error}") from error
    if hasattr(frame, "__arrow_c_stream__"):
        return frame
    raise InvalidInputError(
        f"a {type(frame).__name__} is not a table",
        hint="give a pandas or polars DataFrame, an Arrow table or a numpy array",
    )


class _PandasIndex(Protocol):
    names: Sequence[object]
    dtype: np.dtype[np.generic]

    def get_level_values(self, level: int) -> object: ...


class _Rows(Protocol):
    def __getitem__(self, key: tuple[slice, int], /) -> object: ...


class _PandasFrame(Protocol):
    columns: Sequence[object]
    index: _PandasIndex
    iloc: _Rows


def _from_pandas(frame: _PandasFrame) -> pa.Table:
    """Convert by place, so that two columns of one name are two columns."""
    series = [frame.iloc[:, place] for place in range(len(frame.columns))]
    names = [str(name) for name in frame.columns]
    index = frame.index
    if list(index.names) != [None] or index.dtype.kind not in "iu":
        series += [index.get_level_values(level) for level in range(len(index.names))]
        names += [f"index {level}" if name is None else str(name) for level, name in enumerate(index.names)]
    if not series:
        return pa.table({})
    return pa.Table.from_arrays([_column(values) for values in series], names=names)


def _column(values: object) -> pa.Array | pa.ChunkedArray:
    return pa.array(values, from_pandas=True)


def _from_numpy(array: npt.NDArray[np.void]) -> pa.Table:
    if array.dtype.names:
        return pa.table({name: pa.array(array[name].reshape(-1)) for name in array.dtype.names})
    flat = array.reshape(-1, 1) if array.ndim < 2 else array.reshape(len(array), math.prod(array.shape[1:]))
    columns = [pa.array(np.ascontiguousarray(flat[:, place])) for place in range(flat.shape[1])]
    return pa.Table.from_arrays(columns, names=[str(place) for place in range(flat.shape[1])])


def _open(data: ArrowStream) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and pieces that fit into the cache."""
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return data.schema, iter(data.to_batches(max_chunksize=_PIECE_ROWS))
    reader = data if isinstance(data, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(data)
    return reader.schema, _pieces(reader)


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _PIECE_ROWS):
            yield batch.slice(start, _PIECE_ROWS)


def _batch_hashes(batch: pa.RecordBatch) -> Words:
    found: Words = np.zeros(batch.num_rows, dtype=np.uint64)
    for place, column in enumerate(batch.columns):
        try:
            cells = words(column)
        except InvalidInputError as error:
            name = batch.schema.field(place).name
            raise InvalidInputError(f"column {name!r}: {error.message}", hint=error.hint, column=name) from error
        cells += salt(place)
        found += mix(cells)
    return mix(found)


def _placed(hashes: Words, first: int) -> Words:
    """Mix each row's hash with its number."""
    numbers = np.arange(first + 1, first + 1 + len(hashes), dtype=np.uint64)
    numbers *= np.uint64(GOLDEN)
    numbers += hashes
    return mix(numbers)


def _add(total: tuple[int, int], hashes: Words) -> tuple[int, int]:
    """Add hashes to a sum modulo 2**64 and an exclusive or."""
    return (total[0] + int(hashes.sum(dtype=np.uint64))) % 2**64, total[1] ^ int(np.bitwise_xor.reduce(hashes))


def _digest(kind: str, header: bytes, numbers: Sequence[int]) -> str:
    packed = b"".join(number.to_bytes(8, "little") for number in numbers)
    return hashlib.sha256(f"{ALGORITHM} {kind}\n".encode() + header + b"\n" + packed).hexdigest()
