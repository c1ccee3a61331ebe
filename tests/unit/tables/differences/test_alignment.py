"""Columns of two versions: matched by name, compared as a type that holds the values of both."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.differences.alignment import align, common_type

UTC = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.int32(), pa.float64(), pa.float64()),
        (pa.int64(), pa.float64(), None),
        (pa.int16(), pa.float32(), pa.float64()),
        (pa.decimal128(5, 2), pa.decimal128(7, 3), pa.decimal128(7, 3)),
        (pa.decimal128(7, 1), pa.decimal128(5, 4), pa.decimal128(10, 4)),
        (pa.decimal128(38, 0), pa.decimal128(38, 5), None),
        (pa.decimal128(5, 2), pa.int32(), pa.decimal128(12, 2)),
        (pa.decimal128(5, 2), pa.float64(), None),
        (pa.date32(), pa.timestamp("us"), pa.timestamp("us")),
        (pa.date32(), UTC, None),
        (pa.timestamp("us"), UTC, None),
        (pa.timestamp("ms", "Europe/Berlin"), UTC, UTC),
        (pa.string(), pa.large_string(), pa.string()),
        (pa.string(), pa.int64(), None),
        (pa.bool_(), pa.int8(), None),
        (pa.list_(pa.int8()), pa.large_list(pa.int64()), pa.list_(pa.int64())),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.int16()}), pa.struct({"a": pa.int16()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.int8()}), None),
        (pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int8())),
    ],
)
def test_a_common_type_holds_the_values_of_both(one: pa.DataType, other: pa.DataType, common: pa.DataType) -> None:
    assert common_type(one, other) == common
    assert common_type(other, one) == common


BEFORE = pa.schema({"id": pa.int32(), "old": pa.string(), "amount": pa.float32(), "code": pa.string()})
AFTER = pa.schema({"amount": pa.float64(), "id": pa.int64(), "new": pa.string(), "code": pa.int64()})


def test_columns_are_matched_by_name() -> None:
    found = align(BEFORE, AFTER, key=["id"])
    assert [field.name for field in found.difference.added] == ["new"]
    assert [field.name for field in found.difference.removed] == ["old"]
    assert [(change.column, change.common) for change in found.difference.retyped] == [
        ("amount", pa.float64()),
        ("id", pa.int64()),
        ("code", None),
    ]
    assert found.compared == pa.schema({"amount": pa.float64(), "id": pa.int64()})
    assert found.before.names == BEFORE.names
    assert found.after.names == AFTER.names
    assert found.before.field("id").type == pa.int64()
    assert found.before.field("code").type == pa.string()


def test_without_a_key_only_what_is_compared_is_read() -> None:
    found = align(BEFORE, AFTER)
    assert found.before.names == ["id", "amount"]
    assert align(BEFORE, AFTER, key=["id"], columns=["amount"]).after.names == ["amount", "id"]
    assert not align(BEFORE, BEFORE).difference


@pytest.mark.parametrize(
    ("key", "columns", "kind", "says"),
    [
        (["ids"], None, NotFoundError, "before has no column 'ids', did you mean 'id'"),
        (["new"], None, NotFoundError, "before has no column 'new'"),
        (None, ["old"], NotFoundError, "after has no column 'old'"),
        (["code"], None, InvalidInputError, "'code' is string before and int64 after"),
        (None, [], InvalidInputError, "no column is in both"),
    ],
)
def test_columns_that_cannot_be_compared_are_refused(
    key: list[str] | None, columns: list[str] | None, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        align(BEFORE, AFTER, key=key, columns=columns)
