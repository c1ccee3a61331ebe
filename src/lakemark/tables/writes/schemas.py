"""How the columns of a table may change: by new ones, and by wider types."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.writes.casts import always_fits, check_case, storable_schema

__all__ = ["generated_schema", "is_wider", "merged_schema", "new_columns", "widened_schema"]


def is_wider(old: pa.DataType, new: pa.DataType) -> bool:
    """Return True if a column may get a new type because that one holds every value of the old, and more.

    Examples
    --------
    >>> is_wider(pa.int32(), pa.int64()), is_wider(pa.int64(), pa.float64())
    (True, False)
    >>> is_wider(pa.decimal128(5, 2), pa.decimal128(9, 4)), is_wider(pa.decimal128(5, 2), pa.decimal128(5, 3))
    (True, False)
    """
    if old == new:
        return False
    if pa.types.is_decimal(old) and pa.types.is_decimal(new):
        return bool(new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale)
    return always_fits(old, new)


def merged_schema(table: pa.Schema, data: pa.Schema, *, widen: bool) -> pa.Schema:
    """Return the columns of a table and then the new ones of the data, which may hold nulls.

    Parameters
    ----------
    table, data : pyarrow.Schema
        Theirs.
    widen : bool
        Take wider types of the data too. Sound only where there are no files yet.

    Raises
    ------
    InvalidInputError
        For a new column whose name is that of another but for case, which other engines cannot tell apart.
    """
    storable = storable_schema(data)
    new = [pa.field(field.name, field.type) for field in storable if field.name not in table.names]
    check_case([*table.names, *(field.name for field in new)])
    old = [
        field.with_type(storable.field(field.name).type)
        if widen and field.name in storable.names and is_wider(field.type, storable.field(field.name).type)
        else field
        for field in table
    ]
    return pa.schema([*old, *new])


def new_columns(table: pa.Schema, columns: pa.Schema) -> pa.Schema:
    """Return columns that are to be added to a table, as Delta stores them.

    Raises
    ------
    InvalidInputError
        For one that is there already, that may not hold nulls (old rows have no value), or that Delta cannot store.
    """
    there = [name for name in columns.names if name in table.names]
    if there:
        raise InvalidInputError(
            f"there is a column {there[0]!r} already, of type {table.field(there[0]).type}",
            hint="widen changes the type of a column, overwrite with a new schema everything",
        )
    strict = [field.name for field in columns if not field.nullable]
    if strict:
        raise InvalidInputError(
            f"column {strict[0]!r} may not hold nulls, and the rows that are there have no value for it",
            hint="add it as one that may, fill it with update, then add a constraint",
        )
    check_case([*table.names, *columns.names])
    return storable_schema(columns)


def widened_schema(table: pa.Schema, columns: Mapping[str, pa.DataType], *, uri: str) -> pa.Schema:
    """Return the schema with wider types.

    Raises
    ------
    InvalidInputError
        For a column that is not there, or a type that does not hold every value of the old one.
    """
    for name, kind in columns.items():
        if name not in table.names:
            close = nearest(name, table.names)
            raise InvalidInputError(
                f"{uri} has no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(table.names)}",
            )
        old = table.field(name).type
        if old != kind and not is_wider(old, kind):
            raise InvalidInputError(
                f"column {name!r} of type {old} cannot be widened to {kind}, which does not hold all of its values",
                hint="integers widen to longer ones, float to double, decimals to more digits on both sides",
            )
    wanted = pa.schema([field.with_type(columns.get(field.name, field.type)) for field in table])
    stored = storable_schema(wanted)
    for field in wanted:
        if stored.field(field.name).type != field.type:
            raise InvalidInputError(
                f"column {field.name!r}: Delta has no type {field.type}",
                hint=f"the nearest is {stored.field(field.name).type}",
            )
    return wanted


def generated_schema(schema: pa.Schema, generated: Mapping[str, pa.Field]) -> pa.Schema:
    """Return a schema with the generated columns in their places, new ones at the end."""
    fields = [generated.get(field.name, field) for field in schema]
    return pa.schema([*fields, *(field for name, field in generated.items() if name not in schema.names)])
