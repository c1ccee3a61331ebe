from __future__ import annotations

import sys
from collections.abc import Callable

import polars as pl
import pytest

from lakemark._base.errors import MissingExtraError
from lakemark.tables.table import Table


def test_pandas(table: Table) -> None:
    assert table.to_pandas(version=0, columns=["day"])["day"].tolist() == [1, 2]
    assert table.to_pandas(where="day = 3").shape == (1, 3)


def test_polars_reads_when_it_is_collected_and_only_what_it_needs(table: Table) -> None:
    lazy = table.to_polars(order_by=["day"])
    table.append(table.read())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect()["day"].to_list() == [1, 2, 3]
    assert lazy.select("shop").collect().columns == ["shop"]
    assert lazy.filter(pl.col("day") > 1).select("shop").collect(engine="streaming")["shop"].to_list() == ["c/d", "é"]
    assert lazy.head(1).collect()["day"].to_list() == [1]
    assert table.to_polars(columns=["amount", "day"], where="day < 3", version=1).collect().shape == (2, 2)


def test_polars_gets_what_it_cannot_read_itself(deletion_table: Callable[..., Table]) -> None:
    frame = deletion_table("u").to_polars().collect()
    assert frame["x"].to_list() == [0, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_missing_library_is_named(table: Table, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"{name} is not installed"):
        getattr(table, f"to_{name}")()
