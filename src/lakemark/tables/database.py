"""DuckDB as it is opened everywhere here.

It keeps what is larger than its memory in a folder that the caller deletes, counts times in UTC, prints nothing, and
fetches nothing from the network.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa

from lakemark._base.errors import StorageError

__all__ = ["arrow_reader", "connect", "temporary_folder"]


def temporary_folder(prefix: str, *, parent: Path | None = None) -> Path:
    """Make a folder for temporary files.

    Parameters
    ----------
    prefix : str
        With what its name begins.
    parent : Path, optional
        Where; without it the system's folder for temporary files.

    Raises
    ------
    StorageError
        If there is no room or no right.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise StorageError(
            f"no folder for temporary files: {error}", hint="set TMPDIR to a folder with room"
        ) from error


def connect(folder: Path, *, name: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """Open a database of its own.

    Parameters
    ----------
    folder : Path
        Where it spills to.
    name : str, default ":memory:"
        A file in the folder for the tables themselves; without it they are in memory.
    """
    place = name if name == ":memory:" else str(folder / name)
    connection = duckdb.connect(
        place,
        config={
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    connection.execute("SET enable_progress_bar = false")  # it would be printed among the rows
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def arrow_reader(connection: duckdb.DuckDBPyConnection, text: str, *, rows: int) -> pa.RecordBatchReader:
    """Return what a query gives, as batches of at most so many rows that are computed while they are read."""
    relation = connection.sql(text)
    read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader  # the name before DuckDB 1.4
    return read(rows)
