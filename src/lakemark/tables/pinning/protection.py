"""Protection: the properties of a table that make other engines keep its old versions readable.

Our own vacuum obeys pins (`lakemark.tables.upkeep.vacuum`). Spark, delta-rs and others do not know them: they go by the
table's properties, clean its log when they write a checkpoint, delete removed files after a week, and newer Sparks
refuse to read versions older than that, even while all files are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lakemark._base.errors import LakemarkError
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit
from lakemark.tables.reading import TableReader
from lakemark.tables.writes.properties import PROTECTION

__all__ = ["CLEANUP", "is_protected", "protect", "weak_properties"]

CLEANUP = "delta.enableExpiredLogCleanup"
"""The property without which the log is cleaned whenever somebody writes."""

_UNITS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 7 * 86_400.0,
}
_PART = re.compile(r"(-?\d+(?:\.\d+)?) *([a-z]+?)s?\b")


def weak_properties(configuration: Mapping[str, str]) -> Mapping[str, str]:
    """Return the properties that a table lacks to be protected, with the values that would do.

    Parameters
    ----------
    configuration : mapping of str to str
        The table's properties. One that is missing counts as Delta's default, which is weaker.

    Examples
    --------
    >>> sorted(weak_properties({"delta.logRetentionDuration": "interval 6000 days"}))
    ['delta.deletedFileRetentionDuration', 'delta.enableExpiredLogCleanup']
    """
    return {name: wanted for name, wanted in PROTECTION.items() if _is_weaker(name, configuration.get(name), wanted)}


def is_protected(table: TableReader) -> bool:
    """Return True if other engines keep the versions of a table as long as ours do."""
    return not weak_properties(_configuration(table))


def protect(table: TableReader, *, commit: Commit | None = None) -> bool:
    """Set the properties that keep a table's versions readable in other engines, where they are weaker.

    Parameters
    ----------
    table : TableReader
        The table.
    commit : Commit, optional
        What the history shall say.

    Returns
    -------
    bool
        True if there was something to set: then it took one commit, without a change of a row.

    Raises
    ------
    ConflictError
        If somebody else changed the table's properties at the same moment.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from deltalake import write_deltalake
    >>> table = TableReader(tempfile.mkdtemp())
    >>> write_deltalake(table.uri, pa.table({"x": [1]}))
    >>> protect(table), protect(table)
    (True, False)
    """
    opened = table.open()
    weak = weak_properties(opened.metadata().configuration)
    if not weak:
        return False
    said = commit or Commit(message="keep old versions readable")
    try:
        with translated(table.uri):
            opened.alter.set_table_properties(
                dict(weak), commit_properties=said.properties(), post_commithook_properties=KEEP_LOG
            )
    except LakemarkError:
        if is_protected(table):  # somebody else did the same
            return False
        raise
    return True


def _configuration(table: TableReader) -> Mapping[str, str]:
    return table.open().metadata().configuration


def _is_weaker(name: str, found: str | None, wanted: str) -> bool:
    if found is None:
        return True
    if name == CLEANUP:
        return found.strip().lower() != wanted
    return _seconds(found) < _seconds(wanted)


def _seconds(interval: str) -> float:
    """Return the length of an interval as Delta writes it; 0 for what is none, so that it counts as weaker."""
    words = interval.lower().removeprefix("interval").strip()
    parts = _PART.findall(words)
    if not parts or any(unit not in _UNITS for _, unit in parts) or _PART.sub("", words).strip():
        return 0.0
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
