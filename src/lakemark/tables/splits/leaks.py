"""Leaks between the parts of a split: groups that are in two parts, equal rows in two parts, time that runs backwards.

Every row's hash is kept in a database that spills to disk; only the rows whose hash is in two parts are compared by
value, so numbers are exact and memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakemark._base.errors import InvalidInputError, LakemarkError
from lakemark.tables.fingerprint import row_hashes
from lakemark.tables.scratch import Scratch
from lakemark.tables.splits.assignment import Places, instant, microseconds

__all__ = ["Leak", "LeakKind", "LeakReport", "PartedRows", "Severity", "check_leaks"]

_EXAMPLES = 3


class Severity(StrEnum):
    """How bad a leak is."""

    ERROR = "error"
    WARN = "warn"


class LeakKind(StrEnum):
    """What leaks."""

    GROUP = "group"
    ROW = "row"
    TIME = "time"


SEVERITIES: Mapping[LeakKind, Severity] = {
    LeakKind.GROUP: Severity.ERROR,
    LeakKind.ROW: Severity.WARN,
    LeakKind.TIME: Severity.ERROR,
}


class PartedRows(Protocol):
    """Rows in parts; `lakemark.tables.splits.split.Splits` is that."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, in order."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    def placed(self, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, Places]]:
        """Yield all rows, and for each the number of its part."""


