from __future__ import annotations

import contextlib
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from lakemark._base.errors import InvalidInputError
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import z_order
from lakemark.tables.writes.casts import StrictStream, storable_schema


def cast(column: Any, target: pa.DataType, kind: pa.DataType | None = None) -> list[Any]:
    """Cast one column as a write does, and raise what a write raises."""
    array = column if isinstance(column, pa.Array) else pa.array(column, kind)
    stream = StrictStream(pa.table({"x": array}), pa.schema([("x", target)]))
    try:
        rows = stream.reader().read_all()
    except (InvalidInputError, pa.ArrowException):
        assert stream.failure is not None
        raise stream.failure from None
    assert rows.schema == pa.schema([("x", target)])
    found: list[Any] = rows["x"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("values", "kind", "target"),
    [
        ([1, None, -3], pa.int32(), pa.int64()),
        ([1, None, 100], pa.int64(), pa.int8()),
        ([1, 2**53, None], pa.int64(), pa.float64()),
        ([255], pa.uint8(), pa.int16()),
        ([1.5, None, math.inf], pa.float32(), pa.float64()),
        ([1.5, None, -math.inf], pa.float64(), pa.float32()),
        (["a", None], pa.large_string(), pa.string()),
        (["a", None], pa.string_view(), pa.string()),
        ([b"a"], pa.large_binary(), pa.binary()),
        ([datetime(2020, 1, 2, 3, tzinfo=UTC)], pa.timestamp("ns", "UTC"), pa.timestamp("us", "UTC")),
        ([date(2020, 1, 2)], pa.date64(), pa.date32()),
        ([Decimal("1.50")], pa.decimal128(10, 2), pa.decimal128(5, 1)),
        ([7], pa.int64(), pa.decimal128(38, 2)),
        ([None, None], pa.null(), pa.float64()),
        ([[1, None], None], pa.large_list(pa.int32()), pa.list_(pa.int64())),
        ([{"a": 1, "b": "x"}], pa.struct([("a", pa.int8()), ("b", pa.large_string())]), None),
    ],
)
def test_values_that_keep_what_they_say(values: list[Any], kind: pa.DataType, target: pa.DataType | None) -> None:
    target = target or pa.struct([("a", pa.int64()), ("b", pa.string())])
    assert cast(values, target, kind) == values


def test_nan_stays_nan() -> None:
    assert math.isnan(cast([math.nan], pa.float32(), pa.float64())[0])


@pytest.mark.parametrize(
    ("values", "kind", "target", "seen"),
    [
        ([1.0, 5.7], pa.float64(), pa.int64(), "row 1: 5.7"),
        ([5.0], pa.float64(), pa.int64(), "row 0: 5.0"),
        (["77"], pa.string(), pa.int64(), "row 0: '77'"),
        ([77], pa.int64(), pa.string(), "row 0: 77"),
        ([1, 300, -200], pa.int64(), pa.int8(), "outside of what int8 holds; row 1: 300, row 2: -200"),
        ([2**63], pa.uint64(), pa.int64(), "row 0: 9223372036854775808"),
        ([2**53 + 1], pa.int64(), pa.float64(), "row 0: 9007199254740993"),
        ([2**63 - 1], pa.int64(), pa.float64(), "row 0: 9223372036854775807"),
        ([0.1], pa.float64(), pa.float32(), "does not hold the value exactly; row 0: 0.1"),
        ([1e300], pa.float64(), pa.float32(), "row 0: 1e\\+300"),
        ([True], pa.bool_(), pa.int64(), "row 0: True"),
        ([1], pa.timestamp("us"), pa.timestamp("us", "UTC"), "what the values say"),
        ([1, 1000], pa.timestamp("ns"), pa.timestamp("us"), "exactly; row 0"),
        ([Decimal("1.25")], pa.decimal128(10, 2), pa.decimal128(10, 1), "row 0: Decimal\\('1.25'\\)"),
        ([[1.5]], pa.list_(pa.float64()), pa.list_(pa.int64()), "row 0: \\[1.5\\]"),
        ([{"a": 1}], pa.struct([("a", pa.int64())]), pa.struct([("b", pa.int64())]), "row 0"),
    ],
)
def test_values_that_would_change(values: list[Any], kind: pa.DataType, target: pa.DataType, seen: str) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x' is .* in the table and .* in the data: .*{seen}") as error:
        cast(pa.array(values, kind), target)
    assert (error.value.hint or "").endswith(
        f"convert column 'x' to {target} yourself, so that any loss is your decision"
    )


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.sampled_from([pa.int8(), pa.int32(), pa.float64()]))
def test_an_integer_arrives_as_it_was_or_not_at_all(values: list[int], target: pa.DataType) -> None:
    with contextlib.suppress(InvalidInputError):
        assert cast(values, target, pa.int64()) == values


