"""Commands that make tables and change their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import click

from lakemark.cli.tables.output import (
    create_target,
    file_argument,
    json_option,
    message_option,
    open_table,
    print_version,
)

__all__ = ["append", "create", "overwrite", "read_pairs"]


@click.command()
@click.argument("table")
@click.option(
    "--from", "source", metavar="FILE", type=click.Path(path_type=Path), help="Rows: .csv, .parquet or .jsonl."
)
@click.option("--schema", metavar="COLUMNS", help='No rows, but columns: "day:date, amount:double".')
@click.option("--partition-by", metavar="COLUMN", multiple=True, help="A column whose values become folders.")
@click.option("--generated", metavar="COLUMN=SQL", multiple=True, help="A column that every write computes.")
@click.option("--property", "properties", metavar="NAME=VALUE", multiple=True, help="A property of the table.")
@click.option("--comment", metavar="TEXT", help="What the table is.")
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
    generated: tuple[str, ...],
    properties: tuple[str, ...],
    comment: str | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Make TABLE from a file, or empty with a schema.

    A name with a dot, such as sales.orders, makes a table of the catalog, in the warehouse; all else is a folder.
    """
    from lakemark.tables.naming.names import parse_columns
    from lakemark.tables.table import Commit
    from lakemark.tables.writes.sources import FileSource

    if (source is None) == (schema is None):
        raise click.UsageError("give either --from FILE or --schema COLUMNS")
    data = parse_columns(schema) if schema is not None else FileSource(cast("Path", source))
    with create_target(context, table) as made:
        version = made.create(
            data,
            partition_by=partition_by,
            generated=read_pairs(generated, option="--generated"),
            properties=read_pairs(properties, option="--property"),
            comment=comment,
            commit=Commit(message=message),
        )
    print_version(made, version, as_json=as_json)


@click.command()
@click.argument("table")
@file_argument
@click.option("--schema-mode", type=click.Choice(["merge"]), help="merge: add columns that TABLE lacks.")
@message_option
@json_option
@click.pass_context
def append(
    context: click.Context,
    *,
    table: str,
    file: Path,
    schema_mode: Literal["merge"] | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Add the rows of FILE (.csv, .parquet or .jsonl) to TABLE."""
    from lakemark.tables.table import Commit
    from lakemark.tables.writes.sources import FileSource

    target = open_table(context, table, writable=True)
    version = target.append(FileSource(file), schema_mode=schema_mode, commit=Commit(message=message))
    print_version(target, version, as_json=as_json)


@click.command(short_help="Replace the rows of TABLE by those of FILE.")
@click.argument("table")
@file_argument
@click.option("--where", metavar="SQL", help="Only rows that this is true for, and FILE has only such rows.")
@click.option("--replace-schema", is_flag=True, help="Take the columns of the file too.")
@message_option
@json_option
@click.pass_context
def overwrite(
    context: click.Context,
    *,
    table: str,
    file: Path,
    where: str | None,
    replace_schema: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Replace the rows of TABLE by those of FILE; older versions stay."""
    from lakemark.tables.table import Commit
    from lakemark.tables.writes.sources import FileSource

    target = open_table(context, table, writable=True)
    version = target.overwrite(
        FileSource(file),
        where=where,
        schema_mode="overwrite" if replace_schema else None,
        commit=Commit(message=message),
    )
    print_version(target, version, as_json=as_json)


def read_pairs(texts: Sequence[str], *, option: str) -> dict[str, str]:
    """Return what options of the form NAME=VALUE say."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise click.UsageError(f"{option} {text!r} is not of the form NAME=VALUE")
        if name.strip() in pairs:
            raise click.UsageError(f"{option} gives {name.strip()!r} twice")
        pairs[name.strip()] = value.strip()
    return pairs
