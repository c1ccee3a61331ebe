"""Reading from an object store: rows, deletion vectors that only a checkpoint knows, changes, history."""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark.tables.log.vectors import logged_vectors
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table


def test_rows_of_a_table_in_an_object_store(s3: str) -> None:
    place = f"{s3}/a table"
    rows = pa.table({"day": [1, 2, 1, 2], "shop": ["a b", "c/d", None, "é"], "x": [4, 3, 2, 1]})
    write_deltalake(place, rows, partition_by=["shop"])
    write_deltalake(place, pa.table({"day": [3], "shop": ["a b"], "x": [0]}), mode="append")
    table = Table(place)
    assert table.read(order_by=["x"])["shop"].to_pylist() == ["a b", "é", None, "c/d", "a b"]
    assert table.read(where="shop = 'a b' and x > 0", columns=["x"])["x"].to_pylist() == [4]
    assert table.read().equals(table.read())
    assert TableReader(place, at=0).read().num_rows == 4
    assert table.to_polars(version=0).collect().height == 4
    assert [record.version for record in table.history()] == [1, 0]
    DeltaTable(place).create_checkpoint()
    assert set(logged_vectors(place, 1)) == {entry.path for entry in table.manifest().entries}


def test_changes_of_a_table_in_an_object_store(s3: str) -> None:
    place = f"{s3}/fed"
    write_deltalake(place, pa.table({"x": [1]}), configuration={"delta.enableChangeDataFeed": "true"})
    write_deltalake(place, pa.table({"x": [2]}), mode="append")
    found = Table(place).changes(from_version=0).read_all()
    assert list(zip(found["_commit_version"].to_pylist(), found["x"].to_pylist(), strict=True)) == [(0, 1), (1, 2)]
