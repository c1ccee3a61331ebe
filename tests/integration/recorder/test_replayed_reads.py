"""Reads and writes of real scripts, answered in a replay."""

from __future__ import annotations

import shutil

import deltalake
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from tests.integration.recorder.lab import ROWS, Lab, lake

from lakemark.recorder.plan import PinnedTable, Redirect
from lakemark.tables.log.manifest import observe
from lakemark.tables.pinning.clones import rebuild


def test_a_replay_answers_with_the_pinned_versions(lab: Lab) -> None:
    inside, outside = lake(lab.project / "lake", versions=2), lake(lab.elsewhere / "lake")
    script = """
        import datetime, os, polars
        from deltalake import DeltaTable
        table = DeltaTable("lake")
        print(table.version(), DeltaTable(PROJECT / "lake", version=0).version())
        print(DeltaTable(f"file://{ELSEWHERE}/lake").version())
        print(polars.read_delta("lake").height, polars.scan_delta(str(PROJECT / "lake"), version=0).collect().height)
        print(polars.read_delta("../elsewhere/lake").height)
        table.load_as_version(0)
        print(table.to_pandas().shape)
        table.update_incremental()
        print(table.version(), os.path.isdir("lake/_delta_log"))
        print("lake" in os.listdir("."), (ELSEWHERE / "lake").exists())
        table.load_as_version(datetime.datetime.now(datetime.UTC))
        print(table.version() >= 1)
        """
    recorded = lab.run(script)
    assert {(row["uri"], row["requested"], row["version"]) for row in recorded.of("read_table")} == {
        (inside, None, 1),
        (inside, 0, 0),
        (outside, None, 0),
    }
    lake(lab.project / "lake")
    lake(lab.elsewhere / "lake")
    replayed = lab.replay(recorded, script)
    assert replayed.output == recorded.output
    for event in ("read_table", "delivered"):
        assert [row | {"at": 0} for row in replayed.of(event)] == [row | {"at": 0} for row in recorded.of(event)]


def test_a_version_that_was_rebuilt_elsewhere_keeps_its_number(lab: Lab) -> None:
    uri = lake(lab.project / "lake", versions=2)
    manifest = observe(deltalake.DeltaTable(uri, version=1)).to_json()
    script = """
        from deltalake import DeltaTable
        table = DeltaTable(PROJECT / "lake")
        print(table.version(), table.to_pandas().shape)
        """
    recorded = lab.run(script)
    rebuild(manifest, lab.top / "rebuilt", numbered=True)
    shutil.rmtree(uri)
    pins = (PinnedTable(uri, None, 1, str(lab.top / "rebuilt"), 1),)
    replayed = lab.replay(recorded, script, tables=pins)
    assert replayed.output == recorded.output
    assert [(row["uri"], row["version"]) for row in replayed.of("read_table")] == [(uri, 1)]
    assert [row["unordered"] for row in replayed.of("delivered")] == [
        row["unordered"] for row in recorded.of("delivered")
    ]


def test_a_table_that_the_original_did_not_read_is_opened_and_said(lab: Lab) -> None:
    recorded = lab.run("")
    uri = lake(lab.elsewhere / "lake", versions=2)
    replayed = lab.replay(recorded, "import deltalake\nassert deltalake.DeltaTable(ELSEWHERE / 'lake').version() == 1")
    assert replayed.missing() == [f"the latest version of table {uri} was not read by the original run"]
    assert [(row["uri"], row["version"]) for row in replayed.of("read_table")] == [(uri, 1)]


