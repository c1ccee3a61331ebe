from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakemark._base.errors import InvalidInputError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.manifest import parse
from lakemark.tables.pins import Pin, PinStatus, verify
from lakemark.tables.table import Table
from lakemark.tables.vacuum import pinned_manifests, vacuum

ROW = pa.table({"day": [9], "amount": [0.5], "shop": ["z"]})
UUID = "0b5c6d7e-1111-2222-3333-444455556666"


def files(table: Table) -> set[str]:
    return {path.relative_to(table.uri).as_posix() for path in Path(table.uri).rglob("*.parquet")}


def test_what_was_replaced_goes(table: Table) -> None:
    before = files(table)
    table.overwrite(ROW)
    log = sorted((Path(table.uri) / "_delta_log").iterdir())
    planned = vacuum(table, pins=[], retention_hours=0, dry_run=True)
    assert set(planned.deleted) == before
    assert before < files(table)
    done = vacuum(table, pins=[], retention_hours=0)
    assert (done.deleted, done.deleted_bytes) == (planned.deleted, planned.deleted_bytes)
    assert done.deleted_bytes > 0
    assert files(table).isdisjoint(before)
    assert table.read().equals(ROW)
    assert sorted((Path(table.uri) / "_delta_log").iterdir()) == log


def test_the_retention_is_seven_days_by_default(table: Table) -> None:
    table.overwrite(ROW)
    assert vacuum(table, pins=[]).deleted == ()
    assert table.read(version=1).num_rows == 3
    with pytest.raises(InvalidInputError, match="retention of -1 hours"):
        vacuum(table, pins=[], retention_hours=-1)
    with pytest.raises(InvalidInputError, match="retention of nan hours"):
        vacuum(table, pins=[], retention_hours=float("nan"))


def test_a_pinned_version_stays(table: Table) -> None:
    pinned = table.manifest(version=0)
    table.overwrite(ROW)
    report = vacuum(table, pins=[pinned.to_json()], retention_hours=0)
    assert (len(report.deleted), report.kept_files, report.kept_bytes) == (1, 1, pinned.bytes)
    assert table.read(version=0)["day"].to_pylist() == [1, 2]
    assert vacuum(table, pins=[], retention_hours=0).kept_files == 0


def test_pins_hold_after_the_log_was_cleaned(cleaned: tuple[Table, list[bytes]]) -> None:
    table, manifests = cleaned
    pinned = manifests[1]
    report = vacuum(table, pins=[pinned], retention_hours=0)
    assert (len(report.deleted), report.kept_files) == (3, 1)
    manifest = parse(pinned)
    pin = Pin(table.uri, manifest.table_id, 1, "0" * 64, holder="run", reason="", created_ms=0)
    assert verify(pin, pinned).status is PinStatus.LOG_CLEANED
    assert verify(pin, pinned).recoverable
    assert table.read()["x"].to_pylist() == [4]


def test_strangers_and_hidden_files_stay(table: Table) -> None:
    folder = Path(table.uri)
    places = [
        "README.txt",
        "models/model.pkl",
        "mine.parquet",
        f"_change_data/part-{UUID}.parquet",
        f".part-{UUID}.parquet",
    ]
    for name in places:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (0, 0))
    elsewhere = folder.parent / f"part-{UUID}.parquet"
    elsewhere.write_bytes(b"x")
    (folder / elsewhere.name).symlink_to(elsewhere)
    os.utime(folder / elsewhere.name, (0, 0), follow_symlinks=False)
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert all((folder / name).exists() for name in (*places, elsewhere.name))


def test_what_a_killed_writer_left_goes_after_a_day(table: Table) -> None:
    young, old = (Path(table.uri) / f"part-0000{number}-{UUID}-c000.snappy.parquet" for number in (0, 1))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    assert vacuum(table, pins=[], retention_hours=0).deleted == (old.name,)
    assert young.exists()
    assert vacuum(table, pins=[], retention_hours=24 * 365).deleted == ()


