"""The catalog in the metadata database: which name stands for which table, in plain columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from lakemark.storage.database import Database
from lakemark.storage.schema import catalog_tables

__all__ = ["CatalogRow", "SqlCatalogStore"]

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One table of the catalog.

    Parameters
    ----------
    catalog, schema, name : str
        What it is called, in small letters.
    uri : str
        Where it lies: an absolute path or a URI.
    table_id : str
        The id in the table's metadata when it was registered.
    managed : bool
        True where the table lies in the warehouse.
    comment : str
        What a person says of it; may be empty.
    created_ms : int
        When the name was given, in milliseconds since 1970-01-01 UTC.
    """

    catalog: str
    schema: str
    name: str
    uri: str
    table_id: str
    managed: bool
    comment: str
    created_ms: int


class SqlCatalogStore:
    """The names of tables. Of two processes that take one name, one gets it.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, name: _Key) -> CatalogRow | None:
        """Return what has this name, or None."""
        with self.database.read() as connection:
            return _find(connection, name)

    def list(self, *, catalog: str | None = None, schema: str | None = None) -> Sequence[CatalogRow]:
        """Return the tables, of one catalog or schema or all, by name."""
        wanted = select(*catalog_tables.c)
        if catalog is not None:
            wanted = wanted.where(catalog_tables.c.catalog == catalog)
        if schema is not None:
            wanted = wanted.where(catalog_tables.c.schema == schema)
        order = (catalog_tables.c.catalog, catalog_tables.c.schema, catalog_tables.c.name)
        with self.database.read() as connection:
            return [CatalogRow(*row) for row in connection.execute(wanted.order_by(*order))]

    def add(
        self, name: _Key, *, uri: str, table_id: str, managed: bool, comment: str, created_ms: int
    ) -> CatalogRow | None:
        """Keep a name, and return None; if it is taken, change nothing and return what has it."""
        row = CatalogRow(*name, uri=uri, table_id=table_id, managed=managed, comment=comment, created_ms=created_ms)
        with self.database.write() as connection:
            taken = _find(connection, name)
            if taken is None:
                values = {field: getattr(row, field) for field in CatalogRow.__slots__}
                connection.execute(insert(catalog_tables).values(values))
            return taken

    def rename(self, name: _Key, new: _Key) -> CatalogRow | None:
        """Give a table another name, and return None; if that is taken, change nothing and return what has it."""
        with self.database.write() as connection:
            taken = _find(connection, new)
            if taken is None:
                values = dict(zip(("catalog", "schema", "name"), new, strict=True))
                connection.execute(update(catalog_tables).where(_is(name)).values(values))
            return taken

    def set_comment(self, name: _Key, comment: str) -> None:
        """Replace what is said of a table."""
        with self.database.write() as connection:
            connection.execute(update(catalog_tables).where(_is(name)).values(comment=comment))

    def remove(self, name: _Key) -> bool:
        """Forget a name, and return True if it was there."""
        with self.database.write() as connection:
            return connection.execute(delete(catalog_tables).where(_is(name))).rowcount > 0


def _find(connection: Connection, name: _Key) -> CatalogRow | None:
    row = connection.execute(select(*catalog_tables.c).where(_is(name))).first()
    return None if row is None else CatalogRow(*row)


def _is(name: _Key) -> ColumnElement[bool]:
    catalog, schema, table = name
    columns = catalog_tables.c
    return and_(columns.catalog == catalog, columns.schema == schema, columns.name == table)
