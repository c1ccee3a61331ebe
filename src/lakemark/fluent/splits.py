"""Splits of tables into parts, as people type them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lakemark.fluent import lake
from lakemark.tables.reading import TableReader
from lakemark.tables.splits import split as splits

__all__ = ["split"]


def split(
    table: TableReader | str | Path,
    parts: Mapping[str, splits.Boundary],
    *,
    on: str | Sequence[str],
    by: str = "hash",
    salt: str = "",
    groups: Sequence[str] | None = None,
    hashes: bool = False,
) -> splits.Splits:
    """Split the rows of a table into parts, the same ones each time; in a recorded run the receipt keeps the split.

    Parameters
    ----------
    table : TableReader, str or Path
        A table, or its name, path or URI; `sales.orders@12` names a version.
    parts : mapping of str to float, datetime, str or None
        Names and shares, which are 1 together. By time also the instant at which each part ends.
    on : str or sequence of str
        By hash: the columns whose values decide. By time: the column.
    by : {"hash", "time"}
        By hash, a row's part never changes when rows are added. By time, shares are turned into instants once.
    salt : str, optional
        Any text; another text gives another split by hash.
    groups : sequence of str, optional
        Refuse the split if a group that these columns name is in two parts.
    hashes : bool, default False
        Hash the rows of each part too.

    Raises
    ------
    NotFoundError
        For no such table, version or column.
    InvalidInputError
        For shares that are not 1 together, instants that do not ascend, or a time that is null.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> import lakemark
    >>> sales = lakemark.table(tempfile.mkdtemp() + "/sales")
    >>> sales.create(pa.table({"customer": range(1000)}))
    0
    >>> parts = lakemark.split(sales, {"train": 0.8, "test": 0.2}, on="customer")
    >>> parts.counts["train"] + parts.counts["test"]
    1000
    """
    source = table if isinstance(table, TableReader) else lake.table(table)
    return splits.split(source, parts, on=on, by=by, salt=salt, groups=groups, hashes=hashes)
