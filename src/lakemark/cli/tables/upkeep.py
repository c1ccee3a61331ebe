"""The command that maintains many tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.maintenance import (
    compaction_document,
    confirm_deletion,
    needed_manifests,
    retention_option,
    vacuum_document,
)
from lakemark.cli.tables.output import json_option, open_table, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakemark._base.canonical import Json
    from lakemark._base.errors import LakemarkError
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.table import Table
    from lakemark.tables.upkeep.maintenance import Compaction
    from lakemark.tables.upkeep.vacuum import VacuumReport

__all__ = ["maintain"]


@click.command(short_help="Compact, checkpoint and vacuum tables where they need it.")
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All tables of the catalog.")
@retention_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask before files are deleted.")
@json_option
@click.pass_context
def maintain(
    context: click.Context,
    *,
    tables: tuple[str, ...],
    every: bool,
    retention_hours: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Do for each TABLE what it needs: compact many small files, write a checkpoint, delete files that nothing needs.

    A table that fails does not keep the others from theirs; the command fails in the end.
    """
    from lakemark.cli.opening import open_here

    if bool(tables) == every:
        raise click.UsageError("give either TABLE... or --all")
    workspace = open_here(context)
    names = _catalog_names(workspace) if every else tables
    work = _Work(context, workspace, names, retention_hours)
    if not dry_run and not yes:
        planned = [done.vacuum for done in work.do(dry_run=True)] if sys.stdin.isatty() else []
        swept = [report for report in planned if report is not None]
        confirm_deletion(sum(len(report.deleted) for report in swept), sum(report.deleted_bytes for report in swept))
    everything = []
    for done in work.do(dry_run=dry_run):
        everything.append(done)
        if not as_json:
            click.echo(_line(done, dry_run=dry_run))
    if as_json:
        print_json(
            "lakemark.tables.maintain/1", {"dry_run": dry_run, "tables": [_document(done) for done in everything]}
        )
    _print_failures(everything)
    context.exit(1 if any(done.errors for done in everything) else 0)


@dataclass(frozen=True)
class _Done:
    name: str
    compaction: Compaction | None = None
    checkpoint: int | None = None
    vacuum: VacuumReport | None = None
    errors: Sequence[LakemarkError] = ()


@dataclass(frozen=True)
class _Work:
    context: click.Context
    workspace: Workspace
    names: Sequence[str]
    retention_hours: float

    def do(self, *, dry_run: bool) -> Iterator[_Done]:
        from lakemark._base.errors import InvalidInputError, LakemarkError
        from lakemark.tables.upkeep.schedule import UpkeepPolicy, maintain

        if not self.retention_hours >= 0:
            raise InvalidInputError(f"retention of {self.retention_hours} hours: must be 0 or more")
        policy = UpkeepPolicy(retention_hours=self.retention_hours)
        needed = partial(needed_manifests, self.workspace)
        for name in self.names:
            try:
                table = open_table(self.context, name, writable=True)
            except LakemarkError as error:
                yield _Done(name, errors=(error,))
                continue
            say = partial(_say, name)
            [done] = maintain([table], needed=needed, policy=policy, dry_run=dry_run, progress=say)
            yield _Done(name, done.compaction, done.checkpoint, done.vacuum, done.errors)


def _say(name: str, _table: Table, step: str) -> None:
    from lakemark.cli.text import plain

    click.echo(f"{plain(name)}: {step} ...", err=True)


def _catalog_names(workspace: Workspace) -> Sequence[str]:
    from lakemark.tables.naming.entries import key_of
    from lakemark.tables.naming.names import dotted

    return [dotted(key_of(record)) for record in workspace.catalog.list()]


def _line(done: _Done, *, dry_run: bool) -> str:
    """Return what was done for one table, as one line."""
    from lakemark.cli.text import counted, plain, size

    parts = []
    if done.compaction is not None:
        merged = f"{counted(len(done.compaction.merged), 'file')} ({size(done.compaction.merged_bytes)})"
        parts.append(f"{'merge' if dry_run else 'merged'} {merged} into {done.compaction.new_files}")
    if done.checkpoint is not None:
        parts.append(f"checkpoint of version {done.checkpoint}")
    if done.vacuum is not None and done.vacuum.deleted:
        deleted = f"{counted(len(done.vacuum.deleted), 'file')} ({size(done.vacuum.deleted_bytes)})"
        parts.append(f"{'delete' if dry_run else 'deleted'} {deleted}")
    if done.errors:
        parts.append("failed")
    return f"{plain(done.name)}: {', '.join(parts) or 'nothing to do'}"


def _document(done: _Done) -> Mapping[str, Json]:
    return {
        "table": done.name,
        "compaction": None if done.compaction is None else compaction_document(done.compaction),
        "checkpoint": done.checkpoint,
        "vacuum": None if done.vacuum is None else vacuum_document(done.vacuum),
        "errors": [{"code": error.code, "message": error.message, "hint": error.hint} for error in done.errors],
    }


def _print_failures(everything: Sequence[_Done]) -> None:
    from lakemark.cli.text import plain

    failed = [(done.name, error) for done in everything for error in done.errors]
    for name, error in failed:
        click.echo(f"\nerror: {plain(name)}: {plain(error.message)}", err=True)
        if error.hint:
            click.echo(f"hint: {plain(error.hint)}", err=True)