def test_a_replay_writes_no_table_of_the_user(lab: Lab) -> None:
    inside, outside = lake(lab.project / "lake"), lake(lab.elsewhere / "lake")
    script = """
        import os, shutil
        import polars, pyarrow
        from deltalake import DeltaTable, write_deltalake
        rows = pyarrow.table({"x": [7, 8], "s": ["y", "z"]})
        before = DeltaTable("lake")
        write_deltalake(before, rows, mode="overwrite")
        for uri in (PROJECT / "lake", str(ELSEWHERE / "lake")):
            write_deltalake(uri, rows, mode="overwrite")
            assert DeltaTable(uri).to_pyarrow_table() == rows
        polars.DataFrame({"x": [1]}).write_delta(ELSEWHERE / "other")
        assert polars.read_delta(str(ELSEWHERE / "other")).height == 1
        table = DeltaTable.create(ELSEWHERE / "third", before.schema())
        write_deltalake(table, rows, mode="append")
        table.delete("x = 7")
        print(table.to_pandas().shape)
        """
    recorded = lab.run(script)
    versions = {uri: deltalake.DeltaTable(uri).version() for uri in (inside, outside)}
    replayed = lab.replay(recorded, script)
    assert replayed.output == recorded.output
    assert {uri: deltalake.DeltaTable(uri).version() for uri in versions} == versions
    assert deltalake.DeltaTable(lab.elsewhere / "third").version() == 2
    assert {row["uri"] for row in replayed.of("write_table")} == {row["uri"] for row in recorded.of("write_table")}


def test_a_replay_refuses_to_change_a_pinned_table(lab: Lab) -> None:
    uri = lake(lab.elsewhere / "lake", versions=2)
    script = """
        from deltalake import DeltaTable
        table = DeltaTable(ELSEWHERE / "lake")
        calls = {
            "delete": lambda: table.delete("x = 1"),
            "update": lambda: table.update(updates={"x": "1"}),
            "merge": lambda: table.merge(table.to_pyarrow_table(), "x = 1"),
            "vacuum": lambda: table.vacuum(0, dry_run=False),
            "restore": lambda: table.restore(0),
            "compact": lambda: table.optimize.compact(),
            "add_constraint": lambda: table.alter.add_constraint({"positive": "x > 0"}),
        }
        table.vacuum()
        for name, call in calls.items():
            try:
                call()
            except Exception as error:
                print(type(error).__name__, str(error).startswith(f"{name} on table"))
        """
    recorded = lab.run("import deltalake\ndeltalake.DeltaTable(ELSEWHERE / 'lake')")
    replayed = lab.replay(recorded, script)
    assert replayed.output.splitlines() == ["LakemarkError True"] * 7
    assert deltalake.DeltaTable(uri).version() == 1


def test_a_replay_answers_files_with_their_content(lab: Lab) -> None:
    (lab.project / "data").mkdir()
    for folder in (lab.project / "data", lab.elsewhere):
        pa.csv.write_csv(ROWS, folder / "in.csv")
        pa.parquet.write_table(ROWS, folder / "in.parquet")
        (folder / "note.txt").write_text("then")
    script = """
        import glob, io, os
        import pandas, polars, pyarrow.dataset, pyarrow.parquet
        for folder in (PROJECT / "data", ELSEWHERE, Path("data"), Path("../elsewhere")):
            with open(folder / "note.txt") as one, io.open(folder / "note.txt", "rb") as two:
                print(one.read(), two.read(), (folder / "note.txt").read_text(), (folder / "note.txt").read_bytes())
            print(os.path.exists(folder / "in.csv"), (folder / "in.csv").is_file())
            print(os.stat(folder / "note.txt").st_size, pyarrow.parquet.read_table(folder / "in.parquet").num_rows)
            print(pandas.read_csv(folder / "in.csv").shape, polars.read_parquet(folder / "in.parquet").shape)
            print(polars.read_parquet(f"{folder}/*.parquet").height, sorted(os.listdir(folder)))
            print(sorted(Path(name).name for name in glob.glob(f"{folder}/*.csv")))
            print(sorted(found.name for found in folder.iterdir()), sorted(found.name for found in folder.glob("*")))
            print(sorted(found.name for found in os.scandir(folder)), [sorted(names) for *_, names in os.walk(folder)])
            print(pyarrow.dataset.dataset(folder / "in.parquet").to_table().num_rows)
        """
    recorded = lab.run(script)
    for folder in (lab.project / "data", lab.elsewhere):
        for name in ("in.csv", "in.parquet"):
            (folder / name).unlink()
        (folder / "note.txt").write_text("changed")
        (folder / "new.csv").write_text("")
    replayed = lab.replay(recorded, script)
    assert replayed.output == recorded.output
    assert replayed.missing() == []
    assert {(row["path"], row["sha256"]) for row in replayed.of("read_file")} == {
        (row["path"], row["sha256"]) for row in recorded.of("read_file")
    }


