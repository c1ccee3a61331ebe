"""What people type: a table with or without a version, and the columns of a new table."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from lakemark._base.errors import InvalidInputError, nearest

__all__ = [
    "DEFAULT_CATALOG",
    "DEFAULT_SCHEMA",
    "TableKey",
    "TableRef",
    "brief",
    "dotted",
    "parse_columns",
    "parse_name",
    "parse_table",
]

TableKey: TypeAlias = tuple[str, str, str]
"""Catalog, schema and table."""

DEFAULT_CATALOG = "main"
DEFAULT_SCHEMA = "default"

_PLAIN = re.compile(r"\w(?:[\w-]*\w)?")
_PART = rf"`\w(?:[\w. -]*\w)?`|{_PLAIN.pattern}"
_PARTS = re.compile(_PART)
_NAME = re.compile(rf"(?:{_PART})(?:\.(?:{_PART})){{0,2}}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[0-9]+")
_LONGEST = 200  # a part is the name of a folder too, and file systems take 255 bytes
_ALLOWED = (
    "write TABLE, SCHEMA.TABLE or CATALOG.SCHEMA.TABLE with letters, digits, _ and - inside "
    "(`two words` in backticks), or ./FOLDER for a folder; @VERSION or @TAG may follow"
)

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
_ALIASES = {  # of SQL, and those that `lakemark tables schema` prints
    "tinyint": "byte",
    "smallint": "short",
    "int": "integer",
    "bigint": "long",
    "int8": "byte",
    "int16": "short",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
    "bool": "boolean",
    "text": "string",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp",
    "timestamp[us]": "timestamp_ntz",
}
_DECIMAL = re.compile(r"decimal(?:128)?\((\d+), *(\d+)\)")
_DECIMAL_DIGITS = 38


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table as it was typed, and which version of it.

    Parameters
    ----------
    text : str
        What was typed.
    uri : str or None
        The path or URI, where it can be nothing else.
    name : tuple of (str, str, str) or None
        Catalog, schema and table, where it can be a name; a folder may be called so too.
    at : int or str or None
        The version from 0, or a tag; None is the latest.
    """

    text: str
    uri: str | None
    name: TableKey | None
    at: int | str | None

    @property
    def place(self) -> str:
        """What was typed, without version or tag."""
        return _split(self.text)[0]

    @property
    def full_name(self) -> str | None:
        """The name in full, `catalog.schema.table`, where it can be a name."""
        return None if self.name is None else dotted(self.name)


def parse_table(text: str) -> TableRef:
    """Return the table that `TABLE`, `TABLE@VERSION` or `TABLE@TAG` names.

    A path or URI has a slash or a backslash, or starts with `.` or `~`. All else is a name of one to three parts: the
    catalog is `main` and the schema `default` where they are not said. Names ignore case.

    Raises
    ------
    InvalidInputError
        If it can be neither.

    Examples
    --------
    >>> parse_table("sales.Orders@12")
    TableRef(text='sales.Orders@12', uri=None, name=('main', 'sales', 'orders'), at=12)
    >>> parse_table("lake/flights@q3"), parse_table("s3://lake/a@b/flights")  # doctest: +NORMALIZE_WHITESPACE
    (TableRef(text='lake/flights@q3', uri='lake/flights', name=None, at='q3'),
     TableRef(text='s3://lake/a@b/flights', uri='s3://lake/a@b/flights', name=None, at=None))
    """
    place, at = _split(text)
    if not place or place.startswith("@"):
        raise InvalidInputError(f"{text!r} names no table", hint=_ALLOWED)
    if _is_path(place):
        return TableRef(text, place, None, at)
    return TableRef(text, None, parse_name(place), at)


def parse_name(text: str) -> TableKey:
    """Return catalog, schema and table that a name of one to three parts says, in small letters.

    Raises
    ------
    InvalidInputError
        If it is no name; what is allowed is said.

    Examples
    --------
    >>> parse_name("orders"), parse_name("eu.`Big Sales`.orders")
    (('main', 'default', 'orders'), ('eu', 'big sales', 'orders'))
    """
    text = unicodedata.normalize("NFC", text).lower()  # before the look: some small letters are two signs
    if _NAME.fullmatch(text) is None:
        raise InvalidInputError(f"{text!r} is no name of a table: {_wrong(text)}", hint=_ALLOWED)
    parts = [part.strip("`") for part in _PARTS.findall(text)]
    for part in parts:
        if len(part.encode()) > _LONGEST:
            raise InvalidInputError(f"{part[:20] + '…'!r} is longer than {_LONGEST} bytes", hint=_ALLOWED)
    catalog, schema, table = [DEFAULT_CATALOG, DEFAULT_SCHEMA][: max(0, 3 - len(parts))] + parts
    return catalog, schema, table


def dotted(name: TableKey) -> str:
    """Return a name in full, as `parse_name` reads it.

    Examples
    --------
    >>> dotted(("main", "sales", "orders")), dotted(("main", "big sales", "orders"))
    ('main.sales.orders', 'main.`big sales`.orders')
    """
    return ".".join(part if _PLAIN.fullmatch(part) else f"`{part}`" for part in name)


def brief(name: TableKey) -> str:
    """Return the shortest text that `parse_name` reads as this name.

    Examples
    --------
    >>> brief(("main", "default", "orders")), brief(("main", "sales", "orders"))
    ('orders', 'sales.orders')
    """
    catalog, schema, _ = name
    if catalog != DEFAULT_CATALOG:
        return dotted(name)
    return dotted(name).split(".", 1 if schema != DEFAULT_SCHEMA else 2)[-1]


def _split(text: str) -> tuple[str, int | str | None]:
    """Return the table, and its version or tag; an `@` before the last slash, as in `s3://me@lake/a`, is no such."""
    place, _, at = text.rpartition("@")
    if not place or _TAG.fullmatch(at) is None or ("://" in place and "/" not in place.partition("://")[2]):
        return text, None
    return place, int(at) if _VERSION.fullmatch(at) else at


def _is_path(place: str) -> bool:
    return "/" in place or "\\" in place or place.startswith((".", "~"))


def _wrong(text: str) -> str:
    parts = _PARTS.findall(text)
    if ".".join(parts) == text:
        return f"it has {len(parts)} parts"
    if "@" in text:
        return "what follows the @ is neither a version nor a tag"
    strange = sorted({letter for letter in text if not (letter.isalnum() or letter in "_-.`")})
    return f"it has {', '.join(map(repr, strange))} in it" if strange else "a part is empty or starts or ends wrongly"


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
    for part in re.split(r",(?![^(]*\))(?![^\[]*\])", text):
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
    text = _ALIASES.get(text, text)
    if text not in _TYPES:
        close = nearest(text, _TYPES)
        raise InvalidInputError(
            f"column {column!r}: no type is named {text!r}" + (f", did you mean {close!r}?" if close else ""),
            hint=f"types are {', '.join(_TYPES)}, decimal(PRECISION,SCALE)",
        )
    return _TYPES[text]
