"""Destinations: how the files of one version come to another place and become a table there in one step."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deltalake import DeltaTable

from lakemark._base.errors import ConflictError, NotFoundError, StorageError
from lakemark._base.files import write_atomic
from lakemark.tables.failures import translated
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.pieces import Piece, Places, target_of

__all__ = ["LocalDestination", "RemoteDestination"]

_THREADS = 8
_PIECE_BYTES = 1 << 22
_LOG = f"_delta_log/{0:020}.json"
_UNDER_WAY = "_lakemark/clone"
_GIVE = "give a folder that does not exist"


class LocalDestination:
    """A folder on a local disk.

    Parameters
    ----------
    folder : Path
        Must not exist, or be empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, needed: Sequence[Piece], places: Places, log: bytes, *, shallow: bool, version: int = 0) -> None:
        """Make the table: its files, its log, and then its name.

        Parameters
        ----------
        needed : sequence of Piece
            The files.
        places : Places
            Where they are.
        log : bytes
            The first commit.
        shallow : bool
            Link instead of copying, where the file system allows it.
        version : int, default 0
            The number that the log begins with.
        """
        with self.scratch() as scratch:
            bring(needed, places, scratch, shallow=shallow)
            try:
                write_atomic(scratch / _LOG, log)
            except OSError as error:
                raise _not_written(scratch / _LOG, error) from error
            if version:
                _begin_log_at(version, scratch)
            self.publish(scratch)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder beside the destination, for this process alone; it is removed if it is left over.

        Raises
        ------
        ConflictError
            If there is something at the destination, or another process makes a table there.
        """
        self._check_free()
        scratch = self.folder.with_name(f".{self.folder.name}.lakemark-clone")
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            handle = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(f"{scratch} cannot be made: {error.strerror}") from error
        try:
            self._take(scratch, handle)
            for left in scratch.iterdir():  # of a clone that was killed
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            try:
                yield scratch
            finally:
                if _is_same(scratch, handle):
                    shutil.rmtree(scratch, ignore_errors=True)
        finally:
            os.close(handle)

    def publish(self, scratch: Path) -> None:
        """Give the folder its name."""
        try:
            scratch.replace(self.folder)
        except OSError as error:
            self._check_free()
            raise StorageError(f"{self.folder} cannot be made: {error.strerror}") from error

    def _take(self, scratch: Path, handle: int) -> None:
        """Lock the folder; one that was published or swept away between opening and locking is not ours."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"another process makes {self.folder}", hint="wait for it, then look") from None
        if not _is_same(scratch, handle):
            raise ConflictError(f"another process made {self.folder} just now", hint="look at it, or try again")

    def _check_free(self) -> None:
        taken = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir()))
        if taken:
            raise ConflictError(f"{self.folder} is not empty", hint=_GIVE)


class RemoteDestination:
    """A place on other storage, where the log comes last: without it there is no table.

    Parameters
    ----------
    uri : str
        Must not have any files.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.files = TableFiles(uri)

    def make(self, needed: Sequence[Piece], places: Places, log: bytes) -> None:
        """Make the table: a note that it is under way, its files, its log.

        Notes
        -----
        Where two processes make a table at one place at once, the last log counts, and the other process gets a
        `ConflictError`.
        """
        self.begin(keep=frozenset(target_of(piece).relative for piece in needed))

        def copy(piece: Piece) -> None:
            with places.open(piece) as source:
                self.files.write_from(target_of(piece).relative, source)

        _in_parallel(copy, needed)
        self.publish(log)

    def begin(self, *, keep: frozenset[str] = frozenset()) -> None:
        """Make sure that the place is free, and sweep away what a clone that was killed has left there."""
        found = [file.path for file in self.files.list()]
        if found and (_UNDER_WAY not in found or any(path.startswith("_delta_log/") for path in found)):
            raise ConflictError(f"{self.uri} is not empty", hint=_GIVE)
        self.files.write(_UNDER_WAY, b"")
        for path in found:
            if path != _UNDER_WAY and path not in keep:
                self.files.delete(path)

    def publish(self, log: bytes) -> None:
        """Write the log."""
        if self.files.exists(_LOG):
            raise ConflictError(f"another process made {self.uri} just now", hint="look at it, or try again")
        self.files.write(_LOG, log)
        if self.files.read(_LOG) != log:
            raise ConflictError(f"another process made {self.uri} just now", hint="look at it, or try again")
        self.files.delete(_UNDER_WAY)


def _begin_log_at(version: int, folder: Path) -> None:
    """Give the only version of a table another number: a log may begin with a checkpoint, without what was before."""
    log = folder / "_delta_log"
    with translated(str(folder)):
        DeltaTable(folder).create_checkpoint()
    for kind in ("json", "checkpoint.parquet"):
        (log / f"{0:020}.{kind}").rename(log / f"{version:020}.{kind}")
    (log / "_last_checkpoint").unlink()  # it names the old number, and is not needed


def bring(needed: Sequence[Piece], places: Places, folder: Path, *, shallow: bool) -> None:
    """Link or copy the files of a version into a folder.

    Raises
    ------
    StorageError
        If one is gone, or does not have its size.
    """

    def one(piece: Piece) -> None:
        target = folder / target_of(piece).relative
        target.parent.mkdir(parents=True, exist_ok=True)
        source = places.local(piece)
        try:
            if not (shallow and source is not None and _link(source, target)):
                _copy(piece, places, target)
            size = target.stat().st_size
        except (NotFoundError, FileNotFoundError) as error:
            raise StorageError(f"{piece.name} was deleted meanwhile", hint="pin the version first") from error
        except OSError as error:
            raise _not_written(target, error) from error
        if not piece.fits(size):
            raise StorageError(f"{piece.name} has {size} bytes, not {piece.size}")

    _in_parallel(one, needed)


def _link(source: Path, target: Path) -> bool:
    """Link a file, if this file system and the two places allow it."""
    try:
        os.link(source.resolve(strict=True), target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links, or a file of somebody else
        return False
    return True


def _copy(piece: Piece, places: Places, target: Path) -> None:
    with places.open(piece) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _PIECE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _in_parallel(work: Callable[[Piece], None], needed: Sequence[Piece]) -> None:
    """Do it for all, several at a time; the first failure ends it."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="lakemark-clone") as pool:
        try:
            for _ in pool.map(work, needed):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be written: {error.strerror}", hint="nothing was made")


def _is_same(path: Path, handle: int) -> bool:
    try:
        here, there = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
