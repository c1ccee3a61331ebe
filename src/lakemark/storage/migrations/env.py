"""What Alembic runs to reach the database; `upgrade` handed the connection in."""

from __future__ import annotations

from alembic import context

from lakemark.storage.schema import METADATA

__all__: list[str] = []

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
