from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError, InvalidInputError, StorageError
from lakemark.tables.manifest import parse
from lakemark.tables.pins import Pin, PinStatus, rebuild, verify
from lakemark.tables.table import Table


def pin_of(table: Table, version: int) -> tuple[Pin, bytes]:
    manifest = table.manifest(version=version)
    return pin_to(manifest.to_json(), table.uri), manifest.to_json()


def pin_to(manifest_json: bytes, uri: str) -> Pin:
    manifest = parse(manifest_json)
    return Pin(uri, manifest.table_id, manifest.version, manifest="0" * 64, holder="run", reason="", created_ms=0)


def test_a_readable_version(table: Table) -> None:
    for version in (0, 1):
        state = verify(*pin_of(table, version))
        assert (state.status, state.missing, state.recoverable) == (PinStatus.READABLE, (), False)


def test_a_pin_stays_readable_whatever_is_committed(table: Table) -> None:
    pin, manifest = pin_of(table, 0)
    table.open().optimize.compact()
    table.overwrite(pa.table({"other": [1]}), replace_schema=True)
    table.open().restore(1)
    table.open().create_checkpoint()
    assert verify(pin, manifest).status is PinStatus.READABLE


def test_a_foreign_vacuum_is_noticed(table: Table) -> None:
    pin, manifest = pin_of(table, 1)
    table.overwrite(pa.table({"day": [1], "amount": [1.0], "shop": ["x"]}))
    table.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    state = verify(pin, manifest)
    assert (state.status, len(state.missing), state.recoverable) == (PinStatus.FILES_MISSING, 2, False)
    assert state.detail == "2 of 2 files are missing"


def test_a_file_of_another_size_is_missing(table: Table) -> None:
    pin, manifest = pin_of(table, 1)
    path = next(Path(table.uri).glob("*.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    assert verify(pin, manifest).missing == (path.name,)


def test_a_dropped_table(table: Table) -> None:
    pin, manifest = pin_of(table, 1)
    shutil.rmtree(table.uri)
    state = verify(pin, manifest)
    assert (state.status, len(state.missing)) == (PinStatus.TABLE_GONE, 2)


@pytest.mark.parametrize("versions", [1, 3])
def test_a_table_that_was_dropped_and_made_again(table: Table, versions: int) -> None:
    pin, manifest = pin_of(table, 1)
    shutil.rmtree(table.uri)
    table.create(pa.table({"day": [7]}))
    for _ in range(versions - 1):
        table.append(pa.table({"day": [8]}))
    state = verify(pin, manifest)
    assert (state.status, len(state.missing), state.recoverable) == (PinStatus.TABLE_RECREATED, 2, False)


def test_a_cleaned_log(cleaned: tuple[Table, list[bytes]], tmp_path: Path) -> None:
    table, manifests = cleaned
    for version, manifest in enumerate(manifests):
        state = verify(pin_to(manifest, table.uri), manifest)
        lost = version < 3
        assert (state.status, state.recoverable) == (PinStatus.LOG_CLEANED if lost else PinStatus.READABLE, lost)
        rebuild(manifest, tmp_path / f"again-{version}")
        again = Table(tmp_path / f"again-{version}")
        assert again.read()["x"].to_pylist() == [version]
        assert again.manifest().log_identity == parse(manifest).log_identity


def test_a_manifest_of_another_version_is_refused(table: Table) -> None:
    with pytest.raises(StorageError, match=r"is of version 0 .* the pin of version 1"):
        verify(pin_of(table, 1)[0], pin_of(table, 0)[1])


def test_other_storage_is_refused(table: Table) -> None:
    pin, manifest = pin_of(table, 0)
    remote = Pin("s3://lake/sales", pin.table_id, 0, pin.manifest, holder="run", reason="", created_ms=0)
    with pytest.raises(InvalidInputError, match="s3://lake/sales is not on a local file system"):
        verify(remote, manifest)


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
    from deltalake import DeltaTable, write_deltalake

    properties = {"delta.columnMapping.mode": "name"}
    DeltaTable.create(str(tmp_path / "t"), pa.schema([("a b", pa.int64())]), configuration=properties)
    write_deltalake(str(tmp_path / "t"), pa.table({"a b": [1, 2]}), mode="append")
    rebuild(Table(tmp_path / "t").manifest().to_json(), tmp_path / "again")
    assert sorted(Table(tmp_path / "again").read()["a b"].to_pylist()) == [1, 2]


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
