from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.log.files import TableFiles
from lakemark.tables.table import Table
from lakemark.tables.upkeep.removals import list_log, read_removals


def stamp(table: Table, version: int, seconds: int) -> None:
    os.utime(Path(table.uri) / "_delta_log" / f"{version:020}.json", (seconds, seconds))


def test_the_parts_of_a_log(table: Table) -> None:
    table.open().create_checkpoint()
    files = TableFiles(table.uri)
    data = files.read(f"_delta_log/{1:020}.checkpoint.parquet")
    for name in (
        f"{0:020}.checkpoint.{1:010}.{2:010}.parquet",  # one of two parts: not complete
        f"{1:020}.checkpoint.{'a' * 36}.parquet",
        f"{0:020}.{1:020}.compacted.json",
        f"{0:020}.crc",
    ):
        files.write(f"_delta_log/{name}", data)
    log = list_log(files)
    assert sorted(log.commits) == [0, 1]
    assert [(version, len(parts)) for version, parts in log.checkpoints.items()] == [(1, 1)]
    files.write(f"_delta_log/{0:020}.checkpoint.{2:010}.{2:010}.parquet", data)
    assert {version: len(parts) for version, parts in list_log(files).checkpoints.items()} == {0: 2, 1: 1}


def test_the_last_removal_counts(table: Table) -> None:
    [path, *_] = [entry.path for entry in table.manifest(version=0).entries]
    table.overwrite(pa.table({"day": [9], "amount": [0.5], "shop": ["z"]}))
    files = TableFiles(table.uri)
    first = read_removals(files, {path}).removed_ms[path]
    table.open().restore(1)
    table.overwrite(pa.table({"day": [9], "amount": [0.5], "shop": ["z"]}))
    assert read_removals(files, {path, "so that all is read"}).removed_ms[path] > first


def test_what_only_a_checkpoint_knows(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    files = TableFiles(table.uri)
    gone = {file.path for file in files.list() if file.path.endswith(".parquet") and "/" not in file.path}
    gone -= {entry.path for entry in table.manifest().entries}
    log = read_removals(files, gone)
    assert log.removed_ms.keys() >= gone
    assert log.begins_ms == list_log(files).commits[min(list_log(files).commits)].modified_ms


def test_a_log_begins_after_its_last_gap(table: Table) -> None:
    for number in range(3):
        table.append(pa.table({"day": [number], "amount": [0.5], "shop": ["z"]}))
    for version in range(5):
        stamp(table, version, 1_700_000_000 + version)
    files = TableFiles(table.uri)
    assert read_removals(files, set()).begins_ms == 0
    files.delete(f"_delta_log/{2:020}.json")
    assert read_removals(files, set()).begins_ms == 1_700_000_003_000


def test_nothing_is_read_for_nothing(table: Table) -> None:
    TableFiles(table.uri).write(f"_delta_log/{0:020}.json", b'"remove"')
    assert read_removals(TableFiles(table.uri), set()).removed_ms == {}
    with pytest.raises(StorageError, match="so nothing is deleted"):
        read_removals(TableFiles(table.uri), {"a"})


def test_a_checkpoint_without_removals(table: Table) -> None:
    table.open().create_checkpoint()
    files = TableFiles(table.uri)
    path = Path(table.uri) / "_delta_log" / f"{1:020}.checkpoint.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["remove"]), path)
    assert read_removals(files, {"a"}).removed_ms == {}
