"""Reads and writes of real scripts, in processes of their own, recorded."""

from __future__ import annotations

import json

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from tests.integration.recorder.lab import ROWS, Lab, lake

from lakemark._base.hashing import sha256_file
from lakemark.storage.objects import ObjectStore
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.log.manifest import observe


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
        assert row["schema_sha256"] == observe(table).schema_sha256
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


def test_the_files_of_a_table_that_lakemark_reads_are_no_files_of_the_run(lab: Lab) -> None:
    """Its version is recorded and pinned; to keep its files a second time would double the storage."""
    uri = lake(lab.elsewhere / "lake", versions=2)
    seen = lab.run(f"import lakemark\nassert lakemark.table({uri!r}).read().num_rows == 6")
    assert [row["version"] for row in seen.of("read_table")] == [1]
    assert seen.of("read_file") == []
    assert list((lab.home / "objects").rglob("*")) != []  # the manifest
