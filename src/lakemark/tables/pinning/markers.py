"""Markers: what a table's own folder says of the pins on it, so that every home's vacuum obeys them.

Pins are kept in a home, and another home that vacuums the same table does not know them. So a pin leaves two files in
the table's folder, whose names other engines pass over because of the leading `_`::

    _lakemark/pins/SHA256.json     the manifest of the version, once
    _lakemark/pins/SHA256.HOME     one small file for each home that holds it

`SHA256` is that of the manifest and `HOME` the identity of a home. The manifest comes first and goes last. A manifest
that no home holds counts as held until a home lets go of a pin on the table: it is of a process that was killed between
the two files, or that is about to write the second.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from lakemark._base.canonical import canonical
from lakemark._base.clock import now_ms, rfc3339
from lakemark._base.errors import LakemarkError, NotFoundError, StorageError
from lakemark._base.hashing import sha256_bytes
from lakemark.config.home import Home
from lakemark.config.identity import home_identity
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import local_folder
from lakemark.tables.pinning.pins import PinRecord, PinStore, ReleasedPinRecord
from lakemark.tables.reading import TableReader

__all__ = ["FOLDER", "HOLDER_FORMAT", "MarkedPins", "mark", "marked_manifests", "markers", "unmark"]

FOLDER = "_lakemark/pins"
"""Where the markers are, inside a table's folder."""

HOLDER_FORMAT = "lakemark.marker/1"

_LOGGER = logging.getLogger(__name__)
_MANIFEST = "json"
_IGNORE = "_lakemark/.gitignore"  # a table may lie in a repository, and markers are of this place alone
_NAME = re.compile(r"([0-9a-f]{64})\.(json|[0-9a-f]{32})")
_LOCK = "pins.lock"


def markers(files: TableFiles) -> Mapping[str, frozenset[str]]:
    """Return the homes that hold each marked manifest, by the manifest's sha256.

    Raises
    ------
    StorageError
        If the folder cannot be listed.
    """
    found: dict[str, set[str]] = {}
    for digest, kind in _names(files):
        homes = found.setdefault(digest, set())
        if kind != _MANIFEST:
            homes.add(kind)
    return {digest: frozenset(homes) for digest, homes in found.items()}


def marked_manifests(files: TableFiles) -> list[bytes]:
    """Return the manifests of all versions of a table that some home holds.

    Raises
    ------
    StorageError
        If one cannot be read, is not whole, or is missing while a home holds it: then nobody knows what must stay, and
        nothing may be deleted.
    """
    found = []
    for digest, homes in sorted(markers(files).items()):
        path = _path(digest, _MANIFEST)
        try:
            data = files.read(path)
        except LakemarkError as error:
            if not homes and not files.exists(path):  # let go of at this moment
                continue
            raise StorageError(
                f"{files.uri}/{path}, what the pins of {_count(homes)} need, cannot be read: {error.message}",
                hint=f"pin the version again from such a home, or delete {path[:-5]}.* if it may go",
            ) from error
        if sha256_bytes(data) != digest:
            raise StorageError(
                f"{files.uri}/{path} was changed, so nobody knows what the pins of {_count(homes)} need",
                hint=f"pin the version again from such a home, or delete {path[:-5]}.* if it may go",
            )
        found.append(data)
    return found


def mark(files: TableFiles, manifest_json: bytes, *, home: str, place: str = "") -> None:
    """Say in a table's folder that a home holds a version; a second time changes nothing.

    Parameters
    ----------
    files : TableFiles
        The table's.
    manifest_json : bytes
        The manifest of the version.
    home : str
        The identity of the home, 32 hexadecimal digits.
    place : str, optional
        Where the home is, for people who look for it.

    Raises
    ------
    StorageError
        If it cannot be written.

    Notes
    -----
    Safe beside `unmark` in other homes: who lets go deletes the manifest only while no home holds it, and puts it back
    if one came; who takes hold looks for it after it said so.
    """
    digest = sha256_bytes(manifest_json)
    if local_folder(files.uri) is not None and not files.exists(_IGNORE):
        files.write(_IGNORE, b"*\n")
    _write_manifest(files, digest, manifest_json)
    if not files.exists(_path(digest, home)):
        said = {"format": HOLDER_FORMAT, "home": home, "place": place, "since": rfc3339(now_ms())}
        files.write(_path(digest, home), canonical(said))
        _write_manifest(files, digest, manifest_json)


