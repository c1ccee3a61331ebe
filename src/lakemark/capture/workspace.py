"""A workspace: one home with its settings, opened, as the commands pass it on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from lakemark.config.home import Home, create_home
from lakemark.config.settings import Settings
from lakemark.storage.database import Database, open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.store import Store

__all__ = ["Workspace", "open_workspace"]


@dataclass(frozen=True)
class Workspace:
    """What is at hand in one home.

    Parameters
    ----------
    home : Home
        The places.
    settings : Settings
        What the person chose.
    """

    home: Home
    settings: Settings

    @functools.cached_property
    def database(self) -> Database:
        """The metadata database, opened on first use."""
        return open_database(self.home.database)

    @functools.cached_property
    def store(self) -> Store:
        """Runs."""
        return Store(self.database)

    @functools.cached_property
    def pins(self) -> SqlPinStore:
        """Pins."""
        return SqlPinStore(self.database)

    @functools.cached_property
    def objects(self) -> ObjectStore:
        """Content-addressed objects."""
        return ObjectStore(self.home.objects)


def open_workspace(settings: Settings, *, folder: Path | None = None) -> Workspace:
    """Open the home that the settings name; it is made where it is missing.

    Parameters
    ----------
    settings : Settings
        Read once, at the edge.
    folder : Path, optional
        Make or take the home in this folder instead.
    """
    home = create_home(folder or settings.home.parent)
    return Workspace(home, settings)
