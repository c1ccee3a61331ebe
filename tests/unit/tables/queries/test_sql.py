"""SQL over tables at their versions, with real tables and the real engine."""

from __future__ import annotations

import datetime as dt
import os
import re
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.unit.tables.conftest import MakeTable

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError, StorageError
from lakemark._base.writer import Writer, writing_as
from lakemark.tables.queries.sql import default_threads, query, sql
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

Resolve = Callable[[str], TableReader]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Find tables by the last part of their name, in the test's folder."""

    def find(name: str) -> TableReader:
        bare, _, at = name.partition("@")
        folder = tmp_path / re.split(r"[./]", bare)[-1]
        if not folder.is_dir():
            raise NotFoundError(f"no table is named {name}")
        return TableReader(folder, at=int(at) if at else None)

    return find


def values(text: str, resolve: Resolve) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    found = query(text, resolve=resolve).read_all()
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def test_versions_are_read_side_by_side(table: Table, resolve: Resolve) -> None:
    text = "select (select count(*) from main.sales version as of 0), count(*), sum(amount) from main.sales"
    result = sql(text, resolve=resolve)
    assert [tuple(row.values()) for row in result.arrow().to_pylist()] == [(2, 3, 10.5)]
    assert [(use.name, use.uri, use.version) for use in result.tables] == [
        ("main.sales", table.uri, 0),
        ("main.sales", table.uri, 1),
    ]
    assert {use.table_id for use in result.tables} == {str(table.open().metadata().id)}


def test_one_query_sees_one_version_of_a_table(table: Table, resolve: Resolve) -> None:
    calls: list[str] = []

    def find(name: str) -> TableReader:
        if calls:
            table.append(pa.table({"day": [4], "amount": [1.0], "shop": ["x"]}))
        calls.append(name)
        return resolve(name)

    result = sql("select (select count(*) from a.sales) a, (select count(*) from b.sales) b", resolve=find)
    assert [use.version for use in result.tables] == [1]
    assert list(result.arrow().to_pylist()[0].values()) == [3, 3]


def test_a_result_can_be_read_again_and_stays_the_same(table: Table, resolve: Resolve) -> None:
    result = sql("select count(*) n from sales", resolve=resolve)
    assert result.arrow().to_pylist() == [{"n": 3}]
    table.append(pa.table({"day": [4], "amount": [1.0], "shop": ["x"]}))
    assert result.arrow().to_pylist() == [{"n": 3}]
    assert [batch.num_rows for batch in result] == [1]
    assert result.to_pandas()["n"].tolist() == [3]
    assert result.to_polars()["n"].to_list() == [3]
    assert "sales at version 1" in repr(result)


def test_time_travel_by_time(table: Table, resolve: Resolve) -> None:
    moment = dt.datetime.fromtimestamp(table.history()[-1].timestamp_ms / 1000, dt.UTC).isoformat()
    assert values(f"select count(*) from sales timestamp as of '{moment}'", resolve) == [(2,)]  # noqa: S608
    with pytest.raises(NotFoundError, match="no version at 2020-01-01"):
        sql("from sales timestamp as of '2020-01-01T00:00:00Z'", resolve=resolve)
    with pytest.raises(NotFoundError, match="no version 9 to open: it has 0 to 1"):
        sql("from sales version as of 9", resolve=resolve)
    with pytest.raises(InvalidInputError, match="line 1, column 6: sales@0 names version 0 and another"):
        sql("from 'sales@0' version as of 1", resolve=resolve)


def test_types_come_back_as_the_table_has_them(tmp_path: Path, resolve: Resolve) -> None:
    schema = pa.schema(
        [
            ("i8", pa.int8()),
            ("i16", pa.int16()),
            ("f32", pa.float32()),
            ("flag", pa.bool_()),
            ("day", pa.date32()),
            ("at", pa.timestamp("us", "UTC")),
            ("local", pa.timestamp("us")),
            ("price", pa.decimal128(10, 2)),
            ("raw", pa.binary()),
            ("text", pa.string()),
            ("point", pa.struct([("x", pa.int64()), ("two words", pa.string())])),
        ]
    )
    noon = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
    row = {
        "i8": 1,
        "i16": 2,
        "f32": 0.5,
        "flag": True,
        "day": noon.date(),
        "at": noon,
        "local": noon.replace(tzinfo=None),
        "price": Decimal("1.25"),
        "raw": b"\x00\xff",
        "text": "é",
        "point": {"x": 1, "two words": "a"},
    }
    empty = dict.fromkeys(row)
    rows = pa.Table.from_pylist([row, empty], schema=schema)
    Table(tmp_path / "kinds").create(rows)
    found = query("select * from kinds", resolve=resolve).read_all()
    assert found.schema.equals(schema)
    assert found.to_pylist() == [row, empty]


