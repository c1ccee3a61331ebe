"""What differs between two versions: against a plain Python comparison, and at the edges of types and keys."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakemark._base.errors import InvalidInputError, NotFoundError, StorageError
from lakemark.tables.differences.diff import Difference, Scope, diff
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

SCHEMA = pa.schema({"id": pa.int64(), "x": pa.float64(), "s": pa.string()})


def at(table: TableReader, version: int) -> TableReader:
    return TableReader(table.uri, at=version)


def plain(row: Mapping[Any, object]) -> tuple[object, ...]:
    """Return a row as what Python compares as `diff` does."""
    return tuple("NaN" if isinstance(value, float) and math.isnan(value) else value for value in row.values())


def rows_of(found: Difference, change: str) -> Counter[tuple[object, ...]]:
    return Counter(plain(row) for row in found.rows(change).read_all().to_pylist())


@pytest.fixture
def sales(tmp_path: Path) -> Table:
    """Version 1 has five rows in two files; version 2 changes a row in the second; 3 adds one, 4 deletes one."""
    table = Table(tmp_path / "sales")
    table.create(pa.table({"id": [1, 2, 3], "x": [1.0, None, math.nan], "s": ["a", "b", "c"]}, schema=SCHEMA))
    table.append(pa.table({"id": [4, 5], "x": [0.1, 0.2], "s": ["d", None]}, schema=SCHEMA))
    table.open().update(predicate="id = 4", updates={"x": "7.5"})
    table.append(pa.table({"id": [6], "x": [9.0], "s": ["z"]}, schema=SCHEMA))
    table.open().delete("id = 5")
    return table


def test_rows_are_matched_by_key(sales: Table) -> None:
    found = diff(at(sales, 1), sales, key=["id"])
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (1, 1, 1)
    assert found.counts.columns == {"x": 1}
    assert found.examples.added.to_pylist() == [{"id": 6, "x": 9.0, "s": "z"}]
    assert found.examples.removed.to_pylist() == [{"id": 5, "x": 0.2, "s": None}]
    assert found.examples.changed.to_pylist() == [
        {
            "change": "changed",
            "columns": ["x"],
            "before": {"id": 4, "x": 0.1, "s": "d"},
            "after": {"id": 4, "x": 7.5, "s": "d"},
        }
    ]
    together = found.rows().read_all().to_pylist()
    assert [(row["change"], row["columns"]) for row in together] == [("changed", ["x"]), ("removed", []), ("added", [])]
    assert (together[1]["after"], together[2]["before"]) == (None, None)
    assert found
    assert (found.before.rows, found.after.rows) == (5, 5)
    assert str(found.after) == f"{sales.uri}@4"


def test_a_key_alone_is_compared(sales: Table) -> None:
    found = diff(at(sales, 1), sales, key=["id"], columns=[], limit=0)
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (1, 1, 0)
    assert found.examples.added.num_rows == 0
    assert found.rows().read_all()["after"].to_pylist() == [None, {"id": 6}]


def test_only_the_files_that_differ_are_read(sales: Table) -> None:
    first = next(entry for entry in sales.manifest(version=1).entries if entry.rows == 3)
    (Path(sales.uri) / first.path).unlink()
    found = diff(at(sales, 1), sales, key=["id"])
    assert (found.files.shared, found.files.before, found.files.after) == (1, 1, 2)
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (1, 1, 1)
    sizes = [entry.size for version in (1, 4) for entry in sales.manifest(version=version).entries]
    assert found.files.bytes == sum(sizes) - 2 * first.size
    with pytest.raises(StorageError, match="is gone"):
        diff(at(sales, 1), sales, statistics="all")


def test_a_version_does_not_differ_from_itself(sales: Table) -> None:
    found = diff(at(sales, 2), at(sales, 2))
    assert not found
    assert (found.files.shared, found.files.before, found.files.after, found.files.bytes) == (2, 0, 0, 0)
    assert found.rows().read_all().num_rows == 0


def test_whole_rows_count_as_often_as_they_are_there(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [1, 1, 1, 2, None, 3]}))
    table.overwrite(pa.table({"x": [1, 2, 2, None, None, None, 3]}))
    found = diff(at(table, 0), table)
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (3, 2, 0)
    assert found.rows("added").read_all().to_pylist() == [{"x": 2}, {"x": None}, {"x": None}]
    assert found.rows("removed").read_all().to_pylist() == [{"x": 1}, {"x": 1}]
    assert [row["change"] for row in found.rows().read_all().to_pylist()] == ["removed"] * 2 + ["added"] * 3


VALUES = st.sampled_from([None, 0.0, -0.0, 1.5, math.nan, math.inf])
ROWS = st.lists(st.tuples(st.integers(0, 30) | st.none(), VALUES, st.sampled_from([None, "", "a", "é"])), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=2, max_size=4), st.integers(0, 2))
def test_random_versions_compare_as_in_python(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[tuple[Any, ...]]], shared: int
) -> None:
    def table_of(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)

    table = Table(tmp_path_factory.mktemp("random") / "t")
    table.create(table_of(parts[0]))
    for part in parts[1:-1]:
        table.append(table_of(part))
    old = table.version
    kept = [row for part in parts[:-1] for row in part]
    if shared == 0:
        table.append(table_of(parts[-1]))
        new = kept + parts[-1]
    elif shared == 1:
        table.open().delete("id < 15")
        new = [row for row in kept if row[0] is None or row[0] >= 15]
    else:
        table.overwrite(table_of(parts[-1]))
        new = parts[-1]
    before, after = (Counter(plain(dict(enumerate(row))) for row in rows) for rows in (kept, new))
    found = diff(at(table, old), table, limit=100)
    assert rows_of(found, "added") == after - before
    assert rows_of(found, "removed") == before - after
    by_key = {}
    for name, side in (("before", kept), ("after", new)):
        by_key[name] = {row[0]: plain(dict(enumerate(row))) for row in side}
    if len(by_key["before"]) == len(kept) and len(by_key["after"]) == len(new):
        keyed = diff(at(table, old), table, key=["id"])
        both = by_key["before"].keys() & by_key["after"].keys()
        assert keyed.counts.added == len(by_key["after"].keys() - both)
        assert keyed.counts.removed == len(by_key["before"].keys() - both)
        assert keyed.counts.changed == sum(by_key["before"][key] != by_key["after"][key] for key in both)


NESTED = pa.schema(
    {
        "id": pa.int64(),
        "d": pa.decimal128(20, 4),
        "t": pa.timestamp("us", "UTC"),
        "n": pa.timestamp("us"),
        "day": pa.date32(),
        "b": pa.binary(),
        "l": pa.list_(pa.float64()),
        "o": pa.struct({"a": pa.int32(), "l": pa.list_(pa.string())}),
        "m": pa.map_(pa.string(), pa.int64()),
        "Id": pa.bool_(),
    }
)


def nested_row(**changes: object) -> dict[str, object]:
    moment = datetime(2013, 6, 24, 12, 30, 0, 123456, tzinfo=UTC)
    row = {
        "id": 1,
        "d": Decimal("12.3400"),
        "t": moment,
        "n": moment.replace(tzinfo=None),
        "day": moment.date(),
        "b": b"\x00\xff",
        "l": [0.0, None, math.nan],
        "o": {"a": 1, "l": ["x", None]},
        "m": [("k", 1), ("l", None)],
        "Id": True,
    }
    return row | changes


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("d", Decimal("12.3401")),
        ("t", datetime(2013, 6, 24, 12, 30, 0, 123457, tzinfo=UTC)),
        ("n", None),
        ("b", b"\x00"),
        ("l", [0.0, None, None]),
        ("o", {"a": 1, "l": ["x", ""]}),
        ("o", None),
        ("m", [("k", 2), ("l", None)]),
    ],
)
@pytest.mark.parametrize("key", [["id"], None, ["id", "o", "l"]])
def test_values_of_all_types_are_compared(tmp_path: Path, column: str, value: object, key: list[str] | None) -> None:
    schema = NESTED.remove(NESTED.get_field_index("Id"))
    table = Table(tmp_path / "t")
    rows = [nested_row(), nested_row(id=2, l=[-0.0, None, math.nan])]
    table.create(pa.Table.from_pylist(rows, schema))
    table.overwrite(pa.Table.from_pylist([nested_row(), nested_row(id=2)], schema))
    assert not diff(at(table, 0), table, key=key)
    table.overwrite(pa.Table.from_pylist([nested_row(), nested_row(id=2, **{column: value})], schema))
    found = diff(at(table, 0), table, key=key)
    is_key = key is None or column in key
    assert (found.counts.added, found.counts.removed, found.counts.changed) == ((1, 1, 0) if is_key else (0, 0, 1))
    changed = found.rows("added" if is_key else "changed").read_all().to_pylist()
    assert len(changed) == 1
    assert (changed[0] if is_key else changed[0]["after"])[column] == value


def test_columns_that_come_go_and_widen(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    write_deltalake(place, pa.table({"id": pa.array([1, 2], pa.int32()), "x": pa.array([0.5, 1.5], pa.float32())}))
    wide = pa.table({"id": [1, 2], "x": [0.5, 2.5], "new": ["a", "b"]})
    write_deltalake(place, wide, mode="overwrite", schema_mode="overwrite")
    found = diff(TableReader(place, at=0), TableReader(place), key=["id"])
    assert [field.name for field in found.schema.added] == ["new"]
    assert [change.column for change in found.schema.retyped] == ["id", "x"]
    assert (found.counts.added, found.counts.removed, found.counts.changed) == (0, 0, 1)
    assert found.examples.changed.to_pylist()[0]["after"] == {"id": 2, "x": 2.5, "new": "b"}
    write_deltalake(place, pa.table({"id": ["1"], "y": [1]}), mode="overwrite", schema_mode="overwrite")
    with pytest.raises(InvalidInputError, match="no column is in both versions"):
        diff(TableReader(place, at=1), TableReader(place))


def test_an_added_column_leaves_shared_files_alone(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    write_deltalake(place, pa.table({"id": [1, 2]}))
    write_deltalake(place, pa.table({"id": [3], "new": ["a"]}), mode="append", schema_mode="merge")
    found = diff(TableReader(place, at=0), TableReader(place), key=["id"], statistics="all")
    assert (found.files.shared, found.counts.added, found.counts.changed) == (1, 1, 0)
    assert found.examples.added.to_pylist() == [{"id": 3, "new": "a"}]
    assert [column.column for column in found.statistics] == ["id"]


def test_two_tables_with_names_that_differ_in_case(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write_deltalake(one, pa.table({'a "b"': [1, 2], "c": [1, 1]}))
    write_deltalake(other, pa.table({"c": [1, 2], 'a "b"': [1, 2]}))
    found = diff(TableReader(one), TableReader(other), key=['a "b"'])
    assert found.counts.columns == {"c": 1}
    assert (found.files.shared, found.before.table_id == found.after.table_id) == (0, False)


def test_partitions_are_read_and_their_nulls_counted(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    rows = pa.table({"day": ["a", "a", None], "x": [1, None, 3]})
    write_deltalake(place, rows, partition_by=["day"])
    write_deltalake(place, pa.table({"day": ["b"], "x": [9]}), mode="append")
    DeltaTable(place).delete("x = 1")
    found = diff(TableReader(place, at=0), TableReader(place))
    assert (found.files.shared, found.files.before, found.files.after) == (1, 1, 2)
    assert found.rows("added").read_all().to_pylist() == [{"day": "b", "x": 9}]
    assert found.rows("removed").read_all().to_pylist() == [{"day": "a", "x": 1}]
    day = found.statistics[0]
    assert (day.nulls.scope, day.nulls.before, day.nulls.after) == (Scope.VERSION, 1, 1)


def test_deletion_vectors_count(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u", versions=3)
    found = diff(at(table, 1), at(table, 2), key=["x"])
    assert found.rows("removed").read_all().to_pylist() == [{"x": 5}]
    assert (found.counts.added, found.counts.changed) == (0, 0)
    assert found.statistics[0].nulls.scope is Scope.VERSION
    assert not diff(at(table, 2), at(table, 2))


def test_mapped_columns_are_compared_by_name(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    configuration = {"delta.columnMapping.mode": "name"}
    write_deltalake(place, pa.table({"id": [1, 2], "x": [1, 2]}), configuration=configuration)
    write_deltalake(place, pa.table({"id": [3], "x": [3]}), mode="append")
    found = diff(TableReader(place, at=0), TableReader(place), key=["id"])
    assert found.rows("added").read_all().to_pylist() == [{"id": 3, "x": 3}]
    assert found.files.shared == 1


def test_figures_say_what_they_are_of(sales: Table) -> None:
    found = {column.column: column for column in diff(at(sales, 1), sales).statistics}
    nulls = found["s"].nulls
    assert (nulls.scope, nulls.before, nulls.after, nulls.delta) == (Scope.VERSION, 1, 0, -1)
    assert found["s"].mean is None
    assert found["s"].null_rate.before == 0.2
    mean = found["id"].mean
    assert mean is not None
    assert (mean.scope, mean.before, mean.after, mean.moved) == (Scope.DIFFERING, 4.5, 5.0, True)
    assert not found["id"].nulls.moved
    whole = {column.column: column for column in diff(at(sales, 1), sales, statistics="all").statistics}
    mean = whole["x"].mean
    assert mean is not None
    assert (mean.scope, mean.before, mean.after) == (Scope.VERSION, 1.3 / 3, 17.5 / 3)
    assert diff(at(sales, 1), sales, statistics="none").statistics == ()


def test_without_statistics_in_the_log_nulls_are_of_the_files_that_differ(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    bare = {"delta.dataSkippingStatsColumns": "id"}
    write_deltalake(place, pa.table({"id": [1, 2], "x": [None, 1.0]}), configuration=bare)
    write_deltalake(place, pa.table({"id": [3], "x": [2.0]}), mode="append")
    found = {column.column: column for column in diff(TableReader(place, at=0), TableReader(place)).statistics}
    assert found["id"].nulls.scope is Scope.VERSION
    assert (found["x"].nulls.scope, found["x"].nulls.before, found["x"].null_rate.before) == (Scope.DIFFERING, 0, None)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (["s"], r"key \(s\) is not unique in .*@0: 1 keys are there more than once, the first is \('b'\)"),
        (["n"], r"@0: 1 keys .* is \(null\)"),
    ],
)
def test_a_key_that_is_not_unique_is_refused(tmp_path: Path, key: list[str], says: str) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"s": ["a", "b", "b"], "n": pa.array([None, None, 1], pa.int64())}))
    table.overwrite(pa.table({"s": ["a"], "n": [1]}))
    with pytest.raises(InvalidInputError, match=says):
        diff(at(table, 0), table, key=key)


@pytest.mark.parametrize("ids", [[[1, 2], [2, 3]], [[1, 2, 2], [3]], [[1, 3], [2, 3]], [[1, None], [None]]])
def test_a_key_that_all_but_ascends_is_refused(tmp_path: Path, ids: list[list[int | None]]) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([("id", pa.int64())]))
    for part in ids:
        table.append(pa.table({"id": pa.array(part, pa.int64())}))
    with pytest.raises(InvalidInputError, match="1 keys are there more than once"):
        diff(at(table, 0), table, key=["id"])


def test_bad_arguments_are_refused(sales: Table) -> None:
    with pytest.raises(InvalidInputError, match="statistics='some' is not one of"):
        diff(sales, sales, statistics="some")
    with pytest.raises(InvalidInputError, match="limit=-1 is below 0"):
        diff(sales, sales, limit=-1)
    with pytest.raises(InvalidInputError, match="lists of columns"):
        diff(sales, sales, key="id")
    with pytest.raises(NotFoundError, match="did you mean 'id'"):
        diff(sales, sales, key=["ids"])
    with pytest.raises(NotFoundError, match="has no version 9"):
        diff(sales, at(sales, 9))
    with pytest.raises(InvalidInputError, match="'moved' is not one of added, removed, changed"):
        diff(sales, sales).rows("moved")


def test_streams_are_in_the_order_of_the_key(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"id": range(100_000), "x": [0] * 100_000}))
    changed = pa.table({"id": range(99_999, -1, -1), "x": [1] * 100_000})
    table.overwrite(changed)
    with diff(at(table, 0), table, key=["id"], limit=2) as found:
        assert found.examples.changed.num_rows == 2
        seen = [row["id"] for batch in found.rows("changed") for row in batch.column("after").to_pylist()]
        assert seen == list(range(100_000))
        folder = found._comparison.scratch.folder
    assert not folder.exists()
