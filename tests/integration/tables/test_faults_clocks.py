"""Clocks that are wrong: commits from the future, in no order, or without a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import NotFoundError
from lakemark.tables.streams import parse_options, read_stream
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import checkpoint
from lakemark.tables.upkeep.vacuum import vacuum

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def set_clock(table: Table, version: int, moment: datetime | None) -> None:
    """Make a commit one of this moment, in what it says and in the file's own time; None takes away what it says."""
    path = Path(table.uri) / "_delta_log" / f"{version:020}.json"
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    when = moment or NOW - 10 * HOUR + version * HOUR
    for action in actions:
        if "commitInfo" in action:
            action["commitInfo"].pop("timestamp", None)
            if moment is not None:
                action["commitInfo"]["timestamp"] = round(when.timestamp() * 1000)
        if "remove" in action:
            action["remove"]["deletionTimestamp"] = round(when.timestamp() * 1000)
        if "add" in action:
            action["add"]["modificationTime"] = round(when.timestamp() * 1000)
    path.write_text("".join(json.dumps(action) + "\n" for action in actions))
    os.utime(path, (when.timestamp(), when.timestamp()))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Five versions, one row more in each, an hour apart from ten hours ago on."""
    made = Table(tmp_path / "t")
    made.create(pa.table({"x": [0]}))
    for number in range(1, 5):
        made.append(pa.table({"x": [number]}))
    for version in range(5):
        set_clock(made, version, NOW - 10 * HOUR + version * HOUR)
    return made


def version_at(table: Table, moment: datetime) -> int:
    return table.open(timestamp=moment).version()


@pytest.mark.parametrize("prepare", [Table.read, checkpoint])
def test_a_clock_that_went_back(table: Table, prepare: Callable[[Table], object]) -> None:
    set_clock(table, 3, NOW - 20 * HOUR)  # between versions of eight and six hours ago
    prepare(table)
    assert [version_at(table, NOW - hours * HOUR) for hours in (10, 9, 8, 7, 6, 1)] == [0, 1, 3, 3, 4, 4]
    with pytest.raises(NotFoundError, match="has no version at"):
        table.open(timestamp=NOW - 19 * HOUR)


def test_commits_from_the_future(table: Table) -> None:
    for version in (3, 4):
        set_clock(table, version, NOW + 30 * HOUR + version * HOUR)
    assert version_at(table, NOW - HOUR) == 2
    with pytest.raises(NotFoundError, match="has no version at"):
        table.open(timestamp=NOW + 40 * HOUR)
    assert table.append(pa.table({"x": [5]})) == 5
    assert version_at(table, datetime.now(UTC)) == 2  # as those after it count as made when that one was
    assert len(table.read()) == 6


def test_a_table_of_which_all_is_from_the_future(table: Table) -> None:
    for version in range(5):
        set_clock(table, version, NOW + 30 * HOUR + version * HOUR)
    with pytest.raises(NotFoundError, match="its log begins at"):
        table.open(timestamp=datetime.now(UTC))
    assert len(table.read(version=2)) == 3


def test_commits_that_say_no_time(table: Table) -> None:
    for version in range(5):
        set_clock(table, version, None)
    assert [version_at(table, NOW - hours * HOUR) for hours in (10, 8, 6)] == [0, 2, 4]


def test_a_stream_begins_where_a_reader_would(table: Table) -> None:
    set_clock(table, 3, NOW - 20 * HOUR)
    start = (NOW - 8 * HOUR - HOUR / 2).isoformat()
    sink = Table(table.uri + "-sink")
    read_stream(table, parse_options({"startingTimestamp": start})).write(sink, name="q").run()
    assert sorted(sink.read()["x"].to_pylist()) == [2, 3, 4]


def test_a_vacuum_deletes_nothing_that_was_removed_in_the_future(table: Table) -> None:
    table.overwrite(pa.table({"x": [9]}))
    set_clock(table, 5, NOW + 30 * HOUR)
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert len(table.read(version=4)) == 5


def test_a_vacuum_leaves_strangers_from_the_future(table: Table) -> None:
    stranger = Path(table.uri) / "part-00000-01234567-0123-0123-0123-0123456789ab-c000.snappy.parquet"
    stranger.write_bytes(b"of a writer whose commit is under way")
    later = (NOW + 30 * HOUR).timestamp()
    os.utime(stranger, (later, later))
    vacuum(table, pins=[], retention_hours=0)
    assert stranger.exists()
