"""Results of checks in the metadata database, in plain columns: neither side needs to know a class of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select

from lakemark.storage.database import Database
from lakemark.storage.schema import check_results

__all__ = ["CheckResultRow", "SqlCheckResultStore"]


@dataclass(frozen=True, slots=True)
class CheckResultRow:
    """What one check found in one version of a table.

    Parameters
    ----------
    table_uri : str
        Where the table lies.
    table_id : str
        The id in the table's metadata.
    version : int
        Which version was checked, from 0.
    check_name : str
        Of the check.
    severity : str
        `error` or `warning`.
    passed : bool
        Whether it held.
    failing_rows : int or None
        How many rows were at fault; None where the check is of the table as a whole.
    detail : str
        What was found, in words.
    run_id : str or None
        The run that asked.
    checked_ms : int
        When, in milliseconds since 1970-01-01 UTC.
    """

    table_uri: str
    table_id: str
    version: int
    check_name: str
    severity: str
    passed: bool
    failing_rows: int | None
    detail: str
    run_id: str | None
    checked_ms: int


class SqlCheckResultStore:
    """Results of checks, for each version that was checked.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(  # noqa: PLR0913 -- one argument for each column
        self,
        *,
        table_uri: str,
        table_id: str,
        version: int,
        check_name: str,
        severity: str,
        passed: bool,
        failing_rows: int | None,
        detail: str,
        run_id: str | None,
        checked_ms: int,
    ) -> None:
        """Keep a result; the same check of the same version later is kept as well."""
        with self.database.write() as connection:
            connection.execute(
                insert(check_results).values(
                    table_uri=table_uri,
                    table_id=table_id,
                    version=version,
                    check_name=check_name,
                    severity=severity,
                    passed=passed,
                    failing_rows=failing_rows,
                    detail=detail,
                    run_id=run_id,
                    checked_ms=checked_ms,
                )
            )

    def list(self, *, table_id: str, version: int | None = None) -> Sequence[CheckResultRow]:
        """Return the results of a table, or of one version of it, the latest first.

        Parameters
        ----------
        table_id : str
            The id in the table's metadata.
        version : int, optional
            From 0; without it all.
        """
        columns = [column for column in check_results.c if column is not check_results.c.result_id]
        wanted = select(*columns).where(check_results.c.table_id == table_id)
        if version is not None:
            wanted = wanted.where(check_results.c.version == version)
        with self.database.read() as connection:
            found = connection.execute(wanted.order_by(check_results.c.result_id.desc()))
            return [CheckResultRow(*row) for row in found]
