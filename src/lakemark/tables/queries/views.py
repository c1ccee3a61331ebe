"""A version of a table as a view of the SQL engine, right for every table that can be read at all.

DuckDB reads the data files of a local table itself. It knows nothing of deletion vectors and mapped columns, and finds
the values of partitions only where they are plain in the folders' names: such tables, and those on other storages, are
first copied to the engine's temporary folder, one batch in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakemark._base.errors import StorageError
from lakemark.tables.failures import translated
from lakemark.tables.log.features import check_readable
from lakemark.tables.log.manifest import Manifest, ManifestFile, local_folder, location, observe
from lakemark.tables.queries.engine import NO_VALUE, Engine
from lakemark.tables.reads.scan import scan

__all__ = ["add_rows", "add_version"]

_PLAIN_VALUE = re.compile(r"[\w.-]+")


def add_version(engine: Engine, name: str, table: DeltaTable, *, columns: Sequence[str] | None = None) -> None:
    """Add a view with the rows of the version that `table` has open.

    Parameters
    ----------
    engine : Engine
        Not sealed yet.
    name : str
        Of the view.
    table : DeltaTable
        Opened at the version.
    columns : sequence of str, optional
        The columns that are needed; others may be left out of a copy, and are not in the view then.

    Raises
    ------
    InvalidInputError
        For a table with a feature that would not be read right.
    StorageError
        If a data file is gone.
    """
    uri = location(table.table_uri)
    with translated(uri):
        check_readable(table)
        manifest = observe(table)
        schema = pa.schema(table.schema().to_arrow())
        files = _local_files(manifest) if _is_plain(table, manifest) else None
    if files is not None and engine.add_files(name, files, schema, partitioned_by=manifest.partition_columns):
        return
    with translated(uri):
        add_rows(engine, name, scan(table, columns=columns))


def add_rows(engine: Engine, name: str, rows: pa.RecordBatchReader) -> Path:
    """Add a view with the rows of a stream, by way of a temporary file that goes with the engine.

    Returns
    -------
    Path
        The Parquet file.

    Raises
    ------
    StorageError
        If the folder for temporary files has a wildcard in its name.
    """
    path = engine.folder / f"{name}.parquet"
    schema = rows.schema
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        for batch in rows:
            writer.write_batch(batch)
    if not engine.add_files(name, [path], schema):
        raise StorageError(f"{path} cannot be read: its folder has a wildcard", hint="set TMPDIR to another folder")
    return path


def _is_plain(table: DeltaTable, manifest: Manifest) -> bool:
    mapped = table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
    return not mapped and all(entry.deletion_vector is None for entry in manifest.entries)


def _local_files(manifest: Manifest) -> list[Path] | None:
    """Return the files in the order of writing; None where they are elsewhere, or folders do not tell partitions."""
    folder = local_folder(manifest.uri)
    if folder is None:
        return None
    entries = sorted(manifest.entries, key=lambda entry: (entry.modification_time, entry.path))
    if any("://" in entry.path and not entry.path.startswith("file:") for entry in entries):
        return None
    files = [entry.locate(folder) for entry in entries]
    if manifest.partition_columns and not all(map(_tells_partition, entries, files)):
        return None
    return files


def _tells_partition(entry: ManifestFile, path: Path) -> bool:
    """Return whether the folders' names are just the partition's values, with no letter that needs an escape."""
    told = [part.split("=", 1) for part in path.parent.parts if "=" in part]
    if NO_VALUE in entry.partition_values.values():  # a text that looks like the name of null's folder
        return False
    values = {name: NO_VALUE if value is None else value for name, value in entry.partition_values.items()}
    return sorted(told) == sorted([name, value] for name, value in values.items()) and all(
        _PLAIN_VALUE.fullmatch(value) and _PLAIN_VALUE.fullmatch(name) for name, value in values.items()
    )
