from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark._base.hashing import sha256_file
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import parse
from lakemark.tables.log.pieces import Places
from lakemark.tables.pinning.digests import FORMAT, Digests
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.table import Table
from lakemark.tracking.file_digests import SqlDigestStore


@pytest.fixture
def fresh(home_pins: MarkedPins) -> Callable[[], Digests]:
    """Make digests that have read nothing yet."""
    store = home_pins.pins
    return lambda: Digests(SqlDigestStore(store.database), home_pins.objects)  # type: ignore[attr-defined]


def damage(path: Path) -> None:
    """Turn one bit of a file, so that its size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_the_first_look_writes_down_and_later_ones_compare(
    table: Table, home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    manifest = home_pins.objects.put(table.manifest().to_json())
    read: list[int] = []
    first = fresh().check(manifest, places=Places(table.uri), progress=read.append)
    size = table.manifest().bytes
    assert (first.recorded, first.changed, first.unreadable, first.files, first.bytes) == (True, (), (), 2, size)
    assert sum(read) == size
    document = json.loads(home_pins.objects.get(fresh().store.get(manifest) or ""))
    files = {path.name: sha256_file(path) for path in Path(table.uri).glob("*.parquet")}
    assert document == {"format": FORMAT, "manifest": manifest, "files": files}
    again = fresh().check(manifest, places=Places(table.uri))
    assert (again.recorded, again.changed) == (False, ())
    path = next(Path(table.uri).glob("*.parquet"))
    damage(path)
    assert fresh().check(manifest, places=Places(table.uri)).changed == (path.name,)


def test_a_file_of_many_versions_is_read_once(
    table: Table, home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    digests, read = fresh(), list[int]()
    for version in (0, 1):
        manifest = home_pins.objects.put(table.manifest(version=version).to_json())
        assert digests.check(manifest, places=Places(table.uri), progress=read.append).recorded
    assert sum(read) == table.manifest().bytes


def test_nothing_is_written_down_while_a_file_is_gone(
    table: Table, home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    manifest = home_pins.objects.put(table.manifest().to_json())
    path = next(Path(table.uri).glob("*.parquet"))
    path.unlink()
    check = fresh().check(manifest, places=Places(table.uri))
    assert (check.recorded, check.unreadable) == (False, (path.name,))
    assert fresh().store.get(manifest) is None


def test_deletion_vectors_are_read_too(
    deletion_table: Callable[[str], Table], home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    table = deletion_table("u")
    manifest = home_pins.objects.put(table.manifest().to_json())
    assert fresh().check(manifest, places=Places(table.uri)).files == 2
    vector = next(Path(table.uri).glob("*.bin"))
    damage(vector)
    assert fresh().check(manifest, places=Places(table.uri)).changed == (vector.name,)


def test_a_document_of_another_format_is_refused(
    table: Table, home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    manifest = home_pins.objects.put(table.manifest().to_json())
    fresh().store.put(manifest, home_pins.objects.put(b'{"format":"lakemark.digests/9"}'), created_ms=1)
    with pytest.raises(StorageError, match=r"digests of format 'lakemark\.digests/9'"):
        fresh().check(manifest, places=Places(table.uri))


def test_on_s3(s3: str, home_pins: MarkedPins, fresh: Callable[[], Digests]) -> None:
    table = Table(f"{s3}/sales")
    table.create(pa.table({"x": [1]}))
    data = table.manifest().to_json()
    manifest, path = home_pins.objects.put(data), parse(data).entries[0].path
    assert fresh().check(manifest, places=Places(table.uri)).recorded
    files = TableFiles(table.uri)
    content = bytearray(files.read(path))
    content[len(content) // 2] ^= 1
    files.write(path, bytes(content))
    assert fresh().check(manifest, places=Places(table.uri)).changed == (path,)


def test_nothing_is_written_down_of_a_file_that_is_known_to_be_damaged(
    table: Table, home_pins: MarkedPins, fresh: Callable[[], Digests]
) -> None:
    first, second = (home_pins.objects.put(table.manifest(version=version).to_json()) for version in (0, 1))
    fresh().check(first, places=Places(table.uri))
    path = Path(table.uri) / table.manifest(version=0).entries[0].path
    damage(path)
    digests = fresh()
    assert digests.check(first, places=Places(table.uri)).changed == (path.name,)
    found = digests.check(second, places=Places(table.uri))
    assert (found.recorded, found.changed) == (False, (path.name,))
    path.write_bytes(path.read_bytes() + b"!")
    assert not fresh().check(second, places=Places(table.uri)).recorded
    assert fresh().store.get(second) is None
