"""The columns of two versions side by side: which are in both, and as which type their values compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakemark._base.errors import InvalidInputError, NotFoundError, nearest

__all__ = ["Alignment", "SchemaDifference", "TypeChange", "align", "common_type"]

_DECIMAL_DIGITS = 38
_DOUBLE_BITS = 32  # integers of up to so many bits are exact as doubles


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A column that is of another type in each version.

    Parameters
    ----------
    column : str
        Its name.
    before, after : pyarrow.DataType
        The types.
    common : pyarrow.DataType or None
        As which type its values are compared: one that holds those of both exactly. None where there is no such type;
        then the column is left out of the comparison of rows.
    """

    column: str
    before: pa.DataType
    after: pa.DataType
    common: pa.DataType | None


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What happened to the columns.

    Parameters
    ----------
    added, removed : tuple of pyarrow.Field
        Columns that only the later, or only the earlier version has.
    retyped : tuple of TypeChange
        Columns whose type changed.
    """

    added: tuple[pa.Field, ...] = ()
    removed: tuple[pa.Field, ...] = ()
    retyped: tuple[TypeChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.retyped)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which columns are compared, and which are only read.

    Parameters
    ----------
    difference : SchemaDifference
        Of all columns, compared or not.
    compared : pyarrow.Schema
        The columns whose values are compared, with the common types, in the order of the later version.
    before, after : pyarrow.Schema
        What is read of each version, in its own order: the compared columns with their common types, and those that
        it alone has.
    """

    difference: SchemaDifference
    compared: pa.Schema
    before: pa.Schema
    after: pa.Schema


def align(
    before: pa.Schema, after: pa.Schema, *, key: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Alignment:
    """Return how the columns of two versions match, by name.

    Without a key, only what is compared is read.

    Parameters
    ----------
    before, after : pyarrow.Schema
        The columns of both.
    key : sequence of str, optional
        Columns that must be comparable.
    columns : sequence of str, optional
        Compare these, and the key, only.

    Raises
    ------
    NotFoundError
        For a column of `key` or `columns` that one version does not have; the nearest is named.
    InvalidInputError
        For one whose values in both versions have no type in common, or if nothing is left to compare.

    Examples
    --------
    >>> old, new = pa.schema({"a": pa.int32(), "b": pa.string()}), pa.schema({"a": pa.int64(), "c": pa.string()})
    >>> found = align(old, new)
    >>> found.compared.names, [field.name for field in found.difference.added]
    (['a'], ['c'])
    """
    difference = _difference(before, after)
    without = {change.column for change in difference.retyped if change.common is None}
    asked = [*(key or ()), *(columns or ())]
    _check(asked, before=before, after=after, without=without)
    both = [name for name in after.names if name in before.names and name not in without]
    if columns is not None:
        both = [name for name in both if name in asked]
    if not both:
        raise InvalidInputError(
            "no column is in both versions with a type to compare its values as",
            hint=f"before: {', '.join(before.names)}; after: {', '.join(after.names)}",
        )
    compared = pa.schema([(name, common_type(before.field(name).type, after.field(name).type)) for name in both])
    return Alignment(
        difference=difference,
        compared=compared,
        before=_read(before, compared, alone=bool(key) and columns is None),
        after=_read(after, compared, alone=bool(key) and columns is None),
    )


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both exactly, None where there is none.

    Examples
    --------
    >>> common_type(pa.int32(), pa.float64()), common_type(pa.int64(), pa.float64())
    (DataType(double), None)
    """
    one, other = _short(one), _short(other)
    types = pa.types
    if one == other:
        return one
    if types.is_signed_integer(one) and types.is_signed_integer(other):
        return one if one.bit_width > other.bit_width else other
    if _is_number(one) and _is_number(other):
        return _common_number(one, other)
    if types.is_timestamp(one) and types.is_timestamp(other) and (one.tz is None) == (other.tz is None):
        return pa.timestamp("us", one.tz and "UTC")
    if {types.is_date32(one), types.is_date32(other)} == {True, False}:
        moment = other if types.is_date32(one) else one
        return moment if types.is_timestamp(moment) and moment.tz is None else None
    return _common_nested(one, other)


def _common_number(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the common type of two numbers that are not both integers."""
    integers = [kind for kind in (one, other) if pa.types.is_signed_integer(kind)]
    if pa.types.is_floating(one) or pa.types.is_floating(other):
        rest = [kind for kind in (one, other) if not pa.types.is_floating(kind)]
        fits = rest == integers and all(kind.bit_width <= _DOUBLE_BITS for kind in integers)
        return pa.float64() if fits else None
    (whole_one, scale_one), (whole_other, scale_other) = _digits(one), _digits(other)
    scale = max(scale_one, scale_other)
    digits = max(whole_one, whole_other) + scale
    return pa.decimal128(digits, scale) if digits <= _DECIMAL_DIGITS else None


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return how many digits a decimal or an integer has before and after the point."""
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return {8: 3, 16: 5, 32: 10, 64: 19}[kind.bit_width], 0


def _common_nested(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if pa.types.is_list(one) and pa.types.is_list(other):
        item = common_type(one.value_type, other.value_type)
        return None if item is None else pa.list_(item)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        names = [field.name for field in one]
        if names != [field.name for field in other]:
            return None
        kinds = [common_type(one.field(name).type, other.field(name).type) for name in names]
        return None if None in kinds else pa.struct(list(zip(names, kinds, strict=True)))
    return None


def _short(kind: pa.DataType) -> pa.DataType:
    """Return the type without large offsets and views, and lists and structs without what their parts are called."""
    if kind in (pa.large_string(), pa.string_view()):
        return pa.string()
    if kind in (pa.large_binary(), pa.binary_view()):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_short(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_short(kind.key_type), _short(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _short(field.type)) for field in kind])
    return kind


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_signed_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _difference(before: pa.Schema, after: pa.Schema) -> SchemaDifference:
    retyped = []
    for field in after:
        if field.name in before.names:
            old, new = before.field(field.name).type, field.type
            if _short(old) != _short(new):
                retyped.append(TypeChange(field.name, old, new, common_type(old, new)))
    return SchemaDifference(
        added=tuple(field for field in after if field.name not in before.names),
        removed=tuple(field for field in before if field.name not in after.names),
        retyped=tuple(retyped),
    )


def _check(asked: Sequence[str], *, before: pa.Schema, after: pa.Schema, without: set[str]) -> None:
    for name in asked:
        for which, schema in (("before", before), ("after", after)):
            if name not in schema.names:
                close = nearest(name, schema.names)
                raise NotFoundError(
                    f"the version {which} has no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
                    hint=f"its columns are {', '.join(schema.names)}",
                )
        if name in without:
            raise InvalidInputError(
                f"column {name!r} is {before.field(name).type} before and {after.field(name).type} after, "
                "and no type holds the values of both exactly"
            )


def _read(schema: pa.Schema, compared: pa.Schema, *, alone: bool) -> pa.Schema:
    fields = [compared.field(field.name) if field.name in compared.names else field for field in schema]
    return pa.schema([field for field in fields if alone or field.name in compared.names])
