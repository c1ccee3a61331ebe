"""Changing rows that are there: delete, update, merge; and going back to an older version.

Each reads the latest version, works out the change and commits it if no other commit contradicts; else all of it is
done again on the version that is the latest then. What `deltalake` would change silently is refused (casts of update
expressions, and of the rows of a merge).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.table import TableMerger

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties
from lakemark.tables.log.manifest import location
from lakemark.tables.quoting import quoted
from lakemark.tables.reading import TableReader
from lakemark.tables.writes.casts import StrictStream, arrow_reader
from lakemark.tables.writes.constraints import explained, generated_columns
from lakemark.tables.writes.expressions import (
    cast_to,
    check_assignments,
    check_predicate,
    count_rows,
    exact,
    exact_predicate,
    select,
)
from lakemark.tables.writes.guards import Guarded, admit
from lakemark.tables.writes.properties import PROPERTIES
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.targets import check_latest, open_target

__all__ = ["Changed", "MergeRule", "count", "delete", "merge", "restore", "update"]

Matched: TypeAlias = Literal["update", "ignore", "delete"]
Unmatched: TypeAlias = Literal["insert", "ignore"]
UnmatchedBySource: TypeAlias = Literal["keep", "delete"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Changed:
    """What a delete, an update or a merge did.

    Parameters
    ----------
    version : int
        The version that has the change; where no row was touched, the one that was there.
    inserted, updated, deleted : int
        Rows.
    """

    version: int
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class MergeRule:
    """What a merge does with rows that match, and with those that do not.

    Parameters
    ----------
    on : sequence of str, or str
        Columns that are equal where rows match; or SQL over `target` and `source`.
    matched : {"update", "ignore", "delete"}
        What becomes of rows of the table that the data has too.
    unmatched : {"insert", "ignore"}
        What becomes of rows that only the data has.
    unmatched_by_source : {"keep", "delete"}
        What becomes of rows that only the table has.

    Raises
    ------
    InvalidInputError
        For other values, and for a rule by which nothing is ever done.
    """

    on: Sequence[str] | str
    matched: Matched = "update"
    unmatched: Unmatched = "insert"
    unmatched_by_source: UnmatchedBySource = "keep"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("matched", ("update", "ignore", "delete")),
            ("unmatched", ("insert", "ignore")),
            ("unmatched_by_source", ("keep", "delete")),
        ):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(
                    f"{name} is {getattr(self, name)!r}, and may be {', '.join(allowed)}", hint="leave it out"
                )
        if (self.matched, self.unmatched, self.unmatched_by_source) == ("ignore", "ignore", "keep"):
            raise InvalidInputError("such a merge does nothing", hint="take matched='update' or unmatched='insert'")
        if not self.on:
            raise InvalidInputError("a merge needs to know which rows match", hint="give on=['id'], say")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that are compared; none where there is SQL."""
        return () if isinstance(self.on, str) else tuple(self.on)

    @property
    def needs_all_columns(self) -> bool:
        """True if rows of the data are written."""
        return self.matched == "update" or self.unmatched == "insert"

    @property
    def is_upsert(self) -> bool:
        """True if the rows just replace those of their keys, so that the table after the merge is known before it."""
        kinds = (self.matched, self.unmatched, self.unmatched_by_source)
        return bool(self.keys) and kinds == ("update", "insert", "keep")

    def predicate(self) -> str:
        """Return the SQL that is true for rows that match."""
        if isinstance(self.on, str):
            return exact(self.on)
        return " AND ".join(f"target.{quoted(name)} = source.{quoted(name)}" for name in self.on)


def count(target: TableReader, where: str | None = None) -> int:
    """Return how many rows a predicate is true for; the public face is `Table.count`."""
    table = target.open()
    if where is not None:
        check_predicate(table, where)
    return count_rows(table, where)


