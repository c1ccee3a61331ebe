"""The files of one version, data and deletion vectors alike: where they lie, how large they must be, what they hold.

A version's files may lie in the table's folder, on any storage, or, where the table borrows them from another one,
elsewhere: then the log spells an absolute path or a URI.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from lakemark._base.errors import StorageError
from lakemark._base.hashing import sha256_bytes
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import Manifest, local_folder, location

__all__ = ["Piece", "Places", "pieces", "target_of"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a version.

    Parameters
    ----------
    path : str
        As the log spells it for a data file, percent-encoded; relative to the table for a deletion vector.
    size : int
        Bytes.
    exact : bool
        False where the file may be larger: deletion vectors share files.
    encoded : bool
        True where the path is percent-encoded.
    """

    path: str
    size: int
    exact: bool = True
    encoded: bool = True

    @property
    def absolute(self) -> str | None:
        """Where the file is, as a path or a URI, if the table borrows it from another one; else None."""
        parts = urlsplit(self.path)
        if parts.scheme == "file":
            return unquote(parts.path)
        if "://" in self.path:
            return self.path
        return self.relative if self.path.startswith("/") else None

    @property
    def relative(self) -> str:
        """The path as the storage has it, relative to the table."""
        return unquote(self.path) if self.encoded else self.path

    @property
    def name(self) -> str:
        """Where the file is: relative to the table if it is the table's own, else absolute."""
        return self.absolute or self.relative

    def fits(self, size: int | None) -> bool:
        """Return True if a file of this size, None for no file, can be the piece."""
        return size is not None and (size == self.size if self.exact else size >= self.size)


def pieces(manifest: Manifest) -> Iterator[Piece]:
    """Yield each file of a version once, deletion vectors included.

    Raises
    ------
    StorageError
        For a relative path that leads out of the table, which no writer makes.

    Notes
    -----
    Vectors that the log holds inline have no file, and ones whose place is not known (`DeletionVector`) are left out.
    """
    vectors: dict[str, int] = {}
    for entry in manifest.entries:
        yield _confined(Piece(entry.path, entry.size), manifest)
        vector = entry.deletion_vector
        if vector is not None and vector.storage in ("u", "p"):
            path = vector.relative_path() or vector.target
            vectors[path] = max(vectors.get(path, 0), vector.minimal_bytes())
    for path, least in vectors.items():
        yield _confined(Piece(path, least, exact=False, encoded="://" in path), manifest)


def _confined(piece: Piece, manifest: Manifest) -> Piece:
    if piece.absolute is None and ".." in piece.relative.split("/"):
        raise StorageError(f"version {manifest.version} of {manifest.uri} names {piece.path}, which is outside of it")
    return piece


def target_of(piece: Piece) -> Piece:
    """Return the piece as a table has it that borrows nothing: a borrowed file gets a name in the table's folder.

    Examples
    --------
    >>> target_of(Piece("file:///lake/a%20b/part-1.parquet", 7)).path
    'borrowed/92f0c0c1/part-1.parquet'
    """
    if piece.absolute is None:
        return piece
    place, _, name = piece.absolute.rpartition("/")
    path = f"borrowed/{sha256_bytes(place.encode())[:8]}/{name}"
    return replace(piece, path=quote(path), encoded=True)


class Places:
    """Where the pieces of one table's versions are.

    Parameters
    ----------
    uri : str
        The table.

    Notes
    -----
    On a local disk each file is looked at when it is asked for. Elsewhere the table is listed once, when the first file
    is asked for: one request for about 1,000 files instead of one for each.
    """

    def __init__(self, uri: str) -> None:
        self.uri = location(uri)
        self.folder = local_folder(self.uri)
        self._files = TableFiles(self.uri)
        self._listed: dict[str, int] | None = None

    def size(self, piece: Piece) -> int | None:
        """Return the size of the file that is there in bytes, None where there is none."""
        local = self.local(piece)
        if local is not None:
            try:
                return local.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise StorageError(f"{local} cannot be looked at: {error.strerror}") from error
        if piece.absolute is not None:
            files, name = self._borrowed(piece.absolute)
            found = files.stat(name)
            return None if found is None else found.size
        if self._listed is None:
            self._listed = {file.path: file.size for file in self._files.list()}
        return self._listed.get(piece.relative)

    def is_whole(self, piece: Piece) -> bool:
        """Return True if the file is there and has its size."""
        return piece.fits(self.size(piece))

    def open(self, piece: Piece) -> BinaryIO:
        """Return the file, open for reading; the caller closes it.

        Raises
        ------
        NotFoundError
            If it is not there.
        """
        if piece.absolute is None:
            return self._files.open(piece.relative)
        files, name = self._borrowed(piece.absolute)
        return files.open(name)

    def local(self, piece: Piece) -> Path | None:
        """Return where the file is on a local disk, None where it is on none."""
        if piece.absolute is not None:
            return None if "://" in piece.absolute else Path(piece.absolute)
        return None if self.folder is None else self.folder / piece.relative

    def _borrowed(self, absolute: str) -> tuple[TableFiles, str]:
        place, _, name = absolute.rpartition("/")
        return TableFiles(place), unquote(name) if "://" in absolute else name
