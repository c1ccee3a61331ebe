"""Vacuum: delete the files that no version needs any more, and never one that a pin names.

Why files are deleted here, and not by `deltalake.DeltaTable.vacuum`:

- its `keep_versions` is read from the log, so one pinned version whose log was cleaned makes every later vacuum fail;
- its `full=True` deletes strangers' files in the table's folder, and the deletion vectors of live files, which makes
  the table unreadable; its `full=False` misses files that left the log;
- each vacuum of it adds two commits, so that "the latest version" changes without a change of a row.

Here a file is deleted only if all of this holds:

1. the latest version does not name it, and no pinned manifest does;
2. the log says that it was removed, and that is longer ago than the retention; or the log does not know it, its name is
   one that Delta writers give (`part-…-UUID….parquet`), and it is at least a day old, so that a commit under way keeps
   its files even with a retention of 0;
3. it is a data file: deletion vectors, change data, and whatever else lies in the folder, stay.

Files go one by one and only ones that no live version needs, so a kill at any moment leaves a table that reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError, LakemarkError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.manifest import local_folder, location, parse
from lakemark.tables.pins import PinRecord
from lakemark.tables.table import Table

__all__ = ["DEFAULT_RETENTION_HOURS", "VacuumReport", "pinned_manifests", "vacuum"]

DEFAULT_RETENTION_HOURS = 7 * 24.0

_HOUR_MS = 3_600_000
_STRANGER_MS = 24 * _HOUR_MS
_WRITTEN = re.compile(r"part-.*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}.*\.parquet")


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a vacuum did, or would do.

    Parameters
    ----------
    deleted : tuple of str
        Files, relative to the table's folder, sorted.
    deleted_bytes : int
        Their size.
    kept_files, kept_bytes : int
        What would go if no pin and no run that is not settled needed it.
    dry_run : bool
        True if nothing was deleted.
    """

    deleted: tuple[str, ...]
    deleted_bytes: int
    kept_files: int
    kept_bytes: int
    dry_run: bool


def pinned_manifests(pins: Iterable[PinRecord], objects: ObjectStore, *, table: Table) -> tuple[bytes, ...]:
    """Return the manifests of all pins on a table: by its place, or by its id, which stays when a table is moved.

    Raises
    ------
    StorageError
        If one cannot be read: then nobody knows what must stay, and nothing may be deleted.
    """
    table_id = table.manifest().table_id
    found = {}
    for pin in pins:
        if pin.table_id == table_id or location(pin.table_uri) == table.uri:
            try:
                found[pin.manifest] = objects.get(pin.manifest)
            except LakemarkError as error:
                raise StorageError(
                    f"the manifest of the pin on version {pin.version} of {pin.table_uri}, held by {pin.holder}, "
                    f"cannot be read, so nothing is deleted: {error.message}",
                    hint="restore the object, or release the pin if the version may go",
                ) from error
    return tuple(found.values())


def vacuum(
    table: Table,
    *,
    pins: Iterable[bytes | str],
    retention_hours: float = DEFAULT_RETENTION_HOURS,
    dry_run: bool = False,
) -> VacuumReport:
    """Delete data files that neither the latest version nor a pin needs.

    Parameters
    ----------
    table : Table
        On a local file system.
    pins : iterable of bytes or str
        Manifests of what must stay: those of pins (`pinned_manifests`), and of reads of runs that are not settled yet.
    retention_hours : float, default 168
        Versions replaced less than this ago stay readable; 0 is allowed.
    dry_run : bool, default False
        Only say what would go.

    Raises
    ------
    StorageError
        If a manifest cannot be read; nothing is deleted then.
    InvalidInputError
        For a negative retention, or a table that is not on a local file system.

    Notes
    -----
    A `restore` to an unpinned old version at the same moment can lose a race; pin a version before restoring it.
    """
    if not retention_hours >= 0:
        raise InvalidInputError(f"retention of {retention_hours} hours: must be 0 or more")
    folder = local_folder(table.uri)
    if folder is None:
        raise InvalidInputError(f"{table.uri} is not on a local file system", hint="vacuum works on local storage only")
    pinned = {_place(entry.locate(folder)) for manifest in pins for entry in parse(manifest).entries}
    expired = dict(_expired(folder, now_ms() - round(retention_hours * _HOUR_MS)))
    live = {_place(entry.locate(folder)) for entry in table.manifest().entries}  # last, so that it is the newest
    doomed = {path: size for path, size in expired.items() if path not in live and path not in pinned}
    kept = [size for path, size in expired.items() if path not in live and path in pinned]
    if not dry_run:
        for path in doomed:
            _delete(path)
    return VacuumReport(
        deleted=tuple(sorted(path.relative_to(folder).as_posix() for path in doomed)),
        deleted_bytes=sum(doomed.values()),
        kept_files=len(kept),
        kept_bytes=sum(kept),
        dry_run=dry_run,
    )


