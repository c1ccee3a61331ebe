"""Maintenance of one table: compact, z-order, checkpoint.

None of them changes a row, and what pins hold stays: files that were replaced lie where they are until a vacuum finds
that nothing needs them. The log is never cleaned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import Commit
from lakemark.tables.log.files import StoredFile, TableFiles
from lakemark.tables.log.manifest import ManifestFile, observe
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compacting
from lakemark.tables.upkeep.removals import LOG, list_log
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.targets import refuse_binary_partitions

__all__ = ["TARGET_BYTES", "Compaction", "checkpoint", "compact", "z_order"]

TARGET_BYTES = 104_857_600
"""How large compacted files shall be where neither the caller nor the table (`delta.targetFileSize`) says it."""

_HINT = f"{LOG}/_last_checkpoint"

_Filters: TypeAlias = "list[tuple[str, str, str]]"
_Bins: TypeAlias = "list[list[ManifestFile]]"


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction or a z-order did, or would do.

    Parameters
    ----------
    version : int or None
        The version that it made, None if there was nothing to do or nothing was done.
    merged : tuple of str
        Files that were replaced, or would be, as the log spells them; sorted.
    merged_bytes : int
        Their size.
    new_files : int
        How many files have their rows now; in a dry run, about how many it will be.
    new_bytes : int
        Their size, 0 in a dry run.
    dry_run : bool
        True if nothing was done.
    """

    version: int | None
    merged: tuple[str, ...]
    merged_bytes: int
    new_files: int
    new_bytes: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Rewriting:
    """What `compact` and `z_order` have in common: which files, and what is done to them."""

    where: Mapping[str, str]
    target_size: int | None
    plan: Callable[[Sequence[ManifestFile], int], Iterator[list[ManifestFile]]]
    optimize: Callable[[DeltaTable, _Filters, int], object]


def compact(
    table: Table,
    *,
    target_size: int | None = None,
    where: Mapping[str, str] | None = None,
    commit: Commit | None = None,
    dry_run: bool = False,
) -> Compaction:
    """Merge files that are smaller than a target into files of about that size.

    Parameters
    ----------
    table : Table
        On any storage.
    target_size : int, optional
        Bytes; without it the table's `delta.targetFileSize`, else 100 MiB.
    where : mapping of str to str, optional
        Only files with these values of partition columns, written as in the names of folders; empty text is null.
    commit : Commit, optional
        What the history shall say.
    dry_run : bool, default False
        Only say what would be merged.

    Raises
    ------
    InvalidInputError
        For a table at a version, a column that the table is not partitioned by, or a feature that `deltalake` cannot
        compact.
    ConflictError
        If others removed the same files each time it was tried again.

    Notes
    -----
    Files are merged with neighbours in the order of the log, which is that of writing. Runs in as many threads as there
    are cores, each of which needs memory for about one target file.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> table = Table(tempfile.mkdtemp())
    >>> table.create(pa.table({"x": [1]})), table.append(pa.table({"x": [2]}))
    (0, 1)
    >>> done = compact(table)
    >>> done.version, len(done.merged), done.new_files
    (2, 2, 1)
    """
    said = commit or Commit(message="compact")

    def optimize(opened: DeltaTable, filters: _Filters, target: int) -> object:
        return opened.optimize.compact(filters or None, target, commit_properties=said.properties())

    return _rewrite(table, _Rewriting(where or {}, target_size, _small_files, optimize), dry_run=dry_run)


