"""The engine is closed to everything but its tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import InvalidInputError, LakemarkError
from lakemark.tables.queries.engine import Engine, QueryError, duck_type


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Sealed, with one table `t` of one row, and another file beside it."""
    for name in ("t", "other"):
        pq.write_table(pa.table({"x": [1]}), tmp_path / f"{name}.parquet")
    made = Engine()
    assert made.add_files("t", [tmp_path / "t.parquet"], pa.schema({"x": pa.int64()}))
    made.seal()
    yield made
    made.close()


@pytest.mark.parametrize(
    "text",
    [
        "SET threads = 1",
        "SET lock_configuration = false",
        "SET enable_external_access = true",
        "COPY t TO '{folder}/out.csv'",
        "ATTACH '{folder}/base.db'",
        "INSTALL httpfs",
        "LOAD '{folder}/x.duckdb_extension'",
        "SELECT * FROM read_parquet('{folder}/other.parquet')",
        "SELECT * FROM '{folder}/other.parquet'",
        "SELECT * FROM read_text('{folder}/other.parquet')",
        "SELECT * FROM outside",
    ],
)
def test_nothing_else_is_reached(engine: Engine, tmp_path: Path, text: str) -> None:
    outside = pa.table({"secret": [1]})
    with pytest.raises(LakemarkError):
        engine.fetch(text.format(folder=tmp_path))
    assert outside.num_rows == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.parquet", "other.parquet"}
    assert engine.fetch("SELECT x FROM t") == [(1,)]


@pytest.mark.parametrize(
    "text", ["DELETE FROM t", "SELECT 1; SELECT 2", "SELECT * FROM duckdb_settings()", "PRAGMA version"]
)
def test_what_is_more_than_a_query_does_not_pass(engine: Engine, text: str) -> None:
    with pytest.raises(InvalidInputError):
        engine.check(text)


def test_an_error_tells_its_place(engine: Engine) -> None:
    with pytest.raises(QueryError) as caught:
        engine.stream("SELECT 'äöü', y FROM t")
    assert (caught.value.offset, caught.value.name) == (14, "y")


def test_close_removes_the_folder_and_may_come_twice() -> None:
    made = Engine()
    assert made.folder.is_dir()
    made.close()
    made.close()
    assert not made.folder.exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.map_(pa.string(), pa.int8()), "MAP(VARCHAR, TINYINT)"),
        (pa.struct([("a b", pa.list_(pa.float32()))]), 'STRUCT("a b" FLOAT[])'),
        (pa.timestamp("us", "UTC"), "TIMESTAMP WITH TIME ZONE"),
        (pa.binary(), "BLOB"),
    ],
)
def test_types(kind: pa.DataType, name: str) -> None:
    assert duck_type(kind) == name
