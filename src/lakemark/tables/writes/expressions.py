"""SQL expressions over the rows of a table: checked before they change anything.

The dialect is that of DataFusion, by which `deltalake` computes them: names in double quotes, text in single ones.
An update by `deltalake` alone writes 5.7 into an integer column as 5, 1e300 into a float32 as infinity, and lets a
product wrap around at 2**63; here such values are an error that shows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.log.manifest import location
from lakemark.tables.quoting import quoted
from lakemark.tables.writes.casts import StrictStream, always_fits, is_hard_to_partition

__all__ = [
    "cast_to",
    "check_assignments",
    "check_predicate",
    "count_rows",
    "exact",
    "exact_predicate",
    "expression_type",
    "is_true_for",
    "select",
]

_ACTUAL = "__lakemark_value"
_MEETS = "__lakemark_meets"
_WRAPPED = 2.0**62
_SHORT = ("an integer shorter than int64", "BIGINT", "cast(... as bigint)")
_LONG = ("int64", "DOUBLE", "cast(... as decimal(38, 0)) or double")
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
    | (?P<fraction>(?<![\w.])(?:\d+\.\d*|\.\d+|\d+(?=[eE][+-]?\d))(?:[eE][+-]?\d+)?(?![\w.]))""",
    re.DOTALL | re.VERBOSE,
)
_EQUALITY = re.compile(r"""\s*("?)\w+\1\s*=\s*(?:'(?:[^']|'')*'|-?\d+)\s*""")
_VOLATILE = re.compile(r"\b(random|uuid)\s*\(", re.IGNORECASE)
_SQL_TYPES = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double",
    pa.string(): "varchar",
    pa.date32(): "date",
    pa.bool_(): "boolean",
}


def select(table: DeltaTable, expressions: Sequence[str], *, where: str | None = None) -> pa.RecordBatchReader:
    """Return expressions over the rows of the version that `table` has open, as a stream in no order.

    Parameters
    ----------
    table : DeltaTable
        In the expressions it is called `target`.
    expressions : sequence of str
        What follows SELECT.
    where : str, optional
        Of which rows; without it all.

    Raises
    ------
    InvalidInputError
        For what is no SQL, or names a column that is not there.
    """
    with translated(location(table.table_uri)):
        return _run(_over(table), f"SELECT {', '.join(expressions)} FROM {_rows(table, where)}")  # noqa: S608  # user's own


def count_rows(table: DeltaTable, where: str | None = None) -> int:
    """Return how many rows a predicate is true for; without one, all."""
    with translated(location(table.table_uri)):
        return int(select(table, ["count(*)"], where=where).read_all().column(0)[0].as_py())


