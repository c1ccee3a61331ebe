"""Writes that the storage refuses: the table is as before, and the error says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.tables.table import Table

NOBODY = 65534

FULL = """
import random, resource, signal, sys
import pyarrow as pa
from lakemark._base.errors import StorageError
from lakemark.tables.table import Table

table, kind = Table(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
rows = pa.table({"id": list(range(100_000)), "x": [random.random() for _ in range(100_000)]})
write = {
    "append": lambda: table.append(rows),
    "overwrite": lambda: table.overwrite(rows),
    "merge": lambda: table.merge(rows, on=["id"]),
    "create": lambda: Table(table.uri + "-new").create(rows),
    "log": lambda: table.set_properties({"lakemark.note": "n" * 100_000}),
}[kind]
try:
    write()
except StorageError as error:
    print(error)
else:
    sys.exit("nothing was refused")
table.append(pa.table({"id": [-1], "x": [0.5]}))  # what is small still goes
"""

DENIED = """
import os, sys
import pyarrow as pa
from lakemark._base.errors import StorageError
from lakemark.tables.table import Table

table = Table(sys.argv[1])
table.version
if os.getuid() == 0:
    os.setuid(int(sys.argv[2]))
for write in (
    lambda: table.append(pa.table({"id": [1], "x": [0.5]})),
    lambda: table.delete("id = 1"),
    lambda: table.set_properties({"lakemark.note": "n"}),
    lambda: Table(table.uri + "-new").create(pa.table({"id": [1]})),
):
    try:
        write()
    except StorageError as error:
        print(error)
    else:
        sys.exit("nothing was refused")
"""


ENDLESS = """
import sys
import pyarrow as pa
from lakemark.tables.table import Table

table, key = Table(sys.argv[1]), 1000
while True:
    table.append(pa.table({"id": list(range(key, key + 100)), "x": [0.0] * 100}))
    table.update({"x": "x + 1"}, f"id >= {key}")
    table.merge(pa.table({"id": [key, key + 100], "x": [7.0, 7.0]}), on=["id"])
    table.delete(f"id = {key + 100}")
    print(key, flush=True)
    key += 1000
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(tmp_path / "t")
    made.create(pa.table({"id": [1, 2], "x": [1.5, 2.5]}))
    return made


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["append", "overwrite", "merge", "create", "log"])
def test_a_full_disk_changes_nothing(table: Table, kind: str) -> None:
    before = table.read()
    done = run(FULL, table.uri, kind)
    assert done.returncode == 0, done.stderr
    assert "takes no more: " in done.stdout
    assert "File too large" in done.stdout
    assert "hint: nothing was committed, the table is as before" in done.stdout
    assert table.read(version=0) == before
    assert [record.metrics.get("num_added_rows") for record in table.history()][:1] == ["1"]
    assert table.version == 1
    assert table.read().num_rows == 3
    assert not Table(table.uri + "-new").exists()


def test_no_permission(table: Table, tmp_path: Path) -> None:
    folders = [tmp_path, *(Path(place) for place, _, _ in os.walk(table.uri))]
    for parent in tmp_path.parents:  # root steps down to a user who may not even look into the folders of tests
        if "pytest" in parent.name:
            parent.chmod(0o755)
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = run(DENIED, table.uri, NOBODY)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no permission to do that at ") == 4, done.stdout
    assert table.version == 0


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_writer_that_is_killed_leaves_whole_commits(table: Table, rounds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS, table.uri], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        done = [int(writer.stdout.readline()) for _ in range(rounds)]
        writer.kill()
    rows = {row["id"]: row["x"] for row in table.read().to_pylist()}
    assert len(rows) == table.count()
    for key in done:
        assert [rows.get(key + place) for place in (0, 1, 99, 100)] == [7.0, 1.0, 1.0, None]
    unfinished = [number for number in rows if number > done[-1] + 99]
    assert len(unfinished) in {0, 100, 101}  # of the round that was cut off, each commit is there or is not
    assert len({rows[number] for number in unfinished if number % 1000 not in {0, 100}}) <= 1
    assert table.append(pa.table({"id": [-1], "x": [0.5]})) == table.version
