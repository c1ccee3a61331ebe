from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakemark._base.errors import InvalidInputError, LakemarkError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import parse
from lakemark.tables.pinning.markers import mark
from lakemark.tables.pinning.pins import Pin, PinStatus, verify
from lakemark.tables.table import Table
from lakemark.tables.upkeep import vacuum as vacuuming
from lakemark.tables.upkeep.removals import Removals, list_log, read_removals
from lakemark.tables.upkeep.vacuum import pinned_manifests, vacuum

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
        f"_other/part-{UUID}.parquet",
        f"_change_data/_{UUID}.parquet",
        "_change_data/mine.parquet",
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


def test_a_torn_log_stops_it(table: Table) -> None:
    table.overwrite(ROW)
    table.open().create_checkpoint()
    before = files(table)
    commit = Path(table.uri) / "_delta_log" / f"{1:020}.json"
    for torn in (b'{"remove": {"pa', b'{"remove": 5}', b'{"remove": {}}', b'"remove"', b'\xff"cdc"'):
        commit.write_bytes(torn)
        (Path(table.uri) / f"part-{UUID}.parquet").write_bytes(b"what makes it read the whole log")
        with pytest.raises(StorageError, match="cannot be read, so nothing is deleted"):
            vacuum(table, pins=[], retention_hours=0)
        assert before < files(table)


