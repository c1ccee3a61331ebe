from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError
from lakemark.tables.failures import translated
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compact_small_files, compacting


@pytest.fixture
def source(tmp_path: Path) -> Table:
    """A table of five versions; version n adds a file with the row n."""
    made = Table(tmp_path / "source")
    made.create(pa.table({"x": [0]}))
    for number in range(1, 5):
        made.append(pa.table({"x": [number]}))
    return made


def numbers(table: Table) -> list[int]:
    found: list[int] = sorted(table.read()["x"].to_pylist())
    return found


def test_small_files_are_merged_once_there_are_too_many(source: Table) -> None:
    assert not compact_small_files(source, small_bytes=1000, limit=5, message="m")
    assert not compact_small_files(source, small_bytes=1, limit=4, message="m")
    assert compact_small_files(source, small_bytes=1000, limit=4, message="m")
    assert (source.manifest().files, numbers(source)) == (1, [0, 1, 2, 3, 4])
    assert source.history(limit=1)[0].commit.message == "m"


def test_only_one_compacts_a_local_table(source: Table) -> None:
    with compacting(source) as mine:
        assert mine is not None
        with compacting(source) as theirs:
            assert theirs is None
        assert not compact_small_files(source, small_bytes=1000, limit=1, message="m")
    with compacting(source) as again:
        assert again is not None


def test_only_one_of_two_compacts_a_table_elsewhere(s3: str) -> None:
    table = Table(f"{s3}/t")
    table.create(pa.table({"x": [0]}))
    table.append(pa.table({"x": [1]}))
    with compacting(table) as first, compacting(table) as second:
        assert first is not None
        assert second is not None
        with pytest.raises(ConflictError), translated(table.uri):
            first.optimize.compact()
        second.optimize.compact()
    assert (table.manifest().files, numbers(table)) == (1, [0, 1])
