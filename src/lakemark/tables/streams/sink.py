"""A table as the sink of a stream: each batch is one commit, once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Transaction, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit
from lakemark.tables.streams.batches import Batch, Delivery, Pending
from lakemark.tables.streams.offsets import Position
from lakemark.tables.streams.positions import COMMIT_KEY, Positions, QueryRecord
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compact_small_files
from lakemark.tables.writes.casts import StrictStream, storable_schema
from lakemark.tables.writes.constraints import explained, generated_columns
from lakemark.tables.writes.guards import Guarded, admit
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.schemas import merged_schema
from lakemark.tables.writes.targets import check_latest, open_target

__all__ = ["SinkOptions", "TableSink"]

_SMALL_BYTES = 16 * 1024 * 1024

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a stream writes into a table.

    Parameters
    ----------
    partition_by : tuple of str, default ()
        Columns whose values become folders, where the stream makes the table.
    merge_schema : bool, default False
        Add columns that the rows have and the table does not, and write null where it is the other way round. Without
        it such rows are refused, as by an append.
    compact_every : int, default 50
        Compact the table once so many small files have piled up, looking every so many batches; 0 never does.
    """

    partition_by: tuple[str, ...] = ()
    merge_schema: bool = False
    compact_every: int = 50

    def __post_init__(self) -> None:
        if self.compact_every < 0:
            raise InvalidInputError(
                f"compact_every is {self.compact_every}", hint="it takes a number of batches, or 0 for never"
            )


class TableSink:
    """A table that takes the batches of one query.

    Parameters
    ----------
    table : Table
        It is made by the first batch where there is none.
    name : str
        The query.
    options : SinkOptions
        How to write.

    Notes
    -----
    A batch is committed with its id as `txn`, through the handle that was seen not to have it. Delta refuses a commit
    if another one with the same application id came in between, so of two copies of a query one gets each batch in.
    After any other lost race the table is opened, looked at and written again.
    """

    def __init__(self, table: Table, name: str, options: SinkOptions) -> None:
        check_latest(table)
        self._table = table
        self._name = name
        self._options = options
        self._positions = Positions(table.uri, name)

    def position(self) -> Position | None:
        """Return the last batch that the table has."""
        if not self._table.exists():
            return None
        found = self._positions.find(self._table.open())
        return None if found is None else found.position

    def pending(self) -> Pending | None:
        """Return None: a batch is in a commit or it is not."""
        return None

    def deliver(self, batch: Batch) -> Delivery | None:
        """Commit a batch; None if another copy of the query has done it.

        Raises
        ------
        InvalidInputError
            If its rows do not fit the table; nothing is committed.
        ConflictError
            If others changed the table all the time, or it is not the table any more that had the batches before.
        """

        def write() -> Delivery | None:
            sink = self._open(batch)
            with translated(self._table.uri):
                last = sink.transaction_version(self._positions.application)
            if last is not None and last >= batch.batch_id:
                return None
            if (-1 if last is None else last) != batch.batch_id - 1:
                raise self._lost(batch.batch_id, last)
            return self._write(batch, sink)

        return retried(write)

    def finish(self, position: Position) -> None:
        """Note how far the query came, over commits without rows too, and compact the table if it is time."""
        sink = self._table.open()
        found = self._positions.find(sink)
        if found is None or found.position.batch_id != position.batch_id:
            return  # another copy of the query is further
        if found.position != position:
            self._note(QueryRecord(self._name, found.source_uri, position), sink)
        self._compact()

    def _open(self, batch: Batch) -> DeltaTable:
        """Return the table, made where there is none."""
        if batch.batch_id == 0 and not self._table.exists():
            schema = storable_schema(batch.reader().schema)
            try:
                self._table.create(
                    schema,
                    partition_by=self._options.partition_by,
                    commit=Commit(message=f"sink of stream {self._name}"),
                )
            except ConflictError as error:  # made by another query meanwhile
                _logger.debug("%s", error)
        return open_target(self._table)

    def _write(self, batch: Batch, sink: DeltaTable) -> Delivery:
        record = QueryRecord(self._name, batch.source_uri, Position(batch.batch_id, batch.plan.end))
        stream, merges = self._shaped(batch.reader(), sink)
        try:
            admitted = admit(sink, Guarded(stream.reader()))
            properties = Commit(message=f"batch {batch.batch_id} of stream {self._name}").properties()
            properties.app_transactions = [Transaction(self._positions.application, batch.batch_id)]
            properties.custom_metadata = {
                **(properties.custom_metadata or {}),
                **admitted.metadata,
                COMMIT_KEY: self._positions.said(record, start=batch.plan.start.to_json()),
            }
            with explained(sink):
                write_deltalake(
                    sink,
                    admitted.rows,
                    mode="append",
                    schema_mode="merge" if merges else None,
                    commit_properties=properties,
                    post_commithook_properties=KEEP_LOG,
                )
        except LakemarkError:
            if stream.failure is not None:
                raise stream.failure from None
            raise
        version = sink.version()
        self._note(record, sink)
        if self._options.compact_every and batch.batch_id % self._options.compact_every == 0:
            self._compact()
        return Delivery(stream.rows, version)

    def _shaped(self, reader: pa.RecordBatchReader, sink: DeltaTable) -> tuple[StrictStream, bool]:
        """Return the rows cast to the table's columns, and whether it gets new ones."""
        merge, schema = self._options.merge_schema, pa.schema(sink.schema().to_arrow())
        wanted = merged_schema(schema, reader.schema, widen=False) if merge else schema
        try:
            stream = StrictStream(
                reader,
                wanted,
                fill_nulls=merge,
                computed=generated_columns(sink),
                partitions=sink.metadata().partition_columns,
            )
        except InvalidInputError as error:
            if merge or not (error.context.get("unknown") or error.context.get("missing")):
                raise
            hint = "merge_schema=True, or --merge-schema, adds columns to the sink, and fills those that the rows lack"
            raise InvalidInputError(error.message, hint=hint, **error.context) from error
        return stream, wanted.names != schema.names

    def _note(self, record: QueryRecord, sink: DeltaTable) -> None:
        self._positions.note(record, str(sink.metadata().id))

    def _compact(self) -> None:
        """Merge small files. It changes no row, so it may fail: then the next one does it."""
        limit = self._options.compact_every
        if not limit:
            return
        message = f"small files of stream {self._name}"
        try:
            compact_small_files(self._table, small_bytes=_SMALL_BYTES, limit=limit, message=message)
        except (LakemarkError, OSError) as error:
            _logger.debug("%s was not compacted: %s", self._table.uri, error)

    def _lost(self, batch_id: int, last: int | None) -> ConflictError:
        has = "none of its batches" if last is None else f"batch {last} as its last"
        return ConflictError(
            f"{self._table.uri} has {has}, and batch {batch_id} of query {self._name!r} comes next: it was re-created",
            hint="a sink that was re-created is filled by running the query again from its start",
        )
