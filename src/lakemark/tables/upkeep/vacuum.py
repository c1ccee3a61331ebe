"""Vacuum: delete the files that no version needs any more, and never one that a pin names.

Why files are deleted here, and not by `deltalake.DeltaTable.vacuum`:

- its `keep_versions` is read from the log, so one pinned version whose log was cleaned makes every later vacuum fail;
- its `full=True` deletes strangers' files in the table's folder, and the deletion vectors of live files, which makes
  the table unreadable; its `full=False` misses files that left the log;
- each vacuum of it adds two commits, so that "the latest version" changes without a change of a row.

Here a file is deleted only if all of this holds:

1. the latest version does not name it, and no pinned manifest does, be it of this home or one that another home left
   in the table (`lakemark.tables.pinning.markers`);
2. the log says that it was removed, and that is longer ago than the retention; or the log does not know it, its name is
   one that Delta writers give (`part-…-UUID….parquet`), and it is at least a day old, so that a commit under way keeps
   its files even with a retention of 0;
3. it is a data file, a deletion vector, or change data; whatever else lies in the folder stays, also another table.

Change data belongs to a commit, and goes when that is longer ago than the retention; between two pinned versions it
stays, so that what changed between them can be read. Where a manifest does not know the place of a deletion vector, no
vector goes.

Files go one by one and only ones that no live version needs, so a kill at any moment leaves a table that reads, and the
next vacuum does the rest. The log itself is never touched: a version whose files went still opens, and lists and counts
its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable

from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError, LakemarkError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.failures import translated
from lakemark.tables.log.files import StoredFile, TableFiles, tables_below
from lakemark.tables.log.manifest import Manifest, local_folder, location, observe, parse
from lakemark.tables.log.pieces import Piece, pieces
from lakemark.tables.pinning.announcements import announced
from lakemark.tables.pinning.markers import marked_manifests
from lakemark.tables.pinning.pins import PinRecord
from lakemark.tables.table import Table
from lakemark.tables.upkeep.removals import read_removals

__all__ = ["DEFAULT_RETENTION_HOURS", "VacuumReport", "pinned_manifests", "vacuum"]

DEFAULT_RETENTION_HOURS = 7 * 24.0

_HOUR_MS = 3_600_000
_STRANGER_MS = 24 * _HOUR_MS
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_WRITTEN = re.compile(rf"(part|cdc)-.*{_UUID}.*\.parquet")
_VECTOR = re.compile(rf"deletion_vector_{_UUID}\.bin")
_CHANGES = "_change_data/"


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a vacuum did, or would do.

    Parameters
    ----------
    deleted : tuple of str
        Files (data, deletion vectors, change data), relative to the table's folder, sorted.
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
    advance: Callable[[int], None] | None = None,
) -> VacuumReport:
    """Delete files that neither the latest version nor a pin needs.

    Parameters
    ----------
    table : Table
        On any storage.
    pins : iterable of bytes or str
        Manifests of what must stay: those of pins (`pinned_manifests`), and of reads of runs that are not settled yet.
        What other homes have pinned is found in the table itself.
    retention_hours : float, default 168
        Versions replaced less than this ago stay readable; 0 is allowed.
    dry_run : bool, default False
        Only say what would go.
    advance : callable, optional
        Is told the bytes of each file that was deleted.

    Raises
    ------
    StorageError
        If a manifest or the log cannot be read (nothing is deleted then), or a file cannot be deleted.
    InvalidInputError
        For a negative retention, or a table at a version.

    Notes
    -----
    A `restore` to an unpinned old version at the same moment can lose a race; pin a version before restoring it.
    """
    if not retention_hours >= 0:
        raise InvalidInputError(f"retention of {retention_hours} hours: must be 0 or more")
    if table.at is not None:
        raise InvalidInputError(f"{table.uri}@{table.at}: only a whole table can be vacuumed, not a version of it")
    files = TableFiles(table.uri)
    needed = [parse(manifest) for manifest in pins]
    before = _latest(table.uri)
    listed = list(files.list())
    others = tuple(f"{folder}/" for folder in tables_below(file.path for file in listed))
    found = {
        file.path: file
        for file in listed
        if _is_ours(file.path) and file.path not in before and not file.path.startswith(others)
    }
    expired = _expired(files, found, before_ms=now_ms() - round(retention_hours * _HOUR_MS))
    doomed, spared = _sorted_out(files, expired, needed)
    if doomed and not dry_run:
        with announced(files, doomed) as renew:
            doomed, spared = _sorted_out(files, expired, needed)  # again: what was pinned before that could be seen
            for path in doomed:
                files.delete(path)
                renew()
                if advance is not None:
                    advance(found[path].size)
    return VacuumReport(
        deleted=tuple(doomed),
        deleted_bytes=sum(found[path].size for path in doomed),
        kept_files=len(spared),
        kept_bytes=sum(found[path].size for path in spared),
        dry_run=dry_run,
    )


def _sorted_out(
    files: TableFiles, expired: Mapping[str, int | None], needed: Sequence[Manifest]
) -> tuple[list[str], list[str]]:
    """Return what may go now, and what may not because it is held."""
    held = _Needed(files.uri, [*needed, *(parse(manifest) for manifest in marked_manifests(files))])
    latest = _latest(files.uri)  # last, so that it is the newest
    free = {path: version for path, version in expired.items() if path not in latest}
    spared = [path for path, version in free.items() if path in held or held.spans(version, latest)]
    return sorted(free.keys() - set(spared)), spared


class _Needed:
    """The files that some versions of a table need."""

    def __init__(self, uri: str, manifests: Sequence[Manifest]) -> None:
        self._paths = {_own(piece, uri) for manifest in manifests for piece in pieces(manifest)}
        vectors = [entry.deletion_vector for manifest in manifests for entry in manifest.entries]
        self._any_vector = any(vector is not None and vector.storage not in ("u", "p", "i") for vector in vectors)
        self._versions = {(manifest.table_id, manifest.version) for manifest in manifests}

    def __contains__(self, path: str) -> bool:
        return path in self._paths or (self._any_vector and _is_vector(path))

    def spans(self, version: int | None, latest: _Needed) -> bool:
        """Return True if the changes of a version lie between two of these, of the table that `latest` is of."""
        known = {table_id for table_id, _ in latest._versions}
        versions = [number for table_id, number in self._versions if table_id in known]
        return version is not None and bool(versions) and min(versions) <= version <= max(versions)


def _latest(uri: str) -> _Needed:
    with translated(uri):
        return _Needed(uri, [observe(DeltaTable(uri))])


def _own(piece: Piece, uri: str) -> str | None:
    """Return a file's path inside the table, None where it is borrowed from another one."""
    if piece.absolute is None:
        return piece.relative
    folder = local_folder(uri)
    if folder is None:
        place, inside = unquote(piece.absolute), unquote(uri) + "/"
        return place.removeprefix(inside) if place.startswith(inside) else None
    where = Path(piece.absolute)
    where = where.parent.resolve() / where.name
    return where.relative_to(folder).as_posix() if where.is_relative_to(folder) else None


