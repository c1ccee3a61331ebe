"""A pin that comes while a vacuum deletes: it holds, or it is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import LakemarkError
from lakemark.config.home import Home, create_home
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning import announcements
from lakemark.tables.pinning.announcements import FOLDER, announced, wait_for_announced
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.pinning.pins import hold
from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import vacuum
from lakemark.tracking.pins import SqlPinStore


def pin(table: Table, version: int, home: Home) -> bool:
    """Pin a version as a process of its own would, and return whether that worked."""
    with open_database(home.database) as database:
        objects = ObjectStore(home.objects)
        pins = MarkedPins(SqlPinStore(database), objects, home)
        try:
            hold(table.manifest(version=version), holder="ada", reason="", pins=pins, objects=objects)
        except LakemarkError:
            assert not pins.list()
            return False
        return True


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(tmp_path / "t")
    made.create(pa.table({"x": [0]}))
    for number in range(1, 6):
        made.overwrite(pa.table({"x": [number]}))
    return made


def test_a_version_that_a_vacuum_is_deleting_cannot_be_pinned(table: Table, tmp_path: Path) -> None:
    home = create_home(tmp_path)
    last = vacuum(table, pins=[], retention_hours=0, dry_run=True).deleted[-1]
    [version] = [number for number in range(5) if table.manifest(version=number).entries[0].path == last]
    outcomes: list[bool] = []
    pinner = threading.Thread(target=lambda: outcomes.append(pin(table, version, home)))
    seen = threading.Event()

    def advance(_size: int) -> None:
        if not seen.is_set():
            seen.set()
            pinner.start()
            while not list(TableFiles(table.uri).list("_lakemark/pins")):
                seen.wait(0.01)
            pinner.join(0.3)

    vacuum(table, pins=[], retention_hours=0, advance=advance)
    pinner.join()
    assert outcomes == [False]
    assert list(TableFiles(table.uri).list(FOLDER)) == []


def test_a_version_that_it_does_not_touch_is_pinned_at_once(table: Table, tmp_path: Path) -> None:
    with announced(TableFiles(table.uri), ["another.parquet"]):
        assert pin(table, 2, create_home(tmp_path))
    assert vacuum(table, pins=[], retention_hours=0).kept_files == 1
    assert table.read(version=2)["x"].to_pylist() == [2]


def test_nobody_waits_for_ever_for_a_vacuum_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "_DEAD_SECONDS", 0.0)
    files = TableFiles(tmp_path)
    files.write(f"{FOLDER}/left.txt", b"a.parquet\n")
    wait_for_announced(files, ["b.parquet"])
    assert files.exists(f"{FOLDER}/left.txt")
    wait_for_announced(files, ["a.parquet"])
    assert not files.exists(f"{FOLDER}/left.txt")


def test_the_next_vacuum_sweeps_what_one_that_was_killed_has_left(tmp_path: Path) -> None:
    files = TableFiles(tmp_path)
    for name in ("old", "new"):
        files.write(f"{FOLDER}/{name}.txt", b"a.parquet\n")
    os.utime(tmp_path / FOLDER / "old.txt", (1_000_000_000, 1_000_000_000))
    with announced(files, ["b.parquet"]):
        assert (files.exists(f"{FOLDER}/old.txt"), files.exists(f"{FOLDER}/new.txt")) == (False, True)


def test_it_stays_while_it_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "_RENEWED_SECONDS", 0.0)
    files = TableFiles(tmp_path)
    with announced(files, ["a.parquet", "b.parquet"]) as renew:
        [path] = [file.path for file in files.list(FOLDER)]
        files.delete(path)
        renew()
        assert files.read(path) == b"a.parquet\nb.parquet\n"
    assert list(files.list(FOLDER)) == []
