from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakemark.storage.database import open_database
from lakemark.tables.pinning.pins import PinStore
from lakemark.tracking.pins import SqlPinStore


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[SqlPinStore]:
    with open_database(tmp_path / "db") as database:
        yield SqlPinStore(database)


def add(pins: PinStore, version: int, *, holder: str = "run", table_id: str = "id", created_ms: int = 1) -> None:
    pins.add(
        table_uri="/lake/flights",
        table_id=table_id,
        version=version,
        manifest="m" * 64,
        holder=holder,
        reason="read by a run",
        created_ms=created_ms,
    )


def test_version_0_is_a_version(pins: SqlPinStore) -> None:
    add(pins, 0)
    (pin,) = pins.list("/lake/flights")
    assert (pin.table_uri, pin.table_id, pin.version, pin.manifest) == ("/lake/flights", "id", 0, "m" * 64)
    assert (pin.holder, pin.reason, pin.created_ms) == ("run", "read by a run", 1)
    assert pins.release(holder="run", version=0) == 1


def test_the_same_pin_a_second_time_changes_nothing(pins: SqlPinStore) -> None:
    add(pins, 3, created_ms=1)
    add(pins, 3, created_ms=2)
    add(pins, 3, holder="other")
    add(pins, 3, table_id="made again")
    assert [(pin.holder, pin.table_id, pin.created_ms) for pin in pins.list()] == [
        ("run", "id", 1),
        ("other", "id", 1),
        ("run", "made again", 1),
    ]


def test_a_released_pin_holds_no_more_and_is_remembered(pins: SqlPinStore) -> None:
    for version in (1, 2):
        add(pins, version)
    assert pins.release(holder="run", table_uri="/lake/planes") == 0
    assert pins.release(holder="run", table_uri="/lake/flights", version=1, reason="no longer needed") == 1
    assert pins.release(holder="run", version=1) == 0
    assert [pin.version for pin in pins.list()] == [2]
    (released,) = pins.list_released("/lake/flights")
    assert (released.version, released.release_reason) == (1, "no longer needed")
    assert released.released_ms is not None
    add(pins, 1)
    assert [pin.version for pin in pins.list()] == [2, 1]


def test_lists_are_of_one_table_or_of_all(pins: SqlPinStore) -> None:
    add(pins, 1)
    assert pins.list("/lake/planes") == []
    assert len(pins.list()) == 1
