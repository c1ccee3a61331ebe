"""Commands that change what is in a table: rows, columns, rules, properties."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lakemark.cli.tables.output import (
    file_argument,
    json_option,
    message_option,
    open_table,
    print_json,
    print_version,
)
from lakemark.cli.tables.writing import read_pairs

if TYPE_CHECKING:
    from lakemark.tables.table import Changed, Table

__all__ = ["add_column", "constrain", "delete", "merge", "restore", "set_property", "update", "widen"]


@click.command(short_help="Delete rows of TABLE.")
@click.argument("table")
@click.option("--where", metavar="SQL", help="Rows that this is true for.")
@click.option("--everything", is_flag=True, help="All rows.")
@click.option("--dry-run", is_flag=True, help="Only count the rows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@message_option
@json_option
@click.pass_context
def delete(
    context: click.Context,
    *,
    table: str,
    where: str | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Delete rows of TABLE; older versions keep them."""
    from lakemark.tables.table import Commit

    if (where is None) != everything:
        raise click.UsageError("give either --where SQL or --everything")
    target = open_table(context, table, writable=True)
    if dry_run:
        _print_count(target, target.count(where), as_json=as_json)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting needs --yes where nobody can be asked; --dry-run counts the rows")
        question = f"delete {_rows(target.count(where))} of {target.name or target.uri}?"
        click.confirm(question, abort=True, err=True)
    changed = target.delete(where, everything=everything, commit=Commit(message=message))
    _print_changed(target, changed, as_json=as_json)


