"""Pins: what keeps a version of a table readable, whether it still is, and how to read it when its log is gone.

A pin names a manifest (`lakemark.tables.manifest`), so it needs neither the table's log nor its version numbers, which
another table at the same place could use again. Vacuum obeys pins (`lakemark.tables.vacuum`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lakemark._base.canonical import Json
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark.tables.manifest import Manifest, ManifestFile, local_folder, location, parse
from lakemark.tables.table import Table

__all__ = ["Pin", "PinRecord", "PinState", "PinStatus", "PinStore", "rebuild", "verify"]


class PinRecord(Protocol):
    """What a pin says; `Pin` is one, and so is a row of the metadata database that has these columns."""

    @property
    def table_uri(self) -> str:
        """Where the table lies: an absolute path or a URI, as `lakemark.tables.manifest.location` writes it."""

    @property
    def table_id(self) -> str:
        """The id in the table's metadata; a re-created table has another."""

    @property
    def version(self) -> int:
        """The pinned version, from 0."""

    @property
    def manifest(self) -> str:
        """The sha256 of the manifest in the object store."""

    @property
    def holder(self) -> str:
        """Who holds it: a run id, or a name that a person chose."""

    @property
    def reason(self) -> str:
        """Why, in words; may be empty."""

    @property
    def created_ms(self) -> int:
        """When, in milliseconds since 1970-01-01 UTC."""


class PinStore(Protocol):
    """Where pins are kept. Plain values go in and records come out, so a store needs to know no class of ours."""

    def add(
        self,
        *,
        table_uri: str,
        table_id: str,
        version: int,
        manifest: str,
        holder: str,
        reason: str,
        created_ms: int,
    ) -> None:
        """Keep a pin; the same (table_uri, table_id, version, holder) a second time changes nothing."""

    def list(self, table_uri: str | None = None) -> Sequence[PinRecord]:
        """Return the pins of one table, or of all, oldest first."""

    def release(self, *, holder: str, table_uri: str | None = None, version: int | None = None) -> int:
        """Let go of a holder's pins (of one table, of one version) and return how many there were."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A promise to keep one version of one table readable.

    Parameters
    ----------
    table_uri, table_id, version, manifest, holder, reason, created_ms
        As in `PinRecord`.
    """

    table_uri: str
    table_id: str
    version: int
    manifest: str
    holder: str
    reason: str
    created_ms: int


class PinStatus(StrEnum):
    """What became of a pinned version."""

    READABLE = "readable"
    FILES_MISSING = "files missing"
    TABLE_GONE = "table gone"
    TABLE_RECREATED = "table re-created"
    LOG_CLEANED = "log cleaned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PinState:
    """Whether a pinned version can be read.

    Parameters
    ----------
    status : PinStatus
        The first of these that holds: table gone, table re-created (the version now is of another table), files
        missing, log cleaned, readable. `verify` raises where it cannot tell; who lists many pins shows that as unknown.
    missing : tuple of str
        Files, as paths of the log, that are not there or not of their size.
    detail : str
        In words.
    """

    status: PinStatus
    missing: tuple[str, ...] = ()
    detail: str = ""

    @property
    def recoverable(self) -> bool:
        """True where the table itself can no longer open the version, but `rebuild` can."""
        lost = self.status in (PinStatus.LOG_CLEANED, PinStatus.TABLE_RECREATED, PinStatus.TABLE_GONE)
        return lost and not self.missing


def verify(pin: PinRecord, manifest_json: bytes | str) -> PinState:
    """Return whether a pinned version can be read, by a look at each of its files.

    Parameters
    ----------
    pin : PinRecord
        The pin.
    manifest_json : bytes or str
        The manifest that it names.

    Raises
    ------
    InvalidInputError
        If the table is not on a local file system.
    StorageError
        If the manifest cannot be read, or is not that of the pin.

    Notes
    -----
    Opens the table at the version and asks for the size of each file; reads no data.
    """
    manifest = parse(manifest_json)
    if (manifest.table_id, manifest.version) != (pin.table_id, pin.version):
        raise StorageError(
            f"manifest {pin.manifest} is of version {manifest.version} of table {manifest.table_id}, "
            f"the pin of version {pin.version} of table {pin.table_id}"
        )
    folder = _folder(pin.table_uri)
    missing = tuple(path for path, place, size in _places(manifest, folder) if not _is_whole(place, size))
    count = f"{len(missing)} of {manifest.files} files are missing" if missing else "all files are there"
    table = Table(folder)
    if not table.exists():
        return PinState(PinStatus.TABLE_GONE, missing, f"no Delta table at {folder}; {count}")
    try:
        opened = table.manifest(version=pin.version)
    except NotFoundError as error:
        now = table.manifest()
        if now.table_id != pin.table_id:
            return PinState(PinStatus.TABLE_RECREATED, missing, f"the table is {now.table_id} now; {count}")
        status = PinStatus.FILES_MISSING if missing else PinStatus.LOG_CLEANED
        return PinState(status, missing, f"{error.message}; {count}")
    if opened.log_identity != manifest.log_identity:
        said = f"version {pin.version} is of table {opened.table_id} now, or has other files"
        return PinState(PinStatus.TABLE_RECREATED, missing, f"{said}; {count}")
    return PinState(PinStatus.FILES_MISSING if missing else PinStatus.READABLE, missing, count)


