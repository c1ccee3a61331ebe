from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakemark.tables.pinning.protection import is_protected, protect, weak_properties
from lakemark.tables.table import Table
from lakemark.tables.writes.properties import PROTECTION


def test_our_own_tables_are_protected(table: Table) -> None:
    assert is_protected(table)
    assert not protect(table)
    assert table.version == 1


def test_a_foreign_table_is_protected_in_one_commit(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"x": [1]}), configuration={"delta.appendOnly": "false"})
    table = Table(tmp_path / "t")
    rows = table.read()
    assert not is_protected(table)
    assert protect(table)
    assert (table.version, is_protected(table), protect(table), table.version) == (1, True, False, 1)
    assert table.open().metadata().configuration == {**PROTECTION, "delta.appendOnly": "false"}
    assert table.history()[0].commit.message == "keep old versions readable"
    assert table.read().equals(rows)


def test_what_is_stronger_stays(tmp_path: Path) -> None:
    strong = {"delta.logRetentionDuration": "interval 9000 days", "delta.enableExpiredLogCleanup": "true"}
    DeltaTable.create(tmp_path / "t", pa.schema([("x", pa.int64())]), configuration=strong)
    table = Table(tmp_path / "t")
    assert protect(table)
    configuration = table.open().metadata().configuration
    assert configuration["delta.logRetentionDuration"] == "interval 9000 days"
    assert configuration["delta.enableExpiredLogCleanup"] == "false"


@pytest.mark.parametrize(
    ("interval", "is_weak"),
    [
        ("interval 3650 days", False),
        ("interval 522 weeks", False),
        ("3650 days", False),
        ("INTERVAL 87600 HOURS", False),
        ("interval 521 weeks 3 days", False),
        ("interval 521 weeks 2 days", True),
        ("interval 1 week", True),
        ("interval 10 years", True),
        ("forever", True),
        ("", True),
        ("interval -4000 days", True),
    ],
)
def test_intervals(interval: str, *, is_weak: bool) -> None:
    found = weak_properties({**PROTECTION, "delta.logRetentionDuration": interval})
    assert bool(found) is is_weak


def test_many_at_once(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"x": [1]}))
    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(lambda _: protect(Table(tmp_path / "t")), range(4)))
    assert is_protected(Table(tmp_path / "t"))
