"""Files that the script reads and writes, seen through Python's audit hook and the hooks on readers."""

# The audit hook runs at every open of the process, on names that are compared as text.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
import threading
from pathlib import Path

from lakemark.recorder import imports
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World
from lakemark.recorder.secrets import is_secret, is_secret_content

__all__ = ["Files"]

_HASH_LIMIT = 4 << 30
_SMALL = 1 << 20
_CHANGES = frozenset({"os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"})
_CODE = (".py", ".pyc", ".so", ".pyi", ".pyd", ".pth", ".dylib")
_OF_TABLES = ("/_delta_log/", "/_lakemark/", ".lakemark-clone/")
_SYSTEM = ("/dev/", "/etc/", "/proc/", "/run/", "/sys/", "/usr/share/zoneinfo/", "/var/run/")


class Files:
    """What the script reads and writes, each file once per content.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    world : World
        Says what a place is called in the original world.
    """

    def __init__(self, recording: Recording, world: World) -> None:
        self._recording = recording
        self._world = world
        self._seen: dict[str, tuple[int, int]] = {}
        self._written: set[str] = set()
        self._tables: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._listening = False
        self._home = f"{recording.plan.home}/"
        self._worlds = tuple(f"{folder}/" for folder in world.own_folders)  # a scratch folder may lie in the home
        self._skipped = (*_SYSTEM, *_interpreter_folders(recording.plan.project))

    def listen(self) -> None:
        """Look at every open of this process until the hooks are uninstalled. An audit hook can't be removed."""
        self._listening = True
        sys.addaudithook(self._audit)
        imports.at_uninstall(self._stop)

    def skip_table(self, place: str) -> None:
        """Look away below the folder of a table: its versions are what is recorded."""
        folder = place.rstrip("/") + "/"
        with self._lock:
            if folder not in self._tables:
                self._tables = (*self._tables, folder)

    def read(self, path: str, *, via: str) -> None:
        """Write down that a file is read, with its content as it is now, unless that is known already.

        Parameters
        ----------
        path : str
            Its place in this world.
        via : str
            The reader: `"open"`, `"pandas.read_csv"`.
        """
        path = os.path.abspath(path)
        try:
            status = os.stat(path)
        except OSError:
            return  # the reader itself says so, in its own words
        if not stat.S_ISREG(status.st_mode) or not self._claim(path, status):
            return
        name = self._world.original(path)
        if reason := is_secret(name):
            self._recording.missing("data", f"secret file not stored: {name} ({reason})")
            return
        if not self._world.was_read(name):
            self._recording.missing("data", f"{name} was not read by the original run: its content is the one of now")
        self._store(path, name, via=via)

    def wrote(self, path: str) -> None:
        """Write down that a file is written by this process; reading it back is no input of the run."""
        path = os.path.abspath(path)
        with self._lock:
            known = path in self._written
            self._written.add(path)
        if not known and not self._is_temporary(path):
            self._recording.spool.write("write_file", path=self._world.original(path))

    def _store(self, path: str, name: str, *, via: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - hot
            size = os.fstat(file.fileno()).st_size
            stored = size <= self._recording.plan.store_limit
            if size > _HASH_LIMIT and not stored:
                self._recording.missing("data", f"{name} is too large to hash: {size} bytes")
                return
            if size <= _SMALL:
                data = file.read()
                if reason := is_secret_content(data[:4096]):
                    self._recording.missing("data", f"secret file not stored: {name} ({reason})")
                    return
                size = len(data)
                digest = self._recording.objects.put(data) if stored else hashlib.sha256(data).hexdigest()
            else:
                digest = (
                    self._recording.objects.put_stream(file)
                    if stored
                    else hashlib.file_digest(file, "sha256").hexdigest()
                )
        self._recording.spool.write(
            "read_file", path=name, size=size, sha256=digest, stored=stored, via=via, how="observed"
        )

    def _claim(self, path: str, status: os.stat_result) -> bool:
        """Return True for the first who reads this content of this file, in whatever thread."""
        signature = (status.st_mtime_ns, status.st_size)
        with self._lock:
            if path in self._written or self._seen.get(path) == signature:
                return False
            self._seen[path] = signature
        return not self._is_temporary(path)

    def _is_temporary(self, path: str) -> bool:
        temporary = self._world.temporary
        return bool(temporary) and (path in temporary or any(str(above) in temporary for above in Path(path).parents))

    def _stop(self) -> None:
        self._listening = False

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            if self._listening and not self._recording.is_ours():
                self._opened(*arguments)
        elif event in _CHANGES and self._listening and not self._recording.is_ours():
            self._changed(event, *arguments)

    def _changed(self, event: str, path: object, target: object = None, *_: object) -> None:
        """Follow files that this process makes: temporary ones, and what they are renamed to."""
        try:
            text = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]  # checked by fsdecode itself
            if event != "os.rename":
                self._world.temporary.add(text)
            elif text in self._written or self._is_temporary(text):
                new = os.path.abspath(os.fsdecode(target))  # type: ignore[arg-type]  # checked by fsdecode itself
                if not self._is_ours(new) and not self._is_in_table(new):
                    self.wrote(new)
        except Exception as error:  # noqa: BLE001 - the edge of the hook: what raises here would break the user's call
            self._recording.missing("data", f"{event} was not seen: {type(error).__name__}: {error}")

    def _is_in_table(self, path: str) -> bool:
        return path.startswith(self._tables or "\0") or any(part in path for part in _OF_TABLES)

    def _is_ours(self, path: str) -> bool:
        """Return True below the home, but not in a replay's scratch folder there."""
        return path.startswith(self._home) and not path.startswith(self._worlds or "\0")

    def _made_by_tempfile(self, path: str) -> None:
        """Remember a temporary file, also the trial file by which `tempfile` chooses its folder."""
        if not os.path.isdir(path):  # it opens the folder by name, with an opener that makes the file
            self._world.temporary.add(path)

    def _opened(self, path: object, mode: object, flags: object) -> None:
        if not isinstance(path, str | bytes):
            return  # a descriptor that is open already
        try:
            text = os.path.abspath(os.fsdecode(path))
            if text.endswith(_CODE) or text.startswith(self._skipped) or "/site-packages/" in text:
                return
            if self._is_in_table(text) or self._is_ours(text):
                return
            with self._recording.quiet():
                reads, writes = _intent(mode, flags)
                if reads:
                    self.read(text, via="open")
                if writes and sys._getframe(2).f_globals.get("__name__") == "tempfile":
                    self._made_by_tempfile(text)
                elif writes:
                    self.wrote(text)
        except Exception as error:  # noqa: BLE001 - the edge of the hook: what raises here would break the user's open
            self._recording.missing("data", f"open was not seen: {type(error).__name__}: {error}")


def _intent(mode: object, flags: object) -> tuple[bool, bool]:
    """Return whether an open reads the content that is there, and whether it can change it."""
    bits = flags if isinstance(flags, int) else 0
    if isinstance(mode, str):
        writes = any(letter in mode for letter in "wax+")
        return ("r" in mode or not writes) and not bits & os.O_TRUNC, writes
    if bits & getattr(os, "O_DIRECTORY", 0):
        return False, False
    writes = bool(bits & (os.O_WRONLY | os.O_RDWR))
    return not bits & (os.O_WRONLY | os.O_TRUNC | os.O_EXCL), writes


def _interpreter_folders(project: str) -> tuple[str, ...]:
    """Return the folders, with a slash at the end, whose files belong to the environment and not to the data."""
    folders = {*sysconfig.get_paths().values()}
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix):
        inside = project.startswith(prefix.rstrip("/") + "/")
        folders.update(os.path.join(prefix, name) for name in ("bin", "lib", "lib64", "share", "etc", "include"))
        folders.update(() if inside else (prefix,))
    return tuple(sorted({os.path.realpath(folder) + "/" for folder in folders} | {f"{folder}/" for folder in folders}))
