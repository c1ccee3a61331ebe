"""Two worlds: where a replay finds and puts what its script names by the original run's paths.

A path below the original project folder is meant below the scratch folder. A path outside of it is looked up in the
mirror, a tree below `redirect.outside` that repeats absolute paths: the stored content of the files that the original
run read is laid there before the script starts, and what the replay writes goes there, so a file that it wrote itself
is read back and the user's own files are never changed. A recorded run has one world, and every path is itself.
"""

# These run at every open of a replay, on names that are compared as text; Path objects cost ten times more.
# ruff: noqa: PTH100, PTH103, PTH109, PTH112, PTH113, PTH120, PTH208

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lakemark.recorder.plan import PinnedTable, Plan

__all__ = ["TableAnswer", "World", "is_glob", "local_path", "place_of", "spellings"]

_SYSTEM = ("/dev", "/proc", "/sys", "/etc", "/run")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """Where a table is opened.

    Parameters
    ----------
    uri : str
        Its name in the original world.
    requested : int or None
        The version that was asked for; None for the latest.
    open_uri : str
        Where it is opened.
    open_version : int or None
        The version that is opened there; None for the latest.
    version : int or None
        The version to report; None where it is the one that the opened table says.
    kind : {"recorded", "pinned", "written", "unknown"}
        A table of a recorded run; of a replay: pinned, written by this replay, or not read by the original run.
    """

    uri: str
    requested: int | None
    open_uri: str
    open_version: int | None
    version: int | None
    kind: str


def local_path(source: str | os.PathLike[str]) -> str | None:
    """Return a path, or what a `file:` URI names, as text; None for what lies elsewhere (`s3://...`, `https://...`).

    Examples
    --------
    >>> local_path("file:///data/a%20b")
    '/data/a b'
    >>> local_path("s3://bucket/table") is None
    True
    """
    text = os.fspath(source)
    scheme, separator, rest = text.partition(":")
    if not separator or not rest.startswith("/"):
        return text
    if scheme.lower() == "file":
        return unquote(urlsplit(text).path)
    return None if rest.startswith("//") and _SCHEME.fullmatch(scheme) else text


def is_glob(path: str) -> bool:
    """Return True for a pattern that names several files."""
    return any(character in path for character in "*?[")


def place_of(name: str, *, originals: tuple[str, ...], scratch: str, outside: str) -> str:
    """Return where a replay has its own of a file or table: in the rebuilt project, or in the mirror.

    Parameters
    ----------
    name : str
        An absolute path of the original world, or a URI.
    originals : tuple of str
        The project folder of the original run, in all its spellings.
    scratch, outside : str
        The project folder of the replay, and the mirror.
    """
    if not name.startswith("/"):
        return f"{outside}/{hashlib.sha256(name.encode()).hexdigest()}"
    rest = _rest(name, originals)
    return outside + name if rest is None else scratch + rest


