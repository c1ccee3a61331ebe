"""The rule of a split: the same part for the same key, for ever, everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.splits.assignment import Assignment, Method, hash_bounds, instant, microseconds

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
RULE = Assignment(Method.HASH, ("id",), ("int64",), ("train", "valid", "test"), hash_bounds([0.8, 0.1, 0.1]))
BY_TIME = Assignment(Method.TIME, ("ts",), ("timestamp utc",), ("a", "b"), (1_000_000,))


def mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def part_of(number: int, salt: str) -> str:
    """Return the part of an integer key, by the definition in docs/guides/splits.md."""
    row = mix(mix((number + GOLDEN) & MASK))
    word = int.from_bytes(hashlib.sha256(f"lakemark.split/1\n{salt}".encode()).digest()[:8], "little")
    found = mix(row ^ word)
    return "train" if found < 0.8 * 2**64 else "valid" if found < 0.9 * 2**64 else "test"


@pytest.mark.parametrize("salt", ["", "é"])
def test_the_definition(salt: str) -> None:
    keys = [*range(-50, 50), 2**63 - 1, -(2**63)]
    rule = replace(RULE, salt=salt)
    assert rule.assign(pa.table({"id": keys})).to_pylist() == [part_of(key, salt) for key in keys]


def test_golden_values() -> None:
    letters = {"train": "r", "valid": "v", "test": "t"}
    numbers = "".join(letters[name] for name in RULE.assign(pa.table({"id": range(40)})).to_pylist())
    assert numbers == "rrtrrvrtrrrrrrrrrrrrtrrrrrrrrrrrrrrrrrrr"
    texts = replace(RULE, columns=("a", "b"), types=("string", "timestamp utc"), salt="q3")
    moment = pa.array(range(40), pa.timestamp("s", "UTC"))
    names = texts.assign(pa.table({"a": [f"customer {n}" for n in range(39)] + [None], "b": moment})).to_pylist()
    assert "".join(letters[name] for name in names) == "rvrrrrrrvrrtrrrtrrrvrrrrrrrrrrrrrrrrrrrr"


def test_parts_have_their_shares() -> None:
    counts = np.bincount(RULE.places(pa.table({"id": range(100_000)})))
    assert np.abs(counts / 100_000 - [0.8, 0.1, 0.1]).max() < 0.005
    other = np.bincount(replace(RULE, salt="x").places(pa.table({"id": range(100_000)})))
    assert np.abs(other / 100_000 - [0.8, 0.1, 0.1]).max() < 0.005
    assert counts.tolist() != other.tolist()


@pytest.mark.parametrize(
    "frame",
    [
        pa.table({"other": ["x"] * 4, "id": pa.array([1, 2, 10, 33], pa.int8())}),
        pa.table({"id": pa.array([1, 2, 10, 33], pa.int32()).dictionary_encode()}),
        pa.table({"id": pa.chunked_array([[1, 2], [10, 33]])}),
        pa.record_batch({"id": [1, 2, 10, 33]}),
        pd.DataFrame({"id": [1, 2, 10, 33]}, index=[5, 6, 7, 8]),
        pd.DataFrame({"id": [1.0, 2.0, 10.0, 33.0]}),
        pl.DataFrame({"id": [1, 2, 10, 33]}),
    ],
)
def test_width_and_kind_of_frame_do_not_matter(frame: object) -> None:
    assert RULE.assign(frame).to_pylist() == [part_of(key, "") for key in (1, 2, 10, 33)]


def test_a_null_key_has_a_part_too() -> None:
    found = RULE.assign(pa.table({"id": pa.array([None, None], pa.int64())})).to_pylist()
    assert found == RULE.assign(pa.table({"id": pa.nulls(2)})).to_pylist()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("frame", "kind", "says"),
    [
        (pa.table({"id": ["1"]}), InvalidInputError, "'id' is of type string, the split was made by one of type int64"),
        (pa.table({"id": [1.5]}), InvalidInputError, "'id': "),
        (pa.table({"ids": [1]}), NotFoundError, "no column 'id', did you mean 'ids'"),
        ([1, 2], InvalidInputError, "a list is not a table"),
    ],
)
def test_keys_of_another_kind_are_refused(frame: object, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        RULE.assign(frame)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_part_ends_before_its_instant(unit: str) -> None:
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([-second, 0, second - 1, second, second + 1], pa.timestamp(unit, "Europe/Berlin"))
    assert BY_TIME.assign(pa.table({"ts": times})).to_pylist() == ["a", "a", "a", "b", "b"]


def test_nanoseconds_before_an_instant_are_before_it() -> None:
    times = pa.array([-1, 0, 1], pa.timestamp("ns", "UTC"))
    assert replace(BY_TIME, bounds=(0,)).assign(pa.table({"ts": times})).to_pylist() == ["a", "b", "b"]


def test_times_without_a_zone_and_dates() -> None:
    plain = replace(BY_TIME, types=("timestamp",))
    assert plain.assign(pd.DataFrame({"ts": [pd.Timestamp(0), pd.Timestamp(1, unit="s")]})).to_pylist() == ["a", "b"]
    days = replace(BY_TIME, types=("date",))
    assert days.assign(pa.table({"ts": [date(1970, 1, 1), date(1970, 1, 2)]})).to_pylist() == ["a", "b"]
    with pytest.raises(InvalidInputError, match="of type timestamp, the split was made by one of type timestamp utc"):
        BY_TIME.assign(pa.table({"ts": pa.array([0], pa.timestamp("us"))}))
    with pytest.raises(InvalidInputError, match="'ts' has 1 nulls"):
        BY_TIME.assign(pa.table({"ts": pa.array([None, 1], pa.timestamp("us", "UTC"))}))
    with pytest.raises(InvalidInputError, match="a column of int64 holds no times"):
        replace(BY_TIME, types=("int64",)).assign(pa.table({"ts": [1]}))


def test_shares_are_decimal_numbers() -> None:
    assert hash_bounds([0.1] * 10)[0] == 2**64 // 10
    assert hash_bounds([0.5, 0.5, 1e-10])[1] == 2**64 - 1
    assert hash_bounds([1 / 3, 1 / 3, 1 / 3])[1] == pytest.approx(2**65 / 3)
    for shares in ([0.5, 0.6], [1.0, 0.0], [1.5, -0.5], [0.5, float("nan")], [0.5]):
        with pytest.raises(InvalidInputError, match="must be above 0, and all together 1"):
            hash_bounds(shares)


def test_instants() -> None:
    moment = datetime(2013, 6, 24, 2, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    found = int(microseconds(moment)[0])
    assert instant(found) == "2013-06-24T00:00:00.000001Z"
    assert microseconds(instant(found)).tolist() == [found]
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)).tolist() == [-1_000_000]
    for text, says in (("2013-06-24T00:00:00", "has no time zone"), ("soon", "is no instant")):
        with pytest.raises(InvalidInputError, match=says):
            microseconds(text)
