"""Evaluation frames come back as they were."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from lakemark._base.errors import InvalidInputError
from lakemark.models.frames import head, keep, load, row_hashes, size_of, sniff

sp = pytest.importorskip("scipy.sparse")  # scipy has no type stubs here


def _pandas() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "int8": np.array([1, -2, 3], "i1"),
            "uint64": np.array([1, 2, 2**63 + 1], "u8"),
            "float32": np.array([1.5, np.nan, -0.0], "f4"),
            "float64": [0.1, np.inf, np.nan],
            "bool": [True, False, True],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "text": ["a", None, "ü"],
            "category": pd.Categorical(["b", "a", None], categories=["b", "unused", "a"]),
            "ordered": pd.Categorical([2, 1, 2], categories=[2, 1], ordered=True),
            "time": pd.to_datetime(pd.Series(["2013-01-01", "2013-01-02", None], index=[7, 3, 5])),
            "zoned": pd.date_range("2013-01-01", periods=3, tz="America/New_York"),
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "object": np.array(["x", "y", "z"], object),
        },
        index=[7, 3, 5],
    )


def test_a_pandas_frame_round_trips_with_all_types() -> None:
    frame = _pandas()
    kept = keep(frame)

    assert kept.format == "arrow"
    again = load(*kept)
    assert isinstance(again, pd.DataFrame)
    assert_frame_equal(again, frame, check_exact=True, check_freq=False)
    assert list(again["category"].cat.categories) == ["b", "unused", "a"]
    assert again.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 4.0]}),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
        pd.DataFrame(np.ones((2, 2)), columns=["same", "same"]),
        pd.DataFrame({"mixed": np.array([1, "a"], object)}),
        pd.DataFrame({"none": np.array(["a", None], object)}),
        pd.DataFrame({"nan": np.array(["a", np.nan], object)}),
        pd.DataFrame({"lists": [[1], [2, 3]]}),
        pd.DataFrame({"interval": pd.cut([1.0, 2.0], 2)}),
        pd.DataFrame({"a": pd.array([0, 0, 1], dtype=pd.SparseDtype(int))}),
        pd.DataFrame({("a", "b"): [1], ("a", "c"): [2]}),
        pd.DataFrame({"a": []}),
        pd.DataFrame({"old text": pd.array(["x", None], dtype="string[python]")}),
        pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype=object)),
        pd.DataFrame([[1, 2]], columns=[0, "b"]),
        pd.DataFrame({"a": [1]}, index=pd.Index(["x"], dtype=object)),
        pd.DataFrame({"period": pd.period_range("2013", periods=2, freq="M")}),
        pd.DataFrame({"bytes": pd.Categorical([1, 2], categories=pd.Index([1, 2], dtype="int8"))}),
        pd.DataFrame(index=[1, 2]),
    ],
)
def test_odd_pandas_frames_round_trip_one_way_or_the_other(frame: pd.DataFrame) -> None:
    kept = keep(frame)
    again = load(*kept)

    assert isinstance(again, pd.DataFrame)
    assert_frame_equal(again, frame, check_exact=True)
    assert sniff(kept.data) == kept.format


@pytest.mark.parametrize("absent", [np.nan, None])
def test_none_stays_none_and_nan_stays_nan(absent: float | None) -> None:
    frame = pd.DataFrame({"text": pd.Series(["x"] * 150 + [absent], dtype=object)})
    again = load(*keep(frame))

    assert isinstance(again, pd.DataFrame)
    assert type(again["text"].to_numpy()[-1]) is type(absent)


@pytest.mark.parametrize("name", ["text", None])
def test_a_series_round_trips(name: str | None) -> None:
    series = pd.Series(["some text", "more"], name=name, index=[4, 2])
    again = load(*keep(series))

    assert isinstance(again, pd.Series)
    assert_series_equal(again, series)


def test_a_polars_frame_round_trips() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [0.5, float("nan")]}).with_columns(
        pl.col("b").cast(pl.Categorical).alias("d"), pl.col("b").cast(pl.Enum(["y", "x"])).alias("e")
    )
    kept = keep(frame)
    again = load(*kept)

    assert kept.format == "arrow"
    assert isinstance(again, pl.DataFrame)
    assert again.equals(frame)
    assert again.schema == frame.schema


def test_arrays_lists_and_sparse_matrices_round_trip() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    kept = keep(array)
    assert kept.format == sniff(kept.data) == "npy"
    again = load(*kept)
    assert isinstance(again, np.ndarray)
    assert np.array_equal(again, array)

    assert load(*keep(["a text", "another"])) == ["a text", "another"]
    matrix = load(*keep(sp.csr_matrix(np.eye(3))))
    assert isinstance(matrix, sp.csr_matrix)
    assert np.array_equal(matrix.toarray(), np.eye(3))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="frame format 'parquet' is not known"):
        load("parquet", b"")


def test_the_first_rows_are_a_copy() -> None:
    array, frame = np.zeros((5, 2)), pd.DataFrame({"a": range(5)})
    part = cast("np.ndarray[tuple[int, int], np.dtype[np.float64]]", head(array, 2))
    part[:] = 1.0
    assert array.sum() == 0
    assert len(cast("pd.DataFrame", head(frame, 3))) == 3
    assert head(["a", "b", "c"], 2) == ["a", "b"]
    assert cast("pl.DataFrame", head(pl.DataFrame({"a": [1, 2, 3]}), 2)).height == 2


def test_sizes_are_near_the_bytes() -> None:
    assert size_of(np.zeros((10, 2))) == 160
    assert size_of(pd.DataFrame({"a": np.zeros(1_000)})) >= 8_000
    assert size_of(sp.csr_matrix(np.eye(10))) == 80
    assert size_of(["a"]) == 0


def test_rows_hash_by_content_and_label() -> None:
    frame, labels = pd.DataFrame({"a": [1.0, 2.0, 1.0], "b": ["x", "y", "x"]}), np.array([0, 1, 0])
    hashes = row_hashes(frame, labels)

    assert hashes is not None
    assert hashes.dtype == np.uint64
    assert hashes[0] == hashes[2] != hashes[1]
    flipped = row_hashes(frame, np.array([0, 1, 1]))
    assert flipped is not None
    assert flipped[0] == hashes[0]
    assert flipped[2] != hashes[2]
    shuffled = row_hashes(frame.iloc[[1, 0]], labels[[1, 0]])
    assert shuffled is not None
    assert shuffled.tolist() == [hashes[1], hashes[0]]


def test_arrays_have_rows_and_lists_have_none() -> None:
    hashes = row_hashes(np.eye(3), None)

    assert hashes is not None
    assert len(set(hashes.tolist())) == 3
    assert row_hashes(["a"], None) is None
    assert row_hashes(sp.csr_matrix(np.eye(3)), None) is None
