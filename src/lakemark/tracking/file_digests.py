"""Which object holds the digests of the files of a pinned version, in the metadata database."""

from __future__ import annotations

from sqlalchemy import insert, select

from lakemark.storage.database import Database
from lakemark.storage.schema import file_digests

__all__ = ["SqlDigestStore"]


class SqlDigestStore:
    """Documents of digests by the manifest of their version.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, manifest: str) -> str | None:
        """Return the sha256 of the document, None where there is none."""
        wanted = select(file_digests.c.document).where(file_digests.c.manifest == manifest)
        with self.database.read() as connection:
            return connection.execute(wanted).scalar()

    def put(self, manifest: str, document: str, *, created_ms: int) -> str:
        """Keep the first document of a version, and return the one that is kept."""
        wanted = select(file_digests.c.document).where(file_digests.c.manifest == manifest)
        with self.database.write() as connection:
            known: str | None = connection.execute(wanted).scalar()
            if known is not None:
                return known
            values = {"manifest": manifest, "document": document, "created_ms": created_ms}
            connection.execute(insert(file_digests).values(**values))
        return document
