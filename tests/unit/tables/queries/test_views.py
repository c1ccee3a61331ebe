"""Which tables the engine reads itself, and which are copied first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.unit.tables.conftest import MakeTable

from lakemark._base.errors import StorageError
from lakemark.tables.queries.engine import Engine
from lakemark.tables.queries.views import add_rows, add_version
from lakemark.tables.table import Table


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def copied(engine: Engine) -> bool:
    return any(engine.folder.glob("*.parquet"))


def test_a_plain_table_is_read_where_it_is(engine: Engine, table: Table) -> None:
    add_version(engine, "v", table.open(version=0))
    assert engine.fetch("SELECT day, shop FROM v") == [(1, "a b"), (2, "c/d")]
    assert not copied(engine)


@pytest.mark.parametrize(
    ("keys", "copies"), [(["a", "b"], False), (["a", None], False), (["a b", "b"], True), (["", "b"], True)]
)
def test_partitions_that_folders_tell(engine: Engine, tmp_path: Path, keys: list[str | None], copies: bool) -> None:
    write_deltalake(tmp_path / "t", pa.table({"k": pa.array(keys, pa.string()), "v": [1, 2]}), partition_by=["k"])
    opened = DeltaTable(tmp_path / "t")
    add_version(engine, "v", opened)
    assert engine.fetch("SELECT k, v FROM v ORDER BY v") == [(keys[0] or None, 1), (keys[1], 2)]
    assert copied(engine) is copies


def test_only_the_columns_that_are_needed_are_copied(engine: Engine, deletion_table: MakeTable) -> None:
    made = deletion_table("i")
    add_version(engine, "v", made.open(), columns=["x"])
    assert engine.fetch("SELECT count(*), sum(x)::int FROM v") == [(8, 40)]
    assert copied(engine)


def test_rows_are_kept_as_they_are(engine: Engine) -> None:
    rows = pa.table({"x": pa.array([], pa.int32()), "y": pa.array([], pa.list_(pa.string()))})
    path = add_rows(engine, "v", rows.to_reader())
    assert path.parent == engine.folder
    assert engine.table("SELECT * FROM v").num_rows == 0


def test_a_folder_with_a_wildcard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a*").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a*"))
    made = Engine()
    with pytest.raises(StorageError, match="wildcard"):
        add_rows(made, "v", pa.table({"x": [1]}).to_reader())
    made.close()
