"""Commands that follow tables."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import create_target, json_option, known_names, open_table, print_json, print_version

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.streams import Progress, Query, QueryStatus, QuerySummary, Stream
    from lakemark.tables.table import Table

__all__ = ["status", "stream"]

_SIGNALLED = 128


@click.command(short_help="Put the rows of SOURCE into SINK, each exactly once.")
@click.argument("source")
@click.argument("sink")
@click.option("--name", metavar="NAME", help="Under which the sink remembers how far it is; without it that of SOURCE.")
@click.option(
    "--option",
    "options",
    metavar="KEY=VALUE",
    multiple=True,
    help="As in Spark: startingVersion=3, maxFilesPerTrigger=10.",
)
@click.option(
    "--trigger",
    type=click.Choice(["available-now", "once", "continuous"]),
    default="available-now",
    show_default=True,
    help="When batches are taken.",
)
@click.option(
    "--interval", metavar="TIME", default="10s", show_default=True, help="From batch to batch: 500ms, 10s, 5m."
)
@click.option(
    "--partition-by", metavar="COLUMN", multiple=True, help="Of a new SINK: a column whose values become folders."
)
@click.option("--merge-schema", is_flag=True, help="Add new columns to SINK, and fill those that the rows lack.")
@json_option
@click.pass_context
def stream(
    context: click.Context,
    *,
    source: str,
    sink: str,
    name: str | None,
    options: tuple[str, ...],
    trigger: str,
    interval: str,
    partition_by: tuple[str, ...],
    merge_schema: bool,
    as_json: bool,
) -> None:
    """Put the rows of SOURCE, and then those that come, into SINK, each exactly once.

    The next call goes on where the last one ended, also after a kill. Ctrl-C ends it after the batch under way. It says
    what it does on standard error, and at the end which version SINK has.
    """
    from lakemark.tables.streams import parse_options, read_stream

    seconds = _seconds(interval)
    rows = read_stream(open_table(context, source), parse_options(_pairs(options)))
    target = _open_sink(context, sink, rows, partition_by=partition_by)
    query = rows.write(target, name=name, partition_by=partition_by, merge_schema=merge_schema)
    summary = query.run(trigger=trigger, interval=seconds, on_progress=_print_progress)
    _print_summary(query, target, summary, as_json=as_json)
    if summary.signal is not None and (trigger != "continuous" or summary.signal != signal.SIGINT):
        context.exit(_SIGNALLED + summary.signal)


@click.command(name="stream-status", short_help="List the streams into SINK, and how far behind they are.")
@click.argument("sink")
@json_option
@click.pass_context
def status(context: click.Context, *, sink: str, as_json: bool) -> None:
    """List the streams that write into SINK: where in their sources they are, and how many commits are left."""
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.streams import list_status

    target = open_table(context, sink)
    found = list_status(target)
    if as_json:
        print_json(
            "lakemark.tables.stream-status/1",
            {"table": target.uri, "streams": [_status_document(one) for one in found]},
        )
        return
    if not found:
        click.echo(
            f"no stream writes into {target.name or target.uri}\n\nhint: lakemark tables stream SOURCE {sink}", err=True
        )
        return
    names = known_names(context)
    rows = [
        (
            plain(one.name),
            plain(names.get(one.source_uri, one.source_uri)),
            str(one.batch_id),
            _place(one),
            _lag(one),
            plain(one.problem or "-"),
        )
        for one in found
    ]
    for line in table_lines(("NAME", "SOURCE", "BATCH", "NEXT", "LAG", "PROBLEM"), rows, width=terminal_width()):
        click.echo(line)


def _open_sink(context: click.Context, text: str, rows: Stream, *, partition_by: tuple[str, ...]) -> Table:
    """Return the sink; a name that the catalog does not know yet becomes a table with the columns of the stream."""
    from lakemark._base.errors import NotFoundError

    try:
        return open_table(context, text, writable=True)
    except NotFoundError:
        with create_target(context, text) as made:
            made.create(rows.columns(), partition_by=partition_by)
        return made


def _pairs(options: tuple[str, ...]) -> dict[str, str | int | bool]:
    pairs: dict[str, str | int | bool] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--option {option!r} is not KEY=VALUE")
        if key in pairs:
            raise click.UsageError(f"--option {key} was given twice")
        pairs[key] = value
    return pairs


def _seconds(text: str) -> float:
    for unit, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)):
        count = text.removesuffix(unit) if unit else text
        if text.endswith(unit) and count.replace(".", "", 1).isdecimal():
            return float(count) * seconds
    raise click.UsageError(f"--interval {text!r} is no time; write 500ms, 10s, 5m or 1h")


def _print_progress(batch: Progress) -> None:
    from lakemark.cli.text import counted, size

    first, last = batch.source_versions
    read = f"version {first}" if first == last else f"versions {first} to {last}"
    counts = f"{counted(batch.files, 'file')}, {counted(batch.rows, 'row')}"
    click.echo(
        f"batch {batch.batch_id}: {read}, {counts}, {size(batch.bytes)} -> version {batch.sink_version}",
        err=True,
    )


def _print_summary(query: Query, target: Table, summary: QuerySummary, *, as_json: bool) -> None:
    version = target.version if summary.sink_version is None else summary.sink_version
    if not as_json:
        if not summary.batches:
            click.echo("nothing new", err=True)
        print_version(target, version, as_json=False)
        return
    position = summary.position
    print_json(
        "lakemark.tables.stream/1",
        {
            "table": target.uri,
            "version": version,
            "name": query.name,
            "batches": summary.batches,
            "rows": summary.rows,
            "files": summary.files,
            "bytes": summary.bytes,
            "last_batch": None if position is None else position.batch_id,
            "offset": None if position is None else position.offset.to_json(),
            "stopped": summary.stopped,
        },
    )


def _status_document(found: QueryStatus) -> Json:
    return {
        "name": found.name,
        "source": found.source_uri,
        "batch": found.batch_id,
        "offset": found.offset.to_json(),
        "lag": found.lag,
        "problem": found.problem,
    }


def _place(found: QueryStatus) -> str:
    offset = found.offset
    half = f" file {offset.index}" if offset.index else ""
    return f"{'snapshot ' if offset.initial else ''}{offset.version}{half}"


def _lag(found: QueryStatus) -> str:
    return "-" if found.lag is None else str(found.lag)
