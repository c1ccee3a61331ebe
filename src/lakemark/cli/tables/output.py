"""What the commands on tables share: options, the table that they write to, and how values are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.naming.catalog import Catalog
    from lakemark.tables.table import Table

__all__ = [
    "TableText",
    "cell",
    "create_target",
    "file_argument",
    "find_catalog",
    "json_option",
    "known_names",
    "message_option",
    "open_table",
    "print_json",
    "print_version",
    "table_argument",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
message_option = click.option("--message", metavar="TEXT", help="What the table's history shall say.")
table_argument = click.argument("table")
file_argument = click.argument("file", type=click.Path(path_type=Path))


class TableText(StringParamType):
    """The text that names a table; the shell completes the names of the catalog, or folders where none fits."""

    name = "text"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 -- click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        from lakemark._base.errors import LakemarkError
        from lakemark.tables.naming.entries import key_of
        from lakemark.tables.naming.names import brief

        root = ctx.find_root()
        if root.obj is None and root.params.get("home"):  # the shell asks without running the command
            root.obj = {"home": root.params["home"]}
        try:
            catalog = find_catalog(ctx)
            names = [] if catalog is None else [brief(key_of(record)) for record in catalog.list()]
        except LakemarkError:
            names = []
        fitting = [CompletionItem(name) for name in names if name.startswith(incomplete.lower())]
        return fitting or [CompletionItem(incomplete, type="dir")]


def open_table(context: click.Context, text: str, *, writable: bool = False) -> Table:
    """Return the table that TABLE, TABLE@VERSION or TABLE@TAG names, by the catalog of the home if there is one.

    Parameters
    ----------
    context : click.Context
        Of the command.
    text : str
        What was typed.
    writable : bool, default False
        Refuse a version, because only the latest can be changed.
    """
    from lakemark.tables.naming.names import parse_table
    from lakemark.tables.naming.places import open_place
    from lakemark.tables.table import Table

    ref = parse_table(text)
    if writable and ref.at is not None:
        raise click.UsageError(f"{text} names a version; give {ref.place}, only the latest can be changed")
    if ref.uri is not None and not isinstance(ref.at, str):
        return Table(ref.uri, at=ref.at)
    catalog = find_catalog(context)
    return open_place(text) if catalog is None else catalog.resolve(text)


@contextmanager
def create_target(context: click.Context, text: str) -> Iterator[Table]:
    """Yield the table that TABLE names, which the block has to create.

    A name with a dot is a table of the catalog, in the warehouse. A single word is a folder, as it always was, unless
    the catalog knows the name.
    """
    from lakemark.cli.opening import open_here
    from lakemark.tables.naming.names import parse_table
    from lakemark.tables.table import Table

    ref = parse_table(text)
    if ref.at is not None:
        raise click.UsageError(f"{text} names a version; give {ref.place}")
    catalog = find_catalog(context) if ref.name is not None else None
    if ref.name is not None and "." in ref.place:
        with (catalog or open_here(context).catalog).creating(ref.place) as table:
            yield table
    elif ref.name is not None and catalog is not None and catalog.store.get(ref.name) is not None:
        with catalog.creating(ref.place) as table:  # says that the name is taken
            yield table
    else:
        yield Table(ref.place)


def find_catalog(context: click.Context) -> Catalog | None:
    """Return the catalog of the home, or None where there is no home; none is made."""
    from lakemark.capture.workspace import open_workspace
    from lakemark.cli.opening import read_here

    settings = read_here(context)
    return open_workspace(settings).catalog if settings.home.is_dir() else None


def known_names(context: click.Context) -> Mapping[str, str]:
    """Return what the catalog calls the tables, by their URI; empty where there is no home."""
    from lakemark.tables.log.manifest import location
    from lakemark.tables.naming.entries import key_of
    from lakemark.tables.naming.names import dotted

    catalog = find_catalog(context)
    return {} if catalog is None else {location(record.uri): dotted(key_of(record)) for record in catalog.list()}


def print_version(table: Table, version: int, *, as_json: bool) -> None:
    """Print which version a write has made."""
    if as_json:
        print_json("lakemark.tables.commit/1", {"table": table.uri, "name": table.name, "version": version})
    else:
        click.echo(f"{table.name or table.uri}@{version}")


def print_json(schema: str, document: Mapping[str, Json]) -> None:
    """Print a document with the name of its format."""
    click.echo(json.dumps({"schema": schema, **document}, indent=2))


def cell(value: object) -> str:
    """Return a value of a row as one line of text."""
    from lakemark.cli.text import plain

    return "-" if value is None else plain(value if isinstance(value, str) else str(value))