@given(st.lists(st.floats(), min_size=1))
def test_a_float_arrives_as_it_was_or_not_at_all(values: list[float]) -> None:
    try:
        found = cast(values, pa.float32(), pa.float64())
    except InvalidInputError:
        return
    assert all(
        one == other or (math.isnan(one) and math.isnan(other)) for one, other in zip(found, values, strict=True)
    )


def test_rows_are_counted_over_batches() -> None:
    table = pa.table({"x": pa.chunked_array([[1, 2], [3, 400, 500]])})
    stream = StrictStream(table, pa.schema([("x", pa.int8())]))
    with pytest.raises(InvalidInputError, match="row 3: 400, row 4: 500"):
        stream.reader().read_all()
    assert stream.failure is not None
    assert stream.failure.context["rows"] == (3, 4)


def test_a_column_that_may_not_be_null() -> None:
    stream = StrictStream(pa.table({"x": [1, None]}), pa.schema([pa.field("x", pa.int64(), nullable=False)]))
    with pytest.raises(InvalidInputError, match="the column may not hold nulls; row 1: None"):
        stream.reader().read_all()


def test_dictionaries_are_their_values() -> None:
    assert cast(pa.array(["a", None, "a"]).dictionary_encode(), pa.string()) == ["a", None, "a"]


def test_columns_are_matched_by_name() -> None:
    stream = StrictStream(pa.table({"b": [1], "a": ["x"]}), pa.schema([("a", pa.string()), ("b", pa.int64())]))
    assert stream.reader().read_all().to_pylist() == [{"a": "x", "b": 1}]


def test_unknown_and_missing_columns_stand_side_by_side() -> None:
    target = pa.schema([("day", pa.int64()), ("amount", pa.float64())])
    with pytest.raises(InvalidInputError) as error:
        StrictStream(pa.table({"day": [1], "amonut": ["x"]}), target)
    lines = error.value.message.splitlines()
    assert lines[0] == (
        "column 'amonut' is not in the table, did you mean 'amount'?; column 'amount' is missing in the data"
    )
    assert [line.split() for line in lines[1:]] == [
        ["column", "table", "data"],
        ["day", "int64", "int64"],
        ["amount", "double", "-"],
        ["amonut", "-", "string"],
    ]


def test_a_column_that_is_there_twice() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(InvalidInputError, match="column 'x' is in the data twice"):
        StrictStream(twice, pa.schema([("x", pa.int64())]))


def test_frames_of_other_libraries() -> None:
    target = pa.schema([("x", pa.int64()), ("s", pa.string())])
    columns = {"x": [1, 2], "s": ["a", None]}
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns), pa.RecordBatch.from_pydict(columns)):
        assert StrictStream(frame, target).reader().read_all().to_pydict() == columns


def test_what_delta_can_store() -> None:
    schema = pa.schema(
        [
            ("u", pa.uint32()),
            ("c", pa.dictionary(pa.int8(), pa.large_string())),
            ("t", pa.timestamp("ns", "Europe/Berlin")),
            ("h", pa.float16()),
            ("n", pa.list_(pa.struct([("d", pa.date64())]))),
            ("m", pa.map_(pa.string_view(), pa.uint8())),
        ]
    )
    assert storable_schema(schema).types == [
        pa.int64(),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.float32(),
        pa.list_(pa.struct([("d", pa.date32())])),
        pa.map_(pa.string(), pa.int16()),
    ]


@pytest.mark.parametrize("kind", [pa.time64("us"), pa.duration("s"), pa.null(), pa.decimal256(50, 2)])
def test_what_delta_cannot_store(kind: pa.DataType) -> None:
    with pytest.raises(InvalidInputError, match=r"column 'x.y' is of type .*, which Delta cannot store"):
        storable_schema(pa.schema([("x", pa.struct([("y", kind)]))]))


def test_integers_into_decimals() -> None:
    target = pa.decimal128(5, 2)
    assert cast([7, -999], target, pa.int64()) == [Decimal("7.00"), Decimal("-999.00")]
    with pytest.raises(InvalidInputError, match="does not hold the value exactly; row 1: 1000"):
        cast([999, 1000], target, pa.int64())