def delete(target: TableReader, where: str | None, *, commit: Commit | None = None) -> Changed:
    """Delete rows; the public face is `Table.delete`."""

    def write() -> Changed:
        table = open_target(target)
        if where is not None:
            check_predicate(table, where)
        before = table.version()
        with explained(table):
            # alone where all goes: such a delete reads no file, so deltalake would not see that they were compacted
            metrics = table.delete(
                None if where is None else exact_predicate(table, where),
                commit_properties=commit_properties(commit, alone=where is None),
                post_commithook_properties=KEEP_LOG,
            )
        deleted = metrics.get("num_deleted_rows")
        if deleted is None:  # the log of foreign files may not say how many rows they had
            deleted = count_rows(target.open(version=before), where)
        return Changed(table.version(), deleted=int(deleted))

    return retried(write)


def update(
    target: TableReader, assignments: Mapping[str, str], where: str | None, *, commit: Commit | None = None
) -> Changed:
    """Change values; the public face is `Table.update`."""
    if not assignments:
        raise InvalidInputError("an update needs columns to set", hint="give set={'price': 'price * 2'}, say")

    def write() -> Changed:
        table = open_target(target)
        if where is not None:
            check_predicate(table, where)
        check_assignments(table, assignments, where=where)
        metadata = _admit_updated(table, assignments, where)
        with explained(table):
            metrics = table.update(
                updates={quoted(name): exact(expression) for name, expression in assignments.items()},
                predicate=None if where is None else exact_predicate(table, where),
                commit_properties=commit_properties(commit, metadata=metadata),
                post_commithook_properties=KEEP_LOG,
            )
        return Changed(table.version(), updated=int(metrics["num_updated_rows"]))

    return retried(write)


def merge(target: TableReader, data: ArrowStream, rule: MergeRule, *, commit: Commit | None = None) -> Changed:
    """Merge rows; the public face is `Table.merge`."""
    check_latest(target)
    source = arrow_reader(data).read_all()  # held, so that it can be merged again after a lost race

    def write() -> Changed:
        table = open_target(target)
        rows = _merge_rows(table, source, rule)
        admitted = None
        if rule.needs_all_columns:
            admitted = admit(table, Guarded(rows.to_reader(), on=rule.keys, whole=rule.is_upsert))
        rows = rows if admitted is None else admitted.rows.read_all()
        with explained(table):
            merger = table.merge(
                rows,
                predicate=rule.predicate(),
                source_alias="source",
                target_alias="target",
                streamed_exec=False,
                commit_properties=commit_properties(commit, metadata=admitted.metadata if admitted else None),
                post_commithook_properties=KEEP_LOG,
            )
            metrics = _with_clauses(merger, rule, rows.column_names).execute()
        return Changed(
            table.version(),
            inserted=int(metrics["num_target_rows_inserted"]),
            updated=int(metrics["num_target_rows_updated"]),
            deleted=int(metrics["num_target_rows_deleted"]),
        )

    return retried(write)


def restore(
    target: TableReader,
    version: int | None = None,
    *,
    timestamp: datetime | str | None = None,
    commit: Commit | None = None,
) -> int:
    """Make an older version the latest; the public face is `Table.restore`."""
    if (version is None) == (timestamp is None):
        raise InvalidInputError("restore needs a version or a timestamp, and not both", hint="see the history")
    check_latest(target)

    def write() -> int:
        table = open_target(target)
        wanted = target.open(version=version, timestamp=timestamp).version()
        if wanted == table.version():
            return wanted
        known = dict(table.metadata().configuration)
        try:
            with translated(target.uri):
                table.restore(
                    wanted,
                    commit_properties=commit_properties(commit, alone=True),
                    post_commithook_properties=KEEP_LOG,
                )
        except LakemarkError as error:
            if "missing" in str(error).lower() or "not found" in str(error).lower():
                raise NotFoundError(
                    f"version {wanted} of {target.uri} cannot be restored: files of it are gone",
                    hint=f"lakemark tables pins {target.uri} says which pinned versions are whole",
                ) from error
            raise
        _keep_readable(table, known, commit=commit)
        return table.version()

    return retried(write)


