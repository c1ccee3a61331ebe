from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.pinning.protection import is_protected, protect
from lakemark.tables.table import Commit, Table
from lakemark.tables.writes.changes import Changed, MergeRule

ROW = {"day": 4, "amount": 1.0, "shop": "x"}


def rows(*days: int | None, amount: float = 1.0) -> pa.Table:
    return pa.table({"day": pa.array(days, pa.int64()), "amount": [amount] * len(days), "shop": ["x"] * len(days)})


def days(table: Table) -> list[int]:
    return sorted(table.read()["day"].to_pylist())


def test_delete(table: Table) -> None:
    assert table.delete("day >= 2 -- and so on", commit=Commit(message="old")) == Changed(2, deleted=2)
    assert table.history(limit=1)[0].commit.message == "old"
    assert days(table) == [1]
    assert table.delete("day = 77") == Changed(2)  # nothing to do makes no commit
    assert table.delete(everything=True) == Changed(3, deleted=1)
    assert (table.read().num_rows, table.read(version=1).num_rows) == (0, 3)


def test_delete_says_what_it_deletes(table: Table) -> None:
    with pytest.raises(InvalidInputError, match="either where or everything=True"):
        table.delete()
    with pytest.raises(InvalidInputError, match="either where or everything=True"):
        table.delete("day = 1", everything=True)
    assert table.version == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("dya = 1", "has no column 'dya', did you mean 'day'?"),
        ("DAY = 1", "has no column 'DAY', did you mean 'day'?"),
        ("day >", "this is no SQL expression: Expected: an expression, found: its end"),
        ("day", "where: day is of type int64, and a condition is true or false"),
        ("nofun(day) = 1", "Invalid function 'nofun'"),
    ],
)
def test_conditions_that_are_none(table: Table, where: str, said: str) -> None:
    writes: list[Callable[[], object]] = [
        lambda: table.delete(where),
        lambda: table.update({"day": "day + 1"}, where),
        lambda: table.overwrite(rows(1), where=where),
        lambda: table.count(where),
    ]
    for write in writes:
        with pytest.raises(InvalidInputError) as error:
            write()
        assert said in error.value.message
    assert table.version == 1


def test_count(table: Table) -> None:
    assert (table.count(), table.count("day > 1")) == (3, 2)
    assert Table(table.uri, at=0).count() == 2


def test_update(table: Table) -> None:
    assert table.update({"amount": "coalesce(amount, 0) * 2", "shop": "upper(shop)"}, "day < 3") == Changed(
        2, updated=2
    )
    assert sorted(table.read().to_pylist(), key=lambda row: row["day"]) == [
        {"day": 1, "amount": 19.0, "shop": "A B"},
        {"day": 2, "amount": 0.0, "shop": "C/D"},
        {"day": 3, "amount": 1.0, "shop": "é"},
    ]
    assert table.update({"shop": "null"}).updated == 3
    with pytest.raises(InvalidInputError, match="needs columns to set"):
        table.update({})


@pytest.fixture
def numbers(tmp_path: Path) -> Table:
    """A table with columns of several widths."""
    made = Table(tmp_path / "numbers")
    columns = {
        "i": pa.array([1, 2, 3], pa.int32()),
        "l": pa.array([1, 2, 3], pa.int64()),
        "f": pa.array([1.5, 2.5, 3.5], pa.float32()),
        "d": pa.array([Decimal("1.50"), None, None], pa.decimal128(5, 2)),
        "s": ["a", "b", "c"],
        "ts": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
    }
    made.create(pa.table(columns))
    return made


