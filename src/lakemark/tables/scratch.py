"""A DuckDB database in a temporary folder, for joins and sorts of more rows than fit into memory.

Columns are named by their place, so that no name of a table's column is ever part of a query, and names that differ
only in case stay two.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import duckdb
import pyarrow as pa

from lakemark._base.errors import LakemarkError, StorageError
from lakemark.tables.database import arrow_reader, connect, temporary_folder
from lakemark.tables.quoting import literal, quoted

__all__ = ["Scratch", "Value"]

Value: TypeAlias = object
"""A value of a row as Python has it."""

_Result = TypeVar("_Result")

_MEMORY = "1GB"
_THREADS = 4  # each needs its share of the memory
_INTERRUPTED = "Query interrupted"
_STREAM_ROWS = 1 << 16


class Scratch:
    """A database that is deleted when it is closed, or when nobody has it any more.

    Parameters
    ----------
    folder : Path, optional
        Where its files may lie; without it the system's folder for temporary files. About as large as what is loaded.

    Examples
    --------
    >>> with Scratch() as scratch:
    ...     rows = pa.table({"x": [3, 1, 2]})
    ...     scratch.load("numbers", rows.to_batches(), schema=rows.schema)
    ...     scratch.rows("SELECT c0 FROM numbers ORDER BY c0")
    [(1,), (2,), (3,)]
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = temporary_folder("lakemark-", parent=folder)
        self._database = connect(self.folder, name="scratch.duckdb")
        for name, value in (
            ("memory_limit", _MEMORY),
            ("threads", str(min(_THREADS, os.cpu_count() or 1))),
            ("preserve_insertion_order", "false"),
        ):
            self._database.execute(f"SET {name} = {literal(value)}")
        self._finalizer = weakref.finalize(self, _remove, self._database, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the database; a second time does nothing."""
        self._finalizer()

    def load(self, name: str, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, only: str | None = None) -> None:
        """Make a table of a stream, which is read once.

        Parameters
        ----------
        name : str
            The new table's name, a plain word.
        batches : iterable of pyarrow.RecordBatch
            The rows; what it raises is raised here.
        schema : pyarrow.Schema
            Of the batches.
        only : str, optional
            Keep the rows for which this condition holds.

        Notes
        -----
        The columns are called `c0`, `c1` and so on.
        """
        failures: list[Exception] = []
        renamed = pa.schema([field.with_name(f"c{place}") for place, field in enumerate(schema)])
        reader = pa.RecordBatchReader.from_batches(renamed, _renamed(batches, renamed, failures))
        stream = f"stream_{name}"
        self._database.register(stream, reader)
        query = f"CREATE TABLE {name} AS SELECT * FROM {stream} WHERE {only or 'true'}"  # noqa: S608 -- no name of a user
        try:
            self._run(lambda: self._database.execute(query))
        except StorageError as error:
            if failures:  # DuckDB has only the text of what the stream raised
                raise failures[0] from error
            raise
        finally:
            self._database.unregister(stream)

    def view(self, name: str, files: Sequence[Path], *, columns: Sequence[str]) -> None:
        """Make a view of Parquet files, which are read where they are.

        Parameters
        ----------
        name : str
            The view's name, a plain word.
        files : sequence of Path
            Without wildcards in their names.
        columns : sequence of str
            Columns that each has. They are called `c0`, `c1` and so on.
        """
        listed = ", ".join(literal(str(file)) for file in files)
        renamed = ", ".join(f"{quoted(column)} AS c{place}" for place, column in enumerate(columns))
        source = f"read_parquet([{listed}], hive_partitioning = false)"
        self.execute(f"CREATE VIEW {name} AS SELECT {renamed} FROM {source}")  # noqa: S608 -- every name is quoted

    def execute(self, query: str) -> None:
        """Run a statement that returns nothing."""
        self._run(lambda: self._database.execute(query))

    def rows(self, query: str) -> list[tuple[Value, ...]]:
        """Return the rows of a query that has few."""
        return self._run(lambda: self._database.execute(query).fetchall())

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query; other queries may run meanwhile."""
        cursor = self._database.cursor()
        reader = self._run(lambda: arrow_reader(cursor, query, rows=_STREAM_ROWS))
        try:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except (pa.ArrowException, OSError) as error:
                    raise StorageError(f"a query on temporary files in {self.folder} failed: {error}") from error
                if batch.num_rows:
                    yield batch
        finally:
            reader.close()
            cursor.close()

    def _run(self, action: Callable[[], _Result]) -> _Result:
        try:
            return action()
        except (duckdb.Error, RuntimeError) as error:
            if isinstance(error, duckdb.InterruptException) or str(error) == _INTERRUPTED:
                raise KeyboardInterrupt from error  # DuckDB took the signal, and Python never sees it
            if not isinstance(error, duckdb.Error):
                raise
            raise StorageError(
                f"a query on temporary files in {self.folder} failed: {error}",
                hint="if that disk is full, set TMPDIR to a folder with more room",
            ) from error


def _renamed(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, failures: list[Exception]
) -> Iterator[pa.RecordBatch]:
    try:
        for batch in batches:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    except (LakemarkError, pa.ArrowException, OSError, ValueError) as error:
        failures.append(error)
        raise


def _remove(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    database.close()
    shutil.rmtree(folder, ignore_errors=True)
