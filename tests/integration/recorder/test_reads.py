"""Reads and writes of real scripts, in processes of their own: recorded, and answered in a replay."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from lakemark._base.hashing import sha256_file
from lakemark.recorder.plan import EntryPoint, PinnedTable, Plan, Redirect, write_plan
from lakemark.storage.objects import ObjectStore
from lakemark.tables.fingerprint import fingerprint
from lakemark.tracking.spool import read_events

DRIVER = """
import os, runpy, sys
from pathlib import Path
from lakemark.recorder.hooks import conclude_reads, install_reads
from lakemark.recorder.imports import uninstall
from lakemark.recorder.plan import read_plan
from lakemark.recorder.recording import Recording
from lakemark.tracking.spool import Spool
plan = read_plan(Path(sys.argv[1]))
recording = Recording(plan, Spool(plan.spool))
install_reads(recording)
try:
    runpy.run_path(plan.entry.name, run_name="__main__")
finally:
    conclude_reads(recording)
    uninstall()
    recording.spool.close()
"""

ROWS = pa.table({"x": [1, 2, 3], "s": ["a", "b", "c"]})


@dataclass
class Lab:
    """A project, a folder outside of it, and runs of scripts in them."""

    top: Path
    runs: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.top / "project"

    @property
    def elsewhere(self) -> Path:
        return self.top / "elsewhere"

    @property
    def home(self) -> Path:
        return self.project / ".lakemark"

    def run(self, script: str, *, redirect: Redirect | None = None, store_limit: int = 1 << 20) -> Seen:
        run_id = f"run{len(self.runs)}"
        self.runs.append(run_id)
        cwd = self.project if redirect is None else Path(redirect.scratch_root)
        places = f"PROJECT, ELSEWHERE = Path({str(self.project)!r}), Path({str(self.elsewhere)!r})"
        cwd.joinpath("script.py").write_text(f"from pathlib import Path\n{places}\n{dedent(script)}")
        plan = Plan(
            run_id,
            str(self.home),
            str(cwd),
            str(cwd),
            EntryPoint("script", "script.py"),
            redirect=redirect,
            store_limit=store_limit,
        )
        write_plan(plan, self.top / "plan.json")
        command = [sys.executable, "-W", "error", "-c", DRIVER, str(self.top / "plan.json")]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Seen([dict(event) for _, event in read_events(plan.spool)], done.stdout)

    def replay(self, recorded: Seen, script: str, **overrides: Any) -> Seen:
        scratch = self.home / "cache" / f"scratch{len(self.runs)}"  # in the home, so below the project, as in practice
        scratch.mkdir(parents=True)
        tables = [
            PinnedTable(row["uri"], row["requested"], row["version"], row["uri"], row["version"])
            for row in recorded.of("read_table")
        ]
        objects = ObjectStore(self.home / "objects")
        files = {row["path"]: str(objects.path(row["sha256"])) for row in recorded.of("read_file") if row["stored"]}
        parts: dict[str, Any] = {"tables": tuple(tables), "files": files, "outside": str(self.top / "outside")}
        return self.run(script, redirect=Redirect(str(self.project), str(scratch), **parts | overrides))


@dataclass
class Seen:
    events: list[dict[str, Any]]
    output: str

    def of(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.events if row["event"] == event]

    def missing(self) -> list[str]:
        return [row["why"] for row in self.of("missing")]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    found = Lab(tmp_path)
    found.home.mkdir(parents=True)
    found.elsewhere.mkdir()
    return found


def lake(folder: Path, versions: int = 1) -> str:
    for _ in range(versions):
        deltalake.write_deltalake(folder, ROWS, mode="append")
    return str(folder)


# what is seen


def test_each_reader_is_seen_once_with_the_hash_of_its_file_and_of_its_frame(lab: Lab) -> None:
    for name in ("pandas", "polars", "arrow", "scan"):
        pa.csv.write_csv(ROWS, lab.project / f"{name}.csv")
        pa.parquet.write_table(ROWS, lab.project / f"{name}.parquet")
        pa.feather.write_feather(ROWS, lab.project / f"{name}.feather", compression="uncompressed")
        pl.DataFrame(ROWS).write_ndjson(lab.project / f"{name}.ndjson")
    readers = {
        "pandas.read_csv": "pandas.csv",
        "pandas.read_parquet": "pandas.parquet",
        "pandas.read_feather": "pandas.feather",
        "pandas.read_json": "pandas.ndjson",
        "polars.read_csv": "polars.csv",
        "polars.read_parquet": "polars.parquet",
        "polars.read_ipc": "polars.feather",
        "polars.read_ndjson": "polars.ndjson",
        "pyarrow.csv.read_csv": "arrow.csv",
        "pyarrow.parquet.read_table": "arrow.parquet",
        "pyarrow.feather.read_table": "arrow.feather",
        "pyarrow.json.read_json": "arrow.ndjson",
    }
    lazy = {
        "polars.scan_csv": "scan.csv",
        "polars.scan_parquet": "scan.parquet",
        "polars.scan_ipc": "scan.feather",
        "polars.scan_ndjson": "scan.ndjson",
    }
    calls = [
        f"{via}({name!r}{', lines=True' * (via == 'pandas.read_json')})" for via, name in {**readers, **lazy}.items()
    ]
    seen = lab.run(
        "import pandas, polars, pyarrow.csv, pyarrow.feather, pyarrow.json, pyarrow.parquet\n"
        + "\n".join(f"frame = {call}\nassert getattr(frame, 'shape', (3, 2)) == (3, 2)" for call in calls)
    )
    assert seen.missing() == []
    files = {row["via"]: row for row in seen.of("read_file")}
    assert len(files) == len(seen.of("read_file")) == len(readers) + len(lazy)
    for via, name in {**readers, **lazy}.items():
        path = lab.project / name
        assert (files[via]["path"], files[via]["sha256"]) == (str(path), sha256_file(path))
        assert ObjectStore(lab.home / "objects").get(files[via]["sha256"]) == path.read_bytes()
    delivered = {row["via"]: row for row in seen.of("delivered")}
    assert delivered.keys() == readers.keys()
    for via, name in readers.items():
        assert (delivered[via]["source"], delivered[via]["rows"]) == (str(lab.project / name), 3)
        assert delivered[via]["columns"] == ["x", "s"]
        assert delivered[via]["ordered"] == fingerprint(ROWS).ordered, via


def test_folders_patterns_and_lists_name_each_of_their_files(lab: Lab) -> None:
    for folder in ("a", "b", "c"):
        (lab.project / folder).mkdir()
        for part in range(2):
            pa.parquet.write_table(ROWS.slice(part, 1), lab.project / folder / f"{part}.parquet")
    seen = lab.run(
        """
        import polars, pyarrow.dataset
        assert pyarrow.dataset.dataset(PROJECT / "a").to_table().num_rows == 2
        assert polars.read_parquet("b/*.parquet").height == 2
        assert polars.scan_parquet(["c/0.parquet", PROJECT / "c/1.parquet"]).collect().height == 2
        """
    )
    paths = [str(lab.project / folder / f"{part}.parquet") for folder in "abc" for part in range(2)]
    assert [row["path"] for row in seen.of("read_file")] == paths
    assert [row["source"] for row in seen.of("delivered")] == [str(lab.project / "b/*.parquet")]


def test_tables_are_seen_once_for_each_way_of_asking(lab: Lab) -> None:
    uri = lake(lab.project / "lake", versions=3)
    seen = lab.run(
        """
        import datetime
        import polars
        from deltalake import DeltaTable
        assert [DeltaTable("lake").version() for _ in range(3)] == [2, 2, 2]
        assert not DeltaTable.is_deltatable("nowhere")
        assert DeltaTable(PROJECT / "lake", version=0).to_pandas().shape == (3, 2)
        assert polars.read_delta("lake", version=1).shape == (6, 2)
        assert polars.scan_delta(f"file://{PROJECT}/lake").collect().shape == (9, 2)
        table = DeltaTable("lake", 0)
        table.update_incremental()
        table.load_as_version(1)
        assert table.to_pyarrow_table(columns=["x"]).num_rows == 6
        table.load_as_version(datetime.datetime.now(datetime.UTC))
        assert table.version() == 2
        """
    )
    assert seen.missing() == []
    rows = seen.of("read_table")
    assert [(row["requested"], row["version"], row["via"]) for row in rows] == [
        (None, 2, "deltalake.DeltaTable"),
        (0, 0, "deltalake.DeltaTable"),
        (1, 1, "polars.read_delta"),
    ]
    for row in rows:
        table = deltalake.DeltaTable(uri, version=row["version"])
        assert (row["uri"], row["table_id"]) == (uri, table.metadata().id)
        assert (row["rows"], row["files"]) == (3 * (row["version"] + 1), row["version"] + 1)
        assert row["schema_sha256"] == ObjectStore.put(ObjectStore(lab.top / "o"), table.schema().to_json().encode())
        manifest = json.loads(ObjectStore(lab.home / "objects").get(row["manifest"]))
        assert (manifest["uri"], manifest["version"], len(manifest["files"])) == (uri, row["version"], row["files"])
    assert [(row["source"], row["version"], row["rows"], row["via"]) for row in seen.of("delivered")] == [
        (uri, 0, 3, "deltalake.DeltaTable.to_pandas"),
        (uri, 1, 6, "polars.read_delta"),
        (uri, 1, 6, "deltalake.DeltaTable.to_pyarrow_table"),
    ]
    assert seen.of("read_file") == []


def test_writes_are_no_reads(lab: Lab) -> None:
    lake(lab.project / "old")
    seen = lab.run(
        """
        import pandas, polars, pyarrow, pyarrow.parquet
        from deltalake import DeltaTable, write_deltalake
        rows = pyarrow.table({"x": [1]})
        write_deltalake("new", rows)
        write_deltalake("new", rows, mode="ignore")
        write_deltalake("old", rows, mode="overwrite", schema_mode="overwrite")
        polars.DataFrame({"x": [1]}).write_delta("third")
        table = DeltaTable("new")
        table.update(updates={"x": "2"})
        table.delete("x = 2")
        assert DeltaTable("new").to_pandas().empty
        pyarrow.parquet.write_table(rows, "new.parquet")
        assert pyarrow.parquet.read_table("new.parquet").num_rows == 1
        polars.DataFrame({"x": [1]}).write_csv("new.csv")
        pandas.DataFrame({"x": [1]}).to_csv("other.csv")
        assert Path("other.csv").read_text() and Path("new.csv").read_text()
        """
    )
    assert (seen.of("read_table"), seen.of("read_file"), seen.missing()) == ([], [], [])
    project = str(lab.project)
    assert [(row["uri"].removeprefix(project), row["version"]) for row in seen.of("write_table")] == [
        ("/new", 0),
        ("/old", 1),
        ("/third", 0),
        ("/new", 1),
        ("/new", 2),
    ]
    written = {row["path"].removeprefix(project) for row in seen.of("write_file")}
    assert written == {"/new.parquet", "/new.csv", "/other.csv"}


def test_other_files_are_seen_when_they_are_opened(lab: Lab) -> None:
    (lab.project / "settings.yaml").write_text("a: 1")
    (lab.project / ".env").write_text("PASSWORD=x")
    (lab.elsewhere / "large.bin").write_bytes(b"1" * 3000)
    (lab.elsewhere / "changed.txt").write_text("before")
    seen = lab.run(
        """
        import os, tempfile, json, io
        for _ in range(2):
            open("settings.yaml").close()
        open(".env").close()
        (ELSEWHERE / "large.bin").read_bytes()
        with (ELSEWHERE / "changed.txt").open("r+") as file:
            file.write("after!")
        assert (ELSEWHERE / "changed.txt").read_text() == "after!"
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write("x")
            file.flush()
            open(file.name).close()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").write_text("x")
            (Path(folder) / "a").read_text()
        (PROJECT / "draft").write_text("x")
        os.rename("draft", "final")
        assert Path("final").read_text() == "x"
        os.close(os.open(".", os.O_RDONLY))
        assert os.listdir("/proc/self") and Path(os.__file__).read_text() and Path(os.devnull).read_text() == ""
        """,
        store_limit=1000,
    )
    files = {row["path"]: row for row in seen.of("read_file")}
    assert set(files) == {
        str(lab.project / "settings.yaml"),
        str(lab.elsewhere / "large.bin"),
        str(lab.elsewhere / "changed.txt"),
    }
    assert len(seen.of("read_file")) == 3
    assert files[str(lab.elsewhere / "large.bin")]["stored"] is False
    assert files[str(lab.elsewhere / "large.bin")]["sha256"] == sha256_file(lab.elsewhere / "large.bin")
    before = files[str(lab.elsewhere / "changed.txt")]["sha256"]
    assert ObjectStore(lab.home / "objects").get(before) == b"before"
    assert [row["path"] for row in seen.of("write_file")] == [
        str(lab.elsewhere / "changed.txt"),
        str(lab.project / "draft"),
        str(lab.project / "final"),
    ]
    assert seen.missing() == [f"secret file not stored: {lab.project / '.env'} (environment file)"]


def test_the_script_sees_what_it_always_saw(lab: Lab) -> None:
    uri = lake(lab.project / "lake")
    seen = lab.run(
        """
        import inspect, pickle, traceback
        import deltalake, pandas, polars, pyarrow.parquet
        def error(call):
            try:
                call()
            except Exception as found:
                assert Path(traceback.extract_tb(found.__traceback__)[0].filename).name == "script.py"
                return type(found).__name__
        print([error(call) for call in (
            lambda: pandas.read_csv("nowhere.csv"),
            lambda: polars.read_parquet("nowhere.parquet"),
            lambda: pyarrow.parquet.read_table("nowhere.parquet"),
            lambda: open("nowhere.txt"),
            lambda: deltalake.DeltaTable("nowhere"),
            lambda: deltalake.DeltaTable("lake", version=9),
            lambda: deltalake.DeltaTable("lake", version="9"),
            lambda: deltalake.DeltaTable(),
            lambda: pandas.read_csv(),
            lambda: polars.scan_delta("nowhere").collect(),
        )])
        assert list(inspect.signature(deltalake.DeltaTable).parameters)[:2] == ["table_uri", "version"]
        assert "sep" in inspect.signature(pandas.read_csv).parameters and pandas.read_csv.__doc__
        assert pickle.loads(pickle.dumps(pandas.read_csv)) is pandas.read_csv
        assert type(deltalake.DeltaTable("lake").to_pandas()) is pandas.DataFrame
        assert type(polars.read_delta("lake")) is polars.DataFrame
        assert type(polars.scan_delta("lake")) is polars.LazyFrame
        Path("part.csv").write_text("x\\n1\\n2\\n")
        with pandas.read_csv("part.csv", chunksize=1) as chunks:
            assert [len(chunk) for chunk in chunks] == [1, 1]
        assert open.__module__ in ("io", "_io")
        """
    )
    assert seen.output.strip() == str(
        [
            "FileNotFoundError",
            "FileNotFoundError",
            "FileNotFoundError",
            "FileNotFoundError",
            "TableNotFoundError",
            "DeltaError",
            "TypeError",
            "TypeError",
            "TypeError",
            "FileNotFoundError",
        ]
    )
    assert [(row["uri"], row["version"]) for row in seen.of("read_table")] == [(uri, 0)]


def test_32_threads_see_each_file_once(lab: Lab) -> None:
    for number in range(8):
        pa.csv.write_csv(ROWS, lab.project / f"{number}.csv")
    lake(lab.project / "lake")
    seen = lab.run(
        """
        from concurrent.futures import ThreadPoolExecutor
        import pandas, polars
        from deltalake import DeltaTable
        def read(number):
            name = f"{number % 8}.csv"
            sizes = {pandas.read_csv(name).shape, polars.read_csv(name).shape, DeltaTable("lake").to_pandas().shape}
            return sizes == {(3, 2)} and Path(name).read_text().startswith('"x"')
        with ThreadPoolExecutor(32) as pool:
            assert all(pool.map(read, range(128)))
        """
    )
    assert sorted(row["path"] for row in seen.of("read_file")) == [str(lab.project / f"{n}.csv") for n in range(8)]
    assert (len(seen.of("read_table")), seen.missing()) == (1, [])


def test_nothing_is_seen_after_uninstall(lab: Lab) -> None:
    (lab.project / "late.csv").write_text("x\n1\n")
    seen = lab.run(
        """
        import pandas
        from lakemark.recorder.imports import uninstall
        uninstall()
        pandas.read_csv("late.csv")
        assert not hasattr(pandas.read_csv, "__wrapped__") or "lakemark" not in pandas.read_csv.__code__.co_filename
        """
    )
    assert seen.events == []


# what a replay answers


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
    deltalake.write_deltalake(lab.top / "rebuilt", deltalake.DeltaTable(uri, version=1).to_pyarrow_table())
    script = """
        from deltalake import DeltaTable
        table = DeltaTable(PROJECT / "lake")
        print(table.version(), table.to_pandas().shape)
        """
    recorded = lab.run(script)
    shutil.rmtree(uri)
    pins = (PinnedTable(uri, None, 1, str(lab.top / "rebuilt"), 0),)
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
