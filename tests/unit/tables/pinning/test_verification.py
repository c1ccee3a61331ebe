from __future__ import annotations

import shutil
from pathlib import Path

from lakemark.tables.pinning.digests import Digests
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.pinning.pins import PinStatus, hold, let_go
from lakemark.tables.pinning.verification import let_go_versions, verify_versions
from lakemark.tables.table import Table
from lakemark.tracking.file_digests import SqlDigestStore


def pin(pins: MarkedPins, table: Table, version: int, holder: str) -> None:
    hold(table.manifest(version=version), holder=holder, reason="", pins=pins, objects=pins.objects)


def digests(pins: MarkedPins) -> Digests:
    return Digests(SqlDigestStore(pins.pins.database), pins.objects)  # type: ignore[attr-defined]


def test_a_version_is_looked_at_once_for_all_its_holders(table: Table, home_pins: MarkedPins) -> None:
    for version, holder in ((0, "a"), (1, "a"), (1, "b")):
        pin(home_pins, table, version, holder)
    found = verify_versions(home_pins.list(), home_pins.objects)
    assert [(version.pin.version, version.holders, version.state.is_whole) for version in found] == [
        (0, ("a",), True),
        (1, ("a", "b"), True),
    ]


def test_damage_shows_in_a_deep_look_only(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0, "a")
    (first,) = verify_versions(home_pins.list(), home_pins.objects, digests=digests(home_pins))
    assert first.check is not None
    assert first.check.recorded
    entry = table.manifest(version=0).entries[0]
    path = entry.locate(Path(table.uri))
    data = bytearray(path.read_bytes())
    data[8] ^= 1
    path.write_bytes(bytes(data))
    (shallow,) = verify_versions(home_pins.list(), home_pins.objects)
    assert shallow.state.is_whole
    (deep,) = verify_versions(home_pins.list(), home_pins.objects, digests=digests(home_pins))
    assert (deep.state.status, deep.state.missing, deep.state.is_whole) == (
        PinStatus.FILES_CHANGED,
        (path.name,),
        False,
    )
    assert deep.state.detail == "1 of 1 files have other content than when they were looked at first"


def test_what_cannot_be_told_is_unknown_and_the_rest_goes_on(table: Table, home_pins: MarkedPins) -> None:
    pin(home_pins, table, 0, "a")
    pin(home_pins, table, 1, "a")
    first, _ = home_pins.list()
    home_pins.objects.path(first.manifest).unlink()
    found = verify_versions(home_pins.list(), home_pins.objects, digests=digests(home_pins))
    assert [version.state.status for version in found] == [PinStatus.UNKNOWN, PinStatus.READABLE]
    assert not found[0].state.is_whole


def test_a_version_that_was_let_go_explains_its_loss(table: Table, home_pins: MarkedPins) -> None:
    for version in (0, 1):
        pin(home_pins, table, version, "hand")
    pin(home_pins, table, 1, "run")
    for record in [record for record in home_pins.list() if record.holder == "hand"]:
        let_go(record, pins=home_pins, reason="erased by law")
    held = verify_versions(home_pins.list(), home_pins.objects)
    assert [version.explanation for version in held] == [""]
    (gone,) = let_go_versions(home_pins.list_released(), held, home_pins.objects)
    assert (gone.pin.version, gone.holders) == (0, ())
    assert gone.explanation.startswith("hand let it go at 20")
    assert gone.explanation.endswith("erased by law")
    shutil.rmtree(table.uri)
    (gone,) = let_go_versions(home_pins.list_released(), held, home_pins.objects)
    assert gone.explanation.startswith("lost on purpose, hand let it go at")
