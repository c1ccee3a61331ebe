"""Tables on an S3 emulator: writers in threads and processes, and maintenance."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import mark
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import checkpoint, compact, z_order
from lakemark.tables.upkeep.schedule import UpkeepPolicy, maintain
from lakemark.tables.upkeep.vacuum import vacuum

WRITERS, COMMITS = 4, 6
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20130624/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
"""The emulator looks whether a request is signed, not at the signature."""

APPENDER = """
import sys, pyarrow as pa
from lakemark.tables.table import Table
table, first, count = Table(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    table.append(pa.table({"x": [number]}))
"""


def numbers(*values: int) -> pa.Table:
    return pa.table({"x": pa.array(values, pa.int64())})


def check_nothing_is_lost(table: Table) -> None:
    assert table.version == WRITERS * COMMITS
    assert sorted(table.read()["x"].to_pylist()) == list(range(WRITERS * COMMITS))


def test_an_object_that_is_there_is_not_written_again(s3: str) -> None:
    """What makes commits safe, asked of the emulator itself, by many at once."""
    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")

    def put(number: int) -> int:
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("PUT", f"/{s3[5:]}/commit", str(number), {"If-None-Match": "*", "Authorization": SIGNED})
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(put, range(64)))
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 412}


def test_writers_in_threads_lose_nothing(s3: str) -> None:
    table = Table(f"{s3}/t")
    table.create(numbers().schema)

    def write(writer: int) -> None:
        for number in range(writer * COMMITS, (writer + 1) * COMMITS):
            Table(table.uri).append(numbers(number))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    check_nothing_is_lost(table)


def test_writers_in_processes_lose_nothing(s3: str) -> None:
    table = Table(f"{s3}/t")
    table.create(numbers().schema)
    command = [sys.executable, "-c", APPENDER, table.uri]
    writers = [
        subprocess.Popen([*command, str(writer * COMMITS), str(COMMITS)], stderr=subprocess.PIPE, text=True)
        for writer in range(WRITERS)
    ]
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * WRITERS, errors
    check_nothing_is_lost(table)


def test_maintenance_keeps_what_is_pinned(s3: str) -> None:
    table = Table(f"{s3}/t")
    rows = pa.table({"p": ["a b/c%é=", "_x", None], "x": [1, 2, 3]})
    table.create(rows, partition_by=["p"])
    table.append(rows)
    pinned, marked = table.manifest(version=0), table.manifest(version=1)
    contents = [fingerprint(table.read(version=version)).ordered for version in (0, 1)]
    mark(TableFiles(table.uri), marked.to_json(), home="0" * 32)
    assert len(compact(table).merged) == 6
    z_order(table, ["x"])
    assert checkpoint(table) == table.version
    rows_now = fingerprint(table.read()).unordered
    table.overwrite(rows)
    table.overwrite(rows)
    borrowed = [replace(entry, path=f"{table.uri}/{entry.path}") for entry in pinned.entries]
    planned = vacuum(table, pins=[replace(pinned, entries=tuple(borrowed)).to_json()], retention_hours=0, dry_run=True)
    first = vacuum(table, pins=[pinned.to_json()], retention_hours=0)
    assert planned.deleted == first.deleted
    assert (len(first.deleted), first.kept_files) == (9, 6)
    assert [fingerprint(table.read(version=version)).ordered for version in (0, 1)] == contents
    with pytest.raises(StorageError, match="is gone"):
        table.read(version=3)
    assert fingerprint(table.read(version=1)).unordered == rows_now
    assert table.open(version=3).count() == 6


def test_upkeep(s3: str) -> None:
    table = Table(f"{s3}/t")
    table.create(numbers(0))
    for number in range(1, 5):
        table.append(numbers(number))
    policy = UpkeepPolicy(small_files=4, log_commits=4, retention_hours=0)
    [done] = maintain([table], needed=lambda _: (), policy=policy)
    assert done.errors == ()
    assert done.compaction is not None
    assert (len(done.compaction.merged), done.checkpoint) == (5, 6)  # the compaction is two commits
    assert done.vacuum is not None
    assert len(done.vacuum.deleted) == 5
    assert sorted(table.read()["x"].to_pylist()) == [0, 1, 2, 3, 4]
