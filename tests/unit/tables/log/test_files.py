from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError, StorageError
from lakemark.tables.log.files import TableFiles
from lakemark.tables.table import Table

NAMES = ["_notes/a.txt", "p=a b/x.bin", "p=a%20b/x.bin", "p=%C3%A9%25/é%25.bin", "deep/er/still/y.bin"]


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "lake" / "t")
    return f"{request.getfixturevalue('s3')}/lake/t"


def test_what_is_written_is_listed_and_read(place: str) -> None:
    files = TableFiles(place)
    assert list(files.list()) == []
    for number, name in enumerate(NAMES):
        files.write(name, b"x" * number)
    found = {file.path: file for file in files.list()}
    assert set(found) == set(NAMES)
    for number, name in enumerate(NAMES):
        assert files.read(name) == b"x" * number
        assert files.stat(name) == found[name]
        assert found[name].size == number
        assert found[name].modified_ms > 1_700_000_000_000
    assert [file.path for file in files.list("_notes")] == ["_notes/a.txt"]
    assert list(files.list("_note")) == []
    files.write("_notes/a.txt", b"other")
    assert files.read("_notes/a.txt") == b"other"


def test_a_big_file(place: str) -> None:
    files, data = TableFiles(place), os.urandom(1 << 20) * 12
    files.write("big.bin", data)
    assert files.read("big.bin") == data


def test_deleting(place: str) -> None:
    files = TableFiles(place)
    for name in NAMES:
        files.write(name, b"x")
    for name in NAMES:
        assert files.exists(name)
        files.delete(name)
        files.delete(name)
        assert not files.exists(name)
    assert list(files.list()) == []


def test_what_is_not_there(place: str) -> None:
    files = TableFiles(place)
    files.write("a/b", b"x")
    assert files.stat("nothing") is None
    assert files.stat("a") is None
    assert files.stat("a/b/c") is None
    for path in ("nothing", "a", "nothing/deeper"):
        with pytest.raises(NotFoundError, match=f"there is no file {place}/{path}"):
            files.read(path)
    assert list(files.list("nothing")) == []


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other", "a/../../b", "a//b", "./a", "a/", "a\0b"])
def test_a_path_that_leaves_the_table_is_refused(place: str, path: str) -> None:
    files = TableFiles(place)
    for act in (files.read, files.open, files.stat, files.exists, files.delete):
        with pytest.raises(InvalidInputError, match="is no file of the table"):
            act(path)
    with pytest.raises(InvalidInputError, match="is no file of the table"):
        files.write(path, b"x")
    if path:
        with pytest.raises(InvalidInputError, match="is no file of the table"):
            list(files.list(path))


def test_paths_are_those_of_the_log_once_decoded(place: str) -> None:
    table = Table(place)
    table.create(pa.table({"p": ["a b/c%é=", "_x", None], "x": [1, 2, 3]}), partition_by=["p"])
    files = TableFiles(place)
    on_disk = {file.path: file.size for file in files.list() if not file.path.startswith("_delta_log")}
    entries = table.manifest().entries
    named = {entry.locate(Path()).as_posix(): entry.size for entry in entries}
    assert named == on_disk
    for path in named:
        with files.open(path) as file:
            assert pq.ParquetFile(file).metadata.num_rows == 1


def test_links_are_not_listed_and_not_followed_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "way").symlink_to(outside)
    files = TableFiles(folder)
    assert list(files.list()) == []
    with pytest.raises(InvalidInputError, match="'way/secret' is no file of the table"):
        files.read("way/secret")
    with pytest.raises(InvalidInputError, match="'way/new' is no file of the table"):
        files.write("way/new", b"x")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_errors_name_the_place(tmp_path: Path, s3: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=f"{tmp_path}/file/a cannot be written: "):
        TableFiles(tmp_path / "file").write("a", b"x")
    gone = TableFiles(f"{s3}-missing/t")
    with pytest.raises(StorageError, match=f"{s3}-missing/t/a cannot be written: "):
        gone.write("a", b"x")
