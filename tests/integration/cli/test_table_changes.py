"""`lakemark tables`: commands that change rows, columns, rules and properties."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.command import Run, run_tables

from lakemark.tables.table import Table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table of days 1 to 3."""
    made = Table(tmp_path / "t")
    made.create(pa.table({"day": [1, 2, 3], "amount": [2.5, 3.5, None], "shop": ["a", "b", "c"]}))
    return made


@pytest.fixture
def run(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` beside the table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more.csv").write_text("day,amount,shop\n3,9.5,z\n4,1.5,new\n")
    (tmp_path / "note.jsonl").write_text('{"day": 5, "note": "hi"}\n')

    return run_tables


def days(table: Table) -> list[int]:
    return sorted(table.read()["day"].to_pylist())


def test_append_and_overwrite(run: Run, table: Table) -> None:
    refused = run("append", "t", "note.jsonl")
    assert refused.code == 2
    assert "schema_mode='merge' (--schema-mode merge) adds new columns" in refused.err
    assert run("append", "t", "note.jsonl", "--schema-mode", "merge").out == f"{table.uri}@1\n"
    assert table.schema.names == ["day", "amount", "shop", "note"]
    refused = run("overwrite", "t", "more.csv")
    assert "(--replace-schema) takes the columns of the data" in refused.err
    assert run("overwrite", "t", "more.csv", "--replace-schema").code == 0
    assert "where: day < 4\n" in run("overwrite", "t", "more.csv", "--where", "day < 4").err
    assert run("overwrite", "t", "more.csv", "--where", "day >= 3", "--json").document["version"] == 3
    assert days(table) == [3, 4]


def test_create(run: Run, tmp_path: Path) -> None:
    options = ["--generated", "twice=day * 2", "--property", "lakemark.owner=ada", "--comment", "orders"]
    assert run("create", "made", "--from", "more.csv", *options).code == 0
    made = Table(tmp_path / "made")
    assert made.read(columns=["twice"])["twice"].to_pylist() == [6, 8]
    metadata = made.open().metadata()
    assert (metadata.description, metadata.configuration["lakemark.owner"]) == ("orders", "ada")
    assert run("create", "other", "--from", "more.csv", "--property", "owner").code == 2


def test_delete(run: Run, table: Table) -> None:
    assert run("delete", "t").code == 2
    assert run("delete", "t", "--where", "day = 1", "--everything").code == 2
    asked = run("delete", "t", "--where", "day = 1")
    assert (asked.code, "needs --yes where nobody can be asked" in asked.err) == (2, True)
    assert run("delete", "t", "--where", "day = 1", "--dry-run").out == f"1 row of {table.uri}\n"
    assert run("delete", "t", "--where", "day > 1", "--dry-run", "--json").document == {
        "schema": "lakemark.tables.dry-run/1",
        "table": table.uri,
        "name": None,
        "rows": 2,
    }
    assert table.version == 0
    assert run("delete", "t", "--where", "dya = 1", "--yes").code == 2
    done = run("delete", "t", "--where", "day = 1", "--yes", "--message", "too old")
    assert (done.out, done.err) == (f"{table.uri}@1\n", "1 deleted\n")
    assert table.history(limit=1)[0].commit.message == "too old"
    assert run("delete", "t", "--where", "day = 1", "--yes").err == "no row changed\n"
    assert run("delete", "t", "--everything", "--yes", "--json").document["deleted"] == 2
    assert "names a version" in run("delete", "t@0", "--everything", "--yes").err


def test_update(run: Run, table: Table) -> None:
    assert run("update", "t", "--set", "day=day * 10", "--where", "day = 1", "--dry-run").out.startswith("1 row of ")
    done = run("update", "t", "--set", "day=day * 10", "--set", "shop='x=y'", "--where", "day = 1")
    assert (done.out, done.err) == (f"{table.uri}@1\n", "1 updated\n")
    assert {"day": 10, "amount": 2.5, "shop": "x=y"} in table.read().to_pylist()
    assert "row 0: " in run("update", "t", "--set", "day=day * 1.5").err
    assert "is not of the form NAME=VALUE" in run("update", "t", "--set", "day").err
    assert "gives 'day' twice" in run("update", "t", "--set", "day=1", "--set", "day=2").err


def test_merge(run: Run, table: Table) -> None:
    assert run("merge", "t", "more.csv", "--on", "day", "--json").document == {
        "schema": "lakemark.tables.changed/1",
        "table": table.uri,
        "name": None,
        "version": 1,
        "inserted": 1,
        "updated": 1,
        "deleted": 0,
    }
    done = run("merge", "t", "more.csv", "--on", "target.day = source.day", "--unmatched-by-source", "delete")
    assert done.err == "2 updated, 2 deleted\n"
    assert days(table) == [3, 4]
    assert run("merge", "t", "more.csv", "--on", "day", "--on", "shop", "--matched", "ignore").err == "no row changed\n"
    assert "no column 'dya' to merge on, did you mean 'day'" in run("merge", "t", "more.csv", "--on", "dya").err


def test_restore(run: Run, table: Table) -> None:
    table.delete(everything=True)
    assert run("restore", "t@0").out == f"{table.uri}@2\n"
    assert days(table) == [1, 2, 3]
    assert run("restore", "t").code == 2
    assert run("restore", "t@9").code == 3
    assert run("restore", "t", "--timestamp", "2999-01-01T00:00:00Z").code == 3


def test_rules_columns_and_properties(run: Run, table: Table) -> None:
    assert run("constrain", "t", "positive", "day > 0").code == 0
    broken = run("constrain", "t", "few", "day < 3")
    assert (broken.code, "1 row would break a rule of the table, constraint 'few': day < 3" in broken.err) == (2, True)
    assert run("constrain", "t", "few").code == 2
    assert run("constrain", "t", "postive", "--drop").code == 3
    assert run("constrain", "t", "positive", "--drop").code == 0
    assert run("add-column", "t", "rank:short, note:string").code == 0
    assert run("widen", "t", "rank:long").code == 0
    assert table.schema.field("rank").type == pa.int64()
    assert "cannot be widened" in run("widen", "t", "shop:long").err
    assert run("set", "t", "delta.checkpointInterval=50", "lakemark.owner=ada").code == 0
    assert table.open().metadata().configuration["lakemark.owner"] == "ada"
    assert "did you mean 'delta.appendOnly'" in run("set", "t", "delta.appendonly=true").err
