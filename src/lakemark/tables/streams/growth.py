"""Which change of a table's columns a stream goes on over: columns that are added or widened."""

from __future__ import annotations

import pyarrow as pa

from lakemark.tables.writes.schemas import is_wider

__all__ = ["growth_problem"]


def growth_problem(old: pa.Schema, new: pa.Schema) -> str | None:
    """Return why rows with the old columns are not rows with the new ones, None where they are.

    Parameters
    ----------
    old, new : pyarrow.Schema
        Of a table, before and after.

    Examples
    --------
    >>> day = pa.field("day", pa.int32())
    >>> growth_problem(pa.schema([day]), pa.schema([pa.field("day", pa.int64()), pa.field("shop", pa.string())]))
    >>> growth_problem(pa.schema([day]), pa.schema([pa.field("day", pa.string())]))
    "column 'day' was int32 and is string"
    """
    return _fields_problem(list(old), list(new), prefix="")


def _fields_problem(old: list[pa.Field], new: list[pa.Field], *, prefix: str) -> str | None:
    now = {field.name: field for field in new}
    for field in old:
        name = f"{prefix}{field.name}"
        if field.name not in now:
            return f"column {name!r} was dropped or renamed"
        problem = _type_problem(field.type, now[field.name].type, name)
        if problem:
            return problem
        if field.nullable and not now[field.name].nullable:
            return f"column {name!r} could be null and may not any more"
    before = {field.name for field in old}
    for field in new:
        if field.name not in before and not field.nullable:
            return f"column {prefix + field.name!r} is new and may not be null"
    return None


def _type_problem(old: pa.DataType, new: pa.DataType, name: str) -> str | None:
    types = pa.types
    if old == new or is_wider(old, new):
        return None
    if types.is_struct(old) and types.is_struct(new):
        parts = [[kind.field(place) for place in range(kind.num_fields)] for kind in (old, new)]
        return _fields_problem(parts[0], parts[1], prefix=f"{name}.")
    if types.is_list(old) and types.is_list(new):
        return _type_problem(old.value_type, new.value_type, f"{name}[]")
    return f"column {name!r} was {old} and is {new}"
