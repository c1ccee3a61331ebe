"""`lakemark show`: one run, on one screen: what went in, what came out, what is missing, what was proven."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING

import click

from lakemark.cli.receipts import completeness_line, metrics_line, receipt_parts

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.capture.workspace import Workspace
    from lakemark.tracking.records import Run, Verdict

__all__ = ["completeness_line", "metrics_line", "show"]

_AT_MOST = 12


@click.command(short_help="Show a run: what went in, and what came out.")
@click.argument("run")
@click.option("--receipt", "as_receipt", is_flag=True, help="Print the receipt itself, as canonical JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the run, its receipt and its verdicts as JSON.")
@click.pass_context
def show(context: click.Context, *, run: str, as_receipt: bool, as_json: bool) -> None:
    """Show RUN: its data, code, environment, params, seeds and compute, and what came of them.

    RUN is an id, the beginning of one (4 digits or more), or a name (of several runs the newest).
    """
    from lakemark.capture.settle import read_receipt
    from lakemark.cli.opening import open_recovered
    from lakemark.cli.runs import run_document
    from lakemark.cli.text import terminal_width
    from lakemark.tracking.pins import SqlPinStore  # no pin is changed here, so no table library is needed

    workspace = open_recovered(context)
    found = workspace.store.get_run(run)
    if as_receipt:
        _print_receipt(workspace, found)
        return
    receipt, verdicts = read_receipt(workspace, found), workspace.store.list_verdicts(found.run_id)
    if as_json:
        documents = [_verdict_document(workspace, verdict) for verdict in verdicts]
        document = {"schema": "lakemark.show/1", "run": run_document(found), "receipt": receipt, "verdicts": documents}
        click.echo(json.dumps(document, indent=2))
        return
    for line in _head(found):
        click.echo(line)
    pinned = frozenset((pin.table_uri, pin.version) for pin in SqlPinStore(workspace.database).list())
    for line in _body(receipt or {}, width=terminal_width(), pinned=pinned):
        click.echo(line)
    for line in _verdict_lines(verdicts):
        click.echo(line)
    if receipt is not None:
        click.echo(f"receipt     {found.receipt}")
        if found.status == "FINISHED":
            click.echo(f"\nhint: lakemark reproduce {quote(found.name or found.run_id[:8])}", err=True)


def _print_receipt(workspace: Workspace, run: Run) -> None:
    from lakemark._base.errors import NotFoundError

    if run.receipt is None:
        raise NotFoundError(
            f"run {run.run_id[:8]} has no receipt yet: it is {run.status}", hint=f"lakemark show {run.run_id[:8]}"
        )
    click.echo(workspace.objects.get(run.receipt))


def _verdict_document(workspace: Workspace, verdict: Verdict) -> Json:
    document: Json = json.loads(workspace.objects.get(verdict.digest))
    return document


def _head(run: Run) -> Iterator[str]:
    from lakemark._base.clock import now_ms
    from lakemark._base.ids import short
    from lakemark.cli.runs import status_word
    from lakemark.cli.text import age, local_time, paint, plain

    name = f"{plain(run.name)} ({short(run.run_id)})" if run.name else short(run.run_id)
    kind = "" if run.kind == "run" else f" {run.kind} of {short(run.parent_run_id or '?')}"
    word = status_word(run.status)
    colour = {"FINISHED": "green", "FAILED": "red"}.get(run.status, "yellow")
    took = age((run.ended_ms or now_ms()) - run.started_ms)
    yield f"{paint(name, 'bold')}{kind} {paint(word, colour)}, {local_time(run.started_ms)}, {took}"
    yield f"run {run.run_id} in experiment {plain(run.experiment)}"
    if run.status == "RUNNING":
        yield "\nit runs still: what went in and what came out is shown when it has ended"


def _body(receipt: Mapping[str, Json], *, width: int | None, pinned: frozenset[tuple[str, int]]) -> Iterator[str]:
    from lakemark.cli.text import wrap

    if not receipt:
        return
    yield ""
    for label, lines in receipt_parts(receipt, pinned=pinned):
        for position, line in enumerate(lines[:_AT_MOST]):
            yield from wrap(label if position == 0 else "", line, width=width)
        if len(lines) > _AT_MOST:
            yield f"{'':12}… and {len(lines) - _AT_MOST} more: --receipt shows all"
    yield ""
    yield from wrap("captured", completeness_line(receipt).removeprefix("captured: "), width=width)


def _verdict_lines(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    if not verdicts:
        return
    from lakemark._base.ids import short
    from lakemark.cli.text import local_time, paint
    from lakemark.reproduce.verdict import Level

    for position, verdict in enumerate(verdicts[:3]):
        label = paint("verdict", "bold") + " " * 5 if position == 0 else " " * 12
        replay = f", run {short(verdict.replay_run_id)}" if verdict.replay_run_id else ""
        yield f"{label}level {verdict.level} {Level(verdict.level).title}, {local_time(verdict.created_ms)}{replay}"
