"""The rows of the files that a batch is made of, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
from deltalake import DeltaTable

from lakemark.tables.failures import translated
from lakemark.tables.log.manifest import ManifestFile, location
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.scan import scan_files

__all__ = [
    "FEED_COLUMNS",
    "SourceFile",
    "read_ahead",
    "read_changes",
    "read_files",
    "read_snapshot_changes",
]

FEED_COLUMNS = pa.schema(
    [
        pa.field("_change_type", pa.string()),
        pa.field("_commit_version", pa.int64()),
        pa.field("_commit_timestamp", pa.timestamp("us", "UTC")),
    ]
)
"""What the rows of a change feed have besides the columns of the table."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a batch reads, and the version that added it (of a snapshot: its version)."""

    version: int
    entry: ManifestFile


def read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that a thread of its own reads, one ahead.

    Notes
    -----
    `deltalake` pulls what it writes from inside its own event loop, and no call of `deltalake` may begin there: it
    would panic. So readers that it is part of run in another thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="lakemark-stream") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


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
    StorageError
        If the feed does not have a commit: it was not on, or its files are gone.
    """
    shape = pa.schema([*pa.schema(table.schema().to_arrow()), *FEED_COLUMNS])
    uri = location(table.table_uri)
    latest = TableReader(uri).open()
    for version in versions:
        with translated(uri):
            for batch in pa.RecordBatchReader.from_stream(latest.load_cdf(version, version)):
                yield _shaped(batch, shape)


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
    shape = pa.schema([*pa.schema(table.schema().to_arrow()), *FEED_COLUMNS])
    for batch in read_files(table, files):
        said = ("insert", files[0].version, timestamp_ms * 1000)
        extra = [
            pa.repeat(pa.scalar(value, field.type), batch.num_rows)
            for value, field in zip(said, FEED_COLUMNS, strict=True)
        ]
        yield pa.RecordBatch.from_arrays([*batch.columns, *extra], schema=shape)


def _shaped(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with exactly these columns; one that it does not have is null."""
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        if field.name == "_commit_timestamp" and column.type.tz is None:  # the feed says UTC without a zone
            column = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(field.type)
        columns.append(column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
