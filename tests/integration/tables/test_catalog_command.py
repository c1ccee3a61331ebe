"""`lakemark tables` on names: make, register, list, describe, search, rename, drop, complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import Run, run_tables

from lakemark.config.home import HOME_NAME, create_home


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` in a folder with a home and a file of rows."""
    (tmp_path / "rows.csv").write_text("day,amount,shop\n1,2.5,a\n2,3.5,b\n3,,c\n")
    monkeypatch.chdir(tmp_path)
    create_home(tmp_path)

    return run_tables


def test_a_name_with_a_dot_is_made_in_the_warehouse(run: Run, tmp_path: Path) -> None:
    assert run("create", "sales.orders", "--from", "rows.csv").out == "main.sales.orders@0\n"
    place = tmp_path.resolve() / HOME_NAME / "tables" / "main" / "sales" / "orders"
    assert run("append", "Sales.Orders", "rows.csv", "--json").document == {
        "schema": "lakemark.tables.commit/1",
        "table": str(place),
        "name": "main.sales.orders",
        "version": 1,
    }
    assert len(run("read", "sales.orders@0", "--json").document["rows"]) == 3
    assert run("create", "orders", "--from", "rows.csv").out == f"{tmp_path.resolve()}/orders@0\n"
    assert run("read", "orders").code == 0
    taken = run("create", "sales.orders", "--from", "rows.csv")
    assert (taken.code, "the name main.sales.orders is taken" in taken.err) == (4, True)
    assert run("create", "sales.orders@1", "--from", "rows.csv").code == 2
    assert run("append", "sales.orders@0", "rows.csv").code == 2


def test_tables_are_registered_listed_and_found(run: Run, tmp_path: Path) -> None:
    assert "no table has a name yet" in run("list").err
    run("create", "./events", "--from", "rows.csv")
    assert run("register", "raw.events", "events", "--comment", "clicks\x1b[2J").out == "main.raw.events@0\n"
    document = run("register", "raw.events", "events", "--json").document
    assert (document["schema"], document["name"], document["managed"]) == (
        "lakemark.tables.register/1",
        "main.raw.events",
        False,
    )
    run("create", "sales.orders", "--from", "rows.csv")
    lines = run("list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["TABLE", "main.raw.events", "main.sales.orders"]
    assert "\x1b" not in lines[1]
    assert [table["name"] for table in run("list", "--schema", "sales", "--json").document["tables"]] == [
        "main.sales.orders"
    ]
    assert run("search", "AMOUNT", "--json").document["tables"][0]["columns"] == ["amount"]
    assert "main.raw.events" in run("search", "clicks").out
    nothing = run("search", "zzz")
    assert (nothing.code, nothing.out, "'zzz'" in nothing.err) == (0, "", True)


def test_a_table_is_described(run: Run) -> None:
    run("create", "sales.orders", "--from", "rows.csv", "--message", "first", "--partition-by", "shop")
    text = run("describe", "sales.orders").out
    for part in ("main.sales.orders@0", "3 rows in 3 files", "partitions   shop", "WRITE: first", "amount  double"):
        assert part in text
    document = run("describe", "sales.orders", "--json").document
    assert document["columns"] == {"day": "int64", "amount": "double", "shop": "string"}
    assert (document["rows"], document["partition_columns"], document["managed"]) == (3, ["shop"], True)
    assert document["last_commit"]["message"] == "first"
    assert run("describe", document["table"], "--json").document["name"] is None


def test_renaming_and_dropping(run: Run, tmp_path: Path) -> None:
    run("create", "sales.orders", "--from", "rows.csv")
    assert run("rename", "sales.orders", "old.orders").out == "main.old.orders\n"
    assert "did you mean 'old.orders'" in run("read", "sales.orders").err
    refused = run("drop", "old.orders", "--delete-files")
    assert (refused.code, "needs --yes" in refused.err) == (2, True)
    planned = run("drop", "old.orders", "--delete-files", "--dry-run", "--json").document
    assert (planned["dry_run"], planned["files"]) == (True, 2)
    assert "would be forgotten" in run("drop", "old.orders", "--delete-files", "--dry-run").err
    assert Path(planned["table"]).is_dir()
    assert "are deleted" in run("drop", "old.orders", "--delete-files", "--yes").err
    assert not Path(planned["table"]).exists()
    run("create", "./events", "--from", "rows.csv")
    run("register", "raw.events", "events")
    kept = run("drop", "raw.events")
    assert f"{tmp_path.resolve()}/events stays as it is" in kept.err
    assert run("read", "./events").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("read", "sales.ordres"), 3, "did you mean 'sales.orders'"),
        (("read", "a.b.c.d"), 2, "it has 4 parts"),
        (("create", "a b.c", "--from", "rows.csv"), 2, "it has ' ' in it"),
        (("register", "x.y", "rows.csv"), 3, "it is a file"),
        (("register", "x y", "events"), 2, "it has ' ' in it"),
        (("register", "sales.orders", "events"), 4, "is taken"),
        (("describe", "sales.orders@7"), 3, "has no version 7"),
        (("describe", "sales.orders@q3"), 3, "no tag 'q3' on main.sales.orders"),
        (("drop", "nothing"), 3, "no table is named 'nothing'"),
        (("rename", "sales.orders", "./x"), 2, "is no name of a table"),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], code: int, told: str) -> None:
    run("create", "sales.orders", "--from", "rows.csv")
    run("create", "./events", "--from", "rows.csv")
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_without_a_home_folders_work_and_none_is_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / HOME_NAME).rename(tmp_path / "away")
    run("create", "orders", "--from", "rows.csv")
    assert run("read", "orders@0").code == 0
    assert run("describe", "orders", "--json").document["rows"] == 3
    for arguments in (("read", "sales.orders"), ("create", "sales.orders", "--from", "rows.csv"), ("list",)):
        done = run(*arguments)
        assert (done.code, "lakemark init" in done.err) == (3, True)
    assert not (tmp_path / HOME_NAME).exists()


def completed(folder: Path, words: str) -> str:
    variables = {
        "_LAKEMARK_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    command = Path(sys.executable).with_name("lakemark")
    done = subprocess.run(
        [command], capture_output=True, text=True, check=True, cwd=folder, env={**os.environ, **variables}
    )
    return done.stdout


def test_the_shell_completes_names(run: Run, tmp_path: Path) -> None:
    run("create", "sales.orders", "--from", "rows.csv")
    assert completed(tmp_path, "lakemark tables describe sa") == "plain,sales.orders\n"
    assert completed(tmp_path, "lakemark tables read sa") == "plain,sales.orders\n"
    assert completed(tmp_path, "lakemark tables describe ./f") == "dir,./f\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / HOME_NAME).rename(tmp_path / "elsewhere" / HOME_NAME)
    assert completed(tmp_path, "lakemark --home elsewhere tables describe sa") == "plain,sales.orders\n"
    assert completed(tmp_path, "lakemark tables describe sa") == "dir,sa\n"
