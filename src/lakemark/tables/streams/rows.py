"""The rows of the files that a batch is made of, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
from deltalake import DeltaTable

from lakemark.tables.log.manifest import ManifestFile
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.changefeed import CHANGE_COLUMNS, check_recorded, commit_changes
from lakemark.tables.reads.scan import scan_files

__all__ = ["SourceFile", "read_changes", "read_files", "read_snapshot_changes"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a batch reads, and the version that added it (of a snapshot: its version)."""

    version: int
    entry: ManifestFile


def read_files(table: DeltaTable, files: Sequence[SourceFile]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files, with the columns of the version that is open.

    Parameters
    ----------
    table : DeltaTable
        The source. A column that a file does not have is null.
    files : sequence of SourceFile
        The files. A file's rows are those of the version that added it: what a deletion vector of that version
        removes does not come, what a later one removes does.

    Raises
    ------
    StorageError
        If a file is gone.
    """
    masked = "deletionVectors" in (table.protocol().reader_features or ())
    if not masked and all(one.entry.deletion_vector is None for one in files):
        yield from scan_files(table, [one.entry for one in files])
        return
    schema = pa.schema(table.schema().to_arrow())
    for version, group in groupby(files, key=lambda one: one.version):
        then = table if table.version() == version else TableReader(table.table_uri).open(version=version)
        for batch in scan_files(then, [one.entry for one in group]):
            yield _shaped(batch, schema)


def read_changes(table: DeltaTable, versions: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the change feed of commits, commit by commit.

    Parameters
    ----------
    table : DeltaTable
        The source; rows have the columns of the version that is open, and those of the feed.
    versions : sequence of int
        The commits, ascending.

    Raises
    ------
    InvalidInputError
        If the table did not record its changes then.
    StorageError
        If a file is gone.
    """
    shape = pa.schema([*pa.schema(table.schema().to_arrow()), *CHANGE_COLUMNS])
    reader = TableReader(table.table_uri)
    if versions:
        check_recorded(reader.open(version=versions[0]))
        every = range(versions[0], versions[-1] + 1)  # one without rows may have ended the recording
        yield from commit_changes(reader.open(), every, shape=shape)


def read_snapshot_changes(
    table: DeltaTable, files: Sequence[SourceFile], *, timestamp_ms: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a snapshot's files as the inserts that a change feed begins with.

    Parameters
    ----------
    table, files
        As for `read_files`.
    timestamp_ms : int
        When the version was made, in milliseconds since 1970-01-01 UTC.
    """
    shape = pa.schema([*pa.schema(table.schema().to_arrow()), *CHANGE_COLUMNS])
    for batch in read_files(table, files):
        said = ("insert", files[0].version, timestamp_ms * 1000)
        extra = [
            pa.repeat(pa.scalar(value, field.type), batch.num_rows)
            for value, field in zip(said, CHANGE_COLUMNS, strict=True)
        ]
        yield pa.RecordBatch.from_arrays([*batch.columns, *extra], schema=shape)


def _shaped(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with exactly these columns; one that it does not have is null."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
