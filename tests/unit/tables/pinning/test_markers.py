from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark._base.hashing import sha256_bytes
from lakemark.config.home import create_home
from lakemark.config.identity import home_identity
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import FOLDER, MarkedPins, mark, marked_manifests, markers, unmark
from lakemark.tables.pinning.pins import hold, let_go, verify
from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import vacuum
from lakemark.tracking.pins import SqlPinStore

ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture
def other_pins(tmp_path: Path) -> Iterator[MarkedPins]:
    """The pins of another home."""
    home = create_home(tmp_path / "other")
    with open_database(home.database) as database:
        yield MarkedPins(SqlPinStore(database), ObjectStore(home.objects), home)


def pin(pins: MarkedPins, table: Table, version: int, holder: str = "hand") -> None:
    hold(table.manifest(version=version), holder=holder, reason="audit", pins=pins, objects=pins.objects)


def test_a_vacuum_of_another_home_obeys(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0)
    table.overwrite(pa.table({"day": [9], "amount": [1.0], "shop": ["x"]}))
    kept = marked_manifests(TableFiles(table.uri))
    assert kept == [table.manifest(version=0).to_json()]
    vacuum(table, pins=kept, retention_hours=0)
    assert table.read(version=0).num_rows == 2


def test_a_marker_stays_until_the_last_pin_of_the_last_home_goes(
    table: Table, home_pins: MarkedPins, other_pins: MarkedPins
) -> None:
    files, digest = TableFiles(table.uri), sha256_bytes(table.manifest(version=0).to_json())
    for holder in ("hand", "run"):
        pin(home_pins, table, 0, holder)
    pin(other_pins, table, 0)
    homes = {home_identity(home_pins.home), home_identity(other_pins.home)}
    assert markers(files) == {digest: homes}
    (first, second), (third,) = home_pins.list(), other_pins.list()
    let_go(first, pins=home_pins, reason="x")
    assert markers(files) == {digest: homes}
    let_go(second, pins=home_pins, reason="x")
    assert markers(files) == {digest: {home_identity(other_pins.home)}}
    let_go(third, pins=other_pins, reason="x")
    assert list(files.list(FOLDER)) == []


def test_other_engines_pass_over_markers(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0)
    rows = table.read()
    table.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
    assert len(marked_manifests(TableFiles(table.uri))) == 1
    assert table.read().equals(rows)
    table.open().optimize.compact()
    assert sorted(table.read()["day"].to_pylist()) == [1, 2, 3]


def test_git_passes_over_markers(table: Table, home_pins: MarkedPins) -> None:
    subprocess.run(["git", "init", "-q", table.uri], check=True)
    pin(home_pins, table, 0)
    said = subprocess.run(["git", "-C", table.uri, "status", "--short"], check=True, capture_output=True, text=True)
    assert "_delta_log" in said.stdout
    assert "_lakemark" not in said.stdout


def test_what_cannot_be_read_stops_the_vacuum(table: Table, home_pins: MarkedPins) -> None:
    files = TableFiles(table.uri)
    pin(home_pins, table, 0)
    (path,) = (file.path for file in files.list(FOLDER) if file.path.endswith(".json"))
    data = files.read(path)
    files.write(path, data[:-1] + b" ")
    with pytest.raises(StorageError, match=r"was changed, so nobody knows what the pins of a home need"):
        marked_manifests(files)
    files.delete(path)
    with pytest.raises(StorageError, match=r"what the pins of a home need, cannot be read"):
        marked_manifests(files)
    pin(home_pins, table, 0)  # the hint
    assert marked_manifests(files) == [data]


def test_a_manifest_without_a_home_counts_until_somebody_lets_go(table: Table) -> None:
    files, orphan = TableFiles(table.uri), table.manifest(version=0).to_json()
    files.write(f"{FOLDER}/{sha256_bytes(orphan)}.json", orphan)  # its home was killed here
    assert marked_manifests(files) == [orphan]
    other = table.manifest(version=1).to_json()
    mark(files, other, home=ADA)
    mark(files, other, home=BOB)
    unmark(files, sha256_bytes(other), home=ADA)
    assert markers(files) == {sha256_bytes(other): {BOB}}


def test_a_half_written_manifest_is_written_again(table: Table) -> None:
    files, data = TableFiles(table.uri), table.manifest(version=0).to_json()
    files.write(f"{FOLDER}/{sha256_bytes(data)}.json", data[:10])
    mark(files, data, home=ADA)
    assert marked_manifests(files) == [data]


def test_homes_that_come_and_go_at_once_never_leave_a_home_without_its_manifest(table: Table) -> None:
    files, data = TableFiles(table.uri), table.manifest(version=0).to_json()

    def come_and_go(number: int) -> None:
        for _ in range(20):
            mark(files, data, home=f"{number:032x}")
            assert files.exists(f"{FOLDER}/{sha256_bytes(data)}.{number:032x}")
            unmark(files, sha256_bytes(data), home=f"{number:032x}")
        if number == 0:
            mark(files, data, home=ADA)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert marked_manifests(files) == [data]
    assert markers(files) == {sha256_bytes(data): {ADA}}


