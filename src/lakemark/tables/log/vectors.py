"""Deletion vectors as a log tells of them, on any storage, also where old commits are only in checkpoints.

Loaded by `lakemark.tables.log.deletion` where the JSON files of a local log do not suffice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from lakemark._base.canonical import Json
from lakemark.tables.log.deletion import DeletionVector, vector_from_json
from lakemark.tables.log.manifest import local_folder

__all__ = ["logged_vectors"]

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-f-]{36})?\.(?:parquet|json)")


def logged_vectors(
    uri: str, version: int, *, options: Mapping[str, str] | None = None
) -> Mapping[str, DeletionVector | None]:
    """Return what the log says of each data file up to a version: its deletion vector, None where it has none.

    Parameters
    ----------
    uri : str
        The table.
    version : int
        The last version that counts.
    options : mapping of str to str, optional
        How to get at the storage, as `deltalake` takes it.

    Returns
    -------
    mapping of str to DeletionVector or None
        By the path in the log, also of files that were removed since; empty where commits are missing.
    """
    folder = local_folder(uri)
    base = fs.LocalFileSystem() if folder else fs.PyFileSystem(DeltaStorageHandler(uri, dict(options or {})))
    store = fs.SubTreeFileSystem(str(folder), base) if folder else base
    names = [info.base_name for info in store.get_file_info(fs.FileSelector(_LOG, allow_not_found=True))]
    start, parts = _checkpoint(names, version)
    commits = {int(match[1]): name for name in names if (match := _COMMIT.fullmatch(name))}
    wanted = range(start + 1, version + 1)
    if any(number not in commits for number in wanted):
        return {}
    found: dict[str, DeletionVector | None] = {}
    for part in parts:
        found.update(_part(store, f"{_LOG}/{part}"))
    for number in wanted:
        found.update(_adds(_lines(store, f"{_LOG}/{commits[number]}")))
    return found


def _checkpoint(names: Iterable[str], version: int) -> tuple[int, list[str]]:
    """Return the last whole checkpoint up to a version and its files; -1 and none where there is none."""
    wholes: dict[int, list[str]] = {}
    pieces: dict[tuple[int, int], list[str]] = {}
    for name in sorted(names):
        found = _CHECKPOINT.fullmatch(name)
        if found is None or int(found[1]) > version:
            continue
        if found[3] is None:
            wholes[int(found[1])] = [name]
        else:
            pieces.setdefault((int(found[1]), int(found[3])), []).append(name)
    wholes |= {number: parts for (number, count), parts in pieces.items() if len(parts) == count}
    return max(wholes.items(), default=(-1, []))


def _part(store: fs.FileSystem, path: str) -> Iterator[tuple[str, DeletionVector | None]]:
    """Yield what one file of a checkpoint says, and the files that it names."""
    lines: Sequence[Mapping[str, Mapping[str, Json]]]
    if path.endswith(".json"):
        lines = list(_lines(store, path))
    else:
        with pq.ParquetFile(path, filesystem=store) as file:
            names = [name for name in ("add", "sidecar") if name in file.schema_arrow.names]
            rows = cast("list[Mapping[str, Mapping[str, Json] | None]]", file.read(columns=names).to_pylist())
        lines = [{name: said for name, said in row.items() if said is not None} for row in rows]
    yield from _adds(lines)
    sidecars = [cast("str", line["sidecar"]["path"]) for line in lines if "sidecar" in line]
    for sidecar in sidecars:
        yield from _part(store, f"{_LOG}/_sidecars/{sidecar.rsplit('/', 1)[-1]}")


def _lines(store: fs.FileSystem, path: str) -> Iterator[Mapping[str, Mapping[str, Json]]]:
    with store.open_input_file(path) as file:
        text = cast("bytes", file.read())
    return (json.loads(line) for line in text.splitlines() if b'"add"' in line or b'"sidecar"' in line)


def _adds(lines: Iterable[Mapping[str, Mapping[str, Json]]]) -> Iterator[tuple[str, DeletionVector | None]]:
    for line in lines:
        add = line.get("add")
        if add is not None:
            vector = cast("Mapping[str, Json] | None", add.get("deletionVector"))
            yield cast("str", add["path"]), vector_from_json(vector) if vector else None
