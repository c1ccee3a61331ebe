"""How far each query has come, as its sink knows it.

The truth is in the sink's log: the commit of a batch has `txn` with the query's application id and the batch id, and
says from where to where in the source it reads (`lakemark.stream`). So that nobody has to search the history at each
start, `_lakemark/streams/NAME.json` in the sink says the same for the last batch. It is believed only if the log's
`txn` and the sink's id agree; it may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from deltalake import DeltaTable

from lakemark._base.canonical import Json
from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError, StorageError
from lakemark.tables.failures import translated
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import location
from lakemark.tables.streams.log import CommitLog
from lakemark.tables.streams.offsets import Position, offset_from_json

__all__ = ["COMMIT_KEY", "Positions", "QueryRecord", "application", "list_queries"]

COMMIT_KEY = "lakemark.stream"
"""Under which a commit says which batch it is."""

_FORMAT = "lakemark.stream/1"
_FOLDER = "_lakemark/streams"
_PREFIX = "lakemark.stream/"
_LONGEST_NAME = 200

_logger = logging.getLogger(__name__)


def application(name: str) -> str:
    """Return the application id of a query, under which the sink's log counts its batches.

    Raises
    ------
    InvalidInputError
        For an empty name, one of more than 200 characters, or with characters that cannot be printed.
    """
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidInputError(
            f"{name!r} is no name of a query", hint=f"a name has 1 to {_LONGEST_NAME} characters that can be printed"
        )
    return _PREFIX + name


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """What a sink says of one query.

    Parameters
    ----------
    name : str
        The query.
    source_uri : str
        The table that it reads.
    position : Position
        How far it has come.
    """

    name: str
    source_uri: str
    position: Position


class Positions:
    """The positions of one query in one sink.

    Parameters
    ----------
    uri : str
        The sink.
    name : str
        The query.
    """

    def __init__(self, uri: str, name: str) -> None:
        self.application = application(name)
        self._uri = uri
        self._name = name
        self._files = TableFiles(uri)
        self._path = f"{_FOLDER}/{quote(name, safe='')}.json"

    def find(self, sink: DeltaTable) -> QueryRecord | None:
        """Return how far the query has come by the version that is open, None if it has written nothing yet.

        Raises
        ------
        NotFoundError
            If the log counts batches of the query, and neither a commit nor the file tells of the last one.
        """
        last = _transaction(sink, self.application)
        if last is None:
            return None
        noted = self._noted(sink)
        if noted is not None and noted.position.batch_id == last:
            return noted
        for commit in CommitLog(self._uri).newest_first(sink.version()):
            if commit.transactions.get(self.application) == last and COMMIT_KEY in commit.said:
                return _record(self._name, commit.said[COMMIT_KEY])
        raise NotFoundError(
            f"{self._uri} has batch {last} of query {self._name!r}, but neither its log nor {self._path} says how far "
            "in the source that was",
            hint="begin a query of another name, with the startingVersion that comes next",
            batch=last,
        )

    def note(self, record: QueryRecord, table_id: str) -> None:
        """Write the file; a failure is only logged, because the log of the sink has it all.

        Parameters
        ----------
        record : QueryRecord
            What to write.
        table_id : str
            The id of the sink.
        """
        document = {"format": _FORMAT, "table_id": table_id, **_document(record)}
        try:
            self._files.write(self._path, json.dumps(document, indent=1).encode())
        except LakemarkError as error:
            _logger.debug("the position of %s was not noted: %s", self._name, error)

    def said(self, record: QueryRecord, *, start: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return what the commit of a batch says of it."""
        return {**_document(record), "start": start}

    def _noted(self, sink: DeltaTable) -> QueryRecord | None:
        try:
            found = json.loads(self._files.read(self._path))
            if found["format"] == _FORMAT and found["table_id"] == str(sink.metadata().id):
                return _record(self._name, found)
        except (LakemarkError, ValueError, KeyError, TypeError) as error:
            _logger.debug("%s of %s is not used: %s", self._path, self._uri, error)
        return None


def list_queries(sink: DeltaTable) -> list[QueryRecord]:
    """Return the queries that write into a table, by name.

    Parameters
    ----------
    sink : DeltaTable
        Open at the latest version.

    Notes
    -----
    Queries are known by their files; of those without one, what the log's newest commits say, as far as it goes back.
    """
    uri = location(sink.table_uri)
    files, names = TableFiles(uri), set()
    for file in files.list(_FOLDER):
        try:
            names.add(str(json.loads(files.read(file.path))["name"]))
        except (LakemarkError, ValueError, KeyError, TypeError) as error:
            _logger.debug("%s of %s is not used: %s", file.path, uri, error)
    with translated(uri):
        for entry in sink.history(_SEARCHED):
            said = entry.get(COMMIT_KEY)
            if isinstance(said, Mapping) and "name" in said:
                names.add(str(said["name"]))
    found = (Positions(uri, name).find(sink) for name in sorted(names))
    return [record for record in found if record is not None]


_SEARCHED = 1000


def _transaction(sink: DeltaTable, app: str) -> int | None:
    with translated(sink.table_uri):
        return sink.transaction_version(app)


def _document(record: QueryRecord) -> Mapping[str, Json]:
    return {
        "name": record.name,
        "source": record.source_uri,
        "batch": record.position.batch_id,
        "end": record.position.offset.to_json(),
    }


def _record(name: str, said: object) -> QueryRecord:
    try:
        found = cast("Mapping[str, object]", said)
        position = Position(cast("int", found["batch"]), offset_from_json(found["end"]))
        return QueryRecord(name, str(found["source"]), position)
    except (KeyError, TypeError):
        raise StorageError(f"not what a batch of query {name!r} says: {said!r}") from None
