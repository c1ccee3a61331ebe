"""Streams in several processes, some of which are killed: every row arrives, and arrives once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.tables.streams import list_status, read_stream
from lakemark.tables.table import Table

QUERY = """
import sys
from lakemark.tables.streams import read_stream
from lakemark.tables.table import Table
source, sink, name, trigger = sys.argv[1:5]
query = read_stream(Table(source), {"startingVersion": 0, "maxFilesPerTrigger": 1}).write(
    Table(sink), name=name, compact_every=4
)
query.run(trigger=trigger, interval=0.0, on_progress=lambda batch: print(batch.batch_id, flush=True))
"""

# what a function that is called with each batch writes down: one line a call, with the batch id and the rows
FUNCTION = """
import json, sys
from pathlib import Path
from lakemark.tables.streams import read_stream
from lakemark.tables.table import Table
source, folder = sys.argv[1:3]
def take(rows, batch_id):
    with open(Path(folder) / "calls", "a") as file:
        print(json.dumps([batch_id, rows["x"].to_pylist()]), file=file)
    print(batch_id, flush=True)
stream = read_stream(Table(source), {"startingVersion": 0, "maxFilesPerTrigger": 1})
stream.foreach_batch(take, checkpoint=Path(folder) / "checkpoint").run()
"""

APPENDER = """
import sys, pyarrow as pa
from lakemark.tables.table import Table
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    Table(sys.argv[1]).append(pa.table({"x": [number]}))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lakemark(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("lakemark")), *(str(argument) for argument in arguments)]


def fill(table: Table, count: int) -> Table:
    """Make a table of so many commits, each with one file of one row: its number."""
    table.create(pa.schema([("x", pa.int64())]))
    for number in range(count):
        table.append(pa.table({"x": [number]}))
    return table


def kill_or_finish(process: subprocess.Popen[str], chance: random.Random) -> bool:
    """Kill a process some time after a line of it, unless it ends before; return whether it ended."""
    assert process.stdout is not None
    for _ in range(chance.randint(1, 3)):
        if not process.stdout.readline():
            break
    time.sleep(chance.random() * 0.02)  # somewhere in the next batch
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.read()
    process.stdout.close()
    return process.wait() == 0


def counted(table: Table) -> Counter[int]:
    return Counter(table.read()["x"].to_pylist())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_exactly_once_with_two_copies_that_are_killed(tmp_path: Path, seed: int) -> None:
    source, sink = fill(Table(tmp_path / "source"), 80), Table(tmp_path / "sink")
    chance, total, killed = random.Random(seed), 80, 0
    for round_number in range(40):
        copies = [start(QUERY, source.uri, sink.uri, "q", "available-now") for _ in range(2)]
        if round_number == 1:
            source.open().optimize.compact()
        if round_number < 4:
            source.append(pa.table({"x": [total]}))
            total += 1
        ended = [kill_or_finish(copy, chance) for copy in copies]
        killed += ended.count(False)
        if all(ended):
            break
    assert killed
    last = read_stream(source, {"startingVersion": 0}).write(sink, name="q")
    last.run()
    assert counted(sink) == Counter(range(total))
    commits = sink.open().history()
    batches = sorted(entry["lakemark.stream"]["batch"] for entry in commits if "lakemark.stream" in entry)
    assert batches == list(range(len(batches)))
    assert last.run().batches == 0


def test_two_sources_into_one_sink_beside_an_append_and_a_batch_read(tmp_path: Path) -> None:
    first, second = fill(Table(tmp_path / "first"), 12), Table(tmp_path / "second")
    second.create(pa.table({"x": list(range(100, 105))}))
    sink = Table(tmp_path / "sink")
    processes = [
        start(QUERY, first.uri, sink.uri, "first", "available-now"),
        start(QUERY, second.uri, sink.uri, "second", "available-now"),
        start(APPENDER, second.uri, 105, 112),
    ]
    reads = 0
    while any(process.poll() is None for process in processes):
        rows = counted(sink) if sink.exists() else Counter()
        assert set(rows.values()) <= {1}  # a batch reads the table while streams write it
        assert counted(second).keys() >= set(range(100, 105))
        reads += 1
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert reads
    for name, table in (("first", first), ("second", second)):
        read_stream(table).write(sink, name=name).run()
    assert counted(sink) == Counter([*range(12), *range(100, 112)])
    assert [(one.name, one.lag) for one in list_status(sink)] == [("first", 0), ("second", 0)]


