"""What differs between two versions of a table, or between two tables: columns, rows, nulls and means.

Only the files that the versions do not share are read. The cost grows with what changed, not with the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError
from lakemark.tables.differences.alignment import SchemaDifference, align
from lakemark.tables.differences.comparison import Change, Comparison, Counts
from lakemark.tables.differences.files import plain_files
from lakemark.tables.differences.moments import Moments, measure
from lakemark.tables.failures import translated
from lakemark.tables.log.manifest import Manifest, ManifestFile, local_folder, observe
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.scan import reads_files, scan_files

__all__ = [
    "Change",
    "ColumnStatistics",
    "Counts",
    "Difference",
    "Examples",
    "Figure",
    "FilesRead",
    "Scope",
    "Side",
    "diff",
]

_STATISTICS = ("changed", "all", "none")


class Scope(StrEnum):
    """Which rows a figure is of."""

    VERSION = "version"
    DIFFERING = "differing files"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions.

    Parameters
    ----------
    uri : str
        Where the table is.
    name : str or None
        What the catalog calls it.
    table_id : str
        The id in its metadata.
    version : int
        The version.
    rows : int or None
        Rows of the whole version, None where the log does not know.
    """

    uri: str
    name: str | None
    table_id: str
    version: int
    rows: int | None

    def __str__(self) -> str:
        return f"{self.name or self.uri}@{self.version}"


@dataclass(frozen=True, slots=True)
class FilesRead:
    """Which files the versions share, and what was read.

    Parameters
    ----------
    shared : int
        Files that are in both versions with the same rows.
    before, after : int
        Files that are in one of them only; all of these are read.
    bytes : int
        Size of the files that were read; less is read of them where only some columns are compared.
    """

    shared: int
    before: int
    after: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of both versions.

    Parameters
    ----------
    scope : Scope
        Of which rows: of the whole versions, or of the files that differ.
    before, after : float or None
        The numbers; None where there are no values.
    """

    scope: Scope
    before: float | None
    after: float | None

    @property
    def delta(self) -> float | None:
        """By how much it moved; None if either is missing."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def moved(self) -> bool:
        """True unless both are the same; NaN is the same as NaN."""
        both_nan = all(isinstance(one, float) and math.isnan(one) for one in (self.before, self.after))
        return not both_nan and self.before != self.after


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What moved in one column.

    Parameters
    ----------
    column : str
        Its name.
    nulls : Figure
        Number of nulls.
    null_rate : Figure
        Nulls by rows, from 0 to 1.
    mean : Figure or None
        Mean of the values that are neither null nor NaN, exact and correctly rounded; None for what is no number.
    """

    column: str
    nulls: Figure
    null_rate: Figure
    mean: Figure | None

    @property
    def moved(self) -> bool:
        """True if any figure moved."""
        return self.nulls.moved or self.null_rate.moved or (self.mean is not None and self.mean.moved)


@dataclass(frozen=True, slots=True)
class Examples:
    """The first rows that differ; columns as `Difference.rows` gives them."""

    added: pa.Table
    removed: pa.Table
    changed: pa.Table


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What `diff` found. It keeps the rows that differ in a temporary folder until it is closed or forgotten.

    Parameters
    ----------
    before, after : Side
        The versions.
    schema : SchemaDifference
        Columns that were added, removed or changed their type.
    key : tuple of str or None
        What named a row; None if whole rows were compared.
    compared : tuple of str
        The columns whose values were compared.
    counts : Counts
        Rows added, removed and changed.
    files : FilesRead
        What was read.
    statistics : tuple of ColumnStatistics
        One for each compared column; empty if none were asked for.
    examples : Examples
        The first rows.
    """

    before: Side
    after: Side
    schema: SchemaDifference
    key: tuple[str, ...] | None
    compared: tuple[str, ...]
    counts: Counts
    files: FilesRead
    statistics: tuple[ColumnStatistics, ...]
    examples: Examples = field(repr=False)
    _comparison: Comparison = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.schema or self.counts.added or self.counts.removed or self.counts.changed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, change: str | None = None) -> pa.RecordBatchReader:
        """Return all rows that differ as a stream, in the order of the key, or of all columns where there is none.

        Parameters
        ----------
        change : {"added", "removed", "changed"}, optional
            Which rows; without it all.

        Returns
        -------
        pyarrow.RecordBatchReader
            Added rows have the columns of the later version, removed rows those of the earlier one. Changed rows, and
            all rows together, come as `change`, `columns` (the names of those that changed), `before` and `after`
            (structs of the whole row, null where there is none).
        """
        kind = None if change is None else _change(change)
        return pa.RecordBatchReader.from_batches(self._comparison.schema(kind), self._comparison.stream(kind))

    def close(self) -> None:
        """Delete the temporary folder; `rows` works no more."""
        self._comparison.scratch.close()


