from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.names import TableName, parse_columns, parse_table


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sales", TableName("sales")),
        ("sales@0", TableName("sales", 0)),
        ("a@1/sales@12", TableName("a@1/sales", 12)),
        ("s3://me@lake/sales", TableName("s3://me@lake/sales")),
        ("sales@", TableName("sales@")),
        ("sales@-1", TableName("sales@-1")),
    ],
)
def test_tables(text: str, name: TableName) -> None:
    assert parse_table(text) == name


@pytest.mark.parametrize("text", ["", "@3"])
def test_no_table(text: str) -> None:
    with pytest.raises(InvalidInputError, match="names no table"):
        parse_table(text)


def test_columns() -> None:
    schema = parse_columns("day:date, amount: decimal(10, 2),at:timestamp , id:long")
    assert schema.names == ["day", "amount", "at", "id"]
    assert schema.types == [pa.date32(), pa.decimal128(10, 2), pa.timestamp("us", "UTC"), pa.int64()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("day", "not of the form NAME:TYPE"),
        ("", "not of the form NAME:TYPE"),
        ("day:dat", "no type is named 'dat', did you mean 'date'"),
        ("x:long,x:long", "'x' is there twice"),
        ("x:decimal(50,2)", "more digits"),
        ("x:decimal(2,5)", "more digits"),
    ],
)
def test_columns_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        parse_columns(text)
