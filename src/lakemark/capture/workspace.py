"""A workspace: one home with its settings, opened, as the commands pass it on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakemark.config.home import Home, create_home
from lakemark.config.settings import Settings
from lakemark.storage.database import Database, open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.catalog import SqlCatalogStore
from lakemark.tracking.check_results import SqlCheckResultStore
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.spool import read_events
from lakemark.tracking.spooled import pending_spools
from lakemark.tracking.store import Store
from lakemark.tracking.table_tags import SqlTagStore

if TYPE_CHECKING:
    from lakemark.tables.naming.catalog import Catalog
    from lakemark.tables.pinning.markers import MarkedPins
    from lakemark.tables.pinning.tags import Tags

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
    def pins(self) -> MarkedPins:
        """Pins; each leaves a marker in its table's folder, for the vacuum of other homes."""
        from lakemark.tables.pinning.markers import MarkedPins  # noqa: PLC0415

        return MarkedPins(SqlPinStore(self.database), self.objects, self.home)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """Tables by name."""
        from lakemark.tables.naming.catalog import Catalog  # noqa: PLC0415

        return Catalog(
            SqlCatalogStore(self.database),
            self.settings.warehouse,
            self.tags,
            in_use=functools.partial(_tables_in_use, self.home),
        )

    @functools.cached_property
    def check_results(self) -> SqlCheckResultStore:
        """What checks found in versions of tables."""
        return SqlCheckResultStore(self.database)

    @functools.cached_property
    def tags(self) -> Tags:
        """Names of versions of tables."""
        from lakemark.tables.pinning.tags import Tags  # noqa: PLC0415

        return Tags(SqlTagStore(self.database), self.pins, self.objects)

    @functools.cached_property
    def objects(self) -> ObjectStore:
        """Content-addressed objects."""
        return ObjectStore(self.home.objects)


def _tables_in_use(home: Home) -> frozenset[str]:
    """Return the ids of the tables that runs have read which are not settled: their pins do not hold yet."""
    found = set()
    for folder in pending_spools(home):
        try:
            found |= {str(event["table_id"]) for _, event in read_events(folder) if event["event"] == "read_table"}
        except FileNotFoundError:  # settled just now: its pins are in the database
            continue
    return frozenset(found)


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
