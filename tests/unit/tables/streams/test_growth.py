from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark.tables.streams.growth import growth_problem

OLD = pa.schema(
    [
        pa.field("day", pa.int32()),
        pa.field("key", pa.string(), nullable=False),
        pa.field("at", pa.struct([pa.field("x", pa.float32())])),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


def changed(name: str, field: pa.Field) -> pa.Schema:
    return OLD.set(OLD.get_field_index(name), field)


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        pa.schema(reversed(list(OLD))),
        OLD.append(pa.field("more", pa.string())),
        changed("day", pa.field("day", pa.int64())),
        changed("key", pa.field("key", pa.string())),
        changed("at", pa.field("at", pa.struct([pa.field("x", pa.float64()), pa.field("y", pa.int8())]))),
    ],
)
def test_columns_that_are_added_or_widened_go_on(new: pa.Schema) -> None:
    assert growth_problem(OLD, new) is None


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (OLD.remove(0), "column 'day' was dropped or renamed"),
        (changed("day", pa.field("day", pa.int16())), "column 'day' was int32 and is int16"),
        (changed("day", pa.field("day", pa.string())), "column 'day' was int32 and is string"),
        (changed("day", pa.field("day", pa.int32(), nullable=False)), "may not any more"),
        (OLD.append(pa.field("more", pa.string(), nullable=False)), "'more' is new and may not be null"),
        (changed("at", pa.field("at", pa.struct([pa.field("y", pa.float32())]))), "'at.x' was dropped or renamed"),
        (changed("tags", pa.field("tags", pa.list_(pa.int8()))), "'tags[]' was string and is int8"),
    ],
)
def test_every_other_change_is_named(new: pa.Schema, says: str) -> None:
    assert says in str(growth_problem(OLD, new))
