from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError
from lakemark._base.writer import Writer, writing_as
from lakemark.tables.table import Commit, Table
from lakemark.tables.upkeep import maintenance
from lakemark.tables.upkeep.maintenance import checkpoint, compact, z_order


def fill(table: Table, *sizes: int, shops: int = 1) -> Table:
    """Make a table with one commit for each size (rows)."""
    numbers = random.Random(1)
    for number, size in enumerate(sizes):
        rows = pa.table({"x": [numbers.random() for _ in range(size)], "shop": [f"s {k % shops}" for k in range(size)]})
        if number:
            table.append(rows)
        else:
            table.create(rows, partition_by=["shop"] if shops > 1 else [])
    return table


def log(table: Table) -> list[str]:
    return sorted(path.name for path in (Path(table.uri) / "_delta_log").iterdir())


def age(table: Table) -> None:
    for path in (Path(table.uri) / "_delta_log").iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))


def test_compacting_keeps_the_rows_and_says_who_did_it(tmp_path: Path) -> None:
    table = fill(Table(tmp_path / "t"), 3, 2, 4)
    rows = table.read().sort_by("x")
    with writing_as(Writer("run-1", "tidy")):
        done = compact(table, commit=Commit(message="nightly"))
    assert (done.version, len(done.merged), done.new_files, done.dry_run) == (3, 3, 1, False)
    assert done.merged_bytes == table.manifest(version=2).bytes
    assert done.new_bytes == table.manifest().bytes
    assert table.read().sort_by("x").equals(rows)
    said = table.history(limit=1)[0]
    assert (said.operation, said.commit) == ("OPTIMIZE", Commit("run-1", "tidy", "nightly"))
    again = compact(table)
    assert (again.version, again.merged, table.version) == (None, (), 3)


@pytest.mark.parametrize("seed", range(6))
def test_a_dry_run_tells_what_will_be_merged(seed: int, tmp_path: Path) -> None:
    numbers = random.Random(seed)
    sizes = [numbers.choice([5, 20, 50, 200, 700, 900, 3000]) for _ in range(9)]
    table = fill(Table(tmp_path / "t"), *sizes, shops=numbers.choice([1, 2]))
    planned = compact(table, target_size=12_000, dry_run=True)
    assert (planned.version, planned.dry_run, table.version) == (None, True, len(sizes) - 1)
    done = compact(table, target_size=12_000)
    assert (planned.merged, planned.merged_bytes) == (done.merged, done.merged_bytes)


def test_the_table_may_say_how_large_files_shall_be(tmp_path: Path) -> None:
    table = fill(Table(tmp_path / "t"), 900, 900, 900)
    table.open().alter.set_table_properties({"delta.targetFileSize": "20000"})
    assert len(compact(table, dry_run=True).merged) == 2
    assert len(compact(table, target_size=100_000, dry_run=True).merged) == 3
    with pytest.raises(InvalidInputError, match="a target of 0 bytes: must be more than 0"):
        compact(table, target_size=0)


def test_only_some_partitions(tmp_path: Path) -> None:
    table = fill(Table(tmp_path / "t"), 4, 4, shops=2)
    planned = compact(table, where={"shop": "s 1"}, dry_run=True)
    done = compact(table, where={"shop": "s 1"})
    assert done.merged == planned.merged
    assert len(done.merged) == 2
    assert all(path.startswith("shop=s%25201/") for path in done.merged)
    with pytest.raises(InvalidInputError, match="is not partitioned by 'x'") as caught:
        compact(table, where={"x": "1"})
    assert caught.value.hint == "it is partitioned by shop"
    with pytest.raises(InvalidInputError, match="is not partitioned by 'x'"):
        compact(table, where={"x": "1"}, dry_run=True)


