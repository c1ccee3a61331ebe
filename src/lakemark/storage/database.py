"""The metadata database: SQLite through SQLAlchemy Core, made and migrated when it is opened.

An acknowledged write is on the disk: SQLite runs in WAL mode with `synchronous=FULL`, because a run's spool is deleted
after its rows were committed. A write transaction takes the write lock when it begins (`BEGIN IMMEDIATE`), so two
writers queue for up to `BUSY_SECONDS` and never meet in the middle.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry

from lakemark._base.errors import StorageError
from lakemark.storage.schema import METADATA, REVISIONS

__all__ = ["BUSY_SECONDS", "Database", "open_database"]

BUSY_SECONDS = 60
"""How long a writer waits for another one, in seconds."""

_WRITES = "lakemark_writes"


class Database:
    """An open metadata database. Safe for threads; a forked child opens its own.

    Parameters
    ----------
    path : Path
        The SQLite file. `open_database` is what makes and migrates it; this class only connects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(_url(path))
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        # who forgets to close it leaves no open file; at exit the system does that, also for a forked child
        weakref.finalize(self, self._engine.dispose).atexit = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database and changes nothing."""
        with _told(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a write transaction: all of it is on the disk afterwards, or none.

        Raises
        ------
        StorageError
            If the disk is full, the file is damaged, or another writer held the lock for `BUSY_SECONDS`.
        """
        with _told(self.path), self._engine.connect() as connection:
            writer = connection.execution_options(**{_WRITES: True})
            with writer.begin():
                yield writer

    def close(self) -> None:
        """Close all connections; a later use opens new ones."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()


def _url(path: Path) -> URL:
    """Return how SQLite opens a file; one in a folder that may only be read, without the journal that it would make.

    A journal beside it means that somebody writes right now; what is in it must be read too, so SQLite says what it can
    do. Without one, all is in the file.
    """
    journal = path.with_name(f"{path.name}-wal")
    if os.access(path.parent, os.W_OK) or not path.is_file() or journal.exists():
        return URL.create("sqlite+pysqlite", database=str(path))
    place = f"file:{quote(str(path))}"
    return URL.create("sqlite+pysqlite", database=place, query={"mode": "ro", "immutable": "1", "uri": "true"})


def open_database(path: Path) -> Database:
    """Open the database in a file, and make it or bring it up to date where that is needed.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder must exist.

    Raises
    ------
    StorageError
        If the file cannot be opened, is no database, or was written by a newer Lakemark.

    Notes
    -----
    Processes that open a new or old database at once wait for each other at a lock file beside it. A database that is
    up to date is neither locked nor does it load the migration library.
    """
    database = Database(path)
    try:
        if _revision(database) != REVISIONS[-1]:
            _migrate(database)
    except BaseException:
        database.close()
        raise
    return database


class _Upgrade(Protocol):
    """What `lakemark.storage.migrations.upgrade` offers."""

    def upgrade(self, connection: Connection) -> None: ...


def _migrate(database: Database) -> None:
    with _told(database.path), database.path.with_name(f"{database.path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        revision = _revision(database)
        if revision == REVISIONS[-1]:
            return
        if revision is not None and revision not in REVISIONS:
            raise StorageError(
                f"{database.path} was written by a newer Lakemark: its schema is {revision}, "
                f"this one knows up to {REVISIONS[-1]}",
                hint="pip install --upgrade lakemark",
            )
        with database.read() as connection:
            connection.exec_driver_sql("ROLLBACK")  # the journal's mode cannot change inside a transaction
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.exec_driver_sql("BEGIN")
        if revision is None:
            _make(database)
            return
        # loaded by name, because alembic costs more than all else that most commands do
        migrations = cast("_Upgrade", importlib.import_module("lakemark.storage.migrations.upgrade"))
        with database.write() as connection:
            migrations.upgrade(connection)


def _make(database: Database) -> None:
    """Make the schema of today in an empty database, as if all migrations had run; a test compares the two."""
    with database.write() as connection:
        METADATA.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISIONS[-1]})


def _revision(database: Database) -> str | None:
    """Return what the database says of its schema; None where it says nothing, because it is new."""
    with database.read() as connection:
        known = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
        if connection.execute(known).first() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Set up a new connection; Python's own guess at where transactions begin is switched off."""
    raw = cast("sqlite3.Connection", connection)
    raw.isolation_level = None
    for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "foreign_keys = ON", "synchronous = FULL"):
        raw.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what the driver and the system say about a file as one `StorageError`."""
    try:
        yield
    except DatabaseError as error:
        raise StorageError(f"{path}: {error.orig}", hint=_hint(str(error.orig))) from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="the folder must exist and be writable") from error


def _hint(said: str) -> str:
    if "not a database" in said or "malformed" in said:
        return "the file is damaged; put a copy back, or move it away and start anew"
    if "locked" in said:
        return f"another process held it for {BUSY_SECONDS} s; try again when that one has ended"
    if "full" in said:
        return "make room on the disk and try again; nothing was half written"
    if "I/O" in said:
        return "the disk may be full: df tells; nothing was half written"
    return "the folder must exist and be writable"