def diff(
    before: TableReader,
    after: TableReader,
    *,
    key: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    statistics: str = "changed",
    limit: int = 5,
) -> Difference:
    """Compare two versions of a table, or two tables.

    Parameters
    ----------
    before, after : TableReader
        Each is read at its version `at`, else at the latest.
    key : sequence of str, optional
        Columns that name a row. A null is a value like any other. Without it whole rows are compared, each as often as
        it is there, and no row counts as changed.
    columns : sequence of str, optional
        Compare these (and the key) only; without it all that both versions have.
    statistics : {"changed", "all", "none"}
        Null rates and means. "changed" reads no more for them: numbers of nulls are of the whole version where the log
        knows them, all else is of the files that differ. "all" reads the shared files too.
    limit : int, default 5
        How many examples of each kind of row.

    Returns
    -------
    Difference
        False if nothing differs.

    Raises
    ------
    NotFoundError
        For no such table, version or column.
    InvalidInputError
        If the key is not unique among the rows of the files that differ, or the column's types cannot be compared.
    StorageError
        If a data file is gone, or the disk for temporary files is full.

    Notes
    -----
    Files count as shared if they are at the same place, of the same size and have the same rows deleted. Where columns
    are mapped (or rows are deleted by vectors) and the schema changed, whole versions are compared. Memory is bounded.
    The rows that differ go to the folder for temporary files; where DuckDB cannot read the files that differ as they
    are (`lakemark.tables.differences.files`), so do all of their rows.
    """
    if statistics not in _STATISTICS:
        raise InvalidInputError(f"statistics={statistics!r} is not one of {', '.join(_STATISTICS)}")
    if limit < 0:
        raise InvalidInputError(f"limit={limit} is below 0", hint="0 gives no examples")
    if isinstance(key, str) or isinstance(columns, str):
        raise InvalidInputError("key and columns are lists of columns", hint="write key=['id']")
    versions = (_Version.open(before), _Version.open(after))
    shared, only = _split_files(versions)
    alignment = align(versions[0].schema, versions[1].schema, key=key or None, columns=columns)
    comparison = Comparison(alignment, tuple(dict.fromkeys(key)) if key else None)
    names = alignment.compared.names
    measured: list[dict[str, Moments]] = [{}, {}]
    schemas = (alignment.before, alignment.after)
    wanted = [] if statistics == "none" else names
    for version, entries, schema, moments, place in zip(
        versions, only, schemas, measured, ("before", "after"), strict=True
    ):
        files = version.plain_files(entries, schema)
        if files is None:
            comparison.load(place, _measured(version.rows(entries, schema), wanted, moments))
            continue
        looked = pa.schema([field for field in schema if field.name in (*wanted, *(comparison.key or ()))])
        rows = version.rows(entries, looked) if looked.names else iter(())
        comparison.attach(place, files, _measured(rows, wanted, moments))
    counts = comparison.compare(names=(str(versions[0].side), str(versions[1].side)))
    scopes = _Scopes(versions[1], shared)
    if statistics == "all":
        scopes.read(alignment.compared)
    read = [*only[0], *only[1], *(shared if statistics == "all" else ())]
    return Difference(
        before=versions[0].side,
        after=versions[1].side,
        schema=alignment.difference,
        key=comparison.key,
        compared=tuple(names),
        counts=counts,
        files=FilesRead(len(shared), len(only[0]), len(only[1]), sum(entry.size for entry in read)),
        statistics=() if statistics == "none" else tuple(scopes.describe(name, measured) for name in names),
        examples=_examples(comparison, limit),
        _comparison=comparison,
    )


