"""The home: the folder `.lakemark/` that holds everything of an embedded Lakemark, found upward as git finds `.git`.

Layout::

    .lakemark/
      lakemark.db        metadata (SQLite)
      objects/ab/cdef…   content-addressed objects, named by sha256
      spool/RUN/         one folder per run that is not settled yet: what its process wrote down so far
      runs/RUN/          artifacts of settled runs
      tables/            the warehouse: tables that the catalog makes, unless the setting says another place
      code.git/          snapshots of code that is in no repository
      cache/             may be deleted at any time
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakemark._base.errors import ConflictError, NotFoundError

__all__ = ["HOME_NAME", "Home", "create_home", "find_home"]

HOME_NAME = ".lakemark"
_WHY_THERE = "lakemark config show --origin says why it would be there"


@dataclass(frozen=True, slots=True)
class Home:
    """The places inside one home.

    Parameters
    ----------
    path : Path
        The folder itself, absolute.
    """

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "lakemark.db"

    @property
    def objects(self) -> Path:
        """The folder of content-addressed objects."""
        return self.path / "objects"

    @property
    def spool(self) -> Path:
        """The folder with one folder per run that is not settled yet."""
        return self.path / "spool"

    @property
    def runs(self) -> Path:
        """The folder of settled runs' artifacts."""
        return self.path / "runs"

    @property
    def tables(self) -> Path:
        """The folder of the tables that the catalog makes, unless the setting `warehouse` says another place."""
        return self.path / "tables"

    @property
    def code(self) -> Path:
        """The private git folder for code that is in no repository."""
        return self.path / "code.git"

    @property
    def cache(self) -> Path:
        """The folder of what may be deleted at any time."""
        return self.path / "cache"


def find_home(start: Path) -> Home:
    """Return the nearest home at or above `start`.

    Raises
    ------
    NotFoundError
        If no folder up to the root holds one.
    """
    for folder in (start, *start.parents):
        if (folder / HOME_NAME).is_dir():
            return Home(folder / HOME_NAME)
    raise NotFoundError(f"no {HOME_NAME}/ in {start} or above it", hint="lakemark init makes one here")


def create_home(folder: Path) -> Home:
    """Make a home in `folder`, or return the one that is there.

    The home hides itself from git with a `.gitignore` of its own, so no repository has to name it.

    Raises
    ------
    ConflictError
        If a file stands where the home or the folder around it would be.
    """
    home = Home(folder / HOME_NAME)
    for place in (folder, home.path):
        if place.exists() and not place.is_dir():
            raise ConflictError(f"no home can be made at {home.path}: {place} is a file", hint=_WHY_THERE)
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds copies of what its owner alone may read
    for place in (home.objects, home.spool, home.runs, home.cache):
        place.mkdir(parents=True, exist_ok=True)
    ignore = home.path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return home
