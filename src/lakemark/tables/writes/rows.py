"""Writing rows: create, append, overwrite.

Values are never changed on the way in (`lakemark.tables.writes.casts`), the checks that a table declares see the rows
first, and what breaks a rule of the table is shown. A write commits all of its rows or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties
from lakemark.tables.reading import TableReader
from lakemark.tables.writes.casts import StrictStream, arrow_reader, storable_schema
from lakemark.tables.writes.constraints import GENERATED, Rule, explained, generated_columns
from lakemark.tables.writes.expressions import check_predicate, exact_predicate, expression_type
from lakemark.tables.writes.guards import Guarded, admit
from lakemark.tables.writes.properties import PROPERTIES, check_properties
from lakemark.tables.writes.retries import is_replayable, retried
from lakemark.tables.writes.schemas import generated_schema, merged_schema
from lakemark.tables.writes.targets import (
    check_folder,
    check_latest,
    open_target,
    refuse_binary_partitions,
    refuse_identity,
)

__all__ = ["Layout", "append", "create", "overwrite", "rewrite"]

_MERGE = "schema_mode='merge' (--schema-mode merge) adds new columns, and fills missing ones with nulls"
_REPLACE = "schema_mode='overwrite' (--replace-schema) takes the columns of the data"

SchemaMode: TypeAlias = Literal["merge", "overwrite"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a new table is, beside its rows.

    Parameters
    ----------
    partition_by : sequence of str
        Columns whose values become folders.
    generated : mapping of str to str, optional
        Columns that the writer computes, and the SQL that they are computed by.
    properties : mapping of str to str, optional
        Beside, or instead of, those that every new table gets.
    comment : str, optional
        What the table is.
    """

    partition_by: Sequence[str] = ()
    generated: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class _Write:
    """One write to a table that is there."""

    stream: StrictStream
    mode: Literal["append", "overwrite"]
    schema_mode: SchemaMode | None = None
    where: str | None = None
    guarded: bool = True

    @property
    def replaces(self) -> bool:
        return self.mode == "overwrite" and self.where is None


def create(target: TableReader, data: ArrowStream | pa.Schema, layout: Layout, *, commit: Commit | None = None) -> int:
    """Make a table and return its version; the public face is `Table.create`."""
    check_latest(target)
    check_folder(target.uri)
    check_properties(layout.properties or {})
    rows = None if isinstance(data, pa.Schema) else arrow_reader(data)
    schema = data if rows is None else rows.schema
    refuse_identity(schema, target.uri)
    schema = generated_schema(storable_schema(schema), _generated(schema, layout.generated or {}))
    _check_partitions(layout.partition_by, schema)
    if target.exists():
        raise ConflictError(
            f"there is a table at {target.uri} already",
            hint=f"lakemark tables append {target.uri} FILE adds rows to it",
        )
    own = [name for name in layout.properties or {} if not name.startswith("delta.")]
    if rows is not None and not layout.generated and not own:
        _create_filled(target, StrictStream(rows, partitions=layout.partition_by), layout, commit=commit)
        return 0
    with translated(target.uri):
        DeltaTable.create(
            target.uri,
            schema,
            mode="error",
            partition_by=list(layout.partition_by),
            description=layout.comment,
            configuration={**PROPERTIES, **(layout.properties or {})},
            commit_properties=commit_properties(commit, alone=True),
            post_commithook_properties=KEEP_LOG,
            raise_if_key_not_exists=False,
        )
    return 0 if rows is None else _fill(target, rows, commit=commit)


def append(
    target: TableReader,
    data: ArrowStream,
    *,
    schema_mode: Literal["merge"] | None = None,
    commit: Commit | None = None,
) -> int:
    """Add rows and return the version that has them; the public face is `Table.append`."""
    _check_mode(schema_mode, "merge")

    def write() -> int:
        table = open_target(target)
        source = arrow_reader(data)
        schema = pa.schema(table.schema().to_arrow())
        if schema_mode is None:
            return _commit(table, _Write(_strict(source, schema, table, hint=_MERGE), "append"), commit=commit)
        with translated(target.uri):
            empty = not table.file_uris()
        wanted = merged_schema(schema, source.schema, widen=empty)
        stream = _strict(source, wanted, table, fill_nulls=True)
        if wanted.names == schema.names and wanted.types == schema.types:
            return _commit(table, _Write(stream, "append"), commit=commit)
        if empty and wanted.types[: len(schema)] != schema.types:
            return _commit(table, _Write(stream, "overwrite", "overwrite"), commit=commit)
        return _commit(table, _Write(stream, "append", "merge"), commit=commit)

    return retried(write, replayable=is_replayable(data))


def overwrite(
    target: TableReader,
    data: ArrowStream,
    *,
    where: str | None = None,
    schema_mode: Literal["overwrite"] | None = None,
    commit: Commit | None = None,
) -> int:
    """Replace rows and return the version that has the new ones; the public face is `Table.overwrite`."""
    _check_mode(schema_mode, "overwrite")
    if where is not None and schema_mode is not None:
        raise InvalidInputError(
            "where replaces some rows and schema_mode='overwrite' the columns of all: both can't be",
            hint="give one of them",
        )

    def write() -> int:
        table = open_target(target)
        source = arrow_reader(data)
        partitions = table.metadata().partition_columns
        if schema_mode is not None:
            refuse_identity(source.schema, target.uri)
            _check_partitions(partitions, storable_schema(source.schema))
            stream = StrictStream(source, partitions=partitions)
            return _commit(table, _Write(stream, "overwrite", "overwrite"), commit=commit)
        if where is not None:
            check_predicate(table, where)
        stream = _strict(source, pa.schema(table.schema().to_arrow()), table, hint=_REPLACE if where is None else None)
        return _commit(table, _Write(stream, "overwrite", where=where), commit=commit)

    return retried(write, replayable=is_replayable(data))


