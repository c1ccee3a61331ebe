from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.table import Table
from lakemark.tables.writes.expressions import count_rows, expression_type, is_true_for, quoted, select

SCHEMA = pa.schema(
    [
        ("i", pa.int32()),
        ("d", pa.decimal128(5, 2)),
        ("at", pa.timestamp("us", "UTC")),
        ("s", pa.string()),
        ("l", pa.list_(pa.int64())),
    ]
)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("i * 2", pa.int64()),
        ("cast(at as date)", pa.date32()),
        ("d", pa.decimal128(5, 2)),
        ("i > 1 -- and so on", pa.bool_()),
    ],
)
def test_types(expression: str, kind: pa.DataType) -> None:
    assert expression_type(SCHEMA, expression, name="x") == kind


def test_types_of_what_is_none() -> None:
    with pytest.raises(InvalidInputError, match="x has no column 'l'"):  # nested columns cannot be used
        expression_type(SCHEMA, "l", name="x")
    with pytest.raises(InvalidInputError, match="no SQL expression"):
        expression_type(SCHEMA, "i +", name="x")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("i > 3", True),
        ("i > 7", False),
        ("s is null", True),
        ("s = 'a'", False),  # null is not true
        ("d = 1.50 and at > timestamp '2020-01-01T00:00:00Z'", True),
        ("l is null", None),
        ("i +", None),
    ],
)
def test_what_a_row_as_text_says(expression: str, expected: bool | None) -> None:
    row = {"i": "7", "d": "1.50", "at": "2024-02-29T00:00:00Z", "s": "", "l": "[1]"}
    assert is_true_for(expression, row, SCHEMA) is expected


def test_select(table: Table) -> None:
    opened = table.open()
    assert sorted(select(opened, ["day * 10 as ten"], where="day > 1").read_all()["ten"].to_pylist()) == [20, 30]
    assert (count_rows(opened), count_rows(opened, "day > 1 -- late")) == (3, 2)
    assert quoted('a "b"') == '"a ""b"""'
