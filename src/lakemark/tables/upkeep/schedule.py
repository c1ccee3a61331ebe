"""Upkeep: all maintenance of many tables, where it is needed.

For each table: files are compacted where many small ones came together, a checkpoint is written where opening the table
would read many commits, and what has expired is vacuumed. A table that fails does not keep the others from theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from lakemark._base.errors import LakemarkError
from lakemark.tables.log.files import TableFiles
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import Compaction, checkpoint, compact
from lakemark.tables.upkeep.removals import list_log
from lakemark.tables.upkeep.vacuum import DEFAULT_RETENTION_HOURS, VacuumReport, vacuum

__all__ = ["Upkeep", "UpkeepPolicy", "maintain"]


@dataclass(frozen=True, slots=True)
class UpkeepPolicy:
    """When a table needs what.

    Parameters
    ----------
    small_files : int, default 16
        Compact a table once so many files could be merged.
    log_commits : int, default 50
        Write a checkpoint once so many commits have come since the last one.
    retention_hours : float, default 168
        As for `lakemark.tables.vacuum.vacuum`.
    """

    small_files: int = 16
    log_commits: int = 50
    retention_hours: float = DEFAULT_RETENTION_HOURS


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done for one table, or would be.

    Parameters
    ----------
    table : Table
        The table.
    compaction : Compaction or None
        None where the table has few small files, or that failed.
    checkpoint : int or None
        The version of a new checkpoint, or in a dry run the version that would get one; None where none is needed.
    vacuum : VacuumReport or None
        None only where that failed.
    errors : tuple of LakemarkError
        Steps that failed; the others were done all the same.
    """

    table: Table
    compaction: Compaction | None = None
    checkpoint: int | None = None
    vacuum: VacuumReport | None = None
    errors: tuple[LakemarkError, ...] = ()


def maintain(
    tables: Iterable[Table],
    *,
    needed: Callable[[Table], Iterable[bytes]],
    policy: UpkeepPolicy | None = None,
    dry_run: bool = False,
    progress: Callable[[Table, str], None] | None = None,
) -> Iterator[Upkeep]:
    """Do what each table needs, one table after the other, and yield what was done.

    Parameters
    ----------
    tables : iterable of Table
        The tables.
    needed : callable
        Returns the manifests of what must stay of a table, as `lakemark.tables.vacuum.vacuum` takes them; asked right
        before the vacuum.
    policy : UpkeepPolicy, optional
        When a table needs what.
    dry_run : bool, default False
        Only say what would be done.
    progress : callable, optional
        Is told the table and what begins now: `compact`, `checkpoint` or `vacuum`.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> table = Table(tempfile.mkdtemp())
    >>> for number in range(4):
    ...     _ = table.append(pa.table({"x": [number]})) if number else table.create(pa.table({"x": [number]}))
    >>> [done] = maintain([table], needed=lambda table: (), policy=UpkeepPolicy(small_files=4))
    >>> len(done.compaction.merged), done.checkpoint, done.vacuum.deleted
    (4, None, ())
    """
    upkeep = _Rounds(needed, policy or UpkeepPolicy(), dry_run, progress)
    for table in tables:
        yield upkeep.maintain(table)


@dataclass(frozen=True, slots=True)
class _Rounds:
    needed: Callable[[Table], Iterable[bytes]]
    policy: UpkeepPolicy
    dry_run: bool
    progress: Callable[[Table, str], None] | None

    def maintain(self, table: Table) -> Upkeep:
        done = Upkeep(table)
        for step in (self._compact, self._checkpoint, self._vacuum):
            try:
                done = step(done)
            except LakemarkError as error:
                done = replace(done, errors=(*done.errors, error))
        return done

    def _compact(self, done: Upkeep) -> Upkeep:
        planned = compact(done.table, dry_run=True)
        if len(planned.merged) < self.policy.small_files:
            return done
        self._begin(done.table, "compact")
        return replace(done, compaction=planned if self.dry_run else compact(done.table))

    def _checkpoint(self, done: Upkeep) -> Upkeep:
        log = list_log(TableFiles(done.table.uri))
        newest = max(log.commits, default=-1)
        if newest - max(log.checkpoints, default=-1) < self.policy.log_commits:
            return done
        self._begin(done.table, "checkpoint")
        return replace(done, checkpoint=newest if self.dry_run else checkpoint(done.table))

    def _vacuum(self, done: Upkeep) -> Upkeep:
        self._begin(done.table, "vacuum")
        hours, pins = self.policy.retention_hours, self.needed(done.table)
        return replace(done, vacuum=vacuum(done.table, pins=pins, retention_hours=hours, dry_run=self.dry_run))

    def _begin(self, table: Table, step: str) -> None:
        if self.progress is not None:
            self.progress(table, step)
