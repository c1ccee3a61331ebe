"""DuckDB, closed to everything but the tables that it is given.

A connection has no database on disk, sees no file but the data files of its tables, looks for no variables of the
program, loads no extension, and nothing in it can be set any more once it is sealed. What it cannot hold in memory goes
to a temporary folder of its own.
"""

from __future__ import annotations

import json
import re
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import duckdb
import pyarrow as pa

from lakemark._base.errors import InvalidInputError, LakemarkError, StorageError
from lakemark.tables.database import arrow_reader, connect, temporary_folder
from lakemark.tables.quoting import literal, quoted

__all__ = ["NO_VALUE", "Engine", "QueryError", "duck_type"]

_GONE = re.compile(r'No files found that match the pattern "(.*)"')
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"})
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What the name of a folder says where the partition's value is null."""

_ROWS_PER_BATCH = 122_880
_SIMPLE = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}
_Result = TypeVar("_Result")


class QueryError(InvalidInputError):
    """DuckDB refuses a query; the caller says where that is in what the person wrote.

    Parameters
    ----------
    message : str
        In DuckDB's words.
    offset : int, optional
        Where, in characters of the text that ran.
    name : str, optional
        The column that is not there.
    candidates : tuple of str
        The nearest that are.
    """

    def __init__(
        self, message: str, *, offset: int | None = None, name: str | None = None, candidates: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.name = name
        self.candidates = candidates


class Engine:
    """One connection, with a view for each table; not for several threads at a time.

    Parameters
    ----------
    threads : int, optional
        Without it one for each core. With more than one, sums of floats differ in their last digits from run to run.
    memory_limit : str, optional
        For example `"2GB"`; without it four fifths of the memory.
    """

    def __init__(self, *, threads: int | None = None, memory_limit: str | None = None) -> None:
        self._folder = temporary_folder("lakemark-sql-")
        self._connection = connect(self._folder)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lakemark-sql")
        self._close = weakref.finalize(self, _close, self._connection, self._worker, self._folder)
        self._paths: list[str] = []
        self._connection.execute("SET errors_as_json = true")
        if threads is not None:
            if threads < 1:
                raise InvalidInputError(f"threads is {threads}, it must be 1 or more")
            self._connection.execute(f"SET threads = {threads}")
        if memory_limit is not None:
            try:
                self._connection.execute(f"SET memory_limit = {literal(memory_limit)}")
            except duckdb.Error as error:
                raise InvalidInputError(
                    f"memory limit {memory_limit!r} is no size", hint="write a number and a unit, for example 2GB"
                ) from error

    @property
    def folder(self) -> Path:
        """The temporary folder, removed by `close`."""
        return self._folder

    def close(self) -> None:
        """Let go of everything; a second time does nothing."""
        self._close()

    def add_files(
        self, name: str, files: Sequence[Path], schema: pa.Schema, *, partitioned_by: Sequence[str] = ()
    ) -> bool:
        """Add a view on Parquet files, read by DuckDB itself.

        Parameters
        ----------
        name : str
            Of the view.
        files : sequence of Path
            Columns of the schema that a file lacks are null there.
        schema : pyarrow.Schema
            The view's columns, in this order.
        partitioned_by : sequence of str
            The columns whose values are in the names of the folders, as `name=value`.

        Returns
        -------
        bool
            False where DuckDB would not read them rightly: nested columns that changed, a path with a wildcard.
        """
        if any(letter in str(path) for path in files for letter in "*?[{"):
            return False
        types = [duck_type(field.type) for field in schema]
        columns = [f"CAST(NULL AS {kind}) AS {quoted(field.name)}" for field, kind in zip(schema, types, strict=True)]
        empty = f"SELECT {', '.join(columns)} WHERE false"
        if not files:
            self.add_query(name, empty)
            return True
        source = _parquet(files, partitioned_by)
        wanted = self._described(empty)
        found = self._described(f"FROM {source}")
        for place, field in enumerate(schema):
            seen = found.get(field.name)
            if field.name in partitioned_by:
                value = f"nullif({quoted(field.name)}, {literal(NO_VALUE)})"
                columns[place] = f"CAST({value} AS {types[place]}) AS {quoted(field.name)}"
            elif seen == wanted[field.name]:
                columns[place] = quoted(field.name)
            elif seen is not None and pa.types.is_nested(field.type):
                return False
            elif seen is not None:
                columns[place] = f"CAST({quoted(field.name)} AS {types[place]}) AS {quoted(field.name)}"
        self.add_query(name, f"SELECT {', '.join(columns)} FROM {source}")  # noqa: S608 -- every name is quoted
        self._paths += [str(path) for path in files]
        return True

    def add_query(self, name: str, text: str) -> None:
        """Add a view on a query of ours."""
        self._do(lambda: self._connection.execute(f"CREATE VIEW {quoted(name)} AS {text}"), text)

    def seal(self) -> None:
        """Close the connection to everything outside, and lock its settings."""
        listed = ", ".join(literal(path) for path in self._paths)
        for statement in (
            f"SET allowed_paths = [{listed}]",
            "SET enable_external_access = false",
            "SET python_enable_replacements = false",
            "SET allow_community_extensions = false",
            "SET lock_configuration = true",
        ):
            self._connection.execute(statement)

    def check(self, text: str) -> None:
        """Refuse what is more than one SELECT, and functions that reach outside.

        Raises
        ------
        InvalidInputError
            For a table function that is not one of a few; it is named.
        """
        document = self._tree(text)
        for function in _functions(document):
            if function not in _TABLE_FUNCTIONS:
                raise InvalidInputError(
                    f"a query reads only tables, {function} is refused",
                    hint="name the table, or its folder in quotes: FROM 'lake/orders'",
                )

    def stream(self, text: str) -> pa.RecordBatchReader:
        """Return the rows of a query; they are computed while they are read, and the engine lives as long.

        Raises
        ------
        QueryError
            If DuckDB refuses the query, or a value in it, here or while it is read.
        StorageError
            If memory and disk are full, or a data file is gone.
        """
        reader = self._do(lambda: arrow_reader(self._connection, text, rows=_ROWS_PER_BATCH), text)
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader, text))

    def fetch(self, text: str) -> list[tuple[object, ...]]:
        """Return all rows of a small result; errors as in `stream`."""
        return cast("list[tuple[object, ...]]", self._do(lambda: self._connection.execute(text).fetchall(), text))

    def table(self, text: str) -> pa.Table:
        """Return all rows of a small result as Arrow; errors as in `stream`."""
        return self._do(lambda: arrow_reader(self._connection, text, rows=_ROWS_PER_BATCH).read_all(), text)

    def _batches(self, reader: pa.RecordBatchReader, text: str) -> Iterator[pa.RecordBatch]:
        while True:
            batch = self._do(lambda: next(reader, None), text)
            if batch is None:
                return
            yield batch

    def _do(self, work: Callable[[], _Result], text: str) -> _Result:
        """Work in a thread, so that Ctrl-C stops the query whatever DuckDB is at."""
        task = self._worker.submit(work)
        try:
            return task.result()
        except KeyboardInterrupt:
            self._connection.interrupt()
            task.exception()
            raise
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            raise self._told(error, text) from error

    def _told(self, error: Exception, text: str) -> LakemarkError:
        """Return DuckDB's error as ours; where it does not say the place, the query is planned again to learn it."""
        said = _parsed(error)
        if "position" not in said and isinstance(error, duckdb.BinderException | duckdb.CatalogException):
            try:
                self._connection.execute(text)
            except duckdb.Error as again:
                said = _parsed(again)
        message = str(said.get("exception_message", "")).strip()
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            return StorageError(
                f"the query needs more than its memory and its temporary folder hold: {message.splitlines()[0]}",
                hint="give it more memory (memory_limit), or put TMPDIR on a larger disk",
            )
        if said.get("exception_type") in {"IO", "HTTP", "Permission"} or isinstance(error, duckdb.IOException):
            gone = _GONE.search(message)
            return StorageError(
                f"the query could not read: {message.splitlines()[0]}"
                if gone is None
                else f"a data file of a version that the query reads is gone, a vacuum may have deleted it: {gone[1]}",
                hint="lakemark tables pins says which pinned versions are whole",
            )
        position = said.get("position")
        offset = len(text.encode()[: int(position)].decode(errors="ignore")) if position else None
        missing = said.get("error_subtype") == "COLUMN_NOT_FOUND"
        return QueryError(
            message,
            offset=offset,
            name=said.get("name") if missing else None,
            candidates=tuple(filter(None, said.get("candidates", "").split(","))) if missing else (),
        )

    def _tree(self, text: str) -> object:
        """Return DuckDB's own tree of a query: what it will run, whatever another parser made of the text."""
        kinds = [statement.type for statement in self._do(lambda: self._connection.extract_statements(text), text)]
        if kinds != [duckdb.StatementType.SELECT]:
            raise InvalidInputError(
                "a query is one SELECT that DuckDB can run at once", hint="a PIVOT needs its values: ON month IN (1, 2)"
            )
        ((document,),) = self.fetch(f"SELECT json_serialize_sql({literal(text)})")
        return json.loads(str(document))

    def _described(self, text: str) -> dict[str, str]:
        return {str(row[0]): str(row[1]) for row in self.fetch(f"DESCRIBE {text}")}


