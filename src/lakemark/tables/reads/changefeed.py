"""The change data feed: which rows each commit has added, removed and changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import fs

from lakemark._base.canonical import Json
from lakemark._base.errors import InvalidInputError
from lakemark.tables.failures import translated
from lakemark.tables.log.features import check_readable
from lakemark.tables.log.files import TableFiles
from lakemark.tables.log.manifest import location
from lakemark.tables.reads.datafiles import DataFile, Request
from lakemark.tables.reads.layout import Naming
from lakemark.tables.reads.scan import check_columns, constants, locate

__all__ = ["CHANGE_COLUMNS", "change_feed", "check_recorded", "commit_changes"]

CHANGE_COLUMNS = (
    pa.field("_change_type", pa.string()),
    pa.field("_commit_version", pa.int64()),
    pa.field("_commit_timestamp", pa.timestamp("us", "UTC")),
)
"""What comes with each row: `insert`, `delete`, `update_preimage` or `update_postimage`; of which commit; when."""

_Action: TypeAlias = Mapping[str, Json]
_Actions: TypeAlias = Mapping[str, _Action]
_Configuration: TypeAlias = Mapping[str, str] | None

_PROPERTY = "delta.enableChangeDataFeed"


def check_recorded(table: DeltaTable) -> None:
    """Refuse a version behind which commits do not record what they change.

    Raises
    ------
    InvalidInputError
        If the property of the table is not set.
    """
    _check_recorded(table.metadata().configuration, location(table.table_uri), table.version())


def change_feed(table: DeltaTable, *, first: DeltaTable, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """Return the changes of the commits from one version to another, both included, in the order of the versions.

    Parameters
    ----------
    table : DeltaTable
        Opened at the last version; the columns are its.
    first : DeltaTable
        Opened at the first version.
    columns : sequence of str, optional
        Which columns of the table, in this order; those of the feed come behind them.

    Raises
    ------
    InvalidInputError
        If the changes were not recorded, or the table maps its columns.
    NotFoundError
        For no such column.

    Notes
    -----
    One commit after the other is read, in the order of its log and of the rows in its files. Only a commit that deletes
    by vectors is left to `deltalake`, which has no order.
    """
    uri = location(table.table_uri)
    check_readable(table)
    check_recorded(first)
    check_recorded(table)
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mode != Naming.PLAIN:
        raise InvalidInputError(
            f"the changes of {uri} cannot be read: it uses the Delta feature columnMapping, here by {mode}",
            hint="lakemark tables diff compares two versions of it",
        )
    schema: pa.Schema = pa.schema(table.schema().to_arrow())
    wanted = schema.names if columns is None else list(columns)
    check_columns(wanted, schema, uri=uri)
    shape = pa.schema([*(schema.field(name) for name in wanted), *CHANGE_COLUMNS])
    versions = range(first.version(), table.version() + 1)
    return pa.RecordBatchReader.from_batches(shape, commit_changes(table, versions, shape=shape))


def commit_changes(table: DeltaTable, versions: Iterable[int], *, shape: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the changes of some commits, one commit after the other.

    Parameters
    ----------
    table : DeltaTable
        Opened at the last of the versions or a later one.
    versions : iterable of int
        Which commits.
    shape : pyarrow.Schema
        The columns to return, those of the feed at the end.

    Raises
    ------
    InvalidInputError
        At a commit that ends the recording.
    """
    uri = location(table.table_uri)
    log = TableFiles(uri)
    with translated(uri):
        for version in versions:
            path = f"_delta_log/{version:020}.json"
            actions = [json.loads(line) for line in log.read(path).splitlines() if line.strip()]
            for action in actions:
                if action.get("metaData"):
                    _check_recorded(cast("_Configuration", action["metaData"].get("configuration")), uri, version)
            parts = _parts(actions)
            if any(_is_for_engine(action, table) for _, action in parts):
                yield from _by_engine(table, version, shape)
                continue
            info: _Action = next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})
            stored = log.stat(path)
            moment = info.get("inCommitTimestamp") or info.get("timestamp") or (stored.modified_ms if stored else 0)
            yield from _by_files(table, parts, shape, commit=(version, cast("int", moment)))


def _check_recorded(configuration: _Configuration, uri: str, version: int) -> None:
    if ((configuration or {}).get(_PROPERTY) or "false").lower() != "true":
        raise InvalidInputError(
            f"{uri} does not record its changes at version {version}: the property {_PROPERTY} is not true",
            hint=f"set {_PROPERTY}=true; changes are recorded from the next commit on",
        )


def _parts(actions: Sequence[_Actions]) -> list[tuple[str | None, _Action]]:
    """Return the files that say what a commit has changed, and how; None where the file itself says it."""
    told = [action["cdc"] for action in actions if action.get("cdc")]
    if told:
        return [(None, action) for action in told]
    changed = [("delete", "remove"), ("insert", "add")]
    return [
        (change, action[kind])
        for change, kind in changed
        for action in actions
        if action.get(kind) and action[kind].get("dataChange", True)
    ]


def _is_for_engine(action: _Action, table: DeltaTable) -> bool:
    """Return True for a file whose rows only `deltalake` can tell: some are deleted, or its partition is not known."""
    return bool(action.get("deletionVector")) or (
        bool(table.metadata().partition_columns) and action.get("partitionValues") is None
    )


def _by_files(
    table: DeltaTable, parts: Sequence[tuple[str | None, _Action]], shape: pa.Schema, *, commit: tuple[int, int]
) -> Iterator[pa.RecordBatch]:
    """Yield the changes of a commit in the order of its log, and of the rows in the files."""
    kinds = {field.name: field.type for field in CHANGE_COLUMNS}
    known = {
        "_commit_version": pa.scalar(commit[0], kinds["_commit_version"]),
        "_commit_timestamp": pa.scalar(commit[1] * 1000, pa.int64()).cast(kinds["_commit_timestamp"]),
    }
    request = Request(tuple(shape), Naming.PLAIN)
    stores: dict[str, fs.FileSystem] = {}
    schema: pa.Schema = pa.schema(table.schema().to_arrow())
    for change, action in parts:
        path, filesystem = locate(cast("str", action["path"]), table.table_uri, stores=stores)
        values = cast("Mapping[str, str | None]", action.get("partitionValues") or {})
        fixed = {**constants({name: text or None for name, text in values.items()}, schema), **known}
        if change is not None:
            fixed["_change_type"] = pa.scalar(change, kinds["_change_type"])
        yield from DataFile(path, filesystem, fixed).batches(request)


def _by_engine(table: DeltaTable, version: int, shape: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the changes of a commit as `deltalake` finds them, in no order."""
    found = table.load_cdf(starting_version=version, ending_version=version, allow_out_of_range=True)
    for batch in pa.RecordBatchReader.from_stream(found):
        columns = [
            batch.column(field.name).cast(field.type)
            if field.name in batch.schema.names
            else pa.nulls(batch.num_rows, field.type)
            for field in shape
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=shape)