def test_partitions_with_odd_names(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    rows = pa.table({"_p": ["a b/c%é=", "_x", None], "x": [1, 2, 3]})
    table.create(rows, partition_by=["_p"])
    pinned = table.manifest().to_json()
    table.overwrite(rows.slice(0, 1))
    assert vacuum(table, pins=[pinned], retention_hours=0).deleted == ()
    assert table.read(version=0).num_rows == 3
    assert len(vacuum(table, pins=[], retention_hours=0).deleted) == 3
    assert table.read().num_rows == 1


def test_deletion_vectors_stay(deletion_table: Callable[[str], Table]) -> None:
    table = deletion_table("u")
    for path in Path(table.uri).glob("*.*"):
        os.utime(path, (0, 0))
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert table.read().num_rows == 8


def test_a_restored_version_is_live(table: Table) -> None:
    table.overwrite(ROW)
    table.open().restore(1)
    assert len(vacuum(table, pins=[], retention_hours=0).deleted) == 1
    assert table.read().num_rows == 3


def test_a_table_behind_a_link(table: Table, tmp_path: Path) -> None:
    pinned = table.manifest(version=0).to_json()
    table.overwrite(ROW)
    (tmp_path / "link").symlink_to(table.uri)
    report = vacuum(Table(f"file://{tmp_path}/link"), pins=[pinned], retention_hours=0)
    assert (len(report.deleted), report.kept_files) == (1, 1)
    assert table.read(version=0).num_rows == 2


@pytest.mark.parametrize("manifest", [b"", b"{}", b"\xff"])
def test_nothing_goes_if_a_manifest_cannot_be_read(table: Table, manifest: bytes) -> None:
    before = files(table)
    table.overwrite(ROW)
    with pytest.raises(StorageError, match="manifest"):
        vacuum(table, pins=[manifest], retention_hours=0)
    assert before < files(table)


def test_a_torn_log_stops_it(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    extra = Path(table.uri) / "_delta_log" / f"{2:020}.checkpoint.parquet"
    extra.write_bytes(b"PAR1")
    before = files(table)
    with pytest.raises(StorageError, match="nothing is deleted"):
        vacuum(table, pins=[], retention_hours=0)
    assert files(table) == before


def test_pins_are_found_by_place_and_by_id(table: Table, tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path / "objects")
    manifest = table.manifest(version=0).to_json()
    stored = objects.put(manifest)
    table_id = table.manifest().table_id

    def pin(uri: str, identity: str, digest: str = stored) -> Pin:
        return Pin(uri, identity, 0, digest, holder="run", reason="", created_ms=0)

    here, moved = pin(f"file://{table.uri}/", "another id"), pin("/elsewhere", table_id)
    other = pin("/elsewhere", "another id", "0" * 64)
    for pins in ([here], [moved], [here, moved, other]):
        assert pinned_manifests(pins, objects, table=table) == (manifest,)
    assert pinned_manifests([other], objects, table=table) == ()
    with pytest.raises(
        StorageError, match=r"pin on version 0 of .* held by run, cannot be read, so nothing is deleted"
    ):
        pinned_manifests([pin(table.uri, table_id, "0" * 64)], objects, table=table)


steps = st.lists(st.sampled_from(["append", "overwrite", "delete", "compact", "checkpoint", "pin"]), max_size=8)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=steps)
def test_pinned_versions_read_the_same_after_any_maintenance(
    plan: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = Table(tmp_path_factory.mktemp("lake") / "t")
    table.create(pa.table({"x": [0, 1]}))
    pinned = {}
    for number, step in enumerate(plan):
        rows = pa.table({"x": [number, number + 1]})
        if step == "pin":
            pinned[table.version] = (table.manifest().to_json(), fingerprint(table.read()))
        elif step in ("append", "overwrite"):
            (table.append if step == "append" else table.overwrite)(rows)
        elif step == "delete":
            table.open().delete(f"x = {number - 1}")
        elif step == "compact":
            table.open().optimize.compact()
        else:
            table.open().create_checkpoint()
    latest = fingerprint(table.read())
    vacuum(table, pins=[manifest for manifest, _ in pinned.values()], retention_hours=0)
    assert fingerprint(table.read()) == latest
    for version, (_, content) in pinned.items():
        assert fingerprint(table.read(version=version)) == content
