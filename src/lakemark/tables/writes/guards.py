"""The door between rows and a table that declares checks: all rows that are written go through it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable

from lakemark.tables.quoting import quoted
from lakemark.tables.writes.expressions import select

__all__ = ["CHECKS", "Admission", "Guarded", "admit"]

CHECKS = "lakemark.checks"
"""The property of a table that declares its checks."""


class Admission(Protocol):
    """Rows that may be written, and what the commit shall say about them."""

    @property
    def rows(self) -> pa.RecordBatchReader:
        """To be read once."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Entries of the commit."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a write brings, and what it does to the rows that are there.

    Parameters
    ----------
    rows : pyarrow.RecordBatchReader
        With the types of the table.
    replaces : bool
        True if they replace all rows of the table.
    where : str, optional
        SQL: they replace the rows that it is true for.
    on : sequence of str
        They replace the rows that have the same values in these columns.
    whole : bool, default True
        False where the table after the write cannot be told from the rows.
    """

    rows: pa.RecordBatchReader
    replaces: bool = False
    where: str | None = None
    on: Sequence[str] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class _Open:
    """All rows, as they came."""

    rows: pa.RecordBatchReader
    metadata: Mapping[str, str] = field(default_factory=dict)


def admit(table: DeltaTable, write: Guarded) -> Admission:
    """Return the rows that the checks of a table let pass; where it declares none, those that came.

    Raises
    ------
    InvalidInputError
        If a check refuses them.
    """
    if CHECKS not in table.metadata().configuration:
        return _Open(write.rows)
    from lakemark.tables.checks import guard  # noqa: PLC0415  # they need duckdb, and few tables declare any

    kept = None if write.where is None else partial(_kept, table, write.where)
    return guard.admit(table, write.rows, replaces=write.replaces, kept=kept, on=write.on, whole=write.whole)


def _kept(table: DeltaTable, where: str) -> pa.RecordBatchReader:
    """Return the rows that a predicate is not true for, by the engine that writes: others divide otherwise."""
    columns = [quoted(field.name) for field in table.schema().fields]
    return select(table, columns, where=f"(\n{where}\n) IS NOT TRUE")