@pytest.mark.parametrize(
    ("column", "expression", "said"),
    [
        ("i", "5.7", "int32 in the table and double in the data"),
        ("i", "'77'", "a cast would change what the values say"),
        ("i", "3000000000", "outside of what int32 holds; row 0: 3000000000"),
        ("i", "i * 1500000000", "outside of what int32 holds"),
        ("l", "l * 9223372036854775807", "beyond what int64 holds, and would be stored as -2"),
        ("l", "l + 9223372036854775807", "beyond what int64 holds"),
        ("f", "0.1", "float does not hold the value exactly"),
        ("f", "1e300", "float does not hold the value exactly"),
        ("d", "2.255", "a cast would change"),
        ("d", "1000", "decimal128\\(5, 2\\) does not hold the value exactly"),
        ("s", "5", "string in the table and int64 in the data"),
        ("ts", "'2020-01-01'", "a cast would change"),
        ("ts", "arrow_cast(1, 'Timestamp(Nanosecond, None)')", "does not hold the value exactly"),
        ("j", "1", "has no column 'j'"),
        ("i", "ii", "i = ii: .* has no column 'ii', did you mean 'i'"),
        ("i", "i / (i - 2)", "Divide by zero"),
        ("i", "sum(i)", "cannot be computed"),
    ],
)
def test_an_update_writes_what_it_says_or_nothing(numbers: Table, column: str, expression: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        numbers.update({column: expression}, "l > 1")
    assert numbers.version == 0


@pytest.mark.parametrize(
    ("column", "expression", "value"),
    [
        ("i", "i + 1", 3),
        ("i", "cast(5.7 as int)", 5),
        ("i", "cast(round(5.7) as int)", 6),
        ("l", "i * 3 / 2", 3),
        ("l", "abs(l)", 2),
        ("f", "i", 2.0),
        ("f", "f * 2", 5.0),
        ("f", "0.5", 0.5),
        ("d", "3", Decimal("3.00")),
        ("d", "cast(2.255 as decimal(5, 2))", Decimal("2.26")),
        ("s", "cast(l as varchar)", "2"),
        ("i", "null", None),
    ],
)
def test_updates_that_fit(numbers: Table, column: str, expression: str, value: object) -> None:
    numbers.update({column: expression}, "i = 2")
    assert numbers.read(columns=[column])[column].to_pylist().count(value) >= 1
    assert numbers.count("i = 2 or i is null or i in (3, 5, 6)") >= 1


def test_now_is_utc(numbers: Table) -> None:
    numbers.update({"ts": "date_trunc('microsecond', now())"})
    assert numbers.count("ts > timestamp '2020-01-01T00:00:00Z'") == 3


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(-(2**63) + 1, 2**63 - 1))
def test_integer_arithmetic_never_wraps(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], factor: int
) -> None:
    table = Table(tmp_path_factory.mktemp("wrap") / "t")
    table.create(pa.table({"x": pa.array(values, pa.int64())}))
    try:
        table.update({"x": f"x * ({factor})"})
    except InvalidInputError:
        assert any(abs(value * factor) >= 2**62 for value in values)
    else:
        assert sorted(table.read()["x"].to_pylist()) == sorted(value * factor for value in values)


@pytest.mark.parametrize("name", ["Id", "a b", "c.d", "e`f", 'g"h', "select", "é"])
def test_names_of_every_kind(tmp_path: Path, name: str) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({name: [1, 2], "value": [1, 2]}))
    table.update({name: "value * 10"}, "value = 1")
    assert sorted(table.read()[name].to_pylist()) == [2, 10]
    assert table.merge(pa.table({name: [2, 3], "value": [7, 7]}), on=[name]) == Changed(2, inserted=1, updated=1)
    quoted = '"' + name.replace('"', '""') + '"'
    assert table.delete(f"{quoted} = 10").deleted == 1
    assert sorted(table.read()["value"].to_pylist()) == [7, 7]


def test_merge_is_an_upsert(table: Table) -> None:
    assert table.merge(rows(3, 4, amount=7.0), on=["day"]) == Changed(2, inserted=1, updated=1)
    assert table.read().to_pylist().count({"day": 3, "amount": 7.0, "shop": "x"}) == 1
    assert days(table) == [1, 2, 3, 4]
    assert table.merge(rows(4, amount=8.0), on="day").updated == 1  # one column by its name
    assert table.merge(rows(5), on="target.day = source.day and source.amount > 3").inserted == 1


@pytest.mark.parametrize(
    ("rule", "changed", "left"),
    [
        ({"matched": "ignore"}, (1, 0, 0), [1, 2, 3, 4]),
        ({"unmatched": "ignore"}, (0, 1, 0), [1, 2, 3]),
        ({"unmatched_by_source": "delete"}, (1, 1, 2), [3, 4]),
        ({"matched": "delete"}, (1, 0, 1), [1, 2, 4]),
        ({"matched": "delete", "unmatched": "ignore"}, (0, 0, 1), [1, 2]),
    ],
)
def test_merge_rules(table: Table, rule: dict[str, str], changed: tuple[int, int, int], left: list[int]) -> None:
    done = table.merge(rows(3, 4), on=["day"], **rule)  # type: ignore[arg-type]  # literals, as the cases give them
    assert (done.inserted, done.updated, done.deleted) == changed
    assert days(table) == left


