from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyarrow import fs

from lakemark._base.errors import StorageError
from lakemark.tables.reads.datafiles import DataFile, Request
from lakemark.tables.reads.layout import Naming
from lakemark.tables.reads.predicates import Predicate
from lakemark.tables.reads.where import parse
from lakemark.tables.table import Table

ROWS = pa.table({"x": range(100), "s": [f"name {number % 3}" for number in range(100)]})


@pytest.fixture
def data_file(tmp_path: Path) -> DataFile:
    """A file of ten row groups."""
    pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=10, compression="none")
    return DataFile(str(tmp_path / "rows.parquet"), fs.LocalFileSystem(), {"day": pa.scalar(7)})


def asked(*names: str, where: str | None = None) -> Request:
    schema = ROWS.schema.append(pa.field("day", pa.int64())).append(pa.field("late", pa.string()))
    predicate: Predicate | None = None if where is None else parse(where, schema)
    return Request(tuple(schema.field(name) for name in names), Naming.PLAIN, predicate)


def test_columns_of_the_file_of_the_partition_and_of_later(data_file: DataFile) -> None:
    found = pa.Table.from_batches(data_file.batches(asked("late", "day", "s", "x")))
    assert found.num_rows == 100
    assert found.slice(99).to_pylist() == [{"late": None, "day": 7, "s": "name 0", "x": 99}]
    assert found["s"].type == pa.string(), "texts that repeat are read as a dictionary, and written out again"
    only = pa.Table.from_batches(data_file.batches(asked("day")))
    assert only["day"].to_pylist() == [7] * 100


def test_row_groups_that_cannot_match_are_not_read(data_file: DataFile) -> None:
    place = Path(data_file.path)
    start = pq.read_metadata(place).row_group(5).column(0).dictionary_page_offset
    whole = place.read_bytes()
    place.write_bytes(whole[:start] + b"\xff" * 20 + whole[start + 20 :])
    with pytest.raises((OSError, pa.ArrowException)):
        list(data_file.batches(asked("x")))
    found = pa.Table.from_batches(data_file.batches(asked("x", "s", where="x >= 98 and s <> 'name 0'")))
    assert found.to_pylist() == [{"x": 98, "s": "name 2"}]
    assert list(data_file.batches(asked("x", where="x < 0"))) == []


@pytest.mark.parametrize(("where", "found"), [("x > 5", 3), ("not (x < 5)", 4), ("x <> 5", 5), ("x = 1", 1)])
def test_the_bounds_of_floats_leave_nan_out(tmp_path: Path, where: str, found: int) -> None:
    rows = pa.table({"x": [1.0, math.nan, 2.0, 5.0, math.nan, math.nan]})
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=2)
    file = DataFile(str(tmp_path / "rows.parquet"), fs.LocalFileSystem(), {})
    request = Request(tuple(rows.schema), Naming.PLAIN, parse(where, rows.schema))
    assert sum(batch.num_rows for batch in file.batches(request)) == found


def test_a_file_of_one_row_group_that_cannot_match_is_not_read(tmp_path: Path) -> None:
    place = tmp_path / "rows.parquet"
    pq.write_table(ROWS, place, compression="none", use_dictionary=False)
    start = pq.read_metadata(place).row_group(0).column(0).data_page_offset
    whole = place.read_bytes()
    place.write_bytes(whole[:start] + b"\xff" * 20 + whole[start + 20 :])
    torn = DataFile(str(place), fs.LocalFileSystem(), {})
    with pytest.raises((OSError, pa.ArrowException)):
        list(torn.batches(asked("x")))
    assert list(torn.batches(asked("x", where="x > 99"))) == []


def test_files_of_other_partitions_are_not_opened(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    rows = pa.table({"day": [1, 1, 2, None], "x": [1, 2, 3, 4]})
    write_deltalake(place, rows, partition_by=["day"])
    table = Table(place)
    for name in ("day=2", "day=__HIVE_DEFAULT_PARTITION__"):
        for file in (tmp_path / "t" / name).iterdir():
            file.unlink()
    assert table.read(where="day = 1 and x > 1").to_pylist() == [{"day": 1, "x": 2}]
    assert table.read(where="day < 2", columns=["x"])["x"].to_pylist() == [1, 2]
    with pytest.raises(StorageError, match="is gone"):
        table.read(where="day = 1 or x > 1")


def test_the_order_is_that_of_writing_whatever_is_asked(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    for start in range(0, 60, 20):
        write_deltalake(place, pa.table({"x": range(start, start + 20), "s": ["a"] * 20}), mode="append")
    table = Table(place)
    assert table.read()["x"].to_pylist() == list(range(60))
    assert table.read(columns=["s", "x"], where="x between 15 and 45")["x"].to_pylist() == list(range(15, 46))
    assert [batch.num_rows for batch in table.batches()] == [20, 20, 20], "one batch of one file at a time"
    assert table.read().equals(DeltaTable(place).to_pyarrow_table().sort_by("x"))
