"""Streams: follow a table, and put each of its rows into another table exactly once.

A stream is the same Delta table that a batch reads, read commit by commit; it needs no server and no store besides the
two tables. The words and options are those of Spark's Structured Streaming.

How it works
------------
`Stream` (`stream`) is what a person writes down. Its `write` or `foreach_batch` returns a `Query` (`query`), and a run
of that repeats one step: the `Source` (`source`) plans the next batch from an `Offset` (`offsets`) within `Limits`
(`plans`), and the destination takes it.

- **Reading.** Without a start the rows that the table has come first, file by file, then the commits, from the JSON
  of the log (`log`); rows are read file by file (`rows`). A commit that is gone stops the query: nothing is left out.
  So does one that rewrites rows, unless the options (`options`) say what to do about it, and a change of the columns
  other than adding or widening them (`growth`).
- **Exactly once.** The commit of a batch in the sink (`sink`) carries its id as a Delta transaction of the query, and
  the offsets between which it reads: rows and offset are written in one step or not at all. A batch is written through
  the handle that was seen not to have it, so two copies of a query cannot both write it. `positions` finds the last
  one again. A sink merges its small files, one compaction at a time (`compaction`).
- **At least once.** A function (`checkpoints`) is called again after a kill, with the same rows under the same id.

Costs: a step reads each new commit once, and nothing of the history. Rows go from the files to the sink in batches of
Arrow, in bounded memory; a `map` has the rows of one batch in memory.
"""

from lakemark.tables.streams.offsets import Offset, Position
from lakemark.tables.streams.options import OptionValue, StreamOptions, parse_options
from lakemark.tables.streams.query import Progress, Query, QuerySummary
from lakemark.tables.streams.sink import SinkOptions
from lakemark.tables.streams.status import QueryStatus, list_status
from lakemark.tables.streams.stream import Stream, read_stream
from lakemark.tables.streams.triggers import Trigger

__all__ = [
    "Offset",
    "OptionValue",
    "Position",
    "Progress",
    "Query",
    "QueryStatus",
    "QuerySummary",
    "SinkOptions",
    "Stream",
    "StreamOptions",
    "Trigger",
    "list_status",
    "parse_options",
    "read_stream",
]
