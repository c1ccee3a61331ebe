"""Removal: the whole of a table is deleted, once nothing needs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from lakemark._base.errors import ConflictError, InvalidInputError, StorageError
from lakemark.tables.log.files import TableFiles, tables_below
from lakemark.tables.log.manifest import local_folder
from lakemark.tables.naming.entries import CatalogRecord, key_of
from lakemark.tables.naming.names import dotted
from lakemark.tables.pinning.markers import FOLDER, markers
from lakemark.tables.pinning.pins import PinRecord

__all__ = ["Dropped", "check_unneeded", "delete_table"]


_LOG = "_delta_log/"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What dropping a table did, or would do.

    Parameters
    ----------
    record : CatalogRecord
        What the catalog said of it.
    files, bytes : int
        What was deleted with it.
    """

    record: CatalogRecord
    files: int = 0
    bytes: int = 0


def check_unneeded(
    record: CatalogRecord,
    *,
    known: Sequence[CatalogRecord],
    pins: Sequence[PinRecord],
    in_use: Collection[str],
    files: TableFiles,
) -> None:
    """Refuse to delete a table that something needs.

    Parameters
    ----------
    record : CatalogRecord
        The table.
    known : sequence of CatalogRecord
        The whole catalog.
    pins : sequence of PinRecord
        All pins that hold.
    in_use : collection of str
        The ids of tables that runs under way have read.
    files : TableFiles
        Where its files are.

    Raises
    ------
    InvalidInputError
        If it is not in the warehouse.
    ConflictError
        If a pin of this or another home holds a version, a run under way has read one, another name leads there, or
        another table lies below it.
    """
    name = dotted(key_of(record))
    unregister = f"lakemark tables drop {name} without --delete-files forgets the name only"
    if not record.managed:
        raise InvalidInputError(
            f"{name} is not in the warehouse: its files at {record.uri} are not the catalog's to delete",
            hint=unregister,
        )
    held = [pin for pin in pins if record.uri == pin.table_uri or record.table_id == pin.table_id]
    if held:
        raise ConflictError(
            f"versions of {name} are pinned, among them version {held[0].version} for {held[0].holder}",
            hint=f"lakemark tables pins {name} lists them; {unregister}",
            pins=len(held),
        )
    if record.table_id in in_use:
        raise ConflictError(f"a run that is not settled yet has read {name}", hint="wait until it has ended")
    inside = [other for other in known if f"{other.uri}/".startswith(f"{record.uri}/")]
    others = [dotted(key_of(other)) for other in inside if key_of(other) != key_of(record)]
    if others:
        raise ConflictError(f"{others[0]} leads to {record.uri} too, or below it", hint=unregister)
    if any(markers(files).values()):
        raise ConflictError(
            f"another home holds versions of {name}",
            hint=f"{FOLDER}/ in {record.uri} says which home; {unregister}",
        )
    below = sorted(tables_below(file.path for file in files.list()))
    if below:
        raise ConflictError(f"another table lies inside of {record.uri}, at {below[0]}", hint=unregister)


def delete_table(uri: str, *, check: Callable[[TableFiles], None], forget: Callable[[], None]) -> None:
    """Delete all files of a table, after a last look whether something needs it.

    Parameters
    ----------
    uri : str
        Where it lies.
    check : callable
        Raises if something needs the files, which are at the place that it is given.
    forget : callable
        Called when nothing does, and right before the files go.

    Raises
    ------
    StorageError
        If the folder cannot be moved or a file cannot be deleted.

    Notes
    -----
    On a local disk the folder is moved aside first: who pins a version from then on finds no files and is refused, and
    who did before is seen by the last look, after which the folder is moved back. On other storage the log goes first:
    from then on there is no table, rather than one with holes.
    """
    folder = local_folder(uri)
    if folder is None:
        files = TableFiles(uri)
        check(files)
        forget()
        for path in sorted((file.path for file in files.list()), key=lambda path: (not path.startswith(_LOG), path)):
            files.delete(path)
        return
    aside = folder.with_name(f".{folder.name}.lakemark-dropped-{uuid4().hex[:8]}")
    _move(folder, aside)
    try:
        check(TableFiles(aside))
    except BaseException:
        _move(aside, folder)
        raise
    forget()
    shutil.rmtree(aside, ignore_errors=True)


def _move(folder: Path, place: Path) -> None:
    try:
        folder.rename(place)
    except OSError as error:
        raise StorageError(f"{folder} cannot be moved to {place}: {error.strerror}") from error
