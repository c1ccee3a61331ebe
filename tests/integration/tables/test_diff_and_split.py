"""`lakemark tables diff` and `split`: what they print, write and exit with."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.command import Run, run_tables

from lakemark.tables.splits.split import from_document
from lakemark.tables.table import Table


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` beside a table `t`: rows 1 to 3, then 4 to 6 too, then others in their place."""
    monkeypatch.chdir(tmp_path)

    Path("a.csv").write_text(
        "id,at,shop,amount\n1,2013-06-24,north,9.5\n2,2013-06-24,south,7.25\n3,2013-06-25,north,3\n"
    )
    Path("b.csv").write_text("id,at,shop,amount\n4,2013-06-25,north,9.5\n5,2013-06-26,south,\n6,2013-06-27,north,3\n")
    Path("c.csv").write_text(
        "id,at,shop,amount\n1,2013-06-24,north,9.5\n2,2013-06-24,\x1b[31m,8\n7,2013-06-25,north,3\n"
    )
    run_tables("create", "t", "--from", "a.csv")
    run_tables("append", "t", "b.csv")
    run_tables("overwrite", "t", "c.csv")
    return run_tables


def test_a_difference_is_shown(run: Run, tmp_path: Path) -> None:
    shown = run("diff", "t@1", "@2", "--key", "id", "--limit", 2)
    assert shown.code == 0
    assert shown.out.splitlines() == [
        f"before  {tmp_path.resolve()}/t@1  (6 rows)",
        f"after   {tmp_path.resolve()}/t@2  (3 rows)",
        shown.out.splitlines()[2],
        "",
        "rows by id: 1 added, 4 removed, 1 changed",
        "changed values: shop 1, amount 1",
        "",
        "COLUMN  FIGURE     BEFORE   AFTER   DELTA     OF",
        "id      mean       3.5      3.3333  -0.16667  version",
        "amount  nulls      1        0       -1        version",
        "amount  null rate  0.16667  0       -0.16667  version",
        "amount  mean       6.45     6.8333  0.38333   version",
        "",
        "added rows",
        "id  at          shop   amount",
        "7   2013-06-25  north  3.0",
        "",
        "removed rows, the first 2 of 4",
        "id  at          shop   amount",
        "3   2013-06-25  north  3.0",
        "4   2013-06-25  north  9.5",
        "",
        "changed rows",
        "id  shop               amount",
        "2   south -> \\x1b[31m  7.25 -> 8.0",
    ]
    assert shown.out.splitlines()[2].startswith("files   0 shared; 2 of before and 1 of after read, ")
    assert "--output FILE.parquet writes all" in shown.err


def test_exit_codes_of_diff(run: Run) -> None:
    assert run("diff", "t@0", "t@1", "--exit-code").code == 1
    assert run("diff", "t@1", "@1", "--exit-code").code == 0
    assert run("diff", "t@1", "@0", "--key", "at", "--column", "amount").code == 0
    twice = run("diff", "t@1", "@2", "--key", "shop")
    assert twice.code == 2
    assert "key (shop) is not unique in" in twice.err
    assert run("diff", "t@1", "@9").code == 3
    assert run("diff", "t@0", "t@1", "--output", "x.csv").code == 2


def test_a_difference_as_json_and_as_a_file(run: Run) -> None:
    found = run("diff", "t@0", "t@1", "--key", "id", "--json", "--statistics", "all").document
    assert found["schema"] == "lakemark.tables.diff/1"
    assert found["different"] is True
    assert (found["before"]["version"], found["after"]["version"], found["files"]["shared"]) == (0, 1, 1)
    assert found["rows"] == {"key": ["id"], "added": 3, "removed": 0, "changed": 0, "changed_columns": {}}
    assert found["statistics"]["amount"]["nulls"] == {"of": "version", "before": 0, "after": 1, "delta": 1}
    assert found["examples"]["added"][1] == {"id": 5, "at": "2013-06-26", "shop": "south", "amount": None}
    written = run("diff", "t@1", "@2", "--key", "id", "--output", "rows.parquet")
    assert "wrote 6 rows to rows.parquet" in written.err
    rows = pq.read_table("rows.parquet").to_pylist()
    assert [row["change"] for row in rows] == ["changed", "removed", "removed", "removed", "removed", "added"]
    assert rows[0]["columns"] == ["shop", "amount"]


