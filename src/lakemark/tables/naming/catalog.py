"""The catalog: tables by name, wherever they lie.

A name stands for one table: its id is kept beside it, so a table that somebody put in its place is an error and never
read for it. Whoever keeps the rows (`CatalogStore`) gives a name to one taker only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from lakemark._base.clock import now_ms
from lakemark._base.errors import (
    ConflictError,
    LakemarkError,
    NotFoundError,
    StorageError,
    nearest,
)
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.log.files import StoredFile, TableFiles
from lakemark.tables.log.manifest import location
from lakemark.tables.naming.description import TableDescription, describe
from lakemark.tables.naming.entries import CatalogRecord, CatalogStore, key_of
from lakemark.tables.naming.names import TableKey, TableRef, brief, dotted, parse_name, parse_table
from lakemark.tables.naming.places import find_place, is_whole
from lakemark.tables.naming.removal import Dropped, check_unneeded, delete_table
from lakemark.tables.pinning.protection import protect as protect_table
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Commit, Table

__all__ = ["Catalog", "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """A table that a search has found.

    Parameters
    ----------
    record : CatalogRecord
        The table.
    columns : tuple of str
        The columns whose names have the text.
    """

    record: CatalogRecord
    columns: tuple[str, ...] = ()


class Catalog:
    """The tables of one home by name.

    Parameters
    ----------
    store : CatalogStore
        Where names are kept.
    warehouse : str
        The folder or URI below which `create` makes tables.
    tags : Tags
        The tags of the tables, and the pins.
    in_use : callable, optional
        Gives the ids of the tables that runs under way have read.
    """

    def __init__(
        self, store: CatalogStore, warehouse: str, tags: Tags, *, in_use: Callable[[], Collection[str]] = tuple
    ) -> None:
        self.store = store
        self.warehouse = location(warehouse)
        self.tags = tags
        self._in_use = in_use

    def resolve(self, text: str) -> Table:
        """Return the table that a name, a path or a URI names, at the version or tag that is named with it.

        Parameters
        ----------
        text : str
            `TABLE`, `TABLE@VERSION` or `TABLE@TAG`. A name that the catalog does not know is a folder, if there is one.

        Raises
        ------
        NotFoundError
            If the catalog knows no such name (the nearest is told) and there is no such folder; for an unknown tag; if
            there is no table any more where the name leads.
        ConflictError
            If there is another table now where the name leads.
        InvalidInputError
            If it can be neither a name nor a path.
        """
        ref = parse_table(text)
        record = None if ref.name is None else self.store.get(ref.name)
        if record is not None:
            return self._at(self._open(record), ref.at)
        place = find_place(ref)
        if place is None:
            raise self._unknown(ref)
        return Table(text) if is_whole(ref) else self._at(Table(place), ref.at)

    def record(self, name: str) -> CatalogRecord:
        """Return what the catalog says of a name.

        Raises
        ------
        NotFoundError
            If it knows no such name; the nearest is told.
        """
        found = self.store.get(parse_name(name))
        if found is None:
            raise self._unknown(parse_table(name))
        return found

    def list(self, *, catalog: str | None = None, schema: str | None = None) -> Sequence[CatalogRecord]:
        """Return the tables, of one catalog or schema or all, by name."""
        return self.store.list(
            catalog=None if catalog is None else catalog.lower(), schema=None if schema is None else schema.lower()
        )

    def search(self, text: str) -> Sequence[Found]:
        """Return the tables whose name, comment or column names have a text in them, in whatever case.

        Notes
        -----
        The columns are those of the latest versions, so every table is opened. One that cannot be is searched by its
        name and comment.
        """
        wanted = text.lower()
        found = []
        for record in self.store.list():
            columns = tuple(column for column in _columns(record) if wanted in column.lower())
            if columns or wanted in dotted(key_of(record)) or wanted in record.comment.lower():
                found.append(Found(record, columns))
        return found

    def describe(self, text: str) -> TableDescription:
        """Return what there is to say of a table, at its latest version or at the one that is named.

        Parameters
        ----------
        text : str
            As for `resolve`.

        Raises
        ------
        NotFoundError, ConflictError, InvalidInputError
            As for `resolve`.
        """
        table = self.resolve(text)
        record = None if table.name is None else self.store.get(parse_name(table.name))
        return describe(
            table,
            tags=self.tags,
            comment="" if record is None else record.comment,
            managed=record is not None and record.managed,
        )

    def create(
        self,
        name: str,
        data: ArrowStream | pa.Schema,
        *,
        partition_by: Sequence[str] = (),
        generated: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        comment: str = "",
        commit: Commit | None = None,
    ) -> Table:
        """Make a table in the warehouse, from rows or empty from a schema, and give it a name.

        Parameters
        ----------
        name : str
            One to three parts.
        data, partition_by, generated, properties, commit
            As for `Table.create`.
        comment : str
            What to say of the table.

        Raises
        ------
        ConflictError
            If the name is taken, also by somebody who was faster, or a table without a name lies where it would be.

        Notes
        -----
        The name is given when the table is there. What a process that died in between has left is found by the next
        `create`, which says how to give it the name.
        """
        with self.creating(name, comment=comment) as table:
            table.create(
                data,
                partition_by=partition_by,
                generated=generated,
                properties=properties,
                comment=comment or None,
                commit=commit,
            )
        return table

    @contextmanager
    def creating(self, name: str, *, comment: str = "") -> Iterator[Table]:
        """Yield the table of a new name, which the block has to create; afterwards the name is given to it.

        Parameters
        ----------
        name, comment
            As for `create`.

        Raises
        ------
        ConflictError
            As for `create`.
        """
        key = parse_name(name)
        known = self.store.list()
        taken = next((record for record in known if key_of(record) == key), None)
        if taken is not None:
            raise _taken(taken)
        table = Table(self._free_place(key, {record.uri for record in known}), name=dotted(key))
        try:
            yield table
        except ConflictError as error:
            raise self._lost(key, table) from error
        except LakemarkError:
            if table.exists():  # made, but its rows were refused
                self._keep(key, table, comment=comment)
            raise
        self._keep(key, table, comment=comment)

    def register(self, name: str, uri: str | Path, *, comment: str = "", protect: bool = True) -> Table:
        """Give a name to a Delta table that is there.

        Parameters
        ----------
        name : str
            One to three parts.
        uri : str or Path
            Where it lies: a folder, or a URI of any storage that `deltalake` knows.
        comment : str
            What to say of the table.
        protect : bool, default True
            Set the properties of the table that keep other engines from deleting old versions.

        Raises
        ------
        NotFoundError
            If there is no Delta table.
        ConflictError
            If the name is that of another table. To register a table again under its name changes its comment, if one
            is given, and nothing else.
        StorageError
            If the properties cannot be set; then the table is not registered.
        """
        key = parse_name(name)
        table = Table(uri, name=dotted(key))
        table.open()
        record = self.store.get(key)
        if record is not None and record.uri != table.uri:
            raise _taken(record)
        if protect:
            _protect(table)
        self._keep(key, table, comment=comment)
        return table

    def rename(self, name: str, new: str) -> CatalogRecord:
        """Give a table another name, and return what the catalog says of it then. Its files stay where they are.

        Raises
        ------
        NotFoundError
            If the catalog knows no such name.
        ConflictError
            If the new name is taken.
        """
        record, key = self.record(name), parse_name(new)
        taken = self.store.rename(key_of(record), key)
        if taken is not None:
            raise _taken(taken)
        return self.record(new)

    def drop(self, name: str, *, delete_files: bool = False, dry_run: bool = False) -> Dropped:
        """Forget a name; the table stays where it is, unless its files shall be deleted too.

        Parameters
        ----------
        name : str
            One to three parts.
        delete_files : bool, default False
            Delete the table with all its versions. That is for tables in the warehouse only.
        dry_run : bool, default False
            Only say what would be deleted.

        Raises
        ------
        NotFoundError
            If the catalog knows no such name.
        ConflictError
            If files shall be deleted, and a pin holds a version, a run under way has read one, or another name leads
            there; nothing is changed then.
        InvalidInputError
            If files shall be deleted of a table that is not in the warehouse.
        """
        record = self.record(name)
        files = self._files(record) if delete_files else ()
        if not dry_run:

            def forget() -> None:
                self.store.remove(key_of(record))

            if files:
                delete_table(record.uri, check=partial(self._check_unneeded, record), forget=forget)
            else:
                forget()
        return Dropped(record, len(files), sum(file.size for file in files))

    def _files(self, record: CatalogRecord) -> Sequence[StoredFile]:
        """Return the files of a table that nothing needs; none where there is no table any more."""
        files = TableFiles(record.uri)
        self._check_unneeded(record, files)
        try:
            self._open(record)
        except NotFoundError:
            return ()
        return [*files.list()]

    def _check_unneeded(self, record: CatalogRecord, files: TableFiles) -> None:
        check_unneeded(record, known=self.store.list(), pins=self.tags.pins.list(), in_use=self._in_use(), files=files)

    def _at(self, table: Table, at: int | str | None) -> Table:
        if at is None:
            return table
        return Table(table.uri, at=at if isinstance(at, int) else self.tags.version(table, at), name=table.name)

    def _open(self, record: CatalogRecord) -> Table:
        """Return the table of a name, after a look whether it still is the one that has got the name."""
        name = dotted(key_of(record))
        table = Table(record.uri, name=name)
        try:
            found = str(table.open().metadata().id)
        except NotFoundError as error:
            raise NotFoundError(
                f"{name} was at {record.uri}, where is no Delta table any more",
                hint=f"put it back from a backup, or forget the name with lakemark tables drop {name}",
            ) from error
        if found != record.table_id:
            raise ConflictError(
                f"{name} was re-created at {record.uri}: the name was given to the table with the id "
                f"{record.table_id}, and the one that is there has {found}",
                hint=f"to take the new one: lakemark tables drop {name}, "
                f"then lakemark tables register {name} {record.uri}",
            )
        return table

    def _keep(self, key: TableKey, table: Table, *, comment: str) -> None:
        table_id = str(table.open().metadata().id)
        managed = table.uri.startswith(f"{self.warehouse}/")
        taken = self.store.add(
            key, uri=table.uri, table_id=table_id, managed=managed, comment=comment, created_ms=now_ms()
        )
        if taken is None:
            return
        if (taken.uri, taken.table_id) != (table.uri, table_id):
            raise _taken(taken)
        if comment:
            self.store.set_comment(key, comment)

    def _free_place(self, key: TableKey, used: Collection[str]) -> str:
        """Return where a table of this name goes; a table that was renamed may still lie at the first choice."""
        place = location("/".join((self.warehouse, *key)))
        number = 1
        while place in used:
            number += 1
            place = location("/".join((self.warehouse, *key)) + f"-{number}")
        return place

    def _lost(self, key: TableKey, table: Table) -> LakemarkError:
        taken = self.store.get(key)
        if taken is not None:
            return _taken(taken)
        return ConflictError(
            f"there is a table at {table.uri} already, and no name leads to it: {dotted(key)} was dropped, is being "
            "made at this moment, or whoever made it was stopped",
            hint=f"lakemark tables register {dotted(key)} {table.uri} gives it the name",
        )

    def _unknown(self, ref: TableRef) -> NotFoundError:
        forms: dict[str, TableKey] = {}
        for record in self.store.list():
            key = key_of(record)
            forms |= {".".join(key): key, ".".join(key[1:]): key, key[2]: key}
        near = nearest(ref.place.replace("`", "").lower(), forms)
        told = f"; did you mean {brief(forms[near])!r}?" if near is not None else ""
        return NotFoundError(
            f"no table is named {ref.place!r}, and there is no such folder{told}",
            hint=f"lakemark tables list lists the names; a folder is written ./{ref.place}",
        )


def _protect(table: Table) -> None:
    try:
        protect_table(table)
    except LakemarkError as error:
        raise StorageError(
            f"the properties of {table.uri} that keep its old versions readable cannot be set: {error.message}",
            hint="lakemark tables register --no-protect leaves the table as it is",
        ) from error


def _taken(record: CatalogRecord) -> ConflictError:
    name = dotted(key_of(record))
    return ConflictError(
        f"the name {name} is taken, by the table at {record.uri}", hint=f"lakemark tables describe {name} shows it"
    )


def _columns(record: CatalogRecord) -> Sequence[str]:
    try:
        return list(Table(record.uri).schema.names)
    except LakemarkError:
        return ()
