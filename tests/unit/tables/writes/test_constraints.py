from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.tables.table import Table

DAY_US = 86_400_000_000


def rows(*days: int, amount: float | None = 1.0) -> pa.Table:
    return pa.table(
        {"day": list(days), "amount": pa.array([amount] * len(days), pa.float64()), "shop": ["x"] * len(days)}
    )


def times(*days: int) -> pa.Array:
    return pa.array([day * DAY_US for day in days], pa.timestamp("us", "UTC"))


def test_a_broken_constraint_shows_the_rows(table: Table) -> None:
    assert table.add_constraint("day_is_positive", "day > 0") == 2
    assert table.add_constraint("shop_is_known", "shop is not null") == 3
    writes: list[Callable[[], object]] = [
        lambda: table.append(rows(*range(-9, 0))),
        lambda: table.overwrite(rows(-9)),
        lambda: table.overwrite(rows(-9), where="day = -9"),
        lambda: table.merge(rows(-9), on=["day"]),
        lambda: table.update({"day": "-9"}, "day = 2"),
    ]
    for write in writes:
        with pytest.raises(
            InvalidInputError, match=r"would break a rule of the table, constraint 'day_is_positive'"
        ) as e:
            write()
        lines = e.value.message.splitlines()
        assert lines[1].split() == ["day", "amount", "shop"]
        assert lines[2].split()[0] == "-9"
        assert e.value.context["rules"] == ("constraint 'day_is_positive'",)
    assert table.version == 3
    with pytest.raises(InvalidInputError) as error:
        table.append(rows(*range(-9, 0)))
    assert "9 rows would break" in error.value.message
    assert error.value.message.splitlines()[-1] == "  ..."
    assert len(error.value.message.splitlines()) == 8


def test_what_is_shown_is_short_and_printable(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"text": ["a"], "nested": [{"a": 1}]}))
    table.add_constraint("short", "text not like '%long%'")
    with pytest.raises(InvalidInputError) as error:
        table.append(pa.table({"text": ["\x1b[31m\x07red" + "long " * 20], "nested": [{"a": 1}]}))
    assert "\x1b" not in error.value.message
    assert "?redlong" in error.value.message
    assert max(map(len, error.value.message.splitlines()[1:])) < 80


def test_a_null_breaks_a_constraint(table: Table) -> None:
    with pytest.raises(InvalidInputError, match=r"1 row would break .* 'positive': amount > 0\n.*\n  2    -"):
        table.add_constraint("positive", "amount > 0")
    assert table.version == 1
    table.add_constraint("positive", "amount is null or amount > 0")
    table.append(rows(5, amount=None))


def test_names_of_constraints(table: Table) -> None:
    table.add_constraint("positive", "day > 0")
    with pytest.raises(ConflictError, match="has a constraint 'POSITIVE' already: day > 0"):
        table.add_constraint("POSITIVE", "day > 1")
    with pytest.raises(InvalidInputError, match="'a b' is no name of a constraint"):
        table.add_constraint("a b", "day > 1")
    with pytest.raises(InvalidInputError, match="late: day is of type int64, and a condition is true or false"):
        table.add_constraint("late", "day")
    with pytest.raises(InvalidInputError, match="has no column 'dya', did you mean 'day'"):
        table.add_constraint("late", "dya > 1")
    with pytest.raises(NotFoundError, match="has no constraint 'postive', did you mean 'positive'"):
        table.drop_constraint("postive")
    assert table.drop_constraint("positive") == 3
    assert table.append(rows(-1)) == 4


def test_columns_without_nulls(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([pa.field("a", pa.int64(), nullable=False), ("b", pa.string())]))
    assert (
        table.append(pa.table({"a": [1], "b": [None]}, schema=pa.schema([("a", pa.int64()), ("b", pa.string())]))) == 1
    )
    writes: list[Callable[[], object]] = [
        lambda: table.append(pa.table({"a": pa.array([None], pa.int64()), "b": ["x"]})),
        lambda: table.merge(pa.table({"a": pa.array([None], pa.int64()), "b": ["x"]}), on="target.b = source.b"),
        lambda: table.update({"a": "null"}),
        lambda: table.update({"a": "case when b is null then null else 1 end"}),
    ]
    for write in writes:
        with pytest.raises(InvalidInputError, match="the column may not hold nulls; row 0: None"):
            write()
    assert table.version == 1
    assert not table.schema.field("a").nullable


