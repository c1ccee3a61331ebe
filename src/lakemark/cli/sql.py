"""`lakemark sql`: one query over tables at their versions; rows on stdout or in a file, what was read on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, TypeAlias, cast

import click

if TYPE_CHECKING:
    import pyarrow as pa

    from lakemark._base.canonical import Json
    from lakemark.tables.queries.sql import SqlResult

_Writer: TypeAlias = "Callable[[SqlResult, BinaryIO, int | None], bool]"
__all__ = ["sql"]

_SCHEMA = "lakemark.sql/1"
_SHOWN = 20
_HELP = """Run one SELECT over tables; nothing else is allowed.

A table is a name or a folder in quotes, at the version that stands behind it.

\b
lakemark sql "select count(*) from sales.orders version as of 12"
lakemark sql "from 'lake/flights@3'" --output flights.parquet
"""
_FORMATS = ("table", "csv", "json", "parquet")


@click.command(short_help="Query tables at their versions with SQL.", help=_HELP)
@click.argument("query", required=False)
@click.option(
    "--file", "source", type=click.File(), metavar="QUERY.sql", help="Take the query from a file; - is stdin."
)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="Default: by the name of --output, else table; json: --json."
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the rows there.")
@click.option("--limit", type=click.IntRange(min=0), help="Rows; 0 is all. Default: 20 in a table, else all.")
@click.option("--threads", type=click.IntRange(min=1), help="Default: all cores, and 1 inside a run.")
@click.option("--memory", metavar="SIZE", help="Spill to disk above it: 2GB. Default: four fifths of the memory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def sql(
    context: click.Context,
    *,
    query: str | None,
    source: TextIO | None,
    form: str | None,
    output: Path | None,
    limit: int | None,
    threads: int | None,
    memory: str | None,
    as_json: bool,
) -> None:
    """Run one SELECT over tables, at the versions that the query names."""
    from lakemark.cli.tables.output import open_table
    from lakemark.tables.queries.sql import sql as run

    if (query is None) == (source is None):
        raise click.UsageError("give a query, or --file with one")
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} contradict each other")
    chosen = "json" if as_json else form or _by_name(output)
    if chosen == "parquet" and output is None:
        raise click.UsageError("parquet needs --output FILE")
    text = query if source is None else source.read()
    result = run(
        cast("str", text), resolve=lambda name: open_table(context, name), threads=threads, memory_limit=memory
    )
    room = limit if limit is not None else _SHOWN if chosen == "table" and output is None else 0
    with _sink(output) as sink:
        complete = _WRITERS[chosen](result, sink, room or None)
    _tell(result, chosen=chosen, complete=complete, output=output)


def _by_name(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.lower().lstrip(".")
    return suffix if suffix in _FORMATS else "table"


def _tell(result: SqlResult, *, chosen: str, complete: bool, output: Path | None) -> None:
    from lakemark.cli.text import plain

    for use in result.tables:
        if chosen != "json" or output is not None:
            click.echo(f"read {plain(use.name.rpartition('@')[0] or use.name)}@{use.version}", err=True)
    if not complete:
        click.echo("\nhint: there are more rows: --limit 0 prints all", err=True)


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    """Yield where the bytes go; a file appears when it is whole, and not at all where something fails."""
    if output is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _limited(result: SqlResult, room: int | None) -> Iterator[pa.RecordBatch | None]:
    """Yield batches of at most `room` rows together, and None at the end where rows are left."""
    left = room
    for batch in result.batches():
        yield batch if left is None else batch.slice(0, left)
        if left is not None:
            if batch.num_rows > left:
                yield None
                return
            left -= batch.num_rows


def _write_table(result: SqlResult, sink: BinaryIO, room: int | None) -> bool:
    from lakemark.cli.tables.output import cell
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    batches = list(_limited(result, room))
    rows = [[cell(value) for value in row] for batch in batches if batch is not None for row in _rows(batch)]
    header = [plain(name) for name in result.schema.names]
    lines = table_lines(header, rows, width=terminal_width())
    sink.writelines(line.encode(errors="replace") + b"\n" for line in lines)
    return None not in batches


def _write_json(result: SqlResult, sink: BinaryIO, room: int | None) -> bool:
    import json

    from lakemark._base.canonical import json_value

    head: Mapping[str, Json] = {
        "schema": _SCHEMA,
        "tables": [
            {"name": use.name, "uri": use.uri, "table_id": use.table_id, "version": use.version}
            for use in result.tables
        ],
        "columns": [{"name": field.name, "type": str(field.type)} for field in result.schema],
    }
    sink.write(json.dumps(head, indent=2)[:-2].encode() + b',\n  "rows": [')
    gap, complete = b"\n    ", True
    for batch in _limited(result, room):
        if batch is None:
            complete = False
            break
        for row in _rows(batch):
            sink.write(gap + json.dumps([json_value(value) for value in row]).encode())
            gap = b",\n    "
    sink.write(f'\n  ],\n  "complete": {json.dumps(complete)}\n}}\n'.encode())
    return complete


def _write_csv(result: SqlResult, sink: BinaryIO, room: int | None) -> bool:
    return _write_rows(result, sink, room, kind="csv")


def _write_parquet(result: SqlResult, sink: BinaryIO, room: int | None) -> bool:
    return _write_rows(result, sink, room, kind="parquet")


def _write_rows(result: SqlResult, sink: BinaryIO, room: int | None, *, kind: str) -> bool:
    from lakemark.tables.reads.exports import Format, write_rows

    complete = True

    def shown() -> Iterator[pa.RecordBatch]:
        nonlocal complete
        for batch in _limited(result, room):
            if batch is None:
                complete = False
            else:
                yield batch

    write_rows(shown(), result.schema, sink, kind=Format(kind))
    return complete


def _rows(batch: pa.RecordBatch) -> Iterator[Sequence[object]]:
    """Yield rows as values; two columns may have the same name."""
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


_WRITERS: Mapping[str, _Writer] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
