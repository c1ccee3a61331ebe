"""One compaction of a table at a time, because two would double its rows.

Two compactions that began at the same version both succeed in `deltalake` 1.6: each removes the same small files and
adds a file with all of their rows, and the second one is not refused, whatever it is told of retries and transactions.
So whoever compacts comes in through `compacting`:

- on a local file system, behind a lock on a file in the table, which ends with the process that holds it;
- elsewhere behind a commit that sets a property of the table. Delta refuses whatever began before such a commit and
  ends after it, so of two that marked the table, the one that marked it first is refused, or was done before.

`deltalake` cleans the log with every compaction if the table's properties allow it, whatever it is told, so such a
table is protected first, by a commit of its own (`lakemark.tables.pinning.protection`).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from deltalake import DeltaTable

from lakemark._base.errors import ConflictError
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit
from lakemark.tables.log.manifest import local_folder
from lakemark.tables.pinning.protection import CLEANUP, protect, weak_properties
from lakemark.tables.reading import TableReader

__all__ = ["compact_small_files", "compacting"]

_LOCK = "_lakemark/compaction.lock"
_PROPERTY = "lakemark.compaction"


@contextmanager
def compacting(table: TableReader) -> Iterator[DeltaTable | None]:
    """Yield the table, open so that a compaction through this handle is alone, or None if another one is under way.

    Parameters
    ----------
    table : TableReader
        The table; it is protected first where its log would be cleaned.
    """
    if CLEANUP in weak_properties(table.open().metadata().configuration):
        protect(table, commit=Commit(message="keep old versions readable, before a compaction"))
    folder = local_folder(table.uri)
    if folder is None:
        yield _marked(table)
        return
    path = folder / _LOCK
    path.parent.mkdir(exist_ok=True)
    if not (ignore := path.with_name(".gitignore")).exists():
        ignore.write_text("*\n")  # a table may lie in a repository
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield table.open()  # not before: what the last holder did must be in it


def compact_small_files(table: TableReader, *, small_bytes: int, limit: int, message: str) -> bool:
    """Merge small files if there are more than a number of them, and return whether that was done.

    Parameters
    ----------
    table : TableReader
        The table.
    small_bytes : int
        A file of fewer bytes is small.
    limit : int
        So many may stay.
    message : str
        For the table's history.

    Raises
    ------
    ConflictError
        If others changed the same files meanwhile; nothing was changed then.
    """
    if _small_files(table.open(), small_bytes) <= limit:
        return False
    with translated(table.uri), compacting(table) as opened:
        if opened is None or _small_files(opened, small_bytes) <= limit:
            return False
        opened.optimize.compact(commit_properties=Commit(message=message).properties())
        return True


def _small_files(table: DeltaTable, small_bytes: int) -> int:
    sizes = table.get_add_actions()["size_bytes"].to_pylist()
    return sum(size < small_bytes for size in sizes)


def _marked(table: TableReader) -> DeltaTable | None:
    opened = table.open()
    try:
        with translated(table.uri):
            opened.alter.set_table_properties(
                {_PROPERTY: uuid4().hex},
                raise_if_not_exists=False,
                commit_properties=Commit(message="take turns with other compactions").properties(),
                post_commithook_properties=KEEP_LOG,
            )
    except ConflictError:
        return None
    return opened
