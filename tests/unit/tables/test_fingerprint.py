"""`lmfp1`: what changes a fingerprint, what does not, and that it is what its page says."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lakemark._base.canonical import canonical
from lakemark._base.errors import InvalidInputError
from lakemark.tables.cells import type_name
from lakemark.tables.fingerprint import fingerprint, fingerprint_frame, row_hashes

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "fingerprints.md"
MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(),
        st.none() | st.text(max_size=40) | st.text(min_size=120, max_size=140),
        st.none() | st.booleans(),
        st.none() | st.lists(st.none() | st.integers(-100, 100), max_size=4),
    ),
    min_size=1,
    max_size=30,
)
KINDS = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int64()))


def table_of(values: Sequence[Sequence[object]]) -> pa.Table:
    columns = [pa.array([row[place] for row in values], kind) for place, kind in enumerate(KINDS)]
    return pa.Table.from_arrays(columns, names=["int", "float", "text", "flag", "list"])


def mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def cell(value: Any) -> int:
    """One value's word, straight from the page, one value at a time."""
    if value is None:
        return int.from_bytes(hashlib.sha256(b"lmfp1 null").digest()[:8], "little")
    if isinstance(value, int):
        return value & MASK
    if isinstance(value, float):
        number = math.nan if math.isnan(value) else value + 0.0
        return int(struct.unpack("<Q", struct.pack("<d", number))[0])
    if isinstance(value, list):
        total = sum(mix((cell(item) + (place + 1) * GOLDEN) & MASK) for place, item in enumerate(value))
        return mix((total + len(value)) & MASK)
    data: bytes = value.encode()
    if len(data) > 128:
        return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
    word = (len(data) * GOLDEN) & MASK
    for start in range(0, max(len(data), 1), 8):
        word = mix(word ^ int.from_bytes(data[start : start + 8], "little"))
    return word


def slow_row_hash(row: Sequence[object]) -> int:
    return mix(sum(mix((cell(value) + (place + 1) * GOLDEN) & MASK) for place, value in enumerate(row)) & MASK)


def slow_fingerprint(table: pa.Table) -> tuple[str, str]:
    hashes = [slow_row_hash(list(row.values())) for row in table.to_pylist()]
    placed = [mix((word + (place + 1) * GOLDEN) & MASK) for place, word in enumerate(hashes)]
    header = canonical([[field.name, type_name(field.type)] for field in table.schema])
    digests = []
    for kind, words in (("ordered", placed), ("unordered", hashes)):
        xor = 0
        for word in words:
            xor ^= word
        numbers = b"".join(number.to_bytes(8, "little") for number in (len(words), sum(words) & MASK, xor))
        digests.append(hashlib.sha256(f"lmfp1 {kind}\n".encode() + header + b"\n" + numbers).hexdigest())
    return digests[0], digests[1]


@settings(max_examples=50)
@given(rows)
def test_it_is_what_the_page_says(values: list[tuple[object, ...]]) -> None:
    table = table_of(values)
    found = fingerprint(table)
    assert (found.ordered, found.unordered) == slow_fingerprint(table)
    assert row_hashes(table).tolist() == [slow_row_hash(row) for row in values]


@settings(max_examples=50)
@given(rows, st.randoms(use_true_random=False))
def test_shuffling_changes_only_the_ordered_hash(values: list[tuple[object, ...]], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    before, after = fingerprint(table_of(values)), fingerprint(table_of(shuffled))
    assert before.unordered == after.unordered
    same = row_hashes(table_of(values)).tolist() == row_hashes(table_of(shuffled)).tolist()
    assert (before.ordered == after.ordered) == same


@settings(max_examples=50)
@given(rows, st.lists(st.integers(0, 30), max_size=4))
def test_chunks_and_batches_do_not_matter(values: list[tuple[object, ...]], cuts: list[int]) -> None:
    table = table_of(values)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    pieces = [table.slice(start, end - start) for start, end in itertools.pairwise(edges)]
    joined = pa.concat_tables(pieces)
    assert fingerprint(joined) == fingerprint(table)
    assert fingerprint(joined.to_reader(max_chunksize=3)) == fingerprint(table)


@settings(max_examples=50)
@given(rows)
def test_layouts_of_text_do_not_matter(values: list[tuple[object, ...]]) -> None:
    plain = table_of(values).select(["text"])
    for column in (
        plain["text"].cast(pa.large_string()),
        plain["text"].cast(pa.string_view()),
        plain["text"].dictionary_encode(),
        pa.chunked_array([pa.array([*plain["text"].to_pylist(), "x"]).dictionary_encode().slice(0, len(plain))]),
    ):
        assert fingerprint(pa.table({"text": column})) == fingerprint(plain)


@settings(max_examples=50)
@given(rows, st.data())
def test_one_other_value_changes_both(values: list[tuple[object, ...]], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(values) - 1))
    place = data.draw(st.integers(0, 4))
    other = data.draw(rows)[0][place]
    assume(cell(other) != cell(values[row][place]))
    changed = [list(one) for one in values]
    changed[row][place] = other
    before, after = fingerprint(table_of(values)), fingerprint(table_of(changed))
    assert before.ordered != after.ordered
    assert before.unordered != after.unordered


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.text(max_size=3)), max_size=8), st.integers(0, 3))
def test_parts_of_structs_and_maps(values: list[tuple[int, str | None]], start: int) -> None:
    kind = pa.struct([("a", pa.int64()), ("b", pa.string())])
    items: list[object] = [None if number == 0 else {"a": number, "b": text} for number, text in values]
    whole = pa.table({"s": pa.array(items, kind), "l": pa.array([[item] for item in items], pa.list_(kind))})
    copied = pa.table({"s": pa.array(items[start:], kind), "l": pa.array([[i] for i in items[start:]], pa.list_(kind))})
    assert fingerprint(whole.slice(start)) == fingerprint(copied)


