"""The files of a table, on any storage that `deltalake` knows: list, read, write, delete, and never outside of it.

A path is relative to the table and spelled as the storage has it, with `/` between its parts. A log spells the same
path percent-encoded (`lakemark.tables.log.manifest`).
"""

from __future__ import annotations

import os
import re
import shutil
import stat as modes
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.fs as arrow_fs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError, StorageError
from lakemark._base.files import write_atomic
from lakemark.tables.failures import redacted
from lakemark.tables.log.manifest import local_folder, location

__all__ = ["StoredFile", "TableFiles", "tables_below"]

_PIECE = 1 << 22

_ORNAMENT = re.compile(r"\x1b\[[0-9;]*m|↳")
_SAID = 300  # characters of what a storage says; some send a page of XML


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file.

    Parameters
    ----------
    path : str
        Relative to the table.
    size : int
        Bytes.
    modified_ms : int
        When its content was written, in milliseconds since 1970-01-01 UTC; object stores know the second only.
    """

    path: str
    size: int
    modified_ms: int


def tables_below(paths: Iterable[str]) -> frozenset[str]:
    """Return the folders inside a table that are tables of their own.

    Parameters
    ----------
    paths : iterable of str
        The files in the outer table's folder, relative to it.

    Examples
    --------
    >>> tables_below(["_delta_log/0.json", "part-1.parquet", "b/_delta_log/0.json"])
    frozenset({'b'})
    """
    return frozenset(path.partition("/_delta_log/")[0] for path in paths if "/_delta_log/" in path)


class TableFiles:
    """The files under one table, which need not exist yet.

    Parameters
    ----------
    uri : str or Path
        A folder, or a URI of any storage that `deltalake` knows; credentials come from the environment, as for tables.

    Notes
    -----
    Every method raises `InvalidInputError` for a path that is absolute or leaves the table, and `StorageError`, with
    the place, where the storage fails. On a local disk links are not followed out of the table, and not listed.

    Examples
    --------
    >>> import tempfile
    >>> files = TableFiles(tempfile.mkdtemp())
    >>> files.write("_notes/today.txt", b"rain")
    >>> [(file.path, file.size) for file in files.list()], files.read("_notes/today.txt")
    ([('_notes/today.txt', 4)], b'rain')
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = location(str(uri))
        folder = local_folder(self.uri)
        self._storage: _Storage = _Remote(self.uri) if folder is None else _Local(folder)

    def list(self, prefix: str = "") -> Iterator[StoredFile]:
        """Yield the files in a folder and the folders below it, in no order; none where there is no such folder.

        Parameters
        ----------
        prefix : str, default ""
            A folder, for example `_delta_log`; without it, the table.
        """
        place = _confined(prefix, self.uri) if prefix else ""
        with _failures(self.uri, prefix, "listed"):
            yield from self._storage.list(place)

    def stat(self, path: str) -> StoredFile | None:
        """Return the file's facts, None if there is no such file."""
        with _failures(self.uri, path, "looked at"):
            return self._storage.stat(_confined(path, self.uri))

    def exists(self, path: str) -> bool:
        """Return True if there is such a file; a folder is none."""
        return self.stat(path) is not None

    def read(self, path: str) -> bytes:
        """Return the whole content.

        Raises
        ------
        NotFoundError
            If there is no such file.
        """
        with self.open(path) as file, _failures(self.uri, path, "read"):
            return file.read()

    def open(self, path: str) -> BinaryIO:
        """Return the file, open for reading at any place in it; the caller closes it.

        Raises
        ------
        NotFoundError
            If there is no such file.
        """
        with _failures(self.uri, path, "read"):
            return self._storage.open(_confined(path, self.uri))

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file in one step, over one that is there; folders on the way are made."""
        with _failures(self.uri, path, "written"):
            self._storage.write(_confined(path, self.uri), data)

    def write_from(self, path: str, source: BinaryIO) -> None:
        """Write a whole file from what `source` still has to read, in pieces; it appears when it is whole."""
        with _failures(self.uri, path, "written"):
            self._storage.write_from(_confined(path, self.uri), source)

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        with _failures(self.uri, path, "deleted"):
            self._storage.delete(_confined(path, self.uri))


class _Storage(Protocol):
    def list(self, prefix: str) -> Iterator[StoredFile]: ...
    def stat(self, path: str) -> StoredFile | None: ...
    def open(self, path: str) -> BinaryIO: ...
    def write(self, path: str, data: bytes) -> None: ...
    def write_from(self, path: str, source: BinaryIO) -> None: ...
    def delete(self, path: str) -> None: ...


class _Local:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, prefix: str) -> Iterator[StoredFile]:
        folders = [prefix]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(self._folder / folder))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # deleted meanwhile
                    continue
                if modes.S_ISREG(facts.st_mode):
                    yield StoredFile(path, facts.st_size, facts.st_mtime_ns // 1_000_000)

    def stat(self, path: str) -> StoredFile | None:
        try:
            facts = self._place(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not modes.S_ISREG(facts.st_mode):
            return None
        return StoredFile(path, facts.st_size, facts.st_mtime_ns // 1_000_000)

    def open(self, path: str) -> BinaryIO:
        return self._place(path).open("rb")

    def write(self, path: str, data: bytes) -> None:
        write_atomic(self._place(path), data)

    def write_from(self, path: str, source: BinaryIO) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(source, file, _PIECE)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def delete(self, path: str) -> None:
        self._place(path).unlink(missing_ok=True)

    def _place(self, path: str) -> Path:
        """Return where the file is, once no link leads out of the table."""
        place = self._folder / path
        if not place.parent.resolve().is_relative_to(self._folder):
            raise _outside(path, str(self._folder))
        return place


class _Remote:
    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._opened: arrow_fs.PyFileSystem | None = None

    def list(self, prefix: str) -> Iterator[StoredFile]:
        chosen = arrow_fs.FileSelector(prefix, recursive=True, allow_not_found=True)
        for facts in self._system.get_file_info(chosen):
            found = _stored(facts)
            if found is not None:
                yield found

    def stat(self, path: str) -> StoredFile | None:
        return _stored(self._system.get_file_info(path))

    def open(self, path: str) -> BinaryIO:
        return cast("BinaryIO", self._system.open_input_file(path))

    def write(self, path: str, data: bytes) -> None:
        with self._system.open_output_stream(path) as stream:
            stream.write(data)

    def write_from(self, path: str, source: BinaryIO) -> None:
        try:
            with self._system.open_output_stream(path) as stream:
                while piece := source.read(_PIECE):
                    stream.write(piece)
        except BaseException:
            self.delete(path)  # closing the stream has published what was written
            raise

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._system.delete_file(path)

    @property
    def _system(self) -> arrow_fs.PyFileSystem:
        if self._opened is None:
            self._opened = arrow_fs.PyFileSystem(_Handler(self._uri))
        return self._opened


class _Handler(DeltaStorageHandler):
    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        """Return a stream that takes Arrow's buffers: the one of `deltalake` 1.6 takes nothing but bytes."""
        return pa.PythonFile(_BytesOnly(cast("_Sink", self._handler.open_output_stream(path, metadata))), mode="w")


