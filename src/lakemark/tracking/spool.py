"""The spool: what a run's process wrote down, one JSON event a line, before anything else knows of it.

A run's process appends to `spool/RUN/events.jsonl` and goes on; each line is one `write` to a file opened for append,
so a killed process leaves whole lines and at most one torn line, which readers pass over. While a process has the
spool open it holds a shared lock on the file, by which `is_held` knows that the run lives, across containers too.
Standard library only: it runs inside users' processes, in any environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark._base.errors import StorageError

__all__ = ["EVENTS_NAME", "Spool", "is_held", "read_events"]

EVENTS_NAME = "events.jsonl"


class Spool:
    """The event file of one run, open for appending.

    Parameters
    ----------
    folder : Path
        `spool/RUN` in the home; made where it is missing.

    Raises
    ------
    StorageError
        If it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(folder / EVENTS_NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._failure(error) from error
        fcntl.flock(self._handle, fcntl.LOCK_SH)
        self._torn = not _ends_whole(self._handle)

    def write(self, event: str, **fields: Json) -> None:
        """Append one event; it is in the kernel's hands when this returns, so it survives a kill of the process.

        Parameters
        ----------
        event : str
            What happened, for example `"metric"`.
        **fields : Json
            Its data. NaN and infinities are allowed: the spool is read by Python's `json` only. Bytes of a name or an
            argument that are no UTF-8 become U+FFFD.

        Raises
        ------
        StorageError
            If the disk is full: the event is not written then, those before it are.
        """
        data = _line({"event": event, "at": now_ms(), **fields})
        with self._lock:
            if self._torn:  # a write before this one stopped half way: what follows must not join it
                data = b"\n" + data
            self._torn = True
            try:
                while data:
                    data = data[os.write(self._handle, data) :]
            except OSError as error:
                raise self._failure(error) from None
            self._torn = False

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.folder / EVENTS_NAME}: {error.strerror}",
            hint="make room on the disk, or make it writable; what was written before is kept",
        )

    def sync(self) -> None:
        """Wait until the disk has all events."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        with self._lock:
            if self._handle >= 0:
                os.fsync(self._handle)
                os.close(self._handle)
                self._handle = -1


def _line(event: Mapping[str, Json]) -> bytes:
    line = json.dumps(event, separators=(",", ":")) + "\n"
    if "\\ud" in line:  # maybe half of a surrogate pair, which is no text and which no database takes
        raw = json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n"
        line = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return line.encode()


def read_events(folder: Path, *, offset: int = 0) -> Iterator[tuple[int, Mapping[str, Json]]]:
    """Yield `(end offset, event)` for each whole line from `offset` on; a torn line is passed over.

    Parameters
    ----------
    folder : Path
        `spool/RUN` in the home.
    offset : int, default 0
        Bytes to skip: the end offset of the last event that is already known.
    """
    try:
        file = (folder / EVENTS_NAME).open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            yield offset, event


def is_held(folder: Path) -> bool:
    """Return True while a process has the spool in `folder` open.

    Parameters
    ----------
    folder : Path
        `spool/RUN` in the home.
    """
    try:
        handle = os.open(folder / EVENTS_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _ends_whole(handle: int) -> bool:
    """Return True if a file is empty or ends with a line end."""
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"
