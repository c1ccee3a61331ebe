"""Content-addressed objects: bytes that are named by their sha256, written once, never changed.

An object is a file `objects/ab/cdef…` (the first two hexadecimal digits are the folder). It appears under its name only
when it is whole, so a reader, a second writer or a killed process never meets half of one. Standard library only: it is
used inside users' processes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lakemark._base.errors import NotFoundError, StorageError

__all__ = ["ObjectStore"]

_PIECE = 1 << 20


class ObjectStore:
    """Objects in a folder.

    Parameters
    ----------
    folder : Path
        Where they are; made on the first write.
    durable : bool, default True
        Wait with each object until the disk has it. False leaves that to `sync`, which is cheaper for many small ones.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self.durable = durable

    def path(self, digest: str) -> Path:
        """Return where the object `digest` is, or would be."""
        return self.folder / digest[:2] / digest[2:]

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def put(self, data: bytes) -> str:
        """Store `data` and return its sha256."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self:
            with self._incoming() as (file, path):
                file.write(data)
            self._admit(path, digest)
        return digest

    def put_file(self, path: Path) -> str:
        """Store the content of a file and return its sha256; it is read once, in pieces."""
        with path.open("rb") as source:
            return self.put_stream(source)

    def put_stream(self, source: BinaryIO) -> str:
        """Store all that `source` still has to read and return its sha256."""
        sha = hashlib.sha256()
        with self._incoming() as (file, path):
            while piece := source.read(_PIECE):
                sha.update(piece)
                file.write(piece)
        digest = sha.hexdigest()
        if digest in self:
            path.unlink()
        else:
            self._admit(path, digest)
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of an object.

        Raises
        ------
        NotFoundError
            If there is no such object.
        StorageError
            If the bytes on disk are no longer those that were stored.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"object {digest} is not in {self.folder}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(f"object {digest} in {self.folder} was changed on disk")
        return data

    def copy_to(self, digest: str, destination: Path) -> None:
        """Write an object's content to `destination`, whose folder is made."""
        if digest not in self:
            raise NotFoundError(f"object {digest} is not in {self.folder}")
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path(digest), destination)

    def sync(self) -> None:
        """Wait until the disk has all that was stored, for a store that is not durable by itself."""
        if not self.durable:
            os.sync()

    @contextmanager
    def _incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a new file of the folder, and its path; it is removed where writing fails, on a full disk say."""
        with self._refusals():
            try:
                handle, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
            try:
                with open(handle, "wb") as file:  # noqa: PTH123 - a handle has no path to open
                    yield file, Path(name)
                    file.flush()
                    if self.durable:
                        os.fsync(handle)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _admit(self, incoming: Path, digest: str) -> None:
        """Give a whole file its name. Another writer may have been faster: the content is the same."""
        target = self.path(digest)
        with self._refusals():
            try:
                incoming.chmod(0o444)
                try:
                    incoming.replace(target)
                except FileNotFoundError:
                    target.parent.mkdir(exist_ok=True)
                    incoming.replace(target)
            except BaseException:
                incoming.unlink(missing_ok=True)
                raise

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise our error for what the disk refuses."""
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"an object could not be stored in {self.folder}: {error.strerror}",
                hint="make room on the disk and try again; nothing was half written",
            ) from error