@click.command(short_help="Change values in TABLE.")
@click.argument("table")
@click.option("--set", "assignments", metavar="COLUMN=SQL", multiple=True, required=True, help="A column's new value.")
@click.option("--where", metavar="SQL", help="Only rows that this is true for.")
@click.option("--dry-run", is_flag=True, help="Only count the rows.")
@message_option
@json_option
@click.pass_context
def update(
    context: click.Context,
    *,
    table: str,
    assignments: tuple[str, ...],
    where: str | None,
    dry_run: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Set columns of TABLE by SQL over the old values of their row; older versions keep those.

    Example: lakemark tables update sales.orders --set "price=price * 2" --where "shop = 'north'"
    """
    from lakemark.tables.table import Commit

    values = read_pairs(assignments, option="--set")
    target = open_table(context, table, writable=True)
    if dry_run:
        _print_count(target, target.count(where), as_json=as_json)
        return
    changed = target.update(values, where, commit=Commit(message=message))
    _print_changed(target, changed, as_json=as_json)


@click.command(short_help="Update and insert the rows of FILE in TABLE.")
@click.argument("table")
@file_argument
@click.option("--on", metavar="COLUMN", multiple=True, required=True, help="A column by which rows match; or one SQL.")
@click.option("--matched", type=click.Choice(["update", "ignore", "delete"]), default="update", show_default=True)
@click.option("--unmatched", type=click.Choice(["insert", "ignore"]), default="insert", show_default=True)
@click.option("--unmatched-by-source", type=click.Choice(["keep", "delete"]), default="keep", show_default=True)
@message_option
@json_option
@click.pass_context
def merge(
    context: click.Context,
    *,
    table: str,
    file: Path,
    on: tuple[str, ...],
    matched: Literal["update", "ignore", "delete"],
    unmatched: Literal["insert", "ignore"],
    unmatched_by_source: Literal["keep", "delete"],
    message: str | None,
    as_json: bool,
) -> None:
    """Merge the rows of FILE into TABLE: by default, update those that match and insert the others.

    --on is a column, given once for each; or, once, SQL over target and source: --on "target.id = source.id".
    """
    from lakemark.tables.table import Commit
    from lakemark.tables.writes.sources import FileSource

    target = open_table(context, table, writable=True)
    is_sql = len(on) == 1 and "source." in on[0]
    changed = target.merge(
        FileSource(file),
        on=on[0] if is_sql else on,
        matched=matched,
        unmatched=unmatched,
        unmatched_by_source=unmatched_by_source,
        commit=Commit(message=message),
    )
    _print_changed(target, changed, as_json=as_json)


@click.command(short_help="Make an older version of a table the latest.")
@click.argument("table", metavar="TABLE@VERSION")
@click.option("--timestamp", metavar="TIME", help="Instead of a version: RFC 3339, with its offset.")
@message_option
@json_option
@click.pass_context
def restore(context: click.Context, *, table: str, timestamp: str | None, message: str | None, as_json: bool) -> None:
    """Make TABLE@VERSION, TABLE@TAG or TABLE --timestamp the latest, by a new commit; nothing is lost."""
    from lakemark.tables.table import Commit, Table

    found = open_table(context, table)
    if (found.at is None) == (timestamp is None):
        raise click.UsageError(f"give a version, {table.partition('@')[0]}@VERSION, or --timestamp TIME")
    target = Table(found.uri, name=found.name)
    version = target.restore(found.at, timestamp=timestamp, commit=Commit(message=message))
    print_version(target, version, as_json=as_json)


@click.command(short_help="Add a rule that all rows of TABLE meet, or drop one.")
@click.argument("table")
@click.argument("name")
@click.argument("expression", metavar="[SQL]", required=False)
@click.option("--drop", is_flag=True, help="Remove the constraint.")
@message_option
@json_option
@click.pass_context
def constrain(
    context: click.Context,
    *,
    table: str,
    name: str,
    expression: str | None,
    drop: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Add the constraint NAME to TABLE: SQL that is true for every row, those that are there first.

    Example: lakemark tables constrain sales.orders positive "amount > 0"
    """
    from lakemark.tables.table import Commit

    if (expression is None) != drop:
        raise click.UsageError("give either SQL or --drop")
    target = open_table(context, table, writable=True)
    if expression is None:
        version = target.drop_constraint(name, commit=Commit(message=message))
    else:
        version = target.add_constraint(name, expression, commit=Commit(message=message))
    print_version(target, version, as_json=as_json)


@click.command("set", short_help="Set properties of TABLE.")
@click.argument("table")
@click.argument("properties", metavar="NAME=VALUE...", nargs=-1, required=True)
@message_option
@json_option
@click.pass_context
def set_property(
    context: click.Context, *, table: str, properties: tuple[str, ...], message: str | None, as_json: bool
) -> None:
    """Set properties of TABLE: those of Delta (delta.appendOnly=true), or of your own with another prefix."""
    from lakemark.tables.table import Commit

    values = read_pairs(properties, option="property")
    target = open_table(context, table, writable=True)
    print_version(target, target.set_properties(values, commit=Commit(message=message)), as_json=as_json)


@click.command("add-column", short_help="Add columns to TABLE.")
@click.argument("table")
@click.argument("columns", metavar="COLUMNS")
@message_option
@json_option
@click.pass_context
def add_column(context: click.Context, *, table: str, columns: str, message: str | None, as_json: bool) -> None:
    """Add COLUMNS, such as "note:string, rank:integer", to TABLE; rows that are there have nulls in them."""
    from lakemark.tables.naming.names import parse_columns
    from lakemark.tables.table import Commit

    schema = parse_columns(columns)
    target = open_table(context, table, writable=True)
    print_version(target, target.add_columns(schema, commit=Commit(message=message)), as_json=as_json)


@click.command(short_help="Give columns of TABLE wider types.")
@click.argument("table")
@click.argument("columns", metavar="COLUMNS")
@message_option
@json_option
@click.pass_context
def widen(context: click.Context, *, table: str, columns: str, message: str | None, as_json: bool) -> None:
    """Give COLUMNS, such as "amount:double, id:long", of TABLE wider types. All of its files are written again."""
    from lakemark.tables.naming.names import parse_columns
    from lakemark.tables.table import Commit

    wanted = {field.name: field.type for field in parse_columns(columns)}
    target = open_table(context, table, writable=True)
    print_version(target, target.widen(wanted, commit=Commit(message=message)), as_json=as_json)


def _print_changed(table: Table, changed: Changed, *, as_json: bool) -> None:
    counts = {"inserted": changed.inserted, "updated": changed.updated, "deleted": changed.deleted}
    if as_json:
        print_json(
            "lakemark.tables.changed/1",
            {"table": table.uri, "name": table.name, "version": changed.version, **counts},
        )
        return
    said = ", ".join(f"{count:,} {verb}" for verb, count in counts.items() if count) or "no row changed"
    click.echo(f"{table.name or table.uri}@{changed.version}")
    click.echo(said, err=True)


def _print_count(table: Table, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json("lakemark.tables.dry-run/1", {"table": table.uri, "name": table.name, "rows": count})
    else:
        click.echo(f"{_rows(count)} of {table.name or table.uri}")


def _rows(count: int) -> str:
    from lakemark.cli.text import counted

    return counted(count, "row")
