"""Digests: the sha256 of each file of a pinned version, written down once, so that damage shows later.

The log knows the size of a file, not its content. The first deep look at a version writes the digests of its files
down, as a canonical JSON object in the object store; every later one compares::

    {"format": "lakemark.digests/1", "manifest": <sha256 of the manifest>, "files": {PATH: SHA256, ...}}

A path is relative to the table, as the storage has it, or absolute where the table borrows the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

from lakemark._base.canonical import Json, canonical
from lakemark._base.clock import now_ms
from lakemark._base.errors import LakemarkError, StorageError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.manifest import parse
from lakemark.tables.log.pieces import Piece, Places, pieces

__all__ = ["FORMAT", "DigestStore", "Digests", "FileCheck", "Progress"]

FORMAT = "lakemark.digests/1"

Progress: TypeAlias = Callable[[int], None]
"""Is told how many more bytes were read; several threads call it."""

_PIECE_BYTES = 1 << 20


class DigestStore(Protocol):
    """Where it is kept which document has the digests of a version."""

    def get(self, manifest: str) -> str | None:
        """Return the sha256 of the document, None where there is none."""

    def put(self, manifest: str, document: str, *, created_ms: int) -> str:
        """Keep the first document of a version, and return the one that is kept."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a deep look at one version found.

    Parameters
    ----------
    recorded : bool
        True if the digests were written down now: there was nothing to compare with.
    changed : tuple of str
        Files whose content is another than it was; sorted.
    unreadable : tuple of str
        Files that could not be read; sorted.
    files, bytes : int
        How much was looked at.
    """

    recorded: bool
    changed: tuple[str, ...]
    unreadable: tuple[str, ...]
    files: int
    bytes: int


class Digests:
    """Digests of the files of pinned versions.

    Parameters
    ----------
    store : DigestStore
        Which document belongs to which version.
    objects : ObjectStore
        Where manifests and documents are.
    threads : int, optional
        How many files are read at once; without it, two more than there are processors.

    Notes
    -----
    One object reads each file once, in pieces, though many versions name it; make a new one to look again.
    """

    def __init__(self, store: DigestStore, objects: ObjectStore, *, threads: int | None = None) -> None:
        self.store = store
        self.objects = objects
        self._threads = threads or (os.cpu_count() or 1) + 2
        self._known: dict[tuple[str, str], str | None] = {}
        self._changed: set[tuple[str, str]] = set()

    def check(self, manifest: str, *, places: Places, progress: Progress | None = None) -> FileCheck:
        """Compare the files of a version with what was written down; write it down where nothing was.

        Parameters
        ----------
        manifest : str
            The sha256 of the version's manifest.
        places : Places
            Of the table.
        progress : callable, optional
            Is told of each piece that was read.

        Raises
        ------
        StorageError
            If the manifest or the document cannot be read.

        Notes
        -----
        Nothing is written down as long as a file cannot be read, does not have its size, or is known by another version
        to have had other content.
        """
        needed = list(pieces(parse(self.objects.get(manifest))))
        self._read([piece for piece in needed if (places.uri, piece.name) not in self._known], places, progress)
        found = {piece.name: self._known[places.uri, piece.name] for piece in needed}
        unreadable = tuple(sorted(path for path, digest in found.items() if digest is None))
        spoilt = {piece.name for piece in needed if (places.uri, piece.name) in self._changed}
        document = self.store.get(manifest)
        if document is None and not (unreadable or spoilt) and all(map(places.is_whole, needed)):
            files: dict[str, Json] = dict(found)
            written = self.objects.put(canonical({"format": FORMAT, "manifest": manifest, "files": files}))
            document = self.store.put(manifest, written, created_ms=now_ms())
            recorded = document == written
        else:
            recorded = False
        known = self._document(document, manifest) if document is not None else {}
        other = {path for path, digest in found.items() if digest is not None and known.get(path, digest) != digest}
        self._changed |= {(places.uri, path) for path in other}
        changed = tuple(sorted(other | spoilt))
        return FileCheck(recorded, changed, unreadable, len(needed), sum(piece.size for piece in needed))

    def _document(self, document: str, manifest: str) -> Mapping[str, str]:
        try:
            data = json.loads(self.objects.get(document))
        except LakemarkError as error:
            raise StorageError(f"the digests of version {manifest} cannot be read: {error.message}") from error
        if data.get("format") != FORMAT:
            raise StorageError(f"digests of format {data.get('format')!r}, this version reads {FORMAT!r}")
        return cast("Mapping[str, str]", data["files"])

    def _read(self, needed: Iterable[Piece], places: Places, progress: Progress | None) -> None:
        def one(piece: Piece) -> str | None:
            try:
                return _digest(piece, places, progress)
            except (LakemarkError, OSError):
                return None

        todo = list(needed)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="lakemark-digest") as pool:
            try:
                for piece, digest in zip(todo, pool.map(one, todo), strict=True):
                    self._known[places.uri, piece.name] = digest
            except BaseException:  # an interruption, or what `progress` raised
                pool.shutdown(cancel_futures=True)
                raise


def _digest(piece: Piece, places: Places, progress: Progress | None) -> str:
    sha = hashlib.sha256()
    with places.open(piece) as file:
        while data := file.read(_PIECE_BYTES):
            sha.update(data)
            if progress is not None:
                progress(len(data))
    return sha.hexdigest()
