"""The command that compares two versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lakemark._base.canonical import json_value
from lakemark.cli.tables.output import cell, json_option, open_table, print_json

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.differences.diff import Difference, Figure, Side

__all__ = ["diff"]


@click.command(short_help="Compare two versions of a table, or two tables.")
@click.argument("before")
@click.argument("after")
@click.option("--key", metavar="COLUMN", multiple=True, help="A column that names a row; repeat it for more.")
@click.option("--column", metavar="COLUMN", multiple=True, help="Compare this column; repeat it. Without it, all.")
@click.option(
    "--statistics",
    type=click.Choice(["changed", "all", "none"]),
    default="changed",
    show_default=True,
    help="Null rates and means: of the files that differ, or of all.",
)
@click.option("--limit", type=click.IntRange(min=0), default=5, show_default=True, help="Rows shown of each kind.")
@click.option("--output", metavar="FILE.parquet", type=click.Path(path_type=Path), help="Write all rows that differ.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.pass_context
def diff(
    context: click.Context,
    *,
    before: str,
    after: str,
    key: tuple[str, ...],
    column: tuple[str, ...],
    statistics: str,
    limit: int,
    output: Path | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Say what changed from BEFORE to AFTER: columns, rows, nulls and means.

    Both are TABLE, TABLE@VERSION or TABLE@TAG; @VERSION alone means the table of BEFORE. Without --key whole rows are
    compared. Only the files that differ are read.
    """
    from lakemark.tables.differences import diff as differences
    from lakemark.tables.reads.exports import Format, export

    if output is not None and output.suffix != ".parquet":
        raise click.UsageError(f"--output {output} does not end in .parquet, and Parquet is what is written")
    other = f"{_without_version(before)}{after}" if after.startswith("@") else after
    sides = open_table(context, before), open_table(context, other)
    found = differences.diff(*sides, key=key or None, columns=column or None, statistics=statistics, limit=limit)
    with found:
        if as_json:
            print_json("lakemark.tables.diff/1", _document(found))
        else:
            _print(found, limit=limit)
        if output is not None:
            count = export(found.rows(), output, kind=Format.PARQUET)
            from lakemark.cli.text import counted

            click.echo(f"wrote {counted(count, 'row')} to {output}", err=True)
    context.exit(1 if exit_code and found else 0)


def _without_version(text: str) -> str:
    from lakemark.tables.naming.names import parse_table

    return text if parse_table(text).at is None else text.rpartition("@")[0]


def _print(found: Difference, *, limit: int) -> None:
    from lakemark.cli.text import counted, size

    files = found.files
    for label, side in (("before", found.before), ("after", found.after)):
        rows = "" if side.rows is None else f"  ({counted(side.rows, 'row')})"
        click.echo(f"{label:<8}{cell(side)}{rows}")
    read = f"{files.before} of before and {files.after} of after read, {size(files.bytes)}"
    click.echo(f"files   {files.shared} shared; {read}")
    _print_schema(found)
    counts = found.counts
    by = f"by {', '.join(map(cell, found.key))}" if found.key else "as whole rows"
    changed = f", {counts.changed:,} changed" if found.key else ""
    click.echo(f"\nrows {by}: {counts.added:,} added, {counts.removed:,} removed{changed}")
    if counts.columns:
        click.echo("changed values: " + ", ".join(f"{cell(name)} {count:,}" for name, count in counts.columns.items()))
    _print_statistics(found)
    _print_examples(found)
    if limit and max(counts.added, counts.removed, counts.changed) > limit:
        click.echo("\nhint: --output FILE.parquet writes all rows that differ", err=True)


def _print_schema(found: Difference) -> None:
    schema = found.schema
    if not schema:
        return
    click.echo("\ncolumns")
    for field in schema.added:
        click.echo(f"  + {cell(field.name)} {field.type}")
    for field in schema.removed:
        click.echo(f"  - {cell(field.name)} {field.type}")
    for change in schema.retyped:
        left_out = "" if change.common is not None else "; its values were not compared"
        click.echo(f"  ~ {cell(change.column)} {change.before} -> {change.after}{left_out}")


