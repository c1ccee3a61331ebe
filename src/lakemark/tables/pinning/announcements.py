"""Announcements: what a vacuum is about to delete, so that nobody takes hold of it meanwhile.

A vacuum asks which versions are held, and then deletes, which may take long. Whoever pins a version in between must not
be told that it holds. So a vacuum first says what it will delete, in the table's folder::

    _lakemark/vacuum/ID.txt        the paths, a line each

asks only then who holds what, and deletes. Whoever takes hold leaves a marker, waits for the announcements that name a
file of the version, and then looks if all of its files are there. Either the vacuum sees the marker, or the other one
sees the announcement, and after it what is gone.

An announcement that nobody renews is of a vacuum that was killed. Whoever waited for it in vain sweeps it away, or the
next vacuum that finds it an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from lakemark._base.clock import now_ms
from lakemark._base.errors import LakemarkError, NotFoundError
from lakemark.tables.log.files import StoredFile, TableFiles

__all__ = ["FOLDER", "announced", "wait_for_announced"]

FOLDER = "_lakemark/vacuum"
"""Where the announcements are, inside a table's folder."""

_RENEWED_SECONDS = 5.0
_DEAD_SECONDS = 30.0
_LOOK_SECONDS = 0.2
_LEFT_MS = 3_600_000


@contextmanager
def announced(files: TableFiles, paths: Iterable[str]) -> Iterator[Callable[[], None]]:
    """Say that files will be deleted, as long as the block lasts; yield what has to be called between deletions.

    Parameters
    ----------
    files : TableFiles
        The table's.
    paths : iterable of str
        Relative to the table.

    Raises
    ------
    StorageError
        If it cannot be said; then nothing may be deleted.
    """
    for file in files.list(FOLDER):
        if file.modified_ms < now_ms() - _LEFT_MS:
            files.delete(file.path)
    path, said = f"{FOLDER}/{uuid4().hex}.txt", "".join(f"{path}\n" for path in paths).encode()
    written = time.monotonic()
    files.write(path, said)

    def renew() -> None:
        nonlocal written
        if time.monotonic() - written > _RENEWED_SECONDS:
            files.write(path, said)
            written = time.monotonic()

    try:
        yield renew
    finally:
        files.delete(path)


def wait_for_announced(files: TableFiles, paths: Iterable[str]) -> None:
    """Wait until no vacuum is about to delete one of these files.

    Parameters
    ----------
    files : TableFiles
        The table's.
    paths : iterable of str
        Relative to the table.

    Raises
    ------
    StorageError
        If the announcements cannot be read.
    """
    needed = frozenset(paths)
    seen: dict[str, tuple[int, float]] = {}
    while alive := [file for file in files.list(FOLDER) if not _is_dead(file, seen)]:
        if not any(_names(files, file.path, needed) for file in alive):
            return
        time.sleep(_LOOK_SECONDS)
    for path in seen:  # nobody renewed them
        try:
            files.delete(path)
        except LakemarkError:  # of a table that we may only read
            return


def _is_dead(file: StoredFile, seen: dict[str, tuple[int, float]]) -> bool:
    """Return True for an announcement that we saw unchanged for so long that its vacuum must have been killed."""
    modified_ms, since = seen.get(file.path, (None, 0.0))
    if modified_ms != file.modified_ms:
        seen[file.path] = (file.modified_ms, time.monotonic())
        return False
    return time.monotonic() - since > _DEAD_SECONDS


def _names(files: TableFiles, path: str, needed: frozenset[str]) -> bool:
    try:
        return not needed.isdisjoint(files.read(path).decode().splitlines())
    except NotFoundError:  # that vacuum is done
        return False
