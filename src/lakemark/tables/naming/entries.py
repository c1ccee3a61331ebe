"""Entries of the catalog: what it knows of each table, and what a store of them does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lakemark.tables.naming.names import TableKey

__all__ = ["CatalogRecord", "CatalogStore", "key_of"]


class CatalogRecord(Protocol):
    """One table of the catalog; a row of the metadata database has these columns."""

    @property
    def catalog(self) -> str:
        """The first part of the name."""

    @property
    def schema(self) -> str:
        """The second part of the name."""

    @property
    def name(self) -> str:
        """The last part of the name."""

    @property
    def uri(self) -> str:
        """Where the table lies, as `lakemark.tables.log.manifest.location` writes it."""

    @property
    def table_id(self) -> str:
        """The id in the table's metadata when the name was given; a re-created table has another."""

    @property
    def managed(self) -> bool:
        """True where the table lies in the warehouse, so that dropping it may delete its files."""

    @property
    def comment(self) -> str:
        """What a person says of it; may be empty."""

    @property
    def created_ms(self) -> int:
        """When the name was given, in milliseconds since 1970-01-01 UTC."""


class CatalogStore(Protocol):
    """Where names are kept. Plain values go in and records come out, so a store needs to know no class of ours."""

    def get(self, name: TableKey) -> CatalogRecord | None:
        """Return what has this name, or None."""

    def list(self, *, catalog: str | None = None, schema: str | None = None) -> Sequence[CatalogRecord]:
        """Return the tables, of one catalog or schema or all, by name."""

    def add(
        self, name: TableKey, *, uri: str, table_id: str, managed: bool, comment: str, created_ms: int
    ) -> CatalogRecord | None:
        """Keep a name, and return None; if it is taken, change nothing and return what has it."""

    def rename(self, name: TableKey, new: TableKey) -> CatalogRecord | None:
        """Give a table another name, and return None; if that is taken, change nothing and return what has it."""

    def set_comment(self, name: TableKey, comment: str) -> None:
        """Replace what is said of a table."""

    def remove(self, name: TableKey) -> bool:
        """Forget a name, and return True if it was there."""


def key_of(record: CatalogRecord) -> TableKey:
    """Return the name of a record."""
    return record.catalog, record.schema, record.name