def _print_statistics(found: Difference) -> None:
    from lakemark.cli.text import table, terminal_width

    lines = []
    for column in found.statistics:
        figures = (("nulls", column.nulls), ("null rate", column.null_rate), ("mean", column.mean))
        for name, figure in figures:
            if figure is not None and figure.moved:
                numbers = [_number(value) for value in (figure.before, figure.after, figure.delta)]
                lines.append((cell(column.column), name, *numbers, str(figure.scope)))
    if lines:
        click.echo()
        for line in table(("COLUMN", "FIGURE", "BEFORE", "AFTER", "DELTA", "OF"), lines, width=terminal_width()):
            click.echo(line)


def _number(value: float | None) -> str:
    from lakemark.cli.text import number

    return "-" if value is None else number(value)


def _print_examples(found: Difference) -> None:
    from lakemark.cli.text import table, terminal_width

    examples = found.examples
    for kind, rows in (("added", examples.added), ("removed", examples.removed), ("changed", examples.changed)):
        if not rows.num_rows:
            continue
        of = getattr(found.counts, kind)
        click.echo(f"\n{kind} rows" + (f", the first {rows.num_rows} of {of:,}" if of > rows.num_rows else ""))
        records = cast("Sequence[Mapping[str, object]]", rows.to_pylist())
        if kind == "changed":
            names, lines = _changed_lines(found, records)
        else:
            names, lines = rows.column_names, [[cell(value) for value in row.values()] for row in records]
        for line in table([cell(name) for name in names], lines, width=terminal_width()):
            click.echo(line)


def _changed_lines(found: Difference, records: Sequence[Mapping[str, object]]) -> tuple[list[str], list[list[str]]]:
    """Return the key and the columns that changed in any of the rows, and their values."""
    changed = {name for row in records for name in cast("list[str]", row["columns"])}
    names = [*(found.key or ()), *(name for name in found.compared if name in changed)]
    lines = []
    for row in records:
        old, new = (cast("Mapping[str, object]", row[side]) for side in ("before", "after"))
        moved = cast("list[str]", row["columns"])
        lines.append(
            [f"{cell(old[name])} -> {cell(new[name])}" if name in moved else cell(new[name]) for name in names]
        )
    return names, lines


def _document(found: Difference) -> dict[str, Json]:
    schema, counts, files = found.schema, found.counts, found.files
    examples = {"added": found.examples.added, "removed": found.examples.removed, "changed": found.examples.changed}
    return {
        "different": bool(found),
        "before": _side(found.before),
        "after": _side(found.after),
        "files": {"shared": files.shared, "before": files.before, "after": files.after, "bytes": files.bytes},
        "columns": {
            "added": {field.name: str(field.type) for field in schema.added},
            "removed": {field.name: str(field.type) for field in schema.removed},
            "retyped": {
                change.column: {
                    "before": str(change.before),
                    "after": str(change.after),
                    "compared_as": None if change.common is None else str(change.common),
                }
                for change in schema.retyped
            },
            "compared": list(found.compared),
        },
        "rows": {
            "key": None if found.key is None else list(found.key),
            "added": counts.added,
            "removed": counts.removed,
            "changed": counts.changed,
            "changed_columns": dict(counts.columns),
        },
        "statistics": {
            column.column: {
                "nulls": _figure(column.nulls),
                "null_rate": _figure(column.null_rate),
                "mean": None if column.mean is None else _figure(column.mean),
            }
            for column in found.statistics
        },
        "examples": {name: [json_value(row) for row in rows.to_pylist()] for name, rows in examples.items()},
    }


def _side(side: Side) -> Json:
    return {
        "table": side.uri,
        "name": side.name,
        "id": side.table_id,
        "version": side.version,
        "rows": side.rows,
    }


def _figure(figure: Figure) -> Json:
    return {
        "of": str(figure.scope),
        "before": json_value(figure.before),
        "after": json_value(figure.after),
        "delta": json_value(figure.delta),
    }
