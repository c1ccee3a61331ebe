"""What goes from a query to its destination: a batch, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from lakemark.tables.streams.offsets import Offset, Position
from lakemark.tables.streams.plans import Plan

__all__ = ["Batch", "Delivery", "Destination", "Pending", "Transform"]

Transform: TypeAlias = Callable[[pa.Table], pa.Table]
"""A function from the rows of a batch to those that are handed on."""


class Batch:
    """One batch of a query.

    Parameters
    ----------
    batch_id : int
        From 0.
    plan : Plan
        What it is made of.
    transforms : sequence of Transform
        Applied one after the other, each to the whole batch.
    source_uri : str
        The table that it is read from.
    """

    def __init__(self, batch_id: int, plan: Plan, *, transforms: Sequence[Transform], source_uri: str) -> None:
        self.batch_id = batch_id
        self.plan = plan
        self.source_uri = source_uri
        self._transforms = transforms
        self._rows: pa.Table | None = None

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream, which can be asked for again; without transforms never as a whole."""
        return self.table().to_reader() if self._transforms else self.plan.reader()

    def table(self) -> pa.Table:
        """Return all rows; the transforms run once."""
        if self._rows is None:
            rows = self.plan.reader().read_all()
            for transform in self._transforms:
                rows = transform(rows)
            self._rows = rows
        return self._rows


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a batch.

    Parameters
    ----------
    rows : int
        Rows that were written.
    sink_version : int or None
        The version of the sink that has them; None where the destination is a function.
    """

    rows: int
    sink_version: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that was begun and may have been handed on or not: it is made again, from and to the same place."""

    start: Offset
    end: Offset


class Destination(Protocol):
    """Where batches go: it knows which one was the last, and takes each once."""

    def position(self) -> Position | None:
        """Return the last batch that it has, None if there is none."""

    def pending(self) -> Pending | None:
        """Return the batch after that, if it was begun."""

    def deliver(self, batch: Batch) -> Delivery | None:
        """Take a batch; None if it has it already, from another copy of the query."""

    def finish(self, position: Position) -> None:
        """Tidy up at the end of a run, which has come as far as `position`."""
