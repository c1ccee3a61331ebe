"""Several processes on one table, some of which die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import vacuum

APPENDER = """
import sys, pyarrow as pa
from lakemark.tables.table import Table
table, first, count = Table(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    table.append(pa.table({"x": [number]}))
"""

DELETER = """
import sys
from lakemark.tables.table import Table
for number in range(int(sys.argv[2])):
    try:
        Table(sys.argv[1]).open().delete(f"x = {-1 - number}")
    except Exception as error:
        assert "ransaction" in str(error), error
"""

# an append that writes several files and then waits, with its rows on the disk and not in the log
STUCK = """
import sys, time, numpy as np, pyarrow as pa
from lakemark.tables.table import Table
schema = pa.schema([("x", pa.int64())])
def batches():
    for start in range(0, 4_000_000, 500_000):
        yield pa.record_batch([pa.array(np.random.default_rng(start).integers(0, 2**62, 500_000))], schema=schema)
    print("written", flush=True)
    time.sleep(600)
Table(sys.argv[1]).append(pa.RecordBatchReader.from_batches(schema, batches()))
"""

VACUUM = """
import sys
from pathlib import Path
from lakemark.tables.upkeep import vacuum
from lakemark.tables.table import Table
real, deleted = Path.unlink, []
def unlink(path, missing_ok=False):
    real(path, missing_ok=missing_ok)
    deleted.append(path)
    if len(deleted) == 3:
        print("three", flush=True)
        sys.stdin.read()
Path.unlink = unlink
vacuum.vacuum(Table(sys.argv[1]), pins=[], retention_hours=0)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], word: str) -> None:
    """Wait for a line, then kill -9."""
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == word
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def test_two_processes_that_append_lose_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([("x", pa.int64())]))
    writers = [start(APPENDER, table.uri, first, 25) for first in (0, 25)]
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    assert sorted(table.read()["x"].to_pylist()) == list(range(50))
    assert table.version == 50


def test_an_append_beside_deletes_loses_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": list(range(-20, 0))}))
    processes = [start(APPENDER, table.uri, 0, 25), start(DELETER, table.uri, 20)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert [x for x in sorted(table.read()["x"].to_pylist()) if x >= 0] == list(range(25))


def test_a_kill_in_the_middle_of_an_append(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [1, 2]}))
    kill_after(start(STUCK, table.uri), "written")
    assert (table.version, table.read()["x"].to_pylist()) == (0, [1, 2])
    assert table.append(pa.table({"x": [3]})) == 1
    assert table.read()["x"].to_pylist() == [1, 2, 3]
    vacuum(table, pins=[], retention_hours=0)
    assert table.read()["x"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("again", [False, True])
def test_a_kill_in_the_middle_of_a_vacuum(tmp_path: Path, again: bool) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [0]}))
    for number in range(1, 8):
        table.overwrite(pa.table({"x": [number]}))
    kill_after(start(VACUUM, table.uri), "three")
    assert table.read()["x"].to_pylist() == [7]
    assert len(list(Path(table.uri).glob("*.parquet"))) == 5
    if again:
        assert len(vacuum(table, pins=[], retention_hours=0).deleted) == 4
        assert table.read()["x"].to_pylist() == [7]
