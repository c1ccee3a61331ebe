from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

MakeTable = Callable[..., Table]
FEED = {"delta.enableChangeDataFeed": "true"}


@pytest.fixture
def fed(tmp_path: Path) -> Table:
    """A table that records its changes: rows 1 to 3, an append, an update, a delete, a compaction."""
    place = str(tmp_path / "fed")
    write_deltalake(place, pa.table({"x": [1, 2, 3], "s": ["a", "b", "c"]}), configuration=FEED)
    write_deltalake(place, pa.table({"x": [4], "s": ["d"]}), mode="append")
    DeltaTable(place).update(updates={"s": "'z'"}, predicate="x = 2")
    DeltaTable(place).delete("x = 1")
    DeltaTable(place).optimize.compact()
    return Table(place)


def told(reader: pa.RecordBatchReader) -> Counter[tuple[object, ...]]:
    rows = reader.read_all().to_pylist()
    return Counter((row["_commit_version"], row["_change_type"], row["x"]) for row in rows)


def test_changes_come_in_the_order_of_the_versions(fed: Table) -> None:
    found = fed.changes(from_version=0).read_all()
    versions = found["_commit_version"].to_pylist()
    assert versions == sorted(versions)
    assert found.schema.names == ["x", "s", "_change_type", "_commit_version", "_commit_timestamp"]
    assert found.schema.field("_commit_timestamp").type == pa.timestamp("us", "UTC")
    assert told(fed.changes(from_version=1)) == {
        (1, "insert", 4): 1,
        (2, "update_preimage", 2): 1,
        (2, "update_postimage", 2): 1,
        (3, "delete", 1): 1,
    }


def test_a_range_of_commits_and_some_columns(fed: Table) -> None:
    found = fed.changes(from_version=2, to_version=2, columns=["s"]).read_all()
    assert sorted(found["s"].to_pylist()) == ["b", "z"]
    assert fed.changes(from_version=4).read_all().num_rows == 0, "a compaction changes no row"
    assert told(Table(fed.uri, at=1).changes(from_version=1)) == {(1, "insert", 4): 1}


def test_columns_that_came_later_are_null_before(fed: Table) -> None:
    more = pa.table({"x": [9], "s": ["q"], "new": [1.5]})
    write_deltalake(fed.uri, more, mode="append", schema_mode="merge")
    rows = fed.changes(from_version=3, columns=["x", "new"]).read_all().to_pylist()
    assert [(row["x"], row["new"]) for row in rows] == [(1, None), (9, 1.5)]


def test_out_of_range_and_not_recorded(fed: Table, table: Table) -> None:
    with pytest.raises(NotFoundError, match="no version 9 to open: it has 0 to 4"):
        fed.changes(from_version=9)
    with pytest.raises(NotFoundError, match="no version 8"):
        fed.changes(from_version=1, to_version=8)
    with pytest.raises(InvalidInputError, match="goes backwards"):
        fed.changes(from_version=2, to_version=1)
    with pytest.raises(InvalidInputError, match="goes backwards"):
        TableReader(fed.uri, at=1).changes(from_version=2)
    with pytest.raises(NotFoundError, match="no column 'y'"):
        fed.changes(from_version=1, columns=["y"])
    with pytest.raises(InvalidInputError, match=r"property delta\.enableChangeDataFeed is not true"):
        table.changes(from_version=0)


def test_a_log_that_was_cleaned(fed: Table) -> None:
    fed.open(version=2).create_checkpoint()
    for version in (0, 1, 2):
        (Path(fed.uri) / "_delta_log" / f"{version:020}.json").unlink()
    for version in (1, 2):
        with pytest.raises(NotFoundError, match=f"no version {version} to open|no commit {version} any more"):
            fed.changes(from_version=version)
    assert told(fed.changes(from_version=3)) == {(3, "delete", 1): 1}


def test_recording_that_began_later(table: Table) -> None:
    table.open().alter.set_table_properties(FEED)
    table.append(pa.table({"day": [9], "amount": [1.0], "shop": ["z"]}))
    with pytest.raises(InvalidInputError, match="at version 1"):
        table.changes(from_version=1)
    assert table.changes(from_version=3).read_all()["day"].to_pylist() == [9]


def test_recording_that_paused(table: Table) -> None:
    for value in ("true", "false"):
        table.set_properties(dict.fromkeys(FEED, value))
    table.delete(where="day = 1")
    table.set_properties(FEED)
    changes = table.changes(from_version=2)
    with pytest.raises(InvalidInputError, match="at version 3"):
        changes.read_all()


def test_mapped_columns_are_refused_by_name(tmp_path: Path) -> None:
    mapping = {"delta.columnMapping.mode": "name", **FEED}
    DeltaTable.create(str(tmp_path / "t"), pa.schema([("x", pa.int64())]), configuration=mapping)
    with pytest.raises(InvalidInputError, match="columnMapping"):
        Table(tmp_path / "t").changes(from_version=0)


def test_each_commit_is_in_the_order_of_its_files_and_partitions_may_have_any_name(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    rows = pa.table({"x": [1, 2, 3, 4], "shop": ["a b", None, "c/d", "a b"]})
    write_deltalake(place, rows, partition_by=["shop"], configuration=FEED)
    DeltaTable(place).update(updates={"x": "x + 10"}, predicate="x = 4")
    write_deltalake(place, pa.table({"x": [9], "shop": ["new"]}), mode="overwrite")
    table = Table(place)
    found = table.changes(from_version=0).read_all().to_pylist()
    assert found == table.changes(from_version=0).read_all().to_pylist()
    assert {(row["x"], row["shop"]) for row in found if row["_commit_version"] == 0} == {
        (1, "a b"),
        (2, None),
        (3, "c/d"),
        (4, "a b"),
    }
    later = Counter((row["_change_type"], row["x"], row["shop"]) for row in found if row["_commit_version"])
    assert later == {
        ("update_preimage", 4, "a b"): 1,
        ("update_postimage", 14, "a b"): 1,
        ("delete", 1, "a b"): 1,
        ("delete", 2, None): 1,
        ("delete", 3, "c/d"): 1,
        ("delete", 14, "a b"): 1,
        ("insert", 9, "new"): 1,
    }
    assert found[-1]["_commit_timestamp"].timestamp() * 1000 == table.history(limit=1)[0].timestamp_ms


@pytest.mark.parametrize("storage", ["u", "i"])
def test_rows_deleted_by_vectors(deletion_table: MakeTable, storage: str) -> None:
    table = deletion_table(storage, versions=3)
    log = Path(table.uri) / "_delta_log"
    for commit in log.glob("*.json"):
        commit.write_text(
            commit.read_text().replace('"configuration":{', f'"configuration":{{{json.dumps(FEED)[1:-1]},')
        )
        commit.write_text(
            commit.read_text().replace('"configuration": {', f'"configuration": {{{json.dumps(FEED)[1:-1]},')
        )
    assert told(table.changes(from_version=1)) == {(1, "delete", 1): 1, (1, "delete", 4): 1, (2, "delete", 5): 1}
