"""`lakemark tables`, from the first file to the vacuum that obeys a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.command import Run, run_tables

from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import read_settings
from lakemark.tables.table import Table
from lakemark.tracking.spool import Spool


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` in a folder with a file of rows."""
    (tmp_path / "rows.csv").write_text("day,amount,shop\n1,2.5,a\n2,3.5,b\n3,,c\n")
    monkeypatch.chdir(tmp_path)

    return run_tables


@pytest.fixture
def workspace(run: Run, tmp_path: Path) -> Workspace:
    """A home in the same folder."""
    return open_workspace(read_settings(), folder=tmp_path)


def test_a_table_is_made_filled_and_read(run: Run, tmp_path: Path) -> None:
    assert run("create", "t", "--from", "rows.csv", "--message", "first").out == f"{tmp_path.resolve()}/t@0\n"
    assert run("append", "t", "rows.csv", "--json").document == {
        "schema": "lakemark.tables.commit/1",
        "table": f"{tmp_path.resolve()}/t",
        "name": None,
        "version": 1,
    }
    assert run("overwrite", "t", "rows.csv").out.endswith("t@2\n")
    old = run("read", "t@1", "--json", "--limit", "4").document
    assert (old["version"], len(old["rows"]), old["complete"]) == (1, 4, False)
    assert old["rows"][2] == {"day": 3, "amount": None, "shop": "c"}
    shown = run("read", "t", "--limit", "2")
    assert shown.out.splitlines() == ["day  amount  shop", "1    2.5     a", "2    3.5     b"]
    assert "there are more rows: --limit 0 prints all" in shown.err
    assert len(run("read", "t@1", "--limit", "0").out.splitlines()) == 7
    commits = run("history", "t", "--json").document["commits"]
    assert [(commit["version"], commit["message"]) for commit in commits] == [(2, None), (1, None), (0, "first")]
    assert run("history", "t", "--limit", "1").out.splitlines()[1].startswith("2  ")
    moment = commits[-1]["timestamp"]
    assert run("read", "t", "--timestamp", moment, "--json").document["version"] in (0, 1, 2)


def test_a_table_is_made_from_a_schema(run: Run) -> None:
    run("create", "t", "--schema", "day:long, amount:double, shop:string", "--partition-by", "shop")
    assert run("append", "t", "rows.csv").code == 0
    assert run("read", "t", "--json").document["columns"] == {"day": "int64", "amount": "double", "shop": "string"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("read", "nothing"), 3, "no table is named 'nothing', and there is no such folder"),
        (("read", "./nothing"), 3, "no Delta table at"),
        (("read", "t@9"), 3, "it has 0 to 0"),
        (("read", "t", "--timestamp", "2013-01-01"), 2, "has no time zone"),
        (("create", "t", "--from", "rows.csv"), 4, "there is a table at"),
        (("create", "u", "--from", "no.csv"), 3, "no file no.csv"),
        (("create", "u"), 2, "give either --from FILE or --schema COLUMNS"),
        (("create", "u@1", "--from", "rows.csv"), 2, "names a version"),
        (("append", "t", "wrong.csv"), 2, "column 'day' is int64 in the table and double in the data"),
        (("vacuum", "t"), 2, "needs --yes"),
        (("vacuum", "t", "--retention-hours", "-1", "--yes"), 2, "must be 0 or more"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_mistakes(run: Run, arguments: tuple[str, ...], code: int, told: str) -> None:
    run("create", "t", "--from", "rows.csv")
    Path("wrong.csv").write_text("day,amount,shop\n5.7,1.0,a\n")
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert run("read", "t", "--json").document["version"] == 0


def test_a_vacuum_without_a_home_knows_no_pins(run: Run) -> None:
    run("create", "t", "--from", "rows.csv")
    done = run("vacuum", "t", "--yes")
    assert done.code == 3
    assert "there is no home yet" in done.err


def test_a_vacuum_obeys_pins_and_runs_that_are_not_settled(run: Run, workspace: Workspace) -> None:
    run("create", "t", "--from", "rows.csv")
    run("overwrite", "t", "rows.csv")
    run("overwrite", "t", "rows.csv")
    run("overwrite", "t", "rows.csv")
    table = Table("t")
    pinned, reading = table.manifest(version=0), table.manifest(version=1)
    workspace.pins.add(
        table_uri=table.uri,
        table_id=pinned.table_id,
        version=0,
        manifest=workspace.objects.put(pinned.to_json()),
        holder="abc",
        reason="read by a run",
        created_ms=1,
    )
    spool = Spool(workspace.home.spool / "def")
    spool.write("read_table", uri=table.uri, version=1, manifest=workspace.objects.put(reading.to_json()))
    spool.close()
    planned = run("vacuum", "t", "--retention-hours", "0", "--dry-run", "--json").document
    assert (planned["dry_run"], len(planned["deleted"]), planned["kept_files"]) == (True, 1, 2)
    done = run("vacuum", "t", "--retention-hours", "0", "--yes")
    assert done.out.splitlines() == planned["deleted"]
    assert re.fullmatch(r"deleted 1 file \([\d.]+ kB\); kept 2 files \([\d.]+ kB\) for pins and runs\n", done.err)
    assert [table.read(version=version).num_rows for version in (0, 1, 3)] == [3, 3, 3]
    (pin,) = run("pins", "t", "--json").document["pins"]
    assert (pin["version"], pin["state"], pin["holder"], pin["missing"]) == (0, "readable", "abc", [])
    assert run("pins").out.splitlines()[1].split()[:2] == [f"{table.uri}@0", "readable"]
    assert run("pins", "other", "--json").document["pins"] == []
    assert workspace.pins.release(holder="abc") == 1
    workspace.objects.path(workspace.objects.put(reading.to_json())).unlink()
    refused = run("vacuum", "t", "--retention-hours", "0", "--yes")
    assert refused.code != 0
    assert table.read(version=0).num_rows == 3


def test_a_pin_whose_manifest_is_lost_is_listed(run: Run, workspace: Workspace) -> None:
    workspace.pins.add(
        table_uri="/t", table_id="x", version=0, manifest="0" * 64, holder="abc", reason="", created_ms=1
    )
    (pin,) = run("pins", "--json").document["pins"]
    assert (pin["state"], pin["recoverable"]) == ("unknown", False)
    assert "is not in" in pin["detail"]
