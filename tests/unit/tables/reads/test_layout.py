from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.reads.layout import Naming, find, fit


def mapped(name: str, kind: pa.DataType, *, number: int) -> pa.Field:
    metadata = {"delta.columnMapping.physicalName": f"col-{number}", "delta.columnMapping.id": str(number)}
    return pa.field(name, kind, metadata=metadata)


def numbered(name: str, kind: pa.DataType, *, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})


POINT = pa.struct([mapped("x", pa.int64(), number=2), mapped("y", pa.float64(), number=3)])


def test_columns_are_found_by_name_or_id() -> None:
    wanted = mapped("point", POINT, number=1)
    assert find(wanted, [pa.field("a", pa.int8()), pa.field("point", POINT)], Naming.PLAIN) == 1
    assert find(wanted, [pa.field("point", POINT), pa.field("col-1", POINT)], Naming.NAME) == 1
    assert find(wanted, [numbered("a", POINT, number=7), numbered("b", POINT, number=1)], Naming.ID) == 1
    assert find(wanted, [pa.field("point", POINT)], Naming.NAME) is None
    assert find(wanted, [], Naming.ID) is None
    with pytest.raises(StorageError, match="no ids"):
        find(wanted, [pa.field("point", POINT)], Naming.ID)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(
    ("kind", "values", "wanted", "expected"),
    [
        (pa.int8(), [1, None, -3], pa.int64(), [1, None, -3]),
        (pa.list_(pa.int32()), [[1], None, [2, None], []], pa.list_(pa.int64()), [[1], None, [2, None], []]),
        (pa.map_(pa.string(), pa.int32()), [[("a", 1)], None, []], pa.map_(pa.string(), pa.int64()), None),
        (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"], pa.string(), ["a", None, "a"]),
        (pa.large_string(), ["a", None], pa.string(), ["a", None]),
    ],
)
def test_values_are_widened_wherever_they_are(
    kind: pa.DataType, values: list[object], wanted: pa.DataType, expected: list[object] | None, offset: int
) -> None:
    found = fit(pa.array(values, kind).slice(offset), pa.field("x", wanted), Naming.PLAIN)
    found.validate(full=True)
    assert found.type == wanted
    assert found.to_pylist() == (expected or values)[offset:]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("naming", [Naming.NAME, Naming.ID])
def test_structs_are_mapped_and_completed_at_any_depth(naming: Naming, offset: int) -> None:
    physical = pa.struct([numbered("col-9", pa.int8(), number=9), numbered("col-2", pa.int32(), number=2)])
    rows = [{"col-9": 0, "col-2": 1}, None, {"col-9": 0, "col-2": None}]
    x = [{"x": 1, "y": None}, None, {"x": None, "y": None}]
    found = fit(pa.array(rows, physical).slice(offset), mapped("point", POINT, number=1), naming)
    found.validate(full=True)
    assert (found.type, found.to_pylist()) == (POINT, x[offset:])
    listed = fit(pa.array([rows, None, []], pa.list_(physical)).slice(offset), pa.field("l", pa.list_(POINT)), naming)
    listed.validate(full=True)
    assert listed.to_pylist() == [x, None, []][offset:]
    pairs = [[("a", row) for row in rows], None]
    kept = fit(pa.array(pairs, pa.map_(pa.string(), physical)), pa.field("m", pa.map_(pa.string(), POINT)), naming)
    kept.validate(full=True)
    assert kept.to_pylist() == [[("a", row) for row in x], None]


def test_a_value_that_does_not_fit_is_no_silent_loss() -> None:
    with pytest.raises(pa.ArrowInvalid):
        fit(pa.array([300]), pa.field("x", pa.int8()), Naming.PLAIN)
