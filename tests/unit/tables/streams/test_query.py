"""Queries from table to table and into functions, in one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Schema, Transaction, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark._base.writer import Writer, writing_as
from lakemark.tables.streams import Progress, Query, list_status, read_stream
from lakemark.tables.streams.options import OptionValue
from lakemark.tables.table import PROPERTIES, Table


def follow(source: Table, sink: Table, *, name: str = "q", **options: OptionValue) -> Query:
    return read_stream(source, options).write(sink, name=name)


def numbers(table: Table) -> list[int]:
    found: list[int] = sorted(table.read()["x"].to_pylist())
    return found


def forget_commits(sink: Table) -> None:
    """Clean the log up to a commit of somebody else."""
    sink.append(pa.table({"x": [50]}))
    sink.open().create_checkpoint()
    for commit in sorted((Path(sink.uri) / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()


def position_file(sink: Table, name: str = "q") -> Path:
    return Path(sink.uri) / "_lakemark" / "streams" / f"{name}.json"


def test_each_row_comes_once_over_many_runs(source: Table, sink: Table) -> None:
    seen: list[Progress] = []
    first = follow(source, sink, maxFilesPerTrigger=2).run(on_progress=seen.append)
    assert (first.batches, first.rows, first.files, first.sink_version, first.stopped) == (3, 5, 5, 3, False)
    assert [(one.batch_id, one.rows, one.files, one.sink_version) for one in seen] == [
        (0, 2, 2, 1),
        (1, 2, 2, 2),
        (2, 1, 1, 3),
    ]
    assert seen[0].end == seen[1].start
    assert sum(one.bytes for one in seen) == source.manifest().bytes
    assert follow(source, sink).run().batches == 0
    source.append(pa.table({"x": [5, 6]}))
    source.open().optimize.compact()
    source.append(pa.table({"x": [7]}))
    again = follow(source, sink).run()
    assert (again.batches, again.rows, numbers(sink)) == (1, 3, list(range(8)))
    assert again.position is not None
    assert (again.position.batch_id, again.position.offset.version) == (3, 8)


def test_the_sink_is_a_managed_table_whose_commits_say_what_they_are(source: Table, sink: Table) -> None:
    with writing_as(Writer("4bf92f35", "clean")):
        stream = read_stream(source).map(lambda rows: rows.append_column("p", rows["x"]))
        stream.write(sink, name="q", partition_by=["p"]).run()
    table = sink.open()
    assert table.metadata().partition_columns == ["p"]
    assert PROPERTIES.items() <= table.metadata().configuration.items()
    entry = table.history(1)[0]
    assert (entry["lakemark.run_id"], entry["lakemark.node"]) == ("4bf92f35", "clean")
    said = entry["lakemark.stream"]
    assert (said["name"], said["batch"], said["source"]) == ("q", 0, source.uri)
    assert (said["start"]["isInitialSnapshot"], said["end"]["reservoirVersion"]) == (True, 5)
    assert table.transaction_version("lakemark.stream/q") == 0


def test_a_map_has_the_whole_batch(source: Table, sink: Table) -> None:
    stream = read_stream(source).map(lambda rows: rows.slice(1)).map(lambda rows: rows.rename_columns(["y"]))
    assert stream.columns().names == ["y"]
    assert stream.write(sink).run().rows == 4
    assert sorted(sink.read()["y"].to_pylist()) == [1, 2, 3, 4]


def test_an_error_in_a_map_is_the_users_own_and_commits_nothing(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    source.append(pa.table({"x": [5]}))
    with pytest.raises(ZeroDivisionError):
        read_stream(source).map(lambda _: 1 // 0).write(sink, name="q").run()
    assert follow(source, sink).run().rows == 1
    assert numbers(sink) == list(range(6))


def test_once_is_one_batch_whatever_the_limits(source: Table, sink: Table) -> None:
    done = follow(source, sink, maxFilesPerTrigger=1, startingVersion=0).run(trigger="once")
    assert (done.batches, done.rows, done.files) == (1, 5, 5)
    assert follow(source, sink).run(trigger="once").batches == 0


def test_a_start_at_the_latest_is_kept(source: Table, sink: Table) -> None:
    assert follow(source, sink, startingVersion="latest").run().rows == 0
    source.append(pa.table({"x": [5]}))
    assert follow(source, sink, startingVersion="latest").run().rows == 1
    assert numbers(sink) == [5]


def test_several_sources_write_into_one_sink(source: Table, sink: Table, tmp_path: Path) -> None:
    other = Table(tmp_path / "other")
    other.create(pa.table({"x": [100]}))
    for name, table in (("one", source), ("two", other), ("one", source)):
        follow(table, sink, name=name).run()
    assert numbers(sink) == [*range(5), 100]
    with pytest.raises(ConflictError, match="another table than the one"):
        follow(other, sink, name="one").run()
    assert [(one.name, one.source_uri, one.lag) for one in list_status(sink)] == [
        ("one", source.uri, 0),
        ("two", other.uri, 0),
    ]


def test_a_copy_that_is_behind_writes_nothing_twice(source: Table, sink: Table) -> None:
    """Both copies have taken batch 0; the second one goes ahead while the first is between two batches."""
    mine = follow(source, sink, maxFilesPerTrigger=1)
    theirs = follow(source, sink, maxFilesPerTrigger=1)

    def run_the_other(batch: Progress) -> None:
        if batch.batch_id == 0:
            theirs.run()

    done = mine.run(on_progress=run_the_other)
    assert (done.batches, numbers(sink)) == (1, list(range(5)))


def test_a_copy_that_commits_between_the_look_and_the_write_wins(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    source.append(pa.table({"x": [5]}))
    went: list[int] = []

    def interfere(rows: pa.Table) -> pa.Table:
        if not went:
            went.append(follow(source, sink).run().rows)
        return rows

    done = read_stream(source).map(interfere).write(sink, name="q").run()
    assert (went, done.batches, numbers(sink)) == ([1], 0, list(range(6)))


def test_an_append_of_others_between_is_no_harm(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    source.append(pa.table({"x": [5]}))
    went: list[int] = []

    def interfere(rows: pa.Table) -> pa.Table:
        if not went:
            went.append(1)
            sink.append(pa.table({"x": [50]}))
            sink.open().delete("x = 0")
        return rows

    assert read_stream(source).map(interfere).write(sink, name="q").run().rows == 1
    assert numbers(sink) == [1, 2, 3, 4, 5, 50]


@pytest.mark.parametrize("damage", ["gone", "broken", "other batch", "other sink"])
def test_the_position_is_found_in_the_log_without_its_file(source: Table, sink: Table, damage: str) -> None:
    follow(source, sink, maxFilesPerTrigger=2).run()
    sink.append(pa.table({"x": [50]}))
    file = position_file(sink)
    said = json.loads(file.read_text())
    match damage:
        case "gone":
            shutil.rmtree(file.parent)
        case "broken":
            file.write_text("{")
        case "other batch":
            file.write_text(json.dumps(said | {"batch": 1, "end": said["end"] | {"reservoirVersion": 0}}))
        case "other sink":
            file.write_text(json.dumps(said | {"table_id": "x", "end": said["end"] | {"reservoirVersion": 0}}))
    assert follow(source, sink).run().batches == 0
    assert [one.name for one in list_status(sink)] == ["q"]
    assert numbers(sink) == [*range(5), 50]


def test_the_position_is_found_in_the_file_without_the_log(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    forget_commits(sink)
    source.append(pa.table({"x": [5]}))
    assert follow(source, sink).run().rows == 1
    assert numbers(sink) == [*range(6), 50]


def test_without_file_and_log_nothing_is_guessed(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    forget_commits(sink)
    shutil.rmtree(position_file(sink).parent)
    with pytest.raises(NotFoundError, match="has batch 0 of query 'q', but neither its log nor"):
        follow(source, sink).run()


def test_a_transaction_of_somebody_else_under_the_same_id_is_no_offset(source: Table, sink: Table) -> None:
    sink.create(pa.table({"x": [1]}))
    properties = CommitProperties(app_transactions=[Transaction("lakemark.stream/q", 3)])
    write_deltalake(sink.open(), pa.table({"x": [2]}), mode="append", commit_properties=properties)
    with pytest.raises(NotFoundError, match="has batch 3 of query 'q'"):
        follow(source, sink).run()


def test_a_sink_that_was_created_again_while_the_query_runs_stops_it(source: Table, sink: Table) -> None:
    def replace(batch: Progress) -> None:
        if batch.batch_id == 1:
            shutil.rmtree(sink.uri)
            sink.create(pa.table({"x": [1]}))

    with pytest.raises(ConflictError, match="batch 2 of query 'q' comes next"):
        follow(source, sink, maxFilesPerTrigger=1).run(on_progress=replace)
    assert numbers(sink) == [1]


def test_rows_must_fit_the_sink(source: Table, sink: Table) -> None:
    sink.create(pa.schema([("x", pa.string())]))
    with pytest.raises(InvalidInputError, match="column 'x' is string in the table and int64 in the data"):
        follow(source, sink).run()
    assert sink.version == 0


def test_a_constraint_of_the_sink_holds_for_streams_too(source: Table, sink: Table) -> None:
    sink.create(pa.schema([("x", pa.int64())]))
    sink.open().alter.add_constraint({"few": "x < 3"})
    with pytest.raises(InvalidInputError, match="few"):
        follow(source, sink).run()
    assert sink.read().num_rows == 0


def test_new_columns_go_on_with_merge_schema(source: Table, sink: Table) -> None:
    follow(source, sink).run()
    source.open().alter.add_columns(Schema.from_arrow(pa.schema([("n", pa.int32())])).fields)
    source.append(pa.table({"x": [5], "n": pa.array([50], pa.int32())}))
    with pytest.raises(InvalidInputError, match="column 'n' is not in the table") as raised:
        follow(source, sink).run()
    assert "--merge-schema" in str(raised.value.hint)
    assert read_stream(source).write(sink, name="q", merge_schema=True).run().rows == 1
    assert sink.read().sort_by("x")["n"].to_pylist() == [None] * 5 + [50]
    more = Table(Path(source.uri).parent / "more")
    more.create(pa.table({"x": [6]}))
    assert read_stream(more).write(sink, name="more", merge_schema=True).run().rows == 1
    assert sink.read().sort_by("x")["n"].to_pylist() == [None] * 5 + [50, None]


def test_a_sink_compacts_itself(tmp_path: Path, source: Table, sink: Table) -> None:
    query = read_stream(source, {"maxFilesPerTrigger": 1}).write(sink, name="q", compact_every=3)
    query.run()
    assert sink.manifest().files == 2
    assert numbers(sink) == list(range(5))
    operations = [record.operation for record in sink.history()]
    assert operations.count("OPTIMIZE") >= 1
    source.append(pa.table({"x": [5]}))
    assert query.run().rows == 1
    assert numbers(sink) == list(range(6))
    onward = Table(tmp_path / "onward")
    assert follow(sink, onward, name="onward", startingVersion=0).run().rows == 6
    plain = Table(tmp_path / "plain")
    read_stream(source, {"maxFilesPerTrigger": 1}).write(plain, compact_every=0).run()
    assert plain.manifest().files == 6


def test_stopping_from_another_thread(source: Table, sink: Table) -> None:
    query, seen = follow(source, sink, maxFilesPerTrigger=1), threading.Event()
    worker = threading.Thread(
        target=query.run, kwargs={"trigger": "continuous", "interval": 0.0, "on_progress": lambda _: seen.set()}
    )
    worker.start()
    assert seen.wait(60)
    with pytest.raises(ConflictError, match="runs already"):
        query.run()
    query.stop()
    worker.join(60)
    assert not worker.is_alive()
    rest = query.run()
    assert (rest.stopped, numbers(sink)) == (False, list(range(5)))


def test_a_stop_before_the_run_ends_it_after_one_batch_at_most(source: Table, sink: Table) -> None:
    query = follow(source, sink, maxFilesPerTrigger=1)
    query.stop()
    assert query.run(trigger="continuous").batches == 0
    query.stop()
    done = query.run()
    assert (done.batches, done.stopped) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_batch_under_way(source: Table, sink: Table, number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def interrupt(rows: pa.Table) -> pa.Table:
        os.kill(os.getpid(), number)
        return rows

    query = read_stream(source, {"maxFilesPerTrigger": 2}).map(interrupt)
    done = query.write(sink, name="q").run()
    assert (done.stopped, done.signal, done.batches, done.rows) == (True, number, 1, 2)
    assert signal.getsignal(number) is before
    assert (follow(source, sink).run().rows, numbers(sink)) == (3, list(range(5)))


def test_a_continuous_query_takes_what_comes(source: Table, sink: Table) -> None:
    query = follow(source, sink)

    def feed(batch: Progress) -> None:
        if batch.batch_id == 3:
            query.stop()
        else:
            source.append(pa.table({"x": [5 + batch.batch_id]}))

    done = query.run(trigger="continuous", interval=0.0, on_progress=feed)
    assert (done.batches, done.stopped, done.signal) == (4, True, None)
    assert numbers(sink) == list(range(8))


def test_a_function_is_called_with_each_batch(source: Table, tmp_path: Path) -> None:
    calls: list[tuple[int, list[int]]] = []

    def take(rows: pa.Table, batch_id: int) -> None:
        calls.append((batch_id, rows["x"].to_pylist()))

    query = read_stream(source, {"maxFilesPerTrigger": 2}).foreach_batch(take, checkpoint=tmp_path / "checkpoint")
    done = query.run()
    assert (done.batches, done.rows, done.sink_version) == (3, 5, None)
    assert calls == [(0, [0, 1]), (1, [2, 3]), (2, [4])]
    assert query.run().batches == 0
    source.append(pa.table({"x": [5]}))
    query.run()
    assert calls[3:] == [(3, [5])]


def test_a_function_that_failed_gets_the_same_batch_again(source: Table, tmp_path: Path) -> None:
    calls: list[tuple[int, list[int]]] = []

    def take(rows: pa.Table, batch_id: int) -> None:
        calls.append((batch_id, rows["x"].to_pylist()))
        if len(calls) == 2:
            raise KeyError("no")

    query = read_stream(source, {"maxFilesPerTrigger": 2}).foreach_batch(take, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KeyError):
        query.run()
    source.append(pa.table({"x": [5]}))
    other = read_stream(source, {"maxFilesPerTrigger": 9}).foreach_batch(take, checkpoint=tmp_path / "checkpoint")
    other.run()
    assert calls == [(0, [0, 1]), (1, [2, 3]), (1, [2, 3]), (2, [4]), (3, [5])]


def test_a_file_that_is_gone_stops_the_query_and_commits_nothing(source: Table, sink: Table) -> None:
    entry = source.manifest().entries[0]
    (Path(source.uri) / entry.path).unlink()
    with pytest.raises(StorageError, match="gone"):
        follow(source, sink).run()
    assert sink.read().num_rows == 0


def test_two_copies_with_one_checkpoint_are_refused(source: Table, tmp_path: Path) -> None:
    def take(rows: pa.Table, batch_id: int) -> None:
        if batch_id == 0 and not inner:
            inner.append(batch_id)
            query().run()

    def query() -> Query:
        return read_stream(source, {"maxFilesPerTrigger": 2}).foreach_batch(take, checkpoint=tmp_path / "checkpoint")

    inner: list[int] = []
    with pytest.raises(ConflictError, match="another copy of query 'source' writes"):
        query().run()


def test_what_is_refused_before_anything_runs(source: Table, sink: Table, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is source and sink"):
        read_stream(source).write(Table(source.uri))
    with pytest.raises(InvalidInputError, match="is no name of a query"):
        read_stream(source).write(sink, name="a\nb")
    with pytest.raises(InvalidInputError, match="only the latest"):
        read_stream(source).write(Table(tmp_path / "t", at=1))
    with pytest.raises(InvalidInputError, match="did you mean 'continuous'"):
        follow(source, sink).run(trigger="continous")
    with pytest.raises(InvalidInputError, match="interval is -1"):
        follow(source, sink).run(interval=-1)
    with pytest.raises(InvalidInputError, match="compact_every is -1"):
        read_stream(source).write(sink, compact_every=-1)
    assert not sink.exists()


def test_lag_and_problems(source: Table, sink: Table, tmp_path: Path) -> None:
    query = follow(source, sink, maxFilesPerTrigger=2)
    query.stop()
    query.run()
    found = list_status(sink)[0]
    assert (found.offset.initial, found.offset.index, found.lag) == (True, 2, 1)
    query.run()
    for number in (5, 6):
        source.append(pa.table({"x": [number]}))
    assert (list_status(sink)[0].lag, list_status(sink)[0].problem) == (2, "")
    Path(source.uri).rename(tmp_path / "old")
    assert list_status(sink)[0].lag is None
    assert "no Delta table" in list_status(sink)[0].problem
    source.create(pa.table({"x": [1]}))
    assert list_status(sink)[0].problem == "the source was re-created"
