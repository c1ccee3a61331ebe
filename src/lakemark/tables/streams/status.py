"""How far the queries of a sink are behind their sources."""

from __future__ import annotations

from dataclasses import dataclass

from lakemark._base.errors import LakemarkError
from lakemark.tables.reading import TableReader
from lakemark.tables.streams.offsets import Offset
from lakemark.tables.streams.positions import QueryRecord, list_queries

__all__ = ["QueryStatus", "list_status"]


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """One query of a sink.

    Parameters
    ----------
    name : str
        The query.
    source_uri : str
        The table that it reads.
    batch_id : int
        Its last batch.
    offset : Offset
        Where in the source the next one begins.
    lag : int or None
        Commits of the source that it has not read to the end; None if the source cannot be read.
    problem : str
        Why it cannot go on, empty if it can.
    """

    name: str
    source_uri: str
    batch_id: int
    offset: Offset
    lag: int | None
    problem: str = ""


def list_status(sink: TableReader) -> list[QueryStatus]:
    """Return the queries that write into a table, by name.

    Raises
    ------
    NotFoundError
        If there is no table.
    """
    return [_status(record) for record in list_queries(sink.open())]


def _status(record: QueryRecord) -> QueryStatus:
    offset, lag, problem = record.position.offset, None, ""
    try:
        source = TableReader(record.source_uri).open()
        if str(source.metadata().id) == offset.table_id:
            # a snapshot that is half read counts as one
            lag = max(source.version() - offset.version + 1, 0)
        else:
            problem = "the source was re-created"
    except LakemarkError as error:
        problem = error.message
    return QueryStatus(record.name, record.source_uri, record.position.batch_id, offset, lag, problem)
