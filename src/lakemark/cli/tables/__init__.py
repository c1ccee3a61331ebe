"""`lakemark tables`: Delta tables from the command line; one module per topic, loaded when it is called."""

from __future__ import annotations

import click

from lakemark.cli.lazy import LazyGroup

__all__ = ["tables"]

_HERE = "lakemark.cli.tables"
_COMMANDS = {
    "create": f"{_HERE}.writing:create",
    "append": f"{_HERE}.writing:append",
    "overwrite": f"{_HERE}.writing:overwrite",
    "read": f"{_HERE}.reading:read",
    "history": f"{_HERE}.reading:history",
    "pins": f"{_HERE}.pins:pins",
    "vacuum": f"{_HERE}.maintenance:vacuum",
}


@click.group(cls=LazyGroup, commands=_COMMANDS)
def tables() -> None:
    """Make, fill, read and clean up Delta tables.

    TABLE is a name (SCHEMA.TABLE or CATALOG.SCHEMA.TABLE), a folder or a URI; where it is read, TABLE@VERSION or
    TABLE@TAG names a version.
    """