def test_a_killed_function_gets_the_same_batch_again(tmp_path: Path) -> None:
    source, chance = fill(Table(tmp_path / "source"), 10), random.Random(3)
    for _ in range(12):
        if kill_or_finish(start(FUNCTION, source.uri, tmp_path), chance):
            break
    last = start(FUNCTION, source.uri, tmp_path)
    last.communicate()
    assert last.returncode == 0
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    rows_of: dict[int, list[int]] = {}
    for batch_id, rows in calls:
        assert rows_of.setdefault(batch_id, rows) == rows
    assert [rows_of[batch_id] for batch_id in sorted(rows_of)] == [[number] for number in range(10)]
    assert sorted(rows_of) == list(range(10))


def test_the_command_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    source, sink = fill(Table(tmp_path / "source"), 60), Table(tmp_path / "sink")
    command = lakemark("tables", "stream", source.uri, sink.uri, "--name", "q", "--option", "maxFilesPerTrigger=1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("batch 0: version 60, 1 file, 1 row, ")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 130
    done = sink.version
    assert out == f"{sink.uri}@{done}\n"
    assert done < 60
    status = subprocess.run(
        lakemark("tables", "stream-status", sink.uri, "--json"), capture_output=True, text=True, check=True
    )
    stream = json.loads(status.stdout)["streams"][0]
    assert (stream["name"], stream["lag"], stream["offset"]["isInitialSnapshot"]) == ("q", 1, True)
    rest = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(rest.stdout)
    assert document["schema"] == "lakemark.tables.stream/1"
    assert document["offset"]["reservoirVersion"] == 61
    assert counted(sink) == Counter(range(60))


def test_the_command_follows_until_it_is_stopped(tmp_path: Path) -> None:
    source, sink = fill(Table(tmp_path / "source"), 2), Table(tmp_path / "sink")
    command = lakemark("tables", "stream", source.uri, sink.uri, "--trigger", "continuous", "--interval", "50ms")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("batch 0: version 2, 2 files, 2 rows")
        source.append(pa.table({"x": [2]}))
        assert process.stderr.readline().startswith("batch 1: version 3, 1 file, 1 row")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert (process.returncode, out) == (0, f"{sink.uri}@2\n")
    assert counted(sink) == Counter(range(3))


def test_a_name_of_the_catalog_becomes_a_table_of_it(tmp_path: Path) -> None:
    source = fill(Table(tmp_path / "source"), 2)
    for arguments in (["init"], ["tables", "stream", source.uri, "silver.clean"]):
        subprocess.run(lakemark(*arguments), cwd=tmp_path, capture_output=True, check=True)
    source.append(pa.table({"x": [2]}))
    again = subprocess.run(
        lakemark("tables", "stream", source.uri, "silver.clean"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "batch 1: version 3, 1 file, 1 row" in again.stderr
    status = subprocess.run(
        lakemark("tables", "stream-status", "silver.clean"), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert status.stdout.splitlines()[1].split()[:1] == ["source"]


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    source = fill(Table(tmp_path / "source"), 2)
    source.open().delete("x = 1")
    for arguments, code, says in (
        (["--option", "startingVersion=0"], 4, "commit 3 of"),
        (["--option", "startingVersions=0"], 2, "did you mean 'startingVersion'"),
        (["--option", "startingVersion"], 2, "is not KEY=VALUE"),
        (["--option", "startingVersion=1", "--option", "startingVersion=2"], 2, "given twice"),
        (["--interval", "soon"], 2, "is no time"),
    ):
        command = lakemark("tables", "stream", source.uri, tmp_path / "sink", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert says in done.stderr


def test_streams_on_s3(s3: str) -> None:
    source, sink = fill(Table(f"{s3}/source"), 3), Table(f"{s3}/sink")
    query = read_stream(source, {"maxFilesPerTrigger": 2}).write(sink, name="q", compact_every=2)
    assert query.run().batches == 2
    source.append(pa.table({"x": [3]}))
    source.open().optimize.compact()
    source.append(pa.table({"x": [4]}))
    assert (query.run().rows, counted(sink)) == (2, Counter(range(5)))
    assert [(one.name, one.batch_id, one.lag) for one in list_status(sink)] == [("q", 2, 0)]
    feed = Table(f"{s3}/feed")
    feed.create(pa.table({"x": [1, 2]}))
    feed.open().alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    feed.open().delete("x = 1")
    onward = Table(f"{s3}/onward")
    assert read_stream(feed, {"readChangeFeed": True, "startingVersion": 2}).write(onward).run().rows == 1
    assert onward.read()["_change_type"].to_pylist() == ["delete"]
