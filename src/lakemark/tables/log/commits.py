"""Commits: what ours say about themselves, and what a table's history says of all."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties

from lakemark._base.errors import NotFoundError
from lakemark._base.writer import current_writer
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import local_folder

__all__ = ["KEEP_LOG", "Commit", "CommitRecord", "commit_properties", "read_info", "read_record", "read_records"]

KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)
"""For every commit of ours: else `deltalake` deletes the commits of a table that nobody has protected."""

_RUN_ID, _NODE, _MESSAGE = "lakemark.run_id", "lakemark.node", "lakemark.message"
_USER = "userName"  # as Spark writes it
_WRITTEN = ("num_added_rows", "numOutputRows", "num_output_rows", "numTargetRowsInserted")
_Read: TypeAlias = Callable[[int], tuple[bytes, int] | None]
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
        """Return it as `deltalake` takes it, with the user; where it names no run, that of this process is named."""
        writer = current_writer()
        run_id, node = self.run_id or writer.run_id, self.node or writer.node
        said = {_USER: _user_name(), _RUN_ID: run_id, _NODE: node, _MESSAGE: self.message}
        return CommitProperties(custom_metadata={name: value for name, value in said.items() if value is not None})


def _user_name() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return None


def commit_properties(
    commit: Commit | None, *, metadata: Mapping[str, str] | None = None, alone: bool = False
) -> CommitProperties:
    """Return what `deltalake` is told about a commit.

    Parameters
    ----------
    commit : Commit, optional
        What the history shall say.
    metadata : mapping of str to str, optional
        More entries of the commit.
    alone : bool, default False
        Lose the race whenever anybody has committed since the table was opened. Without it `deltalake` looks whether
        the two changes get along, and lets rows live that were appended since.
    """
    properties = (commit or Commit()).properties()
    if metadata:
        properties.custom_metadata = {**(properties.custom_metadata or {}), **metadata}
    if alone:
        properties.max_commit_retries = 0
    return properties


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
        user=text(_USER) or text("userId") or "",
    )


def read_records(table: DeltaTable, *, limit: int | None = None) -> list[CommitRecord]:
    """Return the commits up to the version that is open, as far as the log has them, the latest first.

    Notes
    -----
    The log's files are read here, because `deltalake` counts down from the version that is open, from the newest commit
    that there is by now, and passes over commits that say nothing about themselves, which the format allows: its
    numbers are those of other commits then.
    """
    folder = local_folder(table.table_uri)
    read = _in_folder(folder) if folder is not None else _on_storage(TableFiles(table.table_uri))
    versions = range(table.version(), -1, -1)[:limit]
    records: list[CommitRecord] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(versions), _AT_ONCE):
            part = versions[start : start + _AT_ONCE]
            for version, found in zip(part, map(read, part) if folder else pool.map(read, part), strict=False):
                if found is None:
                    return records
                records.append(_record(version, *found))
    return records


def read_info(uri: str, version: int) -> Mapping[str, object]:
    """Return all that a commit says about itself; empty where it says nothing, or the log does not have it any more."""
    try:
        return _info(TableFiles(uri).read(_path(version)))
    except NotFoundError:
        return {}


def _in_folder(folder: Path) -> _Read:
    def read(version: int) -> tuple[bytes, int] | None:
        path = folder / _path(version)
        try:
            with path.open("rb") as file:
                return file.read(), os.fstat(file.fileno()).st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return None

    return read


def _on_storage(files: TableFiles) -> _Read:
    def read(version: int) -> tuple[bytes, int] | None:
        try:
            content = files.read(_path(version))
        except NotFoundError:
            return None
        written = files.stat(_path(version))
        return content, written.modified_ms if written else 0

    return read


def _record(version: int, content: bytes, written_ms: int) -> CommitRecord:
    return read_record({"timestamp": written_ms, **_info(content), "version": version})


def _info(content: bytes) -> Mapping[str, object]:
    actions = (json.loads(line) for line in content.splitlines() if b'"commitInfo"' in line)
    found: Mapping[str, object] = next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})
    return found


def _path(version: int) -> str:
    return f"_delta_log/{version:020}.json"
