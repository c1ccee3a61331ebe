from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.reads.ordering import ordered
from lakemark.tables.table import Table


def test_ties_keep_the_order_in_which_they_came() -> None:
    keys = np.random.default_rng(1).integers(0, 50, 300_000)
    rows = pa.table({"key": keys, "place": np.arange(len(keys))})
    found = ordered(rows.to_reader(10_000), ["key"], columns=["place", "key"]).read_all()
    assert found["place"].to_numpy().tolist() == np.argsort(keys, kind="stable").tolist()
    assert found.column_names == ["place", "key"]


def test_null_and_nan_are_last_and_types_stay() -> None:
    rows = pa.table(
        {
            "x": [math.nan, None, 1.0, -math.inf, math.inf],
            "s": pa.array(["é", "z", None, "a", ""]),
            "t": pa.array([5, 4, 3, 2, None], pa.timestamp("us", "UTC")),
            "d": pa.array([1, 2, 3, 4, 5], pa.int32()).cast(pa.decimal128(12, 2)),
            "n": pa.array([[1], None, [], [2], [3]], pa.list_(pa.int16())),
        }
    )
    found = ordered(rows.to_reader(), ["x"], columns=rows.column_names).read_all()
    assert found.schema == rows.schema
    assert str(found.to_pylist()) == str(rows.take([3, 2, 4, 0, 1]).to_pylist())
    assert ordered(rows.to_reader(), ["s"], columns=["s"]).read_all()["s"].to_pylist() == ["", "a", "z", "é", None]
    with pytest.raises(InvalidInputError, match="'n' cannot be a key"):
        ordered(rows.to_reader(), ["n"], columns=["x"])


def test_a_table_may_declare_its_order(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"day": [3, 1], "shop": ["x", "y"]}))
    table.append(pa.table({"day": [2, 1], "shop": ["z", "w"]}))
    assert table.read(order_by=["day"], columns=["shop"])["shop"].to_pylist() == ["y", "w", "z", "x"]
    table.open().alter.set_table_properties({"lakemark.orderBy": "day, shop"}, raise_if_not_exists=False)
    assert table.read()["shop"].to_pylist() == ["w", "y", "z", "x"]
    assert table.read(order_by=[])["shop"].to_pylist() == ["x", "y", "z", "w"]
    assert table.head(1).rows["shop"].to_pylist() == ["w"]
    with pytest.raises(NotFoundError, match="'dya', did you mean 'day'"):
        table.read(order_by=["dya"])
