from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark.config.home import create_home
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import MarkedPins, markers
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Table
from lakemark.tables.upkeep.vacuum import pinned_manifests, vacuum
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore


@pytest.fixture
def tags(tmp_path: Path) -> Iterator[Tags]:
    home = create_home(tmp_path)
    objects = ObjectStore(home.objects)
    with open_database(home.database) as database:
        yield Tags(SqlTagStore(database), MarkedPins(SqlPinStore(database), objects, home), objects)


def held(tags: Tags) -> list[tuple[str, int]]:
    return [(pin.holder, pin.version) for pin in tags.pins.list()]


def test_a_tag_names_a_version_and_keeps_it(tags: Tags, table: Table) -> None:
    record = tags.tag(table, 0, "q3-training", comment="the model of the third quarter")
    assert (record.version, record.comment) == (0, "the model of the third quarter")
    assert tags.version(table, "q3-training") == 0
    assert held(tags) == [("tag:q3-training", 0)]
    table.overwrite(pa.table({"day": [9], "amount": [1.0], "shop": ["x"]}))
    kept = pinned_manifests(tags.pins.list(), tags.objects, table=table)
    vacuum(table, pins=kept, retention_hours=0)
    assert table.read(version=0).num_rows == 2
    assert [tag.tag for tag in tags.list(table)] == [tag.tag for tag in tags.list()] == ["q3-training"]


def test_the_same_tag_a_second_time_changes_nothing(tags: Tags, table: Table) -> None:
    tags.tag(table, 1, "best", comment="first")
    tags.tag(table, 1, "best")
    assert [(tag.version, tag.comment) for tag in tags.list()] == [(1, "first")]
    assert held(tags) == [("tag:best", 1)]


def test_a_tag_is_taken_until_it_is_moved(tags: Tags, table: Table) -> None:
    tags.tag(table, 0, "best")
    with pytest.raises(ConflictError, match=r"tag 'best' of .* names version 0 already"):
        tags.tag(table, 1, "best")
    assert held(tags) == [("tag:best", 0)]
    tags.tag(table, 1, "best", move=True)
    assert tags.version(table, "best") == 1
    assert held(tags) == [("tag:best", 1)]
    (released,) = tags.pins.list_released()
    assert (released.version, released.release_reason) == (0, "tag best moved to version 1")


def test_an_untagged_version_is_let_go_with_a_reason(tags: Tags, table: Table) -> None:
    tags.tag(table, 0, "old")
    with pytest.raises(InvalidInputError, match="untagging 'old' needs a reason"):
        tags.untag(table, "old", " ")
    assert held(tags) == [("tag:old", 0)]
    assert tags.untag(table, "old", "erased by law") == 0
    assert (held(tags), list(tags.list())) == ([], [])
    assert [pin.release_reason for pin in tags.pins.list_released()] == ["erased by law"]
    assert markers(TableFiles(table.uri)) == {}


