"""What a plan has, by offset, limits and options; rows are read to see that the files are the right ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.tables.streams.offsets import Offset
from lakemark.tables.streams.options import StreamOptions
from lakemark.tables.streams.plans import Limits, Plan
from lakemark.tables.streams.source import Source
from lakemark.tables.table import Table

if TYPE_CHECKING:
    from tests.unit.tables.conftest import MakeTable

FROM_ZERO = StreamOptions(starting_version=0)


def plans(table: Table, options: StreamOptions, limits: Limits = Limits()) -> Iterator[Plan]:  # noqa: B008 -- frozen
    """Yield the batches up to the latest version."""
    source = Source(table, options)
    offset = source.start()
    while (plan := source.plan(offset, limits)).end != offset:
        yield plan
        offset = plan.end


def numbers(plan: Plan) -> list[int]:
    found: list[int] = plan.reader().read_all()["x"].to_pylist()
    return found


def rows(table: Table, options: StreamOptions, limits: Limits = Limits()) -> list[list[int]]:  # noqa: B008 -- frozen
    return [numbers(plan) for plan in plans(table, options, limits)]


def log(table: Table, version: int) -> Path:
    return Path(table.uri) / "_delta_log" / f"{version:020}.json"


def test_the_rows_that_are_there_come_first_then_commits(source: Table) -> None:
    found = plans(source, StreamOptions())
    first = next(found)
    assert (first.start.initial, first.start.version, first.files, first.versions) == (True, 4, 5, (4, 4))
    assert numbers(first) == [0, 1, 2, 3, 4]
    assert (first.end.initial, first.end.version, first.end.index) == (False, 5, 0)
    source.append(pa.table({"x": [5]}))
    follower = Source(source, StreamOptions())
    plan = follower.plan(first.end, Limits())
    assert (numbers(plan), plan.versions, plan.end.version) == ([5], (5, 5), 6)
    assert follower.plan(plan.end, Limits()).end == plan.end


def test_starting_version_is_inclusive(source: Table) -> None:
    assert rows(source, FROM_ZERO) == [[0, 1, 2, 3, 4]]
    assert rows(source, StreamOptions(starting_version=3)) == [[3, 4]]
    assert rows(source, StreamOptions(starting_version=5)) == []
    assert rows(source, StreamOptions(starting_version="latest")) == []
    with pytest.raises(NotFoundError, match="has no version 6 to start at: its latest is 4"):
        rows(source, StreamOptions(starting_version=6))


def test_starting_timestamp_is_inclusive(source: Table) -> None:
    times = [record.timestamp_ms for record in reversed(source.history())]
    moment = datetime.fromtimestamp(times[2] / 1000, tz=UTC)
    first = next(number for number, time in enumerate(times) if time >= times[2])
    assert rows(source, StreamOptions(starting_timestamp=moment)) == [list(range(first, 5))]
    assert rows(source, StreamOptions(starting_timestamp="1999-01-01T00:00:00Z")) == [[0, 1, 2, 3, 4]]
    assert rows(source, StreamOptions(starting_timestamp=datetime.now(tz=UTC))) == []
    with pytest.raises(NotFoundError, match="in the future"):
        rows(source, StreamOptions(starting_timestamp="2999-01-01T00:00:00Z"))


def test_a_time_before_a_cleaned_log_is_refused(cleaned: tuple[Table, list[bytes]]) -> None:
    with pytest.raises(NotFoundError, match="its log begins there"):
        rows(cleaned[0], StreamOptions(starting_timestamp="1999-01-01T00:00:00Z"))


@pytest.mark.parametrize("options", [StreamOptions(), FROM_ZERO])
def test_limits_in_files_and_bytes(source: Table, options: StreamOptions) -> None:
    assert rows(source, options, Limits(files=2)) == [[0, 1], [2, 3], [4]]
    size = source.manifest().entries[0].size
    assert rows(source, options, Limits(bytes=2 * size)) == [[0, 1], [2, 3], [4]]
    assert rows(source, options, Limits(bytes=2 * size + 1)) == [[0, 1, 2], [3, 4]]
    assert rows(source, options, Limits(bytes=1)) == [[0], [1], [2], [3], [4]]
    assert rows(source, options, Limits(files=1, bytes=100 * size)) == [[0], [1], [2], [3], [4]]


def test_a_limit_splits_one_commit(tmp_path: Path) -> None:
    table = Table(tmp_path / "parts")
    table.create(pa.table({"x": [0], "p": ["a"]}), partition_by=["p"])
    table.append(pa.table({"x": [1, 2, 3], "p": ["a", "b", None]}))
    source, limits = Source(table, FROM_ZERO), Limits(files=2)
    one = source.plan(source.start(), limits)
    assert (one.end.version, one.end.index, one.versions) == (1, 1, (0, 1))
    two = source.plan(one.end, limits)
    assert (two.end.version, two.end.index, two.versions) == (2, 0, (1, 1))
    read = pa.concat_tables([one.reader().read_all(), two.reader().read_all()]).sort_by("x")
    assert read.to_pydict() == {"x": [0, 1, 2, 3], "p": ["a", "a", "b", None]}


def test_a_plan_can_be_made_again_to_the_same_place(source: Table) -> None:
    for options in (StreamOptions(), FROM_ZERO):
        for plan in plans(source, options, Limits(files=2)):
            again = Source(source, options).plan(plan.start, Limits(until=plan.end))
            assert again == plan
            assert numbers(again) == numbers(plan)


def test_the_last_version_can_be_fixed(source: Table) -> None:
    assert rows(source, FROM_ZERO, Limits(version=2)) == [[0, 1, 2]]


def test_commits_that_change_no_rows_are_passed_over(source: Table) -> None:
    source.open().optimize.compact()
    source.open().alter.set_table_properties({"delta.checkpointInterval": "7"})
    source.append(pa.table({"x": [7]}))
    assert rows(source, StreamOptions(starting_version=2)) == [[2, 3, 4, 7]]


@pytest.mark.parametrize(
    ("change", "verb", "hint"),
    [
        ("x = 1", "DELETE.*deletes rows", "ignoreDeletes=true"),
        ("x >= 0", "DELETE.*deletes rows", "ignoreDeletes=true"),
        ("update", "UPDATE.*rewrites rows", "skipChangeCommits=true"),
        ("overwrite", "WRITE.*rewrites rows", "skipChangeCommits=true"),
    ],
)
def test_a_commit_that_changes_rows_stops_the_stream(source: Table, change: str, verb: str, hint: str) -> None:
    if change == "update":
        source.open().update(updates={"x": "9"}, predicate="x = 1")
    elif change == "overwrite":
        source.overwrite(pa.table({"x": [9]}))
    else:
        source.open().delete(change)
    with pytest.raises(ConflictError, match=rf"commit 5 of .*{verb}") as raised:
        rows(source, FROM_ZERO)
    assert hint in str(raised.value.hint)
    assert rows(source, FROM_ZERO, Limits(version=4)) == [[0, 1, 2, 3, 4]]


def test_what_the_options_do_about_changes(source: Table) -> None:
    source.append(pa.table({"x": [10, 11]}))
    source.open().delete("x = 1")  # the whole of a file
    source.append(pa.table({"x": [12]}))
    deletes, changes = StreamOptions(starting_version=5, ignore_deletes=True), FROM_ZERO
    assert rows(source, deletes) == [[10, 11, 12]]
    source.open().delete("x = 10")  # one of two rows
    with pytest.raises(ConflictError, match="commit 8"):
        rows(source, deletes)
    changes = StreamOptions(starting_version=5, ignore_changes=True)
    assert rows(source, changes) == [[10, 11, 12, 11]]
    skips = StreamOptions(starting_version=5, skip_change_commits=True)
    assert rows(source, skips) == [[10, 11, 12]]


def test_a_commit_that_is_gone_raises(source: Table) -> None:
    source.open().create_checkpoint()
    for version in range(3):
        log(source, version).unlink()
    with pytest.raises(NotFoundError, match="has no commit 2 any more"):
        rows(source, StreamOptions(starting_version=2))
    at = Offset(str(source.open().metadata().id), 2)
    with pytest.raises(NotFoundError, match="has no commit 2 any more"):
        Source(source, StreamOptions()).plan(at, Limits())


def test_a_commit_that_is_gone_while_the_stream_runs_raises(source: Table) -> None:
    follower = Source(source, FROM_ZERO)
    first = follower.plan(follower.start(), Limits(files=2))
    log(source, 3).unlink()
    with pytest.raises(NotFoundError, match="has no commit 3 any more"):
        follower.plan(first.end, Limits())


def test_a_snapshot_that_cannot_be_opened_any_more_raises(cleaned: tuple[Table, list[bytes]]) -> None:
    table = cleaned[0]
    half_read = Offset(str(table.open().metadata().id), 1, 0, initial=True)
    with pytest.raises(NotFoundError, match="version 1"):
        Source(table, StreamOptions()).plan(half_read, Limits())


def test_a_table_that_was_created_again_raises(source: Table, tmp_path: Path) -> None:
    follower = Source(source, FROM_ZERO)
    end = follower.plan(follower.start(), Limits()).end
    Path(source.uri).rename(tmp_path / "old")
    source.create(pa.table({"x": [0]}))
    follower.refresh()
    with pytest.raises(ConflictError, match="another table"):
        follower.plan(end, Limits())


def test_a_source_that_went_back_raises(source: Table) -> None:
    follower = Source(source, FROM_ZERO)
    end = follower.plan(follower.start(), Limits()).end
    log(source, 4).unlink()
    with pytest.raises(ConflictError, match="is at version 3, and the stream has read up to 4"):
        Source(source, FROM_ZERO).plan(end, Limits())


def test_an_offset_that_another_copy_has_seen(source: Table) -> None:
    stale = Source(source, FROM_ZERO)
    source.append(pa.table({"x": [5]}))
    source.append(pa.table({"x": [6]}))
    end = Offset(stale.table_id, 6)
    assert numbers(stale.plan(end, Limits())) == [6]


def test_columns_that_are_mapped(tmp_path: Path) -> None:
    table = tmp_path / "mapped"
    DeltaTable.create(
        str(table),
        pa.schema([("x", pa.int64()), ("p", pa.string())]),
        partition_by=["p"],
        configuration={"delta.columnMapping.mode": "name"},
    )
    for number in range(3):
        write_deltalake(str(table), pa.table({"x": [number], "p": ["a"]}), mode="append")
    assert rows(Table(table), StreamOptions()) == [[0, 1, 2]]
    plan = next(plans(Table(table), StreamOptions(starting_version=2)))
    assert plan.reader().read_all().to_pydict() == {"x": [1, 2], "p": ["a", "a"]}
    with pytest.raises(InvalidInputError, match="maps its columns by name, and its change feed cannot be read"):
        rows(Table(table), StreamOptions(read_change_feed=True))


def test_new_columns_go_on_in_the_next_batch(source: Table) -> None:
    follower = Source(source, FROM_ZERO)
    first = follower.plan(follower.start(), Limits())
    source.append(pa.table({"x": [5]}))
    source.open().alter.add_columns(Schema.from_arrow(pa.schema([("n", pa.int32())])).fields)
    source.append(pa.table({"x": [6], "n": pa.array([60], pa.int32())}))
    follower.refresh()
    second = follower.plan(first.end, Limits())
    third = follower.plan(second.end, Limits())
    assert (first.schema.names, second.schema.names, third.schema.names) == (["x"], ["x"], ["x", "n"])
    assert (numbers(second), third.reader().read_all().to_pylist()) == ([5], [{"x": 6, "n": 60}])
    whole = Source(source, FROM_ZERO)
    plan = whole.plan(whole.start(), Limits())
    assert plan.reader().read_all().to_pydict() == {"x": list(range(7)), "n": [None] * 6 + [60]}


@pytest.mark.parametrize("running", [True, False])
def test_columns_of_another_type_stop_the_stream(source: Table, running: bool) -> None:
    options = StreamOptions(starting_version=0, skip_change_commits=True)
    follower = Source(source, options)
    end = follower.plan(follower.start(), Limits()).end
    table = source.open()
    write_deltalake(table, pa.table({"x": ["a"]}), mode="overwrite", schema_mode="overwrite")
    source.append(pa.table({"x": ["b"]}))
    follower = follower if running else Source(source, options)
    follower.refresh()
    with pytest.raises(ConflictError, match=r"commit 5 .*column 'x' was int64 and is string"):
        follower.plan(end, Limits())
    assert rows(source, options, Limits(version=4)) == [[0, 1, 2, 3, 4]]
    fresh = Source(source, StreamOptions(starting_version=6))
    assert fresh.plan(fresh.start(), Limits()).reader().read_all()["x"].to_pylist() == ["b"]


@pytest.mark.parametrize("storage", ["u", "i"])
def test_rows_that_a_deletion_vector_removes_do_not_come(deletion_table: MakeTable, storage: str) -> None:
    table: Table = deletion_table(storage)
    assert rows(table, StreamOptions()) == [[0, 2, 3, 5, 6, 7, 8, 9]]
    assert rows(table, FROM_ZERO, Limits(version=0)) == [list(range(10))]
    assert rows(table, StreamOptions(starting_version=0, skip_change_commits=True)) == [list(range(10))]
    changes = StreamOptions(starting_version=0, ignore_changes=True)
    assert rows(table, changes) == [[*range(10), 0, 2, 3, 5, 6, 7, 8, 9]]
    with pytest.raises(ConflictError, match="rewrites rows"):
        rows(table, FROM_ZERO)


def test_a_change_feed(source: Table) -> None:
    source.open().alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    source.append(pa.table({"x": [20, 21]}))
    source.open().delete("x = 20")
    source.open().optimize.compact()
    source.open().update(updates={"x": "22"}, predicate="x = 21")
    found = list(plans(source, StreamOptions(starting_version=6, read_change_feed=True)))
    assert len(found) == 1
    feed = found[0].reader().read_all()
    assert feed["_commit_timestamp"].type == pa.timestamp("us", "UTC")
    assert feed.select(["x", "_change_type", "_commit_version"]).to_pylist()[:2] == [
        {"x": 20, "_change_type": "insert", "_commit_version": 6},
        {"x": 21, "_change_type": "insert", "_commit_version": 6},
    ]
    assert sorted(feed["_change_type"].to_pylist()[2:]) == ["delete", "update_postimage", "update_preimage"]
    assert feed["_commit_version"].to_pylist()[2:] == [7, 9, 9]
    limited = plans(source, StreamOptions(starting_version=6, read_change_feed=True), Limits(files=1))
    assert [plan.versions for plan in limited] == [(6, 6), (7, 7), (8, 9)]
    snapshot = next(plans(source, StreamOptions(read_change_feed=True))).reader().read_all()
    assert (sorted(snapshot["x"].to_pylist()), set(snapshot["_change_type"].to_pylist())) == (
        [0, 1, 2, 3, 4, 22],
        {"insert"},
    )
    assert set(snapshot["_commit_version"].to_pylist()) == {9}
    with pytest.raises(InvalidInputError, match="does not record its changes at version 0"):
        rows(source, StreamOptions(starting_version=0, read_change_feed=True))


def test_a_change_feed_over_a_partition_with_letters_that_are_escaped(tmp_path: Path) -> None:
    table = Table(tmp_path / "parts")
    table.create(pa.table({"x": [0], "p": ["a b/c%"]}), partition_by=["p"])
    table.set_properties({"delta.enableChangeDataFeed": "true"})
    table.append(pa.table({"x": [1], "p": ["a b/c%"]}))
    table.update({"x": "7"}, where="x = 0")
    plan = next(iter(plans(table, StreamOptions(starting_version=2, read_change_feed=True))))
    found = plan.reader().read_all()
    changes = [("insert", 1), ("update_preimage", 0), ("update_postimage", 7)]
    assert sorted(zip(found["_change_type"].to_pylist(), found["x"].to_pylist(), strict=True)) == sorted(changes)


def test_what_cannot_be_followed(source: Table, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is one version"):
        Source(Table(source.uri, at=2), StreamOptions())
    with pytest.raises(NotFoundError, match="no Delta table"):
        Source(Table(tmp_path / "nothing"), StreamOptions())


def test_a_table_without_rows(tmp_path: Path) -> None:
    table = Table(tmp_path / "empty")
    table.create(pa.schema([("x", pa.int64())]))
    found = list(plans(table, StreamOptions()))
    assert [(plan.files, plan.end.version) for plan in found] == [(0, 1)]
    assert found[0].reader().read_all().num_rows == 0
