"""Rows into one file of another format, batch by batch; the file is there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lakemark._base.canonical import json_value
from lakemark._base.errors import StorageError

__all__ = ["Format", "export", "write_rows"]


class Format(StrEnum):
    """How a file holds rows; `json` is one object a line, and in `csv` bytes are base 64 and nested values JSON."""

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


def _writer(schema: pa.Schema, file: BinaryIO, kind: Format) -> _Writer:
    if kind is Format.JSON:
        return _JsonLines(file)
    return _Csv(schema, file) if kind is Format.CSV else pq.ParquetWriter(file, schema)


class _Csv:
    def __init__(self, schema: pa.Schema, file: BinaryIO) -> None:
        self._schema = pa.schema([(one.name, one.type if _is_flat(one.type) else pa.string()) for one in schema])
        self._writer = pa_csv.CSVWriter(file, self._schema)

    def write_batch(self, batch: pa.RecordBatch, /) -> None:
        columns = [column if _is_flat(column.type) else _as_text(column) for column in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _is_flat(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_decimal, types.is_date)
    return any(test(kind) for test in (*tests, types.is_timestamp))


def _as_text(column: pa.Array) -> pa.Array:
    values = [json_value(value) for value in column.to_pylist()]
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, pa.string())


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
