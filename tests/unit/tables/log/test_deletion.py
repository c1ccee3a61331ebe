from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.log.deletion import vector_from_json
from lakemark.tables.table import Table


@pytest.mark.parametrize("storage", ["u", "i"])
def test_deleted_rows_do_not_count(deletion_table: Callable[..., Table], storage: str) -> None:
    table = deletion_table(storage)
    manifest = table.manifest()
    vector = manifest.entries[0].deletion_vector
    assert vector is not None
    assert (manifest.rows, vector.storage, vector.cardinality) == (8, storage, 2)
    assert vector_from_json(vector.to_json()) == vector
    place = vector.locate(Path(table.uri))
    assert (place is not None and place.stat().st_size >= vector.minimal_bytes()) == (storage == "u")
    assert table.manifest(version=0).entries[0].deletion_vector is None


def test_each_version_has_its_own_vector(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u", versions=3)
    assert [table.manifest(version=version).rows for version in (0, 1, 2)] == [10, 8, 7]
    assert table.read(version=2).num_rows == 7


def test_a_vector_without_its_log_is_still_seen(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u")
    opened = table.open()
    for commit in (Path(table.uri) / "_delta_log").glob("*.json"):
        commit.unlink()
    from lakemark.tables.log.manifest import observe

    vector = observe(opened).entries[0].deletion_vector
    assert vector is not None
    assert (vector.storage, vector.cardinality) == ("unknown", 2)


def test_a_log_with_separators_of_lines_in_its_texts(deletion_table: Callable[..., Table]) -> None:
    table = deletion_table("u")
    commit = Path(table.uri) / "_delta_log" / f"{0:020}.json"
    whole = commit.read_bytes()
    noted = '"add":{"tags":{"note":"one\u2028two\x85three"},'.encode()
    assert b'"add":{' in whole
    commit.write_bytes(whole.replace(b'"add":{', noted))
    assert table.manifest().rows == 8


def test_prefixes_and_absolute_paths() -> None:
    base = {"offset": 1, "sizeInBytes": 36, "cardinality": 2}
    named = vector_from_json({"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", **base})
    assert named.relative_path() == "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
    absolute = vector_from_json({"storageType": "p", "pathOrInlineDv": "file:///lake/a%20b.bin", **base})
    assert absolute.locate(Path("/elsewhere")) == Path("/lake/a b.bin")
    with pytest.raises(StorageError, match="cardinality"):
        vector_from_json({"storageType": "u", "pathOrInlineDv": "x", "sizeInBytes": 1})
