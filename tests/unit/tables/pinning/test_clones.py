from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark._base.writer import Writer, writing_as
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import parse
from lakemark.tables.pinning.clones import clone, clone_pinned, rebuild
from lakemark.tables.pinning.destinations import LocalDestination, RemoteDestination
from lakemark.tables.pinning.pins import Pin, verify
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import vacuum


def pin_of(table: Table, version: int) -> tuple[Pin, bytes]:
    manifest = table.manifest(version=version)
    pin = Pin(table.uri, manifest.table_id, version, "0" * 64, holder="run", reason="", created_ms=0)
    return pin, manifest.to_json()


def inodes(table: TableReader) -> set[int]:
    return {path.stat().st_ino for path in Path(table.uri).rglob("*.parquet") if "_delta_log" not in path.parts}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_shallow_clone_shares_files_and_is_a_table_of_its_own(table: Table, tmp_path: Path) -> None:
    with writing_as(Writer("4bf92f35", "prepare")):
        mine = clone(table, tmp_path / "deep" / "mine")
    assert mine.read().equals(table.read())
    assert inodes(mine) == inodes(table)
    assert mine.manifest().table_id != table.manifest().table_id
    assert mine.schema == table.schema
    (record,) = mine.history()
    assert (record.version, record.operation) == (0, "CLONE")
    assert record.parameters == {
        "source": table.uri,
        "sourceTableId": table.manifest().table_id,
        "sourceVersion": "1",
        "isShallow": "true",
    }
    assert (record.commit.run_id, record.commit.node) == ("4bf92f35", "prepare")
    assert record.commit.message == f"clone of {table.uri}@1"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mine"]


def test_a_copy_shares_nothing(table: Table, tmp_path: Path) -> None:
    mine = clone(table, tmp_path / "mine", shallow=False)
    assert mine.read().equals(table.read())
    assert not inodes(mine) & inodes(table)
    assert mine.history()[0].parameters["isShallow"] == "false"


def test_what_is_done_to_a_clone_never_reaches_the_source(table: Table, tmp_path: Path) -> None:
    before, rows = content(Path(table.uri)), table.read()
    mine = clone(table, tmp_path / "mine")
    mine.append(pa.table({"day": [4], "amount": [4.0], "shop": ["d"]}))
    mine.open().delete("day = 1")
    mine.open().optimize.compact()
    mine.overwrite(pa.table({"day": [5], "amount": [5.0], "shop": ["e"]}))
    vacuum(mine, pins=(), retention_hours=0)
    assert content(Path(table.uri)) == before
    assert table.read().equals(rows)


def test_what_is_done_to_the_source_never_reaches_a_clone(table: Table, tmp_path: Path) -> None:
    mine = clone(table, tmp_path / "mine")
    rows = mine.read()
    table.overwrite(pa.table({"day": [5], "amount": [5.0], "shop": ["e"]}))
    table.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
    shutil.rmtree(table.uri)
    assert mine.read().equals(rows)