def test_rows_outside_of_where(table: Table) -> None:
    with pytest.raises(InvalidInputError, match=r"1 row would break .*, where: day = 2\n.*\n  3 "):
        table.overwrite(rows(2, 3), where="day = 2")
    assert table.overwrite(rows(2, 2), where="day = 2") == 2
    assert sorted(table.read()["day"].to_pylist()) == [1, 2, 2, 3]
    assert table.overwrite(rows(), where="day = 2") == 3
    assert sorted(table.read()["day"].to_pylist()) == [1, 3]
    with pytest.raises(InvalidInputError, match="both can't be"):
        table.overwrite(rows(1), where="day = 2", schema_mode="overwrite")


@pytest.fixture
def generated(tmp_path: Path) -> Table:
    """A table of times, whose day is computed and makes the folders."""
    made = Table(tmp_path / "generated")
    schema = pa.schema([("ts", pa.timestamp("us", "UTC")), ("x", pa.int32())])
    made.create(schema, generated={"day": "cast(ts as date)"}, partition_by=["day"])
    return made


def test_generated_columns(generated: Table) -> None:
    generated.append(pa.table({"ts": times(1), "x": [1]}))
    generated.append(pa.table({"ts": times(2), "x": [2], "day": [date(1970, 1, 3)]}))
    generated.merge(pa.table({"ts": times(2, 3), "x": [7, 7]}), on=["ts"])
    assert [(row["x"], row["day"].day) for row in generated.read().sort_by("ts").to_pylist()] == [
        (1, 2),
        (7, 3),
        (7, 4),
    ]
    with pytest.raises(InvalidInputError, match="generated column 'day'"):
        generated.append(pa.table({"ts": times(2), "x": [2], "day": [date(1971, 1, 3)]}))
    with pytest.raises(InvalidInputError, match="generated column 'day'"):
        generated.update({"ts": "ts + interval '3 days'"})
    generated.update({"ts": "ts + interval '3 days'", "day": "cast(ts + interval '3 days' as date)"}, "x = 1")
    generated.overwrite(pa.table({"ts": times(9), "x": [9]}))
    assert generated.read()["day"].to_pylist() == [date(1970, 1, 10)]
    assert generated.open().file_uris()[0].split("/")[-2] == "day=1970-01-10"


def test_a_generated_column_outlives_a_change_of_the_schema(generated: Table) -> None:
    generated.append(pa.table({"ts": times(1), "x": [1]}))
    generated.append(pa.table({"ts": times(2), "note": ["new"]}), schema_mode="merge")
    generated.widen({"x": pa.int64()})
    generated.append(pa.table({"ts": times(3), "x": [2**40], "note": ["wide"]}))
    assert [row["day"].day for row in generated.read().sort_by("ts").to_pylist()] == [2, 3, 4]
    assert generated.open().metadata().partition_columns == ["day"]


def test_generated_columns_at_creation(tmp_path: Path) -> None:
    table = Table(tmp_path / "rows")
    assert table.create(pa.table({"x": [1, 2]}), generated={"twice": "x * 2"}) == 1
    assert table.read().to_pydict() == {"x": [1, 2], "twice": [2, 4]}
    for expression, said in (("y * 2", "twice has no column 'y'"), ("x *", "no SQL expression")):
        with pytest.raises(InvalidInputError, match=said):
            Table(tmp_path / "bad").create(pa.table({"x": [1]}), generated={"twice": expression})
    with pytest.raises(InvalidInputError, match="'twice' is string in the schema and its expression gives int64"):
        Table(tmp_path / "bad").create(
            pa.schema([("x", pa.int64()), ("twice", pa.string())]), generated={"twice": "x * 2"}
        )
    assert not Table(tmp_path / "bad").exists()


def test_identity_columns_are_refused(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.int64(), metadata={"delta.identity.start": "1"}), ("x", pa.int64())])
    with pytest.raises(InvalidInputError, match="column 'id' is an identity column"):
        Table(tmp_path / "t").create(schema)
    from deltalake import DeltaTable

    DeltaTable.create(str(tmp_path / "foreign"), schema)
    with pytest.raises(InvalidInputError, match="column 'id' is an identity column"):
        Table(tmp_path / "foreign").append(pa.table({"id": [1], "x": [1]}))
