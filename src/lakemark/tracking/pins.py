"""Pins in the metadata database: plain columns, so that neither side needs to know a class of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, insert, literal, select, update

from lakemark._base.clock import now_ms
from lakemark.storage.database import Database
from lakemark.storage.schema import pins, table_tags

__all__ = ["PinRow", "SqlPinStore"]


@dataclass(frozen=True, slots=True)
class PinRow:
    """One pin.

    Parameters
    ----------
    table_uri : str
        Where the table lies.
    table_id : str
        The id in the table's metadata.
    version : int
        The pinned version, from 0.
    manifest : str
        The sha256 of the manifest object.
    holder : str
        Who holds it: a run id, or a name that a person chose.
    reason : str
        Why, in words; may be empty.
    created_ms : int
        When, in milliseconds since 1970-01-01 UTC.
    released_ms : int, optional
        When it was let go; None while it holds.
    release_reason : str, optional
        Why it was let go.
    """

    table_uri: str
    table_id: str
    version: int
    manifest: str
    holder: str
    reason: str
    created_ms: int
    released_ms: int | None = None
    release_reason: str | None = None


class SqlPinStore:
    """Pins that survive whatever happens to the table.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self,
        *,
        table_uri: str,
        table_id: str,
        version: int,
        manifest: str,
        holder: str,
        reason: str,
        created_ms: int,
    ) -> None:
        """Keep a pin; the same (table_uri, table_id, version, holder) a second time changes nothing."""
        held = select(pins.c.pin_id).where(
            pins.c.table_uri == table_uri,
            pins.c.table_id == table_id,
            pins.c.version == version,
            pins.c.holder == holder,
            pins.c.released_ms.is_(None),
        )
        with self.database.write() as connection:
            if connection.execute(held).first() is None:
                connection.execute(
                    insert(pins).values(
                        table_uri=table_uri,
                        table_id=table_id,
                        version=version,
                        manifest=manifest,
                        holder=holder,
                        reason=reason,
                        created_ms=created_ms,
                    )
                )

    def list(self, table_uri: str | None = None) -> Sequence[PinRow]:
        """Return the pins that hold, of one table or of all, oldest first."""
        return self._select(table_uri, pins.c.released_ms.is_(None))

    def list_released(self, table_uri: str | None = None) -> Sequence[PinRow]:
        """Return the pins that were let go, of one table or of all, oldest first."""
        return self._select(table_uri, pins.c.released_ms.is_not(None))

    def release(
        self,
        *,
        holder: str,
        table_uri: str | None = None,
        version: int | None = None,
        table_id: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Let go of a holder's pins (of one table, of one version, of one table id) and return how many there were.

        The rows stay, with the time and the reason, so that a version that is gone can be explained. The pin of a tag
        stays as long as the tag names its version.
        """
        tagged = exists().where(
            table_tags.c.table_id == pins.c.table_id,
            table_tags.c.version == pins.c.version,
            literal("tag:").concat(table_tags.c.tag) == pins.c.holder,
        )
        released = update(pins).where(pins.c.holder == holder, pins.c.released_ms.is_(None), ~tagged)
        if table_uri is not None:
            released = released.where(pins.c.table_uri == table_uri)
        if version is not None:
            released = released.where(pins.c.version == version)
        if table_id is not None:
            released = released.where(pins.c.table_id == table_id)
        with self.database.write() as connection:
            return connection.execute(released.values(released_ms=now_ms(), release_reason=reason)).rowcount

    def _select(self, table_uri: str | None, condition: ColumnElement[bool]) -> Sequence[PinRow]:
        wanted = select(*(column for column in pins.c if column is not pins.c.pin_id)).where(condition)
        if table_uri is not None:
            wanted = wanted.where(pins.c.table_uri == table_uri)
        with self.database.read() as connection:
            return [PinRow(*row) for row in connection.execute(wanted.order_by(pins.c.created_ms, pins.c.pin_id))]
