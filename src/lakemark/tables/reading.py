"""A Delta table as its readers see it: open a version, read its rows in one order, its history.

A version or a time out of range is an error that names the range, and rows come out in one order
(`lakemark.tables.reads.scan`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError
from lakemark.tables.failures import is_no_log, translated
from lakemark.tables.log.commits import CommitRecord, read_records
from lakemark.tables.log.features import unreadable
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import Manifest, local_folder, location, observe
from lakemark.tables.log.timestamps import version_at
from lakemark.tables.reads.changefeed import change_feed
from lakemark.tables.reads.frames import lazy_frame, pandas_frame
from lakemark.tables.reads.predicates import Predicate
from lakemark.tables.reads.scan import check_columns, scan

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["ORDER_PROPERTY", "Head", "TableReader"]

ORDER_PROPERTY = "lakemark.orderBy"
"""The property of a table that names the columns, with commas between, by which its rows are ordered when read."""


class _Where(Protocol):
    parse: Callable[[str, pa.Schema], Predicate]


class _Ordering(Protocol):
    ordered: Callable[..., pa.RecordBatchReader]


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

    def __repr__(self) -> str:
        """Return the class, the name or else the place, and the version where one is named.

        Examples
        --------
        >>> TableReader("/lake/sales", at=3), TableReader("/lake/sales", name="main.shop.sales")
        (TableReader('/lake/sales@3'), TableReader('main.shop.sales'))
        """
        at = "" if self.at is None else f"@{self.at}"
        return f"{type(self).__name__}({(self.name or self.uri) + at!r})"

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
            version = self.version_at(timestamp)
        elif version is None:
            version = self.at
        if version is None:
            return self._load(None)
        if self.has_commit(version):
            try:
                return self._load(version)
            except LakemarkError as error:
                if not is_no_log(error.__cause__):
                    raise
        return self._load_old(version)

    def _load_old(self, version: int) -> DeltaTable:
        """Open a version whose commit the log does not have: from a checkpoint, if at all."""
        newest = self.newest()
        if not 0 <= version <= newest:  # asked for version 10**12, deltalake would look for all those before it
            raise self._no_version(version, newest)
        try:
            return self._load(version)
        except LakemarkError as error:
            if is_no_log(error.__cause__):
                raise self._no_version(version, newest) from error
            raise

    def _load(self, version: int | None) -> DeltaTable:
        try:
            with translated(self.uri):
                return DeltaTable(self.uri, version=version)
        except LakemarkError as error:
            named = unreadable(error, self.uri)
            if named is error:
                raise
            raise named from error.__cause__

    def newest(self) -> int:
        """Return the number of the latest version, whatever `at` is; that is no read of it."""
        return self._load(None).version()

    def has_commit(self, version: int) -> bool:
        """Return True if the log has the commit of a version, which takes one look and not the reading of the log."""
        if not 0 <= version < 10**20:
            return False
        return TableFiles(self.uri).exists(f"_delta_log/{version:020}.json")

    def version_at(self, timestamp: datetime | str) -> int:
        """Return the number of the version that was the latest at a time; that is no read of it.

        Parameters
        ----------
        timestamp : datetime or str
            An aware datetime, or RFC 3339 text with its offset.

        Raises
        ------
        NotFoundError
            For a time before the first commit that the log has, or in the future.
        """
        return version_at(timestamp, self._times(), uri=self.uri)

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
        where: str | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of a version.

        Parameters
        ----------
        version, timestamp
            As for `open`.
        columns : sequence of str, optional
            Which columns, in this order; without it all.
        where : str, optional
            Which rows, as SQL would say it behind `where`: comparisons of columns and values with `and`, `or`, `not`,
            `in`, `between` and `is null`. Files and row groups that cannot have any are not read.
        order_by : sequence of str, optional
            The columns of a key; rows with equal keys are in the order of files. Without it the columns that the
            table's property `lakemark.orderBy` names; without that, or with none, the order of files, oldest first,
            and of the rows in them.

        Returns
        -------
        pyarrow.Table
            Its rows are in the same order in every call.

        Raises
        ------
        NotFoundError
            For no such table, version, time or column.
        InvalidInputError
            For a condition that cannot be read, or a table with a feature that is not known.
        StorageError
            If a data file is gone.
        """
        table = self.open(version=version, timestamp=timestamp)
        return self._rows(table, columns=columns, where=where, order_by=order_by).read_all()

    def batches(
        self,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pa.RecordBatchReader:
        """Return the rows of a version as a stream, in the order of `read`, whose parameters it takes.

        One batch is in memory at a time; an order by a key is made on disk.
        """
        table = self.open(version=version, timestamp=timestamp)
        return self._rows(table, columns=columns, where=where, order_by=order_by)

    def to_pandas(
        self,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a version as a frame of pandas; the parameters are those of `read`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        table = self.open(version=version, timestamp=timestamp)
        return pandas_frame(self._rows(table, columns=columns, where=where, order_by=order_by))

    def to_polars(
        self,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        order_by: Sequence[str] | None = None,
    ) -> pl.LazyFrame:
        """Return a lazy frame of Polars over a version; the parameters are those of `read`.

        The version is settled now. Rows are read when the frame is collected, batch by batch, and only the columns
        that its query needs; also where Polars itself cannot read the table.

        Raises
        ------
        MissingExtraError
            If Polars is not installed.
        """
        table = self.open(version=version, timestamp=timestamp)
        schema = self._rows(table, columns=columns, where=where, order_by=order_by).schema
        settled = table.version()

        def read(wanted: Sequence[str] | None) -> pa.RecordBatchReader:
            names = columns if wanted is None else wanted
            return self.batches(version=settled, columns=names, where=where, order_by=order_by)

        return lazy_frame(schema, read)

    def changes(
        self, *, from_version: int, to_version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Return what the commits of some versions have changed, in the order of the versions.

        Parameters
        ----------
        from_version : int
            The first version whose commit counts.
        to_version : int, optional
            The last one; without it that of `at`, else the latest.
        columns : sequence of str, optional
            Which columns of the table, in this order; without it all.

        Returns
        -------
        pyarrow.RecordBatchReader
            The columns, then `_change_type` (`insert`, `delete`, `update_preimage`, `update_postimage`),
            `_commit_version` and `_commit_timestamp`.

        Raises
        ------
        NotFoundError
            For no such version or column, or a commit whose log was cleaned.
        InvalidInputError
            If the table did not record its changes then; the property that makes it do so is named.
        """
        last = self.open(version=to_version)
        if from_version > last.version() and (to_version is not None or self.at is not None):
            raise InvalidInputError(
                f"from version {from_version} to {last.version()} of {self.uri} goes backwards",
                hint="give the smaller one first",
            )
        first = last if from_version == last.version() else self.open(version=from_version)
        if not self.has_commit(from_version):
            raise NotFoundError(
                f"the log of {self.uri} has no commit {from_version} any more, though the version can be opened",
                hint="lakemark tables diff compares two versions",
            )
        return change_feed(last, first=first, columns=columns)

    def head(
        self,
        limit: int | None,
        *,
        version: int | None = None,
        timestamp: datetime | str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        order_by: Sequence[str] | None = None,
    ) -> Head:
        """Return the first rows of a version, in the order of `read`; no more of the table is read than needed.

        Parameters
        ----------
        limit : int or None
            How many at most; None is all.
        version, timestamp, columns, where, order_by
            As for `read`.
        """
        table = self.open(version=version, timestamp=timestamp)
        reader = self._rows(table, columns=columns, where=where, order_by=order_by)
        batches, room = [], limit
        for batch in reader:
            batches.append(batch if room is None else batch.slice(0, room))
            if room is not None and batch.num_rows > room:
                return Head(pa.Table.from_batches(batches, reader.schema), table.version(), complete=False)
            room = None if room is None else room - batch.num_rows
        return Head(pa.Table.from_batches(batches, reader.schema), table.version(), complete=True)

    def _rows(
        self,
        table: DeltaTable,
        *,
        columns: Sequence[str] | None,
        where: str | None,
        order_by: Sequence[str] | None,
    ) -> pa.RecordBatchReader:
        schema: pa.Schema = pa.schema(table.schema().to_arrow())
        predicate = None
        if where is not None:  # the parser takes a quarter of a second to load
            parser = cast("_Where", importlib.import_module("lakemark.tables.reads.where"))
            predicate = parser.parse(where, schema)
        keys = list(order_by) if order_by is not None else _declared_order(table)
        with translated(self.uri):
            if not keys:
                return scan(table, columns=columns, where=predicate)
            wanted = schema.names if columns is None else list(columns)
            check_columns([*wanted, *keys], schema, uri=self.uri)
            rows = scan(table, columns=list(dict.fromkeys([*wanted, *keys])), where=predicate)
            ordering = cast("_Ordering", importlib.import_module("lakemark.tables.reads.ordering"))
            return ordering.ordered(rows, keys, columns=wanted)

    def history(self, *, limit: int | None = None) -> list[CommitRecord]:
        """Return the commits that the log still has, up to the version of `at`, the latest first.

        Parameters
        ----------
        limit : int, optional
            How many at most.
        """
        table = self.open()
        with translated(self.uri):
            return read_records(table, limit=limit)

    def _times(self) -> list[tuple[int, int]]:
        """Return version and time (ms) of each commit, ascending."""
        table = self._load(None)
        with translated(self.uri):
            return sorted((record.version, record.timestamp_ms) for record in read_records(table))

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


def _declared_order(table: DeltaTable) -> list[str]:
    declared = table.metadata().configuration.get(ORDER_PROPERTY) or ""
    return [name for part in declared.split(",") if (name := part.strip())]
