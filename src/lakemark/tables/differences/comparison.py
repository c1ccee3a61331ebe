"""Rows of two versions against each other, in a database that spills to disk: by a key, or as multisets.

Values are compared as they are, not by a hash: null equals null, NaN equals NaN, and -0.0 equals 0.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakemark._base.errors import InvalidInputError
from lakemark.tables.differences.alignment import Alignment
from lakemark.tables.scratch import Scratch

__all__ = ["Change", "Comparison", "Counts"]

_SHOWN_KEYS = 3


class Change(StrEnum):
    """What happened to a row."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows differ.

    Parameters
    ----------
    added, removed, changed : int
        Numbers of rows.
    columns : mapping of str to int
        Of the changed rows, how many have another value in each column; columns without any are left out.
    """

    added: int
    removed: int
    changed: int
    columns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Side:
    """One version in the database: columns `c0`, `c1` ..., the compared ones first."""

    name: str
    schema: pa.Schema
    order: tuple[str, ...]

    @property
    def places(self) -> list[int]:
        """Where each column of `schema` is in the database."""
        return [self.order.index(name) for name in self.schema.names]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions in a database.

    Parameters
    ----------
    alignment : Alignment
        Which columns.
    key : tuple of str or None
        Columns that name a row, compared ones; None compares whole rows, each as often as it is there.
    scratch : Scratch
        Where.
    """

    alignment: Alignment
    key: tuple[str, ...] | None
    scratch: Scratch = field(default_factory=Scratch)
    _distinct: set[str] = field(default_factory=set)

    def load(self, side: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Read the rows of one version.

        Parameters
        ----------
        side : {"before", "after"}
            Which.
        batches : iterable of pyarrow.RecordBatch
            Of the schema that the alignment has for that side.
        """
        layout = self._side(side)
        schema = pa.schema([layout.schema.field(name) for name in layout.order])
        rows = (batch.select(layout.order) for batch in self._watched(side, batches))
        self.scratch.load(f"{side}_rows", rows, schema=schema)

    def attach(self, side: str, files: Sequence[Path], batches: Iterable[pa.RecordBatch]) -> None:
        """Take the rows of one version from files that the database reads by itself.

        Parameters
        ----------
        side : {"before", "after"}
            Which.
        files : sequence of Path
            As `plain_files` returns them.
        batches : iterable of pyarrow.RecordBatch
            Their rows, with the columns of the key at least; read once, and not kept.
        """
        self.scratch.view(f"{side}_rows", files, columns=self._side(side).order)
        for _ in self._watched(side, batches):
            pass

    def _watched(self, side: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Hand on the rows, and note if the key ascends all the way: then none is there twice."""
        key = self.key[0] if self.key is not None and len(self.key) == 1 else None
        last: int | None = None
        ascends = key is not None
        for batch in batches:
            if key is not None and ascends and batch.num_rows:
                ascends, last = _ascends(batch.column(key), after=last)
            yield batch
        if ascends:
            self._distinct.add(side)

    def compare(self, *, names: tuple[str, str]) -> Counts:
        """Find the rows that differ, after both versions are loaded.

        Parameters
        ----------
        names : tuple of two str
            What messages call the versions.

        Raises
        ------
        InvalidInputError
            If two rows of one version have the same key; the first are named.
        """
        if self.key is None:
            self.scratch.execute(self._multisets())
        else:
            for side, name in zip(("before", "after"), names, strict=True):
                self._check_key(side, name)
            self.scratch.execute(self._join())
        found = self.scratch.rows("SELECT kind, sum(copies)::BIGINT FROM changes GROUP BY kind")
        counts = {str(kind): int(str(count)) for kind, count in found}
        return Counts(
            added=counts.get(Change.ADDED, 0),
            removed=counts.get(Change.REMOVED, 0),
            changed=counts.get(Change.CHANGED, 0),
            columns=self._changed_columns() if counts.get(Change.CHANGED) else {},
        )

    def schema(self, change: Change | None) -> pa.Schema:
        """Return the columns that `stream` gives."""
        if change in (Change.ADDED, Change.REMOVED):
            return self._side("after" if change is Change.ADDED else "before").schema
        sides = [(side, pa.struct(list(self._side(side).schema))) for side in ("before", "after")]
        return pa.schema([("change", pa.string()), ("columns", pa.list_(pa.string())), *sides])

    def stream(self, change: Change | None, *, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield rows that differ, in the order of the key, or of all columns where there is none; nulls come last.

        Parameters
        ----------
        change : Change or None
            Which; None is all.
        limit : int, optional
            How many at most.
        """
        query = f"SELECT * FROM ({self._differing(change)}) ORDER BY {self._order()}"  # noqa: S608 -- no name of a user
        if limit is not None:
            query += f" LIMIT {limit}"
        schema = self.schema(change)
        for batch in self.scratch.stream(query):
            if change in (Change.ADDED, Change.REMOVED):
                side = self._side("after" if change is Change.ADDED else "before")
                yield pa.RecordBatch.from_arrays(_columns(batch, side), schema=schema)
            else:
                yield self._nested(batch, schema)

    def _side(self, name: str) -> _Side:
        schema = self.alignment.before if name == "before" else self.alignment.after
        compared = self.alignment.compared.names
        return _Side(name, schema, (*compared, *(each for each in schema.names if each not in compared)))

    def _key_places(self) -> list[int]:
        names = self.alignment.compared.names
        return list(range(len(names))) if self.key is None else [names.index(name) for name in self.key]

    def _value_places(self) -> list[int]:
        keys = self._key_places()
        return [place for place in range(len(self.alignment.compared)) if place not in keys]

    def _check_key(self, side: str, name: str) -> None:
        if side in self._distinct:
            return
        keys = ", ".join(f"c{place}" for place in self._key_places())
        repeated = f"SELECT {keys}, count(*) AS copies FROM {side}_rows GROUP BY {keys} HAVING copies > 1"  # noqa: S608 -- no name of a user
        ordered = f"{repeated} ORDER BY {_sorted(keys.split(', '))} LIMIT {_SHOWN_KEYS}"
        first = [row for batch in self.scratch.stream(ordered) for row in batch.to_pylist()]
        if not first:
            return
        number = self.scratch.rows(f"SELECT count(*) FROM ({repeated})")[0][0]  # noqa: S608 -- no name of a user
        shown = [f"({', '.join(_text(value) for value in list(row.values())[:-1])})" for row in first]
        raise InvalidInputError(
            f"key ({', '.join(self.key or ())}) is not unique in {name}: {number} keys are there more than once, "
            f"the first {'is' if len(shown) == 1 else 'are'} {', '.join(shown)}",
            hint="name more columns in the key, or give none to compare whole rows",
        )

    def _join(self) -> str:
        """Return the statement that keeps what differs by key."""
        same_key = " AND ".join(f"b.c{place} IS NOT DISTINCT FROM a.c{place}" for place in self._key_places())
        differs = " OR ".join(f"b.c{place} IS DISTINCT FROM a.c{place}" for place in self._value_places())
        sides = (("b", self._side("before")), ("a", self._side("after")))
        columns = ", ".join(f"{short}.c{place} AS {short}{place}" for short, side in sides for place in side.places)
        return f"""
            CREATE TABLE changes AS
            SELECT CASE WHEN b.here IS NULL THEN 'added' WHEN a.here IS NULL THEN 'removed' ELSE 'changed' END AS kind,
                   1 AS copies, {columns}
            FROM (SELECT *, true AS here FROM before_rows) b
            FULL JOIN (SELECT *, true AS here FROM after_rows) a ON {same_key}
            WHERE b.here IS NULL OR a.here IS NULL OR ({differs or "false"})"""  # noqa: S608 -- no name of a user

    def _multisets(self) -> str:
        """Return the statement that keeps the rows that one version has more often than the other."""
        names = [f"c{place}" for place in self._key_places()]
        columns = ", ".join(
            f"CASE WHEN more {sign} 0 THEN {name} END AS {short}{name[1:]}"
            for short, sign in (("b", "<"), ("a", ">"))
            for name in names
        )
        listed = ", ".join(names)
        return f"""
            CREATE TABLE changes AS
            SELECT CASE WHEN more > 0 THEN 'added' ELSE 'removed' END AS kind, abs(more) AS copies, {columns}
            FROM (SELECT {listed}, sum(side)::BIGINT AS more
                  FROM (SELECT {listed}, -1 AS side FROM before_rows
                        UNION ALL SELECT {listed}, 1 AS side FROM after_rows)
                  GROUP BY {listed})
            WHERE more <> 0"""  # noqa: S608 -- no name of a user

    def _changed_columns(self) -> dict[str, int]:
        places = self._value_places()
        counts = ", ".join(f"count(*) FILTER (WHERE b{place} IS DISTINCT FROM a{place})" for place in places)
        numbers = self.scratch.rows(f"SELECT {counts} FROM changes WHERE kind = 'changed'")[0]  # noqa: S608 -- no name of a user
        names = self.alignment.compared.names
        return {names[place]: int(str(number)) for place, number in zip(places, numbers, strict=True) if number}

    def _differing(self, change: Change | None) -> str:
        """Return the query for rows that differ, each as often as it is there, and per column if its value changed."""
        flags = "".join(f", b{place} IS DISTINCT FROM a{place} AS d{place}" for place in self._value_places())
        only = "" if change is None else f" WHERE kind = '{change}'"
        query = f"SELECT *{flags} FROM changes{only}"  # noqa: S608 -- no name of a user
        return f"SELECT *, unnest(range(copies)) AS copy FROM ({query})" if self.key is None else query  # noqa: S608 -- no name of a user

    def _order(self) -> str:
        return _sorted([*(f"coalesce(b{place}, a{place})" for place in self._key_places()), "kind"])

    def _nested(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        kinds = batch.column("kind")
        places = self._value_places()
        names = pa.array([self.alignment.compared.names[place] for place in places], pa.string())
        changed = kinds.to_numpy(zero_copy_only=False) == str(Change.CHANGED)
        differs = np.zeros((batch.num_rows, len(places)), dtype=np.bool_)
        for column, place in enumerate(places):
            differs[:, column] = batch.column(f"d{place}").to_numpy(zero_copy_only=False) & changed
        edges = np.concatenate([[0], np.cumsum(differs.sum(axis=1))]).astype(np.int32)
        columns = pa.ListArray.from_arrays(edges, names.take(pa.array(np.nonzero(differs)[1])))
        structs = [
            pa.StructArray.from_arrays(
                _columns(batch, self._side(side)),
                fields=list(self._side(side).schema),
                mask=pa.array(kinds.to_numpy(zero_copy_only=False) == str(absent)),
            )
            for side, absent in (("before", Change.ADDED), ("after", Change.REMOVED))
        ]
        return pa.RecordBatch.from_arrays([kinds, columns, *structs], schema=schema)


def _columns(batch: pa.RecordBatch, side: _Side) -> list[pa.Array]:
    """Return the columns of one version, in its order and with its types."""
    named = [batch.column(f"{side.name[0]}{place}") for place in side.places]
    return [column.cast(kind.type) for column, kind in zip(named, side.schema, strict=True)]


def _ascends(column: pa.Array, *, after: int | None) -> tuple[bool, int | None]:
    """Return whether each value is above the one before it, and the last one; only numbers and times can be told."""
    kind = column.type
    if column.null_count or not (pa.types.is_signed_integer(kind) or pa.types.is_timestamp(kind)):
        return False, None
    values = column.cast(pa.int64()).to_numpy()
    above = after is None or int(values[0]) > after
    return above and bool((values[1:] > values[:-1]).all()), int(values[-1])


def _sorted(expressions: Sequence[str]) -> str:
    return ", ".join(f"{expression} NULLS LAST" for expression in expressions)


def _text(value: object) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)