class _Sink(Protocol):
    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class _BytesOnly:
    def __init__(self, stream: _Sink) -> None:
        self._stream = stream

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def write(self, data: bytes | pa.Buffer) -> int:
        return self._stream.write(bytes(data))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _stored(facts: arrow_fs.FileInfo) -> StoredFile | None:
    if facts.type != arrow_fs.FileType.File:
        return None
    return StoredFile(facts.path, facts.size, (facts.mtime_ns or 0) // 1_000_000)


def _confined(path: str, uri: str) -> str:
    """Return a path whose parts all lead downwards."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise _outside(path, uri)
    return path


def _outside(path: str, uri: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path!r} is no file of the table {uri}", hint="a path is relative to the table and does not lead out of it"
    )


@contextmanager
def _failures(uri: str, path: str, what: str) -> Iterator[None]:
    """Raise our errors, with the place, for those of the storage inside the block."""
    place = f"{uri}/{path}" if path else uri
    try:
        yield
    except LakemarkError:
        raise
    except (DeltaError, pa.ArrowException, OSError, ValueError) as error:
        if what == "read" and isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            raise NotFoundError(f"there is no file {place}") from error
        text = getattr(error, "strerror", None) or " ".join(redacted(_ORNAMENT.sub("", str(error))).split())[:_SAID]
        raise StorageError(f"{place} cannot be {what}: {text}", hint="check the place and who may use it") from error