def test_a_clone_of_an_old_version(table: Table, tmp_path: Path) -> None:
    mine = clone(TableReader(table.uri, at=0), tmp_path / "mine")
    assert mine.read().equals(table.read(version=0))
    with pytest.raises(NotFoundError, match="no version 9"):
        clone(TableReader(table.uri, at=9), tmp_path / "other")
    with pytest.raises(NotFoundError, match="no Delta table at"):
        clone(TableReader(tmp_path / "none"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_other_engines_read_a_clone(table: Table, tmp_path: Path) -> None:
    mine = clone(table, tmp_path / "mine")
    assert pl.read_delta(mine.uri)["day"].sort().to_list() == [1, 2, 3]
    assert DeltaTable(mine.uri).to_pyarrow_table(filters=[("day", ">", 1)]).num_rows == 2
    with duckdb.connect() as connection:
        connection.register("mine", pa.table(DeltaTable(mine.uri).scan().read_all()))
        assert connection.execute("SELECT count(*), sum(day) FROM mine").fetchall() == [(3, 6)]


def test_properties_constraints_and_partitions_come_along(tmp_path: Path) -> None:
    source = str(tmp_path / "t")
    rows = pa.table({"p": ["a b/c%é=", None, "z"], "x": [1, 2, 3]})
    write_deltalake(source, rows, partition_by=["p"], configuration={"delta.enableChangeDataFeed": "true"})
    DeltaTable(source).alter.add_constraint({"positive": "x > 0"})
    mine = clone(Table(source), tmp_path / "mine")
    assert mine.read().sort_by("x").equals(Table(source).read().sort_by("x"))
    assert mine.open().metadata().configuration == DeltaTable(source).metadata().configuration
    assert mine.open().metadata().partition_columns == ["p"]
    with pytest.raises(InvalidInputError):
        mine.append(pa.table({"p": ["q"], "x": [-1]}))
    mine.append(pa.table({"p": ["z"], "x": [4]}))
    assert mine.open().to_pyarrow_table(filters=[("p", "=", "z")]).num_rows == 2


@pytest.mark.parametrize("mode", ["name", "id"])
def test_mapped_columns_come_along_partitions_too(tmp_path: Path, mode: str) -> None:
    source = str(tmp_path / "t")
    schema = pa.schema([("a b", pa.int64()), ("p", pa.string())])
    DeltaTable.create(source, schema, partition_by=["p"], configuration={"delta.columnMapping.mode": mode})
    write_deltalake(source, pa.table({"a b": [1, 2], "p": ["u", "v"]}), mode="append")
    expected = Table(source).read().sort_by("a b").to_pylist()
    mine = clone(Table(source), tmp_path / "mine")
    assert mine.read().sort_by("a b").to_pylist() == expected
    rebuild(Table(source).manifest().to_json(), tmp_path / "again")
    assert Table(tmp_path / "again").read().sort_by("a b").to_pylist() == expected


@pytest.mark.parametrize("storage", ["u", "i"])
def test_deletion_vectors_come_along(deletion_table: Callable[[str], Table], tmp_path: Path, storage: str) -> None:
    table = deletion_table(storage)
    for shallow in (True, False):
        mine = clone(table, tmp_path / f"mine-{shallow}", shallow=shallow)
        assert mine.read().equals(table.read())
        assert mine.manifest().rows == table.manifest().rows == 8


def test_borrowed_files_come_along(borrower: Table, table: Table, tmp_path: Path) -> None:
    mine = clone(borrower, tmp_path / "mine")
    assert sorted(mine.read()["day"].to_pylist()) == [1, 2, 3]
    shutil.rmtree(table.uri)
    shutil.rmtree(borrower.uri)
    assert mine.read().num_rows == 3


def test_a_feature_that_is_unknown_is_refused_and_history_is_left_behind(table: Table, tmp_path: Path) -> None:
    log = Path(table.uri) / "_delta_log"
    commit = log / f"{0:020}.json"
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    features = ["appendOnly", "domainMetadata"]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": features}
    commit.write_text("".join(json.dumps(action) + "\n" for action in actions))
    mine = clone(TableReader(table.uri, at=0), tmp_path / "mine")
    assert mine.open().protocol().writer_features == ["appendOnly"]
    commit.write_text(commit.read_text().replace("domainMetadata", "icebergCompatV2"))
    with pytest.raises(InvalidInputError, match="uses the feature 'icebergCompatV2' of Delta"):
        clone(TableReader(table.uri, at=0), tmp_path / "other")


def test_nothing_is_overwritten_and_nothing_is_made_from_half(table: Table, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(ConflictError, match="is not empty"):
        clone(table, tmp_path / "full")
    for inside in (table.uri, f"{table.uri}/below", str(Path(table.uri).parent)):
        with pytest.raises(InvalidInputError, match="inside each other"):
            clone(table, inside)
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="1 files are missing"):
        clone(table, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "sales"]


def test_an_empty_folder_is_free(table: Table, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert clone(table, tmp_path / "mine").read().num_rows == 3


def test_what_a_killed_clone_left_is_swept_away(table: Table, tmp_path: Path) -> None:
    left = tmp_path / ".mine.lakemark-clone"
    (left / "_delta_log").mkdir(parents=True)
    (left / "part-of-another-version.parquet").touch()
    mine = clone(table, tmp_path / "mine")
    assert not left.exists()
    assert not (Path(mine.uri) / "part-of-another-version.parquet").exists()


def test_two_at_once_do_not_mix(table: Table, tmp_path: Path) -> None:
    destination = LocalDestination(tmp_path / "mine")
    with destination.scratch() as scratch:
        with pytest.raises(ConflictError, match="another process makes"):
            clone(table, tmp_path / "mine")
        assert scratch.exists()
    assert clone(table, tmp_path / "mine").read().num_rows == 3


def test_a_folder_that_became_a_table_while_we_waited_is_not_ours(tmp_path: Path) -> None:
    destination = LocalDestination(tmp_path / "mine")
    scratch = tmp_path / ".mine.lakemark-clone"
    scratch.mkdir()
    handle = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
    destination.publish(scratch)  # by somebody else, between our opening and our locking
    with pytest.raises(ConflictError, match="another process made"):
        destination._take(scratch, handle)  # the race itself is too short to be met
    os.close(handle)


def test_many_at_once_make_one(table: Table, tmp_path: Path) -> None:
    barrier = Barrier(4)

    def make(_: int) -> bool:
        barrier.wait()
        try:
            clone(table, tmp_path / "mine")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(make, range(4))) == 1
    assert Table(tmp_path / "mine").read().num_rows == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "sales"]


def test_a_link_to_a_data_file_is_followed(table: Table, tmp_path: Path) -> None:
    path = next(Path(table.uri).glob("*.parquet"))
    path.rename(tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")
    mine = clone(table, tmp_path / "mine")
    (tmp_path / "elsewhere.parquet").unlink()
    assert mine.read().num_rows == 3


def test_a_version_whose_log_is_gone_is_cloned_by_its_manifest(
    cleaned: tuple[Table, list[bytes]], tmp_path: Path
) -> None:
    table, manifests = cleaned
    mine = clone_pinned(manifests[1], tmp_path / "mine")
    assert mine.read()["x"].to_pylist() == [1]
    assert mine.manifest().table_id != table.manifest(version=4).table_id
    assert mine.history()[0].parameters["sourceVersion"] == "1"


def test_between_a_disk_and_s3(table: Table, tmp_path: Path, s3: str) -> None:
    up = clone(table, f"{s3}/lake/up")
    assert up.read().equals(table.read())
    assert up.history()[0].parameters["isShallow"] == "false"
    assert [file.path for file in TableFiles(up.uri).list("_lakemark")] == []
    across = clone(up, f"{s3}/lake/across")
    up.append(pa.table({"day": [4], "amount": [4.0], "shop": ["d"]}))
    down = clone(across, tmp_path / "down")
    assert across.read().equals(table.read())
    assert down.read().equals(table.read())
    with pytest.raises(ConflictError, match="is not empty"):
        clone(table, up.uri)


def test_what_a_killed_clone_left_on_s3_is_swept_away(table: Table, s3: str) -> None:
    destination = RemoteDestination(f"{s3}/mine")
    destination.begin()
    destination.files.write("half.parquet", b"x")  # the clone was killed here
    assert not Table(destination.uri).exists()
    mine = clone(table, destination.uri)
    assert mine.read().equals(table.read())
    assert not destination.files.exists("half.parquet")
    destination.files.write("strange.txt", b"x")
    TableFiles(f"{s3}/other").write("strange.txt", b"x")
    with pytest.raises(ConflictError, match="is not empty"):
        clone(table, f"{s3}/other")


def test_the_slower_of_two_on_s3_is_told(table: Table, s3: str) -> None:
    slow = RemoteDestination(f"{s3}/mine")
    slow.begin()
    clone(table, slow.uri)
    with pytest.raises(ConflictError, match="another process made"):
        slow.publish(b"{}")


def test_a_rebuild_from_s3(s3: str, tmp_path: Path) -> None:
    table = Table(f"{s3}/sales")
    table.create(pa.table({"x": [1, 2]}))
    manifest = table.manifest().to_json()
    for file in list(TableFiles(table.uri).list("_delta_log")):
        TableFiles(table.uri).delete(file.path)
    rebuild(manifest, tmp_path / "again")
    assert Table(tmp_path / "again").read()["x"].to_pylist() == [1, 2]
    pin = Pin(table.uri, parse(manifest).table_id, 0, "0" * 64, holder="hand", reason="", created_ms=0)
    assert verify(pin, manifest).recoverable


def test_a_rebuilt_table_is_the_same_for_every_reader(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    rows = pa.table(
        {
            "p": ["a b/c%é=", None],
            "at": pa.array([1, None], pa.timestamp("us", "UTC")),
            "local": pa.array([5, None], pa.timestamp("us")),
            "x": [1, 2],
        }
    )
    table.create(rows, partition_by=["p", "at"])
    manifest = table.manifest().to_json()
    rebuild(manifest, tmp_path / "deep" / "again")
    again = Table(tmp_path / "deep" / "again")
    assert again.read().equals(table.read())
    assert again.open().to_pyarrow_table().num_rows == pa.table(again.open().scan().read_all()).num_rows == 2
    assert again.open().count() == 2
    assert again.manifest().log_identity == table.manifest().log_identity
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["again"]


def test_a_rebuilt_table_outlives_the_original(table: Table, tmp_path: Path) -> None:
    rebuild(table.manifest(version=0).to_json(), tmp_path / "again")
    shutil.rmtree(table.uri)
    assert Table(tmp_path / "again").read().num_rows == 2


@pytest.mark.parametrize("storage", ["u", "i"])
def test_deletion_vectors_are_rebuilt(deletion_table: Callable[[str], Table], tmp_path: Path, storage: str) -> None:
    table = deletion_table(storage)
    pin, manifest = pin_of(table, 1)
    rebuild(manifest, tmp_path / "again")
    assert Table(tmp_path / "again").read().equals(table.read())
    if storage == "u":
        vector = next(Path(table.uri).glob("*.bin"))
        vector.unlink()
        assert verify(pin, manifest).missing == (vector.name,)


def test_mapped_columns_are_rebuilt(tmp_path: Path) -> None:
    properties = {"delta.columnMapping.mode": "name"}
    DeltaTable.create(str(tmp_path / "t"), pa.schema([("a b", pa.int64())]), configuration=properties)
    write_deltalake(str(tmp_path / "t"), pa.table({"a b": [1, 2]}), mode="append")
    rebuild(Table(tmp_path / "t").manifest().to_json(), tmp_path / "again")
    assert sorted(Table(tmp_path / "again").read()["a b"].to_pylist()) == [1, 2]


@pytest.mark.parametrize("storage", ["u", "i"])
def test_a_rebuilt_version_may_keep_its_number(
    deletion_table: Callable[[str], Table], tmp_path: Path, storage: str
) -> None:
    table = deletion_table(storage)
    rebuild(table.manifest(version=1).to_json(), tmp_path / "again", numbered=True)
    again = Table(tmp_path / "again")
    assert again.version == again.open(version=1).version() == 1
    assert again.read().equals(table.read())


def test_a_numbered_rebuild_can_be_written_and_has_the_order_of_the_table(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [3, 1]}), properties={"lakemark.orderBy": "x", "delta.appendOnly": "true"})
    table.append(pa.table({"x": [2]}))
    rebuild(table.manifest().to_json(), tmp_path / "again", numbered=True)
    again, version = Table(tmp_path / "again"), table.version
    assert again.read()["x"].to_pylist() == [1, 2, 3]
    assert again.append(pa.table({"x": [0]})) == version + 1
    assert again.read(version=version).num_rows, again.read().num_rows == (3, 4)
    assert again.delete("x = 0").version == version + 2


def test_nothing_is_made_from_half_of_the_files(table: Table, tmp_path: Path) -> None:
    manifest = table.manifest().to_json()
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="1 files are missing or were changed"):
        rebuild(manifest, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".rebuild*"))


def test_nothing_is_overwritten(table: Table, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine.txt").touch()
    with pytest.raises(ConflictError, match="is not empty"):
        rebuild(table.manifest().to_json(), tmp_path / "again")


def test_a_file_of_the_right_size_that_is_no_longer_parquet(table: Table, tmp_path: Path) -> None:
    manifest = table.manifest().to_json()
    path = next(Path(table.uri).glob("*.parquet"))
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(StorageError, match="is not the Parquet file that it was"):
        rebuild(manifest, tmp_path / "again")


def test_files_of_a_moved_table(table: Table, tmp_path: Path) -> None:
    manifest = table.manifest().to_json()
    Path(table.uri).rename(tmp_path / "moved")
    rebuild(manifest, tmp_path / "again", folder=tmp_path / "moved")
    assert Table(tmp_path / "again").read().num_rows == 3
    assert json.loads(manifest)["uri"] == table.uri