def _change(text: str) -> Change:
    if text not in tuple(Change):
        raise InvalidInputError(f"{text!r} is not one of {', '.join(Change)}")
    return Change(text)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version that is open."""

    reader: TableReader
    table: DeltaTable
    manifest: Manifest
    schema: pa.Schema

    @classmethod
    def open(cls, reader: TableReader) -> _Version:
        table = reader.open()
        with translated(reader.uri):
            schema = pa.schema(table.schema().to_arrow())
            return cls(reader, table, observe(table), schema)

    @property
    def side(self) -> Side:
        known = self.manifest
        return Side(self.reader.uri, self.reader.name, known.table_id, known.version, known.rows)

    def rows(self, entries: Sequence[ManifestFile], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some files, as the types of `schema`."""
        if not entries:
            return
        with translated(self.reader.uri):
            for batch in scan_files(self.table, entries, columns=schema.names):
                columns = [column.cast(kind.type) for column, kind in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def plain_files(self, entries: Sequence[ManifestFile], schema: pa.Schema) -> list[Path] | None:
        """Return the files where DuckDB reads from them what `rows` yields, else None."""
        folder = local_folder(self.reader.uri)
        return plain_files(entries, schema, folder=folder) if folder and reads_files(self.table) else None

    def place(self, entry: ManifestFile) -> str:
        """Return where a file is, whichever table names it."""
        folder = local_folder(self.reader.uri)
        if folder is not None:
            return str(entry.locate(folder))
        return entry.path if "://" in entry.path else f"{self.reader.uri}/{entry.path}"

    def identity(self, entry: ManifestFile) -> object:
        """Return what says which rows a file gives."""
        values = tuple(sorted(entry.partition_values.items()))
        return self.place(entry), entry.size, entry.deletion_vector, values


def _split_files(
    versions: tuple[_Version, _Version],
) -> tuple[tuple[ManifestFile, ...], tuple[tuple[ManifestFile, ...], tuple[ManifestFile, ...]]]:
    """Return the files that both versions have, and those that each alone has."""
    before, after = ({version.identity(entry): entry for entry in version.manifest.entries} for version in versions)
    same = before.keys() & after.keys()
    one, other = (version.manifest for version in versions)
    alike = one.table_id == other.table_id and json.loads(one.schema_json) == json.loads(other.schema_json)
    if not alike and not all(reads_files(version.table) for version in versions):
        same = set()  # what a file's columns are called may have changed
    shared = tuple(entry for identity, entry in after.items() if identity in same)
    alone = [tuple(entry for identity, entry in files.items() if identity not in same) for files in (before, after)]
    return shared, (alone[0], alone[1])


def _measured(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], moments: dict[str, Moments]
) -> Iterator[pa.RecordBatch]:
    """Hand on the rows, and add what they are like to `moments`."""
    for batch in batches:
        for name in names:
            moments[name] = moments.get(name, Moments()) + measure(batch.column(name))
        yield batch


class _Scopes:
    """Puts together what was measured, and what is known of the shared files."""

    def __init__(self, version: _Version, shared: Sequence[ManifestFile]) -> None:
        self._version, self._shared = version, shared
        self._moments: dict[str, Moments] = {}
        self._all_read = not shared
        rows = [entry.rows for entry in shared]
        self._rows = None if any(entry.deletion_vector for entry in shared) else _sum(rows)
        self._nulls: Mapping[str, list[int | None]] = {} if self._rows is None else self._log_nulls()

    def read(self, schema: pa.Schema) -> None:
        """Measure the shared files too."""
        for _ in _measured(self._version.rows(self._shared, schema), schema.names, self._moments):
            pass
        self._all_read = True

    def describe(self, name: str, measured: Sequence[Mapping[str, Moments]]) -> ColumnStatistics:
        more = self._moments.get(name, Moments())
        before, after = (side.get(name, Moments()) + more for side in measured)
        scope = Scope.VERSION if self._all_read else Scope.DIFFERING
        mean = None if before.total is None and after.total is None else Figure(scope, before.mean, after.mean)
        known = None if self._all_read else _sum(self._nulls.get(name, [None]))
        if known is not None and self._rows is not None:
            scope = Scope.VERSION
            before, after = (side + Moments(rows=self._rows, nulls=known) for side in (before, after))
        return ColumnStatistics(
            column=name,
            nulls=Figure(scope, before.nulls, after.nulls),
            null_rate=Figure(scope, _rate(before), _rate(after)),
            mean=mean,
        )

    def _log_nulls(self) -> Mapping[str, list[int | None]]:
        """Return the numbers of nulls of each shared file, for plain columns, None where the log does not know."""
        with translated(self._version.reader.uri):
            actions = self._version.table.get_add_actions(flatten=True)
        paths = {entry.path for entry in self._shared}
        kept = [place for place, path in enumerate(actions.column("path").to_pylist()) if path in paths]
        found: dict[str, list[int | None]] = {}
        partitions = self._version.manifest.partition_columns
        for column in self._version.schema:
            if column.name in partitions:
                rows = [(entry.rows or 0, entry.partition_values.get(column.name)) for entry in self._shared]
                found[column.name] = [count if value is None else 0 for count, value in rows]
            elif f"null_count.{column.name}" in actions.column_names and not pa.types.is_nested(column.type):
                counts = actions.column(f"null_count.{column.name}").to_pylist()
                found[column.name] = [counts[place] for place in kept]
        return found


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _rate(moments: Moments) -> float | None:
    return moments.nulls / moments.rows if moments.rows else None


def _examples(comparison: Comparison, limit: int) -> Examples:
    tables = [
        pa.Table.from_batches(comparison.stream(change, limit=limit), comparison.schema(change))
        for change in (Change.ADDED, Change.REMOVED, Change.CHANGED)
    ]
    return Examples(*tables)
