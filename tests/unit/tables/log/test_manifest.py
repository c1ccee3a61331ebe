from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.canonical import canonical
from lakemark._base.errors import InvalidInputError, StorageError
from lakemark.tables.log.manifest import local_folder, location, observe, parse
from lakemark.tables.table import Table


def test_a_manifest_says_what_the_log_says(table: Table) -> None:
    opened = table.open()
    manifest = observe(opened)
    assert (manifest.uri, manifest.version, manifest.table_id) == (table.uri, 1, str(opened.metadata().id))
    assert (manifest.files, manifest.rows) == (2, 3)
    assert manifest.bytes == sum(path.stat().st_size for path in Path(table.uri).glob("*.parquet"))
    assert manifest.schema_json == opened.schema().to_json()
    plain = json.dumps(json.loads(manifest.schema_json), separators=(",", ":"), sort_keys=True)
    assert manifest.schema_sha256 == hashlib.sha256(plain.encode()).hexdigest()
    data = json.loads(manifest.to_json())
    assert manifest.to_json() == canonical(data)
    assert [file["path"] for file in data["files"]] == sorted(file["path"] for file in data["files"])
    files = [[file["path"], file["size"]] for file in data["files"]]
    identity = hashlib.sha256(canonical([manifest.table_id, manifest.schema_sha256, files])).hexdigest()
    assert manifest.log_identity == identity


def test_a_partition_of_year_1(tmp_path: Path) -> None:
    rows = pa.table({"x": [1], "at": [datetime(1, 2, 3, 4)], "utc": [datetime(1, 2, 3, 4, tzinfo=UTC)]})  # noqa: DTZ001
    made = Table(tmp_path / "early")
    made.create(rows, partition_by=["at", "utc"])
    assert made.manifest().entries[0].partition_values["at"] == "0001-02-03 04:00:00.000000"
    assert made.read() == rows


def test_the_order_of_keys_in_a_schema_does_not_count(table: Table) -> None:
    manifest = table.manifest()
    backwards = json.dumps(json.loads(manifest.schema_json, object_pairs_hook=lambda pairs: dict(reversed(pairs))))
    assert backwards != manifest.schema_json
    assert replace(manifest, schema_json=backwards).log_identity == manifest.log_identity


def test_a_manifest_is_read_back(table: Table) -> None:
    manifest = table.manifest()
    assert parse(manifest.to_json()).to_json() == manifest.to_json()
    assert parse(manifest.to_json().decode()).log_identity == manifest.log_identity


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "lakemark.manifest/9"}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(text: str | bytes) -> None:
    with pytest.raises(StorageError, match="manifest"):
        parse(text)


def test_partition_values_and_paths_are_those_of_the_log(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    columns = {
        "text": ["a b/c%é=", None],
        "day": [date(2020, 1, 2), date(1900, 12, 31)],
        "at": [datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), None],
        "flag": [True, False],
        "number": [-7, None],
        "float": [0.1, 1e16],
        "x": [1, 2],
    }
    table.create(pa.table(columns), partition_by=[name for name in columns if name != "x"])
    entries = table.manifest().entries
    commit = (Path(table.uri) / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    adds = sorted((json.loads(line)["add"] for line in commit if '"add"' in line), key=lambda add: add["path"])
    assert [dict(entry.partition_values) for entry in entries] == [add["partitionValues"] for add in adds]
    assert [entry.path for entry in entries] == [add["path"] for add in adds]
    assert all(entry.locate(Path(table.uri)).stat().st_size == entry.size for entry in entries)


def test_a_compacted_table_has_another_identity(table: Table) -> None:
    before = table.manifest()
    table.open().optimize.compact()
    after = table.manifest()
    assert (before.table_id, before.schema_sha256) == (after.table_id, after.schema_sha256)
    assert before.log_identity != after.log_identity


def test_an_empty_table_has_a_manifest(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([("x", pa.int64())]))
    assert (table.manifest().files, table.manifest().rows, table.manifest().bytes) == (0, 0, 0)


def test_spellings_of_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    monkeypatch.chdir(tmp_path)
    place = str(tmp_path.resolve() / "a b")
    assert {location(text) for text in ("a b", "./a b/", "link", place, f"file://{tmp_path}/a%20b/")} == {place}
    assert location("s3://lake/sales/") == "s3://lake/sales"
    assert local_folder("s3://lake/sales") is None
    assert local_folder("a b") == Path(place)


def test_only_the_standard_library_is_imported() -> None:
    code = "import sys, lakemark.tables.log.manifest; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "numpy", "deltalake", "arro3", "sqlalchemy", "click"} & set(done.stdout.split())


def test_observing_needs_no_pyarrow(table: Table) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; import deltalake; "
        "from lakemark.tables.log.manifest import observe; "
        f"print(observe(deltalake.DeltaTable({table.uri!r})).log_identity)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == table.manifest().log_identity


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://AKIA:sec/ret@lake/t", "s3://***@lake/t has a password"),
        ("abfss://me:secret@lake.example/t", "abfss://***@lake.example/t has a password"),
        ("https://lake.example/t?sv=1&sig=secret", "https://lake.example/t?*** has a query"),
    ],
)
def test_a_place_holds_no_secret(uri: str, shown: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(shown)) as caught:
        location(uri)
    assert "sec" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")
    for sound in ("s3://me@lake/a", "http://localhost:9000/a@b/t", "abfss://c@lake.example/t", "s3://lake/a:b@c"):
        assert location(sound) == sound
