"""Commands that read rows, changes, columns and the history."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lakemark._base.canonical import json_value
from lakemark.cli.tables.output import cell, json_option, open_table, print_json, table_argument

if TYPE_CHECKING:
    import pyarrow as pa

    from lakemark._base.canonical import Json
    from lakemark.tables.table import CommitRecord

__all__ = ["changes", "history", "read", "schema"]

_FEW = 20
_FILE_FORMATS = ("csv", "json", "parquet")
_TOUCHED = {  # in the words of delta-rs, and in those of Spark
    "added": ("num_added_rows",),
    "inserted": ("num_target_rows_inserted", "numTargetRowsInserted"),
    "updated": ("num_updated_rows", "numUpdatedRows", "num_target_rows_updated", "numTargetRowsUpdated"),
    "deleted": ("num_deleted_rows", "numDeletedRows", "num_target_rows_deleted", "numTargetRowsDeleted"),
}


columns_option = click.option(
    "--column", "columns", metavar="COLUMN", multiple=True, help="Only this one; repeat it for more, in this order."
)


@click.command(short_help="Print rows, or write them to a file.")
@table_argument
@click.option("--timestamp", metavar="TIME", help="The version at that time: 2013-06-24T00:00:00Z.")
@columns_option
@click.option("--where", metavar="SQL", help="Which rows: \"day >= 3 and shop in ('a', 'b')\".")
@click.option(
    "--order-by",
    metavar="COLUMN",
    multiple=True,
    help="Sort by it; repeat it for more. Without it the order of the files.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), help=f"Rows at most, 0 for all; else {_FEW} as a table, all as a stream."
)
@click.option("--format", "kind", type=click.Choice(("table", *_FILE_FORMATS)), default="table", show_default=True)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@json_option
@click.pass_context
def read(
    context: click.Context,
    *,
    table: str,
    timestamp: str | None,
    columns: tuple[str, ...],
    where: str | None,
    order_by: tuple[str, ...],
    limit: int | None,
    kind: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Print rows of TABLE, TABLE@VERSION or TABLE@TAG, always in the same order.

    With --format csv, json (one object a line) or parquet, all rows, as a stream of any size.
    """
    if as_json and (kind != "table" or output is not None):
        raise click.UsageError("--json prints one document; --format json writes rows, one a line")
    source = open_table(context, table)
    if timestamp is not None and source.at is not None:
        raise click.UsageError(f"{table} names a version; give that or --timestamp TIME, not both")
    if output is not None or kind != "table":
        version = source.open(timestamp=timestamp).version()
        rows = source.batches(version=version, columns=columns or None, where=where, order_by=order_by or None)
        _write(rows, _file_kind(kind, output), output, limit=limit, named=f"{source.name or source.uri}@{version}")
        return
    limit = _FEW if limit is None else limit
    head = source.head(
        limit or None, timestamp=timestamp, columns=columns or None, where=where, order_by=order_by or None
    )
    if as_json:
        print_json(
            "lakemark.tables.read/1",
            {
                "table": source.uri,
                "version": head.version,
                "columns": {field.name: str(field.type) for field in head.rows.schema},
                "rows": _documents(head.rows),
                "complete": head.complete,
            },
        )
        return
    _print_rows(head.rows)
    if not head.complete:
        click.echo("\nhint: there are more rows: --limit 0 prints all", err=True)