def test_a_map_is_a_list_of_its_entries() -> None:
    entries = [[("a", 1), ("b", None)], None, []]
    mapped = pa.table({"m": pa.array(entries, pa.map_(pa.string(), pa.int64()))})
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))
    listed = pa.array([[{"key": key, "value": value} for key, value in row] if row else row for row in entries], kind)
    assert fingerprint(mapped) == fingerprint(pa.table({"m": listed}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([math.nan]), pa.array(np.array([0xFFF8000000000001], np.uint64).view(np.float64))),
        (pa.array([1_500], pa.timestamp("ms", "UTC")), pa.array([1_500_000], pa.timestamp("us", "Asia/Tokyo"))),
        (pa.array([1_500_000_000], pa.timestamp("ns")), pa.array([1_500], pa.timestamp("ms"))),
        (pa.array([86_400_000], pa.date64()), pa.array([1], pa.date32())),
        (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), pa.array([[1, 2]], pa.large_list(pa.int64()))),
        (pa.array([b"ab"], pa.binary(2)), pa.array([b"ab"], pa.large_binary())),
        (pa.array([1, 1, None]), pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([1, None]))),
    ],
)
def test_spellings_of_one_value_are_equal(one: pa.Array, other: pa.Array) -> None:
    assert fingerprint(pa.table({"x": one})) == fingerprint(pa.table({"x": other}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1], pa.int32()), pa.array([1], pa.int64())),
        (pa.array([1.0], pa.float32()), pa.array([1.0], pa.float64())),
        (pa.array([1]), pa.array([1.0])),
        (pa.array(["1"]), pa.array([b"1"])),
        (pa.array([None, 1.0]), pa.array([math.nan, 1.0])),
        (pa.array([None, ""]), pa.array(["", ""])),
        (pa.array(["a\0"]), pa.array(["a"])),
        (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC"))),
        (pa.array([1], pa.timestamp("ns")), pa.array([0], pa.timestamp("ns"))),
        (pa.array([[1], []]), pa.array([[], [1]])),
        (pa.array([[1, 2]]), pa.array([[2, 1]])),
        (pa.array([[None]], pa.list_(pa.int64())), pa.array([[]], pa.list_(pa.int64()))),
        (pa.array([{"a": 1}]), pa.array([{"b": 1}])),
        (pa.array([{"a": 1, "b": 2}]), pa.array([{"a": 2, "b": 1}])),
    ],
)
def test_what_differs_is_different(one: pa.Array, other: pa.Array) -> None:
    before, after = fingerprint(pa.table({"x": one})), fingerprint(pa.table({"x": other}))
    assert before.ordered != after.ordered
    if one.to_pylist() != [[1], []]:
        assert before.unordered != after.unordered


def test_columns_count_by_name_and_place() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    assert fingerprint(table) != fingerprint(table.rename_columns(["a", "c"]))
    assert fingerprint(table) != fingerprint(table.select(["b", "a"]))
    assert fingerprint(table) != fingerprint(pa.table({"a": [3, 4], "b": [1, 2]}))