def rewrite(table: DeltaTable, rows: pa.RecordBatchReader, schema: pa.Schema, *, commit: Commit | None) -> int:
    """Write all rows of the version that is open anew, with another schema, unless anybody has committed since.

    The checks that the table declares are not asked: no row changes.

    Raises
    ------
    ConflictError
        If anybody has.
    """
    stream = StrictStream(rows, schema, partitions=table.metadata().partition_columns)
    return _commit(table, _Write(stream, "overwrite", "overwrite", guarded=False), commit=commit)


def _strict(
    source: pa.RecordBatchReader,
    schema: pa.Schema,
    table: DeltaTable,
    *,
    hint: str | None = None,
    fill_nulls: bool = False,
) -> StrictStream:
    """Return the rows with the table's types; where columns do not match, the hint is what else can be done."""
    try:
        return StrictStream(
            source,
            schema,
            fill_nulls=fill_nulls,
            computed=generated_columns(table),
            partitions=table.metadata().partition_columns,
        )
    except InvalidInputError as error:
        if hint is None or "missing" not in error.context:
            raise
        raise InvalidInputError(error.message, hint=f"{error.hint}; or {hint}", **error.context) from None


def _commit(table: DeltaTable, write: _Write, *, commit: Commit | None) -> int:
    """Write, and return the new version."""
    also = [] if write.where is None else [Rule("where", write.where)]
    try:
        rows, metadata = write.stream.reader(), None
        if write.guarded:
            admitted = admit(table, Guarded(rows, replaces=write.replaces, where=write.where))
            rows, metadata = admitted.rows, admitted.metadata
        # alone: otherwise rows that were appended since would live on beside those that replace all
        said = commit_properties(commit, metadata=metadata, alone=write.replaces)
        with explained(table, also=also):
            if write.mode == "append":
                write_deltalake(
                    table,
                    rows,
                    mode="append",
                    schema_mode=write.schema_mode,
                    commit_properties=said,
                    post_commithook_properties=KEEP_LOG,
                )
            else:
                write_deltalake(
                    table,
                    rows,
                    mode="overwrite",
                    schema_mode=write.schema_mode,
                    predicate=None if write.where is None else exact_predicate(table, write.where),
                    commit_properties=said,
                    post_commithook_properties=KEEP_LOG,
                )
    except LakemarkError:
        if write.stream.failure is not None:
            raise write.stream.failure from None
        raise
    return table.version()


def _create_filled(target: TableReader, stream: StrictStream, layout: Layout, *, commit: Commit | None) -> None:
    try:
        with translated(target.uri):
            write_deltalake(
                target.uri,
                stream.reader(),
                mode="error",
                partition_by=list(layout.partition_by) or None,
                description=layout.comment,
                configuration={**PROPERTIES, **(layout.properties or {})},
                commit_properties=commit_properties(commit, alone=True),  # else both of two creators win
                post_commithook_properties=KEEP_LOG,
            )
    except LakemarkError:
        if stream.failure is not None:
            raise stream.failure from None
        raise


def _fill(target: TableReader, rows: pa.RecordBatchReader, *, commit: Commit | None) -> int:
    """Append to a table that was made a moment ago; where that fails, say that it is there."""
    try:
        return append(target, rows, commit=commit)
    except LakemarkError as error:
        left = f"{target.uri} was made and is empty: lakemark tables append {target.uri} FILE adds corrected rows"
        error.hint = f"{error.hint}; {left}" if error.hint else left
        raise


def _generated(schema: pa.Schema, generated: Mapping[str, str]) -> Mapping[str, pa.Field]:
    """Return the fields of generated columns; the type of one that the schema lacks is that of its expression."""
    others = pa.schema([field for field in storable_schema(schema) if field.name not in generated])
    fields = {}
    for name, expression in generated.items():
        found = storable_schema(pa.schema([(name, expression_type(others, expression, name=name))])).field(0).type
        kind = storable_schema(schema).field(name).type if name in schema.names else found
        if kind != found:
            raise InvalidInputError(
                f"generated column {name!r} is {kind} in the schema and its expression gives {found}: {expression}",
                hint="cast in the expression, or leave the column out of the schema",
            )
        fields[name] = pa.field(name, kind, metadata={GENERATED: expression})
    return fields


def _check_mode(mode: str | None, allowed: str) -> None:
    if mode not in (None, allowed):
        raise InvalidInputError(f"schema_mode is {mode!r}, and may be None or {allowed!r}", hint="leave it out")


def _check_partitions(partition_by: Sequence[str], schema: pa.Schema) -> None:
    """Raise for a column to partition by that is not there, or whose values cannot be the names of folders."""
    for name in partition_by:
        if name not in schema.names:
            close = nearest(name, schema.names)
            raise InvalidInputError(
                f"partition column {name!r} is not in the data" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(schema.names)}",
            )
        if pa.types.is_decimal(schema.field(name).type):  # deltalake writes -0.25 as 0.-25: the table is lost
            raise InvalidInputError(
                f"partition column {name!r} is of type {schema.field(name).type}: deltalake cannot write the folders "
                "of negative fractions",
                hint="partition by a text or an integer",
            )
    refuse_binary_partitions(partition_by, schema)