def _place(path: Path) -> Path:
    """Return one spelling of a place, also where a folder on the way is a link."""
    return path.parent.resolve() / path.name


def _expired(folder: Path, before_ms: int) -> Iterator[tuple[Path, int]]:
    """Yield data files, with their size, that were removed or abandoned before a time."""
    log = folder / "_delta_log"
    removed, begins = _removed(log), _log_begins(log)
    for path in _data_files(folder):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        gone_ms = removed.get(path.relative_to(folder).as_posix())
        if gone_ms is None:
            known = _WRITTEN.fullmatch(path.name) is not None
            old = max(facts.st_mtime_ns // 1_000_000, begins) <= min(before_ms, now_ms() - _STRANGER_MS)
        else:
            known, old = True, gone_ms <= before_ms
        if known and old:
            yield _place(path), facts.st_size


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield what may be a data file; what begins with `_` or `.` is none, except as the folder of a partition."""
    for path in folder.iterdir():
        hidden = path.name.startswith(("_", ".")) and "=" not in path.name
        if hidden or path.is_symlink():
            continue
        if path.is_dir():
            yield from _data_files(path)
        elif path.suffix == ".parquet":
            yield path


def _log_begins(log: Path) -> int:
    """Return when (ms) the log's first commit was written, 0 if it is whole: what it does not know is older."""
    commits = sorted(path for path in log.glob("*.json") if path.stem.isdigit())
    if not commits or int(commits[0].stem) == 0:
        return 0
    return commits[0].stat().st_mtime_ns // 1_000_000


def _removed(log: Path) -> Mapping[str, int]:
    """Return when (ms) each file that the log knows as removed was removed for the last time, by its path on disk."""
    found: dict[str, int] = {}
    for path, moment in (*_removed_in_commits(log), *_removed_in_checkpoints(log)):
        name = unquote(path)
        found[name] = max(found.get(name, 0), moment)
    return found


def _removed_in_commits(log: Path) -> Iterator[tuple[str, int]]:
    for commit in log.glob("*.json"):
        if not commit.stem.isdigit():
            continue
        written = commit.stat().st_mtime_ns // 1_000_000
        for line in commit.read_text().splitlines():
            remove = json.loads(line).get("remove") if '"remove"' in line else None
            if remove is not None:
                yield remove["path"], remove.get("deletionTimestamp") or written


def _removed_in_checkpoints(log: Path) -> Iterator[tuple[str, int]]:
    for checkpoint in log.glob("*.checkpoint*.parquet"):
        try:
            rows = pq.read_table(checkpoint, columns=["remove"])
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"{checkpoint} cannot be read, so nothing is deleted: {error}") from error
        for remove in rows["remove"].to_pylist() if "remove" in rows.column_names else ():
            if remove is not None and remove.get("path") is not None:
                yield remove["path"], remove.get("deletionTimestamp") or now_ms()


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be deleted: {error.strerror}", hint="check who owns the file") from error
