"""Which data files DuckDB may read by itself: those that give it the same rows as they give us, without a copy.

These are files on a local disk, of a table without deletion vectors, mapped columns and partitions, whose columns are
plain and have the very types that are compared. Everything else is read here and copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakemark.tables.log.manifest import ManifestFile

__all__ = ["plain_files"]

_WILDCARDS = "*?[{"


def plain_files(entries: Sequence[ManifestFile], schema: pa.Schema, *, folder: Path) -> list[Path] | None:
    """Return where files are, None if DuckDB would not read all of them as we do.

    Parameters
    ----------
    entries : sequence of ManifestFile
        Files of a table whose columns are not mapped.
    schema : pyarrow.Schema
        The columns that are compared, with the types that they are compared as.
    folder : Path
        Of the table.
    """
    if not entries or not all(map(_is_plain, schema.types)):
        return None
    files = [entry.locate(folder) for entry in entries]
    if any(entry.partition_values or entry.deletion_vector for entry in entries):
        return None
    if any(letter in str(file) for file in files for letter in _WILDCARDS):
        return None
    return files if all(_has(file, schema) for file in files) else None


def _has(file: Path, schema: pa.Schema) -> bool:
    """Return True if a file has the columns, and no two whose names DuckDB takes for one."""
    try:
        found = pq.read_schema(file, memory_map=True)
    except (OSError, pa.ArrowException):  # who reads it says what is wrong with it
        return False
    names = {name.casefold() for name in found.names}
    return len(names) == len(found.names) and all(
        field.name in found.names and found.field(field.name).type == field.type for field in schema
    )


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_signed_integer(kind)
        or kind in (pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.date32())
        or kind in (pa.bool_(), pa.timestamp("us"), pa.timestamp("us", "UTC"))
        or types.is_decimal128(kind)
    )
