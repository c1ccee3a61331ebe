"""What people type: a table with or without a version, and the columns of a new table."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from lakemark._base.errors import InvalidInputError, nearest

__all__ = ["TableName", "parse_columns", "parse_table"]

_TYPES = {
    "byte": pa.int8(),
    "short": pa.int16(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
_DECIMAL = re.compile(r"decimal\((\d+), *(\d+)\)")
_DECIMAL_DIGITS = 38


@dataclass(frozen=True, slots=True)
class TableName:
    """A table, and which version of it.

    Parameters
    ----------
    uri : str
        A path or a URI.
    version : int, optional
        From 0; None is the latest.
    """

    uri: str
    version: int | None = None


def parse_table(text: str) -> TableName:
    """Return the table that `TABLE` or `TABLE@VERSION` names.

    Raises
    ------
    InvalidInputError
        If no table is named.

    Examples
    --------
    >>> parse_table("lake/flights@3"), parse_table("s3://lake/a@b/flights")
    (TableName(uri='lake/flights', version=3), TableName(uri='s3://lake/a@b/flights', version=None))
    """
    uri, at, version = text.rpartition("@")
    if not (at and version.isdecimal()):
        uri, version = text, ""
    if not uri:
        raise InvalidInputError(f"{text!r} names no table", hint="write TABLE or TABLE@VERSION, for example flights@3")
    return TableName(uri, int(version) if version else None)


def parse_columns(text: str) -> pa.Schema:
    """Return the columns that `NAME:TYPE, ...` lists, with the types of Delta.

    Raises
    ------
    InvalidInputError
        For a type that is none; the nearest is named. For a name that is there twice or missing.

    Examples
    --------
    >>> parse_columns("day:date, amount:decimal(10,2)").names
    ['day', 'amount']
    """
    fields = []
    for part in re.split(r",(?![^(]*\))", text):
        name, colon, kind = (word.strip() for word in part.partition(":"))
        if not (name and colon):
            raise InvalidInputError(
                f"column {part.strip()!r} is not of the form NAME:TYPE", hint="for example day:date, amount:double"
            )
        fields.append(pa.field(name, _type(kind, name)))
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"column {twice[0]!r} is there twice")
    return pa.schema(fields)


def _type(text: str, column: str) -> pa.DataType:
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2])
        if not 1 <= precision <= _DECIMAL_DIGITS or scale > precision:
            raise InvalidInputError(f"column {column!r}: {text} has more digits than Delta's {_DECIMAL_DIGITS}")
        return pa.decimal128(precision, scale)
    if text not in _TYPES:
        close = nearest(text, _TYPES)
        raise InvalidInputError(
            f"column {column!r}: no type is named {text!r}" + (f", did you mean {close!r}?" if close else ""),
            hint=f"types are {', '.join(_TYPES)}, decimal(PRECISION,SCALE)",
        )
    return _TYPES[text]
