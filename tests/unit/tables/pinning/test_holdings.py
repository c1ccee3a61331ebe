from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from lakemark.config.identity import home_identity
from lakemark.tables.pinning.holdings import TableHolding, account
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.pinning.pins import hold
from lakemark.tables.table import Table


def pin(pins: MarkedPins, table: Table, version: int, holder: str) -> None:
    hold(table.manifest(version=version), holder=holder, reason="", pins=pins, objects=pins.objects)


def holding(pins: MarkedPins) -> TableHolding:
    (found,) = account(pins.list(), pins.objects, home=home_identity(pins.home))
    return found


def test_what_only_pins_keep_and_what_only_one_holder_keeps(table: Table, home_pins: MarkedPins) -> None:
    first, both = table.manifest(version=0).bytes, table.manifest(version=1).bytes
    pin(home_pins, table, 0, "run-1")
    pin(home_pins, table, 1, "run-1")
    pin(home_pins, table, 1, "run-2")
    found = holding(home_pins)
    assert (found.bytes, found.kept_bytes, found.protected, found.exists, found.problems) == (both, 0, True, True, ())
    table.overwrite(pa.table({"day": [9], "amount": [1.0], "shop": ["x"]}))
    pin(home_pins, table, 2, "run-3")
    latest = table.manifest().bytes
    found = holding(home_pins)
    assert (found.bytes, found.kept_bytes) == (both + latest, both)
    costs = sorted((cost.bytes, cost.kept_bytes, cost.marked) for cost in found.versions.values())
    assert costs == sorted([(first, first, True), (both, both, True), (latest, 0, True)])
    own = {name: (cost.versions, cost.exclusive_bytes) for name, cost in found.holders.items()}
    # the file of version 0 is in version 1 too, which run-2 holds as well
    assert own == {"run-1": (2, 0), "run-2": (1, 0), "run-3": (1, 0)}
    home_pins.release(holder="run-2")
    assert holding(home_pins).holders["run-1"].exclusive_bytes == both


def test_a_file_of_two_versions_of_two_holders_is_nobodys_own(table: Table, home_pins: MarkedPins) -> None:
    first, both = table.manifest(version=0).bytes, table.manifest(version=1).bytes
    pin(home_pins, table, 0, "run-1")
    pin(home_pins, table, 1, "run-2")
    table.overwrite(pa.table({"day": [9], "amount": [1.0], "shop": ["x"]}))
    own = {name: cost.exclusive_bytes for name, cost in holding(home_pins).holders.items()}
    assert own == {"run-1": 0, "run-2": both - first}


def test_each_manifest_is_read_once(table: Table, home_pins: MarkedPins) -> None:
    for number in range(50):
        pin(home_pins, table, 0, f"run-{number}")
    pins = home_pins.list()
    read: list[str] = []

    class Counted(type(home_pins.objects)):  # type: ignore[misc]
        def get(self, digest: str) -> bytes:
            read.append(digest)
            return home_pins.objects.get(digest)

    (found,) = account(pins, Counted(home_pins.objects.folder), home="x" * 32)
    assert len(read) == 1
    assert (len(found.holders), len(found.versions)) == (50, 1)
    assert not found.versions[read[0]].marked


def test_a_table_that_is_gone(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0, "hand")
    size = table.manifest(version=0).bytes
    shutil.rmtree(table.uri)
    found = holding(home_pins)
    assert (found.exists, found.kept_bytes, found.problems) == (False, size, ())


def test_a_manifest_that_is_gone_is_said(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0, "hand")
    (record,) = home_pins.list()
    home_pins.objects.path(record.manifest).unlink()
    found = holding(home_pins)
    assert (found.bytes, found.versions[record.manifest].bytes) == (0, 0)
    assert "a manifest cannot be read" in found.problems[0]


def test_a_table_that_is_not_protected(tmp_path: Path, home_pins: MarkedPins) -> None:
    write_deltalake(tmp_path / "foreign", pa.table({"x": [1]}))
    pin(home_pins, Table(tmp_path / "foreign"), 0, "hand")
    assert not holding(home_pins).protected
