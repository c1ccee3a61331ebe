"""What the commands on tables share: options, the table that they write to, and how values are printed."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.table import Table

__all__ = [
    "cell",
    "file_argument",
    "json_option",
    "json_value",
    "message_option",
    "open_table",
    "print_json",
    "print_version",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
message_option = click.option("--message", metavar="TEXT", help="What the table's history shall say.")
file_argument = click.argument("file", type=click.Path(path_type=Path))


def open_table(context: click.Context, text: str, *, writable: bool = False) -> Table:  # noqa: ARG001
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
    from lakemark.tables.names import parse_table
    from lakemark.tables.table import Table

    name = parse_table(text)
    if writable and name.version is not None:
        raise click.UsageError(f"{text} names a version; give {name.uri}, only the latest can be changed")
    return Table(name.uri, at=name.version)


def print_version(table: Table, version: int, *, as_json: bool) -> None:
    """Print which version a write has made."""
    if as_json:
        print_json("lakemark.tables.commit/1", {"table": table.uri, "version": version})
    else:
        click.echo(f"{table.uri}@{version}")


def print_json(schema: str, document: Mapping[str, Json]) -> None:
    """Print a document with the name of its format."""
    click.echo(json.dumps({"schema": schema, **document}, indent=2))


def json_value(value: object) -> Json:
    """Return a value of a row as JSON can say it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def cell(value: object) -> str:
    """Return a value of a row as one line of text."""
    from lakemark.cli.text import plain

    return "-" if value is None else plain(value if isinstance(value, str) else str(value))
