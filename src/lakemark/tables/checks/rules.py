"""The kinds of checks, and the JSON that declares them with a table.

Format, the value of the table's property `lakemark.checks`::

    {"format": "lakemark.checks/1", "checks": [
        {"name", "severity": "error" | "warning", "kind": "not_null", "column"},
        {.., "kind": "unique", "columns": [..]},
        {.., "kind": "range", "column", "min": 0, "max": "100.5"},       at least one; text for times and decimals
        {.., "kind": "in_set", "column", "values": [..]},
        {.., "kind": "regex", "column", "pattern"},                      of the whole value, in the syntax of RE2
        {.., "kind": "row_count", "min": 1, "max": 1000},                at least one
        {.., "kind": "freshness", "column", "max_age": 86400},           seconds
        {.., "kind": "sql", "query"}]}                                   returns the rows at fault; reads {table}

A null is at fault for `not_null` only. NaN is outside of every range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar, TypeAlias, cast

from lakemark._base.canonical import Json
from lakemark._base.errors import InvalidInputError, nearest

__all__ = [
    "FORMAT",
    "PROPERTY",
    "Check",
    "Freshness",
    "InSet",
    "NotNull",
    "Range",
    "Regex",
    "RowCount",
    "Rule",
    "Scalar",
    "Severity",
    "SqlRule",
    "Unique",
    "describe",
    "parse_check",
    "parse_checks",
    "write_checks",
]

FORMAT = "lakemark.checks/1"
PROPERTY = "lakemark.checks"
"""The property of a table that declares its checks."""

Scalar: TypeAlias = str | int | float | bool
"""A value to compare with; text is cast to the column's type."""

_LONGEST_NAME = 250


class Severity(StrEnum):
    """What a check that fails does to a write."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class NotNull:
    """No value of `column` is null."""

    kind: ClassVar[str] = "not_null"
    column: str


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows have the same values in `columns`; rows with a null there are not compared, as in SQL."""

    kind: ClassVar[str] = "unique"
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Values of `column` lie between `min` and `max`, both included; one of them may be None."""

    kind: ClassVar[str] = "range"
    column: str
    min: Scalar | None = None
    max: Scalar | None = None


@dataclass(frozen=True, slots=True)
class InSet:
    """Values of `column` are among `values`."""

    kind: ClassVar[str] = "in_set"
    column: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """The whole of each value of `column` matches `pattern`, in the syntax of RE2."""

    kind: ClassVar[str] = "regex"
    column: str
    pattern: str


@dataclass(frozen=True, slots=True)
class RowCount:
    """The table has between `min` and `max` rows, both included; one of them may be None."""

    kind: ClassVar[str] = "row_count"
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """The largest value of `column`, a time or a date, is at most `max_age` seconds old."""

    kind: ClassVar[str] = "freshness"
    column: str
    max_age: int


@dataclass(frozen=True, slots=True)
class SqlRule:
    """A query that reads `{table}` returns no row; those that it returns are at fault."""

    kind: ClassVar[str] = "sql"
    query: str


Rule: TypeAlias = NotNull | Unique | Range | InSet | Regex | RowCount | Freshness | SqlRule

_RULES: Mapping[str, type[Rule]] = {
    rule.kind: rule for rule in (NotNull, Unique, Range, InSet, Regex, RowCount, Freshness, SqlRule)
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a table.

    Parameters
    ----------
    name : str
        Unique among the table's checks.
    rule : Rule
        What must hold.
    severity : Severity, default ERROR
        Whether rows that break it are refused, or written and flagged.
    """

    name: str
    rule: Rule
    severity: Severity = Severity.ERROR

    def columns(self) -> tuple[str, ...]:
        """Return the columns that the rule names."""
        if isinstance(self.rule, Unique):
            return self.rule.columns
        return () if isinstance(self.rule, RowCount | SqlRule) else (self.rule.column,)

    def document(self) -> dict[str, Json]:
        """Return the check as JSON has it."""
        told = {field.name: getattr(self.rule, field.name) for field in fields(self.rule)}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
        return {
            "name": self.name,
            "severity": str(self.severity),
            "kind": self.rule.kind,
            **{name: cast("Json", value) for name, value in values.items() if value is not None},
        }


def describe(rule: Rule) -> str:
    """Return a rule in words.

    Examples
    --------
    >>> describe(Range("price", min=0))
    'price at least 0'
    """
    match rule:
        case NotNull(column):
            told = f"{column} is not null"
        case Unique(columns):
            told = f"{', '.join(columns)} unique"
        case Range(column, low, high):
            told = f"{column} {_between(low, high)}"
        case InSet(column, values):
            told = f"{column} one of {', '.join(map(str, values))}"
        case Regex(column, pattern):
            told = f"{column} matches {pattern}"
        case RowCount(least, most):
            told = f"rows {_between(least, most)}"
        case Freshness(column, age):
            told = f"{column} at most {age} s old"
        case SqlRule(query):
            told = f"no row from {' '.join(query.split())}"
    return told


