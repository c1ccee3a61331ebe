"""Results of checks in the metadata database."""

from __future__ import annotations

from pathlib import Path

from lakemark.storage.database import open_database
from lakemark.tracking.check_results import CheckResultRow, SqlCheckResultStore


def add(store: SqlCheckResultStore, *, table_id: str, version: int, name: str) -> None:
    store.add(
        table_uri="lake/orders",
        table_id=table_id,
        version=version,
        check_name=name,
        severity="error",
        passed=False,
        failing_rows=None if name == "whole" else 3,
        detail="it is",
        run_id=None,
        checked_ms=1_700_000_000_000 + version,
    )


def test_results_come_back_by_table_and_version(tmp_path: Path) -> None:
    store = SqlCheckResultStore(open_database(tmp_path / "lakemark.db"))
    add(store, table_id="a", version=0, name="whole")
    add(store, table_id="a", version=1, name="rows")
    add(store, table_id="b", version=1, name="rows")
    assert [(row.version, row.check_name) for row in store.list(table_id="a")] == [(1, "rows"), (0, "whole")]
    assert store.list(table_id="a", version=0) == [
        CheckResultRow(
            "lake/orders",
            "a",
            0,
            "whole",
            "error",
            passed=False,
            failing_rows=None,
            detail="it is",
            run_id=None,
            checked_ms=1_700_000_000_000,
        )
    ]
    assert store.list(table_id="c") == []
