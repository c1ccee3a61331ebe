from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import parse
from lakemark.tables.pinning.clones import rebuild
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.pinning.pins import Pin, PinState, PinStatus, hold, let_go, verify
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
    table.overwrite(pa.table({"other": [1]}), schema_mode="overwrite")
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


def test_a_held_version_is_whole(table: Table, home_pins: MarkedPins) -> None:
    pin = hold(table.manifest(version=0), holder="hand", reason="audit", pins=home_pins, objects=home_pins.objects)
    assert verify(pin, home_pins.objects.get(pin.manifest)).is_whole
    assert let_go(pin, pins=home_pins, reason="done")
    assert not let_go(pin, pins=home_pins, reason="done")
    assert [record.release_reason for record in home_pins.list_released()] == ["done"]


def test_a_version_that_is_not_whole_is_not_held(table: Table, home_pins: MarkedPins) -> None:
    manifest = table.manifest(version=1)
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match=r"version 1 of .* cannot be pinned: 1 of 2 files are missing"):
        hold(manifest, holder="hand", reason="audit", pins=home_pins, objects=home_pins.objects)
    assert home_pins.list() == []


def test_a_pin_that_was_there_stays_though_its_files_are_gone(table: Table, home_pins: MarkedPins) -> None:
    manifest = table.manifest(version=1)
    hold(manifest, holder="hand", reason="audit", pins=home_pins, objects=home_pins.objects)
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="cannot be pinned"):
        hold(manifest, holder="hand", reason="audit", pins=home_pins, objects=home_pins.objects)
    assert [pin.holder for pin in home_pins.list()] == ["hand"]


def test_files_that_another_table_lent(table: Table, borrower: Table) -> None:
    pin, manifest = pin_of(borrower, 1)
    assert verify(pin, manifest).is_whole
    path = next(Path(table.uri).glob("*.parquet"))
    path.unlink()
    assert verify(pin, manifest).missing == (str(path),)


def test_versions_on_s3(s3: str) -> None:
    table = Table(f"{s3}/sales")
    table.create(pa.table({"x": [1]}))
    table.append(pa.table({"x": [2]}))
    pin, manifest = pin_of(table, 1)
    assert verify(pin, manifest) == PinState(PinStatus.READABLE, (), "all files are there")
    files = TableFiles(table.uri)
    gone = parse(manifest).entries[0].path
    files.delete(gone)
    state = verify(pin, manifest)
    assert (state.status, state.missing) == (PinStatus.FILES_MISSING, (gone,))
