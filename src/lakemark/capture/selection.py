"""Which files of a working copy go into a snapshot: no secrets, no tables, no environments, nothing too large."""

from __future__ import annotations

import os
import stat
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakemark.config.home import HOME_NAME
from lakemark.recorder.secrets import is_secret, is_secret_content

__all__ = ["Limits", "Selection", "Skipped", "list_folder", "select_untracked", "summarize"]

_DERIVED = frozenset(
    {".ipynb_checkpoints", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox", "__pycache__", HOME_NAME}
)
"""Folders of what is made from the code: left out without a word."""

_FOREIGN = frozenset({".bzr", ".git", ".hg", ".svn", "node_modules", "site-packages"})
_CODE_FIRST = frozenset(
    {".cfg", ".ini", ".ipynb", ".json", ".py", ".pyx", ".r", ".sh", ".sql", ".toml", ".yaml", ".yml"}
)
_MAY_BE_A_KEY = frozenset({"", ".asc", ".crt", ".cert", ".conf", ".json", ".txt"})
_SHOWN_PER_FOLDER = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of what git does not know goes into a snapshot.

    Parameters
    ----------
    file_bytes : int
        The largest file.
    total_bytes : int
        All such files together.
    files : int
        Their number.
    """

    file_bytes: int = 5 * 1024 * 1024
    total_bytes: int = 50 * 1024 * 1024
    files: int = 20_000


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that is not in the snapshot.

    Parameters
    ----------
    path : str
        Relative to the project, posix; a folder ends in `/`.
    reason : str
        Why, for people.
    size : int or None
        Bytes, where they were counted.
    """

    path: str
    reason: str
    size: int | None = None


@dataclass(slots=True)
class Selection:
    """What was chosen, and what was not.

    Parameters
    ----------
    chosen : list of str
        Paths relative to the project.
    skipped : list of Skipped
        The rest, as far as it is worth a word.
    """

    chosen: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def select_untracked(top: Path, names: Iterable[str], *, limits: Limits) -> Selection:
    """Choose among the files that git does not know.

    Parameters
    ----------
    top : Path
        The project folder.
    names : iterable of str
        Paths relative to it; one that ends in `/` is another repository.
    limits : Limits
        How much is taken. Code comes first, then small files.
    """
    selection = Selection()
    folders = _Folders(top)
    sized: list[tuple[bool, int, str]] = []
    blocking: dict[str, Skipped] = {}
    for name in names:
        blocked = folders.blocked(name)
        if blocked is not None:
            blocking[blocked.path] = blocked
            continue
        path = f"{top}/{name}"  # for thousands of files: a path object costs more than all that is asked of it
        mode, size = _mode_and_size(path)
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):  # gone, a socket, a pipe
            continue
        reason = is_secret(name) or _size_reason(size, limits) or _key_reason(path, mode)
        if reason:
            selection.skipped.append(Skipped(name, reason, size))
        else:
            sized.append((_ending(name) not in _CODE_FIRST, size, name))
    selection.skipped += [entry for entry in blocking.values() if entry.reason]
    _take(sorted(sized), selection, limits=limits)
    return selection


def list_folder(top: Path, *, limit: int) -> tuple[list[str], list[Skipped]]:
    """List the files below a folder that is in no repository, nearest first.

    Environments, other repositories, Delta tables and the home are not entered.

    Returns
    -------
    names : list of str
        Relative paths.
    skipped : list of Skipped
        Folders that were not entered, and the place where the limit was reached.
    """
    names: list[str] = []
    skipped: list[Skipped] = []
    waiting = deque([""])
    while waiting:
        folder = waiting.popleft()
        if len(names) >= limit:
            skipped.append(Skipped(folder or "./", f"more than {limit:,} files in the project"))
            break
        try:
            entries = sorted(os.scandir(top / folder), key=lambda entry: entry.name)
        except OSError:
            skipped.append(Skipped(folder or "./", "not readable"))
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below = f"{folder}{entry.name}/"
                reason = _folder_reason(top / below, entry.name)
                if reason is None:
                    waiting.append(below)
                elif reason:
                    skipped.append(Skipped(below, reason))
            else:
                names.append(folder + entry.name)
    return names, skipped


