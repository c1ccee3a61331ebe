"""Clones: a table of its own from one version of another, by links where that is possible, else by copies.

A clone has its own id, log and history, so nothing that is done to it reaches the source, and a vacuum of the source
cannot take its files: a *shallow* clone shares bytes on the same file system by hard links, which costs no space until
the source deletes its own. Delta has another way to share, a log that names files of the source by absolute path; only
half of the readers of `deltalake` follow it, and a vacuum of the source would break it.

On a local disk a table is built in a folder beside its destination, `.NAME.lakemark-clone`, and moved in one step. On
other storage its log comes last. What a killed clone leaves is swept away by the next one to the same place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from lakemark._base.canonical import Json
from lakemark._base.errors import InvalidInputError, NotFoundError, StorageError
from lakemark.tables.failures import translated
from lakemark.tables.log.first_commits import add_action, clone_info, known_head, open_head, physical_names
from lakemark.tables.log.manifest import Manifest, ManifestFile, local_folder, location, observe, parse
from lakemark.tables.log.pieces import Piece, Places, pieces
from lakemark.tables.log.statistics import file_statistics
from lakemark.tables.pinning.destinations import LocalDestination, RemoteDestination
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

__all__ = ["clone", "clone_pinned", "rebuild"]


def clone(source: TableReader, destination: str | Path, *, shallow: bool = True) -> Table:
    """Make a table of its own from a version of another one.

    Parameters
    ----------
    source : TableReader
        The table; the version is that of `source.at`, else the latest.
    destination : str or Path
        A folder or a URI of any storage that `deltalake` knows; must not exist, or be empty.
    shallow : bool, default True
        Share the files by hard links where both are on one local file system; elsewhere, and with False, copy them.

    Returns
    -------
    Table
        At version 0, with an id of its own. Its history names the source, its id and version. Schema, partitions,
        properties, constraints, column mapping and deletion vectors come along; change data, row tracking, clustering
        and the offsets of streams do not.

    Raises
    ------
    NotFoundError
        If there is no such table or version.
    ConflictError
        If there is something at the destination, or another process clones to it.
    StorageError
        If a file of the version is gone, or the destination cannot be written; then there is no table there.
    InvalidInputError
        If the table uses a feature that a clone would not keep right, or destination and source are inside each other.

    Notes
    -----
    The table appears in one step. Files that are copied are streamed, several at a time, in constant memory.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> sales = Table(f"{folder}/sales")
    >>> sales.create(pa.table({"day": [1, 2]}))
    0
    >>> mine = clone(sales, f"{folder}/mine")
    >>> mine.append(pa.table({"day": [3]}))
    1
    >>> mine.read().num_rows, sales.read().num_rows
    (3, 2)
    """
    place = location(str(destination))
    if place == source.uri or place.startswith(f"{source.uri}/") or source.uri.startswith(f"{place}/"):
        raise InvalidInputError(f"{place} and {source.uri} are inside each other", hint="give a place of its own")
    opened = source.open()
    with translated(source.uri):
        manifest, statistics = observe(opened), file_statistics(opened)
        properties = open_head(opened, manifest, table_id=str(uuid4()))
    info = clone_info(manifest, is_shallow=shallow and _share_disk(source.uri, place))
    head = [info, *properties]
    _make(manifest, Places(source.uri), place, head=head, shallow=shallow, statistics=statistics)
    return Table(place)


def rebuild(
    manifest_json: bytes | str, destination: Path, *, folder: str | Path | None = None, numbered: bool = False
) -> None:
    """Make a Delta table of one version from the files that a manifest names.

    Parameters
    ----------
    manifest_json : bytes or str
        The manifest.
    destination : Path
        Where the table shall be; must not exist, or be empty.
    folder : str or Path, optional
        Where the table is now, if it was moved since.
    numbered : bool, default False
        Give the version the number that it had; without it, 0.

    Raises
    ------
    StorageError
        If a file is missing or was changed; then nothing is made.
    ConflictError
        If there is something at the destination.

    Notes
    -----
    Needs no log of the original, and keeps its id and schema, and of its properties those of Lakemark. Files are hard
    links where the file system allows it, else copies, so they outlive a vacuum of the original. The table appears in
    one step.
    """
    manifest = parse(manifest_json)
    head = known_head(manifest, table_id=manifest.table_id)
    version = manifest.version if numbered else 0
    _make(manifest, Places(str(folder or manifest.uri)), str(destination), head=head, shallow=True, version=version)


def clone_pinned(
    manifest_json: bytes | str, destination: str | Path, *, folder: str | Path | None = None, shallow: bool = True
) -> Table:
    """Make a table of its own from a version whose log is gone: `clone`, from what a pin knows of it.

    Parameters
    ----------
    manifest_json : bytes or str
        The manifest.
    destination, shallow
        As for `clone`.
    folder : str or Path, optional
        Where the table is now, if it was moved since.

    Raises
    ------
    StorageError, ConflictError
        As for `clone`.

    Notes
    -----
    A manifest knows the schema, the partitions and Lakemark's own properties; others and constraints do not come along.
    """
    manifest = parse(manifest_json)
    place = location(str(destination))
    info = clone_info(manifest, is_shallow=shallow and _share_disk(str(folder or manifest.uri), place))
    head = [info, *known_head(manifest, table_id=str(uuid4()))]
    _make(manifest, Places(str(folder or manifest.uri)), place, head=head, shallow=shallow)
    return Table(place)


def _make(
    manifest: Manifest,
    places: Places,
    destination: str,
    *,
    head: Sequence[Json],
    shallow: bool,
    statistics: Mapping[str, Mapping[str, Json]] | None = None,
    version: int = 0,
) -> None:
    """Bring the files over, then say so in a log; without statistics, the number of rows is read from each file."""
    _check_vectors(manifest)
    needed = list(pieces(manifest))
    broken = [piece.name for piece in needed if not places.is_whole(piece)]
    if broken:
        raise StorageError(
            f"version {manifest.version} of {manifest.uri} is not whole: {len(broken)} files are missing or were "
            f"changed, the first is {broken[0]}",
            hint="restore the files from a backup",
        )
    physical = physical_names(manifest)
    actions = [
        add_action(
            entry,
            physical=physical,
            statistics=_counted(entry, places) if statistics is None else _told(entry, statistics.get(entry.path, {})),
        )
        for entry in manifest.entries
    ]
    lines = [json.dumps(action, ensure_ascii=False) for action in (*head, *actions)]
    log = ("\n".join(lines) + "\n").encode()
    folder = local_folder(destination)
    if folder is not None:
        LocalDestination(folder).make(needed, places, log, shallow=shallow, version=version)
    else:
        RemoteDestination(location(destination)).make(needed, places, log)


def _share_disk(source: str, destination: str) -> bool:
    """Return True if two tables are, or would be, on one local file system, so that links between them are possible."""
    places = (local_folder(source), local_folder(destination))
    devices = [
        next(folder.stat().st_dev for folder in (place, *place.parents) if folder.exists())
        for place in places
        if place is not None
    ]
    return len(devices) == len(places) and len(set(devices)) == 1


def _check_vectors(manifest: Manifest) -> None:
    for entry in manifest.entries:
        if entry.deletion_vector is not None and entry.deletion_vector.storage not in ("u", "i"):
            raise StorageError(f"the deletion vector of {entry.path} is not with the table, so no table is made of it")


def _told(entry: ManifestFile, statistics: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Return what the source's log says of a file: the rows that are in it, whether they count or not."""
    if entry.rows is None:
        return None
    vector = entry.deletion_vector
    if vector is None:
        return {"numRecords": entry.rows, **statistics}
    return {"numRecords": entry.rows + vector.cardinality, **statistics, "tightBounds": False}


def _counted(entry: ManifestFile, places: Places) -> Mapping[str, Json]:
    """Return the number of rows that a file itself says it has."""
    piece = Piece(entry.path, entry.size)
    try:
        with places.open(piece) as file:
            return {"numRecords": int(pq.read_metadata(file).num_rows)}
    except NotFoundError as error:
        raise StorageError(f"{piece.name} is gone: {error.message}") from error
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{piece.name} is not the Parquet file that it was: {error}") from error
