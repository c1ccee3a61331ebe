"""A query: it takes batches from a source to a destination, each once, and goes on where it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lakemark._base.errors import ConflictError, StorageError
from lakemark.tables.reading import TableReader
from lakemark.tables.streams.batches import Batch, Delivery, Destination, Transform
from lakemark.tables.streams.offsets import Offset, Position
from lakemark.tables.streams.options import StreamOptions
from lakemark.tables.streams.plans import Limits, Plan
from lakemark.tables.streams.source import Source
from lakemark.tables.streams.triggers import StopRequest, Trigger, check_interval, parse_trigger

__all__ = ["Progress", "Query", "QuerySummary"]

_IDLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """One batch that was handed on.

    Parameters
    ----------
    name : str
        The query.
    batch_id : int
        From 0, over all runs of the query.
    start, end : Offset
        From where to where in the source.
    source_versions : tuple of int and int
        The first and the last version of the source that it read of.
    rows : int
        Rows that were handed on, after the transforms.
    files, bytes : int
        What was read of the source.
    sink_version : int or None
        The version of the sink that has the rows; None where the destination is a function.
    """

    name: str
    batch_id: int
    start: Offset
    end: Offset
    source_versions: tuple[int, int]
    rows: int
    files: int
    bytes: int
    sink_version: int | None


@dataclass(frozen=True, slots=True)
class QuerySummary:
    """What one run of a query did.

    Parameters
    ----------
    name : str
        The query.
    batches, rows, files, bytes : int
        Sums over the batches of this run.
    position : Position or None
        How far the query has come; None if it has nothing yet.
    sink_version : int or None
        The version that its last batch made; None if it made none.
    stopped : bool
        True if the run ended because it was asked to.
    signal : int or None
        The signal that asked.
    """

    name: str
    batches: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    position: Position | None = None
    sink_version: int | None = None
    stopped: bool = False
    signal: int | None = None


class Query:
    """A stream with its destination, ready to run.

    Parameters
    ----------
    name : str
        Under which the destination knows it.
    source : TableReader
        The table that is read.
    options : StreamOptions
        How.
    transforms : sequence of Transform
        What is done to each batch.
    destination : Destination
        Where the batches go.

    Notes
    -----
    One run at a time. A run looks up where the last one ended, so a query that was stopped or killed goes on with the
    batch that comes next.
    """

    def __init__(
        self,
        name: str,
        source: TableReader,
        *,
        options: StreamOptions,
        transforms: Sequence[Transform],
        destination: Destination,
    ) -> None:
        self.name = name
        self._parts = _Parts(name, source, options, tuple(transforms), destination)
        self._request = StopRequest()
        self._running = threading.Lock()

    def run(
        self,
        *,
        trigger: Trigger | str = Trigger.AVAILABLE_NOW,
        interval: float = 10.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> QuerySummary:
        """Take batches until the trigger ends it.

        Parameters
        ----------
        trigger : Trigger or str, default "available-now"
            When batches are taken, and when the run ends: `available-now`, `once`, `continuous`.
        interval : float, default 10.0
            Seconds from the begin of one batch to that of the next, if continuous; 0 is as fast as there are rows.
        on_progress : callable, optional
            Called after each batch that was handed on.

        Returns
        -------
        QuerySummary
            What this run did. In the main thread SIGINT and SIGTERM end it after the batch under way.

        Raises
        ------
        ConflictError
            If the source is another table than before, or has a commit that a stream does not go on over by the
            options; if the query runs already.
        NotFoundError
            If a commit that comes next was cleaned from the log: nothing is ever left out.
        InvalidInputError
            If rows do not fit the sink.
        """
        kind = trigger if isinstance(trigger, Trigger) else parse_trigger(trigger)
        check_interval(interval)
        if not self._running.acquire(blocking=False):
            raise ConflictError(f"query {self.name!r} runs already", hint="stop() ends it after the batch under way")
        try:
            with self._request.by_signals():
                return _Run(self._parts, self._request, on_progress).go(kind, interval)
        finally:
            self._request.clear()
            self._running.release()

    def stop(self) -> None:
        """Ask the run to end after the batch under way; from another thread, or before the run begins."""
        self._request.ask()


@dataclass(frozen=True, slots=True)
class _Parts:
    name: str
    table: TableReader
    options: StreamOptions
    transforms: tuple[Transform, ...]
    destination: Destination


class _Run:
    """One run of a query, and where it is."""

    def __init__(self, parts: _Parts, request: StopRequest, on_progress: Callable[[Progress], None] | None) -> None:
        self._parts = parts
        self._request = request
        self._on_progress = on_progress
        self._source = Source(parts.table, parts.options)
        self._done = QuerySummary(parts.name)
        self._position: Position | None = None
        self._offset = self._resume()

    def go(self, trigger: Trigger, interval: float) -> QuerySummary:
        """Take batches until the trigger, or somebody who asked, ends it."""
        if trigger is Trigger.CONTINUOUS:
            self._follow(interval)
        else:
            self._catch_up(self._limits(once=trigger is Trigger.ONCE), once=trigger is Trigger.ONCE)
        if self._position is not None:
            self._parts.destination.finish(self._position)
        return replace(self._done, position=self._position, signal=self._request.signal)

    def _catch_up(self, limits: Limits, *, once: bool) -> None:
        limits = replace(limits, version=self._source.latest)
        while self._step(limits):
            if once and self._done.batches:
                return
            if self._request.made:
                self._done = replace(self._done, stopped=True)
                return

    def _follow(self, interval: float) -> None:
        while not self._request.made:
            begun = time.monotonic()
            self._source.refresh()
            found = self._step(self._limits(once=False))
            left = begun + interval - time.monotonic()
            self._request.wait(left if found or interval else max(left, _IDLE_SECONDS))
        self._done = replace(self._done, stopped=True)

    def _limits(self, *, once: bool) -> Limits:
        options = self._parts.options
        return Limits() if once else Limits(options.max_files_per_trigger, options.max_bytes_per_trigger)

    def _step(self, limits: Limits) -> bool:
        """Hand on the next batch; False if there is nothing new."""
        destination = self._parts.destination
        pending = destination.pending()
        if pending is not None:
            limits = Limits(until=pending.end)
        plan = self._source.plan(self._offset, limits)
        if not plan.files and pending is None and self._position is not None:
            moved = plan.end != self._offset
            self._offset = plan.end
            self._position = replace(self._position, offset=plan.end)
            return moved
        batch = Batch(
            0 if self._position is None else self._position.batch_id + 1,
            plan,
            transforms=self._parts.transforms,
            source_uri=self._source.uri,
        )
        delivery = destination.deliver(batch)
        if delivery is None:
            self._offset = self._resume()
            if self._position is None or self._position.batch_id < batch.batch_id:
                raise StorageError(f"the sink of query {self._parts.name!r} has batch {batch.batch_id}, and denies it")
            return True
        self._offset = plan.end
        self._position = Position(batch.batch_id, plan.end)
        self._report(batch.batch_id, plan, delivery)
        return True

    def _resume(self) -> Offset:
        """Return where the destination is, where another copy of the query may have brought it, or the start."""
        self._position = self._parts.destination.position()
        pending = self._parts.destination.pending()
        if pending is not None:
            return pending.start
        return self._source.start() if self._position is None else self._position.offset

    def _report(self, batch_id: int, plan: Plan, delivery: Delivery) -> None:
        done = self._done
        self._done = replace(
            done,
            batches=done.batches + 1,
            rows=done.rows + delivery.rows,
            files=done.files + plan.files,
            bytes=done.bytes + plan.bytes,
            sink_version=delivery.sink_version,
        )
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    name=self._parts.name,
                    batch_id=batch_id,
                    start=plan.start,
                    end=plan.end,
                    source_versions=plan.versions,
                    rows=delivery.rows,
                    files=plan.files,
                    bytes=plan.bytes,
                    sink_version=delivery.sink_version,
                )
            )
