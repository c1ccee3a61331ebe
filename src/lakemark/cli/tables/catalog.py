"""Commands on the catalog: names of tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import find_catalog, json_option, print_json

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.naming.description import TableDescription
    from lakemark.tables.naming.entries import CatalogRecord
    from lakemark.tables.naming.removal import Dropped

__all__ = ["describe", "drop", "list_tables", "register", "rename", "search"]


@click.command("list", short_help="List the tables of the catalog.")
@click.option("--catalog", metavar="CATALOG", help="Only those of this catalog.")
@click.option("--schema", metavar="SCHEMA", help="Only those of this schema.")
@json_option
@click.pass_context
def list_tables(context: click.Context, *, catalog: str | None, schema: str | None, as_json: bool) -> None:
    """List the tables of the catalog by name."""
    from lakemark.cli.opening import open_here
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    found = open_here(context).catalog.list(catalog=catalog, schema=schema)
    if as_json:
        print_json("lakemark.tables.list/1", {"tables": [_record_document(record) for record in found]})
        return
    if not found:
        what = "no table has a name yet" if catalog is None and schema is None else "there is no table in it"
        click.echo(f"{what}\n\nhint: lakemark tables register NAME URI gives a name to a table", err=True)
        return
    rows = [(_name(record), plain(record.uri), plain(record.comment or "-")) for record in found]
    for line in table_lines(("TABLE", "LOCATION", "COMMENT"), rows, width=terminal_width(), rigid=("TABLE",)):
        click.echo(line)


@click.command(short_help="Give a name to a Delta table that is there.")
@click.argument("name")
@click.argument("uri")
@click.option("--comment", metavar="TEXT", default="", help="What to say of the table.")
@click.option(
    "--protect/--no-protect", default=True, help="Set properties that keep other engines from deleting old versions."
)
@json_option
@click.pass_context
def register(context: click.Context, *, name: str, uri: str, comment: str, protect: bool, as_json: bool) -> None:
    """Give the Delta table at URI, a folder or any storage that deltalake reads, the name NAME.

    NAME is TABLE, SCHEMA.TABLE or CATALOG.SCHEMA.TABLE. The table stays where it is.
    """
    from lakemark.cli.opening import open_here

    catalog = open_here(context, make=True).catalog
    table = catalog.register(name, uri, comment=comment, protect=protect)
    record = catalog.record(name)
    if as_json:
        document: dict[str, Json] = {**_record_document(record), "version": table.version}
        print_json("lakemark.tables.register/1", document)
    else:
        click.echo(f"{table.name}@{table.version}")


@click.command(short_help="Show what there is to say of TABLE.")
@click.argument("table")
@json_option
@click.pass_context
def describe(context: click.Context, *, table: str, as_json: bool) -> None:
    """Show columns, rows, files, tags, pins and properties of TABLE, TABLE@VERSION or TABLE@TAG."""
    from lakemark.tables.naming.description import describe as describe_table
    from lakemark.tables.naming.places import open_place

    catalog = find_catalog(context)
    found = describe_table(open_place(table)) if catalog is None else catalog.describe(table)
    if as_json:
        print_json("lakemark.tables.describe/1", _description_document(found))
        return
    for line in _description_lines(found):
        click.echo(line)


@click.command(short_help="Find tables by name, comment or column.")
@click.argument("text")
@json_option
@click.pass_context
def search(context: click.Context, *, text: str, as_json: bool) -> None:
    """Find the tables that have TEXT in their name, their comment or the names of their columns, in whatever case."""
    from lakemark.cli.opening import open_here
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    found = open_here(context).catalog.search(text)
    if as_json:
        documents: list[Json] = [{**_record_document(one.record), "columns": list(one.columns)} for one in found]
        print_json("lakemark.tables.search/1", {"tables": documents})
        return
    if not found:
        click.echo(f"nothing has {text!r} in it\n\nhint: lakemark tables list lists all tables", err=True)
        return
    rows = [
        (_name(one.record), plain(", ".join(one.columns) or "-"), plain(one.record.comment or "-")) for one in found
    ]
    for line in table_lines(("TABLE", "COLUMNS", "COMMENT"), rows, width=terminal_width(), rigid=("TABLE",)):
        click.echo(line)


@click.command()
@click.argument("table")
@click.argument("new")
@json_option
@click.pass_context
def rename(context: click.Context, *, table: str, new: str, as_json: bool) -> None:
    """Give TABLE the name NEW; its files stay where they are."""
    from lakemark.cli.opening import open_here

    record = open_here(context).catalog.rename(table, new)
    if as_json:
        print_json("lakemark.tables.rename/1", _record_document(record))
    else:
        click.echo(_name(record))


@click.command(short_help="Forget the name of TABLE.")
@click.argument("table")
@click.option("--delete-files", is_flag=True, help="Delete the table with all its versions too, where nothing pins it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def drop(context: click.Context, *, table: str, delete_files: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Forget the name of TABLE. The table itself stays where it is, unless its files shall be deleted too."""
    from lakemark.cli.opening import open_here, open_recovered
    from lakemark.cli.text import counted, size

    # what a run has read that died is pinned only when it is settled, and held until then
    catalog = (open_recovered(context) if delete_files else open_here(context)).catalog
    if delete_files and not dry_run and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting needs --yes where nobody can be asked; --dry-run says what would go")
        planned = catalog.drop(table, delete_files=True, dry_run=True)
        what = f"{counted(planned.files, 'file')} ({size(planned.bytes)}) of {planned.record.uri}"
        question = f"delete {what}, with all versions?"
        click.confirm(question, abort=True, err=True)
    _print_dropped(catalog.drop(table, delete_files=delete_files, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


def _print_dropped(dropped: Dropped, *, dry_run: bool, as_json: bool) -> None:
    from lakemark.cli.text import counted, plain, size

    record = dropped.record
    if as_json:
        document: dict[str, Json] = {"dry_run": dry_run, "files": dropped.files, "bytes": dropped.bytes}
        print_json("lakemark.tables.drop/1", {**_record_document(record), **document})
        return
    would = "would be " if dry_run else ""
    if dropped.files:
        what = f"{counted(dropped.files, 'file')} ({size(dropped.bytes)}) of {plain(record.uri)}"
        left = f"{what} {would or 'are '}deleted"
    else:
        left = f"{plain(record.uri)} stays as it is"
    click.echo(f"the name {_name(record)} {would or 'is '}forgotten; {left}", err=True)


def _name(record: CatalogRecord) -> str:
    from lakemark.tables.naming.entries import key_of
    from lakemark.tables.naming.names import dotted

    return dotted(key_of(record))


def _record_document(record: CatalogRecord) -> dict[str, Json]:
    from lakemark._base.clock import rfc3339

    return {
        "name": _name(record),
        "table": record.uri,
        "table_id": record.table_id,
        "managed": record.managed,
        "comment": record.comment,
        "created": rfc3339(record.created_ms),
    }


def _description_document(found: TableDescription) -> dict[str, Json]:
    from lakemark._base.clock import rfc3339

    last = found.last_commit
    return {
        "name": found.name,
        "table": found.uri,
        "table_id": found.table_id,
        "version": found.version,
        "columns": {field.name: str(field.type) for field in found.schema},
        "required": [field.name for field in found.schema if not field.nullable],
        "partition_columns": list(found.partition_columns),
        "rows": found.rows,
        "files": found.files,
        "bytes": found.bytes,
        "comment": found.comment,
        "managed": found.managed,
        "properties": dict(found.properties),
        "tags": dict(found.tags),
        "pins": found.pins,
        "last_commit": None
        if last is None
        else {
            "timestamp": rfc3339(last.timestamp_ms),
            "operation": last.operation,
            "run_id": last.commit.run_id,
            "message": last.commit.message,
        },
    }


def _description_lines(found: TableDescription) -> Iterator[str]:
    from lakemark.cli.text import counted, paint, plain, size, terminal_width, wrap
    from lakemark.cli.text import table as table_lines

    width = terminal_width()
    yield paint(f"{found.name or plain(found.uri)}@{found.version}", "bold")
    rows = "an unknown number of rows" if found.rows is None else counted(found.rows, "row")
    facts = {
        "comment": found.comment,
        "location": f"{found.uri}{' (in the warehouse)' if found.managed else ''}",
        "content": f"{rows} in {counted(found.files, 'file')}, {size(found.bytes)}",
        "partitions": ", ".join(found.partition_columns),
        "tags": ", ".join(f"{tag}@{version}" for tag, version in found.tags.items()),
        "pins": str(found.pins or ""),
        "last commit": _commit_text(found),
        "properties": ", ".join(f"{key}={value}" for key, value in sorted(found.properties.items())),
        "id": found.table_id,
    }
    for label, text in facts.items():
        if text:
            yield from wrap(label, plain(text), indent=13, width=width)
    yield ""
    columns = [
        (plain(field.name), str(field.type), "" if field.nullable else "required", _said(field.metadata))
        for field in found.schema
    ]
    yield from table_lines(("COLUMN", "TYPE", "", ""), columns, width=width)


def _said(metadata: dict[bytes, bytes] | None) -> str:
    from lakemark.cli.text import plain

    return plain((metadata or {}).get(b"comment", b"").decode(errors="replace"))


def _commit_text(found: TableDescription) -> str:
    from lakemark._base.clock import rfc3339

    last = found.last_commit
    if last is None:
        return ""
    run = f" by run {last.commit.run_id[:8]}" if last.commit.run_id else ""
    message = f": {last.commit.message}" if last.commit.message else ""
    return f"{rfc3339(last.timestamp_ms)} {last.operation}{run}{message}"