def _keep_readable(table: DeltaTable, before: Mapping[str, str], *, commit: Commit | None) -> None:
    """Set the properties again that keep old versions readable: going back took them back too."""
    now = table.metadata().configuration
    lost = {name: before[name] for name in PROPERTIES if name in before and now.get(name) != before[name]}
    if lost:
        with translated(location(table.table_uri)):
            table.alter.set_table_properties(
                lost, commit_properties=commit_properties(commit), post_commithook_properties=KEEP_LOG
            )


def _admit_updated(table: DeltaTable, assignments: Mapping[str, str], where: str | None) -> Mapping[str, str]:
    """Let the table's checks see the rows as they will be, and return what the commit shall say."""
    schema = pa.schema(table.schema().to_arrow())
    columns = [
        f"{cast_to(assignments[field.name], field)} AS {quoted(field.name)}"
        if field.name in assignments
        else quoted(field.name)
        for field in schema
    ]
    stream = StrictStream(select(table, columns, where=where), schema)
    return admit(table, Guarded(stream.reader(), replaces=where is None, where=where)).metadata


def _merge_rows(table: DeltaTable, source: pa.Table, rule: MergeRule) -> pa.Table:
    """Return the rows of a merge with the types of the table, each key once and not null."""
    schema = pa.schema(table.schema().to_arrow())
    for name in rule.keys:
        if name not in schema.names:
            close = nearest(name, schema.names)
            raise InvalidInputError(
                f"the table has no column {name!r} to merge on" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its columns are {', '.join(schema.names)}",
            )
    if not rule.needs_all_columns:
        schema = pa.schema([field for field in schema if field.name in source.column_names])
        source = source.select([name for name in source.column_names if name in schema.names])
    stream = StrictStream(
        source, schema, computed=generated_columns(table), partitions=table.metadata().partition_columns
    )
    rows = pa.Table.from_batches(stream.batches(), stream.schema)
    if rule.keys:
        _check_keys(rows, rule.keys)
    return rows


def _check_keys(rows: pa.Table, keys: Sequence[str]) -> None:
    """Raise for keys that are null, which match nothing, or there twice, of which one would have to win."""
    missing = [name for name in keys if name not in rows.column_names]
    if missing:
        raise InvalidInputError(
            f"column {missing[0]!r} is missing in the data", hint=f"rows are matched by {', '.join(keys)}"
        )
    for name in keys:
        if rows[name].null_count:
            found = pc.indices_nonzero(pc.is_null(rows[name])).to_pylist()
            raise InvalidInputError(
                f"key {name!r} is null in {len(found)} rows of the data, the first at row {found[0]}: "
                "a null matches no row, so each merge would insert them again",
                hint="leave such rows out, or append them",
            )
    counted = rows.select(list(keys)).group_by(list(keys)).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).select(list(keys))
    if twice.num_rows:
        shown = ", ".join(
            " ".join(f"{name}={value!r}" for name, value in row.items()) for row in twice.slice(0, _SHOWN).to_pylist()
        )
        more = f" and {twice.num_rows - _SHOWN} more" if twice.num_rows > _SHOWN else ""
        raise InvalidInputError(
            f"the data has several rows for the same key: {shown}{more}", hint="leave one row for each key"
        )


def _with_clauses(merger: TableMerger, rule: MergeRule, names: Sequence[str]) -> TableMerger:
    values = {f"target.{quoted(name)}": f"source.{quoted(name)}" for name in names}
    if rule.matched == "update":
        merger = merger.when_matched_update(values)
    elif rule.matched == "delete":
        merger = merger.when_matched_delete()
    if rule.unmatched == "insert":
        merger = merger.when_not_matched_insert(values)
    return merger.when_not_matched_by_source_delete() if rule.unmatched_by_source == "delete" else merger