def test_row_hashes_see_neither_width_nor_name() -> None:
    narrow = pa.table({"x": pa.array([1, -2], pa.int8()), "f": pa.array([0.5, 2], pa.float32())})
    wide = pa.table({"y": pa.array([1, -2], pa.int64()), "g": pa.array([0.5, 2], pa.float64())})
    assert row_hashes(narrow).tolist() == row_hashes(wide).tolist()


def test_more_rows_than_a_piece() -> None:
    table = pa.table({"x": np.arange(100_000)})
    assert fingerprint(table) == fingerprint(table.to_reader(max_chunksize=70_001))
    assert len(row_hashes(table)) == len(set(row_hashes(table).tolist())) == 100_000


def test_no_rows_and_no_columns() -> None:
    assert fingerprint(pa.table({"x": pa.array([], pa.int64())})).rows == 0
    assert fingerprint(pa.table({})) == fingerprint_frame(pd.DataFrame())
    assert row_hashes(pa.table({"x": pa.array([], pa.string())})).tolist() == []


@pytest.mark.parametrize("kind", [pa.month_day_nano_interval(), pa.list_(pa.month_day_nano_interval())])
def test_a_type_without_definition_is_named(kind: pa.DataType) -> None:
    values = [pa.MonthDayNano([1, 2, 3])]
    table = pa.table({"when": pa.array([values] if pa.types.is_list(kind) else values, kind)})
    with pytest.raises(InvalidInputError, match="column 'when': type month_day_nano_interval has no fingerprint"):
        fingerprint(table)


def test_frames_of_all_libraries_agree() -> None:
    table = pa.table({"i": [1, 2, 3], "f": [1.5, None, -2.0], "s": ["a", None, "c"]})
    assert fingerprint_frame(table) == fingerprint(table)
    assert fingerprint_frame(table.to_pandas()) == fingerprint(table)
    assert fingerprint_frame(pl.DataFrame(table)) == fingerprint(table)
    assert fingerprint_frame(table.to_batches()[0]) == fingerprint(table)
    assert fingerprint_frame(table.to_reader()) == fingerprint(table)


def test_a_categorical_column_is_its_values() -> None:
    plain = pd.DataFrame({"c": ["a", "b", "a"]})
    assert fingerprint_frame(plain.astype("category")) == fingerprint_frame(plain)


def test_the_index_counts_if_it_says_something() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]})
    assert fingerprint_frame(frame[frame["x"] > 1]) == fingerprint(pa.table({"x": [2, 3]}))
    assert fingerprint_frame(frame.set_index(pd.Index([7, 8, 9], name="day"))) != fingerprint_frame(frame)
    assert fingerprint_frame(frame.set_index(pd.Index(["a", "b", "c"]))) != fingerprint_frame(frame)


def test_two_columns_of_one_name() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"])
    assert fingerprint_frame(frame) != fingerprint_frame(pd.DataFrame([[1, 2], [3, 5]], columns=["x", "x"]))


def test_arrays() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert fingerprint_frame(matrix) == fingerprint_frame(np.asfortranarray(matrix))
    assert fingerprint_frame(matrix) != fingerprint_frame(matrix.T)
    assert fingerprint_frame(np.array([1, 2])) == fingerprint(pa.table({"0": [1, 2]}))
    assert fingerprint_frame(np.zeros((0, 3))).rows == 0
    assert fingerprint_frame(np.zeros((4, 2, 3))).rows == 4
    structured = np.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")])
    assert fingerprint_frame(structured) == fingerprint(pa.table({"a": [1], "b": [2.0]}))


@pytest.mark.parametrize("value", [pd.DataFrame({"x": [1, "a"]}), "no table", [1, 2], np.array([1j])])
def test_what_is_no_table_is_refused(value: object) -> None:
    with pytest.raises(InvalidInputError, match=r"table|Arrow"):
        fingerprint_frame(value)


def test_vectors_of_the_page() -> None:
    block = re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    vectors = json.loads(block[1])
    kinds = {str(kind): kind for kind in (*KINDS, pa.int32(), pa.timestamp("us", "UTC"))}
    for vector in vectors:
        columns = [
            pa.array([math.nan if value == "NaN" else value for value in column["values"]], kinds[column["type"]])
            for column in vector["columns"]
        ]
        table = pa.Table.from_arrays(columns, names=[column["name"] for column in vector["columns"]])
        found = fingerprint(table)
        assert [f"{word:016x}" for word in row_hashes(table).tolist()] == vector["row_hashes"]
        assert (found.rows, found.ordered, found.unordered) == (
            vector["rows"],
            vector["ordered"],
            vector["unordered"],
        )
    assert len(vectors) >= 4
