"""Commands on tags: names for versions of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import json_option, known_names, open_table, print_json
from lakemark.cli.tables.pinned import deep_option, record_digests

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.pinning.tags import TagRecord

__all__ = ["tag", "tags", "untag"]


@click.command(short_help="Give a version of TABLE a name, and keep it readable.")
@click.argument("table", metavar="TABLE[@VERSION]")
@click.argument("name", metavar="TAG")
@click.option("--comment", metavar="TEXT", default="", help="What for.")
@click.option("--move", is_flag=True, help="Take the name from the version that has it.")
@deep_option
@json_option
@click.pass_context
def tag(context: click.Context, *, table: str, name: str, comment: str, move: bool, deep: bool, as_json: bool) -> None:
    """Give a version of TABLE, the latest if none is named, a name; vacuum never deletes a tagged version.

    TABLE@TAG then stands for TABLE@VERSION wherever a version is read.
    """
    from lakemark.cli.opening import open_here

    workspace = open_here(context, make=True)
    target = open_table(context, table)
    record = workspace.tags.tag(target, target.version, name, comment=comment, move=move)
    if deep:
        record_digests(workspace, record.manifest, record.table_uri)
    if as_json:
        print_json("lakemark.tables.tag/1", _document(record))
    else:
        click.echo(f"{target.name or target.uri}@{record.tag} is version {record.version}")


@click.command(short_help="Take a name from a version of TABLE.")
@click.argument("table")
@click.argument("name", metavar="TAG")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is remembered when the version is gone.")
@json_option
@click.pass_context
def untag(context: click.Context, *, table: str, name: str, reason: str, as_json: bool) -> None:
    """Take a name away; the next vacuum may delete the version, unless others hold it."""
    from lakemark.cli.opening import open_here

    workspace = open_here(context)
    target = open_table(context, table, writable=True)
    version = workspace.tags.untag(target, name, reason)
    workspace.pins.sweep(target.uri)  # where the table is now; it may have been moved since it was tagged
    if as_json:
        print_json("lakemark.tables.untag/1", {"table": target.uri, "tag": name, "version": version})
    else:
        click.echo(f"{name} no longer names {target.name or target.uri}@{version}", err=True)


@click.command(short_help="List the tags.")
@click.argument("table", required=False)
@json_option
@click.pass_context
def tags(context: click.Context, *, table: str | None, as_json: bool) -> None:
    """List the tags of TABLE, or of all tables."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.opening import open_here
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    workspace = open_here(context)
    target = None if table is None else open_table(context, table, writable=True)
    found = workspace.tags.list(target)
    if as_json:
        print_json("lakemark.tables.tags/1", {"tags": [_document(record) for record in found]})
        return
    if not found:
        click.echo("there are no tags\n\nhint: lakemark tables tag TABLE@VERSION TAG sets one", err=True)
        return
    names = known_names(context)
    rows = [
        (
            plain(names.get(record.table_uri, record.table_uri)),
            record.tag,
            str(record.version),
            rfc3339(record.created_ms),
            plain(record.comment or "-"),
        )
        for record in found
    ]
    for line in table_lines(("TABLE", "TAG", "VERSION", "SINCE", "COMMENT"), rows, width=terminal_width()):
        click.echo(line)


def _document(record: TagRecord) -> dict[str, Json]:
    from lakemark._base.clock import rfc3339

    return {
        "table": record.table_uri,
        "table_id": record.table_id,
        "tag": record.tag,
        "version": record.version,
        "manifest": record.manifest,
        "comment": record.comment,
        "created": rfc3339(record.created_ms),
    }
