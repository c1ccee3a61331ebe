"""Pins: what keeps a version of a table readable, and whether it still is.

A pin names a manifest (`lakemark.tables.log.manifest`), so it needs neither the table's log nor its version numbers,
which another table at the same place could use again. Vacuum obeys pins (`lakemark.tables.upkeep.vacuum`), and a
version whose log is gone is read from its files (`lakemark.tables.pinning.clones.rebuild`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lakemark._base.clock import now_ms
from lakemark._base.errors import NotFoundError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import Manifest, parse
from lakemark.tables.log.pieces import Places, pieces
from lakemark.tables.pinning.announcements import wait_for_announced
from lakemark.tables.reading import TableReader

__all__ = ["Pin", "PinRecord", "PinState", "PinStatus", "PinStore", "ReleasedPinRecord", "hold", "let_go", "verify"]


class PinRecord(Protocol):
    """What a pin says; `Pin` is one, and so is a row of the metadata database that has these columns."""

    @property
    def table_uri(self) -> str:
        """Where the table lies: an absolute path or a URI, as `lakemark.tables.log.manifest.location` writes it."""

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


class ReleasedPinRecord(PinRecord, Protocol):
    """What is remembered of a pin that was let go."""

    @property
    def released_ms(self) -> int | None:
        """When, in milliseconds since 1970-01-01 UTC."""

    @property
    def release_reason(self) -> str | None:
        """Why, in words."""


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
        """Return the pins that hold, of one table or of all, oldest first."""

    def list_released(self, table_uri: str | None = None) -> Sequence[ReleasedPinRecord]:
        """Return the pins that were let go, of one table or of all, oldest first."""

    def release(
        self,
        *,
        holder: str,
        table_uri: str | None = None,
        version: int | None = None,
        table_id: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Let go of a holder's pins (of one table, of one version, of one table id) and return how many there were.

        The pin of a tag stays as long as the tag names its version.
        """


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
    FILES_CHANGED = "files changed"
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
        Files, relative to the table unless it borrows them, that are not there, not of their size, or of other content.
    detail : str
        In words.
    """

    status: PinStatus
    missing: tuple[str, ...] = ()
    detail: str = ""

    @property
    def is_whole(self) -> bool:
        """True where all files of the version are as they were, so that the table or `rebuild` can read it."""
        return not self.missing and (self.status is PinStatus.READABLE or self.recoverable)

    @property
    def recoverable(self) -> bool:
        """True where the table itself can no longer open the version, but `rebuild` can."""
        lost = self.status in (PinStatus.LOG_CLEANED, PinStatus.TABLE_RECREATED, PinStatus.TABLE_GONE)
        return lost and not self.missing


def hold(manifest: Manifest, *, holder: str, reason: str, pins: PinStore, objects: ObjectStore) -> Pin:
    """Pin a version, and look if it was still whole when the pin began to hold.

    Parameters
    ----------
    manifest : Manifest
        Of the version.
    holder, reason : str
        As in `PinRecord`.
    pins : PinStore
        Where the pin is kept.
    objects : ObjectStore
        Where the manifest is kept.

    Raises
    ------
    StorageError
        If files of the version are gone; then it is not pinned, unless the holder had pinned it before.
    """
    data = manifest.to_json()
    pin = Pin(
        table_uri=manifest.uri,
        table_id=manifest.table_id,
        version=manifest.version,
        manifest=objects.put(data),
        holder=holder,
        reason=reason,
        created_ms=now_ms(),
    )
    this = (pin.table_id, pin.version, holder)
    before = any((known.table_id, known.version, known.holder) == this for known in pins.list(pin.table_uri))
    pins.add(
        table_uri=pin.table_uri,
        table_id=pin.table_id,
        version=pin.version,
        manifest=pin.manifest,
        holder=holder,
        reason=reason,
        created_ms=pin.created_ms,
    )
    own = (piece.relative for piece in pieces(manifest) if piece.absolute is None)
    wait_for_announced(TableFiles(manifest.uri), own)
    state = verify(pin, data)
    if state.missing and not before:
        let_go(pin, pins=pins, reason="was not whole when it was pinned")
    if state.missing:
        raise StorageError(
            f"version {pin.version} of {pin.table_uri} cannot be pinned: {state.detail}",
            hint=f"lakemark tables history {pin.table_uri} lists other versions",
        )
    return pin


def let_go(pin: PinRecord, *, pins: PinStore, reason: str) -> bool:
    """Let go of one pin; False where it held no more, or where the tag that holds it still names its version."""
    count = pins.release(
        holder=pin.holder, table_uri=pin.table_uri, version=pin.version, table_id=pin.table_id, reason=reason
    )
    return count > 0


def verify(pin: PinRecord, manifest_json: bytes | str, *, places: Places | None = None) -> PinState:
    """Return whether a pinned version can be read, by a look at each of its files.

    Parameters
    ----------
    pin : PinRecord
        The pin.
    manifest_json : bytes or str
        The manifest that it names.
    places : Places, optional
        Of the pin's table, to share what was listed between many pins of it.

    Raises
    ------
    StorageError
        If the manifest cannot be read, or is not that of the pin; if the storage fails.

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
    places = places or Places(pin.table_uri)
    missing = tuple(piece.name for piece in pieces(manifest) if not places.is_whole(piece))
    count = f"{len(missing)} of {manifest.files} files are missing" if missing else "all files are there"
    table = TableReader(pin.table_uri)
    if not table.exists():
        return PinState(PinStatus.TABLE_GONE, missing, f"no Delta table at {table.uri}; {count}")
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