def test_columns_that_are_filled_or_computed() -> None:
    target = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.int64())])
    data = pa.table({"a": [1, 2]})
    stream = StrictStream(data, target, fill_nulls=True, computed=["c"])
    assert stream.reader().read_all().to_pydict() == {"a": [1, 2], "b": [None, None]}
    strict = pa.schema([target.field(0), pa.field("b", pa.string(), nullable=False)])
    with pytest.raises(InvalidInputError, match="column 'b' is missing in the data"):
        StrictStream(data, strict, fill_nulls=True)


def test_types_stand_side_by_side() -> None:
    with pytest.raises(InvalidInputError) as error:
        StrictStream(
            pa.table({"a": [0.5], "b": [1]}), pa.schema([("a", pa.int64()), ("b", pa.int8())])
        ).reader().read_all()
    assert error.value.message.splitlines()[1:] == [
        "  column  table  data",
        "  a       int64  double",
        "  b       int8   int64",
    ]


def test_what_is_no_table_of_rows() -> None:
    with pytest.raises(InvalidInputError, match="list is no table of rows"):
        StrictStream([1, 2])  # type: ignore[arg-type]  # what a caller without mypy may write


def test_a_null_in_a_part_that_may_hold_none_is_refused() -> None:
    part = pa.struct([pa.field("e", pa.int64(), nullable=False)])
    for kind, value in (
        (part, {"e": None}),
        (pa.list_(part), [{"e": 1}, {"e": None}]),
        (pa.map_(pa.string(), part), [("a", {"e": None})]),
        (pa.list_(pa.field("e", pa.int64(), nullable=False)), [1, None]),
    ):
        with pytest.raises(InvalidInputError, match="a part of it may not hold nulls; row 1"):
            cast(pa.array([None, value, None], kind), kind)
        assert cast(pa.array([None, None], kind), kind) == [None, None]


def test_an_empty_text_is_no_partition(tmp_path: Path) -> None:
    table = Table(tmp_path)
    with pytest.raises(InvalidInputError, match=r"Delta reads an empty partition as a null; row 1: ''"):
        table.create(pa.table({"p": ["a", ""], "x": [1, 2]}), partition_by=["p"])
    table.create(pa.table({"p": ["a", None], "x": [1, 2]}), partition_by=["p"])
    for write in (
        lambda: table.append(pa.table({"p": [""], "x": [1]})),
        lambda: table.update({"p": "''"}),
        lambda: table.merge(pa.table({"p": [""], "x": [1]}), on=["x"]),
    ):
        with pytest.raises(InvalidInputError, match="empty partition"):
            write()
    assert table.read().sort_by("x")["p"].to_pylist() == ["a", None]


def test_a_binary_column_does_not_partition(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="partition column 'p' is binary"):
        Table(tmp_path).create(pa.table({"p": [b"a"], "x": [1]}), partition_by=["p"])
    write_deltalake(tmp_path, pa.table({"p": [b"a"], "x": [1]}), partition_by=["p"])
    for write in (lambda: Table(tmp_path).delete("x = 7"), lambda: z_order(Table(tmp_path), ["x"])):
        with pytest.raises(InvalidInputError, match="partition column 'p' is binary"):
            write()


def test_what_else_delta_has_no_type_for() -> None:
    kinds = [pa.decimal32(9, 2), pa.decimal64(18, 4)]
    stored = storable_schema(pa.schema([("a", kinds[0]), ("b", kinds[1])]))
    assert stored.types == [pa.decimal128(9, 2), pa.decimal128(18, 4)]
    for kind in (pa.run_end_encoded(pa.int32(), pa.int64()), pa.list_view(pa.int64())):
        with pytest.raises(InvalidInputError, match="which Delta cannot store"):
            storable_schema(pa.schema([("x", kind)]))
    with pytest.raises(InvalidInputError, match="'a' and 'A' differ only by case"):
        storable_schema(pa.schema([("a", pa.int64()), ("A", pa.int64())]))


def test_a_dictionary_with_a_null_in_it() -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))
    stream = StrictStream(pa.table({"x": values}), pa.schema([pa.field("x", pa.string(), nullable=False)]))
    with pytest.raises(InvalidInputError, match="may not hold nulls; row 1: None"):
        list(stream.batches())


def test_a_moment_that_python_has_no_name_for() -> None:
    with pytest.raises(InvalidInputError, match="a moment beyond the years 1 to 9999"):
        cast(pa.array([2**60], pa.timestamp("us", "UTC")), pa.int64())
