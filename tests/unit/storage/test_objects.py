import io
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from lakemark._base.errors import NotFoundError, StorageError
from lakemark.storage.objects import ObjectStore


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def test_an_object_is_named_by_its_content(objects: ObjectStore) -> None:
    digest = objects.put(b"hello")
    assert digest == sha256(b"hello").hexdigest()
    assert digest in objects
    assert objects.get(digest) == b"hello"


def test_bytes_files_and_streams_give_one_object(objects: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    digests = {objects.put(data), objects.put_file(tmp_path / "file"), objects.put_stream(io.BytesIO(data))}
    assert len(digests) == 1
    assert [path for path in objects.folder.rglob("*") if path.is_file()] == [objects.path(digests.pop())]


def test_a_missing_object_is_named(objects: ObjectStore) -> None:
    with pytest.raises(NotFoundError, match="abcdef"):
        objects.get("abcdef")


def test_an_object_that_was_changed_on_disk_is_not_handed_out(objects: ObjectStore) -> None:
    digest = objects.put(b"hello")
    objects.path(digest).chmod(0o644)
    objects.path(digest).write_bytes(b"hullo")
    with pytest.raises(StorageError, match="changed on disk"):
        objects.get(digest)


def test_a_copy_can_be_changed_without_changing_the_object(objects: ObjectStore, tmp_path: Path) -> None:
    digest = objects.put(b"hello")
    copy = tmp_path / "folder" / "copy"
    objects.copy_to(digest, copy)
    copy.write_bytes(b"other")
    assert objects.get(digest) == b"hello"


def test_many_writers_of_one_content_agree(objects: ObjectStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        digests = set(pool.map(lambda _: objects.put(b"same" * 100_000), range(64)))
    assert len(digests) == 1
    assert objects.get(digests.pop()) == b"same" * 100_000


class Broken(io.BytesIO):
    """A source that ends with an error, as a full disk would."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(28, "No space left on device")
        return super().read(min(size or 10, 10))


def test_a_write_that_fails_leaves_no_litter(objects: ObjectStore) -> None:
    with pytest.raises(OSError, match="No space left"):
        objects.put_stream(Broken(b"x" * 100))
    assert list(objects.folder.rglob("*")) == []
