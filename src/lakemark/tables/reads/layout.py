"""How the columns of a data file become those of the table: found by name or id, cast, filled.

A file keeps the columns that the table had when it was written. Columns are found by their name, or where the table
maps them (`delta.columnMapping.mode`) by the physical name or the id in the field's metadata, inside structs too.
A column that a file does not have is null; a narrower type is widened without loss, or reading fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import pyarrow as pa

from lakemark._base.errors import StorageError

__all__ = ["Naming", "find", "fit"]


class Naming(StrEnum):
    """By what a table's columns are found in its files; the values of `delta.columnMapping.mode`."""

    PLAIN = "none"
    NAME = "name"
    ID = "id"


def find(wanted: pa.Field, fields: Iterable[pa.Field], naming: Naming) -> int | None:
    """Return which field of a file is a field of the table, None where the file does not have it.

    Raises
    ------
    StorageError
        If the table maps columns by id and the file has no ids.
    """
    if naming is Naming.ID:
        ids = [_text(field, "PARQUET:field_id") for field in fields]
        if ids and not any(ids):
            raise StorageError("a data file has no ids of columns, though the table finds its columns by id")
        return _place(_text(wanted, "delta.columnMapping.id"), ids)
    name = _text(wanted, "delta.columnMapping.physicalName") if naming is Naming.NAME else wanted.name
    return _place(name, [field.name for field in fields])


def fit(array: pa.Array, wanted: pa.Field, naming: Naming) -> pa.Array:
    """Return a column of a file as the table's field describes it.

    Parameters
    ----------
    array : pyarrow.Array
        As read from the file; a dictionary is written out.
    wanted : pyarrow.Field
        Of the table, with its metadata.
    naming : Naming
        How the fields of structs are found.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value does not fit the wanted type.

    Examples
    --------
    >>> old = pa.array([{"x": 1}, None])
    >>> new = pa.field("point", pa.struct([("x", pa.int64()), ("y", pa.float64())]))
    >>> fit(old, new, Naming.PLAIN).to_pylist()
    [{'x': 1, 'y': None}, None]
    """
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    kind = wanted.type
    if not pa.types.is_nested(kind):
        return array if array.type.equals(kind) else array.cast(kind)
    if array.type.equals(kind) and naming is Naming.PLAIN:
        return array
    if pa.types.is_struct(kind):
        return _fit_struct(array, kind, naming)
    if pa.types.is_map(kind):
        entries = pa.StructArray.from_arrays(
            [fit(array.keys, kind.key_field, naming), fit(array.items, kind.item_field, naming)],
            fields=[kind.key_field, kind.item_field],
        )
        return _with_children(array, kind, entries)
    return _with_children(array, kind, fit(array.values, kind.value_field, naming))


def _fit_struct(array: pa.StructArray, kind: pa.StructType, naming: Naming) -> pa.StructArray:
    inner = [array.type.field(place) for place in range(array.type.num_fields)]
    parts = array.flatten()
    children = []
    for wanted in kind:
        place = find(wanted, inner, naming)
        children.append(pa.nulls(len(array), wanted.type) if place is None else fit(parts[place], wanted, naming))
    fields = [field.with_nullable(True) for field in kind]  # noqa: FBT003  # positional in pyarrow
    made = pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    return pa.StructArray.from_buffers(
        kind, len(made), made.buffers()[:1], children=[made.field(n) for n in range(len(fields))]
    )


def _with_children(array: pa.Array, kind: pa.DataType, values: pa.Array) -> pa.Array:
    """Return a list or a map with other values at the same places."""
    return pa.Array.from_buffers(kind, len(array), array.buffers()[:2], offset=array.offset, children=[values])


def _text(field: pa.Field, key: str) -> str | None:
    value = (field.metadata or {}).get(key.encode())
    return None if value is None else value.decode()


def _place(key: str | None, keys: list[str | None] | list[str]) -> int | None:
    return keys.index(key) if key is not None and key in keys else None
