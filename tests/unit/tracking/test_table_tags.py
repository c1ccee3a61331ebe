from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakemark.storage.database import Database, open_database
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "db") as opened:
        yield opened


def put(tags: SqlTagStore, version: int, *, tag: str = "best", table_id: str = "id", replaces: int | None) -> bool:
    return tags.put(
        table_id=table_id,
        tag=tag,
        table_uri="/lake/flights",
        version=version,
        manifest="m" * 64,
        comment="",
        created_ms=version,
        replaces=replaces,
    )


def pin(database: Database, version: int, *, tag: str = "best", table_id: str = "id") -> None:
    SqlPinStore(database).add(
        table_uri="/lake/flights",
        table_id=table_id,
        version=version,
        manifest="m" * 64,
        holder=f"tag:{tag}",
        reason="",
        created_ms=1,
    )


def test_a_tag_needs_its_pin(database: Database) -> None:
    tags = SqlTagStore(database)
    assert not put(tags, 3, replaces=None)
    pin(database, 3, table_id="another")
    assert not put(tags, 3, replaces=None)
    pin(database, 3)
    assert put(tags, 3, replaces=None)
    assert not put(tags, 3, replaces=None)
    found = tags.get("id", "best")
    assert found is not None
    assert (found.table_uri, found.version, found.manifest, found.created_ms) == ("/lake/flights", 3, "m" * 64, 3)
    assert tags.get("id", "worst") is None


def test_a_tag_moves_only_from_where_it_is(database: Database) -> None:
    tags = SqlTagStore(database)
    for version in (0, 1, 2):
        pin(database, version)
    assert not put(tags, 1, replaces=0)
    assert put(tags, 0, replaces=None)
    assert put(tags, 1, replaces=0)
    assert not put(tags, 2, replaces=0)
    assert [tag.version for tag in tags.list("id")] == [1]


def test_the_pin_of_a_tag_stays_while_the_tag_names_its_version(database: Database) -> None:
    tags, pins = SqlTagStore(database), SqlPinStore(database)
    for version in (0, 1):
        pin(database, version)
    put(tags, 0, replaces=None)
    assert pins.release(holder="tag:best") == 1
    assert [record.version for record in pins.list()] == [0]
    assert tags.remove("id", "best")
    assert not tags.remove("id", "best")
    assert pins.release(holder="tag:best", table_id="another") == 0
    assert pins.release(holder="tag:best", table_id="id") == 1


def test_tags_are_listed_by_table_and_name(database: Database) -> None:
    tags = SqlTagStore(database)
    for tag in ("b", "a"):
        pin(database, 0, tag=tag)
        put(tags, 0, tag=tag, replaces=None)
    assert [tag.tag for tag in tags.list()] == [tag.tag for tag in tags.list("id")] == ["a", "b"]
    assert tags.list("other") == []
