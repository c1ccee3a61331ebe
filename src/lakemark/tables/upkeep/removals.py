"""Removals: when files left a table, as its log tells it.

A commit's JSON file says which data files and deletion vectors it removed, and which change data it has. A checkpoint
repeats the removals that are not too old. The log is read once, from its end, and only until every file that somebody
asks about is explained; the newest checkpoint is read for what is left, one group of rows after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark._base.errors import LakemarkError, StorageError
from lakemark.tables.log.deletion import vector_from_json
from lakemark.tables.log.files import StoredFile, TableFiles

__all__ = ["LOG", "ChangeData", "LogFiles", "Removals", "list_log", "read_removals"]

LOG = "_delta_log"
"""The folder of the log, inside a table's folder."""

_COMMIT = re.compile(LOG + r"/(\d{20})\.json")
_CHECKPOINT = re.compile(LOG + r"/(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10}))?\.parquet")
_WANTED = ("path", "deletionTimestamp", "deletionVector")
_ROWS = 16_384

_Action: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LogFiles:
    """What lies in the log of a table.

    Parameters
    ----------
    commits : mapping of int to StoredFile
        The commits that are left, by the version that each made.
    checkpoints : mapping of int to tuple of StoredFile
        The parts of each complete checkpoint, by its version; those of version 2 are not among them.
    """

    commits: Mapping[int, StoredFile]
    checkpoints: Mapping[int, tuple[StoredFile, ...]]


@dataclass(frozen=True, slots=True)
class ChangeData:
    """The commit that a file of change data belongs to.

    Parameters
    ----------
    version : int
        The version that the commit made.
    written_ms : int
        When, in milliseconds since 1970-01-01 UTC.
    """

    version: int
    written_ms: int


@dataclass(frozen=True, slots=True)
class Removals:
    """What a log says of files that are not part of the latest version.

    Parameters
    ----------
    removed_ms : mapping of str to int
        When (ms since 1970-01-01 UTC) each data file and deletion vector was removed for the last time, by its path in
        the table.
    changes : mapping of str to ChangeData
        Files of change data, by their path in the table.
    begins_ms : int
        When the first commit of the log's unbroken end was written, 0 if that is the table's first: what the log does
        not know was removed, or abandoned, before that, or is not in a commit yet.
    """

    removed_ms: Mapping[str, int]
    changes: Mapping[str, ChangeData]
    begins_ms: int


def list_log(files: TableFiles) -> LogFiles:
    """Return what lies in the log of a table."""
    commits: dict[int, StoredFile] = {}
    parts: dict[int, list[tuple[int, StoredFile]]] = {}
    for file in files.list(LOG):
        commit, checkpoint = _COMMIT.fullmatch(file.path), _CHECKPOINT.fullmatch(file.path)
        if commit is not None:
            commits[int(commit[1])] = file
        elif checkpoint is not None:
            parts.setdefault(int(checkpoint[1]), []).append((int(checkpoint[2] or 1), file))
    whole = {version: found for version, found in parts.items() if len(found) == max(count for count, _ in found)}
    return LogFiles(commits, {version: tuple(file for _, file in found) for version, found in whole.items()})


def read_removals(files: TableFiles, wanted: Collection[str]) -> Removals:
    """Return what the log says about some files.

    Parameters
    ----------
    files : TableFiles
        The table's.
    wanted : collection of str
        Paths in the table of files that the latest version does not name.

    Raises
    ------
    StorageError
        If a part of the log cannot be read: then nobody knows what may go.

    Notes
    -----
    Reads each commit at most once, so the time grows with the commits since the oldest removal asked about. Checkpoints
    in the parts of version 2 are not read: what only they tell counts as removed when the log begins, which is later.
    """
    log = list_log(files)
    removed: dict[str, int] = {}
    changes: dict[str, ChangeData] = {}
    unknown = set(wanted)
    for version in sorted(log.commits, reverse=True):
        if not unknown:
            break
        _read_commit(files, version, log.commits[version].modified_ms, removed=removed, changes=changes)
        unknown -= removed.keys() | changes.keys()
    if unknown and log.checkpoints:
        for part in log.checkpoints[max(log.checkpoints)]:
            for remove in _checkpoint_removes(files, part.path):
                _note(remove, now_ms(), removed)
    return Removals(removed, changes, _begins(log.commits))


def _begins(commits: Mapping[int, StoredFile]) -> int:
    if not commits:
        return now_ms()
    first = max(commits)
    while first - 1 in commits:
        first -= 1
    return 0 if first == 0 else commits[first].modified_ms


def _read_commit(
    files: TableFiles, version: int, written_ms: int, *, removed: dict[str, int], changes: dict[str, ChangeData]
) -> None:
    path = f"{LOG}/{version:020}.json"
    for line in files.read(path).splitlines():
        if b'"remove"' not in line and b'"cdc"' not in line:
            continue
        try:
            action = cast("Mapping[str, _Action]", json.loads(line))
            if "remove" in action:
                _note(action["remove"], written_ms, removed)
            elif "cdc" in action:
                changes[unquote(cast("str", action["cdc"]["path"]))] = ChangeData(version, written_ms)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(files, path, repr(error)) from error


def _note(remove: _Action, written_ms: int, removed: dict[str, int]) -> None:
    moment = cast("int | None", remove.get("deletionTimestamp")) or written_ms
    gone = [unquote(cast("str", remove["path"]))]
    vector = cast("Mapping[str, Json] | None", remove.get("deletionVector"))
    if vector is not None and vector.get("storageType") == "u":
        gone.append(vector_from_json(vector).relative_path() or "")
    for path in gone:
        removed[path] = max(removed.get(path, 0), moment)


def _checkpoint_removes(files: TableFiles, path: str) -> Iterator[_Action]:
    try:
        with files.open(path) as stream:
            parquet = pq.ParquetFile(stream)
            if "remove" not in parquet.schema_arrow.names:
                return
            columns = [f"remove.{name}" for name in _WANTED]
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns):
                column = batch.column("remove")
                for remove in cast("list[_Action]", column.filter(column.is_valid()).to_pylist()):
                    if remove.get("path") is not None:
                        yield remove
    except LakemarkError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(files, path, str(error)) from error


def _unreadable(files: TableFiles, path: str, cause: str) -> StorageError:
    return StorageError(
        f"{files.uri}/{path} cannot be read, so nothing is deleted: {cause}",
        hint="restore it from a backup; what the log says of removed files is lost with it",
    )
