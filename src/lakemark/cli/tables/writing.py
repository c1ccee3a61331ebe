"""Commands that make tables and change their rows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from lakemark.cli.tables.output import file_argument, json_option, message_option, open_table, print_version

__all__ = ["append", "create", "overwrite"]


@click.command()
@click.argument("table")
@click.option("--from", "source", metavar="FILE", type=click.Path(path_type=Path), help="Rows: .csv or .parquet.")
@click.option("--schema", metavar="COLUMNS", help='No rows, but columns: "day:date, amount:double".')
@click.option("--partition-by", metavar="COLUMN", multiple=True, help="A column whose values become folders.")
@message_option
@json_option
@click.pass_context
def create(
    context: click.Context,
    *,
    table: str,
    source: Path | None,
    schema: str | None,
    partition_by: tuple[str, ...],
    message: str | None,
    as_json: bool,
) -> None:
    """Make TABLE from a file, or empty with a schema."""
    from lakemark.tables.names import parse_columns
    from lakemark.tables.sources import FileSource
    from lakemark.tables.table import Commit

    if (source is None) == (schema is None):
        raise click.UsageError("give either --from FILE or --schema COLUMNS")
    data = parse_columns(schema) if schema is not None else FileSource(cast("Path", source))
    made = open_table(context, table, writable=True)
    version = made.create(data, partition_by=partition_by, commit=Commit(message=message))
    print_version(made, version, as_json=as_json)


@click.command()
@click.argument("table")
@file_argument
@message_option
@json_option
@click.pass_context
def append(context: click.Context, *, table: str, file: Path, message: str | None, as_json: bool) -> None:
    """Add the rows of FILE (.csv or .parquet) to TABLE."""
    from lakemark.tables.sources import FileSource
    from lakemark.tables.table import Commit

    target = open_table(context, table, writable=True)
    version = target.append(FileSource(file), commit=Commit(message=message))
    print_version(target, version, as_json=as_json)


@click.command(short_help="Replace the rows of TABLE by those of FILE.")
@click.argument("table")
@file_argument
@click.option("--replace-schema", is_flag=True, help="Take the columns of the file too.")
@message_option
@json_option
@click.pass_context
def overwrite(
    context: click.Context, *, table: str, file: Path, replace_schema: bool, message: str | None, as_json: bool
) -> None:
    """Replace the rows of TABLE by those of FILE; older versions stay."""
    from lakemark.tables.sources import FileSource
    from lakemark.tables.table import Commit

    target = open_table(context, table, writable=True)
    version = target.overwrite(FileSource(file), commit=Commit(message=message), replace_schema=replace_schema)
    print_version(target, version, as_json=as_json)
