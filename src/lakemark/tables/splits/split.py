"""Splits as data: which rows of a version are for training, validation and test, as a rule that can be stored.

A split is of one version of one table. Its document, canonical JSON of format `lakemark.split/1`, gives the same parts
again on any machine, and says how many rows each had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa

from lakemark._base.canonical import Json
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError, nearest
from lakemark.tables.cells import type_name
from lakemark.tables.failures import translated
from lakemark.tables.fingerprint import Frame, fingerprint
from lakemark.tables.reading import TableReader
from lakemark.tables.reads.scan import check_columns
from lakemark.tables.scratch import Scratch
from lakemark.tables.splits.assignment import Assignment, Method, Places, cumulative, hash_bounds, instant, microseconds
from lakemark.tables.splits.leaks import check_leaks

__all__ = ["FORMAT", "Boundary", "Splits", "from_document", "split"]

FORMAT = "lakemark.split/1"
_MOST_PARTS = 32

Boundary: TypeAlias = float | datetime | str | None
"""The share of a part, or the instant at which it ends; None for the last part of a split by instants."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The parts of one version of a table.

    Parameters
    ----------
    table : TableReader
        The table, at the version.
    table_id : str
        The id in its metadata.
    assignment : Assignment
        Which row is in which part.
    counts : mapping of str to int
        Rows of each part, in order.
    shares : tuple of float or None
        What was asked for, None for parts that end at a given instant.
    hashes : mapping of str to str
        `lmfp1`'s unordered hash of each part; empty if it was not asked for.
    """

    table: TableReader
    table_id: str
    assignment: Assignment
    counts: Mapping[str, int]
    shares: tuple[float | None, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, in order."""
        return self.assignment.names

    @property
    def version(self) -> int:
        """The version of the table."""
        return cast("int", self.table.at)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the version."""
        return self.table.schema

    def part(self, name: str, *, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Return the rows of a part as a stream, in the order in which the table's rows are read.

        Parameters
        ----------
        name : str
            Which part.
        columns : sequence of str, optional
            Which columns, in this order; without it all.

        Raises
        ------
        NotFoundError
            For no such part or column.
        """
        if name not in self.names:
            close = nearest(name, self.names)
            raise NotFoundError(
                f"the split has no part {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"its parts are {', '.join(self.names)}",
            )
        schema = self.schema
        wanted = schema.names if columns is None else list(columns)
        check_columns(wanted, schema, uri=self.table.uri)
        kept = self.names.index(name)
        rows = (batch.filter(pa.array(places == kept)) for batch, places in self._read(wanted, order_by=None))
        batches = (batch.select(wanted) for batch in rows if batch.num_rows)
        return pa.RecordBatchReader.from_batches(pa.schema([schema.field(name) for name in wanted]), batches)

    def placed(self, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, Places]]:
        """Yield all rows in the order of files, and for each the number of its part.

        Parameters
        ----------
        columns : sequence of str
            Which columns; those that the split is by are there in any case.
        """
        return self._read(columns, order_by=())  # an order by a key costs a sort

    def _read(
        self, columns: Sequence[str], *, order_by: Sequence[str] | None
    ) -> Iterator[tuple[pa.RecordBatch, Places]]:
        needed = list(dict.fromkeys((*columns, *self.assignment.columns)))
        with translated(self.table.uri):
            for batch in self.table.batches(columns=needed, order_by=order_by):
                yield batch, self.assignment.places(batch)

    def assign(self, frame: Frame) -> pa.Array:
        """Return the name of each row's part, for an Arrow batch or table, or a pandas or polars frame."""
        return self.assignment.assign(frame)

    def to_document(self) -> dict[str, Json]:
        """Return what `from_document` needs, as JSON can say it.

        Notes
        -----
        `until` is where a part ends: the first hash beyond it as 16 hexadecimal digits, or the first instant.
        """
        ends: list[str | None] = [None] * len(self.names)
        by_hash = self.assignment.method is Method.HASH
        for place, bound in enumerate(self.assignment.bounds):
            ends[place] = f"{bound:016x}" if by_hash else instant(bound)
        parts: list[Json] = [
            {"name": name, "share": share, "until": end, "rows": self.counts[name], "unordered": self.hashes.get(name)}
            for name, share, end in zip(self.names, self.shares, ends, strict=True)
        ]
        return {
            "format": FORMAT,
            "table": {"uri": self.table.uri, "name": self.table.name, "id": self.table_id, "version": self.version},
            "by": str(self.assignment.method),
            "on": list(self.assignment.columns),
            "types": list(self.assignment.types),
            "salt": self.assignment.salt,
            "rows": sum(self.counts.values()),
            "parts": parts,
        }


