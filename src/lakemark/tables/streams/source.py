"""A table as the source of a stream: where it begins, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import pyarrow as pa
from deltalake import DeltaTable, Schema

from lakemark._base.clock import now_ms, rfc3339
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.tables.failures import translated
from lakemark.tables.log.features import check_readable
from lakemark.tables.log.manifest import ManifestFile, observe
from lakemark.tables.log.timestamps import milliseconds
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.changefeed import CHANGE_COLUMNS
from lakemark.tables.streams.growth import growth_problem
from lakemark.tables.streams.log import CommitLog, LogCommit
from lakemark.tables.streams.offsets import Offset
from lakemark.tables.streams.options import StreamOptions
from lakemark.tables.streams.plans import Gathering, Limits, Plan, ReadRows
from lakemark.tables.streams.rows import read_changes, read_files, read_snapshot_changes

__all__ = ["Source"]

_PHYSICAL_NAME = "delta.columnMapping.physicalName"


class Source:
    """A table that is followed.

    Parameters
    ----------
    table : TableReader
        The table; not one at a version.
    options : StreamOptions
        Where to begin, and what to do about commits that do more than add rows.

    Raises
    ------
    InvalidInputError
        For a table at a version, or with a feature that a stream does not read.
    NotFoundError
        If there is no table.

    Notes
    -----
    Each commit is read as JSON once, so a plan costs as much as what it reads, whatever the length of the history. Rows
    have the columns of the latest version where rows of the place at which the query begins have those too (one that is
    missing is null), else those of that place. A commit that adds or widens columns later ends a batch; the next one
    has the new columns.
    """

    def __init__(self, table: TableReader, options: StreamOptions) -> None:
        if table.at is not None:
            raise InvalidInputError(
                f"{table.uri}@{table.at} is one version, and a stream follows the table",
                hint=f"leave out @{table.at}; startingVersion={table.at} begins with the rows of that commit",
            )
        self._table = table
        self._options = options
        self._log = CommitLog(table.uri)
        self._latest = self._open()
        self._shape: DeltaTable | None = None  # open at a version that has the columns of the rows
        self._begun: Offset | None = None
        self._snapshot: tuple[int, tuple[ManifestFile, ...]] | None = None

    @property
    def uri(self) -> str:
        """Where the table is."""
        return self._table.uri

    @property
    def table_id(self) -> str:
        """The id in the table's metadata."""
        return str(self._latest.metadata().id)

    @property
    def latest(self) -> int:
        """The latest version, as of the last `refresh`."""
        return self._latest.version()

    def refresh(self) -> None:
        """Look which version is the latest now."""
        self._latest = self._open()

    def start(self) -> Offset:
        """Return where a query without an offset begins, by the options.

        Raises
        ------
        NotFoundError
            For a version or a time that the log does not have (any more).
        """
        self._begun = self._starting_offset()
        return self._begun

    def plan(self, start: Offset, limits: Limits) -> Plan:
        """Return the next batch.

        Parameters
        ----------
        start : Offset
            Where the last one ended.
        limits : Limits
            Where this one ends at the latest.

        Raises
        ------
        ConflictError
            If the table is another one than that of the offset; if its columns changed so that rows of before are not
            rows of after; for a commit that removes or rewrites rows, if the options do not say what to do about it.
        NotFoundError
            If a commit, or the version that a snapshot is of, is not in the log any more.
        """
        if start.table_id != self.table_id:
            raise self._recreated(start.table_id, self.table_id)
        if start.version > self.latest + 1:
            self.refresh()  # another copy of the query saw a newer version
        if start.version > self.latest + 1:
            raise ConflictError(
                f"{self.uri} is at version {self.latest}, and the stream has read up to {start.version - 1}: commits "
                "were taken away, as by an older copy of the table",
                hint="begin a new query, under another name",
            )
        if self._shape is None:
            self._shape = self._first_shape(start)
        gathering = Gathering(limits)
        end = self._gather_snapshot(start, gathering) if start.initial else self._gather_commits(start, gathering)
        read, schema = self._reading(start, gathering, self._shape)
        return Plan(start, end, schema, gathering.files, gathering.bytes, read)

    def _starting_offset(self) -> Offset:
        asked: int | Literal["latest"] | None = self._options.starting_version
        if self._options.starting_timestamp is not None:
            asked = self._version_from(milliseconds(self._options.starting_timestamp))
        if asked is None:
            return Offset(self.table_id, self.latest, initial=True)
        if asked == "latest":
            return Offset(self.table_id, self.latest + 1)
        if asked > self.latest + 1:
            raise NotFoundError(
                f"{self.uri} has no version {asked} to start at: its latest is {self.latest}",
                hint="startingVersion=latest begins with what comes next",
            )
        if asked <= self.latest:
            self._log.read(asked)
        return Offset(self.table_id, asked)

    def _version_from(self, asked: int) -> int:
        """Return the first version that was made at or after a time; a clock that went back stands still."""
        latest_ms = 0
        for place, record in enumerate(reversed(self._table.history())):
            latest_ms = max(latest_ms, record.timestamp_ms)
            if latest_ms >= asked:
                if place == 0 and record.version > 0:
                    raise NotFoundError(
                        f"{self.uri} was changed before {rfc3339(latest_ms)} as well, but its log begins there",
                        hint=f"startingVersion={record.version} begins with what the log has",
                    )
                return record.version
        if asked > now_ms():
            raise NotFoundError(
                f"startingTimestamp {rfc3339(asked)} is in the future",
                hint="startingVersion=latest begins with what comes next",
            )
        return self.latest + 1

    def _gather_snapshot(self, start: Offset, gathering: Gathering) -> Offset:
        return gathering.take(start, self._files_of(start.version))

    def _gather_commits(self, start: Offset, gathering: Gathering) -> Offset:
        asked = gathering.limits.version
        last = self.latest if asked is None else min(asked, self.latest)
        offset = start
        while offset.version <= last and gathering.goes_on(offset):
            commit = self._log.read(offset.version)
            if offset.index == 0 and self._waits(commit, gathering):
                break
            if not self._options.read_change_feed:
                offset = gathering.take(offset, self._emitted(commit))
                continue
            size = commit.feed_bytes or commit.removed_bytes + sum(entry.size for entry in commit.added)
            files = len(commit.added) + commit.removed_files
            if commit.changes_rows and not gathering.take_commit(commit.version, files=files, size=size):
                break
            offset = offset.after()
        return offset

    def _reading(self, start: Offset, gathering: Gathering, shape: DeltaTable) -> tuple[ReadRows, pa.Schema]:
        """Return how the rows are read, and their columns."""
        files, schema = tuple(gathering.entries), _arrow(shape.schema())
        if not self._options.read_change_feed:
            return partial(read_files, shape, files), schema
        with_feed = pa.schema([*schema, *CHANGE_COLUMNS])
        if start.initial:
            made = max((one.entry.modification_time for one in files), default=0)
            return partial(read_snapshot_changes, shape, files, timestamp_ms=made), with_feed
        return partial(read_changes, shape, tuple(gathering.commits)), with_feed

    def _emitted(self, commit: LogCommit) -> tuple[ManifestFile, ...]:
        """Return the files of a commit whose rows come, by what the options say of commits that remove files."""
        options = self._options
        if not commit.removed_files or options.ignore_changes:
            return self._named(commit.added)
        if options.skip_change_commits or (options.ignore_deletes and not commit.added):
            return ()
        what = "rewrites" if commit.added else "deletes"
        choices = "skipChangeCommits=true goes on without the rows of such commits"
        if not commit.added:
            choices += ", ignoreDeletes=true goes on over those that only delete"
        raise ConflictError(
            f"commit {commit.version} of {self.uri} ({commit.operation}) {what} rows, and a stream only adds rows",
            hint=f"{choices}, readChangeFeed=true gives every change as rows",
            version=commit.version,
            operation=commit.operation,
        )

    def _named(self, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        """Return files with the columns' names for their partition values; the log has the names inside the files."""
        shape = self._latest if self._shape is None else self._shape
        if shape.metadata().configuration.get("delta.columnMapping.mode", "none") == "none":
            return files
        names = {str(field.metadata.get(_PHYSICAL_NAME, field.name)): field.name for field in shape.schema().fields}
        return tuple(
            replace(one, partition_values={names[key]: value for key, value in one.partition_values.items()})
            for one in files
        )

    def _waits(self, commit: LogCommit, gathering: Gathering) -> bool:
        """Take over the columns that a commit sets; True if these must wait until the batch so far is out."""
        if commit.table_id is not None and commit.table_id != self.table_id:
            raise self._recreated(commit.table_id, self.table_id)
        if commit.schema_json is None or self._shape is None:
            return False
        columns, known = _arrow(Schema.from_json(commit.schema_json)), _arrow(self._shape.schema())
        if growth_problem(columns, known) is None:
            return False
        problem = growth_problem(known, columns)
        if problem is not None:
            raise ConflictError(
                f"commit {commit.version} of {self.uri} ({commit.operation}) changes its columns: {problem}; "
                "a stream goes on only over columns that are added or widened",
                hint=f"begin a new query, under another name, with startingVersion={commit.version}",
                version=commit.version,
            )
        if not gathering.files:
            self._shape = self._at(commit.version)
        return bool(gathering.files)

    def _first_shape(self, start: Offset) -> DeltaTable:
        """Return the version whose columns the first batch has: the latest, if all rows from here on can have them."""
        half_read = start.initial or start.index or start == self._begun
        place = start.version if half_read else max(start.version - 1, 0)
        try:
            before = self._at(place)
        except NotFoundError:
            if start.initial:
                raise
            self._log.read(start.version)  # which says better what is gone
            before = self._at(start.version)
        grown = growth_problem(_arrow(before.schema()), _arrow(self._latest.schema())) is None
        return self._latest if grown else before

    def _at(self, version: int) -> DeltaTable:
        return self._latest if version >= self.latest else self._table.open(version=version)

    def _files_of(self, version: int) -> tuple[ManifestFile, ...]:
        """Return the files of a snapshot, in their order."""
        if self._snapshot is None or self._snapshot[0] != version:
            with translated(self.uri):
                entries = observe(self._at(version)).entries
            ordered = sorted(entries, key=lambda entry: (entry.modification_time, entry.path))
            self._snapshot = version, tuple(ordered)
        return self._snapshot[1]

    def _open(self) -> DeltaTable:
        table = self._table.open()
        check_readable(table)
        mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
        if self._options.read_change_feed and mode != "none":
            raise InvalidInputError(
                f"{self.uri} maps its columns by {mode}, and its change feed cannot be read then",
                hint="without readChangeFeed its rows can be read as a stream",
            )
        return table

    def _recreated(self, before: str, now: str) -> ConflictError:
        return ConflictError(
            f"{self.uri} is another table than the one that the stream has read: its id was {before} and is {now}",
            hint="a table that was re-created, or another one under the same query name, needs a query of another name",
            before=before,
            now=now,
        )


def _arrow(schema: Schema) -> pa.Schema:
    return pa.schema(schema.to_arrow())
