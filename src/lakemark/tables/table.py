"""A Delta table: create, append, overwrite, read at a version, history.

A thin, strict layer over `deltalake`: values are never changed on the way in (`lakemark.tables.casts`), a version or a
time out of range is an error that names the range, rows come out in one order (`lakemark.tables.scan`), and commits
carry the run that made them. What lies on disk is plain Delta.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, nearest
from lakemark.tables.casts import StrictStream, storable_schema
from lakemark.tables.commits import Commit, CommitRecord
from lakemark.tables.failures import is_retryable, translated
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.reading import Head, TableReader
from lakemark.tables.sources import FileSource

__all__ = ["PROPERTIES", "Commit", "CommitRecord", "Head", "Table"]

PROPERTIES: Mapping[str, str] = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
"""What a new table gets: its log is not cleaned behind our back, and Spark lets old versions be read."""

_TRIES = 12
_WAIT_SECONDS = 0.05


class Table(TableReader):
    """A Delta table, which need not exist yet.

    Parameters
    ----------
    uri : str or Path
        A folder, or a URI of any storage that `deltalake` knows; credentials come from the environment.
    at, name
        As for `TableReader`. A table at a version cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> sales = Table(tempfile.mkdtemp() + "/sales")
    >>> sales.create(pa.table({"day": [1, 2], "amount": [9.5, 7.25]}))
    0
    >>> sales.append(pa.table({"day": [3], "amount": [1.0]}))
    1
    >>> sales.read(version=0).num_rows, sales.read().num_rows
    (2, 3)
    """

    def create(
        self, data: ArrowStream | pa.Schema, *, partition_by: Sequence[str] = (), commit: Commit | None = None
    ) -> int:
        """Make the table, from rows or empty from a schema, and return its version.

        Parameters
        ----------
        data : ArrowStream or pyarrow.Schema
            What Delta has no type for is widened (uint32 to int64) or refused.
        partition_by : sequence of str
            Columns whose values become folders.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        ConflictError
            If there is a table already.
        """
        schema = data if isinstance(data, pa.Schema) else None
        stream = None if schema is not None else StrictStream(cast("ArrowStream", data))
        _check_partitions(partition_by, storable_schema(schema) if stream is None else stream.schema)
        if self.exists():
            raise ConflictError(
                f"there is a table at {self.uri} already",
                hint=f"lakemark tables append {self.uri} FILE adds rows to it",
            )
        if stream is not None:
            self._write(stream, self.uri, mode="error", commit=commit, partition_by=partition_by)
        else:
            with translated(self.uri):
                DeltaTable.create(
                    self.uri,
                    storable_schema(schema),
                    mode="error",
                    partition_by=list(partition_by),
                    configuration=dict(PROPERTIES),
                    commit_properties=(commit or Commit()).properties(),
                )
        return 0

    def append(self, data: ArrowStream, *, commit: Commit | None = None) -> int:
        """Add rows and return the version that has them.

        Raises
        ------
        InvalidInputError
            If columns or values do not fit; then nothing is committed.
        ConflictError
            If others changed the table all the time, or once and `data` is a stream that can be read only once.

        Notes
        -----
        Rows only ever come to those that are there, so an append that lost a race against a delete, an overwrite or a
        change of the schema is checked and written again on the table as it is now.
        """
        for attempt in range(_TRIES):
            try:
                return self._write_to_open(data, mode="append", commit=commit)
            except ConflictError as error:
                if attempt == _TRIES - 1 or not is_retryable(error) or not _is_replayable(data):
                    raise
            time.sleep(random.uniform(0, _WAIT_SECONDS * 2 ** min(attempt, 5)))  # noqa: S311  # not a secret
        raise AssertionError("unreachable")

    def overwrite(self, data: ArrowStream, *, commit: Commit | None = None, replace_schema: bool = False) -> int:
        """Replace all rows and return the version that has the new ones; older versions stay readable.

        Parameters
        ----------
        data : ArrowStream
            The rows.
        commit : Commit, optional
            What the history shall say.
        replace_schema : bool, default False
            Take the columns of the data instead of casting to those of the table.
        """
        return self._write_to_open(data, mode="overwrite", commit=commit, replace_schema=replace_schema)

    def _write_to_open(
        self,
        data: ArrowStream,
        *,
        mode: Literal["append", "overwrite"],
        commit: Commit | None,
        replace_schema: bool = False,
    ) -> int:
        table = self.open()
        stream = StrictStream(data, None if replace_schema else pa.schema(table.schema().to_arrow()))
        self._write(stream, table, mode=mode, commit=commit, replace_schema=replace_schema)
        return table.version()

    def _write(
        self,
        stream: StrictStream,
        target: DeltaTable | str,
        *,
        mode: Literal["append", "overwrite", "error"],
        commit: Commit | None,
        partition_by: Sequence[str] = (),
        replace_schema: bool = False,
    ) -> None:
        try:
            with translated(self.uri):
                write_deltalake(
                    target,
                    stream.reader(),
                    mode=mode,
                    partition_by=list(partition_by) or None,
                    schema_mode="overwrite" if replace_schema else None,
                    configuration=dict(PROPERTIES) if mode == "error" else None,
                    commit_properties=(commit or Commit()).properties(),
                )
        except LakemarkError:
            if stream.failure is not None:
                raise stream.failure from None
            raise


def _is_replayable(data: ArrowStream) -> bool:
    """Return True where asking for the stream again gives all rows again: frames do, readers are used up."""
    return hasattr(data, "__len__") or isinstance(data, FileSource)


def _check_partitions(partition_by: Sequence[str], schema: pa.Schema) -> None:
    for name in partition_by:
        if name not in schema.names:
            close = nearest(name, schema.names)
            raise InvalidInputError(
                f"partition column {name!r} is not in the data" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(schema.names)}",
            )
        if pa.types.is_decimal(schema.field(name).type):  # deltalake writes -0.25 as 0.-25: the table is lost
            raise InvalidInputError(
                f"partition column {name!r} is of type {schema.field(name).type}: deltalake cannot write the folders "
                "of negative fractions",
                hint="partition by a text or an integer",
            )
