from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.reads.where import parse

LONG = "1234567890123456789012345678.0123456789"
ROWS = pa.table(
    {
        "n": pa.array([1, 2, None, 4, -5], pa.int32()),
        "m": pa.array([1, 3, 3, None, -6], pa.int64()),
        "x": pa.array([0.5, None, -0.0, 1e300, 2.0]),
        "s": pa.array(["a", "it's", None, "", "é"]),
        "b": pa.array([True, False, None, True, False]),
        "d": pa.array([date(2013, 6, 24), None, date(1, 1, 1), date(2020, 1, 1), date(2013, 6, 25)]),
        "t": pa.array(
            [datetime(2013, 6, 24, hour, tzinfo=UTC) for hour in (0, 6, 12, 18, 23)], pa.timestamp("us", "UTC")
        ),
        "u": pa.array([datetime(2013, 6, 24, hour) for hour in (0, 6, 12, 18, 23)], pa.timestamp("us")),  # noqa: DTZ001
        "p": pa.array([Decimal("1.25"), None, Decimal("-3.00"), Decimal("0.10"), Decimal(7)], pa.decimal128(10, 2)),
        "y": pa.array([math.nan, 1.0, None, -0.0, 5.0]),
        "z": pa.array([math.nan, math.nan, 2.0, 0.0, 4.0], pa.float32()),
        "q": pa.array([Decimal(LONG), None, Decimal("-1E-10"), Decimal(1), Decimal(f"-{LONG}")], pa.decimal128(38, 10)),
        "a b": pa.array([1, 2, 3, 4, 5]),
    }
)


@pytest.mark.parametrize(
    "text",
    [
        "n = 2",
        "n <> 2",
        "not n = 2",
        "n != 2 and m is not null",
        "n < m",
        "m >= n or b",
        "b and not (n > 3)",
        "not b",
        "n in (1, 4)",
        "n not in (1, 4)",
        "not (n in (1, 4) or x is null)",
        "s in ('a', 'it''s')",
        "s not in ('a')",
        "n between -5 and 2",
        "n not between 1 and 2",
        "n > 1.5",
        "n = 2.0",
        "n < 99999999999",
        "x > 0",
        "x = 0",
        "x >= 1e300",
        "x in (0)",
        "x not in (0, 2)",
        "y > 1",
        "1 <= y",
        "not (y < 5)",
        "y <> 1",
        "y between 0 and 9",
        "y not in (1)",
        "y = z",
        "y < z",
        "z >= y",
        "n < y",
        f"q = -{LONG}",
        f"q in (-{LONG}, 1)",
        f"q > -{LONG}",
        "p = 1.25",
        "p in (1.25, 7)",
        "p < 0.1",
        "s = ''",
        "s > 'b'",
        "d = '2013-06-24'",
        "d > date '2013-06-24'",
        "d in ('0001-01-01', '2020-01-01')",
        "u between '2013-06-24 06:00:00' and '2013-06-24 18:00:00'",
        '"a b" = 3',
        '3 < "a b"',
        "true",
        "n is null or (m = 3 and x is not null)",
        "((n = 1))",
    ],
)
def test_it_means_what_it_means_in_sql(text: str) -> None:
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as engine:
        engine.register("given", ROWS.drop_columns(["t"]))
        expected = engine.sql(f'SELECT "a b" FROM given WHERE {text}').fetchall()  # noqa: S608
    found = ROWS.filter(parse(text, ROWS.schema).expression)
    assert found["a b"].to_pylist() == sorted(number for (number,) in expected)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("t >= timestamptz '2013-06-24T12:00:00+00:00'", [12, 18, 23]),
        ("t < '2013-06-24 08:00:00+02:00'", [0]),
        ("t <= '2013-06-24 06:00:00'", [0, 6]),
        ("t in ('2013-06-24T23:00:00Z')", [23]),
    ],
)
def test_times_without_an_offset_are_in_utc(text: str, hours: list[int]) -> None:
    found = ROWS.filter(parse(text, ROWS.schema).expression)
    assert [moment.hour for moment in found["t"].to_pylist()] == hours


def test_parts_are_known_with_their_columns() -> None:
    found = parse("n = 1 and (m = 2 or b) and s is null", ROWS.schema)
    assert [set(part.columns) for part in found.conditions] == [{"n"}, {"m", "b"}, {"s"}]
    assert found.columns == {"n", "m", "b", "s"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n =", "is no condition in SQL"),
        ("n = 1; drop table x", "is no condition in SQL"),
        ("s like 'a%'", "is more than a read can do"),
        ("abs(n) = 1", "is more than a read can do"),
        ("n + 1 = 2", "is more than a read can do"),
        ("n in (select 1)", "is more than a read can do"),
        ("n in (1, null)", "is more than a read can do"),
        ("1 = 1", "is more than a read can do"),
        ("n", "is more than a read can do"),
        ("rows.n = 1", "is more than a read can do"),
        ("n = 'a'", "is no value of column 'n', which is int32"),
        ("s = 1", "is no value of column 's', which is string"),
        ("b = 1", "is no value of column 'b'"),
        ("n = true", "is no value of column 'n'"),
        ("n in (1.5)", "is no value of column 'n'"),
        ("d = 'yesterday'", "is no value of column 'd'"),
        ("u = '2013-06-24T00:00:00Z'", "is no value of column 'u'"),
        ("n = s", "has no answer"),
    ],
)
def test_what_cannot_be_said_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse(text, ROWS.schema)


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"no column 'amout' .* did you mean 'amount'"):
        parse("amout = 1", pa.schema([("amount", pa.int64())]))
