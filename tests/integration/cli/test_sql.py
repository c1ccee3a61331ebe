"""`lakemark sql` and the commands on checks, as people type them."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.command import Run, run_command

from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import read_settings
from lakemark.tables.table import Table


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark ...` in a folder."""
    monkeypatch.chdir(tmp_path)

    return run_command


@pytest.fixture
def table(run: Run, tmp_path: Path) -> Table:
    """A table with thirty rows in version 0, and one more in version 1."""
    made = Table(tmp_path / "lake" / "orders")
    made.create(pa.table({"id": list(range(30)), "name": ["a\x1b[2J"] * 30, "parts": [[1, 2]] * 30}))
    made.append(pa.table({"id": [30], "name": ["é"], "parts": pa.array([None], pa.list_(pa.int64()))}))
    return made


def test_rows_on_stdout_and_versions_on_stderr(run: Run, table: Table) -> None:
    done = run("sql", "select id, name from 'lake/orders' where id < 1")
    assert (done.code, done.out) == (0, "id  name\n0   a\\x1b[2J\n")
    assert done.err == "read lake/orders@1\n"
    assert run("sql", "select count(*) n from 'lake/orders' version as of 0").out == "n\n30\n"


def test_a_long_table_is_cut_and_says_so(run: Run, table: Table) -> None:
    done = run("sql", "from 'lake/orders'")
    assert len(done.out.splitlines()) == 21
    assert "--limit 0" in done.err
    assert len(run("sql", "from 'lake/orders'", "--limit", "0").out.splitlines()) == 32
    assert "--limit" not in run("sql", "from 'lake/orders'", "--limit", "31").err


def test_json(run: Run, table: Table) -> None:
    done = run("sql", "select id, parts, id from 'lake/orders@0' order by id", "--json", "--limit", "2")
    assert done.document["schema"] == "lakemark.sql/1"
    assert done.document["rows"] == [[0, [1, 2], 0], [1, [1, 2], 1]]
    assert done.document["complete"] is False
    assert [column["name"] for column in done.document["columns"]][:2] == ["id", "parts"]
    assert done.document["tables"][0]["version"] == 0
    assert run("sql", "select 1 where false", "--format", "json").document["rows"] == []


def test_csv(run: Run, table: Table) -> None:
    done = run("sql", "select id, name, parts from 'lake/orders' order by id desc limit 2", "--format", "csv")
    assert list(csv.reader(io.StringIO(done.out))) == [
        ["id", "name", "parts"],
        ["30", "é", ""],
        ["29", "a\x1b[2J", "[1, 2]"],
    ]


def test_files(run: Run, table: Table, tmp_path: Path) -> None:
    done = run("sql", "from 'lake/orders'", "--output", "rows.parquet")
    assert (done.code, done.out, done.err) == (0, "", "read lake/orders@1\n")
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 31
    run("sql", "from 'lake/orders'", "--output", "rows.csv")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 32
    failed = run("sql", "select name::int from 'lake/orders'", "--output", "rows.csv")
    assert failed.code == 2
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "rows.csv", "rows.parquet"]


