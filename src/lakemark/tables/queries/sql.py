"""SQL over tables at their versions: `SELECT` in DuckDB's dialect, on rows that may be larger than memory.

A query names tables as everywhere, `sales.orders` or a folder in quotes, and a version with `VERSION AS OF 12`,
`VERSION AS OF 'tag'` or `TIMESTAMP AS OF '2024-06-01T00:00:00Z'` behind the name. Each table is opened once, so that a
query sees one version of it however often it names it, and the result says which. Only reading is allowed: no other
statement, no file besides those of the tables, no variable of the program, no setting.

Notes
-----
With several threads the sum of a column of floats differs in its last digits from run to run, in every engine. Inside
a recorded run a query therefore takes one thread, which gives the same sum each time; outside it takes all cores.
`threads` overrides both. Rows come in the order of `ORDER BY`, and without one in the order of the files where the
query only filters; groups come in no order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError, nearest
from lakemark._base.writer import current_writer
from lakemark.tables.queries.engine import Engine, QueryError
from lakemark.tables.queries.references import Query, Reference, Rewritten, parse_query
from lakemark.tables.queries.views import add_version
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.frames import lazy_frame, pandas_frame

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["SqlResult", "TableUse", "default_threads", "query", "sql"]

_MISSING = re.compile(r'Referenced column "([^"]+)" not found|does not have a column named "([^"]+)"')


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that a query read.

    Parameters
    ----------
    name : str
        As the query names it.
    uri : str
        Where it is.
    table_id : str
        The id in its metadata.
    version : int
        Which version was read.
    """

    name: str
    uri: str
    table_id: str
    version: int


