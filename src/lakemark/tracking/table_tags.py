"""Tags of table versions in the metadata database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from lakemark.storage.database import Database
from lakemark.storage.schema import pins, table_tags

__all__ = ["SqlTagStore", "TagRow"]

_HOLDER = "tag:"


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag.

    Parameters
    ----------
    table_id : str
        The id in the table's metadata.
    tag : str
        The name.
    table_uri : str
        Where the table was when it was tagged.
    version : int
        The version, from 0.
    manifest : str
        The sha256 of the manifest object.
    comment : str
        What for, in words; may be empty.
    created_ms : int
        When it was set, in milliseconds since 1970-01-01 UTC.
    """

    table_id: str
    tag: str
    table_uri: str
    version: int
    manifest: str
    comment: str
    created_ms: int


class SqlTagStore:
    """Tags, each beside the pin that keeps its version.

    Parameters
    ----------
    database : Database
        Where they are kept; the one where the pins are.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(
        self,
        *,
        table_id: str,
        tag: str,
        table_uri: str,
        version: int,
        manifest: str,
        comment: str,
        created_ms: int,
        replaces: int | None,
    ) -> bool:
        """Keep a tag, in one transaction.

        Parameters
        ----------
        table_id, tag, table_uri, version, manifest, comment, created_ms
            As in `TagRow`.
        replaces : int or None
            The version that the tag must name until now; None: it must not be there.

        Returns
        -------
        bool
            False, and nothing is changed, where that is not so, or where no pin with the holder `tag:NAME` holds the
            version.
        """
        this = (table_tags.c.table_id == table_id, table_tags.c.tag == tag)
        held = select(pins.c.pin_id).where(
            pins.c.table_id == table_id,
            pins.c.version == version,
            pins.c.holder == f"{_HOLDER}{tag}",
            pins.c.released_ms.is_(None),
        )
        with self.database.write() as connection:
            if connection.execute(select(table_tags.c.version).where(*this)).scalar() != replaces:
                return False
            if connection.execute(held).first() is None:
                return False
            connection.execute(delete(table_tags).where(*this))
            connection.execute(
                insert(table_tags).values(
                    table_id=table_id,
                    tag=tag,
                    table_uri=table_uri,
                    version=version,
                    manifest=manifest,
                    comment=comment,
                    created_ms=created_ms,
                )
            )
        return True

    def get(self, table_id: str, tag: str) -> TagRow | None:
        """Return one tag, None where there is none."""
        wanted = select(table_tags).where(table_tags.c.table_id == table_id, table_tags.c.tag == tag)
        with self.database.read() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else TagRow(*row)

    def list(self, table_id: str | None = None) -> Sequence[TagRow]:
        """Return the tags of one table, or of all, by table and name."""
        wanted = select(table_tags).order_by(table_tags.c.table_uri, table_tags.c.table_id, table_tags.c.tag)
        if table_id is not None:
            wanted = wanted.where(table_tags.c.table_id == table_id)
        with self.database.read() as connection:
            return [TagRow(*row) for row in connection.execute(wanted)]

    def remove(self, table_id: str, tag: str) -> bool:
        """Remove a tag, not its pin; False where there is none."""
        this = (table_tags.c.table_id == table_id, table_tags.c.tag == tag)
        with self.database.write() as connection:
            return connection.execute(delete(table_tags).where(*this)).rowcount > 0
