"""A Delta table that is written: made, filled, changed, evolved.

A thin, strict layer over `deltalake`: values are never changed on the way in (`lakemark.tables.writes.casts`), a
version or a time out of range is an error that names the range, rows come out in one order
(`lakemark.tables.reads.scan`), and commits carry the run that made them. What lies on disk is plain Delta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import pyarrow as pa

from lakemark._base.errors import InvalidInputError
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.log.commits import Commit, CommitRecord
from lakemark.tables.reading import Head, TableReader
from lakemark.tables.writes import changes, constraints, evolution, properties
from lakemark.tables.writes import rows as writes
from lakemark.tables.writes.changes import Changed, MergeRule
from lakemark.tables.writes.properties import PROPERTIES
from lakemark.tables.writes.rows import Layout

__all__ = ["PROPERTIES", "Changed", "Commit", "CommitRecord", "Head", "Table"]


class Table(TableReader):
    """A Delta table, which need not exist yet.

    Parameters
    ----------
    uri : str or Path
        A folder, or a URI of any storage that `deltalake` knows; credentials come from the environment.
    at, name
        As for `TableReader`. A table at a version cannot be written.

    Notes
    -----
    Every write opens the latest version, works out its change, and commits all of it or nothing. Any number of threads
    and processes may write at once, and none of their rows are lost:

    - An append comes after whatever was committed meanwhile. It is checked and written again if that changed the table
      under it.
    - A delete, an update or a merge whose rows somebody else touched meanwhile is worked out again, on the rows as
      they are then. One that touched other rows stands, as if it had been first.
    - An overwrite replaces what there is at the moment that it commits: also rows that somebody appended while it was
      being written. It is never mixed with them, as `deltalake` alone would; with `where` that holds for the rows that
      the predicate is true for.

    After 20 lost races, or the first one with data that can be read only once, the error is `ConflictError`.

    Examples
    --------
    >>> import tempfile
    >>> sales = Table(tempfile.mkdtemp() + "/sales")
    >>> sales.create(pa.table({"day": [1, 2], "amount": [9.5, 7.25]}))
    0
    >>> sales.append(pa.table({"day": [3], "amount": [1.0]}))
    1
    >>> sales.read(version=0).num_rows, sales.read().num_rows
    (2, 3)
    >>> sales.merge(pa.table({"day": [3, 4], "amount": [1.5, 2.0]}), on=["day"])
    Changed(version=2, inserted=1, updated=1, deleted=0)
    """

    def create(
        self,
        data: ArrowStream | pa.Schema,
        *,
        partition_by: Sequence[str] = (),
        generated: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        comment: str | None = None,
        commit: Commit | None = None,
    ) -> int:
        """Make the table, from rows or empty from a schema, and return its version.

        Parameters
        ----------
        data : ArrowStream or pyarrow.Schema
            What Delta has no type for is widened (uint32 to int64) or refused. Columns that may not hold nulls stay so.
        partition_by : sequence of str
            Columns whose values become folders.
        generated : mapping of str to str, optional
            Columns that every write computes by SQL over the others, or checks where they are given:
            `{"day": "cast(ts as date)"}`. Rows then come in a second commit, version 1; if they are refused, the empty
            table stays.
        properties : mapping of str to str, optional
            Beside `PROPERTIES`, or instead of them. With names of your own, rows come in a second commit too.
        comment : str, optional
            What the table is.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        ConflictError
            If there is a table already.
        InvalidInputError
            For identity columns, partitions by decimals, unknown properties, and what Delta cannot store.
        """
        layout = Layout(partition_by=partition_by, generated=generated, properties=properties, comment=comment)
        return writes.create(self, data, layout, commit=commit)

    def append(
        self, data: ArrowStream, *, schema_mode: Literal["merge"] | None = None, commit: Commit | None = None
    ) -> int:
        """Add rows and return the version that has them.

        Parameters
        ----------
        data : ArrowStream
            The rows; columns in any order.
        schema_mode : {None, "merge"}
            With "merge", columns that the table lacks are added (older rows have nulls there), and columns that the
            data lacks get nulls. Types stay, and so do the strict casts; where the table has no rows yet, a wider type
            of the data is taken, else the error names `widen`.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            If columns or values do not fit, or break a rule of the table; then nothing is committed.
        ConflictError
            If others changed the table all the time, or once and `data` is a stream that can be read only once.
        """
        return writes.append(self, data, schema_mode=schema_mode, commit=commit)

    def overwrite(
        self,
        data: ArrowStream,
        *,
        where: str | None = None,
        schema_mode: Literal["overwrite"] | None = None,
        commit: Commit | None = None,
    ) -> int:
        """Replace rows and return the version that has the new ones; older versions stay readable.

        Parameters
        ----------
        data : ArrowStream
            The rows.
        where : str, optional
            SQL: replace only rows that it is true for, in one commit; it must be true for all of the new rows.
        schema_mode : {None, "overwrite"}
            With "overwrite", take the columns of the data instead of casting to those of the table.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            If columns or values do not fit, break a rule of the table, or lie outside of `where`.
        ConflictError
            As for `append`.
        """
        return writes.overwrite(self, data, where=where, schema_mode=schema_mode, commit=commit)

    def delete(self, where: str | None = None, *, everything: bool = False, commit: Commit | None = None) -> Changed:
        """Delete the rows that a predicate is true for.

        Parameters
        ----------
        where : str, optional
            SQL, in the dialect of DataFusion: `"day < '2020-01-01' and shop is null"`.
        everything : bool, default False
            Delete all rows, instead of `where`.
        commit : Commit, optional
            What the history shall say.

        Returns
        -------
        Changed
            The version and how many rows were deleted.
        """
        if (where is None) != everything:
            raise InvalidInputError(
                "delete needs either where or everything=True", hint="give the rows to delete: where='id = 7', say"
            )
        return changes.delete(self, where, commit=commit)

    def update(self, set: Mapping[str, str], where: str | None = None, *, commit: Commit | None = None) -> Changed:  # noqa: A002  # SQL's word
        """Set columns by expressions over the old values of their row.

        Parameters
        ----------
        set : mapping of str to str
            Columns, and SQL: `{"price": "price * 2", "note": "'doubled'"}`.
        where : str, optional
            SQL: only rows that it is true for.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            If a value is not exactly what the column would hold: 5.7 for an integer column, arithmetic beyond int64.
            Rounding has to be written: `cast(round(price) as int)`.
        """
        return changes.update(self, set, where, commit=commit)

    def merge(
        self,
        data: ArrowStream,
        *,
        on: Sequence[str] | str,
        matched: Literal["update", "ignore", "delete"] = "update",
        unmatched: Literal["insert", "ignore"] = "insert",
        unmatched_by_source: Literal["keep", "delete"] = "keep",
        commit: Commit | None = None,
    ) -> Changed:
        """Merge rows into the table, by default an upsert: update rows that match, insert the others.

        Parameters
        ----------
        data : ArrowStream
            The rows, with the columns of the table; only those of `on` where rows are neither updated nor inserted.
            They are held in memory.
        on : sequence of str, or str
            Columns by which rows match, each key once in the data and never null; or SQL over `target` and `source`.
        matched : {"update", "ignore", "delete"}
            What becomes of rows of the table that the data has too.
        unmatched : {"insert", "ignore"}
            What becomes of rows that only the data has.
        unmatched_by_source : {"keep", "delete"}
            What becomes of rows that only the table has.
        commit : Commit, optional
            What the history shall say.

        Returns
        -------
        Changed
            The version, and how many rows were inserted, updated and deleted.
        """
        keys = [on] if isinstance(on, str) and on in self.schema.names else on
        rule = MergeRule(keys, matched=matched, unmatched=unmatched, unmatched_by_source=unmatched_by_source)
        return changes.merge(self, data, rule, commit=commit)

    def count(self, where: str | None = None) -> int:
        """Return how many rows a predicate is true for; without one, all.

        Parameters
        ----------
        where : str, optional
            SQL, in the dialect of DataFusion.
        """
        return changes.count(self, where)

    def restore(
        self, version: int | None = None, *, timestamp: datetime | str | None = None, commit: Commit | None = None
    ) -> int:
        """Make an older version the latest, by a new commit, and return the number of that.

        Columns, constraints and properties are those of the older version again, but for the properties that keep old
        versions readable (`PROPERTIES`): where it lacks them, a second commit sets them.

        Parameters
        ----------
        version : int, optional
            From 0.
        timestamp : datetime or str, optional
            Instead: the version that was the latest then, as for `open`.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        NotFoundError
            If there is no such version, or files of it are gone.
        """
        return changes.restore(self, version, timestamp=timestamp, commit=commit)

    def add_constraint(self, name: str, expression: str, *, commit: Commit | None = None) -> int:
        """Add a condition that all rows meet, those that are there first, and return the new version.

        Parameters
        ----------
        name : str
            Letters, digits and `_`.
        expression : str
            SQL: `"amount > 0"`. Where a value is null and the condition hence neither true nor false, it is broken.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            If rows break it, up to five of which are shown; so do later writes of such rows.
        ConflictError
            If there is a constraint of this name.
        """
        return constraints.add_constraint(self, name, expression, commit=commit)

    def drop_constraint(self, name: str, *, commit: Commit | None = None) -> int:
        """Remove a constraint and return the new version.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        """
        return constraints.drop_constraint(self, name, commit=commit)

    def add_columns(self, columns: pa.Schema, *, commit: Commit | None = None) -> int:
        """Add columns, in which the rows that are there have nulls, and return the new version.

        Raises
        ------
        InvalidInputError
            For one that is there already, that may not hold nulls, or that Delta cannot store.
        """
        return evolution.add_columns(self, columns, commit=commit)

    def widen(self, columns: Mapping[str, pa.DataType], *, commit: Commit | None = None) -> int:
        """Give columns wider types and return the new version.

        Parameters
        ----------
        columns : mapping of str to pyarrow.DataType
            Columns and their new types: longer integers, double for float, decimals with more digits on both sides.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            For a type that does not hold every value of the old one.

        Notes
        -----
        Readers of Delta do not agree on files that are narrower than the table, so all files are written again, in one
        commit: it costs a read and a write of the whole table, streamed, and the room of its files once more. A stream
        that reads the table sees all rows removed and added.
        """
        return evolution.widen(self, columns, commit=commit)

    def set_properties(self, values: Mapping[str, str], *, commit: Commit | None = None) -> int:
        """Set properties and return the new version.

        Parameters
        ----------
        values : mapping of str to str
            Names of Delta (`delta.appendOnly`), or of your own with another prefix.
        commit : Commit, optional
            What the history shall say.

        Raises
        ------
        InvalidInputError
            For a name of Delta's that is unknown or would lock out readers, and for a value that it cannot have.
        """
        return properties.set_properties(self, values, commit=commit)
