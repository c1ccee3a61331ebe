"""Rows of one version, always in the same order, and in little memory.

Parallel readers hand out rows in the order in which they finish. Here files are read in the order in which they were
written (then by path), and rows in the order of the file, one batch after the other. Deletion vectors and mapped
columns are applied on the way, so tables that have them keep that order too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from lakemark._base.errors import NotFoundError, StorageError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.log.features import check_readable
from lakemark.tables.log.manifest import ManifestFile, local_folder, location, observe
from lakemark.tables.reads.datafiles import DataFile, Request
from lakemark.tables.reads.layout import Naming
from lakemark.tables.reads.predicates import Predicate

__all__ = ["check_columns", "constants", "locate", "reads_files", "scan", "scan_files"]


def scan(
    table: DeltaTable, *, columns: Sequence[str] | None = None, where: Predicate | None = None
) -> pa.RecordBatchReader:
    """Return the rows of the version that `table` has open, as a stream.

    Parameters
    ----------
    table : DeltaTable
        Opened at the version to read.
    columns : sequence of str, optional
        Which columns, in this order; without it all.
    where : Predicate, optional
        Which rows; without it all. Files and row groups that cannot have any are not read.

    Raises
    ------
    NotFoundError
        For a column that the table does not have; the nearest is named.
    InvalidInputError
        For a table with a feature that is not known; it is named.
    """
    return scan_files(table, observe(table).entries, columns=columns, where=where)


def reads_files(table: DeltaTable) -> bool:
    """Return True if its files alone say what the rows are: it has neither deletion vectors nor mapped columns."""
    return _naming(table) is Naming.PLAIN and "deletionVectors" not in (table.protocol().reader_features or ())


def scan_files(
    table: DeltaTable,
    entries: Iterable[ManifestFile],
    *,
    columns: Sequence[str] | None = None,
    where: Predicate | None = None,
) -> pa.RecordBatchReader:
    """Return the rows of some files of the version that `table` has open, as a stream.

    Parameters
    ----------
    table : DeltaTable
        Opened at the version that the files are of.
    entries : iterable of ManifestFile
        Which files, of its manifest.
    columns, where
        As for `scan`.
    """
    check_readable(table)
    schema: pa.Schema = pa.schema(table.schema().to_arrow())
    wanted = schema.names if columns is None else list(columns)
    check_columns(wanted, schema, uri=location(table.table_uri))
    needed = [*wanted, *sorted((where.columns if where else frozenset()) - set(wanted))]
    request = Request(tuple(schema.field(name) for name in needed), _naming(table), where)
    files = _files(table, entries, schema)
    batches = (batch.select(wanted) for file in files for batch in file.batches(request))
    shape = pa.schema([schema.field(name) for name in wanted])
    return pa.RecordBatchReader.from_batches(shape, _translated(batches, table))


def check_columns(names: Iterable[str], schema: pa.Schema, *, uri: str) -> None:
    """Refuse a column that there is not; the nearest is named."""
    for name in names:
        if name not in schema.names:
            close = nearest(name, schema.names)
            raise NotFoundError(
                f"{uri} has no column {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(schema.names)}",
            )


def _translated(batches: Iterable[pa.RecordBatch], table: DeltaTable) -> Iterator[pa.RecordBatch]:
    with translated(location(table.table_uri)):
        yield from batches


def _naming(table: DeltaTable) -> Naming:
    return Naming(table.metadata().configuration.get("delta.columnMapping.mode", "none"))


def _files(table: DeltaTable, entries: Iterable[ManifestFile], schema: pa.Schema) -> list[DataFile]:
    """Return the files in the order of writing, each with the values of its partition and its deleted rows."""
    ordered = sorted(entries, key=lambda entry: (entry.modification_time, entry.path))
    masks = _masks(table)
    folder = local_folder(table.table_uri)  # once: it looks at each part of the path
    stores: dict[str, fs.FileSystem] = {}
    files = []
    for entry in ordered:
        keep = masks.get(_address(entry, table.table_uri, folder=folder)) if masks else None
        if keep is None and entry.deletion_vector is not None and entry.deletion_vector.cardinality:
            raise StorageError(f"the deletion vector of {entry.path} was not read")
        path, filesystem = _locate(entry.path, table.table_uri, folder=folder, stores=stores)
        files.append(DataFile(path, filesystem, constants(entry.partition_values, schema), keep))
    return files


def locate(path: str, table_uri: str, *, stores: dict[str, fs.FileSystem]) -> tuple[str, fs.FileSystem]:
    """Return where a file of a log is: its path, and in which file system.

    Parameters
    ----------
    path : str
        As in the log; a table may borrow files of another one.
    table_uri : str
        The table.
    stores : dict of str to pyarrow.fs.FileSystem
        The file systems that are open, by their root; what is opened comes into it.
    """
    return _locate(path, table_uri, folder=local_folder(table_uri), stores=stores)


def _locate(
    path: str, table_uri: str, *, folder: Path | None, stores: dict[str, fs.FileSystem]
) -> tuple[str, fs.FileSystem]:
    if path.startswith("file:") or (folder is not None and "://" not in path):
        entry = ManifestFile(path, 0, {}, 0)
        return str(entry.locate(folder or Path())), stores.setdefault("", fs.LocalFileSystem())
    root, inside = table_uri, path
    if "://" in path:
        parts = urlsplit(path)
        root, inside = f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
    if root not in stores:
        stores[root] = fs.PyFileSystem(DeltaStorageHandler(root))
    return unquote(inside), stores[root]


def _masks(table: DeltaTable) -> Mapping[str, pa.BooleanArray]:
    """Return which rows of a file count, by the file's address; only of files that have a deletion vector."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    found = pa.table(table.deletion_vectors().read_all())
    masks = {}
    for path, keep in zip(found.column("filepath"), found.column("selection_vector"), strict=True):
        masks[unquote(path.as_py())] = keep.values
    return masks


def _address(entry: ManifestFile, table_uri: str, *, folder: Path | None) -> str:
    """Return the address of a file as the engine writes it, decoded."""
    if "://" in entry.path:
        return unquote(entry.path)
    if folder is not None or entry.path.startswith("file:"):
        return f"file://{entry.locate(folder or Path())}"
    return unquote(f"{table_uri.rstrip('/')}/{entry.path}")


def constants(values: Mapping[str, str | None], schema: pa.Schema) -> Mapping[str, pa.Scalar]:
    """Return the values of a partition, which a log has as text, as those of their columns."""
    return {name: _constant(text, schema.field(name).type) for name, text in values.items()}


def _constant(text: str | None, kind: pa.DataType) -> pa.Scalar:
    if text is None:
        return pa.scalar(None, kind)
    if pa.types.is_binary(kind):
        return pa.scalar(text.encode("latin-1"), kind)
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None and not text.endswith("Z")
    return pa.scalar(text + "Z" if zoned else text).cast(kind)