def test_partitions_without_a_value(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    rows = pa.table({"p": pa.array([None, "a"], pa.string()), "x": [1, 2]})
    table.create(rows, partition_by=["p"])
    table.append(rows)
    planned = compact(table, where={"p": ""}, dry_run=True)
    assert len(planned.merged) == 2
    assert compact(table, where={"p": ""}).merged == planned.merged
    assert table.read().num_rows == 4


def test_z_order_brings_close_values_together(tmp_path: Path) -> None:
    table = fill(Table(tmp_path / "t"), 500, 500, 500)
    rows = table.read().sort_by("x")
    assert len(z_order(table, ["x"], dry_run=True).merged) == 3
    done = z_order(table, ["x"], target_size=4_000)
    assert (done.version, len(done.merged)) == (3, 3)
    assert table.read().sort_by("x").equals(rows)
    assert table.history(limit=1)[0].commit.message == "z-order by x"
    with pytest.raises(InvalidInputError, match="has no column 'y'"):
        z_order(table, ["y"])
    with pytest.raises(InvalidInputError, match="z-order by no column"):
        z_order(table, [])


def test_z_order_refuses_the_columns_of_partitions(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is partitioned by 'shop'"):
        z_order(fill(Table(tmp_path / "t"), 4, shops=2), ["shop"])


def test_a_version_cannot_be_maintained(table: Table) -> None:
    view = Table(table.uri, at=0)
    for act in (compact, checkpoint, lambda view: z_order(view, ["day"])):
        with pytest.raises(InvalidInputError, match="@0 is one version of a table"):
            act(view)


def test_deleted_rows_stay_deleted(deletion_table: Callable[[str], Table]) -> None:
    table = deletion_table("u")
    rows = table.read().sort_by("x")
    z_order(table, ["x"])
    assert table.read().sort_by("x").equals(rows)


def test_columns_with_other_names_in_files_are_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / "t")
    DeltaTable.create(folder, pa.schema([("x", pa.int64())]), configuration={"delta.columnMapping.mode": "name"})
    for number in range(2):
        write_deltalake(folder, pa.table({"x": [number]}), mode="append")
    with pytest.raises(InvalidInputError, match=r"delta.columnMapping.mode=name"):
        compact(Table(folder))


@pytest.mark.parametrize("act", [compact, lambda table: z_order(table, ["x"])])
def test_the_log_of_a_table_of_others_is_not_cleaned(act: Callable[[Table], object], tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    for number in range(3):
        write_deltalake(table.uri, pa.table({"x": [number]}), mode="append")
    age(table)
    table.open().create_checkpoint()
    age(table)
    before = log(table)
    act(table)
    assert set(before) < set(log(table))
    assert table.read(version=0).num_rows == 1


def test_compacting_that_loses_a_race_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = fill(Table(tmp_path / "t"), 2, 3)
    plan = maintenance._plan
    races: list[object] = []

    def delete_meanwhile(*arguments: object) -> object:
        planned = plan(*arguments)  # type: ignore[arg-type]  # passed on as they come
        if len(races) < 2:
            races.append(table.open().delete(f"x = {table.read()['x'][0].as_py()!r}"))
        return planned

    monkeypatch.setattr(maintenance, "_plan", delete_meanwhile)
    monkeypatch.setattr("lakemark.tables.writes.retries._WAIT_SECONDS", 0.001)
    done = compact(table)
    assert done.version == 4
    assert table.read().num_rows == 3
    assert len(races) == 2


def test_checkpoints(table: Table) -> None:
    assert checkpoint(table) == 1
    assert f"{1:020}.checkpoint.parquet" in log(table)
    before = {name: (Path(table.uri) / "_delta_log" / name).stat().st_mtime_ns for name in log(table)}
    assert checkpoint(table) == 1
    assert before == {name: (Path(table.uri) / "_delta_log" / name).stat().st_mtime_ns for name in log(table)}
    (Path(table.uri) / "_delta_log" / "_last_checkpoint").write_text("{")
    assert checkpoint(table) == 1
    assert json.loads((Path(table.uri) / "_delta_log" / "_last_checkpoint").read_text())["version"] == 1


def test_a_checkpoint_never_hides_a_newer_one(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = Path(table.uri) / "_delta_log" / "_last_checkpoint"
    real = DeltaTable.create_checkpoint

    def create(opened: DeltaTable) -> None:
        real(opened)
        older = hint.read_bytes()
        table.append(pa.table({"day": [4], "amount": [1.0], "shop": ["z"]}))
        real(table.open())
        hint.write_bytes(older)  # as if the two had come in the other order

    monkeypatch.setattr(DeltaTable, "create_checkpoint", create)
    assert checkpoint(table) == 1
    assert json.loads(hint.read_text())["version"] == 2
    assert table.version == 2


def test_a_checkpoint_cleans_no_log(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    for number in range(3):
        write_deltalake(table.uri, pa.table({"x": [number]}), mode="append")
    age(table)
    before = log(table)
    checkpoint(table)
    assert set(before) < set(log(table))


def test_races_that_are_never_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = fill(Table(tmp_path / "t"), 30, 30)
    plan = maintenance._plan

    def delete_meanwhile(*arguments: object) -> object:
        planned = plan(*arguments)  # type: ignore[arg-type]  # passed on as they come
        table.open().delete(f"x = {table.read()['x'][0].as_py()!r}")
        return planned

    monkeypatch.setattr(maintenance, "_plan", delete_meanwhile)
    monkeypatch.setattr("lakemark.tables.writes.retries._WAIT_SECONDS", 0.001)
    with pytest.raises(ConflictError, match="was changed by somebody else meanwhile"):
        compact(table)