def split(
    table: TableReader,
    parts: Mapping[str, Boundary],
    *,
    on: str | Sequence[str],
    by: str = "hash",
    salt: str = "",
    groups: Sequence[str] | None = None,
    hashes: bool = False,
) -> Splits:
    """Split the rows of a version into parts.

    Parameters
    ----------
    table : TableReader
        The table; without `at`, its latest version now.
    parts : mapping of str to float, datetime, str or None
        Names and shares, which are 1 together. By time also the instant at which each part ends (and the next begins):
        an aware datetime, or RFC 3339 text with its offset; None for the last part.
    on : str or sequence of str
        By hash: the columns whose values decide, so that rows with equal values are in one part. By time: the column.
    by : {"hash", "time"}
        By hash, a row's part never changes when rows are added, and shares hold on average. By time, shares are turned
        into instants once, from the times in this version; rows of one time stay together.
    salt : str, optional
        Any text; another text gives another split by hash.
    groups : sequence of str, optional
        Refuse the split if a group that these columns name is in two parts.
    hashes : bool, default False
        Hash the rows of each part too, which reads all columns once a part.

    Returns
    -------
    Splits
        With the number of rows of each part.

    Raises
    ------
    NotFoundError
        For no such table, version or column.
    InvalidInputError
        For shares that are not 1 together, instants that do not ascend, or a time that is null.
    LakemarkError
        If a group is in two parts; the first are shown.
    """
    columns = (on,) if isinstance(on, str) else tuple(on)
    opened = table.open()
    pinned = TableReader(table.uri, at=opened.version(), name=table.name)
    schema = pa.schema(opened.schema().to_arrow())
    _check(parts, columns, by=by, salt=salt)
    check_columns([*columns, *(groups or ())], schema, uri=table.uri)
    assignment = Assignment(
        method=Method(by),
        columns=columns,
        types=tuple(type_name(schema.field(name).type) for name in columns),
        names=tuple(parts),
        bounds=(),
        salt=salt,
    )
    shares = tuple(float(share) if isinstance(share, int | float) else None for share in parts.values())
    bare = Splits(pinned, str(opened.metadata().id), assignment, {}, shares)
    bounded = replace(bare, assignment=replace(assignment, bounds=_bounds(bare, list(parts.values()))))
    counted = replace(bounded, counts=_count(bounded))
    if groups:
        check_leaks(counted, groups=groups, features=()).enforce()
    if not hashes:
        return counted
    return replace(counted, hashes={name: fingerprint(counted.part(name)).unordered for name in counted.names})


def from_document(document: Mapping[str, Json], *, table: TableReader | None = None) -> Splits:
    """Return the split that a document describes, after a check that it gives the same numbers of rows.

    Parameters
    ----------
    document : mapping
        What `Splits.to_document` returned.
    table : TableReader, optional
        Where the table is now; without it where it was.

    Raises
    ------
    InvalidInputError
        If it is no such document.
    NotFoundError
        If the table or the version is gone.
    ConflictError
        If another table is in its place.
    StorageError
        If a part has another number of rows than it had.
    """
    known = _parse(document)
    at = known.version
    reader = TableReader((table or known.table).uri, at=at, name=(table or known.table).name)
    opened = reader.open()
    found_id = str(opened.metadata().id)
    if found_id != known.table_id:
        raise ConflictError(
            f"{reader.uri}@{at} is not the table that was split: its id is {found_id}, not {known.table_id}",
            hint="give the place where the table is now",
        )
    check_columns(known.assignment.columns, pa.schema(opened.schema().to_arrow()), uri=reader.uri)
    found = replace(known, table=reader)
    counts = _count(found)
    for name, number in counts.items():
        if number != known.counts[name]:
            raise StorageError(
                f"part {name!r} of {reader.uri}@{at} has {number} rows, it had {known.counts[name]}",
                hint="the table's files are not those that were split",
            )
    return found


