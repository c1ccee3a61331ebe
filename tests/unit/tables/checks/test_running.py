"""Checks of tables: declared, asked of a version, and asked of what is written."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.storage.database import open_database
from lakemark.tables.checks.guard import admit
from lakemark.tables.checks.results import CheckResult, keep, parse_results
from lakemark.tables.checks.rules import (
    Check,
    Freshness,
    InSet,
    NotNull,
    Range,
    Regex,
    RowCount,
    Rule,
    Severity,
    SqlRule,
    Unique,
)
from lakemark.tables.checks.running import add_check, commit_results, declared_checks, drop_check, run_checks
from lakemark.tables.table import Table
from lakemark.tracking.check_results import SqlCheckResultStore

NOW = dt.datetime.now(dt.UTC)
SCHEMA = pa.schema(
    [("id", pa.int64()), ("price", pa.float64()), ("code", pa.string()), ("at", pa.timestamp("us", "UTC"))]
)


def rows(*values: tuple[int | None, float | None, str | None]) -> pa.Table:
    """Return rows that were made now."""
    columns = list(zip(*values, strict=True)) or [(), (), ()]
    return pa.table([*columns, [NOW] * len(values)], schema=SCHEMA)


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table of four rows, with a null and a NaN; temporary files have a folder of their own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    made = Table(tmp_path / "orders")
    made.create(rows((1, 1.0, "a1"), (2, -1.0, "b2"), (2, None, None), (3, float("nan"), "c")))
    return made


def only(table: Table, rule: Rule, severity: Severity = Severity.ERROR) -> CheckResult:
    """Ask one rule of the latest version."""
    (result,) = run_checks(table.open(), [Check("it", rule, severity)])
    return result


@pytest.mark.parametrize(
    ("rule", "failing"),
    [
        (NotNull("price"), 1),
        (NotNull("id"), 0),
        (Unique(("id",)), 2),
        (Unique(("id", "code")), 0),
        (Range("price", 0, 10), 2),
        (Range("price", -1), 1),
        (Range("id", 1, 3), 0),
        (Range("id", 1.5), 1),
        (Range("at", "2020-01-01T00:00:00Z"), 0),
        (Range("at", max="2020-01-01"), 4),
        (InSet("code", ("a1", "b2")), 1),
        (InSet("id", (1, 2, 3)), 0),
        (Regex("code", r"[a-z]\d"), 1),
        (Regex("code", r"[a-z]"), 2),
        (SqlRule("SELECT * FROM {table} WHERE price < 0"), 1),
        (SqlRule("with t as (from {table}) select {table}.id, id from {table} join t using (id) where id = 4;"), 0),
    ],
)
def test_rows_at_fault_are_counted(orders: Table, rule: Rule, failing: int) -> None:
    result = only(orders, rule)
    assert (result.passed, result.failing_rows) == (failing == 0, failing)
    assert bool(result.samples) is (failing > 0)
    assert len(result.samples) <= 5


@pytest.mark.parametrize(
    ("rule", "passed", "detail"),
    [
        (RowCount(4, 4), True, "4 rows"),
        (RowCount(5), False, "4 rows, wanted: rows at least 5"),
        (RowCount(max=3), False, "4 rows"),
        (Freshness("at", 3600), True, "s old"),
    ],
)
def test_the_table_as_a_whole(orders: Table, rule: Rule, passed: bool, detail: str) -> None:
    result = only(orders, rule)
    assert (result.passed, result.failing_rows) == (passed, None)
    assert detail in result.detail


def test_an_old_table_is_not_fresh(tmp_path: Path) -> None:
    old = Table(tmp_path / "old")
    old.create(pa.table({"day": [dt.date(2020, 1, 1)], "at": pa.array([dt.datetime(2020, 1, 1)])}))  # noqa: DTZ001
    for column in ("day", "at"):
        result = only(old, Freshness(column, 60))
        assert not result.passed
        assert "the newest is 2020-01-01" in result.detail
    old.overwrite(pa.table({"day": pa.array([], pa.date32()), "at": pa.array([], pa.timestamp("us"))}))
    assert "no value at all" in only(old, Freshness("day", 60)).detail


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (NotNull("prize"), "no column is named 'prize', did you mean 'price'?"),
        (Regex("id", "x"), "id is int64, a pattern needs text"),
        (Regex("code", "("), "missing"),
        (Freshness("id", 1), "freshness needs a time or a date"),
        (Range("id", "x"), "Could not convert string 'x'"),
        (SqlRule("select 1"), "reads no table"),
        (SqlRule("select * from {table} join other using (id)"), "reads other"),
        (SqlRule("drop table {table}"), "DROP is refused"),
        (SqlRule("select prize from {table}"), "prize"),
        (SqlRule("select * from {table}, read_csv('x')"), "read_csv is refused"),
    ],
)
def test_a_check_that_does_not_fit_is_refused(orders: Table, rule: Rule, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        only(orders, rule)
    assert said in str(caught.value)


def test_a_check_is_declared_listed_and_dropped(orders: Table) -> None:
    check = Check("ids", NotNull("id"))
    assert add_check(orders, check) == 1
    assert declared_checks(orders.open()) == (check,)
    assert declared_checks(orders.open(version=0)) == ()
    with pytest.raises(ConflictError, match="has a check 'ids' already"):
        add_check(orders, check)
    with pytest.raises(NotFoundError, match="did you mean 'ids'"):
        drop_check(orders, "id")
    assert drop_check(orders, "ids") == 2
    assert declared_checks(orders.open()) == ()
    assert orders.history()[0].commit.message == "drop check ids"


def test_a_check_that_the_table_breaks_is_not_declared(orders: Table) -> None:
    check = Check("price", Range("price", 0))
    with pytest.raises(InvalidInputError, match=r"breaks check 'price' as it is: 2 rows at fault") as caught:
        add_check(orders, check)
    assert "id=2, price=-1.0, code='b2'" in caught.value.message
    assert orders.version == 0
    assert add_check(orders, check, verify=False) == 1
    assert add_check(orders, Check("code", NotNull("code"), Severity.WARNING)) == 2


def test_rows_that_break_a_check_are_not_written(orders: Table, tmp_path: Path) -> None:
    add_check(orders, Check("price", Range("price", 0), Severity.ERROR), verify=False)
    add_check(orders, Check("code", Regex("code", r"[a-z]\d")), verify=False)
    with pytest.raises(InvalidInputError, match="check 'price': 1 row at fault") as caught:
        orders.append(rows((9, -5.0, "x1"), (10, 1.0, "y2")))
    assert "price: id=9, price=-5.0" in caught.value.message
    assert "check 'code'" not in caught.value.message
    assert orders.version == 2
    assert orders.append(rows((9, 5.0, "x1"))) == 3
    assert orders.read()["id"].to_pylist() == [1, 2, 2, 3, 9]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_warning_lets_rows_pass_and_tells_the_commit(orders: Table) -> None:
    add_check(orders, Check("price", Range("price", 0), Severity.WARNING))
    version = orders.append(rows((9, -5.0, "secret")))
    (result,) = commit_results(orders, version)
    assert (result.name, result.passed, result.failing_rows) == ("price", False, 1)
    assert "secret" not in str(orders.open().history(1))
    assert commit_results(orders, 0) == ()


def test_a_key_is_unique_among_old_and_new_rows(orders: Table) -> None:
    add_check(orders, Check("ids", Unique(("id",))), verify=False)
    for wrong in (rows((1, 0.0, "x")), rows((7, 0.0, "x"), (7, 0.0, "x"))):
        with pytest.raises(InvalidInputError, match="check 'ids': 2 rows at fault"):
            orders.append(wrong)
    orders.append(rows((4, 0.0, "x"), (None, 0.0, "x"), (None, 0.0, "y")))
    orders.overwrite(rows((1, 0.0, "x")))
    assert orders.read()["id"].to_pylist() == [1]


def test_what_a_write_replaces_does_not_count(orders: Table) -> None:
    add_check(orders, Check("ids", Unique(("id",))), verify=False)
    add_check(orders, Check("size", RowCount(max=4)))
    opened = orders.open()
    again = rows((1, 0.0, "x"))
    for kept in (
        admit(opened, again.to_reader(), replaces=False, on=["id"]),
        admit(opened, again.to_reader(), replaces=False, kept=rows((2, 0.0, "x")).to_reader),
        admit(opened, again.to_reader(), replaces=True),
        admit(opened, again.to_reader(), replaces=False, whole=False),
    ):
        assert kept.rows.read_all().equals(again)
    with pytest.raises(InvalidInputError, match="5 rows, wanted: rows at most 4"):
        admit(opened, rows((5, 0.0, "x")).to_reader(), replaces=False)


def test_a_column_that_the_rows_do_not_have_is_null(orders: Table) -> None:
    add_check(orders, Check("code", NotNull("code")), verify=False)
    with pytest.raises(InvalidInputError, match="check 'code': 1 row at fault"):
        admit(orders.open(), rows((1, 1.0, "x")).drop_columns(["code"]).to_reader(), replaces=False)


def test_no_rows_are_rows(orders: Table) -> None:
    add_check(orders, Check("code", NotNull("code")), verify=False)
    admitted = admit(orders.open(), rows().to_reader(), replaces=False)
    assert admitted.rows.read_all().num_rows == 0
    assert [result.passed for result in parse_results(admitted.metadata["lakemark.checks"])] == [True]


def test_results_are_kept_for_each_version(orders: Table, tmp_path: Path) -> None:
    store = SqlCheckResultStore(open_database(tmp_path / "lakemark.db"))
    opened = orders.open()
    table_id = str(opened.metadata().id)
    found = run_checks(opened, [Check("price", Range("price", 0)), Check("size", RowCount(1))])
    keep(store, found, table_uri=orders.uri, table_id=table_id, version=0)
    kept = store.list(table_id=table_id)
    assert [(row.check_name, row.version, row.passed, row.failing_rows) for row in kept] == [
        ("size", 0, True, None),
        ("price", 0, False, 2),
    ]
    assert store.list(table_id=table_id, version=1) == []
    assert kept[0].run_id is None


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"format": "lakemark.check_results/9"}'])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_results(text)


def test_merge_update_and_replacement_are_asked_too(orders: Table) -> None:
    orders.overwrite(rows((1, 1.0, "a"), (2, 2.0, "b")))
    add_check(orders, Check("ids", Unique(("id",))))
    add_check(orders, Check("price", Range("price", 0)))
    orders.merge(rows((2, 3.0, "b"), (3, 3.0, "c")), on=["id"])
    orders.update(set={"price": "price + 1"}, where="id = 1")
    orders.overwrite(rows((3, 9.0, "c")), where="id = 3")
    found = orders.read().sort_by("id")
    assert (found["id"].to_pylist(), found["price"].to_pylist()) == ([1, 2, 3], [2.0, 3.0, 9.0])
    version = orders.version
    for change in (
        lambda: orders.merge(rows((2, -3.0, "b")), on=["id"]),
        lambda: orders.update(set={"price": "-price"}),
        lambda: orders.overwrite(rows((3, -9.0, "c")), where="id = 3"),
        lambda: orders.append(rows((3, 1.0, "c"))),
    ):
        with pytest.raises(InvalidInputError, match="nothing was written"):
            change()
    assert orders.version == version


def test_the_engine_that_writes_says_what_a_write_replaces(orders: Table) -> None:
    orders.overwrite(rows((1, 1.0, "a"), (2, 2.0, "b"), (3, 3.0, "c"), (None, 4.0, "d")))
    add_check(orders, Check("ids", Unique(("id",))))
    add_check(orders, Check("size", RowCount(4, 4)))
    orders.overwrite(rows((2, 20.0, "b"), (3, 30.0, "c")), where="id / 2 = 1 -- of whole numbers")
    assert orders.update({"price": "price + 1"}, "id / 2 = 1").updated == 2
    assert sorted(orders.read()["price"].to_pylist()) == [1.0, 4.0, 21.0, 31.0]


def test_wider_columns_are_no_new_rows(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.create(pa.table({"x": pa.array([None, 1], pa.int32())}))
    add_check(table, Check("known", NotNull("x")), verify=False)
    table.widen({"x": pa.int64()})
    assert table.schema.field("x").type == pa.int64()