def test_a_replay_changes_no_file_of_the_user(lab: Lab) -> None:
    for folder in (lab.project / "out", lab.elsewhere / "out"):
        folder.mkdir()
        (folder / "old.txt").write_text("precious")
    script = """
        import os, shutil, sqlite3, tempfile
        import pandas, polars, pyarrow, pyarrow.parquet
        for out in (PROJECT / "out", ELSEWHERE / "out"):
            out.mkdir(exist_ok=True)
            with open(out / "old.txt", "a") as file:
                file.write("!")
            pandas.DataFrame({"x": [1]}).to_parquet(out / "pandas.parquet")
            polars.DataFrame({"x": [1]}).write_parquet(out / "polars.parquet")
            pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), out / "arrow.parquet")
            os.replace(out / "arrow.parquet", out / "moved.parquet")
            assert polars.read_parquet(out / "moved.parquet").height == 1
            os.makedirs(out / "deep/er")
            (out / "deep/er/x").write_text("x")
            database = sqlite3.connect(out / "x.db")
            database.execute("create table t (x)")
            database.close()
            shutil.copy(out / "deep/er/x", out / "y")
            os.remove(out / "old.txt")
            shutil.rmtree(out)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").write_text("x")
        """
    replayed = lab.replay(lab.run(""), script)
    for folder in (lab.project / "out", lab.elsewhere / "out"):
        assert [found.name for found in folder.iterdir()] == ["old.txt"]
        assert (folder / "old.txt").read_text() == "precious"
    assert str(lab.elsewhere / "out/pandas.parquet") in {row["path"] for row in replayed.of("write_file")}


def test_removing_a_pinned_table_by_hand_removes_nothing(lab: Lab) -> None:
    uris = [lake(lab.project / "lake"), lake(lab.elsewhere / "lake")]
    reads = "import deltalake\nfor top in (PROJECT, ELSEWHERE):\n    deltalake.DeltaTable(top / 'lake')\n"
    script = """
        import shutil, pyarrow
        from deltalake import DeltaTable, write_deltalake
        for top in (PROJECT, ELSEWHERE):
            if (top / "lake").exists():
                shutil.rmtree(top / "lake")
            write_deltalake(top / "lake", pyarrow.table({"x": [1]}))
            assert DeltaTable(top / "lake").to_pandas().shape == (1, 1)
        """
    lab.replay(lab.run(reads), script)
    for uri in uris:
        assert deltalake.DeltaTable(uri).to_pyarrow_table() == ROWS


def test_modules_are_imported_from_the_rebuilt_project(lab: Lab) -> None:
    (lab.project / "library").mkdir()
    (lab.project / "library/features.py").write_text("VERSION = 'now'")
    recorded = lab.run("")
    scratch = lab.home / "cache" / "scratch"
    (scratch / "library").mkdir(parents=True)
    (scratch / "library/features.py").write_text("VERSION = 'then'")
    redirect = Redirect(str(lab.project), str(scratch), outside=str(lab.top / "outside"))
    script = "import sys\nsys.path.insert(0, str(PROJECT / 'library'))\nimport features\nprint(features.VERSION)"
    assert recorded.events == []
    assert lab.run(script, redirect=redirect).output == "then\n"


def test_a_file_that_the_original_did_not_read_is_read_and_said(lab: Lab) -> None:
    (lab.elsewhere / "new.txt").write_text("new")
    replayed = lab.replay(lab.run(""), "assert (ELSEWHERE / 'new.txt').read_text() == 'new'")
    (why,) = replayed.missing()
    assert why.startswith(f"{lab.elsewhere / 'new.txt'} was not read by the original run")
