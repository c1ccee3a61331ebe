"""Commands that clean up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from lakemark.cli.tables.output import json_option, open_table, print_json

if TYPE_CHECKING:
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.table import Table
    from lakemark.tables.vacuum import VacuumReport

__all__ = ["vacuum"]


@click.command(short_help="Delete the files of TABLE that nothing needs.")
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
@json_option
@click.pass_context
def vacuum(
    context: click.Context, *, table: str, retention_hours: float, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete the data files of TABLE that neither its latest version, nor a pin, nor a run under way needs."""
    from lakemark.cli.opening import open_here
    from lakemark.tables import vacuum as vacuuming

    workspace = open_here(context)
    target = open_table(context, table, writable=True)

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


def _print_report(table: Table, report: VacuumReport, *, as_json: bool) -> None:
    if as_json:
        print_json(
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
