"""Rows into one file of another format, batch by batch; the file is there whole or not at all."""

from __future__ import annotations

import base64
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lakemark._base.canonical import Json
from lakemark._base.errors import InvalidInputError, StorageError

__all__ = ["Format", "export", "json_value", "write_rows"]


class Format(StrEnum):
    """How a file holds rows; `json` is one object per line."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch, /) -> None: ...

    def close(self) -> None: ...


def export(rows: pa.RecordBatchReader, path: Path, *, kind: Format) -> int:
    """Write rows to a file, which replaces what is there once it is whole, and return how many they are.

    Parameters
    ----------
    rows : pyarrow.RecordBatchReader
        The rows; they are used up.
    path : Path
        The file.
    kind : Format
        Its format.

    Raises
    ------
    InvalidInputError
        For a column that the format cannot hold.
    StorageError
        If the file cannot be written; then nothing is changed.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> export(pa.table({"day": [1], "shop": ["a"]}).to_reader(), folder / "rows.csv", kind=Format.CSV)
    1
    >>> print((folder / "rows.csv").read_text(), end="")
    "day","shop"
    1,"a"
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            count = write_rows(rows, rows.schema, file, kind=kind)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_mask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count


def write_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, file: BinaryIO, *, kind: Format) -> int:
    """Write rows to an open file as they come, and return how many they are.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        The rows.
    schema : pyarrow.Schema
        Their columns.
    file : binary file
        Where to.
    kind : Format
        Its format.
    """
    count = 0
    with closing(_writer(schema, file, kind)) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def json_value(value: object) -> Json:
    """Return a value of a row as JSON can say it: numbers that JSON lacks and times as text, bytes in base 64.

    Examples
    --------
    >>> json_value({"x": float("nan"), "y": b"a"})
    {'x': 'NaN', 'y': 'YQ=='}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _writer(schema: pa.Schema, file: BinaryIO, kind: Format) -> _Writer:
    if kind is Format.JSON:
        return _JsonLines(file)
    writer: _Writer
    if kind is Format.CSV:
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested:
            raise InvalidInputError(
                f"column {nested[0]!r} of type {schema.field(nested[0]).type} does not fit into CSV",
                hint="take json or parquet, or leave it out with --columns",
            )
        writer = pa_csv.CSVWriter(file, schema)
    else:
        writer = pq.ParquetWriter(file, schema)
    return writer


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write_batch(self, batch: pa.RecordBatch, /) -> None:
        for row in batch.to_pylist():
            self._file.write(json.dumps(json_value(row), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self._file.flush()


def _mask() -> int:
    """Return the process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
