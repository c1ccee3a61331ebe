from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import LakemarkError, NotFoundError
from lakemark.tables.log.commits import Commit, read_records
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table


def test_a_version_is_opened_without_the_latest(table: Table) -> None:
    (Path(table.uri) / "_delta_log" / f"{2:020}.json").write_text("{")
    with pytest.raises(LakemarkError):
        table.open()
    assert table.open(version=1).version() == 1
    assert TableReader(table.uri, at=0).read().num_rows == 2


@pytest.mark.parametrize("version", [-1, 2, 10**12, 10**30])
def test_a_version_that_there_is_not_names_the_range(table: Table, version: int) -> None:
    with pytest.raises(NotFoundError, match=f"has no version {version} to open: it has 0 to 1"):
        table.open(version=version)


def test_a_checkpoint_without_its_commit_is_enough(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    assert [table.read(version=version)["x"].to_pylist() for version in (3, 4)] == [[3], [4]]
    with pytest.raises(NotFoundError, match="it has 3 to 4, the log of older ones was cleaned"):
        table.open(version=2)


def test_a_time_is_settled_among_all_versions_even_where_one_is_named(table: Table) -> None:
    moments = {record.version: record.timestamp_ms for record in table.history()}
    pinned = TableReader(table.uri, at=0)
    text = pa.scalar(moments[1], pa.timestamp("ms", "UTC")).as_py()
    assert pinned.open(timestamp=text).version() == 1
    assert [(record.version, record.timestamp_ms) for record in pinned.history()] == [(0, moments[0])]


def test_the_history_of_an_old_version_is_that_of_its_own_commits(table: Table) -> None:
    table.append(table.read(), commit=Commit(message="late"))
    early = table.open()
    table.overwrite(table.read(version=0), commit=Commit(message="later"))
    assert [(record.version, record.commit.message) for record in read_records(early)][:2] == [(2, "late"), (1, None)]
    assert [(one.version, one.operation) for one in TableReader(table.uri, at=1).history(limit=1)] == [(1, "WRITE")]
    assert [one.version for one in TableReader(table.uri, at=1).history(limit=5)] == [1, 0]
    assert [one.version for one in TableReader(table.uri, at=table.version).history(limit=2)] == [3, 2]


def test_head_reads_as_far_as_needed(table: Table) -> None:
    files = sorted(Path(table.uri).glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    files[-1].unlink()
    assert table.head(1).rows["day"].to_pylist() == [1]
    with pytest.raises(LakemarkError):
        table.head(3)


def test_conditions_and_orders_are_checked_before_anything_is_read(table: Table) -> None:
    for entry in Path(table.uri).glob("*.parquet"):
        entry.unlink()
    with pytest.raises(NotFoundError, match="no column 'dya', did you mean 'day'"):
        table.batches(columns=["dya"])
    with pytest.raises(NotFoundError, match="'dya'"):
        table.batches(where="dya = 1")
    assert table.batches(order_by=["day"]).schema.names == ["day", "amount", "shop"]
