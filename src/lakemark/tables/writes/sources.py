"""Files as data for a table: CSV, Parquet and lines of JSON, read as a stream, as often as it takes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from lakemark._base.errors import InvalidInputError, NotFoundError

__all__ = ["FileSource"]

_SUFFIXES = (".csv", ".parquet", ".jsonl")
_MISFIT = re.compile(r"In CSV column #(\d+):.* conversion error to ([^:]+): invalid value '(.*)'", re.DOTALL)
_SHOWN = 40
_UNEVEN = re.compile(r"Expected (\d+) columns, got (\d+)")
_CHANGED = re.compile(r"Column\(/([^/]+)\) changed from (\w+) to (\w+)")


@dataclass(frozen=True, slots=True)
class FileSource:
    """A CSV, Parquet or JSON-lines file that speaks the Arrow stream protocol.

    Parameters
    ----------
    path : Path
        Ends in `.csv`, `.parquet` or `.jsonl`. A CSV file has a header line; the types of its columns, and those of
        JSON, are inferred from the first megabyte, and a value or name further on that does not fit is an error.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InvalidInputError
        If it is of no such format.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_dir():
            raise InvalidInputError(
                f"{self.path} is a folder, and no file", hint=f"give a file that ends in {', '.join(_SUFFIXES)}"
            )
        if self.path.suffix not in _SUFFIXES:
            raise InvalidInputError(
                f"{self.path} is neither {' nor '.join(_SUFFIXES)}", hint="convert it to one of them first"
            )
        if not self.path.is_file():
            raise NotFoundError(f"no file {self.path}", hint="the path counts from the folder that you are in")

    def reader(self) -> pa.RecordBatchReader:
        """Return a new stream over the file's rows."""
        try:
            rows = self._rows()
            _ = rows.schema.names  # a name that is no text is found out here
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"{self.path} cannot be read: a name of a column is not UTF-8", hint="convert the file to UTF-8"
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise InvalidInputError(f"{self.path} cannot be read: {self._told(error)}", hint=self._hint()) from error
        return pa.RecordBatchReader.from_batches(rows.schema, self._told_batches(rows))

    def _rows(self) -> pa.RecordBatchReader:
        if self.path.suffix == ".csv":
            return pacsv.open_csv(self.path)
        if self.path.suffix == ".jsonl":
            return pajson.open_json(self.path)
        file = pq.ParquetFile(self.path)
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())

    def _told_batches(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Yield the rows; an error says where in the file it is, which Arrow does not know."""
        try:
            yield from rows
        except (pa.ArrowException, OSError) as error:
            raise pa.ArrowInvalid(f"{self.path}: {self._told(error)}") from error

    def _told(self, error: Exception) -> str:
        """Return what is wrong, with line and column where they can be found again."""
        told = str(error).removeprefix("Invalid: ").partition(". Detail: ")[0].strip().rstrip(".")
        if self.path.stat().st_size == 0:
            return "it is empty"
        find = {".csv": _csv_place, ".jsonl": _json_place}.get(self.path.suffix)
        if find is None:
            return told
        with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
            return find(file, told) or told

    def _hint(self) -> str | None:
        if self.path.stat().st_size == 0:
            return "a table without rows is made by lakemark tables create TABLE --schema COLUMNS"
        return None

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)


def _csv_place(file: TextIO, told: str) -> str | None:
    """Return where in a CSV file the value is that Arrow could not convert."""
    uneven = _UNEVEN.search(told)
    if uneven is not None:
        counts = int(uneven[1]), int(uneven[2])
        lines = csv.reader(file)
        at = next((lines.line_num for row in lines if row and len(row) == counts[1] != counts[0]), None)
        return None if at is None else f"line {at} has {counts[1]} values, and the header {counts[0]} names"
    found = _MISFIT.search(told)
    if found is None:
        return None
    place, kind, value = int(found[1]), found[2], found[3]
    lines = csv.reader(file)
    header = next(lines, [])
    column = repr(header[place]) if place < len(header) else f"number {place + 1}"
    at = next((lines.line_num for row in lines if place < len(row) and row[place] == value), None)
    where = "" if at is None else f"line {at}, "
    return f"{where}column {column}: {value!r} is no {kind}, the type of the values before it"


def _json_place(file: TextIO, told: str) -> str | None:
    """Return where in a file of JSON lines the first line is that is no object, or has a value of another type."""
    changed = _CHANGED.search(told)
    first: type | None = None
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            return f"line {number} is no JSON: {error}"
        if not isinstance(found, dict):
            return f'line {number} is {line.strip()[:_SHOWN]!r}, and no object such as {{"id": 1}}'
        value = found.get(changed[1]) if changed else None
        if changed and value is not None:
            kind = float if isinstance(value, int) and not isinstance(value, bool) else type(value)
            first = first or kind
            if kind is not first:
                return f"line {number}, {changed[1]!r}: {value!r} is a {changed[3]}, after {changed[2]}s before it"
    return None
