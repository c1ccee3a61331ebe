"""Commands that read rows and the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import click

from lakemark.cli.tables.output import cell, json_option, json_value, open_table, print_json

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.table import CommitRecord

__all__ = ["history", "read"]


@click.command()
@click.argument("table")
@click.option("--timestamp", metavar="TIME", help="The version at that time: 2013-06-24T00:00:00Z.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows; 0 prints all.")
@json_option
@click.pass_context
def read(context: click.Context, *, table: str, timestamp: str | None, limit: int, as_json: bool) -> None:
    """Print rows of TABLE or TABLE@VERSION, always in the same order."""
    from lakemark.cli.text import table as table_lines
    from lakemark.cli.text import terminal_width

    source = open_table(context, table)
    head = source.head(limit or None, timestamp=timestamp)
    rows = cast("Sequence[Mapping[str, object]]", head.rows.to_pylist())
    if as_json:
        print_json(
            "lakemark.tables.read/1",
            {
                "table": source.uri,
                "version": head.version,
                "columns": {field.name: str(field.type) for field in head.rows.schema},
                "rows": [json_value(row) for row in rows],
                "complete": head.complete,
            },
        )
        return
    for line in table_lines(
        head.rows.column_names, [[cell(value) for value in row.values()] for row in rows], width=terminal_width()
    ):
        click.echo(line)
    if not head.complete:
        click.echo(f"\nhint: there are more rows: lakemark tables read {table} --limit 0", err=True)


@click.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def history(context: click.Context, *, table: str, limit: int, as_json: bool) -> None:
    """List the commits of TABLE, the latest first."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    source = open_table(context, table)
    found = source.history(limit=limit + 1)
    shown = found[:limit]
    if as_json:
        print_json(
            "lakemark.tables.history/1", {"table": source.uri, "commits": [_commit_document(one) for one in shown]}
        )
    else:
        rows = [
            (
                str(one.version),
                rfc3339(one.timestamp_ms),
                one.operation,
                one.metrics.get("num_added_rows", "-"),
                one.commit.run_id or "-",
                plain(one.commit.message or "-"),
            )
            for one in shown
        ]
        for line in table_lines(
            ("VERSION", "TIME", "OPERATION", "ROWS", "RUN", "MESSAGE"), rows, width=terminal_width()
        ):
            click.echo(line)
    if len(found) > limit:
        click.echo(f"\nhint: there are older ones: lakemark tables history {table} --limit {limit * 5}", err=True)


def _commit_document(record: CommitRecord) -> Json:
    from lakemark._base.clock import rfc3339

    return {
        "version": record.version,
        "timestamp": rfc3339(record.timestamp_ms),
        "operation": record.operation,
        "run_id": record.commit.run_id,
        "node": record.commit.node,
        "message": record.commit.message,
        "engine": record.engine,
        "parameters": dict(record.parameters),
        "metrics": dict(record.metrics),
    }