class Meanwhile(TableFiles):
    """Files of a table where another home does something right after a file was written or deleted."""

    def __init__(self, uri: str, kind: str, other: Callable[[TableFiles], None]) -> None:
        super().__init__(uri)
        self.kind = kind
        self.other: Callable[[TableFiles], None] | None = other

    def write(self, path: str, data: bytes) -> None:
        super().write(path, data)
        self.happen(path)

    def delete(self, path: str) -> None:
        super().delete(path)
        self.happen(path)

    def happen(self, path: str) -> None:
        if path.endswith(self.kind) and self.other is not None:
            other, self.other = self.other, None
            other(TableFiles(self.uri))


def test_a_home_that_takes_hold_while_another_lets_go_finds_the_manifest(table: Table) -> None:
    data = table.manifest(version=0).to_json()
    digest = sha256_bytes(data)
    mark(TableFiles(table.uri), data, home=ADA)
    # Bob saw the manifest, and says that he holds it after Ada deleted it
    files = Meanwhile(table.uri, ".json", lambda others: others.write(f"{FOLDER}/{digest}.{BOB}", b"{}"))
    unmark(files, digest, home=ADA)
    assert files.other is None
    assert marked_manifests(files) == [data]


def test_a_home_that_lets_go_while_another_takes_hold_leaves_the_manifest(table: Table) -> None:
    data = table.manifest(version=0).to_json()
    digest = sha256_bytes(data)
    mark(TableFiles(table.uri), data, home=ADA)

    # Ada looked for other homes before Bob said that he holds it, and deletes the manifest after that
    def let_go_late(others: TableFiles) -> None:
        others.delete(f"{FOLDER}/{digest}.{ADA}")
        others.delete(f"{FOLDER}/{digest}.json")

    files = Meanwhile(table.uri, f".{BOB}", let_go_late)
    mark(files, data, home=BOB)
    assert files.other is None
    assert marked_manifests(files) == [data]


def test_strangers_in_the_folder_are_no_markers(table: Table) -> None:
    files = TableFiles(table.uri)
    files.write(f"{FOLDER}/notes.txt", b"x")
    files.write(f"{FOLDER}/.tmp-x", b"x")
    assert marked_manifests(files) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_table_that_cannot_be_written_is_pinned_without_a_marker(
    table: Table, home_pins: MarkedPins, caplog: pytest.LogCaptureFixture
) -> None:
    Path(table.uri).chmod(0o555)
    try:
        with caplog.at_level(logging.WARNING):
            pin(home_pins, table, 0)
    finally:
        Path(table.uri).chmod(0o755)
    assert "is known to this home only" in caplog.text
    assert [record.version for record in home_pins.list()] == [0]


def test_a_folder_that_is_in_the_way_leaves_the_pin_without_a_marker(
    table: Table, home_pins: MarkedPins, caplog: pytest.LogCaptureFixture
) -> None:
    (Path(table.uri) / "_lakemark").touch()
    with caplog.at_level(logging.WARNING):
        pin(home_pins, table, 0)
    assert "is known to this home only" in caplog.text
    assert [record.version for record in home_pins.list()] == [0]
    (Path(table.uri) / "_lakemark").unlink()
    pin(home_pins, table, 0)
    assert len(marked_manifests(TableFiles(table.uri))) == 1


def test_a_table_that_is_gone_is_not_made_again(
    table: Table, home_pins: MarkedPins, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = table.manifest()
    digest = home_pins.objects.put(manifest.to_json())
    shutil.rmtree(table.uri)
    with caplog.at_level(logging.WARNING):
        home_pins.add(
            table_uri=table.uri,
            table_id=manifest.table_id,
            version=1,
            manifest=digest,
            holder="run",
            reason="read by a run",
            created_ms=1,
        )
    assert "there is no table at" in caplog.text
    assert not Path(table.uri).exists()
    home_pins.release(holder="run")
    assert not Path(table.uri).exists()


def test_what_a_killed_process_left_goes_with_the_next_release(table: Table, home_pins: MarkedPins) -> None:
    files, home = TableFiles(table.uri), home_identity(home_pins.home)
    pin(home_pins, table, 0)
    mark(files, table.manifest(version=1).to_json(), home=home)  # killed before the pin was added
    mark(files, b"of another home", home=ADA)
    home_pins.release(holder="somebody else")
    assert len(markers(files)) == 3
    home_pins.release(holder="hand")
    assert markers(files) == {sha256_bytes(b"of another home"): {ADA}}


def test_a_table_that_was_moved_is_swept_at_its_new_place(table: Table, home_pins: MarkedPins, tmp_path: Path) -> None:
    pin(home_pins, table, 0)
    pin(home_pins, table, 1)
    Path(table.uri).rename(tmp_path / "moved")
    home_pins.release(holder="hand", version=0)
    files = TableFiles(tmp_path / "moved")
    assert len(markers(files)) == 2
    home_pins.sweep(files.uri)
    assert list(markers(files)) == [home_pins.list()[0].manifest]


def test_markers_on_s3(s3: str, home_pins: MarkedPins) -> None:
    table = Table(f"{s3}/sales")
    table.create(pa.table({"x": [1]}))
    table.append(pa.table({"x": [2]}))
    pin(home_pins, table, 0)
    files = TableFiles(table.uri)
    assert marked_manifests(files) == [table.manifest(version=0).to_json()]
    assert table.read().num_rows == 2
    (record,) = home_pins.list()
    assert verify(record, home_pins.objects.get(record.manifest)).is_whole
    let_go(record, pins=home_pins, reason="x")
    assert marked_manifests(files) == []
