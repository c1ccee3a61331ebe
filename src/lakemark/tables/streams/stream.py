"""What a person writes down: read this table as a stream, do that to each batch, put it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from lakemark._base.errors import InvalidInputError
from lakemark.tables.log.manifest import location
from lakemark.tables.reading import TableReader
from lakemark.tables.streams.batches import Batch, Transform
from lakemark.tables.streams.checkpoints import BatchFunction, FunctionSink
from lakemark.tables.streams.options import OptionValue, StreamOptions, parse_options
from lakemark.tables.streams.plans import Limits
from lakemark.tables.streams.positions import application
from lakemark.tables.streams.query import Query
from lakemark.tables.streams.sink import SinkOptions, TableSink
from lakemark.tables.streams.source import Source
from lakemark.tables.table import Table

__all__ = ["Stream", "read_stream"]


@dataclass(frozen=True, slots=True)
class Stream:
    """A table read as a stream; each method returns a new one, or the query.

    Parameters
    ----------
    table : TableReader
        The source.
    options : StreamOptions
        How it is read.
    transforms : tuple of Transform
        What is done to each batch, in this order.
    resolve : callable
        The table of a name, for sinks that are given as text; without it, text is a folder or a URI.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> lake = tempfile.mkdtemp()
    >>> events, clean = Table(f"{lake}/events"), Table(f"{lake}/clean")
    >>> events.create(pa.table({"x": [1, -2, 3]}))
    0
    >>> import pyarrow.compute as pc
    >>> query = read_stream(events).map(lambda rows: rows.filter(pc.field("x") > 0)).write(clean, name="positive")
    >>> query.run().rows
    2
    >>> events.append(pa.table({"x": [-4, 5]}))
    1
    >>> query.run().rows, query.run().batches, clean.read()["x"].to_pylist()
    (1, 0, [1, 3, 5])
    """

    table: TableReader
    options: StreamOptions = field(default_factory=StreamOptions)
    transforms: tuple[Transform, ...] = ()
    resolve: Callable[[str], Table] = field(default=Table, repr=False, compare=False)

    def map(self, function: Transform) -> Stream:
        """Return a stream whose batches go through a function from rows to rows.

        Parameters
        ----------
        function : Transform
            Takes the rows of a batch as a `pyarrow.Table` and returns others; called once a batch, also for one without
            rows, again after a kill. A batch is as large as the limits of the options allow, and is in memory then.
        """
        return replace(self, transforms=(*self.transforms, function))

    def write(
        self,
        sink: Table | str,
        *,
        name: str | None = None,
        partition_by: Sequence[str] = (),
        merge_schema: bool = False,
        compact_every: int = 50,
    ) -> Query:
        """Return the query that writes into a table, each row exactly once.

        Parameters
        ----------
        sink : Table or str
            Made by the first batch where there is none.
        name : str, optional
            Under which the sink remembers how far the query is; without it the last part of the source's name. Several
            queries of one sink need several names.
        partition_by : sequence of str, default ()
            Columns whose values become folders, where the stream makes the table.
        merge_schema : bool, default False
            Add columns that the rows have and the table does not, and write null where it is the other way round.
            Without it such rows are refused, as by an append.
        compact_every : int, default 50
            Compact the table once so many small files have piled up; 0 never does.

        Raises
        ------
        InvalidInputError
            If source and sink are one table, or for no name of a query.
        """
        target = self.resolve(sink) if isinstance(sink, str) else sink
        if location(target.uri) == location(self.table.uri):
            raise InvalidInputError(
                f"{target.uri} is source and sink: the stream would read what it writes", hint="name another table"
            )
        named = name or self._default_name()
        options = SinkOptions(tuple(partition_by), merge_schema=merge_schema, compact_every=compact_every)
        return self._query(named, TableSink(target, named, options))

    def foreach_batch(self, function: BatchFunction, *, checkpoint: str | Path, name: str | None = None) -> Query:
        """Return the query that calls a function with each batch, at least once.

        Parameters
        ----------
        function : BatchFunction
            Called with the rows and the batch id. After a kill it is called again with the same id and the same rows,
            so it can tell what it has done already.
        checkpoint : str or Path
            A local folder, of this query alone, that remembers how far it is.
        name : str, optional
            For the progress; without it the last part of the source's name.
        """
        named = name or self._default_name()
        return self._query(named, FunctionSink(function, named, Path(checkpoint)))

    def columns(self) -> pa.Schema:
        """Return the columns that the first batch will have, after the transforms; no file is read."""
        source = Source(self.table, self.options)
        plan = source.plan(source.start(), Limits(files=0))
        return Batch(0, plan, transforms=self.transforms, source_uri=source.uri).reader().schema

    def _query(self, name: str, destination: TableSink | FunctionSink) -> Query:
        application(name)
        return Query(name, self.table, options=self.options, transforms=self.transforms, destination=destination)

    def _default_name(self) -> str:
        if self.table.name:
            return self.table.name
        return self.table.uri.rstrip("/").rpartition("/")[2]


def read_stream(
    table: TableReader,
    options: StreamOptions | Mapping[str, OptionValue] | None = None,
    *,
    resolve: Callable[[str], Table] = Table,
) -> Stream:
    """Return a table as a stream.

    Parameters
    ----------
    table : TableReader
        The source; not one at a version.
    options : StreamOptions or mapping, optional
        How it is read; a mapping has Spark's names, as `parse_options` takes them.
    resolve : callable, optional
        As for `Stream`.
    """
    parsed = options if isinstance(options, StreamOptions) else parse_options(options or {})
    return Stream(table, parsed, resolve=resolve)