@dataclass(frozen=True, slots=True)
class _Source:
    use: TableUse
    opened: DeltaTable


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that a query needs to run, any number of times, on the same versions."""

    query: Query
    views: tuple[str, ...]
    sources: tuple[_Source, ...]
    threads: int | None
    memory_limit: str | None

    def run(self) -> pa.RecordBatchReader:
        rewritten = self.query.rewritten(self.views)
        engine = Engine(threads=self.threads, memory_limit=self.memory_limit)
        try:
            for number, source in enumerate(self.sources):
                add_version(engine, _view(number), source.opened, columns=self._needed(source.opened))
            engine.seal()
            with _placed(self, rewritten):
                engine.check(rewritten.text)
                reader = engine.stream(rewritten.text)
        except BaseException:
            engine.close()
            raise
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(engine, reader, rewritten))

    def _needed(self, opened: DeltaTable) -> list[str] | None:
        """Return the columns that the query may read, at least one; None for all."""
        if self.query.columns is None:
            return None
        names: list[str] = opened.schema().to_arrow().names
        return [name for name in names if name.casefold() in self.query.columns] or names[:1]

    def _batches(self, engine: Engine, reader: pa.RecordBatchReader, rewritten: Rewritten) -> Iterator[pa.RecordBatch]:
        try:
            with _placed(self, rewritten):
                yield from reader
        finally:
            engine.close()


class SqlResult:
    """What a query gives: rows that are computed when they are asked for, each time on the same versions.

    Parameters
    ----------
    plan : object
        The query, its tables opened.

    Attributes
    ----------
    tables : tuple of TableUse
        The versions that are read.
    schema : pyarrow.Schema
        The columns of the result.
    """

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._first: pa.RecordBatchReader | None = plan.run()
        self.schema: pa.Schema = self._first.schema
        self.tables = tuple(source.use for source in plan.sources)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches())

    def __repr__(self) -> str:
        tables = ", ".join(f"{use.name} at version {use.version}" for use in self.tables)
        return f"SqlResult({', '.join(self.schema.names)}{' of ' * bool(tables)}{tables})"

    def batches(self) -> pa.RecordBatchReader:
        """Return the rows as a stream, in constant memory where the query allows it.

        Raises
        ------
        InvalidInputError
            While it is read, for a value that the query cannot compute with.
        StorageError
            If memory and temporary folder are full, or a data file is gone.
        """
        reader, self._first = self._first, None
        return self._plan.run() if reader is None else reader

    def arrow(self) -> pa.Table:
        """Return all rows as an Arrow table; errors as in `batches`."""
        return self.batches().read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a pandas frame; errors as in `batches`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return pandas_frame(self.batches())

    def to_polars(self) -> pl.DataFrame:
        """Return all rows as a Polars frame; errors as in `batches`.

        Raises
        ------
        MissingExtraError
            If Polars is not installed.
        """
        return lazy_frame(self.schema, self._columns).collect()

    def _columns(self, columns: Sequence[str] | None) -> pa.RecordBatchReader:
        reader = self.batches()
        if columns is None:
            return reader
        schema = pa.schema([reader.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, (batch.select(list(columns)) for batch in reader))


def query(
    text: str,
    *,
    resolve: Callable[[str], TableReader],
    threads: int | None = None,
    memory_limit: str | None = None,
) -> pa.RecordBatchReader:
    """Return the rows of a query as a stream; parameters and errors as for `sql`."""
    return sql(text, resolve=resolve, threads=threads, memory_limit=memory_limit).batches()


def sql(
    text: str,
    *,
    resolve: Callable[[str], TableReader],
    threads: int | None = None,
    memory_limit: str | None = None,
) -> SqlResult:
    """Return the result of one SELECT, WITH or VALUES over tables.

    Parameters
    ----------
    text : str
        The query, in DuckDB's SQL.
    resolve : callable
        Returns the table for a name as written, `sales.orders`, `sales.orders@q3` or `lake/orders`; it raises for one
        that is not there.
    threads : int, optional
        Without it one inside a recorded run, so that sums of floats are the same each time, and all cores outside.
    memory_limit : str, optional
        For example `"2GB"`; without it four fifths of the memory. What is over it goes to the temporary folder.

    Returns
    -------
    SqlResult
        It knows which versions are read.

    Raises
    ------
    InvalidInputError
        For a query that is wrong, with line and column; for a statement or function that does more than read tables.
    NotFoundError
        For no such table, version or time.
    StorageError
        If a data file is gone.
    """
    parsed = parse_query(text)
    opened: dict[tuple[str, int | None, int | str | None], int] = {}
    sources: list[_Source] = []
    views = []
    for reference in parsed.references:
        reader = resolve(reference.name if reference.tag is None else f"{reference.name}@{reference.tag}")
        asked = reference.version if reference.timestamp is None else reference.timestamp
        _check_one_version(parsed, reference, reader)
        key = (reader.uri, reader.at, asked)
        if key not in opened:
            opened[key] = len(sources)
            sources.append(_open(reference, reader))
        views.append(_view(opened[key]))
    used = default_threads() if threads is None else threads
    return SqlResult(_Plan(parsed, tuple(views), tuple(sources), used, memory_limit))


def default_threads() -> int | None:
    """Return how many threads a query takes where nobody says: 1 inside a recorded run, else None for all cores."""
    return None if current_writer().run_id is None else 1


def _open(reference: Reference, reader: TableReader) -> _Source:
    table = reader.open(version=reference.version, timestamp=reference.timestamp)
    return _Source(TableUse(reference.name, reader.uri, str(table.metadata().id), table.version()), table)


def _check_one_version(parsed: Query, reference: Reference, reader: TableReader) -> None:
    if reader.at is not None and (reference.version is not None or reference.timestamp is not None):
        line, column = parsed.place(reference.start)
        raise InvalidInputError(
            f"line {line}, column {column}: {reference.name} names version {reader.at} and another one behind it",
            hint="give one of them",
        )


def _view(number: int) -> str:
    return f"lakemark:{number}"


@contextmanager
def _placed(plan: _Plan, rewritten: Rewritten) -> Iterator[None]:
    """Tell what DuckDB refuses at the place in the text that the person wrote."""
    try:
        yield
    except QueryError as problem:
        columns = [name for source in plan.sources for name in source.opened.schema().to_arrow().names]
        raise _explained(problem, plan.query, (rewritten, columns)) from problem


def _explained(problem: QueryError, parsed: Query, known: tuple[Rewritten, Sequence[str]]) -> InvalidInputError:
    rewritten, columns = known
    where = ""
    if problem.offset is not None:
        line, column = parsed.place(rewritten.original_offset(problem.offset))
        where = f"line {line}, column {column}: "
    missing = _MISSING.search(problem.message)
    if missing is None:
        lines = [line.strip() for line in problem.message.splitlines() if line.strip()]
        first, rest = (lines or ["DuckDB refuses the query"])[0], lines[1:]
        return InvalidInputError(where + first[:1].lower() + first[1:].rstrip("!."), hint="; ".join(rest[:5]) or None)
    name = missing[1] or missing[2]
    close = nearest(name, columns)
    return InvalidInputError(
        f"{where}no column is named {name!r}" + (f", did you mean {close!r}?" if close else ""),
        hint=f"the tables' columns are {', '.join(dict.fromkeys(columns))}" if columns else None,
    )
