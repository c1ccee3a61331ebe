from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, PostCommitHookProperties, write_deltalake

from lakemark._base.writer import Writer, writing_as
from lakemark.tables.checks.rules import Check, NotNull
from lakemark.tables.checks.running import add_check, drop_check
from lakemark.tables.log.commits import Commit, commit_properties, read_info
from lakemark.tables.pinning.protection import protect
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compact_small_files
from lakemark.tables.upkeep.maintenance import compact, z_order

ROW = pa.table({"x": pa.array([3], pa.int32()), "y": [9]})
FEW = {"delta.checkpointInterval": "1"}

WRITES: dict[str, Callable[[Table], object]] = {
    "append": lambda table: table.append(ROW),
    "append of a new column": lambda table: table.append(ROW.append_column("z", [[1]]), schema_mode="merge"),
    "overwrite": lambda table: table.overwrite(ROW),
    "overwrite where": lambda table: table.overwrite(ROW, where="x = 3"),
    "delete": lambda table: table.delete("x = 3"),
    "delete everything": lambda table: table.delete(everything=True),
    "update": lambda table: table.update({"y": "y + 1"}, "x = 3"),
    "merge": lambda table: table.merge(ROW, on=["x"]),
    "restore": lambda table: table.restore(5),
    "constraint": lambda table: table.add_constraint("c", "x >= 0"),
    "columns": lambda table: table.add_columns(pa.schema([("z", pa.int64())])),
    "widen": lambda table: table.widen({"x": pa.int64()}),
    "properties": lambda table: table.set_properties({"lakemark.owner": "ada"}),
    "protect": protect,
    "compact": compact,
    "z-order": lambda table: z_order(table, ["x"]),
    "compact for a stream": lambda table: compact_small_files(table, small_bytes=10**6, limit=1, message="small files"),
    "add check": lambda table: add_check(table, Check("c", NotNull("x"))),
}


@pytest.mark.parametrize("properties", [{}, FEW], ids=["checkpoints by default", "checkpoints always"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_no_write_cleans_the_log_of_a_table_that_nobody_protects(
    tmp_path: Path, write: Callable[[Table], object], properties: dict[str, str]
) -> None:
    table = old_table(tmp_path, properties)
    write(table)
    assert table.version > 6
    assert [record.version for record in table.history()] == [*range(table.version, -1, -1)]
    assert table.read(version=1).num_rows == 2


def test_dropping_a_rule_does_not_clean_the_log_either(tmp_path: Path) -> None:
    table = old_table(tmp_path, FEW)
    table.add_constraint("c", "x >= 0")
    add_check(table, Check("c", NotNull("x")))
    age(table)
    table.drop_constraint("c")
    drop_check(table, "c")
    assert table.read(version=1).num_rows == 2


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_every_commit_says_which_run_made_it(tmp_path: Path, write: Callable[[Table], object]) -> None:
    table = old_table(tmp_path, {})
    with writing_as(Writer("5" * 32, "train")):
        write(table)
    ours = [record for record in table.history() if record.version > 6]
    assert {(record.commit.run_id, record.commit.node) for record in ours} == {("5" * 32, "train")}


def test_what_deltalake_is_told() -> None:
    said = commit_properties(Commit(run_id="r"), metadata={"lakemark.checks": "[]"}, alone=True)
    assert (said.custom_metadata or {})["lakemark.checks"] == "[]"
    assert (said.custom_metadata or {})["lakemark.run_id"] == "r"
    assert said.max_commit_retries == 0
    assert commit_properties(None).max_commit_retries is None


def old_table(folder: Path, properties: dict[str, str]) -> Table:
    """Return a table of another engine, with versions 0 to 6 and a checkpoint, which nobody wrote to for long."""
    keep = PostCommitHookProperties(cleanup_expired_logs=False)
    for number in range(7):
        rows = pa.table({"x": pa.array([number], pa.int32()), "y": [number]})
        write_deltalake(folder, rows, mode="append", configuration=properties, post_commithook_properties=keep)
    DeltaTable(folder).create_checkpoint()
    table = Table(folder)
    age(table)
    return table


def age(table: Table) -> None:
    for path in (Path(table.uri) / "_delta_log").iterdir():
        os.utime(path, (10**9, 10**9))


def test_a_commit_says_its_own_where_others_say_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [0]}))
    table.append(pa.table({"x": [1]}), commit=Commit(message="one"))
    silent = Path(table.uri) / "_delta_log" / f"{2:020}.json"
    silent.write_text(json.dumps({"txn": {"appId": "other", "version": 1}}))
    table.append(pa.table({"x": [2]}), commit=Commit(message="three"))
    said = [read_info(table.uri, version).get("lakemark.message") for version in range(5)]
    assert said == [None, "one", None, "three", None]