@click.command(short_help="List what each commit has added, removed and changed.")
@table_argument
@click.option("--from", "from_version", metavar="VERSION", type=int, required=True, help="The first commit.")
@click.option("--to", "to_version", metavar="VERSION", type=int, help="The last commit; else the latest.")
@columns_option
@click.option("--limit", type=click.IntRange(min=0), default=_FEW, show_default=True, help="Rows; 0 prints all.")
@json_option
@click.pass_context
def changes(
    context: click.Context,
    *,
    table: str,
    from_version: int,
    to_version: int | None,
    columns: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List the rows that the commits of TABLE have added, removed and changed, from its change data feed.

    The table records them if its property delta.enableChangeDataFeed is true.
    """
    import pyarrow as pa

    source = open_table(context, table)
    feed = source.changes(from_version=from_version, to_version=to_version, columns=columns or None)
    batches = list(_limited(feed, limit + 1 if limit else None))
    found = pa.Table.from_batches(batches, feed.schema)
    shown = found.slice(0, limit) if limit else found
    complete = found.num_rows == shown.num_rows
    if as_json:
        print_json(
            "lakemark.tables.changes/1",
            {"table": source.uri, "changes": _documents(shown), "complete": complete},
        )
        return
    _print_rows(shown.select([*shown.column_names[-3:], *shown.column_names[:-3]]))
    if not complete:
        click.echo("\nhint: there are more changes: --limit 0 prints all", err=True)


@click.command(short_help="List the columns.")
@table_argument
@json_option
@click.pass_context
def schema(context: click.Context, *, table: str, as_json: bool) -> None:
    """List the columns of TABLE, TABLE@VERSION or TABLE@TAG, with their types."""
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    source = open_table(context, table)
    opened = source.open()
    partitions = opened.metadata().partition_columns
    import pyarrow as pa

    fields = list(pa.schema(opened.schema().to_arrow()))
    if as_json:
        found: list[Json] = [
            {
                "name": field.name,
                "type": str(field.type),
                "nullable": field.nullable,
                "partition": field.name in partitions,
            }
            for field in fields
        ]
        print_json("lakemark.tables.schema/1", {"table": source.uri, "version": opened.version(), "columns": found})
        return
    rows = [
        (
            plain(field.name),
            plain(str(field.type)),
            "yes" if field.nullable else "no",
            "yes" if field.name in partitions else "-",
        )
        for field in fields
    ]
    for line in table_lines(("COLUMN", "TYPE", "NULL", "PARTITION"), rows, width=terminal_width()):
        click.echo(line)


@click.command(short_help="List the commits: who, when and why.")
@table_argument
@click.option("--limit", type=click.IntRange(min=1), default=_FEW, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def history(context: click.Context, *, table: str, limit: int, as_json: bool) -> None:
    """List the commits of TABLE, the latest first: when, by which run and step or user, and why."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    source = open_table(context, table)
    found = source.history(limit=limit + 1)
    shown = found[:limit]
    if as_json:
        print_json(
            "lakemark.tables.history/1",
            {
                "table": source.uri,
                "name": source.name,
                "commits": [_commit_document(one) for one in shown],
                "complete": len(found) <= limit,
            },
        )
    else:
        rows = [
            (
                str(one.version),
                rfc3339(one.timestamp_ms),
                plain(one.operation or "-"),
                _rows_touched(one),
                plain(one.commit.run_id or one.user or one.engine or "-"),
                plain(one.commit.node or "-"),
                plain(one.commit.message or "-"),
            )
            for one in shown
        ]
        header = ("VERSION", "TIME", "OPERATION", "ROWS", "BY", "NODE", "MESSAGE")
        for line in table_lines(header, rows, width=terminal_width(), rigid=("VERSION", "TIME")):
            click.echo(line)
    if len(found) > limit and not as_json:
        click.echo(f"\nhint: there are older ones: lakemark tables history {table} --limit {limit * 5}", err=True)


def _file_kind(kind: str, output: Path | None) -> str:
    """Return the format of a file: what was said, else what its name ends in."""
    if kind == "parquet" and output is None:
        raise click.UsageError("parquet is no text; give --output FILE")
    if kind != "table":
        return kind
    ending = output.suffix.removeprefix(".") if output else ""
    if ending not in _FILE_FORMATS:
        raise click.UsageError(f"what format is {output}? give --format {', '.join(_FILE_FORMATS)}")
    return ending


def _write(rows: pa.RecordBatchReader, kind: str, output: Path | None, *, limit: int | None, named: str) -> None:
    import pyarrow as pa

    from lakemark.cli.text import counted
    from lakemark.tables.reads.exports import Format, export, write_rows

    some = _limited(rows, limit or None)
    if output is None:
        write_rows(some, rows.schema, sys.stdout.buffer, kind=Format(kind))
        sys.stdout.flush()
        return
    count = export(pa.RecordBatchReader.from_batches(rows.schema, some), output, kind=Format(kind))
    click.echo(f"wrote {counted(count, 'row')} of {named} to {output}", err=True)


def _limited(rows: pa.RecordBatchReader, limit: int | None) -> Iterator[pa.RecordBatch]:
    left = limit
    for batch in rows:
        yield batch if left is None else batch.slice(0, left)
        left = None if left is None else left - batch.num_rows
        if left is not None and left <= 0:
            return


def _documents(rows: pa.Table) -> list[Json]:
    return [json_value(row) for row in cast("Sequence[Mapping[str, object]]", rows.to_pylist())]


def _print_rows(rows: pa.Table) -> None:
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    found = cast("Sequence[Mapping[str, object]]", rows.to_pylist())
    header = [plain(name) for name in rows.column_names]
    for line in table_lines(header, [[cell(value) for value in row.values()] for row in found], width=terminal_width()):
        click.echo(line)


def _rows_touched(record: CommitRecord) -> str:
    """Return how many rows a commit added, updated and deleted; rows that it only copied do not count."""
    said = {
        verb: int(count)
        for verb, metrics in _TOUCHED.items()
        if (count := next((record.metrics[name] for name in metrics if name in record.metrics), "")).isdigit()
    }
    if not said and record.added_rows is not None:
        said = {"added": record.added_rows}
    return ", ".join(f"{count:,} {verb}" for verb, count in said.items() if count) or ("0" if said else "-")


def _commit_document(record: CommitRecord) -> Json:
    from lakemark._base.clock import rfc3339

    return {
        "version": record.version,
        "timestamp": rfc3339(record.timestamp_ms),
        "operation": record.operation,
        "run_id": record.commit.run_id,
        "node": record.commit.node,
        "message": record.commit.message,
        "user": record.user or None,
        "engine": record.engine,
        "parameters": dict(record.parameters),
        "metrics": dict(record.metrics),
    }
