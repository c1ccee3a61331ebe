"""Tables, as people ask for them in Python: by name, path or URI, in the home that the program works in."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, cast

from lakemark._base.errors import MissingExtraError
from lakemark._base.writer import RUN_FOLDER_VARIABLE
from lakemark.config.home import HOME_NAME
from lakemark.config.settings import Settings, read_settings
from lakemark.recorder.plan import read_plan
from lakemark.tables.naming.catalog import Catalog
from lakemark.tables.naming.names import parse_table
from lakemark.tables.naming.places import open_place
from lakemark.tables.table import Table

if TYPE_CHECKING:
    from lakemark.capture.workspace import Workspace

__all__ = ["catalog", "resolve_table", "table"]

_WAREHOUSE_VARIABLE = "LAKEMARK_WAREHOUSE"
_REPLAYED = ".lakemark-replay"


class _WorkspaceModule(Protocol):
    """What `lakemark.capture.workspace` offers."""

    def open_workspace(self, settings: Settings) -> Workspace: ...


def table(source: str | Path) -> Table:
    """Return a table by its name in the catalog, by path or by URI.

    Parameters
    ----------
    source : str or Path
        `TABLE`, `TABLE@VERSION` or `TABLE@TAG`. A name has one to three parts, `catalog.schema.table`; a path or URI
        has a slash. A path need not be that of a table yet: `create` makes it. A `Path` is never a name.

    Raises
    ------
    NotFoundError
        If nothing has this name (the nearest is told), or for an unknown tag.
    ConflictError
        If another table now lies where the name leads.
    MissingExtraError
        For a name or a tag where `sqlalchemy`, which reads the catalog, is not installed.

    Examples
    --------
    >>> import lakemark
    >>> lakemark.table("lake/flights@3").at
    3
    """
    return Table(source) if isinstance(source, Path) else resolve_table(source)


def catalog() -> Catalog:
    """Return the catalog of the home, which is made where it is missing.

    Raises
    ------
    MissingExtraError
        Where `sqlalchemy`, which reads the catalog, is not installed.
    """
    return _open(_settings()).catalog


def resolve_table(text: str) -> Table:
    """Return the table that a text names, as `table` does.

    Parameters
    ----------
    text : str
        `TABLE`, `TABLE@VERSION` or `TABLE@TAG`.
    """
    ref = parse_table(text)
    if ref.uri is not None and not isinstance(ref.at, str):
        return Table(ref.uri, at=ref.at)
    settings = _settings()
    if not settings.home.is_dir():
        return open_place(text)
    workspace = _open(settings)
    try:
        return workspace.catalog.resolve(text)
    finally:
        workspace.database.close()


def _settings() -> Settings:
    """Return the settings: in the process of a run those of the run, whose command gave them on, so no file is read.

    A replay has a home of its own, in its scratch folder: what it gives a name to has no name there yet.
    """
    folder = Path(os.environ.get(RUN_FOLDER_VARIABLE, ""))
    if not folder.is_absolute():
        return read_settings()
    home, plan = folder.parent.parent, folder / "plan.json"
    redirect = read_plan(plan).redirect if plan.is_file() else None
    if redirect is not None and redirect.outside:
        home = Path(redirect.outside) / _REPLAYED / HOME_NAME
    return Settings(home=home, warehouse=os.environ.get(_WAREHOUSE_VARIABLE, ""))


def _open(settings: Settings) -> Workspace:
    try:
        module: ModuleType = importlib.import_module("lakemark.capture.workspace")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lakemark"):
            raise
        raise MissingExtraError(
            f"names and tags of tables are in the catalog of {settings.home}, and reading that needs {error.name}, "
            "which is not installed in this environment",
            hint=f"install {error.name}, or name the table by its path, with a slash in it",
        ) from error
    return cast("_WorkspaceModule", module).open_workspace(settings)
