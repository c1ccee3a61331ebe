from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lakemark.tables.table import Table
from lakemark.tables.writes.together import together


def small_batches(rows: int) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = pa.table({"x": range(rows)}).to_batches(max_chunksize=10)
    return found


def test_rows_lie_in_the_table_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    rows = pa.Table.from_batches(small_batches(1000))
    table.create(rows)
    assert table.read()["x"].to_pylist() == list(range(1000))
    table.append(rows.to_reader())
    table.overwrite(pa.RecordBatchReader.from_batches(rows.schema, small_batches(500)))
    assert table.read()["x"].to_pylist() == list(range(500))
    assert table.read(version=1)["x"].to_pylist() == [*range(1000), *range(1000)]


def test_no_more_is_put_together_than_fits() -> None:
    found = list(together(iter(small_batches(100)), most_bytes=240))  # a batch of 10 has 80 bytes
    assert [batch.num_rows for batch in found] == [30, 30, 30, 10]
    assert [value for batch in found for value in batch["x"].to_pylist()] == list(range(100))
    assert [batch.num_rows for batch in together(iter(small_batches(20)), most_bytes=1)] == [10, 10]
    assert list(together(iter([]))) == []
