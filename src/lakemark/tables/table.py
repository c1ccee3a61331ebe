"""A Delta table: create, append, overwrite, read at a version, history.

A thin, strict layer over `deltalake`: values are never changed on the way in (`lakemark.tables.casts`), a version or a
time out of range is an error that names the range, rows come out in one order (`lakemark.tables.scan`), and commits
carry the run that made them. What lies on disk is plain Delta.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, nearest
from lakemark.tables.casts import StrictStream, storable_schema
from lakemark.tables.commits import Commit, CommitRecord, read_record
from lakemark.tables.failures import is_no_log, is_retryable, translated
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.manifest import Manifest, local_folder, location, observe
from lakemark.tables.scan import scan
from lakemark.tables.sources import FileSource
from lakemark.tables.timestamps import version_at

__all__ = ["PROPERTIES", "Commit", "CommitRecord", "Head", "Table"]

PROPERTIES: Mapping[str, str] = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
"""What a new table gets: its log is not cleaned behind our back, and Spark lets old versions be read."""

_TRIES = 12
_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Head:
    """The first rows of a version.

    Parameters
    ----------
    rows : pyarrow.Table
        The rows.
    version : int
        The version that they are of.
    complete : bool
        True if there are no more.
    """

    rows: pa.Table
    version: int
    complete: bool


class Table:
    """A Delta table, which need not exist yet.

    Parameters
    ----------
    uri : str or Path
        A folder, or a URI of any storage that `deltalake` knows; credentials come from the environment.

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

    def __init__(self, uri: str | Path) -> None:
        self.uri = location(str(uri))

    def exists(self) -> bool:
        """Return True if there is a Delta table."""
        with translated(self.uri):
            return DeltaTable.is_deltatable(self.uri)

    @property
    def version(self) -> int:
        """The latest version, from 0."""
        return self.open().version()

    @property
    def schema(self) -> pa.Schema:
        """The columns of the latest version."""
        return pa.schema(self.open().schema().to_arrow())

    def open(self, *, version: int | None = None, timestamp: datetime | str | None = None) -> DeltaTable:
        """Return the `deltalake.DeltaTable`, opened at a version.

        Parameters
        ----------
        version : int, optional
            From 0; without it and `timestamp`, the latest.
        timestamp : datetime or str, optional
            Open the version that was the latest then: an aware datetime, or RFC 3339 text with its offset.

        Raises
        ------
        NotFoundError
            If there is no table, or no such version or time; what there is is named.
        InvalidInputError
            For both a version and a timestamp, or a timestamp without a zone.
        """
        if version is not None and timestamp is not None:
            raise InvalidInputError("both a version and a timestamp were given", hint="give one of them")
        if timestamp is not None:
            version = version_at(timestamp, self._times(), uri=self.uri)
        with translated(self.uri):
            latest = DeltaTable(self.uri)
        newest = latest.version()
        if version in (None, newest):
            return latest
        if not 0 <= version < newest:  # asked for version 10**12, deltalake would look for all those before it
            raise self._no_version(version, newest)
        try:
            with translated(self.uri):
                return DeltaTable(self.uri, version=version)
        except LakemarkError as error:
            if is_no_log(error.__cause__):
                raise self._no_version(version, newest) from error
            raise

    def manifest(self, *, version: int | None = None) -> Manifest:
        """Return the manifest of a version: what a pin needs."""
        table = self.open(version=version)
        with translated(self.uri):
            return observe(table)

    def read(
        self,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of a version.

        Parameters
        ----------
        version, timestamp
            As for `open`.
        columns : sequence of str, optional
            Which columns, in this order; without it all.

        Returns
        -------
        pyarrow.Table
            Its rows are in the same order in every call.

        Raises
        ------
        NotFoundError
            For no such table, version, time or column.
        StorageError
            If a data file is gone.
        """
        reader = self.stream(version=version, timestamp=timestamp, columns=columns)
        with translated(self.uri):
            return reader.read_all()

    def stream(
        self,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.RecordBatchReader:
        """Return the rows of a version as a stream, in the order of `read`."""
        table = self.open(version=version, timestamp=timestamp)
        with translated(self.uri):
            return scan(table, columns=columns)

    def head(self, limit: int | None, *, version: int | None = None, timestamp: datetime | str | None = None) -> Head:
        """Return the first rows of a version, in the order of `read`; no more of the table is read than needed.

        Parameters
        ----------
        limit : int or None
            How many at most; None is all.
        version, timestamp
            As for `open`.
        """
        table = self.open(version=version, timestamp=timestamp)
        with translated(self.uri):
            reader = scan(table)
            batches, room = [], limit
            for batch in reader:
                batches.append(batch if room is None else batch.slice(0, room))
                if room is not None and batch.num_rows > room:
                    return Head(pa.Table.from_batches(batches, reader.schema), table.version(), complete=False)
                room = None if room is None else room - batch.num_rows
        return Head(pa.Table.from_batches(batches, reader.schema), table.version(), complete=True)

    def history(self, *, limit: int | None = None) -> list[CommitRecord]:
        """Return the commits that the log still has, the latest first.

        Parameters
        ----------
        limit : int, optional
            How many at most.
        """
        table = self.open()
        with translated(self.uri):
            return [read_record(entry) for entry in table.history(limit)]

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

    def _times(self) -> list[tuple[int, int]]:
        """Return version and time (ms) of each commit, ascending."""
        return sorted((record.version, record.timestamp_ms) for record in self.history())

    def _no_version(self, version: int, latest: int) -> NotFoundError:
        first = self._earliest(latest)
        cleaned = 0 <= version < first
        why = "the log of older ones was cleaned" if cleaned else "that is all there is"
        return NotFoundError(
            f"{self.uri} has no version {version} to open: it has {first} to {latest}, {why}",
            hint=f"lakemark tables {'pins' if cleaned else 'history'} {self.uri} lists "
            f"{'versions that can be rebuilt' if cleaned else 'the versions'}",
            first=first,
            latest=latest,
        )

    def _earliest(self, latest: int) -> int:
        """Return the first version that the log can open: 0, or the first checkpoint that is left."""
        folder = local_folder(self.uri)
        if folder is None:
            return min((version for version, _ in self._times()), default=latest)
        names = [path.name.split(".")[0] for path in (folder / "_delta_log").glob("*.json")]
        if "0" * 20 in names:
            return 0
        checkpoints = [path.name.split(".")[0] for path in (folder / "_delta_log").glob("*.checkpoint*.parquet")]
        return min((int(name) for name in checkpoints if name.isdigit()), default=latest)


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
