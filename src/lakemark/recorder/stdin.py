"""Standard input: what a script reads from a pipe or a redirected file is not kept, and the receipt says so."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from lakemark.recorder.recording import Recording

__all__ = ["watch_stdin"]


class _Told(io.FileIO):
    """A file that says when it is read."""

    def __init__(self, handle: int, tell: Callable[[], None]) -> None:
        super().__init__(handle, "rb", closefd=False)
        self._tell = tell

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]  # any buffer, as its caller has it
        count = super().readinto(buffer)
        if count:
            self._tell()
        return count

    def readall(self) -> bytes | None:  # type: ignore[override]  # None where it would wait, says its documentation
        data = super().readall()
        if data:
            self._tell()
        return data


def watch_stdin(recording: Recording) -> None:
    """Note it when the script gets something from standard input, where that is not a terminal.

    Parameters
    ----------
    recording : Recording
        Takes the note.
    """
    given = sys.stdin
    if not isinstance(given, io.TextIOWrapper) or given.isatty():
        return

    def tell() -> None:
        recording.missing("data", "standard input was read, and is not kept")

    raw = io.BufferedReader(_Told(given.fileno(), tell))
    sys.stdin = io.TextIOWrapper(raw, encoding=given.encoding, errors=given.errors)