def z_order(
    table: Table,
    columns: Sequence[str],
    *,
    target_size: int | None = None,
    where: Mapping[str, str] | None = None,
    commit: Commit | None = None,
    dry_run: bool = False,
) -> Compaction:
    """Write the rows of each partition anew, so that rows with close values in some columns are in the same file.

    Parameters
    ----------
    table : Table
        On any storage.
    columns : sequence of str
        One or more columns, none of them one that the table is partitioned by.
    target_size, where, commit, dry_run
        As for `compact`.

    Raises
    ------
    InvalidInputError
        As for `compact`, and for columns that do not fit.
    ConflictError
        As for `compact`.

    Notes
    -----
    Always rewrites all files that `where` leaves, and changes the order of rows. Sorts one partition at a time, on disk
    where it is larger than memory.
    """
    _check_columns(table.uri, table.open(), columns)
    said = commit or Commit(message=f"z-order by {', '.join(columns)}")

    def optimize(opened: DeltaTable, filters: _Filters, target: int) -> object:
        return opened.optimize.z_order(list(columns), filters or None, target, commit_properties=said.properties())

    return _rewrite(table, _Rewriting(where or {}, target_size, _all_files, optimize), dry_run=dry_run)


def checkpoint(table: Table) -> int:
    """Write down the state of the latest version, so that opening it reads no older commits; return that version.

    Parameters
    ----------
    table : Table
        On any storage.

    Raises
    ------
    InvalidInputError
        For a table at a version.
    StorageError
        If it cannot be written.

    Notes
    -----
    Deletes nothing. Where the checkpoint exists, it is not written again. Readers begin with the checkpoint that
    `_last_checkpoint` names; where that is not the newest, because somebody wrote an older one at the same moment, or
    the file is torn, it is set right.
    """
    _check_whole(table)
    files = TableFiles(table.uri)
    with translated(table.uri):
        opened = DeltaTable(table.uri)
        if opened.version() not in list_log(files).checkpoints:
            opened.create_checkpoint()
        checkpoints = list_log(files).checkpoints
        newest = max(checkpoints, default=-1)
        if _recommended(files) < newest:
            _recommend(files, newest, checkpoints[newest])
    return opened.version()


def _rewrite(table: Table, work: _Rewriting, *, dry_run: bool) -> Compaction:
    _check_whole(table)
    if work.target_size is not None and work.target_size <= 0:
        raise InvalidInputError(f"a target of {work.target_size} bytes: must be more than 0")

    def rewrite() -> Compaction:
        with translated(table.uri), compacting(table) as opened:
            if opened is None:
                raise ConflictError(
                    f"{table.uri} is being compacted by somebody else", hint="do it again when that is done", retry=True
                )
            return _rewrite_opened(table, opened, work)

    with translated(table.uri):
        opened = table.open()
        _check_features(table.uri, opened)
        _filters(table.uri, opened, work.where)
        bins, target = _plan(opened, work)
    if dry_run or not bins:
        return _planned(bins, target, dry_run=dry_run)
    return retried(rewrite)


def _rewrite_opened(table: Table, opened: DeltaTable, work: _Rewriting) -> Compaction:
    """Rewrite through a handle that `compacting` gave: it is the only one that does so now."""
    filters = _filters(table.uri, opened, work.where)
    bins, target = _plan(opened, work)
    before = opened.version()
    if bins:
        work.optimize(opened, filters, target)
    if opened.version() == before:
        return _planned([], target, dry_run=False)
    return _done(TableFiles(table.uri), opened.version())


def _plan(opened: DeltaTable, work: _Rewriting) -> tuple[_Bins, int]:
    """Return the files that will be merged into one another, and how large they may become."""
    target = work.target_size or int(opened.metadata().configuration.get("delta.targetFileSize", TARGET_BYTES))
    partitions: dict[tuple[str | None, ...], list[ManifestFile]] = {}
    known = {entry.path: entry for entry in observe(opened).entries}
    for path in opened.get_add_actions()["path"].to_pylist():  # in the order that `deltalake` goes by, newest first
        entry = known[path]
        if all((entry.partition_values.get(name) or "") == value for name, value in work.where.items()):
            partitions.setdefault(tuple(entry.partition_values.values()), []).append(entry)
    return [part for entries in partitions.values() for part in work.plan(entries, target)], target


