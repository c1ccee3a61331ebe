"""The command that splits a table into parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from lakemark._base.canonical import json_value
from lakemark.cli.tables.output import cell, json_option, open_table, print_json

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.splits.leaks import LeakReport
    from lakemark.tables.splits.split import Boundary, Splits

__all__ = ["split"]


@click.command(short_help="Split the rows of TABLE into parts, the same ones every time.")
@click.argument("table")
@click.option("--on", metavar="COLUMN", multiple=True, help="By hash: equal values stay together; repeat it for more.")
@click.option("--time-column", metavar="COLUMN", help="By time: the column of times.")
@click.option(
    "--by",
    type=click.Choice(["hash", "time"]),
    help="How; without it by time if there is a --time-column, else by hash.",
)
@click.option(
    "--part",
    "parts",
    metavar="NAME=SHARE",
    multiple=True,
    required=True,
    help="A part and its share: train=0.8; repeat it until all are 1. By time also when it ends, the last one never: "
    "train=2013-10-01T00:00:00Z, test=",
)
@click.option("--salt", metavar="TEXT", default="", help="Another text gives another split by hash.")
@click.option("--hashes", is_flag=True, help="Hash the rows of each part too.")
@click.option("--check-leaks", is_flag=True, help="Look for equal rows in two parts, and exit with 1 on a leak.")
@click.option("--group", metavar="COLUMN", multiple=True, help="A column whose groups must not be in two parts.")
@click.option(
    "--output", metavar="FOLDER", type=click.Path(path_type=Path), help="Write each part to FOLDER/NAME.parquet."
)
@json_option
@click.pass_context
def split(
    context: click.Context,
    *,
    table: str,
    on: tuple[str, ...],
    time_column: str | None,
    by: str | None,
    parts: tuple[str, ...],
    salt: str,
    hashes: bool,
    check_leaks: bool,
    group: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Split the rows of TABLE or TABLE@VERSION, by the hash of a key or by time.

    The parts are the same on every machine. By hash, a row stays in its part when rows are added. --json prints the
    document that gives the same split again.
    """
    from lakemark.tables.splits import leaks
    from lakemark.tables.splits import split as splits

    by = by or ("time" if time_column else "hash")
    if (by == "time") != (time_column is not None) or (by == "hash") != bool(on):
        raise click.UsageError("give --on COLUMN to split by hash, or --time-column COLUMN to split by time")
    boundaries = _parts(parts)
    for name in boundaries if output is not None else ():
        if "/" in name or name.startswith("."):
            raise click.UsageError(f"part {name!r} cannot be the name of a file")
    made = splits.split(open_table(context, table), boundaries, on=time_column or on, by=by, salt=salt, hashes=hashes)
    report = None
    if check_leaks or group:
        features = None if check_leaks else ()
        report = leaks.check_leaks(made, groups=group or None, features=features, time=time_column)
    if as_json:
        print_json("lakemark.tables.split/1", {"split": made.to_document(), "leaks": _leaks(report)})
    else:
        _print(made, report)
    if report is not None and not report.ok:
        click.echo("\nhint: nothing was written; split by the columns that must not cross", err=True)
        context.exit(1)
    if output is not None:
        _write(made, output)


def _parts(texts: tuple[str, ...]) -> dict[str, Boundary]:
    """Return what each `NAME=SHARE`, `NAME=INSTANT` or `NAME=` says."""
    found: dict[str, Boundary] = {}
    for part in texts:
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals):
            raise click.UsageError(f"--part {part!r} is not of the form NAME=SHARE")
        if name in found:
            raise click.UsageError(f"--part {name!r} is there twice")
        try:
            found[name] = float(value) if value else None
        except ValueError:
            found[name] = value
    return found


def _write(made: Splits, folder: Path) -> None:
    from lakemark._base.errors import StorageError
    from lakemark.cli.text import counted
    from lakemark.tables.reads.exports import Format, export

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error
    for name in made.names:
        file = folder / f"{name}.parquet"
        count = export(made.part(name), file, kind=Format.PARQUET)
        click.echo(f"wrote {counted(count, 'row')} to {file}", err=True)


def _print(made: Splits, report: LeakReport | None) -> None:
    from lakemark.cli.text import counted, table, terminal_width

    parts = cast("Sequence[Mapping[str, Json]]", made.to_document()["parts"])
    rows = sum(made.counts.values())
    source = made.table
    click.echo(f"{cell(source.name or source.uri)}@{made.version}, {counted(rows, 'row')}, by {_method(made)}")
    lines = []
    for part in parts:
        count = made.counts[str(part["name"])]
        line = [cell(part["name"]), f"{count:,}", f"{count / rows:.2%}" if rows else "-", cell(part["share"])]
        lines.append([*line, cell(part["until"]), *([cell(part["unordered"])] if made.hashes else [])])
    header = ("PART", "ROWS", "OF ALL", "SHARE", "UNTIL", *(["LMFP1"] if made.hashes else []))
    for text in table(header, lines, width=terminal_width()):
        click.echo(text)
    if report is not None:
        click.echo()
        for leak in report.leaks:
            example = ", ".join(f"{cell(name)}={value!r}" for name, value in leak.examples[0].items())
            click.echo(f"{leak.severity}: {cell(leak)}, for example {example}")
        if not report.leaks:
            click.echo("no leaks")


def _method(made: Splits) -> str:
    rule = made.assignment
    salt = f", salt {rule.salt!r}" if rule.salt else ""
    return f"{rule.method} of {', '.join(map(cell, rule.columns))}{salt}"


def _leaks(report: LeakReport | None) -> Json:
    if report is None:
        return None
    return [
        {
            "kind": str(leak.kind),
            "severity": str(leak.severity),
            "columns": list(leak.columns),
            "parts": list(leak.parts),
            "number": leak.number,
            "rows": leak.rows,
            "examples": [json_value(example) for example in leak.examples],
        }
        for leak in report.leaks
    ]
