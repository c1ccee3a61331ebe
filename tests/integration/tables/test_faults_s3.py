"""Tables on an object store that are written from tables on an object store: one event loop, and both sides want it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark.tables.table import Table


@pytest.fixture
def source(s3: str) -> Table:
    table = Table(f"{s3}/source")
    table.create(pa.table({"id": [1, 2], "p": ["a", "b"], "x": pa.array([1, 2], pa.int32())}), partition_by=["p"])
    table.append(pa.table({"id": [3], "p": ["a"], "x": pa.array([3], pa.int32())}))
    return table


def test_a_table_is_widened(source: Table) -> None:
    assert source.widen({"x": pa.int64()}) == 2
    assert source.schema.field("x").type == pa.int64()
    assert sorted(source.read()["x"].to_pylist()) == [1, 2, 3]


def test_a_table_is_written_from_the_stream_of_another(source: Table, s3: str) -> None:
    table = Table(f"{s3}/target")
    table.create(source.batches(where="id < 3"))
    table.append(source.batches(where="id = 3"))
    assert table.read(order_by=["id"]).equals(source.read(order_by=["id"]))
    table.overwrite(source.batches(version=0, where="id = 1"), where="id = 1")
    table.merge(source.batches(), on=["id"])
    assert table.read(order_by=["id"]).equals(source.read(order_by=["id"]))


def test_a_table_is_overwritten_from_itself(source: Table) -> None:
    before = source.read(order_by=["id"])
    source.overwrite(source.batches(order_by=["id"]))
    assert source.read(order_by=["id"]).equals(before)