def _small_files(entries: Sequence[ManifestFile], target: int) -> Iterator[list[ManifestFile]]:
    """Yield neighbours that together are not larger than the target; a larger file keeps its neighbours apart."""
    part: list[ManifestFile] = []
    size = 0
    for entry in entries:
        if size + entry.size > target:
            if len(part) > 1:
                yield part
            part, size = [], 0
        if entry.size <= target:
            part.append(entry)
            size += entry.size
    if len(part) > 1:
        yield part


def _all_files(entries: Sequence[ManifestFile], target: int) -> Iterator[list[ManifestFile]]:  # noqa: ARG001
    yield list(entries)


def _planned(bins: _Bins, target: int, *, dry_run: bool) -> Compaction:
    merged = [entry for part in bins for entry in part]
    new = sum(max(1, round(sum(entry.size for entry in part) / target)) for part in bins)
    size = sum(entry.size for entry in merged)
    return Compaction(None, tuple(sorted(entry.path for entry in merged)), size, new, 0, dry_run)


def _done(files: TableFiles, version: int) -> Compaction:
    """Return what the commit says that was done."""
    lines = files.read(f"{LOG}/{version:020}.json").splitlines()
    actions = [cast("Mapping[str, Mapping[str, object]]", json.loads(line)) for line in lines]
    removed = [action["remove"] for action in actions if "remove" in action]
    added = [action["add"] for action in actions if "add" in action]
    return Compaction(
        version=version,
        merged=tuple(sorted(cast("str", remove["path"]) for remove in removed)),
        merged_bytes=sum(cast("int", remove.get("size") or 0) for remove in removed),
        new_files=len(added),
        new_bytes=sum(cast("int", add["size"]) for add in added),
        dry_run=False,
    )


def _recommended(files: TableFiles) -> int:
    """Return the version of the checkpoint that readers begin with, -1 where there is none that can be told."""
    try:
        return int(json.loads(files.read(_HINT))["version"])
    except (NotFoundError, ValueError, KeyError, TypeError):
        return -1


def _recommend(files: TableFiles, version: int, parts: Sequence[StoredFile]) -> None:
    rows = 0
    for part in parts:
        with files.open(part.path) as stream:
            rows += pq.ParquetFile(stream).metadata.num_rows
    hint = {"version": version, "size": rows} | ({"parts": len(parts)} if len(parts) > 1 else {})
    files.write(_HINT, json.dumps(hint).encode())


def _filters(uri: str, opened: DeltaTable, where: Mapping[str, str]) -> _Filters:
    partitions = list(opened.metadata().partition_columns)
    for name in where:
        if name not in partitions:
            by = f"by {', '.join(partitions)}" if partitions else "by no column"
            raise InvalidInputError(f"{uri} is not partitioned by {name!r}", hint=f"it is partitioned {by}")
    return [(name, "=", value) for name, value in where.items()]


def _check_whole(table: Table) -> None:
    if table.at is not None:
        raise InvalidInputError(f"{table.uri}@{table.at} is one version of a table; only the latest can be maintained")


def _check_features(uri: str, opened: DeltaTable) -> None:
    refuse_binary_partitions(opened.metadata().partition_columns, pa.schema(opened.schema().to_arrow()))
    mode = opened.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mode != "none":
        raise InvalidInputError(
            f"{uri} maps its columns to other names in its files (delta.columnMapping.mode={mode}), and such files "
            "cannot be merged here",
            hint="compact it with the engine that writes it",
        )


def _check_columns(uri: str, opened: DeltaTable, columns: Sequence[str]) -> None:
    names = [field.name for field in opened.schema().fields]
    if not columns:
        raise InvalidInputError("z-order by no column", hint=f"{uri} has {', '.join(names)}")
    for name in columns:
        if name not in names:
            close = nearest(name, names)
            meant = f", did you mean {close!r}?" if close else ""
            raise InvalidInputError(f"{uri} has no column {name!r}{meant}", hint=f"it has {', '.join(names)}")
        if name in opened.metadata().partition_columns:
            raise InvalidInputError(f"{uri} is partitioned by {name!r}: each file has one value of it already")
