"""`lakemark tables read`, `changes`, `schema` and `history`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.command import Run, run_tables


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` in a folder with a table that records its changes."""
    monkeypatch.chdir(tmp_path)
    rows = pa.table({"day": [2, 1], "shop": ["a\x1b[2J", "b"]})
    write_deltalake("t", rows, configuration={"delta.enableChangeDataFeed": "true"})
    write_deltalake("t", pa.table({"day": [1, 3], "shop": ["c", None]}), mode="append")
    DeltaTable("t").delete("day = 3")

    return run_tables


def test_some_columns_and_rows_in_an_order(run: Run) -> None:
    found = run(
        "read",
        "./t",
        "--column",
        "shop",
        "--column",
        "day",
        "--where",
        "shop is not null",
        "--order-by",
        "day",
        "--order-by",
        "shop",
    )
    assert [line.split() for line in found.out.splitlines()] == [
        ["shop", "day"],
        ["b", "1"],
        ["c", "1"],
        ["a\\x1b[2J", "2"],
    ]
    document = run("read", "./t@0", "--where", "day > 1", "--json").document
    assert (document["rows"], document["complete"]) == ([{"day": 2, "shop": "a\x1b[2J"}], True)
    assert run("read", "./t", "--where", "day like 1").code == 2
    assert run("read", "./t", "--order-by", "dya").code == 3


def test_rows_as_text(run: Run) -> None:
    assert run("read", "./t", "--format", "csv", "--column", "day").out == '"day"\n2\n1\n1\n'
    lines = run("read", "./t", "--format", "json", "--limit", "2").out.splitlines()
    assert [json.loads(line)["day"] for line in lines] == [2, 1]
    assert "give --output" in run("read", "./t", "--format", "parquet").err


def test_rows_in_a_file(run: Run, tmp_path: Path) -> None:
    done = run("read", "./t@1", "--output", "rows.parquet")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote 4 rows of {tmp_path.resolve()}/t@1 to rows.parquet\n"
    assert pq.read_table(tmp_path / "rows.parquet")["day"].to_pylist() == [2, 1, 1, 3]
    assert run("read", "./t", "--output", "rows.csv", "--limit", "1").code == 0
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 2
    assert "what format is rows.txt?" in run("read", "./t", "--output", "rows.txt").err
    assert run("read", "./t", "--output", "rows.csv", "--json").code == 2


def test_changes(run: Run) -> None:
    found = run("changes", "./t", "--from", "1", "--json").document
    assert found["schema"] == "lakemark.tables.changes/1"
    told = sorted((row["_commit_version"], row["_change_type"], row["day"]) for row in found["changes"])
    assert told == [(1, "insert", 1), (1, "insert", 3), (2, "delete", 3)]
    few = run("changes", "./t", "--from", "0", "--to", "1", "--limit", "3")
    assert len(few.out.splitlines()) == 4
    assert "hint: there are more changes" in few.err
    assert few.out.split()[:2] == ["_change_type", "_commit_version"]
    assert run("changes", "./t", "--from", "7").code == 3


def test_schema(run: Run) -> None:
    assert [line.split() for line in run("schema", "./t").out.splitlines()] == [
        ["COLUMN", "TYPE", "NULL", "PARTITION"],
        ["day", "int64", "yes", "-"],
        ["shop", "string", "yes", "-"],
    ]
    found = run("schema", "./t@1", "--json").document
    assert found["version"] == 1
    assert found["columns"][1] == {"name": "shop", "type": "string", "nullable": True, "partition": False}


def test_history_says_who_and_why(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "t" / "_delta_log"
    info: dict[str, Any] = {"timestamp": 1, "operation": "WRITE", "userName": "ada\x1b[2J", "userMetadata": "by hand"}
    (log / f"{3:020}.json").write_text(json.dumps({"commitInfo": info}) + "\n")
    ours = {"lakemark.run_id": "4bf92f35", "lakemark.node": "clean", "lakemark.message": "ours", "operation": "WRITE"}
    (log / f"{4:020}.json").write_text(json.dumps({"commitInfo": ours | {"timestamp": 2}}) + "\n")
    header, first, second, *_ = (line.split() for line in run("history", "./t").out.splitlines())
    assert header == ["VERSION", "TIME", "OPERATION", "ROWS", "BY", "NODE", "MESSAGE"]
    assert first[2:] == ["WRITE", "-", "4bf92f35", "clean", "ours"]
    assert second[2:] == ["WRITE", "-", "ada\\x1b[2J", "-", "by", "hand"]
    commits = run("history", "./t", "--json", "--limit", "2").document["commits"]
    assert [(one["user"], one["node"], one["message"]) for one in commits] == [
        (None, "clean", "ours"),
        ("ada\x1b[2J", None, "by hand"),
    ]
