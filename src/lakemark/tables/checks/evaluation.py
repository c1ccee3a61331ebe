"""Checks as queries: what is at fault in rows that may be larger than memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.checks.results import CheckResult
from lakemark.tables.checks.rules import (
    Check,
    Freshness,
    InSet,
    NotNull,
    Range,
    Regex,
    RowCount,
    Scalar,
    SqlRule,
    Unique,
    describe,
)
from lakemark.tables.queries.engine import Engine, QueryError, duck_type
from lakemark.tables.queries.references import parse_query
from lakemark.tables.quoting import literal, quoted

__all__ = ["Rows", "check_columns", "evaluate", "is_on_rows"]

_TABLE = "{table}"
_SHOWN = 5
_LONGEST_ROW = 200


@dataclass(frozen=True, slots=True)
class Rows:
    """The views that checks are asked of.

    Parameters
    ----------
    all : str
        The view of the table as it is, or as it would be after the write.
    new : str
        The view of the rows that a write brings; the same as `all` where nothing is written.
    schema : pyarrow.Schema
        Of both.
    """

    all: str
    new: str
    schema: pa.Schema


def is_on_rows(check: Check) -> bool:
    """Return whether a check can be asked of each row alone."""
    return isinstance(check.rule, NotNull | Range | InSet | Regex)


def check_columns(checks: Sequence[Check], schema: pa.Schema) -> None:
    """Refuse checks that do not fit a table.

    Raises
    ------
    InvalidInputError
        For a column that is not there, the nearest is named; for a column of a type that the check cannot be asked of;
        for a query that reads more than `{table}`.
    """
    for check in checks:
        for name in check.columns():
            if name not in schema.names:
                close = nearest(name, schema.names)
                raise InvalidInputError(
                    f"check {check.name!r}: no column is named {name!r}"
                    + (f", did you mean {close!r}?" if close else ""),
                    hint=f"the columns are {', '.join(schema.names)}; "
                    f"lakemark tables drop-check TABLE {check.name} drops the check",
                )
            _check_type(check, schema.field(name))
        if isinstance(check.rule, SqlRule):
            _table_query(check, check.rule.query, "rows")


def evaluate(engine: Engine, checks: Sequence[Check], rows: Rows) -> list[CheckResult]:
    """Ask checks, in one pass over the rows for all that can be asked of each row alone.

    Parameters
    ----------
    engine : Engine
        Sealed, with the views.
    checks : sequence of Check
        They fit the schema (`check_columns`).
    rows : Rows
        The views.

    Returns
    -------
    list of CheckResult
        In the order of the checks.

    Raises
    ------
    InvalidInputError
        If a check cannot be computed: a bound that the column's type does not have, a wrong query.
    """
    single = {check.name: _condition(check, rows.schema) for check in checks if is_on_rows(check)}
    counts = _counts(engine, single, rows.new) if single else {}
    results = []
    for check in checks:
        try:
            if check.name in single:
                found = f"FROM {quoted(rows.new)} WHERE {single[check.name]}"
                results.append(_of_rows(engine, check, (counts[check.name], found)))
            else:
                results.append(_of_table(engine, check, rows))
        except QueryError as error:
            raise _unasked(f"check {check.name!r}", error) from error
    return results


def _counts(engine: Engine, conditions: Mapping[str, str], view: str) -> Mapping[str, int]:
    asked = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions.values())
    try:
        (row,) = engine.fetch(f"SELECT {asked} FROM {quoted(view)}")  # noqa: S608 -- every name is quoted
    except QueryError as error:
        one = next((name for name, condition in conditions.items() if not _can_ask(engine, condition, view)), None)
        raise _unasked("a check" if one is None else f"check {one!r}", error) from error
    return dict(zip(conditions, cast("tuple[int, ...]", row), strict=True))


def _of_rows(engine: Engine, check: Check, found: tuple[int, str]) -> CheckResult:
    """Return the result of a check that some rows break: how many, and the query `FROM .. WHERE` that finds them."""
    count, query = found
    samples = _samples(engine, query) if count else ()
    told = describe(check.rule)
    detail = told if not count else f"{_number(count)} at fault, wanted: {told}"
    return CheckResult(check.name, check.rule.kind, check.severity, count == 0, count, detail, samples)


def _of_table(engine: Engine, check: Check, rows: Rows) -> CheckResult:
    rule = check.rule
    if isinstance(rule, Unique):
        query = _repeated(rule, rows)
        ((count,),) = engine.fetch(f"SELECT coalesce(sum(copies), 0)::BIGINT FROM ({query})")  # noqa: S608 -- quoted
        return _of_rows(engine, check, (cast("int", count), f"FROM ({query})"))
    if isinstance(rule, SqlRule):
        query = _table_query(check, rule.query, rows.all)
        engine.check(query)
        ((count,),) = engine.fetch(f"SELECT count(*) FROM ({query})")  # noqa: S608 -- it only reads, that was checked
        return _of_rows(engine, check, (cast("int", count), f"FROM ({query})"))
    if isinstance(rule, RowCount):
        ((count,),) = engine.fetch(f"SELECT count(*) FROM {quoted(rows.all)}")  # noqa: S608 -- quoted
        number = cast("int", count)
        passed = (rule.min is None or number >= rule.min) and (rule.max is None or number <= rule.max)
        detail = f"{_number(number)}, wanted: {describe(rule)}"
        return CheckResult(check.name, rule.kind, check.severity, passed, None, detail)
    fresh = cast("Freshness", rule)
    newest = f"max(CAST({quoted(fresh.column)} AS TIMESTAMP WITH TIME ZONE))"
    ((moment, text),) = engine.fetch(
        f"SELECT epoch_ms({newest}), CAST({newest} AS VARCHAR) FROM {quoted(rows.all)}"  # noqa: S608 -- quoted
    )
    age = None if moment is None else (now_ms() - cast("int", moment)) / 1000
    detail = "no value at all" if age is None else f"the newest is {text}, {max(age, 0):.0f} s old"
    passed = age is not None and age <= fresh.max_age
    return CheckResult(check.name, rule.kind, check.severity, passed, None, f"{detail}, wanted: {describe(rule)}")


def _condition(check: Check, schema: pa.Schema) -> str:
    """Return what holds for a row at fault."""
    rule = check.rule
    if isinstance(rule, NotNull):
        return f"{quoted(rule.column)} IS NULL"
    if isinstance(rule, Regex):
        return f"NOT regexp_full_match({quoted(rule.column)}, {literal(rule.pattern)})"
    wanted = cast("Range | InSet", rule)
    name, kind = quoted(wanted.column), schema.field(wanted.column).type
    if isinstance(wanted, InSet):
        return f"{name} NOT IN ({', '.join(_constant(value, kind) for value in wanted.values)})"
    parts = []
    if wanted.min is not None:
        parts.append(f"{name} < {_constant(wanted.min, kind)}")
    if wanted.max is not None:
        parts.append(f"{name} > {_constant(wanted.max, kind)}")
    if pa.types.is_floating(kind):
        parts.append(f"isnan({name})")
    return f"({' OR '.join(parts)})"


def _constant(value: Scalar, kind: pa.DataType) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, float) and (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return f"CAST({literal(text)} AS DOUBLE)"  # 0.5 is a sound bound for whole numbers, and must not be rounded
    return f"CAST({literal(text)} AS {duck_type(kind)})"


def _repeated(rule: Unique, rows: Rows) -> str:
    """Return the query for keys that are there more than once; of a write only those that it brings."""
    keys = ", ".join(quoted(name) for name in rule.columns)
    known = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in rule.columns)
    if rows.all != rows.new:
        same = " AND ".join(f"a.{quoted(name)} = b.{quoted(name)}" for name in rule.columns)
        known += f" AND EXISTS (FROM {quoted(rows.new)} AS b WHERE {same})"
    found = f"FROM {quoted(rows.all)} AS a WHERE {known}"
    return f"SELECT {keys}, count(*) AS copies {found} GROUP BY {keys} HAVING count(*) > 1"


def _table_query(check: Check, query: str, view: str) -> str:
    try:
        parsed = parse_query(query.replace(_TABLE, quoted(_TABLE)).rstrip().rstrip(";"))
    except InvalidInputError as error:
        raise InvalidInputError(f"check {check.name!r}: {error.message}", hint=error.hint) from error
    foreign = next((one.name for one in parsed.references if one.name != _TABLE), None)
    if foreign is not None or not parsed.references:
        told = "reads no table" if foreign is None else f"reads {foreign}"
        raise InvalidInputError(
            f"check {check.name!r}: its query {told}, it must read {_TABLE} and nothing else",
            hint="for example SELECT * FROM {table} WHERE price < cost",
        )
    return parsed.rewritten([view] * len(parsed.references)).text


def _check_type(check: Check, field: pa.Field) -> None:
    kind = field.type
    if isinstance(check.rule, Regex) and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InvalidInputError(f"check {check.name!r}: {field.name} is {kind}, a pattern needs text")
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if isinstance(check.rule, Freshness) and not is_time:
        raise InvalidInputError(f"check {check.name!r}: {field.name} is {kind}, freshness needs a time or a date")
    if pa.types.is_nested(kind) and isinstance(check.rule, Range | InSet):
        raise InvalidInputError(f"check {check.name!r}: {field.name} is {kind}, it has no order")


def _samples(engine: Engine, query: str) -> tuple[str, ...]:
    found = engine.table(f"{query} LIMIT {_SHOWN}")
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)  # a query may have a name twice
    return tuple(_line(found.column_names, row) for row in rows)


def _number(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _line(names: Sequence[str], row: Sequence[object]) -> str:
    # repr of text writes out what could move a terminal's cursor
    values = [repr(value) if isinstance(value, str) else str(value) for value in row]
    text = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    return text if len(text) <= _LONGEST_ROW else text[: _LONGEST_ROW - 1] + "…"


def _can_ask(engine: Engine, condition: str, view: str) -> bool:
    try:
        engine.fetch(f"SELECT count(*) FILTER (WHERE {condition}) FROM {quoted(view)}")  # noqa: S608 -- names are quoted
    except QueryError:
        return False
    return True


def _unasked(which: str, error: QueryError) -> InvalidInputError:
    first = error.message.splitlines()[0] if error.message else "DuckDB refuses it"
    return InvalidInputError(
        f"{which} cannot be asked: {first}",
        hint="its bounds, values or pattern must suit the type of its column: lakemark tables schema TABLE lists them",
    )