class World:
    """How names of the original world map to places of this one, and back.

    Parameters
    ----------
    plan : Plan
        Its `redirect` says how; without one every name is its own place.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.redirect = plan.redirect
        self.temporary: set[str] = set()
        self._written: set[str] = set()
        self._listed: set[str] = set()
        redirect = plan.redirect
        if redirect is None:
            return
        self._outside = redirect.outside or f"{redirect.scratch_root}/.outside"
        self._originals = spellings(redirect.original_root)
        self._scratches = spellings(redirect.scratch_root)
        prefixes = (root for folder in (sys.prefix, sys.base_prefix) for root in spellings(folder))
        interpreters = (root for root in prefixes if _rest(redirect.original_root, (root,)) is None)
        self._exempt = (*spellings(plan.home), *interpreters, *_SYSTEM)
        chosen = tempfile.tempdir
        self._temporary_folder = tempfile.gettempdir()
        tempfile.tempdir = chosen  # the script may still choose by TMPDIR
        self._old_temporary = frozenset(os.listdir(self._temporary_folder))

    @property
    def active(self) -> bool:
        """True in a replay."""
        return self.redirect is not None

    @property
    def own_folders(self) -> tuple[str, ...]:
        """The folders that stand for the original world; empty in a recorded run."""
        return () if self.redirect is None else (*self._scratches, self._outside)

    def prepare(self) -> None:
        """Lay the stored content of the original run's files where the replay looks for it.

        It counts more than what the code snapshot has there: a mixture may take its code from another run.
        """
        if self.redirect is None:
            return
        for original, stored in self.redirect.files.items():
            place = Path(self._place(original))
            mode = place.stat().st_mode if place.is_file() and not place.is_symlink() else 0o644
            place.unlink(missing_ok=True)  # never written through: it may be a link
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, place)
            place.chmod(mode)
        self._listed = self._folders_to_list(self.redirect.files)
        for uri in {pin.uri for pin in self.redirect.tables if pin.uri.startswith("/")}:
            if self.in_project(uri) or os.path.dirname(uri) in self._listed:
                os.makedirs(self._place(uri), exist_ok=True)  # so that a listing names the table

    def name(self, source: str | os.PathLike[str]) -> str:
        """Return the one name of a file or table in the original world: an absolute path, or a URI."""
        path = local_path(source)
        if path is None:
            return os.fspath(source).rstrip("/")
        if path.startswith("/"):
            return self.original(os.path.normpath(path))
        return os.path.normpath(f"{self.original(os.getcwd())}/{path}")

    def original(self, path: str) -> str:
        """Return the name that an absolute path of this world has in the original one."""
        if self.redirect is None:
            return path
        if (rest := _rest(path, self._scratches)) is not None:
            return self.redirect.original_root + rest
        if (rest := _rest(path, (self._outside,))) is not None:
            return rest or "/"
        if (rest := _rest(path, self._originals)) is not None:
            return self.redirect.original_root + rest
        return path

    def to_read(self, path: str) -> str:
        """Return the place of a file, folder or pattern that is read or looked at."""
        if self.redirect is None or path.startswith(self._outside):
            return path
        name = self.name(path)
        if self._is_exempt(name):
            return path
        place = self._place(name)
        if (inside := self._inside_table(name)) is not None and not os.path.isfile(place):
            return inside
        if self.in_project(name):
            return _unless_same(place, path)
        if is_glob(name):
            return place if _folder_of_glob(name) in self._listed else name
        return place if os.path.isfile(place) or (os.path.lexists(place) and not os.path.lexists(name)) else name

    def mirror(self, path: str) -> str | None:
        """Return the folder of the mirror that stands before a folder outside of the project, where there is one."""
        if self.redirect is None or path.startswith(self._outside):
            return None
        name = self.name(path)
        place = self._place(name)
        return place if not self.in_project(name) and os.path.isdir(place) else None

    def to_list(self, path: str) -> str:
        """Return the place of a folder that is listed: only what the original run read below it, where it read any."""
        if self.redirect is None or path.startswith(self._outside):
            return path
        name = self.name(path)
        return self._place(name) if name in self._listed else self.to_read(path)

    def to_write(self, path: str, *, keep: bool = False) -> str:
        """Return the place of a file or folder that is made, changed or removed.

        Parameters
        ----------
        path : str
            As the script names it.
        keep : bool, default False
            The old content matters (appending, updating): a file outside of the project is copied first.
        """
        if self.redirect is None or path.startswith(self._outside):
            return path
        name = self.name(path)
        if self._is_exempt(name) or self._is_temporary(name):
            return path
        place = self._place(name)
        if self.in_project(name):
            return _unless_same(place, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if keep and not os.path.lexists(place) and os.path.isfile(name):
            shutil.copyfile(name, place)
        return place

    def to_open_folder(self, path: str) -> str:
        """Return the place of a folder that is opened: through its descriptor, entries can be removed as well."""
        if self.redirect is None or not os.path.isdir(self.to_read(path)):
            return self.to_read(path)
        place = self.to_write(path)
        os.makedirs(place, exist_ok=True)
        return place

    def to_link(self, path: str) -> str:
        """Return where a new symbolic link leads: by an absolute path never out of the replay's own folders."""
        return self.to_write(path) if path.startswith("/") else path

    def to_remove_tree(self, path: str) -> str:
        """Return the place of a folder that is removed with all that it holds."""
        place = self.to_write(path)
        if place != path and not os.path.lexists(place) and os.path.isdir(self.to_read(path)):
            os.makedirs(place)
        tables = self.redirect.tables if self.redirect is not None else ()
        self._written.update(pin.uri for pin in tables if _rest(pin.uri, (self.name(path),)) is not None)
        return place

    def was_read(self, name: str) -> bool:
        """Return True where the content of this file is that of the original run: pinned, or part of its code."""
        return self.redirect is None or name in self.redirect.files or self.in_project(name)

    def in_project(self, name: str) -> bool:
        """Return True for a name of the original world that lies below the project folder."""
        return self.redirect is not None and _rest(name, self._originals) is not None

    def table_name(self, source: str | os.PathLike[str]) -> str:
        """Return the one name of a table, as its pins are kept under: without symbolic links."""
        name = self.name(source)
        return os.path.realpath(name) if name.startswith("/") else name

    def table(self, source: str | os.PathLike[str], requested: int | None) -> TableAnswer:
        """Return where a table that is read is opened, and at which version."""
        uri = self.table_name(source)
        if self.redirect is None:
            return TableAnswer(uri, requested, os.fspath(source), requested, None, "recorded")
        place = self._place(uri)
        pin = self._pin(uri, requested)
        if uri in self._written and (pin is None or requested is None):
            return TableAnswer(uri, requested, place, requested, None, "written")
        if pin is not None:
            return TableAnswer(pin.uri, requested, pin.open_uri, pin.open_version, pin.version, "pinned")
        if os.path.isdir(f"{place}/_delta_log"):  # the code snapshot brought it
            return TableAnswer(uri, requested, place, requested, None, "written")
        kind = "written" if uri.startswith("/") and self._is_temporary(uri) else "unknown"
        return TableAnswer(uri, requested, uri, requested, None, kind)

    def table_id(self, uri: str) -> str:
        """Return the id of a pinned table; empty text where none is pinned."""
        return next((pin.table_id for pin in self._pins(uri)), "")

    def nearest_pin(self, uri: str, found: int | None) -> int | None:
        """Return the pinned version that a time meant, when the table has it at version `found` by now.

        The original run saw no version after its own time, so the newest pinned one up to `found` is meant; where the
        table is gone (None), the newest. None where no version of the table is pinned.
        """
        versions = sorted(pin.version for pin in self._pins(uri))
        older = [version for version in versions if found is None or version <= found]
        return older[-1] if older else next(iter(versions), None)

    def table_to_write(self, source: str | os.PathLike[str]) -> str:
        """Return where a table is written, and from now on read: never where the original's is."""
        if self.redirect is None:
            return os.fspath(source)
        uri = self.table_name(source)
        if uri.startswith("/") and self._is_temporary(uri):
            return uri
        self._written.add(uri)
        return self._place(uri)

    def wrote_table(self, uri: str) -> None:
        """Read the latest version of a table from now on where the replay has written it."""
        if self.redirect is not None and not (uri.startswith("/") and self._is_temporary(uri)):
            self._written.add(uri)

    def is_own(self, place: str) -> bool:
        """Return True for a table's place that this replay may change; always so in a recorded run."""
        path = local_path(place)
        if self.redirect is None or path is None:
            return self.redirect is None
        return _rest(path, self.own_folders) is not None or self._is_temporary(path)

    def _inside_table(self, name: str) -> str | None:
        """Return where a file or folder of a pinned table really is; what no pin has, where it was.

        The log of a version that was rebuilt is not the old one: its only commit adds all files.
        """
        found = []
        for pin in self.redirect.tables if self.redirect is not None else ():
            rest = _rest(name, (pin.uri,))
            if rest is not None and pin.uri not in self._written and (folder := local_path(pin.open_uri)) is not None:
                is_new_log = rest.startswith("/_delta_log/") and pin.open_uri != pin.uri
                found.append(name if is_new_log else folder.rstrip("/") + rest)
        return next(filter(os.path.lexists, [*found, name]), found[0]) if found else None

    def _pins(self, uri: str) -> list[PinnedTable]:
        names = spellings(uri) if uri.startswith("/") else (uri,)
        tables = self.redirect.tables if self.redirect is not None else ()
        return [pin for pin in tables if pin.uri in names or os.path.realpath(pin.uri) in names]

    def _pin(self, uri: str, requested: int | None) -> PinnedTable | None:
        pins = self._pins(uri)
        exact = [pin for pin in pins if pin.requested == requested]
        same = [pin for pin in pins if requested is not None and pin.version == requested]
        return next(iter([*exact, *same]), None)

    def _place(self, name: str) -> str:
        """Return where a name of the original world lies in this one."""
        if self.redirect is None:
            return name
        return place_of(name, originals=self._originals, scratch=self.redirect.scratch_root, outside=self._outside)

    def _is_exempt(self, name: str) -> bool:
        return _rest(name, self._exempt) is not None

    def _is_temporary(self, name: str) -> bool:
        """Return True below what this process made in the folder for temporary files: nobody else's can be hurt."""
        if self.temporary and any(parent in self.temporary for parent in _and_parents(name)):
            return True
        rest = _rest(name, (self._temporary_folder,))
        return rest is not None and rest.lstrip("/").split("/")[0] not in {*self._old_temporary, ""}

    def _folders_to_list(self, files: dict[str, str]) -> set[str]:
        """Return the folders outside of the project that show only what the original run read below them."""
        places = (self.plan.home, self.plan.project, self.plan.cwd, self._temporary_folder, str(Path.home()), "/x")
        broad = {parent for place in places for parent in _and_parents(place)}
        return {folder for path in files if not self.in_project(path) for folder in _and_parents(path)[1:]} - broad


def _unless_same(place: str, path: str) -> str:
    """Return a place, or the path as it was given where it leads there, so that relative names stay relative."""
    return path if os.path.abspath(path) == place else place


def _folder_of_glob(pattern: str) -> str:
    """Return the folder above the first part of a pattern that is no plain name."""
    start = next(index for index, character in enumerate(pattern) if is_glob(character))
    return os.path.dirname(pattern[:start])


def _and_parents(path: str) -> list[str]:
    return [path, *map(str, Path(path).parents)]


def _rest(path: str, roots: tuple[str, ...]) -> str | None:
    """Return what follows the first root that `path` lies below (empty for the root itself); None below none."""
    for root in roots:
        if path == root:
            return ""
        if path.startswith(root) and path[len(root)] == "/":
            return path[len(root) :]
    return None


def spellings(folder: str) -> tuple[str, ...]:
    """Return a folder's name, and its name without symbolic links where that is another."""
    return tuple(dict.fromkeys((folder.rstrip("/"), os.path.realpath(folder))))