def summarize(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """Sort by path, and say only once what holds for many files of one folder.

    Examples
    --------
    >>> summarize(Skipped(f"images/{n}.png", "too large", 10) for n in range(11))
    (Skipped(path='images/', reason='too large (11 files)', size=110),)
    """
    groups: defaultdict[tuple[str, str], list[Skipped]] = defaultdict(list)
    for entry in skipped:
        folder = "" if entry.path.endswith("/") else entry.path.rpartition("/")[0]
        groups[folder, entry.reason].append(entry)
    short: list[Skipped] = []
    for (folder, reason), entries in groups.items():
        if len(entries) <= _SHOWN_PER_FOLDER or entries[0].path.endswith("/"):
            short += entries
        else:
            size = sum(entry.size or 0 for entry in entries)
            short.append(Skipped(f"{folder}/" if folder else "./", f"{reason} ({len(entries):,} files)", size))
    return tuple(sorted(short, key=lambda entry: (entry.path, entry.reason)))


class _Folders:
    """Answers, once per folder, whether something keeps its files out."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._known: dict[str, Skipped | None] = {"": None}

    def blocked(self, name: str) -> Skipped | None:
        """Return what keeps a path out, or None; an empty reason means: without a word."""
        if name.endswith("/"):
            return Skipped(name, "another repository")
        return self._folder(name.rpartition("/")[0])

    def _folder(self, folder: str) -> Skipped | None:
        if folder not in self._known:
            above, _, last = folder.rpartition("/")
            blocked = self._folder(above)
            if blocked is None:
                reason = _folder_reason(self._top / folder, last)
                blocked = None if reason is None else Skipped(f"{folder}/", reason)
            self._known[folder] = blocked
        return self._known[folder]


def _folder_reason(folder: Path, name: str) -> str | None:
    """Say why a folder's files stay out: None = they do not, empty = not worth a word."""
    if name in _DERIVED:
        return ""
    if name in _FOREIGN:
        return "another repository" if name.startswith(".") else "installed packages"
    for marker, reason in (
        ("_delta_log", "a Delta table: its version is recorded instead"),
        ("pyvenv.cfg", "a virtual environment: the lock is recorded instead"),
        ("conda-meta", "a conda environment"),
        (".git", "another repository"),
    ):
        if os.path.lexists(folder / marker):
            return reason
    return None


def _mode_and_size(path: str) -> tuple[int, int]:
    """Return both of a file, or of a symbolic link itself; zeros for what is gone."""
    try:
        status = os.lstat(path)
    except OSError:
        return 0, 0
    return status.st_mode, status.st_size


def _ending(name: str) -> str:
    """Return what follows the last dot of the file's name, with the dot, in lower case; empty where there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  # a path object costs three times as much, per file


def _size_reason(size: int, limits: Limits) -> str | None:
    return f"larger than {limits.file_bytes / 2**20:g} MiB" if size > limits.file_bytes else None


def _key_reason(path: str, mode: int) -> str | None:
    """Look into files that may be a key by another name; and find those that cannot be read."""
    if stat.S_ISLNK(mode):
        return None
    if not os.access(path, os.R_OK):
        return "not readable"
    if _ending(path) not in _MAY_BE_A_KEY:
        return None
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # a path object costs more, per file
        return is_secret_content(file.read(4096))


def _take(sized: Iterable[tuple[bool, int, str]], selection: Selection, *, limits: Limits) -> None:
    for (_, size, name), total in _running_total(sized):
        if total > limits.total_bytes:
            reason = f"beyond {limits.total_bytes / 2**20:g} MiB of files that git does not know"
            selection.skipped.append(Skipped(name, reason, size))
        elif len(selection.chosen) >= limits.files:
            selection.skipped.append(Skipped(name, f"beyond {limits.files:,} files that git does not know", size))
        else:
            selection.chosen.append(name)


def _running_total(
    sized: Iterable[tuple[bool, int, str]],
) -> Iterator[tuple[tuple[bool, int, str], int]]:
    total = 0
    for item in sized:
        total += item[1]
        yield item, total