def _expired(files: TableFiles, found: Mapping[str, StoredFile], *, before_ms: int) -> Mapping[str, int | None]:
    """Return what was removed or abandoned before a time; for change data, with the version that it belongs to."""
    if not found:
        return {}
    log = read_removals(files, found)
    expired: dict[str, int | None] = {}
    for path, file in found.items():
        changes = log.changes.get(path)
        gone_ms = log.removed_ms.get(path) if changes is None else changes.written_ms
        if gone_ms is None:
            name = path.rpartition("/")[2]
            known = _WRITTEN.fullmatch(name) is not None or _is_vector(path)
            old = max(file.modified_ms, log.begins_ms) <= min(before_ms, now_ms() - _STRANGER_MS)
        else:
            known, old = True, gone_ms <= before_ms
        if known and old:
            expired[path] = None if changes is None else changes.version
    return expired


def _is_ours(path: str) -> bool:
    """Return True for what Delta may have written; what begins with `_` or `.` is none, except partitions' folders."""
    parts = path.removeprefix(_CHANGES).split("/")
    hidden = any(part.startswith(("_", ".")) and "=" not in part for part in parts)
    return not hidden and (path.endswith(".parquet") or _is_vector(path))


def _is_vector(path: str) -> bool:
    return _VECTOR.fullmatch(path.rpartition("/")[2]) is not None
