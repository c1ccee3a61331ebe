"""Commits: what ours say about themselves, and what a table's history says of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from deltalake import CommitProperties, DeltaTable

from lakemark._base.errors import NotFoundError
from lakemark._base.writer import current_writer
from lakemark.tables.files import TableFiles

__all__ = ["Commit", "CommitRecord", "read_record", "read_records"]

_RUN_ID, _NODE, _MESSAGE = "lakemark.run_id", "lakemark.node", "lakemark.message"
_WRITTEN = ("num_added_rows", "numOutputRows", "num_output_rows", "numTargetRowsInserted")
_READERS, _AT_ONCE = 16, 256  # threads, for storage that answers late, and commits


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit says about itself in the table's history.

    Parameters
    ----------
    run_id : str, optional
        The run that made it.
    node : str, optional
        The step of the run.
    message : str, optional
        Why, in words.
    """

    run_id: str | None = None
    node: str | None = None
    message: str | None = None

    def properties(self) -> CommitProperties:
        """Return it as `deltalake` takes it; where it names no run, the run that this process works for is named."""
        writer = current_writer()
        said = {_RUN_ID: self.run_id or writer.run_id, _NODE: self.node or writer.node, _MESSAGE: self.message}
        return CommitProperties(custom_metadata={name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """One line of a table's history.

    Parameters
    ----------
    version : int
        The version that the commit made.
    timestamp_ms : int
        When, in milliseconds since 1970-01-01 UTC, by the clock of who wrote it; the commit's own time where the table
        keeps it (`inCommitTimestamp`), which never goes back.
    operation : str
        For example `WRITE`.
    commit : Commit
        What it says about itself.
    engine : str
        What wrote it; empty where it does not say.
    parameters, metrics : mapping of str to str
        Of the operation, as text.
    user : str
        The person who wrote it, where the engine says so.
    """

    version: int
    timestamp_ms: int
    operation: str
    commit: Commit
    engine: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    user: str = ""

    @property
    def added_rows(self) -> int | None:
        """Number of rows that it wrote, None where it does not say."""
        found = next((self.metrics[name] for name in _WRITTEN if name in self.metrics), "")
        return int(found) if found.isdigit() else None


def read_record(entry: Mapping[str, object]) -> CommitRecord:
    """Return what a commit says about itself: its `commitInfo` with its `version`."""

    def text(name: str) -> str | None:
        value = entry.get(name)
        return None if value is None else str(value)

    def texts(name: str) -> Mapping[str, str]:
        values = cast("Mapping[str, object]", entry.get(name) or {})
        return {key: str(value) for key, value in values.items()}

    return CommitRecord(
        version=cast("int", entry["version"]),
        timestamp_ms=cast("int", entry.get("inCommitTimestamp") or entry.get("timestamp") or 0),
        operation=text("operation") or "",
        commit=Commit(run_id=text(_RUN_ID), node=text(_NODE), message=text(_MESSAGE) or text("userMetadata")),
        engine=text("engineInfo") or "",
        parameters=texts("operationParameters"),
        metrics=texts("operationMetrics"),
        user=text("userName") or text("userId") or "",
    )


def read_records(table: DeltaTable, *, limit: int | None = None) -> list[CommitRecord]:
    """Return the commits up to the version that is open, as far as the log has them, the latest first.

    Notes
    -----
    `deltalake` numbers the commits that say something about themselves; where one says nothing, which the format
    allows, all older ones get the number of a neighbour. Then the log's files are read here.
    """
    found = table.history(limit)
    files = TableFiles(table.table_uri)
    older = table.version() - len(found)
    if len(found) == limit or older < 0 or not files.exists(_path(older)):
        return [read_record(entry) for entry in found]
    return _read_log(files, range(table.version(), -1, -1)[:limit])


def _read_log(files: TableFiles, versions: Sequence[int]) -> list[CommitRecord]:
    """Return the commits of versions, until one is missing."""
    records: list[CommitRecord] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(versions), _AT_ONCE):
            for record in pool.map(partial(_commit, files), versions[start : start + _AT_ONCE]):
                if record is None:
                    return records
                records.append(record)
    return records


def _path(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def _commit(files: TableFiles, version: int) -> CommitRecord | None:
    """Return what the log's file of a version says, None where there is no such file any more."""
    path = _path(version)
    try:
        lines = files.read(path).splitlines()
    except NotFoundError:
        return None
    actions = (json.loads(line) for line in lines if b'"commitInfo"' in line)
    found: dict[str, object] = next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})
    if "timestamp" not in found and "inCommitTimestamp" not in found:
        written = files.stat(path)
        found["timestamp"] = written.modified_ms if written else 0
    return read_record({**found, "version": version})
