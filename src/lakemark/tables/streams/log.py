"""The commits of a table's log, one by one, as a stream needs them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from lakemark._base.canonical import Json
from lakemark._base.errors import NotFoundError, StorageError
from lakemark.tables.log.deletion import vector_from_json
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import ManifestFile

__all__ = ["CommitLog", "LogCommit"]

_Action = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LogCommit:
    """What one commit did.

    Parameters
    ----------
    version : int
        The version that it made.
    operation : str
        For example `WRITE`; `unknown` where it does not say.
    added : tuple of ManifestFile
        Files that it added and that change what rows there are, in the order of the log.
    removed_files, removed_bytes : int
        Files that it removed, where that changes what rows there are.
    feed_bytes : int
        Size of what it wrote for the change data feed.
    schema_json : str or None
        The columns, where the commit set them.
    table_id : str or None
        The table's id, where the commit set it.
    transactions : mapping of str to int
        The versions of applications that it recorded.
    said : mapping of str to Json
        What the commit says about itself.
    """

    version: int
    operation: str
    added: tuple[ManifestFile, ...]
    removed_files: int
    removed_bytes: int
    feed_bytes: int
    schema_json: str | None
    table_id: str | None
    transactions: Mapping[str, int]
    said: Mapping[str, Json]

    @property
    def changes_rows(self) -> bool:
        """True if there are other rows after it than before."""
        return bool(self.added or self.removed_files)


class CommitLog:
    """The log of a table, on any storage.

    Parameters
    ----------
    uri : str
        The table.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._files = TableFiles(uri)

    def read(self, version: int) -> LogCommit:
        """Return what a commit did.

        Raises
        ------
        NotFoundError
            If the log does not have it (any more).
        StorageError
            If it cannot be read.
        """
        path = f"_delta_log/{version:020}.json"
        try:
            text = self._files.read(path)
        except NotFoundError:
            raise NotFoundError(
                f"{self.uri} has no commit {version} any more: its log was cleaned",
                hint="rows may be lost to this stream: begin a new query, under another name, from the rows that "
                "there are",
                version=version,
            ) from None
        try:
            return _parse(version, text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{self.uri}/{path} is no commit of a Delta table: {error!r}") from error

    def newest_first(self, version: int) -> Iterator[LogCommit]:
        """Yield the commits from a version back to where the log ends."""
        for number in range(version, -1, -1):
            try:
                yield self.read(number)
            except NotFoundError:
                return


def _parse(version: int, text: bytes) -> LogCommit:
    actions: dict[str, list[_Action]] = {}
    for line in text.splitlines():
        if line.strip():
            for kind, action in json.loads(line).items():
                actions.setdefault(kind, []).append(action)
    said = next(iter(actions.get("commitInfo", ())), {})
    metadata = next(iter(actions.get("metaData", ())), {})
    removed = [action for action in actions.get("remove", ()) if action.get("dataChange", True)]
    return LogCommit(
        version=version,
        operation=str(said.get("operation", "unknown")),
        added=tuple(_file(action) for action in actions.get("add", ()) if action["dataChange"]),
        removed_files=len(removed),
        removed_bytes=_bytes(removed),
        feed_bytes=_bytes(actions.get("cdc", ())),
        schema_json=cast("str | None", metadata.get("schemaString")),
        table_id=cast("str | None", metadata.get("id")),
        transactions={str(one["appId"]): cast("int", one["version"]) for one in actions.get("txn", ())},
        said=said,
    )


def _bytes(actions: list[_Action] | tuple[()]) -> int:
    return sum(cast("int", action.get("size") or 0) for action in actions)


def _file(add: _Action) -> ManifestFile:
    vector, values = add.get("deletionVector"), cast("Mapping[str, str | None]", add["partitionValues"])
    return ManifestFile(
        path=cast("str", add["path"]),
        size=cast("int", add["size"]),
        partition_values={name: text or None for name, text in values.items()},  # an empty text is a null
        modification_time=cast("int", add["modificationTime"]),
        deletion_vector=vector_from_json(cast("Mapping[str, Json]", vector)) if vector else None,
    )
