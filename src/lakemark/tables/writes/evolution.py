"""Changing the columns of a table that is there."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from deltalake import Field

from lakemark._base.errors import InvalidInputError
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.scan import scan
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.rows import rewrite
from lakemark.tables.writes.schemas import new_columns, widened_schema
from lakemark.tables.writes.targets import open_target

__all__ = ["add_columns", "widen"]


def add_columns(target: TableReader, columns: pa.Schema, *, commit: Commit | None = None) -> int:
    """Add columns, in which the rows that are there have nulls; the public face is `Table.add_columns`."""
    if not len(columns):
        raise InvalidInputError("there are no columns to add", hint="for example note:string")

    def write() -> int:
        table = open_target(target)
        fields = new_columns(pa.schema(table.schema().to_arrow()), columns)
        with translated(target.uri):
            table.alter.add_columns(
                [Field.from_arrow(field) for field in fields],
                commit_properties=commit_properties(commit, alone=True),
                post_commithook_properties=KEEP_LOG,
            )
        return table.version()

    return retried(write)


def widen(target: TableReader, columns: Mapping[str, pa.DataType], *, commit: Commit | None = None) -> int:
    """Give columns wider types by writing all files again; the public face is `Table.widen`."""

    def write() -> int:
        table = open_target(target)
        schema = pa.schema(table.schema().to_arrow())
        wanted = widened_schema(schema, columns, uri=target.uri)
        if wanted.types == schema.types:
            return table.version()
        with translated(target.uri):
            rows = scan(table)
        return rewrite(table, rows, wanted, commit=commit)

    return retried(write)
