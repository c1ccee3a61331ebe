"""Removal: the whole of a table is deleted, once nothing needs it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lakemark._base.errors import ConflictError, InvalidInputError
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import local_folder
from lakemark.tables.naming.entries import CatalogRecord, key_of
from lakemark.tables.naming.names import dotted
from lakemark.tables.pinning.pins import PinRecord

__all__ = ["Dropped", "check_unneeded", "delete_table"]


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
    record: CatalogRecord, *, known: Sequence[CatalogRecord], pins: Sequence[PinRecord], in_use: Collection[str]
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

    Raises
    ------
    InvalidInputError
        If it is not in the warehouse.
    ConflictError
        If a pin holds a version, a run under way has read one, or another name leads there.
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


def delete_table(uri: str, paths: Sequence[str]) -> None:
    """Delete files of a table, its log first: from then on there is no table, rather than one with holes."""
    files = TableFiles(uri)
    for path in sorted(paths, key=lambda path: (not path.startswith("_delta_log/"), path)):
        files.delete(path)
    folder = local_folder(uri)
    if folder is not None and paths:
        shutil.rmtree(folder, ignore_errors=True)