@pytest.mark.parametrize("name", ["12", "", "a b", "a/b", "-x", ".x", "a@b", "é", "x" * 201, "a\n"])
def test_names_that_are_none(tags: Tags, table: Table, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a version"):
        tags.tag(table, 0, name)
    assert held(tags) == []


@pytest.mark.parametrize("name", ["q3", "2026-11-20", "v1.2", "_x", "X" * 200])
def test_names_that_are_some(tags: Tags, table: Table, name: str) -> None:
    tags.tag(table, 0, name)
    assert tags.version(table, name) == 0


def test_an_unknown_tag_names_the_nearest(tags: Tags, table: Table) -> None:
    with pytest.raises(NotFoundError, match="no tag 'q3' on") as none:
        tags.version(table, "q3")
    assert none.value.hint == f"lakemark tables tag {table.uri} q3 sets it"
    tags.tag(table, 0, "training")
    with pytest.raises(NotFoundError, match="did you mean 'training'") as near:
        tags.untag(table, "traning", "x")
    assert near.value.hint == "its tags are training"
    with pytest.raises(NotFoundError, match="version 7"):
        tags.tag(table, 7, "later")


def test_a_table_that_was_made_again_does_not_inherit(tags: Tags, table: Table) -> None:
    tags.tag(table, 1, "best")
    shutil.rmtree(table.uri)
    table.create(pa.table({"day": [7]}))
    table.append(pa.table({"day": [8]}))
    with pytest.raises(NotFoundError, match="the table that was there before had one"):
        tags.version(table, "best")
    tags.tag(table, 0, "best")
    assert tags.version(table, "best") == 0
    assert len(tags.list()) == 2


def test_the_tag_of_a_table_that_is_gone_can_be_taken_away(tags: Tags, table: Table) -> None:
    tags.tag(table, 1, "best")
    shutil.rmtree(table.uri)
    assert tags.untag(table, "best", "dropped") == 1
    assert (held(tags), list(tags.list())) == ([], [])
    with pytest.raises(NotFoundError, match="no Delta table at"):
        tags.untag(table, "best", "dropped")
    table.create(pa.table({"day": [7]}))
    tags.tag(table, 0, "best")
    shutil.rmtree(table.uri)
    table.create(pa.table({"day": [8]}))
    assert tags.untag(table, "best", "made again") == 0
    assert held(tags) == []


def test_a_moved_table_keeps_its_tags_and_a_copy_is_checked(tags: Tags, table: Table, tmp_path: Path) -> None:
    tags.tag(table, 1, "best")
    shutil.copytree(table.uri, tmp_path / "copy")
    copy = Table(tmp_path / "copy")
    assert tags.version(copy, "best") == 1
    shutil.copytree(table.uri, tmp_path / "other", ignore=shutil.ignore_patterns("*1.json"))
    other = Table(tmp_path / "other")
    other.append(pa.table({"day": [4], "amount": [4.0], "shop": ["d"]}))
    with pytest.raises(ConflictError, match="a copy of it, has other files"):
        tags.version(other, "best")


def test_a_version_that_is_not_whole_is_not_tagged(tags: Tags, table: Table) -> None:
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match=r"version 1 of .* cannot be pinned: 1 of 2 files are missing"):
        tags.tag(table, 1, "best")
    assert (held(tags), list(tags.list())) == ([], [])


def test_the_store_refuses_a_tag_without_its_pin_and_keeps_the_pin_of_a_tag(tags: Tags, table: Table) -> None:
    record = tags.tag(table, 0, "best")
    put = {"table_id": record.table_id, "table_uri": table.uri, "manifest": record.manifest, "comment": ""}
    assert not tags.store.put(**put, tag="other", version=0, created_ms=1, replaces=None)
    assert not tags.store.put(**put, tag="best", version=1, created_ms=1, replaces=0)
    assert tags.pins.release(holder="tag:best", table_uri=table.uri, version=0) == 0
    assert held(tags) == [("tag:best", 0)]
    assert markers(TableFiles(table.uri)).keys() == {record.manifest}


def test_what_a_killed_move_left_is_cleared_by_the_next(tags: Tags, table: Table) -> None:
    first = tags.tag(table, 0, "best")
    other = tags.objects.put(table.manifest(version=1).to_json())
    tags.pins.add(
        table_uri=table.uri,
        table_id=first.table_id,
        version=1,
        manifest=other,
        holder="tag:best",
        reason="",
        created_ms=1,
    )  # the move was killed here
    assert tags.version(table, "best") == 0
    tags.tag(table, 0, "best")
    assert held(tags) == [("tag:best", 0)]


def test_tags_moved_by_many_at_once_always_have_their_pin(tags: Tags, table: Table) -> None:
    tags.tag(table, 0, "best")

    def move(number: int) -> bool:
        try:
            tags.tag(table, number % 2, "best", move=True)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(move, range(24)))
    tags.tag(table, tags.version(table, "best"), "best")
    assert held(tags) == [("tag:best", tags.version(table, "best"))]