@dataclass(frozen=True, slots=True)
class Leak:
    """What one set of parts shares.

    Parameters
    ----------
    kind : LeakKind
        What leaks.
    severity : Severity
        How bad that is.
    columns : tuple of str
        Where it was looked for.
    parts : tuple of str
        The parts that share it.
    number : int
        How many groups or different rows are shared; for time, how many rows of the first part are too late.
    rows : int
        How many rows are these, in all of the parts.
    examples : tuple of mapping
        The first of them, by column; for time, the end of the first part and the beginning of the second.
    """

    kind: LeakKind
    severity: Severity
    columns: tuple[str, ...]
    parts: tuple[str, ...]
    number: int
    rows: int
    examples: tuple[Mapping[str, object], ...]

    def __str__(self) -> str:
        parts, columns = " and ".join(self.parts), ", ".join(self.columns)
        match self.kind:
            case LeakKind.GROUP:
                return f"{self.number} groups of {columns} are in {parts}, {self.rows} rows"
            case LeakKind.ROW:
                return f"{self.number} different rows are in {parts} alike, {self.rows} rows"
            case LeakKind.TIME:
                return f"{self.number} rows of {self.parts[0]} are not before {self.parts[1]} begins, by {columns}"


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What `check_leaks` found.

    Parameters
    ----------
    leaks : tuple of Leak
        Empty if nothing leaks.
    """

    leaks: tuple[Leak, ...]

    @property
    def ok(self) -> bool:
        """True if no leak is an error."""
        return all(leak.severity is not Severity.ERROR for leak in self.leaks)

    def enforce(self) -> None:
        """Raise if a leak is an error.

        Raises
        ------
        LakemarkError
            With the leaks and their first examples.
        """
        bad = [leak for leak in self.leaks if leak.severity is Severity.ERROR]
        if bad:
            first = ", ".join(f"{name}={value!r}" for name, value in bad[0].examples[0].items())
            raise LakemarkError(
                f"the parts leak: {'; '.join(map(str, bad))}; for example {first}",
                hint="split by the columns that must not cross",
                leaks=bad,
            )


def check_leaks(
    parts: PartedRows,
    *,
    groups: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    time: str | None = None,
    severities: Mapping[LeakKind, Severity] | None = None,
) -> LeakReport:
    """Look for rows of one part that tell something about another.

    Parameters
    ----------
    parts : PartedRows
        A split.
    groups : sequence of str, optional
        Columns that name a group, for example a customer, none of which may have rows in two parts. Rows in which all
        of them are null are of no group.
    features : sequence of str, optional
        Columns in which no two rows of different parts may be equal; without it all but `groups` and `time`. An empty
        sequence looks for none, and saves reading all columns.
    time : str, optional
        A column of times: each part must end before the next ones begin. Nulls are left out.
    severities : mapping of LeakKind to Severity, optional
        Which leaks are errors; without it groups and time are, and equal rows are warned of.

    Raises
    ------
    NotFoundError
        For a column that there is not.
    StorageError
        If the disk for temporary files is full.
    """
    for given in (groups, features):
        if isinstance(given, str):
            raise InvalidInputError(f"{given!r} is one name, not a list of columns", hint=f"write [{given!r}]")
    known = {*(groups or ()), time}
    features = [name for name in parts.schema.names if name not in known] if features is None else features
    levels = {**SEVERITIES, **(severities or {})}
    leaks: list[Leak] = []
    if groups:
        leaks += _crossing(parts, groups, kind=LeakKind.GROUP, severity=levels[LeakKind.GROUP])
    if time is not None:
        leaks += _overlaps(parts, time, severity=levels[LeakKind.TIME])
    if features:
        leaks += _crossing(parts, features, kind=LeakKind.ROW, severity=levels[LeakKind.ROW])
    return LeakReport(tuple(leaks))


def _crossing(parts: PartedRows, columns: Sequence[str], *, kind: LeakKind, severity: Severity) -> Iterator[Leak]:
    """Yield what is in more than one part."""
    skips_nulls = kind is LeakKind.GROUP
    with Scratch() as scratch:
        scratch.load("hashes", _hashed(parts, columns, skips_nulls=skips_nulls), schema=_HASHES)
        scratch.execute("CREATE TABLE suspects AS SELECT c0 FROM hashes GROUP BY c0 HAVING min(c1) <> max(c1)")
        if scratch.rows("SELECT count(*) FROM suspects") == [(0,)]:
            return
        schema = pa.schema([*_HASHES, *(parts.schema.field(name) for name in columns)])
        rows = _hashed(parts, columns, skips_nulls=skips_nulls, schema=schema)
        scratch.load("suspected", rows, schema=schema, only="c0 IN (SELECT c0 FROM suspects)")
        listed = ", ".join(f"c{place + 2}" for place in range(len(columns)))
        scratch.execute(
            f"""CREATE TABLE crossing AS
                SELECT bit_or(1::BIGINT << c1) AS parts, count(*) AS copies, {listed} FROM suspected GROUP BY {listed}
                HAVING min(c1) <> max(c1)"""  # noqa: S608 -- no name of a user
        )
        found = scratch.rows("SELECT parts, count(*), sum(copies)::BIGINT FROM crossing GROUP BY parts ORDER BY parts")
        for mask, number, copies in found:
            query = f"SELECT {listed} FROM crossing WHERE parts = {mask} ORDER BY {listed} LIMIT {_EXAMPLES}"  # noqa: S608 -- no name of a user
            examples = [row for batch in scratch.stream(query) for row in batch.to_pylist()]
            yield Leak(
                kind=kind,
                severity=severity,
                columns=tuple(columns),
                parts=tuple(name for place, name in enumerate(parts.names) if int(str(mask)) >> place & 1),
                number=int(str(number)),
                rows=int(str(copies)),
                examples=tuple(dict(zip(columns, row.values(), strict=True)) for row in examples),
            )


_HASHES = pa.schema([("hash", pa.uint64()), ("part", pa.int32())])


def _hashed(
    parts: PartedRows, columns: Sequence[str], *, skips_nulls: bool, schema: pa.Schema = _HASHES
) -> Iterator[pa.RecordBatch]:
    """Yield the hash and the part of each row, and its values if the schema has them."""
    for batch, places in parts.placed(columns):
        rows, kept = batch.select(list(columns)), places
        if skips_nulls:
            named = np.zeros(len(places), np.bool_)
            for column in rows.columns:
                named |= column.is_valid().to_numpy(zero_copy_only=False)
            rows, kept = rows.filter(pa.array(named)), places[named]
        values = rows.columns if len(schema) > len(_HASHES) else []
        numbers = pa.array(kept.astype(np.int32))
        yield pa.RecordBatch.from_arrays([pa.array(row_hashes(rows)), numbers, *values], schema=schema)


def _overlaps(parts: PartedRows, column: str, *, severity: Severity) -> Iterator[Leak]:
    """Yield each part that does not end before a later one begins."""
    schema = pa.schema([("part", pa.int32()), ("time", pa.int64())])
    with Scratch() as scratch:
        scratch.load("times", _timed(parts, column, schema), schema=schema)
        found = scratch.rows("SELECT c0, min(c1), max(c1) FROM times GROUP BY c0 ORDER BY c0")
        spans = [(int(str(place)), int(str(first)), int(str(last))) for place, first, last in found]
        for number, (place, _, last) in enumerate(spans):
            first, later = min(((first, later) for later, first, _ in spans[number + 1 :]), default=(last + 1, place))
            if first > last:
                continue
            late = scratch.rows(f"SELECT count(*) FROM times WHERE c0 = {place} AND c1 >= {first}")  # noqa: S608 -- numbers
            count = int(str(late[0][0]))
            example = {f"{parts.names[place]} ends": instant(last), f"{parts.names[later]} begins": instant(first)}
            names = (parts.names[place], parts.names[later])
            yield Leak(LeakKind.TIME, severity, (column,), names, count, count, (example,))


def _timed(parts: PartedRows, column: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch, places in parts.placed([column]):
        times = batch.column(column)
        valid: npt.NDArray[np.bool_] = times.is_valid().to_numpy(zero_copy_only=False)
        numbers = [pa.array(places[valid].astype(np.int32)), pa.array(microseconds(times.drop_null()))]
        yield pa.RecordBatch.from_arrays(numbers, schema=schema)
