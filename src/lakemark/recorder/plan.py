"""The plan: what the process that starts a script tells the recorder inside it, as one JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["EntryPoint", "NamedTable", "PinnedTable", "Plan", "Redirect", "read_plan", "write_plan"]


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What is run: a script or a module, and its arguments.

    Parameters
    ----------
    kind : {"script", "module"}
        `python NAME` or `python -m NAME`.
    name : str
        The script's path, relative to the working directory where it lies below the project, or the module's name.
    argv : tuple of str
        The arguments behind it.
    """

    kind: str
    name: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """How a replay answers a read of one table.

    Parameters
    ----------
    uri : str
        The table as the original run named it: an absolute path or a URI.
    requested : int or None
        The version that the script asked for; None where it asked for the latest.
    version : int
        The version that it gets.
    open_uri : str
        Where the table is opened; the same as `uri` unless the version had to be rebuilt from a pin.
    open_version : int
        The version to open there.
    table_id : str
        The id in its metadata.
    """

    uri: str
    requested: int | None
    version: int
    open_uri: str
    open_version: int
    table_id: str = ""


@dataclass(frozen=True, slots=True)
class NamedTable:
    """What a name or a tag meant when the original run asked for it.

    Parameters
    ----------
    text : str
        What the script typed, for example `sales.orders@q3`.
    uri : str
        Where the table was.
    at : int or None
        The version; None for the latest.
    name : str or None
        `catalog.schema.table`, None for a path.
    """

    text: str
    uri: str
    at: int | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Redirect:
    """How a replay maps the original's world to the rebuilt one.

    Parameters
    ----------
    original_root : str
        The project folder of the original run, absolute.
    scratch_root : str
        The rebuilt project folder. A path below the original's is meant below this one.
    tables : tuple of PinnedTable
        Tables that are answered with pinned versions.
    files : dict of str to str
        Absolute path in the original's world -> file that holds the content it had.
    outside : str
        Folder that takes writes aimed outside of the project.
    import_roots : tuple of str
        Folders that the original run imported modules from, as they lie in the rebuilt world.
    names : tuple of NamedTable
        What names and tags meant.
    """

    original_root: str
    scratch_root: str
    tables: tuple[PinnedTable, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    outside: str = ""
    import_roots: tuple[str, ...] = ()
    names: tuple[NamedTable, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the recorder needs to know.

    Parameters
    ----------
    run_id : str
        The run.
    home : str
        The home's folder, absolute; the spool is `home/spool/run_id`.
    project : str
        The project folder (the top of the repository, or the script's folder), absolute.
    cwd : str
        The working directory, absolute.
    entry : EntryPoint
        What to run.
    root_seed : int
        Where the global random generators start, 0 to 2**32 - 1.
    redirect : Redirect, optional
        Set in a replay.
    sample_rows : int
        Rows of the pinned prediction sample.
    store_limit : int
        Bytes up to which a file's content, a model or an evaluation frame is kept.
    """

    run_id: str
    home: str
    project: str
    cwd: str
    entry: EntryPoint
    root_seed: int = 0
    redirect: Redirect | None = None
    sample_rows: int = 1_000
    store_limit: int = 256 * 1024 * 1024

    @property
    def spool(self) -> Path:
        """The folder that takes the run's events."""
        return Path(self.home) / "spool" / self.run_id


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(plan)))


def read_plan(path: Path) -> Plan:
    """Read a plan that `write_plan` wrote."""
    data = json.loads(path.read_text())
    entry = data.pop("entry")
    redirect = data.pop("redirect")
    if redirect is not None:
        tables = tuple(PinnedTable(**table) for table in redirect["tables"])
        names = tuple(NamedTable(**named) for named in redirect["names"])
        roots = tuple(redirect["import_roots"])
        redirect = Redirect(**redirect | {"tables": tables, "names": names, "import_roots": roots})
    return Plan(**data, entry=EntryPoint(**entry | {"argv": tuple(entry["argv"])}), redirect=redirect)
