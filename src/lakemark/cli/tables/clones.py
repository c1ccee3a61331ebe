"""The command that makes a table of its own from a version of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import create_target, json_option, open_table, print_json
from lakemark.cli.tables.pinned import pins_of, table_or_place

if TYPE_CHECKING:
    from lakemark.tables.table import Table

__all__ = ["clone"]


@click.command(short_help="Make a table of its own from a version of SOURCE.")
@click.argument("source", metavar="SOURCE[@VERSION]")
@click.argument("destination", metavar="DEST")
@click.option("--copy", is_flag=True, help="Copy the files, though links would do.")
@json_option
@click.pass_context
def clone(context: click.Context, *, source: str, destination: str, copy: bool, as_json: bool) -> None:
    """Make a table of its own from a version of SOURCE; what is done to one never reaches the other.

    DEST is a name of the catalog, a folder or a URI. On one local disk the tables share files by hard links: that takes
    no room until the source deletes its own. A pinned version whose log is gone is made from its files.
    """
    with create_target(context, destination) as target:
        _clone(context, source, target, shallow=not copy)
    manifest = target.manifest()
    if as_json:
        print_json(
            "lakemark.tables.clone/1",
            {
                "table": target.uri,
                "name": target.name,
                "version": manifest.version,
                "table_id": manifest.table_id,
                "files": manifest.files,
                "bytes": manifest.bytes,
            },
        )
    else:
        click.echo(f"{target.name or target.uri}@{manifest.version}")


def _clone(context: click.Context, source: str, target: Table, *, shallow: bool) -> None:
    """Clone by the log of the source; where that no longer has the version, by the manifest of a pin."""
    from lakemark._base.errors import NotFoundError
    from lakemark.cli.opening import open_here
    from lakemark.tables.pinning.clones import clone as clone_table
    from lakemark.tables.pinning.clones import clone_pinned

    try:
        clone_table(open_table(context, source), target.uri, shallow=shallow)
    except NotFoundError:
        workspace = open_here(context)
        place = table_or_place(context, source)
        held = pins_of(workspace.pins.list(), place) if place.at is not None else []
        if not held:
            raise
        content = workspace.objects.get(held[-1].manifest)
        clone_pinned(content, target.uri, folder=place.uri, shallow=shallow)