def parse_checks(text: str) -> tuple[Check, ...]:
    """Return the checks that a table declares.

    Parameters
    ----------
    text : str
        JSON in the format `lakemark.checks/1`.

    Raises
    ------
    InvalidInputError
        For what is not of that format, with the check and the nearest of what is allowed.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"the table's checks are no JSON: {error}") from error
    form = document.get("format") if isinstance(document, dict) else None
    if form != FORMAT:
        raise InvalidInputError(f"the table's checks are of format {form!r}, this version reads {FORMAT}")
    listed = document.get("checks")
    if not isinstance(listed, list):
        raise InvalidInputError("the table's checks are no list")
    checks = tuple(parse_check(item) for item in listed)
    names = [check.name for check in checks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"two checks are named {twice!r}")
    return checks


def write_checks(checks: Sequence[Check]) -> str:
    """Return checks as the property's value."""
    return json.dumps({"format": FORMAT, "checks": [check.document() for check in checks]}, ensure_ascii=False)


def parse_check(document: object) -> Check:
    """Return one check from JSON.

    Raises
    ------
    InvalidInputError
        For an unknown kind, severity or field, the nearest is named; for a missing field or a value of a wrong type.
    """
    if not isinstance(document, Mapping):
        raise InvalidInputError(f"a check is an object with name and kind, not {document!r}")
    given = dict(cast("Mapping[str, object]", document))
    name, kind, severity = given.pop("name", None), given.pop("kind", None), given.pop("severity", "error")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidInputError(f"the name of a check is text of 1 to {_LONGEST_NAME} letters, not {name!r}")
    _one_of(kind, _RULES, f"check {name!r}: no kind")
    _one_of(severity, [str(one) for one in Severity], f"check {name!r}: no severity")
    rule = _RULES[str(kind)]
    known = [field.name for field in fields(rule)]
    for field in given:
        _one_of(field, known, f"check {name!r} of kind {kind}: no field")
    values = {field: _value(name, field, value) for field, value in given.items() if value is not None}
    try:
        made = rule(**values)  # type: ignore[arg-type]  # each value was checked by its field's name
    except TypeError:
        missing = [field for field in known if field not in values and field not in {"min", "max"}]
        raise InvalidInputError(f"check {name!r} of kind {kind} needs {', '.join(missing)}") from None
    _check_bounds(name, made)
    return Check(name, made, Severity(str(severity)))


def _one_of(word: object, allowed: Sequence[str] | Mapping[str, object], start: str) -> None:
    if word not in allowed:
        close = nearest(str(word), allowed)
        told = f", did you mean {close!r}?" if close else ""
        raise InvalidInputError(f"{start} is named {word!r}{told}", hint=f"there are {', '.join(allowed)}")


def _value(name: str, field: str, value: object) -> object:
    """Return the value of a field, with lists as tuples."""
    fits: Mapping[str, tuple[type, ...]] = {
        "column": (str,),
        "pattern": (str,),
        "query": (str,),
        "max_age": (int,),
        "min": (str, int, float),
        "max": (str, int, float),
    }
    if field in {"columns", "values"}:
        wanted: tuple[type, ...] = (str,) if field == "columns" else (str, int, float, bool)
        is_list = isinstance(value, list | tuple)
        if not is_list or not value or not all(isinstance(item, wanted) for item in cast("Sequence[object]", value)):
            raise InvalidInputError(f"check {name!r}: {field} is a list of at least one value, not {value!r}")
        return tuple(cast("Sequence[object]", value))
    if not isinstance(value, fits[field]) or isinstance(value, bool):
        told = " or ".join({str: "text", int: "a whole number", float: "a number"}[kind] for kind in fits[field])
        raise InvalidInputError(f"check {name!r}: {field} is {told}, not {value!r}")
    return value


def _check_bounds(name: str, rule: Rule) -> None:
    if isinstance(rule, Freshness) and rule.max_age <= 0:
        raise InvalidInputError(f"check {name!r}: max_age is {rule.max_age} s, it must be more than 0")
    if not isinstance(rule, Range | RowCount):
        return
    if rule.min is None and rule.max is None:
        raise InvalidInputError(f"check {name!r} of kind {rule.kind} needs min, max or both")
    if isinstance(rule, RowCount) and not all(isinstance(one, int) for one in (rule.min, rule.max) if one is not None):
        raise InvalidInputError(f"check {name!r}: min and max of rows are whole numbers")
    is_number = isinstance(rule.min, int | float) and isinstance(rule.max, int | float)
    if is_number and cast("float", rule.min) > cast("float", rule.max):
        raise InvalidInputError(f"check {name!r}: min {rule.min} is above max {rule.max}")


def _between(low: Scalar | None, high: Scalar | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"
