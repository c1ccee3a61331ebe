"""Running the migrations: no `alembic.ini`, the connection is handed in."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations that `connection`'s database still lacks, inside of its transaction.

    Parameters
    ----------
    connection : Connection
        In a write transaction; the caller commits.
    revision : str, default "head"
        Up to which one.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
