"""Leaks between parts: exact numbers, examples, and nothing that is no leak."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError
from lakemark.tables.fingerprint import row_hashes
from lakemark.tables.splits.leaks import LeakKind, Severity, check_leaks
from lakemark.tables.splits.split import Splits, split
from lakemark.tables.table import Table

THIRDS = {"train": "1970-01-01T00:00:10Z", "valid": "1970-01-01T00:00:20Z", "test": None}


def make_split(folder: Path, rows: pa.Table) -> Splits:
    """Split rows by their second: 0 to 9, 10 to 19, and the rest."""
    table = Table(folder / "t")
    seconds = pa.array(rows["second"].to_pylist(), pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))
    table.create(rows.drop_columns(["second"]).append_column("ts", seconds))
    return split(table, THIRDS, on="ts", by="time")


def test_groups_in_several_parts_are_counted(tmp_path: Path) -> None:
    rows = {
        "second": [0, 1, 10, 11, 20, 21, 2, 22, 3],
        "customer": ["a", "b", "a", "c", "a", "b", "b", "d", "e"],
        "shop": [1] * 9,
    }
    report = check_leaks(make_split(tmp_path, pa.table(rows)), groups=["shop", "customer"], features=())
    found = {leak.parts: leak for leak in report.leaks}
    assert {parts: (leak.number, leak.rows) for parts, leak in found.items()} == {
        ("train", "test"): (1, 3),
        ("train", "valid", "test"): (1, 3),
    }
    assert found["train", "test"].examples == ({"shop": 1, "customer": "b"},)
    assert str(found["train", "test"]) == "1 groups of shop, customer are in train and test, 3 rows"
    assert not report.ok
    with pytest.raises(LakemarkError, match=r"the parts leak: .*; for example shop=1, customer='b'"):
        report.enforce()


def test_a_null_group_is_no_group(tmp_path: Path) -> None:
    rows = pa.table({"second": [0, 10, 20], "a": [None, None, None], "b": pa.array([None, 1, 1], pa.int64())})
    made = make_split(tmp_path, rows.set_column(1, "a", pa.nulls(3, pa.string())))
    assert check_leaks(made, groups=["a"], features=()).leaks == ()
    assert [leak.parts for leak in check_leaks(made, groups=["a", "b"], features=()).leaks] == [("valid", "test")]


def test_equal_rows_in_two_parts_are_warned_of(tmp_path: Path) -> None:
    rows = {
        "second": [0, 1, 10, 20, 21],
        "id": [1, 2, 3, 4, 5],
        "x": [math.nan, 1.0, math.nan, 0.0, 2.0],
        "y": pa.array([None, 1, None, 0, 2], pa.int32()),
    }
    made = make_split(tmp_path, pa.table(rows))
    report = check_leaks(made, groups=["id"], time="ts")
    assert [(leak.kind, leak.severity, leak.number, leak.rows) for leak in report.leaks] == [
        (LeakKind.ROW, Severity.WARN, 1, 2)
    ]
    assert report.leaks[0].columns == ("x", "y")
    assert report.leaks[0].examples[0]["y"] is None
    assert str(report.leaks[0]) == "1 different rows are in train and valid alike, 2 rows"
    assert report.ok
    report.enforce()
    assert check_leaks(made).leaks == ()
    strict = check_leaks(made, features=["y"], severities={LeakKind.ROW: Severity.ERROR})
    assert not strict.ok


def test_parts_must_end_before_the_next_begin(tmp_path: Path) -> None:
    rows = {"second": [0, 1, 2, 10, 20], "day": pa.array([0, 6, 5, None, 5], pa.date32())}
    made = make_split(tmp_path, pa.table(rows))
    assert check_leaks(made, features=(), time="ts").leaks == ()
    (leak,) = check_leaks(made, features=(), time="day").leaks
    assert (leak.kind, leak.parts, leak.number) == (LeakKind.TIME, ("train", "test"), 2)
    assert leak.examples == (
        {"train ends": "1970-01-07T00:00:00.000000Z", "test begins": "1970-01-06T00:00:00.000000Z"},
    )
    assert str(leak) == "2 rows of train are not before test begins, by day"


MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def unmix(word: int) -> int:
    """Return what `lmfp1` mixes to `word`."""
    word ^= (word >> 31) ^ (word >> 62)
    word = word * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    word ^= (word >> 27) ^ (word >> 54)
    word = word * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return word ^ (word >> 30) ^ (word >> 60)


def cell(mixed: int, column: int) -> int:
    """Return the integer whose word in a column mixes to `mixed`."""
    word = (unmix(mixed & MASK) - (column + 1) * GOLDEN) & MASK
    return word - 2**64 if word >= 2**63 else word


def test_a_part_that_ends_as_the_next_begins_leaks(tmp_path: Path) -> None:
    rows = {"second": [0, 10, 20], "day": pa.array([1, 2, 2], pa.date32())}
    (leak,) = check_leaks(make_split(tmp_path, pa.table(rows)), features=(), time="day").leaks
    assert (leak.parts, leak.number) == (("valid", "test"), 1)


def test_rows_whose_hashes_collide_are_compared_by_value(tmp_path: Path) -> None:
    cells = [(cell(1_000 + step, 0), cell(2_000 - step, 1)) for step in (0, 1, 1)]
    rows = pa.table({"second": [0, 10, 20], "x": [x for x, _ in cells], "y": [y for _, y in cells]})
    assert len(set(row_hashes(rows.select(["x", "y"])).tolist())) == 1
    (leak,) = check_leaks(make_split(tmp_path, rows), features=["x", "y"]).leaks
    assert (leak.parts, leak.number, leak.rows) == (("valid", "test"), 1, 2)


def test_many_rows(tmp_path: Path) -> None:
    numbers = range(100_000)
    table = Table(tmp_path / "t")
    table.create(pa.table({"id": numbers, "group": [number // 2 for number in numbers]}))
    made = split(table, {"train": 0.5, "test": 0.5}, on="id")
    (leak,) = check_leaks(made, groups=["group"], features=()).leaks
    parts = made.assign(table.read()).to_pylist()
    crossing = sum(parts[place] != parts[place + 1] for place in range(0, 100_000, 2))
    assert (leak.number, leak.rows, len(leak.examples)) == (crossing, 2 * crossing, 3)


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    made = make_split(tmp_path, pa.table({"second": [0, 10], "x": [1, 2]}))
    with pytest.raises(NotFoundError, match="has no column 'z'"):
        check_leaks(made, groups=["z"])
    with pytest.raises(InvalidInputError, match="'x' is one name, not a list"):
        check_leaks(made, groups="x")
    with pytest.raises(InvalidInputError, match="holds no times"):
        check_leaks(made, features=(), time="x")
