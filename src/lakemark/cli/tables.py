"""`lakemark tables`: Delta tables from the command line."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.pins import PinRecord, PinState
    from lakemark.tables.table import CommitRecord, Table
    from lakemark.tables.vacuum import VacuumReport

__all__ = ["tables"]

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_message = click.option("--message", metavar="TEXT", help="What the table's history shall say.")
_file = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def tables() -> None:
    """Make, fill, read and clean up Delta tables.

    TABLE is a folder or a URI; where it is read, TABLE@VERSION names a version.
    """


@tables.command()
@click.argument("table")
@click.option("--from", "source", metavar="FILE", type=click.Path(path_type=Path), help="Rows: .csv or .parquet.")
@click.option("--schema", metavar="COLUMNS", help='No rows, but columns: "day:date, amount:double".')
@click.option("--partition-by", metavar="COLUMN", multiple=True, help="A column whose values become folders.")
@_message
@_json
def create(
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
    made = _writable(table)
    version = made.create(data, partition_by=partition_by, commit=Commit(message=message))
    _say_version(made, version, as_json=as_json)


@tables.command()
@click.argument("table")
@_file
@_message
@_json
def append(*, table: str, file: Path, message: str | None, as_json: bool) -> None:
    """Add the rows of FILE (.csv or .parquet) to TABLE."""
    from lakemark.tables.sources import FileSource
    from lakemark.tables.table import Commit

    target = _writable(table)
    version = target.append(FileSource(file), commit=Commit(message=message))
    _say_version(target, version, as_json=as_json)


@tables.command(short_help="Replace the rows of TABLE by those of FILE.")
@click.argument("table")
@_file
@click.option("--replace-schema", is_flag=True, help="Take the columns of the file too.")
@_message
@_json
def overwrite(*, table: str, file: Path, replace_schema: bool, message: str | None, as_json: bool) -> None:
    """Replace the rows of TABLE by those of FILE; older versions stay."""
    from lakemark.tables.sources import FileSource
    from lakemark.tables.table import Commit

    target = _writable(table)
    version = target.overwrite(FileSource(file), commit=Commit(message=message), replace_schema=replace_schema)
    _say_version(target, version, as_json=as_json)


@tables.command()
@click.argument("table")
@click.option("--timestamp", metavar="TIME", help="The version at that time: 2013-06-24T00:00:00Z.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Rows; 0 prints all.")
@_json
def read(*, table: str, timestamp: str | None, limit: int, as_json: bool) -> None:
    """Print rows of TABLE or TABLE@VERSION, always in the same order."""
    from lakemark.cli.text import table as table_lines
    from lakemark.cli.text import terminal_width
    from lakemark.tables.names import parse_table
    from lakemark.tables.table import Table

    name = parse_table(table)
    source = Table(name.uri)
    head = source.head(limit or None, version=name.version, timestamp=timestamp)
    rows = cast("Sequence[Mapping[str, object]]", head.rows.to_pylist())
    if as_json:
        _print_json(
            "lakemark.tables.read/1",
            {
                "table": source.uri,
                "version": head.version,
                "columns": {field.name: str(field.type) for field in head.rows.schema},
                "rows": [_json_value(row) for row in rows],
                "complete": head.complete,
            },
        )
        return
    for line in table_lines(
        head.rows.column_names, [[_cell(value) for value in row.values()] for row in rows], width=terminal_width()
    ):
        click.echo(line)
    if not head.complete:
        click.echo(f"\nhint: there are more rows: lakemark tables read {table} --limit 0", err=True)


@tables.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@_json
def history(*, table: str, limit: int, as_json: bool) -> None:
    """List the commits of TABLE, the latest first."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.table import Table

    source = Table(table)
    found = source.history(limit=limit + 1)
    shown = found[:limit]
    if as_json:
        _print_json(
            "lakemark.tables.history/1", {"table": source.uri, "commits": [_commit_document(one) for one in shown]}
        )
    else:
        rows = [
            (
                str(one.version),
                rfc3339(one.timestamp_ms),
                one.operation,
                one.metrics.get("num_added_rows", "-"),
                one.commit.run_id or "-",
                plain(one.commit.message or "-"),
            )
            for one in shown
        ]
        for line in table_lines(
            ("VERSION", "TIME", "OPERATION", "ROWS", "RUN", "MESSAGE"), rows, width=terminal_width()
        ):
            click.echo(line)
    if len(found) > limit:
        click.echo(f"\nhint: there are older ones: lakemark tables history {table} --limit {limit * 5}", err=True)