def test_old_files_lack_new_columns(tmp_path: Path, resolve: Resolve) -> None:
    write_deltalake(tmp_path / "grown", pa.table({"a": pa.array([1], pa.int32())}))
    new = pa.table({"a": pa.array([2], pa.int32()), "b": ["x"]})
    write_deltalake(tmp_path / "grown", new, mode="append", schema_mode="merge")
    assert values("select a, b from grown order by a", resolve) == [(1, None), (2, "x")]
    assert values("select * from grown version as of 0", resolve) == [(1,)]
    DeltaTable(tmp_path / "grown").delete("b is not null")
    assert values("select * from grown", resolve) == [(1, None)]
    DeltaTable(tmp_path / "grown").delete()
    assert query("select * from grown", resolve=resolve).schema.names == ["a", "b"]
    assert values("select count(*) from grown", resolve) == [(0,)]


@pytest.mark.parametrize("keys", [["a", "b"], ["a b", "c/d"], ["x", None], ["x=y", "a%20b"]])
def test_values_of_partitions(tmp_path: Path, resolve: Resolve, keys: list[str | None]) -> None:
    rows = pa.table({"k": pa.array(keys, pa.string()), "v": [1, 2]})
    write_deltalake(tmp_path / "parts", rows, partition_by=["k"])
    assert values("select k, v from parts order by v", resolve) == [(keys[0], 1), (keys[1], 2)]
    assert values("select v from parts where k is not distinct from " + _text(keys[1]), resolve) == [(2,)]  # noqa: S608


def _text(value: str | None) -> str:
    return "null" if value is None else f"'{value}'"


def test_partitions_of_other_types(tmp_path: Path, resolve: Resolve) -> None:
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 2), None]
    rows = pa.table({"day": days, "n": pa.array([1, 2, 3], pa.int16()), "v": [1, 2, 3]})
    write_deltalake(tmp_path / "year=2020", rows, partition_by=["day", "n"])
    write_deltalake(tmp_path / "days", rows, partition_by=["day", "n"])
    for name in ("'x/year=2020'", "days"):
        found = query(f"select * from {name} where day < '2024-01-02' or day is null order by v", resolve=resolve)  # noqa: S608
        assert found.schema.types == [pa.date32(), pa.int16(), pa.int64()]
        assert found.read_all().to_pylist() == [
            {"day": days[0], "n": 1, "v": 1},
            {"day": None, "n": 3, "v": 3},
        ]


def test_deleted_rows_stay_deleted(deletion_table: MakeTable, tmp_path: Path, temporary: Path) -> None:
    made = deletion_table("u")
    found = query("select a.x from t a join t b using (x) order by x", resolve=lambda _: TableReader(made.uri))
    assert found.read_all()["x"].to_pylist() == [0, 2, 3, 5, 6, 7, 8, 9]
    del found
    assert list(temporary.iterdir()) == []