def check_predicate(table: DeltaTable, where: str, *, name: str = "where") -> None:
    """Raise unless an expression is a condition on the rows of a table.

    Raises
    ------
    InvalidInputError
        For what is no SQL, names a column that is not there, or is neither true nor false.
    """
    kind = select(table, [f"(\n{where}\n)"]).schema.field(0).type
    if not (pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise InvalidInputError(
            f"{name}: {where} is of type {kind}, and a condition is true or false", hint="compare it with something"
        )


def exact(expression: str) -> str:
    """Return an expression that `deltalake` computes as SQL says.

    It rounds a constant to the type of the column that it is compared with, so that `id = 2.5` is true for 2. It leaves
    alone what has to be computed first.

    Examples
    --------
    >>> exact("id < 2.5 and name <> '2.5'")
    "id < (2.5 + 0) and name <> '2.5'"
    """
    return _TOKEN.sub(lambda found: f"({found[0]} + 0)" if found["fraction"] else found[0], expression)


def exact_predicate(table: DeltaTable, where: str) -> str:
    """Return a condition that `deltalake` finds the same rows by as SQL does.

    Where a condition speaks of nothing but columns that the table is partitioned by, `deltalake` asks it of the names
    of folders, and takes every file for one that meets it as soon as it is more than a comparison. One that also speaks
    of another column is asked of the rows.
    """
    also = _of_rows(table, where)
    return exact(where) if also is None else f"(\n{exact(where)}\n) AND {also}"


def _of_rows(table: DeltaTable, where: str) -> str | None:
    """Return what is true for every row and no folder, if a condition is more than a comparison on folders."""
    metadata, schema = table.metadata(), pa.schema(table.schema().to_arrow())
    partitions = metadata.partition_columns
    if not partitions or _EQUALITY.fullmatch(where) is not None:
        return None
    try:
        expression_type(pa.schema([schema.field(name) for name in partitions]), where, name="where")
    except InvalidInputError:
        return None  # it speaks of other columns too, or is none
    other = quoted(next(name for name in schema.names if name not in partitions))
    return f"({other} IS NULL OR {other} IS NOT NULL)"


def expression_type(schema: pa.Schema, expression: str, *, name: str) -> pa.DataType:
    """Return the type that an expression over such columns has.

    Parameters
    ----------
    schema : pyarrow.Schema
        The columns; nested ones cannot be used.
    expression : str
        SQL.
    name : str
        What is computed, for the messages.

    Examples
    --------
    >>> expression_type(pa.schema([("ts", pa.timestamp("us"))]), "cast(ts as date)", name="day")
    DataType(date32[day])
    """
    columns = ", ".join(f"{_cast(None, field.type)} AS {quoted(field.name)}" for field in schema if _is_flat(field))
    query = f"SELECT (\n{expression}\n) FROM (SELECT {columns}) AS target"  # noqa: S608  # the user's own table
    with translated(name):
        return _run(QueryBuilder(), query).schema.field(0).type


def is_true_for(expression: str, row: Mapping[str, str], schema: pa.Schema) -> bool | None:
    """Return what a condition says of a row whose values are given as text; None where it cannot be told.

    Parameters
    ----------
    expression : str
        SQL.
    row : mapping of str to str
        Values; an empty text is a null.
    schema : pyarrow.Schema
        What the values are.
    """
    columns = ", ".join(
        f"{_cast(row[field.name], field.type)} AS {quoted(field.name)}"
        for field in schema
        if field.name in row and _is_flat(field)
    )
    query = f"SELECT coalesce((\n{expression}\n), false) FROM (SELECT {columns}) AS target"  # noqa: S608
    try:
        return bool(_run(QueryBuilder(), query).read_all().column(0)[0].as_py())
    except (DeltaError, pa.ArrowException):
        return None  # it speaks of a column that cannot be read back from text


def cast_to(expression: str, field: pa.Field) -> str:
    """Return an expression with the type of a column; one of a nested column as it is.

    Examples
    --------
    >>> print(cast_to("1 + 1", pa.field("x", pa.int32())).replace(chr(10), ""))
    arrow_cast((1 + 1), 'Int32')
    """
    return f"arrow_cast((\n{expression}\n), '{_datafusion_type(field.type)}')" if _is_flat(field) else expression


def _is_flat(field: pa.Field) -> bool:
    return not pa.types.is_nested(field.type)


def _cast(text: str | None, kind: pa.DataType) -> str:
    literal = "'" + text.replace("'", "''") + "'" if text else "NULL"
    return f"arrow_cast({literal}, '{_datafusion_type(kind)}')"


def _datafusion_type(kind: pa.DataType) -> str:
    """Return a type as DataFusion's `arrow_cast` names it."""
    types = pa.types
    if types.is_decimal(kind):
        return f"Decimal128({kind.precision}, {kind.scale})"
    if types.is_timestamp(kind):
        return 'Timestamp(Microsecond, Some("UTC"))' if kind.tz else "Timestamp(Microsecond, None)"
    names = {
        pa.string(): "Utf8",
        pa.bool_(): "Boolean",
        pa.date32(): "Date32",
        pa.binary(): "Binary",
        pa.float32(): "Float32",
        pa.float64(): "Float64",
    }
    return names.get(kind) or str(kind).capitalize()


def check_assignments(table: DeltaTable, assignments: Mapping[str, str], *, where: str | None) -> None:
    """Raise if an update would write anything else than what its expressions say.

    Parameters
    ----------
    table : DeltaTable
        Opened at the version that will be updated.
    assignments : mapping of str to str
        Columns and the expressions of their new values.
    where : str, optional
        Which rows are updated.

    Raises
    ------
    InvalidInputError
        For unknown columns, and values that the column does not hold exactly; up to five are shown.

    Notes
    -----
    Expressions whose type fits whatever the value cost nothing; the others, and sums of integers, one scan of the rows
    that are updated.
    """
    schema = pa.schema(table.schema().to_arrow())
    for name in assignments:
        _check_name(name, schema, location(table.table_uri))
    partitions = table.metadata().partition_columns
    for name, expression in assignments.items():
        field = schema.field(name)
        try:
            reader = select(table, [f"(\n{expression}\n) AS {quoted(name)}"], where=where)
            found = reader.schema.field(0).type
            sure = field.nullable and always_fits(found, field.type)
            if not sure or (name in partitions and is_hard_to_partition(field.type)):
                wanted = field.with_type(pa.timestamp("us")) if _is_utc(found, field.type) else field
                for _ in StrictStream(reader, pa.schema([wanted]), partitions=partitions).batches():
                    pass
            _check_wrapping(table, expression, found, where=where)
        except InvalidInputError as error:
            message = error.message.partition("\n")[0]
            hint = _cast_hint(expression, field.type) if "rows" in error.context else error.hint
            hint = "give such rows another value" if "may not hold nulls" in message else hint
            raise InvalidInputError(f"{name} = {expression}: {message}", hint=hint) from error
        except pa.ArrowException:
            with translated(f"{name} = {expression}"):
                raise


def _is_utc(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Return True for what `now()` and casts to timestamp give: in DataFusion, those of UTC name no zone."""
    return bool(
        pa.types.is_timestamp(found) and found.tz is None and pa.types.is_timestamp(wanted) and wanted.tz is not None
    )


def _cast_hint(expression: str, kind: pa.DataType) -> str:
    """Return how to write the cast that is meant."""
    if pa.types.is_timestamp(kind):
        zone = " with time zone" if kind.tz else ""
        call = f"date_trunc('microsecond', cast({expression} as timestamp{zone}))"
    elif pa.types.is_decimal(kind):
        call = f"cast({expression} as decimal({kind.precision}, {kind.scale}))"
    else:
        call = f"cast({expression} as {_SQL_TYPES.get(kind, 'int')})"
    return f"write {call}, so that any loss is your decision"


def _check_wrapping(table: DeltaTable, expression: str, found: pa.DataType, *, where: str | None) -> None:
    """Raise where integer arithmetic wrapped around.

    Of int64, the same with floats comes out far away; of shorter integers, the same with int64 comes out otherwise.
    """
    fields = pa.schema(table.schema().to_arrow())
    integers = {field.name for field in fields if pa.types.is_integer(field.type)}
    short = {name for name in integers if fields.field(name).type != pa.int64()}
    asked = []
    if short and _VOLATILE.search(expression) is None:
        asked.append((_SHORT, short, f"{_ACTUAL} IS DISTINCT FROM (\n{expression}\n)"))
    if integers and pa.types.is_integer(found):
        asked.append((_LONG, integers, f"abs(CAST({_ACTUAL} AS DOUBLE) - (\n{expression}\n)) > {_WRAPPED}"))
    for (held, kind, wider), names, differs in asked:
        inner = [f"(\n{expression}\n) AS {_ACTUAL}"] + [
            f"CAST(target.{quoted(field.name)} AS {kind}) AS {quoted(field.name)}"
            if field.name in names
            else f"target.{quoted(field.name)}"
            for field in fields
        ]
        query = (
            f"SELECT {_ACTUAL} FROM (SELECT {', '.join(inner)} FROM {_rows(table, where)}) AS target "  # noqa: S608
            f"WHERE {differs} LIMIT 1"
        )
        try:
            wrapped = _run(_over(table), query).read_all()
        except (DeltaError, pa.ArrowException):
            continue  # it is no arithmetic: functions that take only integers, say
        if wrapped.num_rows:
            raise InvalidInputError(
                f"the result is beyond what {held} holds, and would be stored as {wrapped.column(0)[0].as_py()}",
                hint=f"compute with {wider}",
            )


def _check_name(name: str, schema: pa.Schema, uri: str) -> None:
    if name not in schema.names:
        close = nearest(name, schema.names)
        raise InvalidInputError(
            f"{uri} has no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
            hint=f"its columns are {', '.join(schema.names)}",
        )


def _rows(table: DeltaTable, where: str | None) -> str:
    """Return the FROM of a query over the rows that a condition is true for.

    The condition is on lines of its own, so that a comment ends. One that is only of partitions is computed for the
    rows and never pushed into the scan, where it would be asked of folders.
    """
    if where is None:
        return "target"
    if _of_rows(table, where) is None:
        return f"target WHERE (\n{where}\n)"
    return f"(SELECT *, (\n{where}\n) AS {_MEETS} FROM target LIMIT {2**63 - 1}) AS target WHERE {_MEETS}"  # noqa: S608


def _over(table: DeltaTable) -> QueryBuilder:
    return QueryBuilder().register("target", table)


def _run(engine: QueryBuilder, query: str) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_stream(engine.execute(query))
