"""Deletion vectors: which rows of a data file do not count, and in which file that is written.

`deltalake` applies them but does not say where they are, so their descriptors are read from the log: here, with the
standard library only, from the JSON files of a local one; what these do not tell is left to
`lakemark.tables.log.vectors`.

References
----------
Delta Transaction Log Protocol, "Deletion Vector Descriptor Schema".
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import unquote, urlsplit
from uuid import UUID

from lakemark._base.canonical import Json
from lakemark._base.errors import StorageError

__all__ = ["DeletionVector", "deletion_vectors", "vector_from_json"]

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_UUID_TEXT = 20


@dataclass(frozen=True, slots=True)
class DeletionVector:
    """The descriptor of one deletion vector, as the log has it.

    Parameters
    ----------
    storage : str
        `u` (a file named by an encoded UUID), `p` (a file with an absolute path), `i` (inline), or `unknown` where the
        log that says it is gone.
    target : str
        The path or the content, encoded.
    offset : int or None
        Bytes into the file.
    size : int
        Bytes.
    cardinality : int
        Number of rows that do not count.
    """

    storage: str
    target: str
    offset: int | None
    size: int
    cardinality: int

    def to_json(self) -> Mapping[str, Json]:
        """Return the descriptor with the names that the log uses."""
        return {
            "storageType": self.storage,
            "pathOrInlineDv": self.target,
            "offset": self.offset,
            "sizeInBytes": self.size,
            "cardinality": self.cardinality,
        }

    def relative_path(self) -> str | None:
        """Return its file's path inside the table's folder, None where it is not in a file there."""
        if self.storage != "u":
            return None
        prefix, encoded = self.target[:-_UUID_TEXT], self.target[-_UUID_TEXT:]
        name = f"deletion_vector_{UUID(bytes=_decode_z85(encoded))}.bin"
        return f"{prefix}/{name}" if prefix else name

    def locate(self, folder: Path) -> Path | None:
        """Return where its file is for a table in `folder`, None where it has none."""
        if self.storage == "p":
            return Path(unquote(urlsplit(self.target).path))
        relative = self.relative_path()
        return None if relative is None else folder / relative

    def minimal_bytes(self) -> int:
        """Return the smallest size that its file can have: behind the offset lie size, data and checksum."""
        return (self.offset or 0) + self.size + 8


class _Vectors(Protocol):
    def read_all(self) -> object: ...


class _Table(Protocol):
    def column(self, i: str, /) -> _Column: ...


class _Column(Protocol):
    def to_pylist(self) -> list[object]: ...


class _HasVectors(Protocol):
    @property
    def table_uri(self) -> str: ...

    def deletion_vectors(self) -> object: ...


class _LogReading(Protocol):
    logged_vectors: Callable[..., Mapping[str, DeletionVector | None]]


def vector_from_json(data: Mapping[str, Json]) -> DeletionVector:
    """Return the descriptor that a log or a manifest spells.

    Raises
    ------
    StorageError
        If it lacks something.
    """
    try:
        return DeletionVector(
            storage=cast("str", data["storageType"]),
            target=cast("str", data["pathOrInlineDv"]),
            offset=cast("int | None", data.get("offset")),
            size=cast("int", data["sizeInBytes"]),
            cardinality=cast("int", data["cardinality"]),
        )
    except KeyError as error:
        raise StorageError(f"a deletion vector without {error}") from error


def deletion_vectors(
    table: _HasVectors, *, paths: Collection[str], folder: Path | None, version: int
) -> Mapping[str, DeletionVector]:
    """Return the deletion vectors of the open version by the path of their data file.

    Parameters
    ----------
    table : object
        A `deltalake.DeltaTable`, or what behaves as one.
    paths : collection of str
        The version's data files, as in the log.
    folder : Path or None
        The table's folder; None where it is not on a local file system.
    version : int
        The version that is open.

    Notes
    -----
    Only where the log does not tell of every data file are the vectors themselves read: then their number of rows is
    known, and their storage is `unknown`.
    """
    known = {} if folder is None else _from_log(folder / "_delta_log", version)
    if any(path not in known for path in paths):
        known = {**known, **_from_checkpoints(table, version)}
    vectors = {path: vector for path in paths if (vector := known.get(path)) is not None}
    untold = {_file_name(path): path for path in paths if path not in known}
    if untold:
        for name, count in _removed_rows(table).items():
            if name in untold:
                vectors[untold[name]] = DeletionVector("unknown", "", None, 0, count)
    return vectors


def _from_log(log: Path, version: int) -> Mapping[str, DeletionVector | None]:
    """Return what the last `add` of each data file says, up to a version."""
    found: dict[str, DeletionVector | None] = {}
    for commit in sorted(log.glob("*.json")):
        if commit.stem.isdigit() and int(commit.stem) <= version:
            for line in commit.read_bytes().splitlines():  # of text, it would split at U+2028 too
                add = json.loads(line).get("add") if b'"add"' in line else None
                if add is not None:
                    vector = add.get("deletionVector")
                    found[add["path"]] = vector_from_json(vector) if vector else None
    return found


def _from_checkpoints(table: _HasVectors, version: int) -> Mapping[str, DeletionVector | None]:
    """Return what the whole log says, which takes pyarrow; nothing where that or the log cannot be had."""
    try:
        reading = cast("_LogReading", importlib.import_module("lakemark.tables.log.vectors"))
        options = cast("Mapping[str, str] | None", getattr(table, "_storage_options", None))
        return reading.logged_vectors(table.table_uri, version, options=options)
    except (ImportError, OSError, ValueError):
        return {}


def _removed_rows(table: _HasVectors) -> Mapping[str, int]:
    found = cast("_Table", cast("_Vectors", table.deletion_vectors()).read_all())
    names = cast("list[str]", found.column("filepath").to_pylist())
    kept = cast("list[list[bool]]", found.column("selection_vector").to_pylist())
    return {_file_name(name): rows.count(False) for name, rows in zip(names, kept, strict=True)}


def _file_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _decode_z85(text: str) -> bytes:
    """Decode the base 85 of ZeroMQ, in which the log writes UUIDs and inline vectors."""
    decoded = b""
    for start in range(0, len(text), 5):
        number = 0
        for character in text[start : start + 5]:
            number = number * 85 + _Z85.index(character)
        decoded += number.to_bytes(4, "big")
    return decoded