def test_a_query_from_a_file(run: Run, table: Table, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- all\nselect count(*) as n\nfrom 'lake/orders';\n")
    assert run("sql", "--file", "q.sql").out == "n\n31\n"
    assert run("sql", "--file", "-", stdin="select 1 as n").out == "n\n1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give a query, or --file"),
        (("select 1", "--file", "-"), 2, "give a query, or --file"),
        (("select 1", "--json", "--format", "csv"), 2, "contradict"),
        (("select 1", "--format", "parquet"), 2, "--output FILE"),
        (("copy x to 'y'",), 2, "COPY is refused"),
        (("select idd from 'lake/orders'",), 2, "line 1, column 8: no column is named 'idd', did you mean 'id'?"),
        (("from 'lake/order'",), 3, "no Delta table"),
        (("from 'lake/orders@7'",), 3, "it has 0 to 1"),
    ],
)
def test_what_is_refused(run: Run, table: Table, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run("sql", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_ctrl_c_stops_a_query(table: Table) -> None:
    text = "select sum(sin(a.range)) from range(100000) a, range(10000000) b, 'lake/orders'"
    command = [sys.executable, "-c", "from lakemark.cli.main import main; main()", "sql", text]
    folder = Path(table.uri).parents[1]
    scratch = folder / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not list(scratch.iterdir()):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(3)  # DuckDB is at it, and would show a progress bar if it were let
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said.strip()) == (130, b"", b"")
    assert list(scratch.iterdir()) == []


@pytest.fixture
def workspace(run: Run, tmp_path: Path) -> Workspace:
    """A home in the same folder."""
    return open_workspace(read_settings(), folder=tmp_path)


def test_checks_are_declared_asked_and_dropped(run: Run, table: Table, workspace: Workspace) -> None:
    assert run("tables", "add-check", "lake/orders", "ids", "--unique", "id").out == f"{table.uri}@2\n"
    warned = run(
        "tables", "add-check", "lake/orders", "parts", "--not-null", "parts", "--severity", "warning", "--json"
    )
    assert warned.document["version"] == 3
    listed = run("tables", "checks", "lake/orders").out.splitlines()
    assert [line.split() for line in listed] == [
        ["CHECK", "SEVERITY", "RULE"],
        ["ids", "error", "id", "unique"],
        ["parts", "warning", "parts", "is", "not", "null"],
    ]
    done = run("tables", "check", "lake/orders", "--json")
    assert (done.code, done.document["passed"], done.document["version"]) == (0, True, 3)
    assert [(one["name"], one["passed"], one["failing_rows"]) for one in done.document["results"]] == [
        ("ids", True, 0),
        ("parts", False, 1),
    ]
    assert "id=30" in done.document["results"][1]["samples"][0]
    kept = workspace.check_results.list(table_id=str(table.open().metadata().id), version=3)
    assert {(row.check_name, row.passed) for row in kept} == {("ids", True), ("parts", False)}
    assert run("tables", "drop-check", "lake/orders", "ids").code == 0
    assert run("tables", "checks", "lake/orders", "--json").document["checks"] == [
        {"name": "parts", "severity": "warning", "kind": "not_null", "column": "parts"}
    ]


def test_a_check_that_fails_exits_with_1(run: Run, table: Table) -> None:
    assert "declares no checks" in run("tables", "check", "lake/orders").err
    refused = run("tables", "add-check", "lake/orders", "few", "--rows", ":5")
    assert (refused.code, "31 rows, wanted: rows at most 5" in refused.err) == (2, True)
    run("tables", "add-check", "lake/orders", "few", "--rows", ":5", "--no-verify")
    done = run("tables", "check", "lake/orders")
    assert done.code == 1
    assert done.out.splitlines()[1].split()[:2] == ["failed", "few"]
    assert run("tables", "check", "lake/orders@1").code == 0


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        (("--range", "id:0:"), {"kind": "range", "column": "id", "min": "0"}),
        (("--in-set", "name:a,b"), {"kind": "in_set", "column": "name", "values": ["a", "b"]}),
        (("--regex", "name:a:.*"), {"kind": "regex", "column": "name", "pattern": "a:.*"}),
        (("--rows", "1:"), {"kind": "row_count", "min": 1}),
        (("--sql", "from {table} where id < 0"), {"kind": "sql", "query": "from {table} where id < 0"}),
    ],
)
def test_each_rule_has_an_option(run: Run, table: Table, option: tuple[str, str], rule: dict[str, object]) -> None:
    assert run("tables", "add-check", "lake/orders", "it", *option, "--no-verify").code == 0
    (declared,) = run("tables", "checks", "lake/orders", "--json").document["checks"]
    assert declared == {"name": "it", "severity": "error", **rule}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give one rule, not 0"),
        (("--not-null", "id", "--rows", "1:"), 2, "give one rule, not 2"),
        (("--range", "id:1"), 2, "COLUMN:MIN:MAX"),
        (("--rows", "x:"), 2, "no number of rows"),
        (("--fresh", "id:24"), 2, "no age"),
        (("--fresh", "id:24h"), 2, "freshness needs a time or a date"),
        (("--not-null", "idd"), 2, "did you mean 'id'?"),
    ],
)
def test_a_rule_that_is_none(run: Run, table: Table, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run("tables", "add-check", "lake/orders", "it", *arguments)
    assert (done.code, table.version) == (code, 1)
    assert said in done.err