def _check(parts: Mapping[str, Boundary], columns: Sequence[str], *, by: str, salt: str) -> None:
    if by not in tuple(Method):
        raise InvalidInputError(f"by={by!r} is not one of {', '.join(Method)}")
    if not 2 <= len(parts) <= _MOST_PARTS or "" in parts:
        raise InvalidInputError(
            f"a split has 2 to {_MOST_PARTS} parts with names, not {len(parts)}: {', '.join(map(repr, parts))}",
            hint="for example {'train': 0.8, 'test': 0.2}",
        )
    if not columns or len(set(columns)) < len(columns):
        raise InvalidInputError(f"on={list(columns)} must name one column or more, each once")
    if by == Method.TIME and len(columns) > 1:
        raise InvalidInputError(f"a split by time is by one column, not by {', '.join(columns)}")
    if by == Method.TIME and salt:
        raise InvalidInputError("a split by time takes no salt", hint="leave it out, or split by hash")


def _bounds(splits: Splits, given: Sequence[Boundary]) -> tuple[int, ...]:
    """Return where each part but the last ends."""
    shares = [share for share in given if isinstance(share, int | float)]
    if len(shares) == len(given):
        if splits.assignment.method is Method.HASH:
            return hash_bounds(shares)
        return _quantiles(splits, cumulative(shares))
    if splits.assignment.method is Method.HASH or shares or given[-1] is not None or None in given[:-1]:
        raise InvalidInputError(
            f"parts {', '.join(map(str, given))} are neither all shares nor, by time, ends and None for the last",
            hint="for example {'train': '2013-10-01T00:00:00Z', 'test': None} with by='time'",
        )
    ends = [int(microseconds(end)[0]) for end in given if isinstance(end, datetime | str)]
    if sorted(set(ends)) != ends:
        raise InvalidInputError(f"the ends {', '.join(map(instant, ends))} do not ascend")
    return tuple(ends)


def _quantiles(splits: Splits, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Return for each share the latest instant before which there are no more rows than that."""
    schema = pa.schema([("time", pa.int64())])
    rule = splits.assignment
    times = (
        pa.RecordBatch.from_arrays([pa.array(rule.times(batch))], schema=schema)
        for batch in splits.table.batches(columns=list(rule.columns), order_by=())
    )
    with Scratch() as scratch:
        scratch.load("times", times, schema=schema)
        rows = int(str(scratch.rows("SELECT count(*) FROM times")[0][0]))
        places = [min(ceil(share * rows), rows - 1) for share in shares]
        found = [
            scratch.rows(f"SELECT c0 FROM times ORDER BY c0 LIMIT 1 OFFSET {place}")  # noqa: S608 -- a number
            for place in places
            if rows
        ]
        first = scratch.rows("SELECT min(c0) FROM times")[0][0]
    bounds = [int(str(rows[0][0])) for rows in found]
    if not bounds or sorted({int(str(first)), *bounds}) != [int(str(first)), *bounds]:
        raise InvalidInputError(
            f"{rows} rows have too few different times in {rule.columns[0]!r} for {len(rule.names)} parts",
            hint="give the instants at which the parts end",
        )
    return tuple(bounds)


def _count(splits: Splits) -> dict[str, int]:
    counts = np.zeros(len(splits.names), np.int64)
    for _, places in splits.placed(()):
        counts += np.bincount(places, minlength=len(counts))
    return dict(zip(splits.names, counts.tolist(), strict=True))


def _parse(document: Mapping[str, Json]) -> Splits:
    if document.get("format") != FORMAT:
        raise InvalidInputError(f"a document of format {document.get('format')!r}, this version reads {FORMAT!r}")
    try:
        table = cast("Mapping[str, Json]", document["table"])
        parts = cast("Sequence[Mapping[str, Json]]", document["parts"])
        method = Method(str(document["by"]))
        ends = [str(part["until"]) for part in parts[:-1]]
        assignment = Assignment(
            method=method,
            columns=tuple(cast("Sequence[str]", document["on"])),
            types=tuple(cast("Sequence[str]", document["types"])),
            names=tuple(str(part["name"]) for part in parts),
            bounds=tuple(int(end, 16) if method is Method.HASH else int(microseconds(end)[0]) for end in ends),
            salt=str(document["salt"]),
        )
        name = table["name"]
        at = cast("int", table["version"])
        return Splits(
            table=TableReader(str(table["uri"]), at=at, name=None if name is None else str(name)),
            table_id=str(table["id"]),
            assignment=assignment,
            counts={str(part["name"]): cast("int", part["rows"]) for part in parts},
            shares=tuple(cast("float | None", part["share"]) for part in parts),
            hashes={str(part["name"]): str(part["unordered"]) for part in parts if part["unordered"] is not None},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(f"not a document of format {FORMAT}: {error!r}") from error
