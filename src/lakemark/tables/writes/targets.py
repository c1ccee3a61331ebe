"""Opening a table in order to write it: what cannot be written is refused before anything is read."""

from __future__ import annotations

import os
from collections.abc import Collection

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError, StorageError
from lakemark.tables.log.manifest import local_folder
from lakemark.tables.reading import TableReader

__all__ = ["check_folder", "check_latest", "open_target", "refuse_binary_partitions", "refuse_identity"]

_IDENTITY = b"delta.identity."
_UNWRITABLE = "%[]^|"


def check_latest(target: TableReader) -> None:
    """Raise if a table is one at a version: what has been cannot be changed.

    Raises
    ------
    InvalidInputError
        If `at` is not None.
    """
    if target.at is not None:
        raise InvalidInputError(
            f"{target.name or target.uri}@{target.at} is a version, and only the latest of a table can be changed",
            hint=f"write to {target.name or target.uri}; restore makes version {target.at} the latest again",
            at=target.at,
        )


def open_target(target: TableReader) -> DeltaTable:
    """Return the table, opened at its latest version.

    Raises
    ------
    InvalidInputError
        For a table at a version, or one with identity columns, or one that is partitioned by binary values.
    NotFoundError
        If there is no table.
    StorageError
        If its folder may not be written.
    """
    check_latest(target)
    check_folder(target.uri)
    table = target.open()
    folder = local_folder(table.table_uri)
    if folder is not None and not all(os.access(place, os.W_OK) for place in (folder, folder / "_delta_log")):
        raise StorageError(  # before delta-rs tries: a thread of its own would print a trace on its way out
            f"no permission to write to {target.name or target.uri}: {folder} may only be read",
            hint="look at who owns it, as whom you run",
        )
    schema = pa.schema(table.schema().to_arrow())
    refuse_identity(schema, target.uri)
    refuse_binary_partitions(table.metadata().partition_columns, schema)
    return table


def check_folder(uri: str) -> None:
    """Raise for a folder that `deltalake` cannot write to: it panics, or puts the files into another folder.

    Raises
    ------
    InvalidInputError
        It names the character.
    """
    folder = local_folder(uri)
    wrong = [character for character in str(folder or "") if character in _UNWRITABLE]
    if wrong:
        raise InvalidInputError(
            f"{uri}: a table's folder may not have {wrong[0]!r} in its path, deltalake cannot write there",
            hint=f"take a path without {' '.join(_UNWRITABLE)}",
        )


def refuse_identity(schema: pa.Schema, uri: str) -> None:
    """Raise for identity columns: `deltalake` takes them, and writes nulls where numbers should count up.

    Raises
    ------
    InvalidInputError
        It names the columns.
    """
    names = [field.name for field in schema if any(key.startswith(_IDENTITY) for key in field.metadata or {})]
    if names:
        raise InvalidInputError(
            f"{uri}: column {', '.join(repr(name) for name in names)} is an identity column, which can't be written: "
            "deltalake would leave nulls in it",
            hint="write the numbers yourself, into an ordinary column",
        )


def refuse_binary_partitions(partitions: Collection[str], schema: pa.Schema) -> None:
    """Raise for partitions by binary values: `deltalake` reads back other bytes than it wrote.

    Raises
    ------
    InvalidInputError
        It names the column.
    """
    for name in partitions:
        if pa.types.is_binary(schema.field(name).type):
            raise InvalidInputError(
                f"partition column {name!r} is binary: deltalake reads back other bytes than it writes into the names "
                "of folders",
                hint="partition by a text or an integer",
            )