@tables.command(short_help="Delete the files of TABLE that nothing needs.")
@click.argument("table")
@click.option(
    "--retention-hours",
    metavar="HOURS",
    type=float,
    default=168.0,
    show_default=True,
    help="Versions replaced less than this ago stay readable.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
@click.pass_context
def vacuum(
    context: click.Context, *, table: str, retention_hours: float, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete the data files of TABLE that neither its latest version, nor a pin, nor a run under way needs."""
    from lakemark.cli.opening import open_here
    from lakemark.tables import vacuum as vacuuming

    workspace = open_here(context)
    target = _writable(table)

    def sweep(*, dry: bool) -> VacuumReport:
        kept = _needed(workspace, target)
        return vacuuming.vacuum(target, pins=kept, retention_hours=retention_hours, dry_run=dry)

    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting needs --yes where nobody can be asked; --dry-run says what would go")
        planned = sweep(dry=True)
        question = f"delete {len(planned.deleted)} files ({planned.deleted_bytes} bytes) of {target.uri}?"
        click.confirm(question, abort=True, err=True)
    _print_report(target, sweep(dry=dry_run), as_json=as_json)


@tables.command(short_help="List the pins, and whether they can still be read.")
@click.argument("table", required=False)
@_json
@click.pass_context
def pins(context: click.Context, *, table: str | None, as_json: bool) -> None:
    """List the pins on TABLE, or on all tables, and whether the versions can still be read."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.opening import open_here
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.manifest import location

    workspace = open_here(context)
    found = [pin for pin in workspace.pins.list() if table is None or location(pin.table_uri) == location(table)]
    states = [_state(workspace, pin) for pin in found]
    if as_json:
        documents = [_pin_document(pin, state) for pin, state in zip(found, states, strict=True)]
        _print_json("lakemark.tables.pins/1", {"pins": documents})
        return
    if not found:
        what = "there are no pins yet" if table is None else f"there is no pin on {location(table)}"
        click.echo(f"{what}\n\nhint: lakemark run pins the tables that a run reads", err=True)
        return
    rows = [
        (f"{pin.table_uri}@{pin.version}", state.status, pin.holder, rfc3339(pin.created_ms), plain(pin.reason or "-"))
        for pin, state in zip(found, states, strict=True)
    ]
    for line in table_lines(("TABLE", "STATE", "HOLDER", "SINCE", "REASON"), rows, width=terminal_width()):
        click.echo(line)


def _writable(text: str) -> Table:
    from lakemark.tables.names import parse_table
    from lakemark.tables.table import Table

    name = parse_table(text)
    if name.version is not None:
        raise click.UsageError(f"{text} names a version; give {name.uri}, only the latest can be changed")
    return Table(name.uri)


def _needed(workspace: Workspace, table: Table) -> tuple[bytes, ...]:
    """Return the manifests of what must stay. Runs that are not settled come first: settling turns them into pins."""
    from lakemark.tables.vacuum import pinned_manifests

    unsettled = tuple(workspace.objects.get(digest) for digest in _unsettled_reads(workspace))
    return unsettled + pinned_manifests(workspace.pins.list(), workspace.objects, table=table)


def _unsettled_reads(workspace: Workspace) -> list[str]:
    """Return the manifests of the tables that runs read which are not settled yet."""
    from lakemark.tracking.spool import read_events
    from lakemark.tracking.spooled import pending_spools

    found = []
    for folder in pending_spools(workspace.home):
        try:
            events = [event for _, event in read_events(folder)]
        except FileNotFoundError:  # settled just now: its pins are in the database
            continue
        found += [cast("str", event["manifest"]) for event in events if event["event"] == "read_table"]
    return found


def _state(workspace: Workspace, pin: PinRecord) -> PinState:
    from lakemark._base.errors import LakemarkError
    from lakemark.tables.pins import PinState, PinStatus, verify

    try:
        return verify(pin, workspace.objects.get(pin.manifest))
    except LakemarkError as error:
        return PinState(PinStatus.UNKNOWN, detail=error.message)


def _say_version(table: Table, version: int, *, as_json: bool) -> None:
    if as_json:
        _print_json("lakemark.tables.commit/1", {"table": table.uri, "version": version})
    else:
        click.echo(f"{table.uri}@{version}")


def _print_report(table: Table, report: VacuumReport, *, as_json: bool) -> None:
    if as_json:
        _print_json(
            "lakemark.tables.vacuum/1",
            {
                "table": table.uri,
                "dry_run": report.dry_run,
                "deleted": list(report.deleted),
                "deleted_bytes": report.deleted_bytes,
                "kept_files": report.kept_files,
                "kept_bytes": report.kept_bytes,
            },
        )
        return
    for path in report.deleted:
        click.echo(path)
    verb = "would delete" if report.dry_run else "deleted"
    click.echo(
        f"{verb} {len(report.deleted)} files ({report.deleted_bytes} bytes); "
        f"kept {report.kept_files} files ({report.kept_bytes} bytes) for pins and runs",
        err=True,
    )


def _print_json(schema: str, document: Mapping[str, Json]) -> None:
    click.echo(json.dumps({"schema": schema, **document}, indent=2))


def _commit_document(record: CommitRecord) -> Json:
    from lakemark._base.clock import rfc3339

    return {
        "version": record.version,
        "timestamp": rfc3339(record.timestamp_ms),
        "operation": record.operation,
        "run_id": record.commit.run_id,
        "node": record.commit.node,
        "message": record.commit.message,
        "engine": record.engine,
        "parameters": dict(record.parameters),
        "metrics": dict(record.metrics),
    }


def _pin_document(pin: PinRecord, state: PinState) -> Json:
    from lakemark._base.clock import rfc3339

    return {
        "table": pin.table_uri,
        "table_id": pin.table_id,
        "version": pin.version,
        "manifest": pin.manifest,
        "holder": pin.holder,
        "reason": pin.reason,
        "created": rfc3339(pin.created_ms),
        "state": str(state.status),
        "missing": list(state.missing),
        "recoverable": state.recoverable,
        "detail": state.detail,
    }


def _json_value(value: object) -> Json:
    """Return a value of a row as JSON can say it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _cell(value: object) -> str:
    from lakemark.cli.text import plain

    return "-" if value is None else plain(value if isinstance(value, str) else str(value))
