"""Commands that maintain one table: compact, z-order, checkpoint, vacuum."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from lakemark.cli.tables.output import json_option, message_option, open_table, print_json, table_argument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakemark._base.canonical import Json
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.table import Table
    from lakemark.tables.upkeep.maintenance import Compaction
    from lakemark.tables.upkeep.vacuum import VacuumReport

__all__ = [
    "checkpoint",
    "compact",
    "compaction_document",
    "confirm_deletion",
    "needed_manifests",
    "retention_option",
    "vacuum",
    "vacuum_document",
    "z_order",
]

retention_option = click.option(
    "--retention-hours",
    metavar="HOURS",
    type=float,
    default=168.0,
    show_default=True,
    help="Versions replaced less than this ago stay readable.",
)
_target_option = click.option(
    "--target-size",
    metavar="BYTES",
    type=click.IntRange(min=1),
    help="How large files shall be.  [default: what the table says, else 104857600]",
)
_where_option = click.option(
    "--where", metavar="COLUMN=VALUE", multiple=True, help="Only this value of a column that TABLE is partitioned by."
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be merged.")


@click.command(short_help="Merge the small files of TABLE.")
@table_argument
@_target_option
@_where_option
@_dry_run_option
@message_option
@json_option
@click.pass_context
def compact(
    context: click.Context,
    *,
    table: str,
    target_size: int | None,
    where: tuple[str, ...],
    dry_run: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Merge files of TABLE that are smaller than the target. No row changes, and older versions stay."""
    from lakemark.tables.table import Commit
    from lakemark.tables.upkeep import maintenance

    chosen = _parse_where(where)
    target = open_table(context, table, writable=True)
    commit = Commit(message=message) if message else None
    done = maintenance.compact(target, target_size=target_size, where=chosen, commit=commit, dry_run=dry_run)
    _print_compaction(target, done, "compact", as_json=as_json)


@click.command("z-order", short_help="Bring rows of TABLE with close values into the same files.")
@table_argument
@click.argument("columns", metavar="COLUMN...", nargs=-1, required=True)
@_target_option
@_where_option
@_dry_run_option
@message_option
@json_option
@click.pass_context
def z_order(
    context: click.Context,
    *,
    table: str,
    columns: tuple[str, ...],
    target_size: int | None,
    where: tuple[str, ...],
    dry_run: bool,
    message: str | None,
    as_json: bool,
) -> None:
    """Write TABLE anew, so that rows with close values of COLUMN... are in the same file. Older versions stay."""
    from lakemark.tables.table import Commit
    from lakemark.tables.upkeep import maintenance

    chosen = _parse_where(where)
    target = open_table(context, table, writable=True)
    commit = Commit(message=message) if message else None
    done = maintenance.z_order(target, columns, target_size=target_size, where=chosen, commit=commit, dry_run=dry_run)
    _print_compaction(target, done, "z-order", as_json=as_json)


@click.command(short_help="Make opening TABLE fast.")
@table_argument
@json_option
@click.pass_context
def checkpoint(context: click.Context, *, table: str, as_json: bool) -> None:
    """Write down the state of TABLE, so that opening it reads no older commits. None of them is deleted."""
    from lakemark.tables.upkeep import maintenance

    target = open_table(context, table, writable=True)
    version = maintenance.checkpoint(target)
    if as_json:
        print_json("lakemark.tables.checkpoint/1", {"table": target.uri, "name": target.name, "version": version})
    else:
        click.echo(f"{target.name or target.uri}@{version}")


