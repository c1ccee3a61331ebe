from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lakemark.tables.differences.diff import diff
from lakemark.tables.differences.files import plain_files
from lakemark.tables.log.manifest import ManifestFile
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

ROWS = pa.table({"id": [1, 2], "x": [0.5, None]})


def file_of(folder: Path, rows: pa.Table) -> ManifestFile:
    pq.write_table(rows, folder / "a.parquet")
    return ManifestFile("a.parquet", 1, {}, 0)


def test_plain_files_are_read_where_they_are(tmp_path: Path) -> None:
    entry = file_of(tmp_path, ROWS)
    assert plain_files([entry], ROWS.schema, folder=tmp_path) == [tmp_path / "a.parquet"]
    assert plain_files([entry], ROWS.select(["x"]).schema, folder=tmp_path) == [tmp_path / "a.parquet"]


@pytest.mark.parametrize(
    ("rows", "schema"),
    [
        (ROWS, pa.schema([("id", pa.int64()), ("y", pa.float64())])),
        (ROWS.set_column(0, "id", pa.array([1, 2], pa.int32())), ROWS.schema),
        (ROWS.append_column("ID", pa.array(["a", "b"])), ROWS.schema),
        (pa.table({"l": [[1], None]}), pa.schema([("l", pa.list_(pa.int64()))])),
    ],
    ids=["a column is missing", "narrower", "names that differ in case", "nested"],
)
def test_other_files_are_not(tmp_path: Path, rows: pa.Table, schema: pa.Schema) -> None:
    assert plain_files([file_of(tmp_path, rows)], schema, folder=tmp_path) is None


def test_files_that_need_more_than_their_rows_are_not(tmp_path: Path) -> None:
    file_of(tmp_path, ROWS)
    assert plain_files([], ROWS.schema, folder=tmp_path) is None
    assert plain_files([ManifestFile("a.parquet", 1, {"p": "1"}, 0)], ROWS.schema, folder=tmp_path) is None
    assert plain_files([ManifestFile("gone.parquet", 1, {}, 0)], ROWS.schema, folder=tmp_path) is None
    odd = tmp_path / "t[1]"
    odd.mkdir()
    assert plain_files([file_of(odd, ROWS)], ROWS.schema, folder=odd) is None


@pytest.mark.parametrize("key", [["id"], None])
@pytest.mark.parametrize("folder", ['it\'s, a "t"', "a*b"])  # the second is copied first
def test_a_copy_makes_no_difference(tmp_path: Path, folder: str, key: list[str] | None) -> None:
    table = Table(tmp_path / folder)
    table.create(pa.table({"id": [3, 1, 2], 'a "x"': ["c", "a", None], "b": [b"\0", b"", None]}))
    table.overwrite(pa.table({"id": [2, 3, 4], 'a "x"': ["b", "c", "d"], "b": [None, b"\0", b"d"]}))
    found = diff(TableReader(table.uri, at=0), table, key=key)
    if key:
        assert (found.counts.added, found.counts.removed, found.counts.changed) == (1, 1, 1)
        assert found.rows("changed").read_all().column("before").to_pylist() == [{"id": 2, 'a "x"': None, "b": None}]
    else:
        assert (found.counts.added, found.counts.removed) == (2, 2)


def test_rows_outlive_the_files(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(ROWS)
    table.overwrite(pa.table({"id": [7], "x": [1.0]}))
    found = diff(TableReader(table.uri, at=0), table, key=["id"])
    for file in tmp_path.glob("t/*.parquet"):
        file.unlink()
    assert found.rows("removed").read_all().equals(ROWS)


def test_int96_is_read_as_the_instant_that_it_is(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"at": pa.array([1, 2], pa.timestamp("us", "UTC"))}))
    [file] = (tmp_path / "t").glob("*.parquet")
    pq.write_table(pq.read_table(file), file, use_deprecated_int96_timestamps=True)
    size = file.stat().st_size
    assert plain_files([ManifestFile(file.name, size, {}, 0)], pq.read_schema(file), folder=tmp_path / "t") is None
