"""A Delta table as its readers see it: open a version, read its rows in one order, its history.

A version or a time out of range is an error that names the range, and rows come out in one order
(`lakemark.tables.scan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError
from lakemark.tables.commits import CommitRecord, read_record
from lakemark.tables.failures import is_no_log, translated
from lakemark.tables.manifest import Manifest, local_folder, location, observe
from lakemark.tables.scan import scan
from lakemark.tables.timestamps import version_at

__all__ = ["Head", "TableReader"]


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


class TableReader:
    """A Delta table that is read; `lakemark.tables.table.Table` is one that can be written too.

    Parameters
    ----------
    uri : str or Path
        A folder, or a URI of any storage that `deltalake` knows; credentials come from the environment.
    at : int, optional
        The version that reads without `version` and `timestamp` get; without it the latest.
    name : str, optional
        What the catalog calls it, `catalog.schema.table`.
    """

    def __init__(self, uri: str | Path, *, at: int | None = None, name: str | None = None) -> None:
        self.uri = location(str(uri))
        self.at = at
        self.name = name

    def exists(self) -> bool:
        """Return True if there is a Delta table."""
        with translated(self.uri):
            return DeltaTable.is_deltatable(self.uri)

    @property
    def version(self) -> int:
        """The version that is read, from 0: that of `at`, else the latest."""
        return self.open().version()

    @property
    def schema(self) -> pa.Schema:
        """The columns of the version that is read."""
        return pa.schema(self.open().schema().to_arrow())

    def open(self, *, version: int | None = None, timestamp: datetime | str | None = None) -> DeltaTable:
        """Return the `deltalake.DeltaTable`, opened at a version.

        Parameters
        ----------
        version : int, optional
            From 0; without it and `timestamp`, that of `at`, else the latest.
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
        elif version is None:
            version = self.at
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
        reader = self.batches(version=version, timestamp=timestamp, columns=columns)
        with translated(self.uri):
            return reader.read_all()

    def batches(
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
