"""Streams, as people type them."""

from __future__ import annotations

from pathlib import Path

from lakemark.fluent import lake
from lakemark.tables.streams.options import OptionValue
from lakemark.tables.streams.stream import Stream, read_stream

__all__ = ["stream"]


def stream(source: str | Path, **options: OptionValue) -> Stream:
    """Return a table as a stream: new rows since the last time, each exactly once.

    Parameters
    ----------
    source : str or Path
        A table's name, path or URI.
    **options : OptionValue
        With the names and the meaning that they have in Spark: `startingVersion`, `startingTimestamp`,
        `maxFilesPerTrigger`, `maxBytesPerTrigger`, `skipChangeCommits`, `ignoreDeletes`, `ignoreChanges`,
        `readChangeFeed`.

    Raises
    ------
    InvalidInputError
        For an unknown option (the nearest is named), or two that contradict each other.
    NotFoundError
        For no such table.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> import lakemark
    >>> lake = tempfile.mkdtemp()
    >>> lakemark.table(f"{lake}/events").create(pa.table({"x": [1, 2]}))
    0
    >>> lakemark.stream(f"{lake}/events").write(f"{lake}/copy").run().rows
    2
    """
    return read_stream(lake.table(source), options, resolve=lake.resolve_table)