def rebuild(manifest_json: bytes | str, destination: Path, *, folder: Path | None = None) -> None:
    """Make a Delta table of one version, version 0 there, from the files that a manifest names.

    Parameters
    ----------
    manifest_json : bytes or str
        The manifest.
    destination : Path
        Where the table shall be; must not exist, or be empty.
    folder : Path, optional
        Where the data files are, if the table was moved since.

    Raises
    ------
    StorageError
        If a file is missing or was changed; then nothing is made.
    ConflictError
        If there is something at the destination.
    InvalidInputError
        If the table is not on a local file system.

    Notes
    -----
    Files are hard links where the file system allows it, else copies, so they outlive a vacuum of the original. (A log
    that names them by absolute path would need neither, but only half of the readers of `deltalake` follow it.) The
    table appears in one step, and has the id and the schema of the original.
    """
    manifest = parse(manifest_json)
    source = folder or _folder(manifest.uri)
    broken = [path for path, place, size in _places(manifest, source) if not _is_whole(place, size)]
    if broken:
        raise StorageError(
            f"version {manifest.version} of {manifest.uri} cannot be rebuilt: {len(broken)} files are missing or were "
            f"changed, the first is {broken[0]}",
            hint="restore the files from a backup",
        )
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConflictError(f"{destination} is not empty", hint="give a folder that does not exist")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".rebuild-") as scratch:
        place = Path(scratch) / "table"
        actions = [_add_action(entry, source, place) for entry in manifest.entries]
        lines = [json.dumps(action) for action in (*_head_actions(manifest), *actions)]
        (place / "_delta_log").mkdir(parents=True)
        (place / "_delta_log" / f"{0:020}.json").write_text("\n".join(lines) + "\n")
        place.replace(destination)


def _folder(uri: str) -> Path:
    folder = local_folder(uri)
    if folder is None:
        raise InvalidInputError(
            f"{location(uri)} is not on a local file system", hint="pins are verified and rebuilt on local storage only"
        )
    return folder


def _places(manifest: Manifest, folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Yield each file of a version, deletion vectors included: name, place, size. A vector's size is at least that."""
    for entry in manifest.entries:
        yield entry.path, entry.locate(folder), entry.size
        vector = entry.deletion_vector
        where = None if vector is None else vector.locate(folder)
        if vector is not None and where is not None:
            yield vector.relative_path() or vector.target, where, -vector.minimal_bytes()


def _is_whole(place: Path, size: int) -> bool:
    """Return True if the file has the size; a negative one is the least that it must have."""
    try:
        found = place.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    return found == size if size >= 0 else found >= -size


def _head_actions(manifest: Manifest) -> tuple[Json, ...]:
    configuration: dict[str, Json] = {}
    features = []
    if '"timestamp_ntz"' in manifest.schema_json:
        features.append("timestampNtz")
    if '"delta.columnMapping.physicalName"' in manifest.schema_json:
        features.append("columnMapping")
        configuration["delta.columnMapping.mode"] = "name"
    if any(entry.deletion_vector for entry in manifest.entries):
        features.append("deletionVectors")
    protocol: dict[str, Json] = {"minReaderVersion": 1, "minWriterVersion": 2}
    if features:
        protocol = {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": features,
            "writerFeatures": features,
        }
    metadata: Mapping[str, Json] = {
        "id": manifest.table_id,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": manifest.schema_json,
        "partitionColumns": list(manifest.partition_columns),
        "configuration": configuration,
        "createdTime": None,
    }
    return {"protocol": protocol}, {"metaData": metadata}


def _add_action(entry: ManifestFile, source: Path, place: Path) -> Json:
    """Bring one file, and its deletion vector, over; return what the log says of it."""
    original = entry.locate(source)
    inside = not (entry.path.startswith("file:") or Path(entry.path).is_absolute())
    path = entry.path if inside else original.name
    _link(original, ManifestFile(path, 0, {}, 0).locate(place))
    vector = entry.deletion_vector
    if vector is not None:
        if vector.storage not in ("u", "i"):
            raise StorageError(f"the deletion vector of {entry.path} is not with the table, so it cannot be rebuilt")
        file, relative = vector.locate(source), vector.relative_path()
        if file is not None and relative is not None and not (place / relative).exists():
            _link(file, place / relative)
    return {
        "add": {
            "path": path,
            "partitionValues": dict(entry.partition_values),
            "size": entry.size,
            "modificationTime": entry.modification_time,
            "dataChange": True,
            "stats": json.dumps({"numRecords": _row_count(original)}),
            "deletionVector": None if vector is None else vector.to_json(),
        }
    }


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException as error:
        raise StorageError(f"{path} is not the Parquet file that it was: {error}") from error


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
