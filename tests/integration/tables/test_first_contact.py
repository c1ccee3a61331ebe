"""What somebody meets who types `lakemark tables` for the first time: words, names and sizes, and errors that help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from tests.command import Run, run_tables

from lakemark.cli.main import lakemark_command
from lakemark.config.home import create_home
from lakemark.tables.table import Table


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` in a folder with a home and a table of two versions."""
    monkeypatch.chdir(tmp_path)
    create_home(tmp_path)
    (tmp_path / "rows.csv").write_text("day,amount,shop\n1,2.5,a\n2,3.5,b\n3,,c\n")
    run_tables("create", "shop.sales", "--from", "rows.csv")
    run_tables("append", "shop.sales", "rows.csv")
    return run_tables


def test_the_help_has_headings_and_every_command() -> None:
    lines = CliRunner().invoke(lakemark_command, ["tables", "--help"]).stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options:",
        "Names:",
        "Read:",
        "Write:",
        "Columns and rules:",
        "Check:",
        "Keep:",
        "Maintain:",
        "Stream:",
    ]
    group = lakemark_command.get_command(lakemark_command.make_context("lakemark", ["tables"]), "tables")
    assert group is not None
    shown = {line.split()[0] for line in lines[lines.index("Names:") :] if line.startswith("  ") and line[2] != " "}
    assert shown == set(group.list_commands(None))  # type: ignore[attr-defined]


def test_options_for_several_columns_are_repeated(run: Run) -> None:
    rows = run(
        "read",
        "shop.sales@0",
        "--column",
        "shop",
        "--column",
        "day",
        "--order-by",
        "shop",
        "--order-by",
        "day",
        "--json",
    )
    assert [list(row) for row in rows.document["rows"]] == [["shop", "day"]] * 3
    run("add-check", "shop.sales", "once", "--unique", "day", "--unique", "shop", "--severity", "warning")
    assert "day, shop unique" in run("checks", "shop.sales").out
    assert run("read", "shop.sales", "--column", "shop,day").code == 3


def test_listings_call_a_table_by_its_name(run: Run, tmp_path: Path) -> None:
    assert run("tag", "shop.sales@0", "first").out == "main.shop.sales@first is version 0\n"
    assert run("pin", "shop.sales@1", "--reason", "audit").out == "main.shop.sales@1\n"
    assert run("clone", "shop.sales@0", "dev.sales").out == "main.dev.sales@0\n"
    for listing in ("tags", "pins", "verify"):
        done = run(listing)
        assert "main.shop.sales" in done.out, listing
        assert str(tmp_path) not in done.out + done.err, listing
    assert "main.shop.sales@0" in run("untag", "shop.sales", "first", "--reason", "over").err
    assert repr(Table(tmp_path / "t", at=3)) == f"Table('{tmp_path.resolve()}/t@3')"


def test_the_history_says_how_many_rows_each_change_touched(run: Run) -> None:
    run("delete", "shop.sales", "--where", "day = 1", "--yes")
    run("update", "shop.sales", "--set", "amount=1.0", "--where", "day = 2")
    shown = {line.split()[0]: " ".join(line.split()[2:5]) for line in run("history", "shop.sales").out.splitlines()}
    assert [shown[version] for version in "0123"] == [
        "WRITE 3 added",
        "WRITE 3 added",
        "DELETE 2 deleted",
        "UPDATE 2 updated",
    ]
    limited = run("history", "shop.sales", "--limit", "1", "--json").document
    assert (limited["name"], limited["complete"]) == ("main.shop.sales", False)


def test_a_version_and_a_time_contradict(run: Run) -> None:
    done = run("read", "shop.sales@0", "--timestamp", "2013-01-01T00:00:00Z")
    assert (done.code, "names a version" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", "", "empty.csv cannot be read: it is empty"),
        ("ragged.csv", "a,b\n1,2\n3\n", "line 3 has 1 values, and the header 2 names"),
        ("bad.jsonl", '{"a":1}\n{"a":}\n', "line 2 is no JSON"),
        ("list.jsonl", "[1,2]\n", "line 1 is '[1,2]', and no object"),
        ("mixed.jsonl", '{"a":1}\n{"a":"x"}\n', "line 2, 'a': 'x' is a string, after numbers"),
        ("names.csv", b"\x80,b\n1,2\n", "a name of a column is not UTF-8"),
        ("header.csv", "a,b\n", "no value to tell its type by"),
        ("late.csv", "id,x\n" + "1,1\n" * 300_000 + "foo,2\n", "late.csv: line 300002, column 'id': 'foo' is no int64"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_line(run: Run, name: str, content: str | bytes, said: str) -> None:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    done = run("create", "shop.new", "--from", name)
    assert (done.code, said in done.err) == (2, True), done.err
    assert "shop.new" not in run("list").out


def test_a_folder_is_no_file(run: Run) -> None:
    Path("dir.csv").mkdir()
    done = run("append", "shop.sales", "dir.csv")
    assert (done.code, "dir.csv is a folder" in done.err) == (2, True)


def test_types_are_taken_as_schema_prints_them(run: Run) -> None:
    types = "a:int64, b:timestamp[us, tz=UTC], c:decimal128(5, 2), d:int"
    assert run("create", "shop.typed", "--schema", types).code == 0
    kinds = [column["type"] for column in run("schema", "shop.typed", "--json").document["columns"]]
    assert kinds == ["int64", "timestamp[us, tz=UTC]", "decimal128(5, 2)", "int32"]


def test_rules_that_cannot_be_asked_are_named(run: Run) -> None:
    for rule in (("--range", "day:a:b"), ("--regex", "shop:[")):
        done = run("add-check", "shop.sales", "odd", *rule)
        assert (done.code, "check 'odd' cannot be asked" in done.err) == (2, True)


@pytest.mark.skipif(shutil.which("setpriv") is None and os.geteuid() == 0, reason="root may write everywhere")
def test_what_may_only_be_read_is_read_and_not_written(run: Run, tmp_path: Path) -> None:
    """A home and its tables in folders without the right to write, for a process that is nobody special."""
    plain = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    subprocess.run(["chmod", "-R", "a-w", tmp_path], check=True)
    try:
        for command, code in (
            (["list"], 0),
            (["read", "shop.sales@0", "--limit", "1"], 0),
            (["append", "shop.sales", "rows.csv"], 1),
        ):
            done = subprocess.run(
                [*plain, sys.executable, "-c", "from lakemark.cli.main import main; main()", "tables", *command],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, "panicked" in done.stderr) == (code, False), done.stderr
    finally:
        subprocess.run(["chmod", "-R", "u+w", tmp_path], check=True)
    assert "may only be read" in done.stderr
    assert pa.table(Table(tmp_path / ".lakemark/tables/main/shop/sales").read()).num_rows == 6
