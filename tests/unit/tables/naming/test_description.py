from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.naming.description import describe
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Commit, Table
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore


def test_all_that_is_known_is_said(tmp_path: Path) -> None:
    table = Table(tmp_path / "sales", name="main.sales.orders")
    table.create(pa.table({"day": [1, 2], "shop": ["a", "b"]}), partition_by=["day"])
    table.append(pa.table({"day": [2], "shop": ["c"]}), commit=Commit(message="more", run_id="ab" * 16))
    with open_database(tmp_path / "db") as database:
        tags = Tags(SqlTagStore(database), SqlPinStore(database), ObjectStore(tmp_path / "objects"))
        tags.tag(table, 0, "q3")
        found = describe(table, tags=tags, comment="of the shop", managed=True)
    assert (found.name, found.version, found.rows, found.files) == ("main.sales.orders", 1, 3, 3)
    assert (found.partition_columns, found.schema.names, found.comment) == (("day",), ["day", "shop"], "of the shop")
    assert (dict(found.tags), found.pins, found.managed) == ({"q3": 0}, 1, True)
    assert found.bytes == sum(path.stat().st_size for path in Path(table.uri).rglob("*.parquet"))
    assert found.properties["delta.enableExpiredLogCleanup"] == "false"
    assert found.last_commit is not None
    assert (found.last_commit.version, found.last_commit.commit.message) == (1, "more")


def test_an_older_version_is_described_as_it_was(tmp_path: Path) -> None:
    Table(tmp_path / "sales").create(pa.table({"day": [1]}), commit=Commit(message="first"))
    Table(tmp_path / "sales").append(pa.table({"day": [2]}))
    found = describe(Table(tmp_path / "sales", at=0))
    assert (found.version, found.rows, found.files, found.pins, found.comment) == (0, 1, 1, 0, "")
    assert found.last_commit is not None
    assert found.last_commit.commit.message == "first"


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_tables_have_no_rows(tmp_path: Path, rows: int) -> None:
    Table(tmp_path / "sales").create(pa.schema([("day", pa.int64())]))
    assert describe(Table(tmp_path / "sales")).rows == 0