def test_a_wildcard_in_a_path_is_only_a_letter(tmp_path: Path) -> None:
    for name in ("a1", "a*", "a?"):
        write_deltalake(tmp_path / name, pa.table({"name": [name]}))
    for name in ("a*", "a?"):
        found = query(f"from 'lake/{name}'", resolve=lambda _, name=name: TableReader(tmp_path / name))  # type: ignore[misc]
        assert found.read_all()["name"].to_pylist() == [name]


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (
            "select amont from sales",
            "line 1, column 8: no column is named 'amont', did you mean 'amount'?",
            "day, amount",
        ),
        ("select s.amont\nfrom sales s", "no column is named 'amont', did you mean 'amount'?", "day, amount"),
        (
            "select day\nfrom a.sales version as of 0\nwhere x",
            "line 3, column 7: no column is named 'x'",
            "day, amount",
        ),
        ("select shop::int from sales", "could not convert string", None),
        ("select sum(shop) from sales", "line 1, column 8", None),
        ("select nothing(1) from sales", "scalar Function with name nothing does not exist", None),
        ("select * from read_parquet('x')", "read_parquet is refused", "FROM 'lake/orders'"),
        ("select * from read_csv('x')", "read_csv is refused", None),
        ("select * from (select * from glob('*'))", "glob is refused", None),
        ("select * from query('select 1')", "query is refused", None),
        ("select 1 where 1 in (from duckdb_settings())", "duckdb_settings is refused", None),
        ("select * from sales order by", "line 1", None),
    ],
)
def test_what_is_wrong_is_told_at_its_place(
    table: Table, resolve: Resolve, text: str, said: str, hint: str | None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        sql(text, resolve=resolve).arrow()
    assert said.lower() in caught.value.message.lower()
    assert hint is None or hint in (caught.value.hint or "")


def test_variables_of_the_program_are_no_tables(resolve: Resolve) -> None:
    secrets = pa.table({"x": [1]})
    with pytest.raises(NotFoundError, match="no table is named secrets"):
        sql("select * from secrets", resolve=resolve)
    assert secrets.num_rows == 1


def test_files_beside_the_tables_are_out_of_reach(tmp_path: Path, resolve: Resolve) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(LakemarkError):
        sql(f"select * from '{tmp_path}/secret.csv'", resolve=resolve)  # noqa: S608


def test_a_data_file_that_is_gone(table: Table, resolve: Resolve, temporary: Path) -> None:
    for path in Path(table.uri).glob("*.parquet"):
        path.unlink()
    with pytest.raises(StorageError, match="is gone, a vacuum may have deleted it"):
        sql("select * from sales", resolve=resolve)
    assert list(temporary.iterdir()) == []


def test_temporary_files_go_with_the_result(table: Table, resolve: Resolve, temporary: Path) -> None:
    result = sql("select * from sales", resolve=resolve)
    assert len(list(temporary.iterdir())) == 1
    result.arrow()
    assert list(temporary.iterdir()) == []
    started = result.batches()
    del result, started
    assert list(temporary.iterdir()) == []


def test_more_rows_than_memory(tmp_path: Path, resolve: Resolve) -> None:
    generator = np.random.default_rng(0)
    for _ in range(4):
        rows = pa.table({"k": generator.random(300_000), "text": pa.array(generator.bytes(30) for _ in range(300_000))})
        write_deltalake(tmp_path / "large", rows, mode="append")
    rows = query("select * from large order by k", resolve=resolve, threads=1, memory_limit="60MB")
    last, count = -1.0, 0
    for batch in rows:
        if batch.num_rows:
            keys = batch.column("k").to_numpy()
            assert last <= keys[0]
            assert (np.diff(keys) >= 0).all()
            last, count = keys[-1], count + batch.num_rows
    assert count == 1_200_000


def test_sums_of_floats_are_equal_inside_a_run(tmp_path: Path, resolve: Resolve) -> None:
    rows = pa.table({"x": np.random.default_rng(0).random(500_000) * 1e9})
    for place in range(0, 500_000, 100_000):
        write_deltalake(tmp_path / "floats", rows.slice(place, 100_000), mode="append")
    with writing_as(Writer("4bf92f35")):
        assert default_threads() == 1
        found = {tuple(values("select sum(x), avg(x) from floats", resolve)) for _ in range(5)}
    assert len(found) == 1
    with writing_as(Writer()):
        assert default_threads() is None


@pytest.mark.parametrize(
    ("threads", "memory", "said"), [(0, None, "threads is 0"), (None, "much", "'much' is no size")]
)
def test_settings_that_are_none(resolve: Resolve, threads: int | None, memory: str | None, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        sql("select 1", resolve=resolve, threads=threads, memory_limit=memory)
    assert os.listdir(tempfile.gettempdir()) == []  # noqa: PTH208 -- names only


def test_a_table_on_s3(s3: str) -> None:
    rows = pa.table({"k": ["a", "b"], "v": [1, 2], "unused": ["x", "y"]})
    Table(f"{s3}/orders").create(rows, partition_by=["k"])
    Table(f"{s3}/orders").append(pa.table({"k": ["a"], "v": [4], "unused": ["z"]}))
    text = "select k, sum(v)::bigint as v from 'orders' group by k order by k"
    found = sql(text, resolve=lambda _: TableReader(f"{s3}/orders"))
    assert found.arrow().to_pylist() == [{"k": "a", "v": 5}, {"k": "b", "v": 2}]
    assert (
        query("select count(*) n from o", resolve=lambda _: TableReader(f"{s3}/orders")).read_all()["n"][0].as_py() == 3
    )
    everything = query("from o order by v", resolve=lambda _: TableReader(f"{s3}/orders")).read_all()
    assert everything.column_names == ["k", "v", "unused"]
