"""Rows of one version, always in the same order.

Parallel readers hand out rows in the order in which they finish. Here files are read in the order in which they were
written (then by path), and rows in the order of the file. A table with deletion vectors or mapped columns can only be
read by the engine itself, whose order changes from call to call: its rows are sorted by their content hash instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from lakemark._base.errors import NotFoundError, nearest
from lakemark.tables.fingerprint import row_hashes
from lakemark.tables.manifest import Manifest, ManifestFile, local_folder, location, observe

__all__ = ["scan"]

_ENGINE_ONLY = frozenset({"deletionVectors", "columnMapping"})


def scan(table: DeltaTable, *, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """Return the rows of the version that `table` has open, as a stream.

    Parameters
    ----------
    table : DeltaTable
        Opened at the version to read.
    columns : sequence of str, optional
        Which columns, in this order; without it all.

    Raises
    ------
    NotFoundError
        For a column that the table does not have; the nearest is named.
    """
    schema: pa.Schema = pa.schema(table.schema().to_arrow())
    for name in columns or ():
        if name not in schema.names:
            close = nearest(name, schema.names)
            raise NotFoundError(
                f"{location(table.table_uri)} has no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(schema.names)}",
            )
    if _needs_engine(table):
        return _sorted_rows(table, schema, columns)
    fragments, kind = _fragments(observe(table), schema, table)
    dataset = ds.FileSystemDataset(fragments, schema, kind)
    return dataset.scanner(columns=None if columns is None else list(columns)).to_reader()


def _needs_engine(table: DeltaTable) -> bool:
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        return True
    return not _ENGINE_ONLY.isdisjoint(table.protocol().reader_features or ())


def _fragments(
    manifest: Manifest, schema: pa.Schema, table: DeltaTable
) -> tuple[list[ds.ParquetFileFragment], ds.ParquetFileFormat]:
    """Return the files in the order of writing, each with the values of its partition."""
    folder = local_folder(manifest.uri)
    filesystem = fs.LocalFileSystem() if folder else fs.PyFileSystem(DeltaStorageHandler(table.table_uri))
    kind = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True))
    ordered = sorted(manifest.entries, key=lambda entry: (entry.modification_time, entry.path))
    fragments = [
        kind.make_fragment(
            str(entry.locate(folder or Path())), filesystem, partition_expression=_partition(entry, schema)
        )
        for entry in ordered
    ]
    return fragments, kind


def _partition(entry: ManifestFile, schema: pa.Schema) -> ds.Expression:
    expression = ds.scalar(value=True)
    for name, text in entry.partition_values.items():
        kind = schema.field(name).type
        if text is None:
            expression &= ds.field(name).is_null()
        else:
            zoned = pa.types.is_timestamp(kind) and kind.tz is not None
            expression &= ds.field(name) == pa.scalar(text + "Z" if zoned else text).cast(kind)
    return expression


def _sorted_rows(table: DeltaTable, schema: pa.Schema, columns: Sequence[str] | None) -> pa.RecordBatchReader:
    rows: pa.Table = pa.table(table.scan().read_all()).cast(schema)
    order = np.argsort(row_hashes(rows), kind="stable")
    ordered = rows.take(pa.array(order))
    return (ordered if columns is None else ordered.select(list(columns))).to_reader()
