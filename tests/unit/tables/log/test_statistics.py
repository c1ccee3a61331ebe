from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakemark.tables.log.statistics import file_statistics
from lakemark.tables.pinning.clones import clone
from lakemark.tables.table import Table


def stats(table: Table) -> Any:
    """Return the statistics of the only file, as the log has them."""
    lines = (Path(table.uri) / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    return json.loads(next(json.loads(line)["add"]["stats"] for line in lines if '"add"' in line))


def test_statistics_come_along_where_they_are_exact(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    rows = pa.table(
        {
            "long": pa.array([1, None, 3]),
            "text": ["a", "é" * 50, None],
            "day": pa.array([date(2026, 1, 2), None, date(1969, 1, 1)]),
            "double": [float("nan"), 1.0, None],
            "at": pa.array([moment, None, None], pa.timestamp("us", "UTC")),
            "inside": [{"x": 1}, {"x": 2}, None],
        }
    )
    table = Table(tmp_path / "t")
    table.create(rows)
    mine = clone(table, tmp_path / "mine")
    told, known = stats(mine), stats(table)
    assert told["numRecords"] == known["numRecords"] == 3
    for part in ("minValues", "maxValues", "nullCount"):
        assert told[part] == {name: known[part][name] for name in ("long", "text", "day")}
    assert mine.read(where="long = 3").num_rows == 1
    assert mine.read(where="double = 1").num_rows == 1


def test_a_table_without_statistics_or_without_files(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([("x", pa.int64())]))
    assert file_statistics(table.open()) == {}
    assert clone(table, tmp_path / "mine").read().num_rows == 0


def test_those_of_a_file_with_a_deletion_vector_are_no_tight_bounds(
    deletion_table: Callable[[str], Table], tmp_path: Path
) -> None:
    mine = clone(deletion_table("u"), tmp_path / "mine")
    assert stats(mine)["numRecords"] == 10
    assert stats(mine)["tightBounds"] is False
    assert mine.read(where="x >= 9")["x"].to_pylist() == [9]
