"""`lakemark tables compact`, `z-order`, `checkpoint` and `maintain`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command import run_tables

from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import read_settings
from lakemark.tables.table import Table


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home, with two tables in its catalog: one of 20 commits, one of one."""
    monkeypatch.chdir(tmp_path)
    opened = open_workspace(read_settings(), folder=tmp_path)
    (tmp_path / "rows.csv").write_text("day,shop\n1,a\n2,b\n")
    run_tables("create", "raw.events", "--from", "rows.csv", "--partition-by", "shop")
    for _ in range(9):
        run_tables("append", "raw.events", "rows.csv")
    run_tables("create", "raw.few", "--from", "rows.csv")
    return opened


def events(workspace: Workspace) -> Table:
    return workspace.catalog.resolve("raw.events")


def test_compact(workspace: Workspace) -> None:
    planned = run_tables("compact", "raw.events", "--where", "shop=a", "--dry-run")
    assert (planned.code, len(planned.out.splitlines())) == (0, 10)
    assert planned.err.startswith("would merge 10 files (")
    done = run_tables("compact", "raw.events", "--where", "shop=a", "--message", "tidy")
    assert (done.code, done.out) == (0, "main.raw.events@10\n")
    assert done.err.startswith("merged 10 files (")
    assert events(workspace).history(limit=1)[0].commit.message == "tidy"
    document = run_tables("compact", "raw.events", "--json").document
    assert (document["schema"], document["version"], document["new_files"]) == ("lakemark.tables.compact/1", 11, 1)
    assert len(document["merged"]) == 10
    assert run_tables("compact", "raw.events").err == "main.raw.events: there are no files to merge\n"


def test_z_order_and_checkpoint(workspace: Workspace) -> None:
    assert run_tables("z-order", "raw.events", "day").out == "main.raw.events@10\n"
    assert run_tables("checkpoint", "raw.events").out == "main.raw.events@10\n"
    document = run_tables("checkpoint", "raw.events", "--json").document
    assert (document["schema"], document["version"]) == ("lakemark.tables.checkpoint/1", 10)
    assert run_tables("z-order", "raw.events", "dya").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compact", "raw.events@1"], "only the latest can be changed"),
        (["compact", "raw.events", "--where", "shop"], "is not COLUMN=VALUE"),
        (["compact", "raw.events", "--where", "shop=a", "--where", "shop=b"], "names its column a second time"),
        (["compact", "raw.events", "--where", "day=1"], "is not partitioned by 'day'"),
        (["z-order", "raw.events", "shop"], "is partitioned by 'shop'"),
        (["maintain"], "give either TABLE... or --all"),
        (["maintain", "raw.events", "--all"], "give either TABLE... or --all"),
        (["maintain", "--all"], "deleting needs --yes"),
        (["maintain", "--all", "--yes", "--retention-hours", "-1"], "must be 0 or more"),
    ],
)
def test_bad_arguments_change_nothing(workspace: Workspace, arguments: list[str], said: str) -> None:
    done = run_tables(*arguments)
    assert (done.code, said in done.err) == (2, True), done
    assert events(workspace).version == 9


def test_maintain_all(workspace: Workspace) -> None:
    planned = run_tables("maintain", "--all", "--dry-run")
    assert planned.code == 0
    first, second = planned.out.splitlines()
    assert first.startswith("main.raw.events: merge 20 files (")
    assert second == "main.raw.few: nothing to do"
    assert planned.err.splitlines() == [
        "main.raw.events: compact ...",
        "main.raw.events: vacuum ...",
        "main.raw.few: vacuum ...",
    ]
    assert events(workspace).version == 9
    document = run_tables("maintain", "--all", "--yes", "--retention-hours", "0", "--json").document
    assert document["schema"] == "lakemark.tables.maintain/1"
    large, few = document["tables"]
    assert (large["table"], large["compaction"]["version"], large["checkpoint"]) == ("main.raw.events", 10, None)
    assert large["vacuum"]["deleted"] == [path.replace("%25", "%") for path in large["compaction"]["merged"]]
    assert (few["compaction"], few["vacuum"]["deleted"], few["errors"]) == (None, [], [])
    assert events(workspace).read().num_rows == 20


def test_maintain_obeys_pins(workspace: Workspace) -> None:
    run_tables("tag", "raw.events@3", "q3")
    done = run_tables("maintain", "raw.events", "--yes", "--retention-hours", "0", "--json").document["tables"][0][
        "vacuum"
    ]
    assert (len(done["deleted"]), done["kept_files"]) == (12, 8)
    assert events(workspace).read(version=3).num_rows == 8


def test_maintain_goes_on_after_a_table_that_fails(workspace: Workspace) -> None:
    log = Path(workspace.catalog.resolve("raw.few").uri) / "_delta_log" / f"{0:020}.json"
    log.write_text("{")
    done = run_tables("maintain", "nothing", "raw.few", "raw.events", "--yes")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[:2] == ["nothing: failed", "raw.few: failed"]
    assert lines[2].startswith("raw.events: merged 20 files (")
    assert "error: nothing: no table is named 'nothing'" in done.err
    assert "error: raw.few: " in done.err
    document = run_tables("maintain", "nothing", "--yes", "--json").document
    assert document["tables"][0]["errors"][0]["code"] == "not_found"
