"""One batch of a stream before its rows are read: from where to where, and which files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from lakemark.tables.log.manifest import ManifestFile
from lakemark.tables.reads.ahead import read_ahead
from lakemark.tables.streams.offsets import Offset
from lakemark.tables.streams.rows import SourceFile

__all__ = ["Gathering", "Limits", "Plan", "ReadRows"]

ReadRows: TypeAlias = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a batch ends at the latest.

    Parameters
    ----------
    files, bytes : int, optional
        A batch is full with so many; it has at least one file. Without them it has all that there is.
    version : int, optional
        The last commit to read (inclusive).
    until : Offset, optional
        Exactly here: a batch that was planned before is made again.
    """

    files: int | None = None
    bytes: int | None = None
    version: int | None = None
    until: Offset | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch.

    Parameters
    ----------
    start, end : Offset
        From where to where; equal if there is nothing new.
    schema : pyarrow.Schema
        Of the rows.
    files, bytes : int
        What is read for it.
    """

    start: Offset
    end: Offset
    schema: pa.Schema
    files: int
    bytes: int
    read: ReadRows = field(repr=False, compare=False)

    @property
    def versions(self) -> tuple[int, int]:
        """The first and the last source version that it reads of."""
        last = self.end.version if self.end.index or self.end.initial else self.end.version - 1
        return self.start.version, max(self.start.version, last)

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream; each call reads them again."""
        return pa.RecordBatchReader.from_batches(self.schema, read_ahead(self.read()))


@dataclass(slots=True)
class Gathering:
    """What a batch has so far.

    Parameters
    ----------
    limits : Limits
        Where it ends at the latest.
    """

    limits: Limits
    entries: list[SourceFile] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    @property
    def full(self) -> bool:
        """True if it takes no more."""
        limits = self.limits
        too_many = limits.files is not None and self.files >= limits.files
        return too_many or (limits.bytes is not None and self.bytes >= limits.bytes)

    def goes_on(self, offset: Offset) -> bool:
        """Return True if commits from this place on belong to it."""
        until = self.limits.until
        if until is not None and (offset.version, offset.index) >= (until.version, until.index):
            return False
        return not self.full

    def take(self, offset: Offset, files: Sequence[ManifestFile]) -> Offset:
        """Take the files of one commit or snapshot from a place on, up to the limit, and return the place after."""
        until = self.limits.until
        same = until is not None and (until.version, until.initial) == (offset.version, offset.initial)
        stop = until.index if same and until is not None else len(files)
        index = offset.index
        while index < stop and not self.full:
            self.entries.append(SourceFile(offset.version, files[index]))
            self.files += 1
            self.bytes += files[index].size
            index += 1
        return offset.at(index) if index < len(files) else offset.after()

    def take_commit(self, version: int, *, files: int, size: int) -> bool:
        """Take a whole commit of a change feed, or return False if it does not fit behind what is there."""
        if self.files and self.limits.files is not None and self.files + files > self.limits.files:
            return False
        self.commits.append(version)
        self.files += files
        self.bytes += size
        return True
