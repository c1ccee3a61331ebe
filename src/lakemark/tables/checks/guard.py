"""The guard of a table that declares checks: rows are asked before any of them is written.

The incoming rows are kept in a temporary Parquet file, because all of them must be known before the first is written;
one batch at a time is in memory. What concerns the table as a whole is asked of the state after the write. Two writers
at the same moment do not see each other's rows: that a key is unique then holds only for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError
from lakemark.tables.checks.evaluation import Rows, check_columns, evaluate, is_on_rows
from lakemark.tables.checks.results import CheckResult, write
from lakemark.tables.checks.rules import PROPERTY, Check, Severity, parse_checks
from lakemark.tables.log.manifest import location
from lakemark.tables.queries.engine import Engine, duck_type
from lakemark.tables.queries.views import add_rows, add_version
from lakemark.tables.quoting import quoted

__all__ = ["Admitted", "admit"]

_NEW, _OLD, _ALL = "incoming", "old", "after"
_STAGED = "staged"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Rows that may be written.

    Parameters
    ----------
    rows : pyarrow.RecordBatchReader
        To be read once.
    metadata : mapping of str to str
        What the commit shall say: the results, without any value of a row.
    """

    rows: pa.RecordBatchReader
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Write:
    """What a write brings, and what it does to the rows that are there."""

    opened: DeltaTable
    schema: pa.Schema
    replaces: bool
    kept: Callable[[], pa.RecordBatchReader] | None
    on: Sequence[str]


def admit(
    opened: DeltaTable,
    rows: pa.RecordBatchReader,
    *,
    replaces: bool,
    kept: Callable[[], pa.RecordBatchReader] | None = None,
    on: Sequence[str] = (),
    whole: bool = True,
) -> Admitted:
    """Return the rows that the checks of a table let pass.

    Parameters
    ----------
    opened : DeltaTable
        What will be written, at its latest version.
    rows : pyarrow.RecordBatchReader
        The rows that will be written.
    replaces : bool
        True if they replace all rows of the table.
    kept : callable, optional
        Returns the rows of the table that stay, where neither all do nor `replaces` or `on` tells.
    on : sequence of str, optional
        They replace the rows that have the same values in these columns.
    whole : bool, default True
        False where the table after the write cannot be told from the rows; only checks of single rows are asked then.

    Raises
    ------
    InvalidInputError
        If a check of severity `error` fails: the check, how many rows are at fault, and up to 5 of them. If a check
        does not fit the rows.
    """
    declared = opened.metadata().configuration.get(PROPERTY)
    checks = () if declared is None else parse_checks(declared)
    if not whole:
        checks = tuple(check for check in checks if is_on_rows(check))
    if not checks:
        return Admitted(rows)
    engine = Engine()
    try:
        path = add_rows(engine, _STAGED, rows)
        results = _ask(engine, checks, _Write(opened, rows.schema, replaces=replaces, kept=kept, on=on))
        _refuse(results, location(opened.table_uri))
    except BaseException:
        engine.close()
        raise
    staged = pa.RecordBatchReader.from_batches(rows.schema, _staged(engine, path, rows.schema))
    return Admitted(staged, {PROPERTY: write(results)})


def _ask(engine: Engine, checks: Sequence[Check], change: _Write) -> list[CheckResult]:
    opened = change.opened
    schema = incoming = change.schema
    if not change.replaces:  # a column that the rows do not have is null in them
        known = pa.schema(opened.schema().to_arrow())
        schema = pa.schema([*incoming, *(one for one in known if one.name not in incoming.names)])
    check_columns(checks, schema)
    missing = [one for one in schema if one.name not in incoming.names]
    nulls = "".join(f", CAST(NULL AS {duck_type(one.type)}) AS {quoted(one.name)}" for one in missing)
    engine.add_query(_NEW, f"SELECT *{nulls} FROM {quoted(_STAGED)}")  # noqa: S608 -- quoted
    if change.replaces or all(map(is_on_rows, checks)):
        engine.seal()
        return evaluate(engine, checks, Rows(_NEW, _NEW, schema))
    if change.kept is None:
        add_version(engine, _OLD, opened)
    else:
        add_rows(engine, _OLD, change.kept())
    kept = f"SELECT * FROM {quoted(_OLD)} AS a{_kept(change)}"  # noqa: S608 -- quoted
    engine.add_query(_ALL, f"FROM {quoted(_NEW)} UNION ALL BY NAME ({kept})")
    engine.seal()
    return evaluate(engine, checks, Rows(_ALL, _NEW, schema))


def _kept(change: _Write) -> str:
    """Return the condition for the old rows that stay."""
    if change.on:
        same = " AND ".join(f"a.{quoted(name)} = b.{quoted(name)}" for name in change.on)
        return f" WHERE NOT EXISTS (FROM {quoted(_NEW)} AS b WHERE {same})"
    return ""


def _refuse(results: Sequence[CheckResult], uri: str) -> None:
    failed = [one for one in results if not one.passed and one.severity is Severity.ERROR]
    if not failed:
        return
    told = "; ".join(f"check {one.name!r}: {one.detail}" for one in failed)
    shown = [f"  {one.name}: {line}" for one in failed for line in one.samples]
    raise InvalidInputError(
        "\n".join([f"the rows break checks of {uri}, nothing was written: {told}", *shown]),
        hint=f"correct the rows, or lakemark tables checks {uri} lists the checks",
        checks=[one.name for one in failed],
    )


def _staged(engine: Engine, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            # the oldest pyarrow that we take cannot iterate over no row group at all
            for batch in file.iter_batches() if file.num_row_groups else ():
                yield batch.cast(schema)
    finally:
        engine.close()