def test_a_torn_checkpoint_stops_it(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    log = TableFiles(table.uri)
    [part] = list_log(log).checkpoints[3]
    log.write(part.path, b"PAR1")
    with pytest.raises(StorageError, match=r"checkpoint.parquet cannot be read, so nothing is deleted"):
        read_removals(log, {"part-0.parquet"})
    before = files(table)
    with pytest.raises(LakemarkError):
        vacuum(table, pins=[], retention_hours=0)
    assert files(table) == before


def test_the_log_is_read_only_as_far_as_needed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        table.overwrite(ROW)
    vacuum(table, pins=[], retention_hours=0)
    table.overwrite(ROW)
    read: list[str] = []
    real = TableFiles.read

    def remember(log: TableFiles, path: str) -> bytes:
        read.append(path)
        return real(log, path)

    monkeypatch.setattr(TableFiles, "read", remember)
    assert vacuum(table, pins=[], retention_hours=0).deleted_bytes > 0
    assert read == [f"_delta_log/{7:020}.json"]
    read.clear()
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert read == []


@pytest.mark.parametrize("act", ["restore", "pin"])
def test_what_is_restored_or_pinned_meanwhile_stays(act: str, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = table.manifest(version=1).to_json()
    table.overwrite(ROW)

    def read_slowly(log: TableFiles, wanted: Collection[str]) -> Removals:
        removals = read_removals(log, wanted)
        if act == "restore":
            table.open().restore(1)
        else:
            mark(log, pinned, home="0" * 32)
        return removals

    monkeypatch.setattr(vacuuming, "read_removals", read_slowly)
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert table.read(version=1).num_rows == 3


def test_what_a_cleaned_log_does_not_know_counts_from_its_begin(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    unknown = Path(table.uri) / f"part-00000-{UUID}-c000.snappy.parquet"
    unknown.write_bytes(b"x")
    os.utime(unknown, (0, 0))
    commits = [Path(table.uri) / file.path for file in list_log(TableFiles(table.uri)).commits.values()]
    for path in commits:
        os.utime(path)
    assert unknown.name not in vacuum(table, pins=[], retention_hours=0).deleted
    for path in commits:
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert vacuum(table, pins=[], retention_hours=0).deleted == (unknown.name,)


def test_no_vector_goes_where_one_has_no_known_place(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u", versions=3)
    manifest = json.loads(table.manifest(version=1).to_json())
    manifest["files"][0]["deletion_vector"]["storageType"] = "unknown"
    assert vacuum(table, pins=[json.dumps(manifest)], retention_hours=0).deleted == ()
    assert len(vacuum(table, pins=[], retention_hours=0).deleted) == 1


def test_pins_that_name_files_by_absolute_paths(table: Table, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(table.uri)
    pinned = table.manifest(version=0)
    [entry] = pinned.entries
    table.overwrite(ROW)
    for place in (f"file://{table.uri}", table.uri, f"{tmp_path}/link"):
        manifest = replace(pinned, entries=(replace(entry, path=f"{place}/{entry.path}"),)).to_json()
        assert vacuum(table, pins=[manifest], retention_hours=0, dry_run=True).kept_files == 1
    elsewhere = replace(pinned, entries=(replace(entry, path=f"file:///elsewhere/{entry.path}"),)).to_json()
    assert vacuum(table, pins=[elsewhere], retention_hours=0, dry_run=True).kept_files == 0


def test_a_version_of_a_table_is_refused(table: Table) -> None:
    with pytest.raises(InvalidInputError, match="@0: only a whole table can be vacuumed"):
        vacuum(Table(table.uri, at=0), pins=[])


def test_what_other_homes_have_pinned_stays(table: Table, tmp_path: Path) -> None:
    pinned = table.manifest(version=0).to_json()
    mark(TableFiles(table.uri), pinned, home="0" * 32)
    table.overwrite(ROW)
    assert vacuum(table, pins=[], retention_hours=0).kept_files == 1
    assert table.read(version=0)["day"].to_pylist() == [1, 2]


def test_a_vacuumed_version_still_opens_and_counts(table: Table) -> None:
    table.overwrite(ROW)
    vacuum(table, pins=[], retention_hours=0)
    assert table.open(version=1).count() == 3
    assert table.manifest(version=1).rows == 3
    with pytest.raises(StorageError, match=r"a data file of .* is gone"):
        table.read(version=1)


def test_vectors_that_nothing_needs_go_and_pinned_ones_stay(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u", versions=3)
    vectors = [f"deletion_vector_{uuid.UUID(int=version)}.bin" for version in (1, 2)]
    pinned = table.manifest(version=1).to_json()
    assert vacuum(table, pins=[], retention_hours=1).deleted == ()
    report = vacuum(table, pins=[pinned], retention_hours=0)
    assert (report.deleted, report.kept_files) == ((), 1)
    assert vacuum(table, pins=[], retention_hours=0).deleted == (vectors[0],)
    assert table.read().num_rows == 7
    table.open().optimize.z_order(["x"])
    assert set(vacuum(table, pins=[], retention_hours=0).deleted) > {vectors[1]}
    assert table.read().num_rows == 7


def test_change_data_goes_with_its_commit(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    configuration = {"delta.enableChangeDataFeed": "true"}
    write_deltalake(table.uri, pa.table({"x": list(range(9))}), configuration=configuration)
    for number in range(4):
        table.open().delete(f"x = {number}")
    pins = [table.manifest(version=version).to_json() for version in (2, 3)]

    def changes() -> set[str]:
        return {file.path for file in TableFiles(table.uri).list("_change_data")}

    def read(first: int, last: int) -> int:
        return len(pa.table(table.open().load_cdf(starting_version=first, ending_version=last).read_all()))

    assert len(changes()) == 4
    assert vacuum(table, pins=pins, retention_hours=1).deleted == ()
    report = vacuum(table, pins=pins, retention_hours=0)
    assert len([path for path in report.deleted if path.startswith("_change_data/")]) == 2
    assert report.kept_files == 4
    assert len(changes()) == 2
    assert read(2, 3) == 2
    vacuum(table, pins=[], retention_hours=0)
    assert changes() == set()
    assert table.read()["x"].to_pylist() == [4, 5, 6, 7, 8]


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


def test_another_table_in_the_folder_stays(table: Table) -> None:
    inner = Table(f"{table.uri}/shop=a/inner")
    inner.create(ROW)
    inner.overwrite(ROW)
    for path in Path(table.uri).rglob("*"):
        os.utime(path, (10**9, 10**9))
    assert vacuum(table, pins=[], retention_hours=0).deleted == ()
    assert inner.read(version=0).equals(ROW)
