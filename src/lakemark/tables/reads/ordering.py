"""Rows in the order of a key, however many there are.

DuckDB sorts: what does not fit into memory goes to files in a temporary folder. Rows that are equal by the key keep the
order in which they came, so one input has one result, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from lakemark._base.errors import InvalidInputError
from lakemark.tables.scratch import Scratch

__all__ = ["ordered"]

_PLACE = "__lakemark_place"


def ordered(rows: pa.RecordBatchReader, keys: Sequence[str], *, columns: Sequence[str]) -> pa.RecordBatchReader:
    """Return rows sorted by the key, smallest first; null behind all values, NaN behind all numbers.

    Parameters
    ----------
    rows : pyarrow.RecordBatchReader
        The rows; they are used up.
    keys : sequence of str
        The columns of the key, the most important first.
    columns : sequence of str
        The columns to return, in this order.

    Raises
    ------
    InvalidInputError
        For a key whose type has no order.

    Notes
    -----
    Takes about 1 GB of memory at most, and about twice the space of the rows in the folder for temporary files.

    Examples
    --------
    >>> rows = pa.table({"day": [2, 1, 2], "shop": ["a", "b", "c"]})
    >>> ordered(rows.to_reader(), ["day"], columns=["shop"]).read_all().to_pydict()
    {'shop': ['b', 'a', 'c']}
    """
    for key in keys:
        kind = rows.schema.field(key).type
        if pa.types.is_nested(kind):
            raise InvalidInputError(f"column {key!r} cannot be a key of an order: its type is {kind}")
    shape = pa.schema([rows.schema.field(name) for name in columns])
    return pa.RecordBatchReader.from_batches(shape, _sorted(rows, keys, shape))


def _sorted(rows: pa.RecordBatchReader, keys: Sequence[str], shape: pa.Schema) -> Iterator[pa.RecordBatch]:
    place = {name: f"c{position}" for position, name in enumerate((*rows.schema.names, _PLACE))}
    with Scratch() as scratch:
        with_place = rows.schema.append(pa.field(_PLACE, pa.int64()))
        scratch.load("unsorted", _with_place(rows), schema=with_place)
        chosen = ", ".join(place[name] for name in shape.names)
        order = ", ".join(f"{place[key]} ASC NULLS LAST" for key in (*keys, _PLACE))
        for batch in scratch.stream(f"SELECT {chosen} FROM unsorted ORDER BY {order}"):  # noqa: S608  # our own names
            columns = [column.cast(field.type) for column, field in zip(batch.columns, shape, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=shape)


def _with_place(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield rows with their position, by which those with equal keys are told apart."""
    start = 0
    for batch in rows:
        places = np.arange(start, start + batch.num_rows)
        start += batch.num_rows
        yield batch.append_column(_PLACE, pa.array(places))