def test_columns_that_changed_are_shown(run: Run) -> None:
    Path("d.csv").write_text("id,shop,amount,new\n1,2,9.5,x\n")
    run("overwrite", "t", "d.csv", "--replace-schema")
    shown = run("diff", "t@2", "@3").out
    assert "\ncolumns\n  + new string\n  - at " in shown
    assert "  ~ shop string -> int64; its values were not compared\n" in shown


def test_a_split_is_shown_stored_and_written(run: Run) -> None:
    shown = run(
        "split", "t@1", "--on", "id", "--part", "train=0.8", "--part", "test=0.2", "--output", "parts", "--check-leaks"
    )
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].endswith("t@1, 6 rows, by hash of id")
    assert lines[1].split() == ["PART", "ROWS", "OF", "ALL", "SHARE", "UNTIL"]
    assert lines[-1] == "no leaks"
    document = run(
        "split", "t@1", "--on", "id", "--part", "train=0.8", "--part", "test=0.2", "--json", "--hashes"
    ).document
    assert (document["schema"], document["leaks"]) == ("lakemark.tables.split/1", None)
    made = from_document(document["split"])
    for name in ("train", "test"):
        assert pq.read_table(f"parts/{name}.parquet") == made.part(name).read_all()
    assert sum(made.counts.values()) == 6


def test_a_split_by_time(run: Run) -> None:
    shown = run("split", "t@1", "--time-column", "at", "--part", "a=0.5", "--part", "b=0.5", "--json").document["split"]
    assert [(part["rows"], part["until"]) for part in shown["parts"]] == [(2, "2013-06-25T00:00:00.000000Z"), (4, None)]
    again = run(
        "split", "t@1", "--time-column", "at", "--part", "a=2013-06-25T00:00:00Z", "--part", "b=", "--json"
    ).document
    assert [part["rows"] for part in again["split"]["parts"]] == [2, 4]


def test_a_split_that_leaks_writes_nothing(run: Run) -> None:
    arguments = (
        "split",
        "t@1",
        "--time-column",
        "at",
        "--part",
        "a=0.5",
        "--part",
        "b=0.5",
        "--group",
        "shop",
        "--output",
        "parts",
    )
    shown = run(*arguments)
    assert shown.code == 1
    assert "error: 2 groups of shop are in a and b, 6 rows, for example shop='north'" in shown.out
    assert not Path("parts").exists()
    leaks = run(*arguments, "--json").document["leaks"]
    assert [(leak["kind"], leak["severity"], leak["number"]) for leak in leaks] == [("group", "error", 2)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--part", "a=0.5", "--part", "b=0.5"), "give --on COLUMN"),
        (("--part", "a=0.5", "--part", "b=0.5", "--by", "time", "--on", "id"), "give --on COLUMN"),
        (("--on", "id", "--part", "a", "--part", "b"), "not of the form NAME=SHARE"),
        (("--on", "id", "--part", "a=0.5", "--part", "a=0.5"), "'a' is there twice"),
        (("--on", "id", "--part", "a=0.5", "--part", "../b=0.5", "--output", "x"), "cannot be the name of a file"),
        (("--on", "id", "--part", "a=0.5", "--part", "b=soon"), "neither all shares nor"),
    ],
)
def test_bad_options_are_refused(run: Run, arguments: tuple[str, ...], says: str) -> None:
    refused = run("split", "t", *arguments)
    assert refused.code == 2
    assert says in refused.err


def test_a_table_without_a_version_is_read_at_the_latest(run: Run, tmp_path: Path) -> None:
    assert Table(tmp_path / "t").version == 2
    assert run("diff", "t@1", "t", "--json").document["after"]["version"] == 2
    assert run("diff", "t", "@1", "--json").document["before"]["version"] == 2