@click.command(short_help="Delete the files of TABLE that nothing needs.")
@table_argument
@retention_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def vacuum(
    context: click.Context, *, table: str, retention_hours: float, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete the files of TABLE that neither its latest version, nor a pin, nor a run under way needs."""
    from lakemark.cli.opening import open_here
    from lakemark.tables.upkeep import vacuum as vacuuming

    workspace = open_here(context)
    target = open_table(context, table, writable=True)

    def sweep(*, dry: bool) -> VacuumReport:
        kept = needed_manifests(workspace, target)
        return vacuuming.vacuum(target, pins=kept, retention_hours=retention_hours, dry_run=dry)

    if not dry_run and not yes:
        planned = sweep(dry=True) if sys.stdin.isatty() else None
        confirm_deletion(len(planned.deleted) if planned else 0, planned.deleted_bytes if planned else 0)
    _print_vacuum(target, sweep(dry=dry_run), as_json=as_json)


def confirm_deletion(files: int, count: int) -> None:
    """Ask whether so many files with so many bytes shall go; refuse where nobody can be asked."""
    from lakemark.cli.text import counted, size

    if not sys.stdin.isatty():
        raise click.UsageError("deleting needs --yes where nobody can be asked; --dry-run says what would go")
    click.confirm(f"delete {counted(files, 'file')} ({size(count)})?", abort=True, err=True)


def needed_manifests(workspace: Workspace, table: Table) -> tuple[bytes, ...]:
    """Return the manifests of what must stay. Runs that are not settled come first: settling turns them into pins."""
    from lakemark.tables.upkeep.vacuum import pinned_manifests

    unsettled = tuple(workspace.objects.get(digest) for digest in _unsettled_reads(workspace))
    return unsettled + pinned_manifests(workspace.pins.list(), workspace.objects, table=table)


def compaction_document(report: Compaction) -> Mapping[str, Json]:
    """Return a compaction as JSON says it."""
    return {
        "version": report.version,
        "dry_run": report.dry_run,
        "merged": list(report.merged),
        "merged_bytes": report.merged_bytes,
        "new_files": report.new_files,
        "new_bytes": report.new_bytes,
    }


def vacuum_document(report: VacuumReport) -> Mapping[str, Json]:
    """Return a vacuum as JSON says it."""
    return {
        "dry_run": report.dry_run,
        "deleted": list(report.deleted),
        "deleted_bytes": report.deleted_bytes,
        "kept_files": report.kept_files,
        "kept_bytes": report.kept_bytes,
    }


def _parse_where(texts: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or not column or column in found:
            why = "names its column a second time" if column in found else "is not COLUMN=VALUE"
            raise click.UsageError(f"--where {text!r} {why}")
        found[column] = value
    return found


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


def _print_compaction(table: Table, report: Compaction, verb: str, *, as_json: bool) -> None:
    from lakemark.cli.text import counted, plain, size

    if as_json:
        document = {"table": table.uri, "name": table.name, **compaction_document(report)}
        print_json(f"lakemark.tables.{verb}/1", document)
        return
    name = table.name or table.uri
    merged = f"{counted(len(report.merged), 'file')} ({size(report.merged_bytes)})"
    if report.dry_run:
        for path in report.merged:
            click.echo(plain(path))
        into = f" into about {report.new_files}" if report.merged else ""
        click.echo(f"would merge {merged}{into}", err=True)
    elif report.version is None:
        click.echo(f"{name}: there are no files to merge", err=True)
    else:
        click.echo(f"{name}@{report.version}")
        into = f"{report.new_files} ({size(report.new_bytes)})"
        click.echo(f"merged {merged} into {into}", err=True)


def _print_vacuum(table: Table, report: VacuumReport, *, as_json: bool) -> None:
    from lakemark.cli.text import counted, plain, size

    if as_json:
        document = {"table": table.uri, "name": table.name, **vacuum_document(report)}
        print_json("lakemark.tables.vacuum/1", document)
        return
    for path in report.deleted:
        click.echo(plain(path))
    verb = "would delete" if report.dry_run else "deleted"
    click.echo(
        f"{verb} {counted(len(report.deleted), 'file')} ({size(report.deleted_bytes)}); "
        f"kept {counted(report.kept_files, 'file')} ({size(report.kept_bytes)}) for pins and runs",
        err=True,
    )
