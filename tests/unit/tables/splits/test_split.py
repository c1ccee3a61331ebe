"""Splits of a version: parts, their documents, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lakemark._base.canonical import Json, canonical
from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, StorageError
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.reading import TableReader
from lakemark.tables.splits.split import Boundary, Splits, from_document, split
from lakemark.tables.table import Table

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
ROWS = 500


def make_rows(start: int = 0) -> pa.Table:
    numbers = range(start, start + ROWS)
    return pa.table(
        {
            "id": numbers,
            "customer": [f"customer {number % 50}" for number in numbers],
            "ts": pa.array([number // 5 * 1_000_000 for number in numbers], pa.timestamp("us", "UTC")),
            "x": [number / 7 for number in numbers],
        }
    )


@pytest.fixture
def orders(tmp_path: Path) -> Table:
    table = Table(tmp_path / "orders")
    table.create(make_rows())
    return table


def stored(made: Splits) -> dict[str, Json]:
    document: dict[str, Json] = json.loads(canonical(made.to_document()))
    return document


def test_every_row_is_in_one_part_in_the_order_of_the_table(orders: Table) -> None:
    made = split(orders, SHARES, on="id")
    parts = {name: made.part(name).read_all() for name in made.names}
    assert {name: part.num_rows for name, part in parts.items()} == made.counts
    together = pa.concat_tables(parts.values())
    assert together.sort_by("id") == make_rows()
    for part in parts.values():
        assert part["id"].to_pylist() == sorted(part["id"].to_pylist())
        assert part.schema == make_rows().schema
    assert made.part("test", columns=["x"]).read_all().equals(parts["test"].select(["x"]))
    assert made.assign(parts["valid"]).unique().to_pylist() == ["valid"]


def test_groups_stay_together_and_rows_stay_in_their_part(orders: Table) -> None:
    first = split(orders, SHARES, on="customer", groups=["customer"])
    before = {name: set(first.part(name, columns=["customer"]).read_all()["customer"].to_pylist()) for name in SHARES}
    assert sum(map(len, before.values())) == 50
    orders.append(make_rows(ROWS))
    orders.open().optimize.compact()
    later = split(orders, SHARES, on=["customer"])
    assert later.version == first.version + 2
    assert later.counts == {name: 2 * count for name, count in first.counts.items()}
    after = {name: set(later.part(name, columns=["customer"]).read_all()["customer"].to_pylist()) for name in SHARES}
    assert before == after
    assert first.part("train").read_all().num_rows == first.counts["train"]


def test_a_salt_gives_another_split(orders: Table) -> None:
    one, other = (split(orders, SHARES, on="id", salt=salt) for salt in ("", "again"))
    assert one.part("test").read_all() != other.part("test").read_all()


def test_the_document_gives_the_same_split(orders: Table) -> None:
    for made in (
        split(orders, SHARES, on=["customer", "id"], salt="é", hashes=True),
        split(orders, SHARES, on="ts", by="time"),
        split(orders, {"a": "1970-01-01T00:00:30+00:00", "b": None}, on="ts", by="time"),
    ):
        document = stored(made)
        again = from_document(document)
        assert stored(again) == document
        assert again.part(made.names[-1]).read_all() == made.part(made.names[-1]).read_all()
        assert list(again.counts) == list(made.counts)


def test_the_document(orders: Table) -> None:
    made = split(orders, {"train": 0.75, "test": 0.25}, on="id", hashes=True)
    parts = [
        {
            "name": name,
            "share": share,
            "until": until,
            "rows": made.counts[name],
            "unordered": fingerprint(made.part(name)).unordered,
        }
        for name, share, until in (("train", 0.75, "c000000000000000"), ("test", 0.25, None))
    ]
    assert stored(made) == {
        "format": "lakemark.split/1",
        "table": {"uri": orders.uri, "name": None, "id": str(orders.open().metadata().id), "version": 0},
        "by": "hash",
        "on": ["id"],
        "types": ["int64"],
        "salt": "",
        "rows": ROWS,
        "parts": parts,
    }


def test_another_process_gets_the_same_parts(orders: Table) -> None:
    code = (
        "import sys; from lakemark.tables.splits.split import split; from lakemark.tables.reading import TableReader\n"
        "made = split(TableReader(sys.argv[1]), {'a': 0.5, 'b': 0.5}, on='customer', hashes=True)\n"
        "print(*made.hashes.values())"
    )
    shown = subprocess.run([sys.executable, "-c", code, orders.uri], capture_output=True, text=True, check=True).stdout
    assert shown.split() == list(split(orders, {"a": 0.5, "b": 0.5}, on="customer", hashes=True).hashes.values())


def test_shares_by_time_become_instants_once(orders: Table) -> None:
    made = split(orders, SHARES, on="ts", by="time")
    assert made.counts == {"train": 400, "valid": 50, "test": 50}
    ends = [part["until"] for part in json.loads(canonical(made.to_document()))["parts"]]
    assert ends == ["1970-01-01T00:01:20.000000Z", "1970-01-01T00:01:30.000000Z", None]
    times = {name: made.part(name).read_all()["ts"].to_pylist() for name in SHARES}
    assert max(times["train"]) < min(times["valid"]) <= max(times["valid"]) < min(times["test"])
    orders.append(make_rows(ROWS))
    assert from_document(stored(made)).counts == made.counts


def test_a_row_between_two_parts_by_time_is_in_the_first(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"ts": pa.array([3, 1, 2], pa.timestamp("us"))}))
    assert split(table, {"a": 0.5, "b": 0.5}, on="ts", by="time").counts == {"a": 2, "b": 1}


def test_parts_end_at_instants(orders: Table) -> None:
    ends: dict[str, Boundary] = {
        "a": datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC),
        "b": "1970-01-01T00:00:20Z",
        "c": None,
    }
    assert split(orders, ends, on="ts", by="time").counts == {"a": 50, "b": 50, "c": 400}


TIMES = st.lists(st.integers(-20, 20), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None)
@given(TIMES, st.sampled_from([[0.5, 0.5], [0.8, 0.1, 0.1], [0.25, 0.5, 0.25]]))
def test_no_part_by_time_takes_rows_of_the_next(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], shares: Sequence[float]
) -> None:
    table = Table(tmp_path_factory.mktemp("times") / "t")
    table.create(pa.table({"ts": pa.array(times, pa.timestamp("us"))}))
    try:
        made = split(table, {str(place): share for place, share in enumerate(shares)}, on="ts", by="time")
    except InvalidInputError:  # too few different times
        assert len(set(times)) < len(times) or len(times) < 10
        return
    counts = list(made.counts.values())
    assert all(counts)
    for place in range(1, len(shares)):
        allowed = sum(shares[:place]) * len(times)
        assert sum(counts[:place]) < allowed + 1
        cut = made.assignment.bounds[place - 1]
        assert sum(time < cut for time in times) == sum(counts[:place])
        assert sum(time <= cut for time in times) > allowed - 1e-9


def test_a_split_that_leaks_is_refused(orders: Table) -> None:
    with pytest.raises(LakemarkError, match="50 groups of customer are in train and test, 500 rows; for example"):
        split(orders, {"train": 0.8, "test": 0.2}, on="ts", by="time", groups=["customer"])


@pytest.mark.parametrize(
    ("parts", "arguments", "says"),
    [
        ({"a": 0.5, "b": 0.6}, {"on": "id"}, "0.5, 0.6 are 1.1 together"),
        ({"a": 1.0}, {"on": "id"}, "a split has 2 to 32 parts"),
        ({"a": 0.5, "": 0.5}, {"on": "id"}, "parts with names"),
        ({"a": 0.5, "b": 0.5}, {"on": []}, "must name one column or more"),
        ({"a": 0.5, "b": 0.5}, {"on": ["id", "id"]}, "each once"),
        ({"a": 0.5, "b": 0.5}, {"on": "id", "by": "luck"}, "by='luck' is not one of hash, time"),
        ({"a": 0.5, "b": 0.5}, {"on": ["ts", "id"], "by": "time"}, "by time is by one column"),
        ({"a": 0.5, "b": 0.5}, {"on": "ts", "by": "time", "salt": "x"}, "takes no salt"),
        ({"a": 0.5, "b": 0.5}, {"on": "x", "by": "time"}, "a column of double holds no times"),
        ({"a": "1970-01-01T00:00:00Z", "b": None}, {"on": "id"}, "neither all shares nor, by time, ends"),
        ({"a": "1970-01-01T00:00:00Z", "b": 0.5}, {"on": "ts", "by": "time"}, "neither all shares nor"),
        ({"a": "1970-01-01T00:00:00", "b": None}, {"on": "ts", "by": "time"}, "has no time zone"),
        (
            {"a": "1970-01-02T00:00:00Z", "b": "1970-01-01T00:00:00Z", "c": None},
            {"on": "ts", "by": "time"},
            "do not ascend",
        ),
    ],
)
def test_bad_splits_are_refused(
    orders: Table, parts: dict[str, Boundary], arguments: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        split(orders, parts, **arguments)  # type: ignore[arg-type]  # some are wrong on purpose


def test_what_is_not_there_is_named(orders: Table) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'customer'"):
        split(orders, SHARES, on="custmer")
    made = split(orders, SHARES, on="customer")
    with pytest.raises(NotFoundError, match="no part 'tset', did you mean 'test'"):
        made.part("tset")
    with pytest.raises(NotFoundError, match="no column 'y'"):
        made.part("test", columns=["y"])
    with pytest.raises(NotFoundError, match="has no version 7"):
        split(TableReader(orders.uri, at=7), SHARES, on="id")


def test_a_time_that_is_null_is_in_no_part(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"ts": pa.array([1, None], pa.timestamp("us", "UTC"))}))
    for parts in ({"a": 0.5, "b": 0.5}, {"a": "1970-01-01T00:00:00Z", "b": None}):
        with pytest.raises(InvalidInputError, match="'ts' has 1 nulls"):
            split(table, parts, on="ts", by="time")


def test_a_table_without_rows(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(make_rows().schema.empty_table())
    made = split(table, SHARES, on="id")
    assert made.counts == {"train": 0, "valid": 0, "test": 0}
    assert made.part("train").read_all().schema == make_rows().schema
    with pytest.raises(InvalidInputError, match="too few different times"):
        split(table, SHARES, on="ts", by="time")


def test_a_document_of_another_table_is_refused(orders: Table, tmp_path: Path) -> None:
    document = stored(split(orders, SHARES, on="id"))
    copy = tmp_path / "copy"
    write_deltalake(str(copy), make_rows())
    with pytest.raises(ConflictError, match="is not the table that was split"):
        from_document(document, table=TableReader(copy))
    Path(orders.uri).rename(tmp_path / "moved")
    assert from_document(document, table=TableReader(tmp_path / "moved")).table.uri == str(tmp_path / "moved")
    with pytest.raises(NotFoundError, match="no Delta table"):
        from_document(document)


def test_a_document_whose_counts_are_wrong_is_refused(orders: Table) -> None:
    document = stored(split(orders, {"a": 0.5, "b": 0.5}, on="id"))
    parts = document["parts"]
    assert isinstance(parts, list)
    parts[0]["until"] = "7000000000000000"
    with pytest.raises(StorageError, match=r"part 'a' of .*@0 has 2[0-9]* rows, it had 2"):
        from_document(document)


@pytest.mark.parametrize("document", [{}, {"format": "lakemark.split/2"}, {"format": "lakemark.split/1", "by": "hash"}])
def test_what_is_no_document_is_refused(document: dict[str, Json]) -> None:
    with pytest.raises(InvalidInputError, match=r"document of format"):
        from_document(document)


def test_a_part_comes_in_the_order_that_the_table_declares(orders: Table) -> None:
    orders.set_properties({"lakemark.orderBy": "customer, id"})
    made = split(orders, {"train": 0.8, "test": 0.2}, on="id")
    rows = made.part("test").read_all()
    assert rows.num_rows == made.counts["test"]
    keys = list(zip(rows["customer"].to_pylist(), rows["id"].to_pylist(), strict=True))
    assert keys == sorted(keys)