def unmark(files: TableFiles, digest: str, *, home: str) -> None:
    """Say in a table's folder that a home no longer holds a version; manifests that no home holds go with it.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    files.delete(_path(digest, home))
    for orphan in [known for known, homes in markers(files).items() if not homes]:
        path = _path(orphan, _MANIFEST)
        try:
            data = files.read(path)
        except NotFoundError:  # another home lets go at this moment, and sees to it
            continue
        files.delete(path)
        if markers(files).get(orphan):  # a home took hold meanwhile
            files.write(path, data)


class MarkedPins:
    """The pins of one home, each with its marker in the table's folder.

    Parameters
    ----------
    pins : PinStore
        Where the pins are kept; also remembers those that were let go.
    objects : ObjectStore
        Where the manifests are.
    home : Home
        Whose pins they are.

    Notes
    -----
    It is a `PinStore` itself, so whoever adds a pin leaves a marker. The marker comes before the pin and goes after it.
    A table that cannot be written gets no marker, and a warning is logged: then only this home's vacuum knows the pin.
    Processes of one home that add and release take turns at the file `pins.lock` in the home.
    """

    def __init__(self, pins: PinStore, objects: ObjectStore, home: Home) -> None:
        self.pins = pins
        self.objects = objects
        self.home = home

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
        """Keep a pin; the same (table_uri, table_id, version, holder) a second time writes a marker that is missing."""
        with self._alone():
            self._mark(table_uri, manifest)
            self.pins.add(
                table_uri=table_uri,
                table_id=table_id,
                version=version,
                manifest=manifest,
                holder=holder,
                reason=reason,
                created_ms=created_ms,
            )

    def list(self, table_uri: str | None = None) -> Sequence[PinRecord]:
        """Return the pins that hold, of one table or of all, oldest first."""
        return self.pins.list(table_uri)

    def list_released(self, table_uri: str | None = None) -> Sequence[ReleasedPinRecord]:
        """Return the pins that were let go, of one table or of all, oldest first."""
        return self.pins.list_released(table_uri)

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

        The marker of a version goes with the last pin of this home on it.
        """
        with self._alone():
            before = {(pin.table_uri, pin.manifest) for pin in self.pins.list(table_uri) if pin.holder == holder}
            count = self.pins.release(
                holder=holder, table_uri=table_uri, version=version, table_id=table_id, reason=reason
            )
            after = {(pin.table_uri, pin.manifest) for pin in self.pins.list(table_uri)}
            for uri in sorted({uri for uri, _ in before - after}):
                self._sweep(uri)
        return count

    def sweep(self, table_uri: str) -> None:
        """Take away what this home's markers in a table's folder say of versions that it does not hold any more.

        `release` does so too, for the place where the table was when it was pinned. Such markers are left by a process
        that was killed between a pin and its marker, and in a table that was moved.
        """
        with self._alone():
            self._sweep(table_uri)

    def _mark(self, table_uri: str, manifest: str) -> None:
        try:
            if not TableReader(table_uri).exists():
                _LOGGER.warning("warning: there is no table at %s any more: the pin leaves no marker there", table_uri)
                return
            data = self.objects.get(manifest)
            mark(TableFiles(table_uri), data, home=home_identity(self.home), place=str(self.home.path))
        except LakemarkError as error:
            _LOGGER.warning(
                "warning: the pin on %s is known to this home only, a vacuum from another one will not see it: %s",
                table_uri,
                error.message,
            )

    def _sweep(self, table_uri: str) -> None:
        files, home = TableFiles(table_uri), home_identity(self.home)
        held = {pin.manifest for pin in self.pins.list()}
        try:
            for digest, homes in markers(files).items():
                if home in homes and digest not in held:
                    unmark(files, digest, home=home)
        except LakemarkError as error:
            _LOGGER.warning("warning: the marker of a pin on %s could not be taken away: %s", table_uri, error.message)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self.home.path / _LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}", hint="check who owns the home") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _names(files: TableFiles) -> Iterator[tuple[str, str]]:
    for file in files.list(FOLDER):
        match = _NAME.fullmatch(file.path.removeprefix(f"{FOLDER}/"))
        if match is not None:
            yield match[1], match[2]


def _path(digest: str, kind: str) -> str:
    return f"{FOLDER}/{digest}.{kind}"


def _write_manifest(files: TableFiles, digest: str, data: bytes) -> None:
    path = _path(digest, _MANIFEST)
    found = files.stat(path)
    if found is None or found.size != len(data):
        files.write(path, data)


def _count(homes: frozenset[str]) -> str:
    return "a home" if len(homes) < 2 else f"{len(homes)} homes"
