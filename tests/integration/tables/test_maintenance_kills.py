"""Maintenance beside writers, and killed at any moment: the table reads, pins hold, the next one finishes the work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import mark
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import compact
from lakemark.tables.upkeep.vacuum import vacuum

ROUNDS = 4

VACUUM = """
import sys, time
from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import vacuum
print("begun", flush=True)
vacuum(Table(sys.argv[1]), pins=[], retention_hours=0, advance=lambda size: time.sleep(0.005))
"""

COMPACTION = """
import itertools, sys, pyarrow as pa
from lakemark.tables.upkeep.maintenance import compact
from lakemark.tables.table import Table
table = Table(sys.argv[1])
print("begun", flush=True)
for number in itertools.count(int(sys.argv[2])):
    table.append(pa.table({"x": [number]}))
    print(number, flush=True)
    compact(table)
"""

APPENDER = """
import sys, pyarrow as pa
from lakemark.tables.table import Table
table = Table(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 25):
    table.append(pa.table({"x": [number]}))
"""


def run_and_kill(code: str, *arguments: object, seconds: float) -> list[str]:
    """Run a program, kill it so long after it has begun, and return the lines that it printed."""
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "begun"
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        return process.stdout.read().split()


def data_files(table: Table) -> set[str]:
    found = {file.path for file in TableFiles(table.uri).list() if file.path.endswith(".parquet")}
    return {path for path in found if not path.startswith("_delta_log/")}


def pin(table: Table, version: int) -> pa.Table:
    mark(TableFiles(table.uri), table.manifest(version=version).to_json(), home="0" * 32)
    return table.read(version=version)


def test_a_vacuum_that_is_killed_again_and_again(tmp_path: Path) -> None:
    table, moments = Table(tmp_path / "t"), random.Random(3)
    table.create(pa.table({"x": [0]}))
    for number in range(1, 60):
        table.overwrite(pa.table({"x": [number]}))
    pinned = pin(table, 30)
    left = [len(data_files(table))]
    for _ in range(ROUNDS):
        run_and_kill(VACUUM, table.uri, seconds=moments.uniform(0.03, 0.1))
        assert table.read()["x"].to_pylist() == [59]
        assert table.read(version=30).equals(pinned)
        left.append(len(data_files(table)))
    assert left == sorted(left, reverse=True)
    vacuum(table, pins=[], retention_hours=0)
    needed = {entry.path for version in (30, 59) for entry in table.manifest(version=version).entries}
    assert data_files(table) == needed
    assert table.read(version=30).equals(pinned)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_compaction_that_is_killed(seed: int, tmp_path: Path) -> None:
    table, moments = Table(tmp_path / "t"), random.Random(seed)
    table.create(pa.table({"x": [0]}))
    for number in range(1, 8):
        table.append(pa.table({"x": [number]}))
    pinned = pin(table, 5)
    done = [int(line) for line in run_and_kill(COMPACTION, table.uri, 8, seconds=moments.uniform(0, 0.2))]
    rows = sorted(table.read()["x"].to_pylist())
    assert rows == list(range(len(rows)))
    assert len(rows) >= 8 + len(done)  # one more where it was killed before it could say so
    assert table.read(version=5).equals(pinned)
    compact(table)
    for path in data_files(table):  # so that what the killed process left counts as abandoned
        os.utime(Path(table.uri) / path, (1_000_000_000, 1_000_000_000))
    vacuum(table, pins=[], retention_hours=0)
    needed = {entry.path for version in (5, table.version) for entry in table.manifest(version=version).entries}
    assert data_files(table) == needed
    assert sorted(table.read()["x"].to_pylist()) == rows
    assert table.read(version=5).equals(pinned)


def test_maintenance_beside_writers_loses_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [0]}))
    pinned = pin(table, 0)
    writers = [subprocess.Popen([sys.executable, "-c", APPENDER, table.uri, str(first)]) for first in (1, 26)]
    rounds = 0
    while any(writer.poll() is None for writer in writers) or not rounds:
        compact(table)
        vacuum(table, pins=[], retention_hours=0)
        rounds += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    assert sorted(table.read()["x"].to_pylist()) == list(range(51))
    assert table.read(version=0).equals(pinned)
