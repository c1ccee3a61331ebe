"""What we write, others read: deltalake, pyarrow, Polars and DuckDB give the same values, over types and partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakemark.tables.table import Table

Read = Callable[[Table], pa.Table]

AWARE = datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)
NAIVE = AWARE.replace(tzinfo=None)

COLUMNS: Mapping[str, pa.Array] = {
    "boolean": pa.array([True, None, False]),
    "byte": pa.array([-128, None, 127], pa.int8()),
    "short": pa.array([-(2**15), None, 2**15 - 1], pa.int16()),
    "int": pa.array([-(2**31), None, 2**31 - 1], pa.int32()),
    "long": pa.array([-(2**63), None, 2**63 - 1], pa.int64()),
    "float": pa.array([0.1, None, -0.0], pa.float32()),
    "double": pa.array([1e-300, None, float("inf")], pa.float64()),
    "text": pa.array(["", None, "grüße\n日本"]),
    "bytes": pa.array([b"", None, b"\x00\xff"]),
    "day": pa.array([date(1, 1, 1), None, date(9999, 12, 31)]),
    "aware": pa.array([AWARE, None, AWARE], pa.timestamp("us", "UTC")),
    "decimal": pa.array([Decimal("-0.01"), None, Decimal("99999999.99")], pa.decimal128(10, 2)),
    "big": pa.array([Decimal(-1), None, Decimal(10**37)], pa.decimal128(38, 0)),
    "list": pa.array([[], None, [1, None]], pa.list_(pa.int64())),
    "struct": pa.array(
        [{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}],
        pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]),
    ),
}
NAIVE_COLUMN = pa.array([NAIVE, None, NAIVE], pa.timestamp("us"))


def by_deltalake(table: Table) -> pa.Table:
    return pa.table(DeltaTable(table.uri).scan())


def by_pyarrow(table: Table) -> pa.Table:
    return DeltaTable(table.uri).to_pyarrow_table()


def by_polars(table: Table) -> pa.Table:
    return pl.read_delta(table.uri).to_arrow()


def by_duckdb(table: Table) -> pa.Table:
    files = [uri.removeprefix("file://") for uri in DeltaTable(table.uri).file_uris()]
    reader = duckdb.connect()
    reader.execute("SET TimeZone='UTC'")
    parted = bool(DeltaTable(table.uri).metadata().partition_columns)
    relation = reader.sql(
        "SELECT * FROM read_parquet($files, union_by_name=true, hive_partitioning=$parted)",
        params={"files": files, "parted": parted},
    )
    return pa.table(relation.to_arrow_reader())


READERS: Mapping[str, Read] = {
    "deltalake": by_deltalake,
    "pyarrow": by_pyarrow,
    "polars": by_polars,
    "duckdb": by_duckdb,
}


def rows(**columns: pa.Array) -> pa.Table:
    return pa.table({"id": [1, 2, 3], **columns})


def same(found: pa.Table, wanted: pa.Table) -> None:
    """Look that values are equal; engines may give them in another layout (views, other units of time)."""
    ordered = sorted(found.select(wanted.column_names).to_pylist(), key=lambda row: row["id"])
    assert ordered == wanted.sort_by("id").to_pylist()


@pytest.mark.parametrize("engine", READERS)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_type(tmp_path: Path, engine: str, column: str) -> None:
    table, wanted = Table(tmp_path / "t"), rows(value=COLUMNS[column])
    table.create(wanted.slice(0, 1))
    table.append(wanted.slice(1))
    same(READERS[engine](table), wanted)
    assert table.open().protocol()[:2] == (1, 2)  # every reader of Delta opens it


@pytest.mark.parametrize("engine", READERS)
def test_times_without_a_zone(tmp_path: Path, engine: str) -> None:
    table = Table(tmp_path / "t")
    table.create(rows(value=NAIVE_COLUMN))
    same(READERS[engine](table), rows(value=NAIVE_COLUMN))
    assert table.open().protocol().reader_features == ["timestampNtz"]


@pytest.mark.parametrize("engine", READERS)
def test_all_types_after_changes(tmp_path: Path, engine: str) -> None:
    table, first = Table(tmp_path / "t"), rows(**COLUMNS)
    table.create(first)
    more = first.set_column(0, "id", pa.array([4, 5, 6]))
    table.merge(pa.concat_tables([first.slice(2), more]), on=["id"])
    table.update({"text": "concat(text, '!')"}, "id = 1")
    table.delete("id = 2")
    table.append(more.slice(0, 1).set_column(0, "id", pa.array([7])), schema_mode="merge")
    found = READERS[engine](table)
    assert sorted(found["id"].to_pylist()) == [1, 3, 4, 5, 6, 7]
    same(found, table.read())
    last = next(row for row in found.to_pylist() if row["id"] == 6)
    assert last == {**first.slice(2).to_pylist()[0], "id": 6}


@pytest.mark.parametrize("engine", READERS)
def test_partitions(tmp_path: Path, engine: str) -> None:
    table = Table(tmp_path / "t")
    wanted = rows(p=pa.array(["a b/c%é=", None, "x"]), d=pa.array([date(2024, 2, 29), None, date(2024, 3, 1)]))
    table.create(wanted, partition_by=["p", "d"])
    table.widen({"id": pa.int64()})
    same(READERS[engine](table), wanted)


@pytest.mark.parametrize("engine", READERS)
def test_an_evolved_table(tmp_path: Path, engine: str) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"id": pa.array([1], pa.int32()), "x": pa.array([0.5], pa.float32())}))
    table.append(pa.table({"id": pa.array([2], pa.int32()), "note": ["new"]}), schema_mode="merge")
    table.widen({"id": pa.int64(), "x": pa.float64()})
    table.append(pa.table({"id": [2**40], "x": [0.1], "note": ["wide"]}))
    wanted = pa.table({"id": [1, 2, 2**40], "x": [0.5, None, 0.1], "note": [None, "new", "wide"]})
    same(READERS[engine](table), wanted)
