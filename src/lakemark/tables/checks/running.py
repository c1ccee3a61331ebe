"""Checks of a table: declared, dropped, and asked of one version on demand."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from lakemark.tables.checks.evaluation import Rows, check_columns, evaluate
from lakemark.tables.checks.results import CheckResult, parse_results
from lakemark.tables.checks.rules import PROPERTY, Check, Severity, parse_checks, write_checks
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties, read_info
from lakemark.tables.log.manifest import location
from lakemark.tables.queries.engine import Engine
from lakemark.tables.queries.views import add_version
from lakemark.tables.reading import TableReader

__all__ = ["add_check", "commit_results", "declared_checks", "drop_check", "run_checks"]

_TABLE = "table"


def declared_checks(opened: DeltaTable) -> tuple[Check, ...]:
    """Return the checks that a version of a table declares.

    Raises
    ------
    InvalidInputError
        If the property is not of the format `lakemark.checks/1`.
    """
    text = opened.metadata().configuration.get(PROPERTY)
    return () if text is None else parse_checks(text)


def run_checks(opened: DeltaTable, checks: Sequence[Check] | None = None) -> list[CheckResult]:
    """Ask checks of the version that a table has open; memory does not grow with the table.

    Parameters
    ----------
    opened : DeltaTable
        At the version to check.
    checks : sequence of Check, optional
        Without it those that the version declares.

    Raises
    ------
    InvalidInputError
        If a check does not fit the table, or cannot be computed.
    """
    asked = declared_checks(opened) if checks is None else tuple(checks)
    schema = pa.schema(opened.schema().to_arrow())
    check_columns(asked, schema)
    if not asked:
        return []
    engine = Engine()
    try:
        add_version(engine, _TABLE, opened)
        engine.seal()
        return evaluate(engine, asked, Rows(_TABLE, _TABLE, schema))
    finally:
        engine.close()


def add_check(table: TableReader, check: Check, *, verify: bool = True) -> int:
    """Declare a check with a table, and return the version that this makes.

    Parameters
    ----------
    table : TableReader
        The table.
    check : Check
        Its name must be new.
    verify : bool, default True
        Refuse a check of severity `error` that the rows which are there break.

    Raises
    ------
    ConflictError
        If the table has a check of the name, or somebody else changes the table at the same moment.
    InvalidInputError
        If the check does not fit the table, or its rows break it.
    """
    opened = table.open()
    checks = declared_checks(opened)
    if check.name in [one.name for one in checks]:
        raise ConflictError(
            f"{table.uri} has a check {check.name!r} already",
            hint=f"lakemark tables drop-check {table.uri} {check.name} drops it",
        )
    check_columns([check], pa.schema(opened.schema().to_arrow()))
    if verify and check.severity is Severity.ERROR:
        (result,) = run_checks(opened, [check])
        if not result.passed:
            shown = [f"  {line}" for line in result.samples]
            raise InvalidInputError(
                "\n".join([f"{table.uri} breaks check {check.name!r} as it is: {result.detail}", *shown]),
                hint="--severity warning flags rows instead, --no-verify asks only what is written from now on",
            )
    # alone: else rows that came since would live on, and nobody has asked them
    return _declare(opened, [*checks, check], f"add check {check.name}", alone=True)


def drop_check(table: TableReader, name: str) -> int:
    """Take a check away from a table, and return the version that this makes.

    Raises
    ------
    NotFoundError
        If the table has no check of the name; the nearest is named.
    ConflictError
        If somebody else changes the table at the same moment.
    """
    opened = table.open()
    checks = declared_checks(opened)
    names = [check.name for check in checks]
    if name not in names:
        close = nearest(name, names)
        raise NotFoundError(
            f"{table.uri} has no check {name!r}" + (f", did you mean {close!r}?" if close else ""),
            hint=f"its checks are {', '.join(names)}" if names else "it has none",
        )
    return _declare(opened, [check for check in checks if check.name != name], f"drop check {name}")


def commit_results(table: TableReader, version: int) -> tuple[CheckResult, ...]:
    """Return what the checks found when a version was written; nothing where none was asked.

    Raises
    ------
    NotFoundError
        If the log has no such version.
    """
    table.open(version=version)
    text = read_info(table.uri, version).get(PROPERTY)
    return () if text is None else parse_results(str(text))


def _declare(opened: DeltaTable, checks: Sequence[Check], message: str, *, alone: bool = False) -> int:
    with translated(location(opened.table_uri)):
        opened.alter.set_table_properties(
            {PROPERTY: write_checks(checks)},
            raise_if_not_exists=False,
            commit_properties=commit_properties(Commit(message=message), alone=alone),
            post_commithook_properties=KEEP_LOG,
        )
    return opened.version()
