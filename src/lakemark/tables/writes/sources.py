"""Files as data for a table: CSV, Parquet and lines of JSON, read as a stream, as often as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from lakemark._base.errors import InvalidInputError, NotFoundError

__all__ = ["FileSource"]

_SUFFIXES = (".csv", ".parquet", ".jsonl")


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
        if self.path.suffix not in _SUFFIXES:
            raise InvalidInputError(
                f"{self.path} is neither {' nor '.join(_SUFFIXES)}", hint="convert it to one of them first"
            )
        if not self.path.is_file():
            raise NotFoundError(f"no file {self.path}")

    def reader(self) -> pa.RecordBatchReader:
        """Return a new stream over the file's rows."""
        try:
            if self.path.suffix == ".csv":
                return pacsv.open_csv(self.path)
            if self.path.suffix == ".jsonl":
                return pajson.open_json(self.path)
            file = pq.ParquetFile(self.path)
            return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
        except (pa.ArrowException, OSError) as error:
            raise InvalidInputError(f"{self.path} cannot be read: {error}") from error

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)
