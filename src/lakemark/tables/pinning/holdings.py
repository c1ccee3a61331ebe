"""Holdings: which versions of a table are pinned, by whom, and how many bytes that keeps.

A version shares most files with the one before, so its size says little of what a pin costs. What a pin costs is what
*only pins keep*: files that the latest version does not name any more. What a holder costs is what nobody else keeps:
files that are in none but its versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lakemark._base.errors import LakemarkError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import Manifest, location, observe, parse
from lakemark.tables.pinning.markers import markers
from lakemark.tables.pinning.pins import PinRecord
from lakemark.tables.pinning.protection import weak_properties
from lakemark.tables.reading import TableReader

__all__ = ["HolderCost", "TableHolding", "VersionCost", "account"]


@dataclass(frozen=True, slots=True)
class VersionCost:
    """What one pinned version takes.

    Parameters
    ----------
    bytes : int
        Size of its data files; 0 where the manifest cannot be read.
    kept_bytes : int
        Size of those that only pins keep.
    marked : bool
        True if the table's folder says that this home holds it, so that the vacuum of other homes obeys.
    """

    bytes: int
    kept_bytes: int
    marked: bool


@dataclass(frozen=True, slots=True)
class HolderCost:
    """What would be free to go without one holder.

    Parameters
    ----------
    versions : int
        How many versions it holds.
    exclusive_bytes : int
        Size of the data files that neither the latest version nor another holder needs.
    """

    versions: int
    exclusive_bytes: int


@dataclass(frozen=True, slots=True)
class TableHolding:
    """What pins keep of one table.

    Parameters
    ----------
    uri : str
        Where the table is.
    bytes, kept_bytes : int
        Size of the data files of all pinned versions together, each once; of those that only pins keep.
    versions : mapping of str to VersionCost
        By the sha256 of the version's manifest.
    holders : mapping of str to HolderCost
        By holder.
    exists : bool
        False where there is no table any more.
    protected : bool
        True if other engines keep the versions as well (`lakemark.tables.pinning.protection`), or there is no table.
    problems : tuple of str
        What could not be found out, in words.
    """

    uri: str
    bytes: int
    kept_bytes: int
    versions: Mapping[str, VersionCost]
    holders: Mapping[str, HolderCost]
    exists: bool = True
    protected: bool = True
    problems: tuple[str, ...] = ()


def account(pins: Iterable[PinRecord], objects: ObjectStore, *, home: str) -> list[TableHolding]:
    """Return what pins keep, by table.

    Parameters
    ----------
    pins : iterable of PinRecord
        The pins.
    objects : ObjectStore
        Where their manifests are.
    home : str
        The identity of the home whose pins they are.

    Notes
    -----
    Reads and parses each manifest once, however many pins name it, and looks at each of its files once; opens each
    table once. What cannot be read is said in `problems` and counts nothing.
    """
    by_table: dict[str, dict[str, set[str]]] = {}
    for pin in pins:
        by_table.setdefault(location(pin.table_uri), {}).setdefault(pin.manifest, set()).add(pin.holder)
    return [_account_table(uri, holders, objects, home=home) for uri, holders in by_table.items()]


def _account_table(uri: str, holders: Mapping[str, set[str]], objects: ObjectStore, *, home: str) -> TableHolding:
    live, exists, protected, problems = _look(uri)
    try:
        homes: Mapping[str, frozenset[str]] = markers(TableFiles(uri))
    except LakemarkError as error:
        homes = {}
        problems.append(error.message)
    seen: dict[str, tuple[int, str | None]] = {}  # size, and who alone holds it; None for several
    versions = {}
    for digest, names in holders.items():
        try:
            manifest = parse(objects.get(digest))
        except LakemarkError as error:
            problems.append(f"a manifest cannot be read: {error.message}")
            manifest = None
        alone = next(iter(names)) if len(names) == 1 else None
        total = kept = 0
        for entry in manifest.entries if manifest is not None else ():
            total += entry.size
            kept += 0 if entry.path in live else entry.size
            known = seen.get(entry.path)
            seen[entry.path] = (entry.size, alone if known is None or known[1] == alone else None)
        versions[digest] = VersionCost(total, kept, home in homes.get(digest, frozenset()))
    return TableHolding(
        uri=uri,
        bytes=sum(size for size, _ in seen.values()),
        kept_bytes=sum(size for path, (size, _) in seen.items() if path not in live),
        versions=versions,
        holders=_by_holder(holders, seen, live),
        exists=exists,
        protected=protected,
        problems=tuple(problems),
    )


def _by_holder(
    holders: Mapping[str, set[str]], seen: Mapping[str, tuple[int, str | None]], live: frozenset[str]
) -> Mapping[str, HolderCost]:
    versions: dict[str, int] = {}
    for names in holders.values():
        for name in names:
            versions[name] = versions.get(name, 0) + 1
    exclusive = dict.fromkeys(versions, 0)
    for path, (size, alone) in seen.items():
        if alone is not None and path not in live:
            exclusive[alone] += size
    return {name: HolderCost(count, exclusive[name]) for name, count in versions.items()}


def _look(uri: str) -> tuple[frozenset[str], bool, bool, list[str]]:
    """Return the paths of the latest version, if there is a table, if it is protected, and what went wrong."""
    table = TableReader(uri)
    try:
        if not table.exists():
            return frozenset(), False, True, []
        opened = table.open()
        latest: Manifest = observe(opened)
        protected = not weak_properties(opened.metadata().configuration)
    except LakemarkError as error:
        return frozenset(), True, True, [error.message]
    return frozenset(entry.path for entry in latest.entries), True, protected, []