def duck_type(kind: pa.DataType) -> str:
    """Return DuckDB's name for the Arrow type of a Delta column.

    Examples
    --------
    >>> duck_type(pa.decimal128(10, 2)), duck_type(pa.list_(pa.int8()))
    ('DECIMAL(10,2)', 'TINYINT[]')
    """
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{quoted(field.name)} {duck_type(field.type)}' for field in kind)})"
    if pa.types.is_map(kind):
        return f"MAP({duck_type(kind.key_type)}, {duck_type(kind.item_type)})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{duck_type(kind.value_type)}[]"
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "VARCHAR" if is_text else "BLOB"


def _parquet(files: Sequence[Path], partitioned_by: Sequence[str]) -> str:
    listed = ", ".join(literal(str(path)) for path in files)
    types = ", ".join(f"{literal(name)}: VARCHAR" for name in partitioned_by)
    hive = f"true, hive_types = {{{types}}}" if partitioned_by else "false"
    return f"read_parquet([{listed}], union_by_name = {len(files) > 1}, hive_partitioning = {hive})"


def _parsed(error: Exception) -> dict[str, str]:
    """Return what DuckDB says of an error as JSON; its plain text where it is none."""
    text = str(error)
    start = text.find("{")
    if start >= 0:
        try:
            return cast("dict[str, str]", json.JSONDecoder().raw_decode(text[start:])[0])
        except json.JSONDecodeError:
            pass
    return {"exception_message": text.partition(": ")[2] or text}


def _functions(node: object) -> Iterator[str]:
    """Yield the names of the table functions in DuckDB's tree of a query."""
    if isinstance(node, list):
        for item in node:
            yield from _functions(item)
    elif isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            yield str(node["function"]["function_name"]).lower()
        for item in node.values():
            yield from _functions(item)


def _close(connection: duckdb.DuckDBPyConnection, worker: ThreadPoolExecutor, folder: Path) -> None:
    connection.interrupt()
    worker.shutdown(wait=True)
    connection.close()
    shutil.rmtree(folder, ignore_errors=True)