def test_merge_deletes_by_keys_alone(table: Table) -> None:
    assert table.merge(pa.table({"day": [1, 2, 9]}), on=["day"], matched="delete", unmatched="ignore").deleted == 2
    assert days(table) == [3]


@pytest.mark.parametrize(
    ("data", "on", "said"),
    [
        (rows(1, 1, 2, 2), ["day"], "several rows for the same key: day=1, day=2"),
        (rows(1, 1), "target.day = source.day", "several rows of the data match the same row"),
        (rows(None, 1), ["day"], "key 'day' is null in 1 rows of the data, the first at row 0"),
        (rows(1), ["dya"], "no column 'dya' to merge on, did you mean 'day'"),
        (rows(1), "target.dya = source.day", "has no column 'dya', did you mean 'day'"),
        (rows(1), [], "needs to know which rows match"),
        (pa.table({"day": [5.7], "amount": [1.0], "shop": ["x"]}), ["day"], "int64 in the table and double in the"),
        (pa.table({"day": [1]}), ["day"], "column 'amount' is missing in the data"),
    ],
)
def test_merges_that_are_refused(table: Table, data: pa.Table, on: list[str] | str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        table.merge(data, on=on)
    assert table.version == 1


def test_merge_rules_that_make_no_sense() -> None:
    with pytest.raises(InvalidInputError, match="such a merge does nothing"):
        MergeRule(["id"], matched="ignore", unmatched="ignore")
    with pytest.raises(InvalidInputError, match="matched is 'upsert', and may be update, ignore, delete"):
        MergeRule(["id"], matched="upsert")  # type: ignore[arg-type]  # what a caller without mypy may write


def test_a_merge_of_a_stream_that_is_used_up(table: Table) -> None:
    assert table.merge(rows(3, 4).to_reader(), on=["day"]) == Changed(2, inserted=1, updated=1)


def test_restore(table: Table) -> None:
    table.delete(everything=True)
    assert table.restore(0) == 3
    assert days(table) == [1, 2]
    assert table.restore(3) == 3  # it is the latest: no commit
    with pytest.raises(NotFoundError, match="has no version 9 to open: it has 0 to 3"):
        table.restore(9)
    with pytest.raises(InvalidInputError, match="needs a version or a timestamp"):
        table.restore()
    assert table.restore(timestamp=datetime.now(UTC)) == 3


def test_restore_of_files_that_are_gone(table: Table) -> None:
    table.delete(everything=True)
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(NotFoundError, match="cannot be restored: files of it are gone"):
        table.restore(1)
    assert table.version == 2


def test_a_version_is_not_written(table: Table) -> None:
    past = Table(table.uri, at=0)
    writes: list[Callable[[], object]] = [
        lambda: past.append(rows(1)),
        lambda: past.overwrite(rows(1)),
        lambda: past.delete("day = 1"),
        lambda: past.update({"day": "1"}),
        lambda: past.merge(rows(1), on=["day"]),
        lambda: past.restore(0),
        lambda: past.add_constraint("a", "day > 0"),
        lambda: past.drop_constraint("a"),
        lambda: past.add_columns(pa.schema([("z", pa.int64())])),
        lambda: past.widen({"day": pa.int64()}),
        lambda: past.set_properties({"lakemark.x": "1"}),
        lambda: past.create(rows(1)),
    ]
    for write in writes:
        with pytest.raises(InvalidInputError, match="@0 is a version, and only the latest of a table can be changed"):
            write()
    assert table.version == 1


def test_a_table_that_takes_only_new_rows(table: Table) -> None:
    table.set_properties({"delta.appendOnly": "true"})
    for write in (lambda: table.delete("day = 1"), lambda: table.overwrite(rows(1))):
        with pytest.raises(InvalidInputError, match="takes only new rows"):
            write()
    assert table.append(rows(9)) == 3


def test_a_restored_version_stays_protected(tmp_path: Path) -> None:
    write_deltalake(tmp_path, rows(1))
    table = Table(tmp_path)
    protect(table)
    table.append(rows(2))
    assert table.restore(0, commit=Commit(message="back")) == table.version
    assert (days(table), is_protected(table)) == ([1], True)
    assert {record.commit.message for record in table.history(limit=2)} == {"back"}
