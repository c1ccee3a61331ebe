"""`lakemark runs`: the runs, newest first."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lakemark._base.canonical import Json
    from lakemark.capture.workspace import Workspace
    from lakemark.tracking.records import Run

__all__ = ["finite", "run_document", "runs", "status_word", "table_name"]

_HEADER = ("RUN", "NAME", "STATUS", "STARTED", "DURATION", "METRICS", "DATA", "PARAMS")
_RIGID = ("RUN", "STATUS", "STARTED", "DURATION")
_STATUS_COLOURS = {"FINISHED": "green", "FAILED": "red", "KILLED": "yellow", "RUNNING": "dim"}
_STATUS_WORDS = {"KILLED": "interrupted"}


@click.command(short_help="List the runs, newest first.")
@click.option("--experiment", metavar="NAME", help="Only the runs of this experiment.")
@click.option("--all", "everything", is_flag=True, help="Replays and the mixtures of explain too.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def runs(context: click.Context, *, experiment: str | None, everything: bool, limit: int, as_json: bool) -> None:
    """List the runs, newest first, with their metrics, the versions of their data, and their params."""
    from lakemark.cli.opening import open_recovered
    from lakemark.cli.text import table, terminal_width
    from lakemark.tracking.records import RunKind

    workspace = open_recovered(context)
    kinds = tuple(RunKind) if everything else (RunKind.RUN,)
    found = workspace.store.list_runs(experiment, kinds=kinds, limit=limit + 1)
    shown = found[:limit]
    if as_json:
        documents = [run_document(run) for run in shown]
        click.echo(json.dumps({"schema": "lakemark.runs/1", "runs": documents}, indent=2))
    elif not shown:
        click.echo("there are no runs yet\n\nhint: lakemark run train.py", err=True)
    else:
        for line in table(
            _HEADER, [_row(run, _files(workspace, run)) for run in shown], width=terminal_width(), rigid=_RIGID
        ):
            click.echo(line)
    if len(found) > limit:
        click.echo(f"\nhint: there are older ones: lakemark runs --limit {limit * 5}", err=True)


def run_document(run: Run) -> dict[str, Json]:
    """Return a run as the JSON that `--json` prints."""
    from lakemark._base.clock import rfc3339

    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "kind": str(run.kind),
        "status": str(run.status),
        "parent_run_id": run.parent_run_id,
        "started": rfc3339(run.started_ms),
        "ended": None if run.ended_ms is None else rfc3339(run.ended_ms),
        "duration_seconds": None if run.ended_ms is None else (run.ended_ms - run.started_ms) / 1000,
        "entry_point": run.entry_point,
        "params": dict(run.params),
        "metrics": {key: finite(value) for key, value in run.metrics.items()},
        "tags": dict(run.tags),
        "tables": [
            {"uri": read.uri, "table_id": read.table_id, "version": read.version, "manifest": read.manifest}
            for read in run.tables
        ],
        "receipt": run.receipt,
        "inputs_digest": run.memo_key,
    }


def status_word(status: str) -> str:
    """Return a status as people are told it.

    Examples
    --------
    >>> status_word("KILLED"), status_word("FINISHED")
    ('interrupted', 'finished')
    """
    return _STATUS_WORDS.get(status, status.lower())


def table_name(uri: str) -> str:
    """Return the last part of a table's URI, which is what people call it.

    Examples
    --------
    >>> table_name("s3://lake/sales/flights/")
    'flights'
    """
    return uri.rstrip("/").rsplit("/", 1)[-1] or uri


def finite(value: float) -> float | str:
    """Return a number as JSON can say it: NaN and the infinities as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _files(workspace: Workspace, run: Run) -> Iterator[str]:
    """Yield the files that a run read as `name@hash`, without the project's own; nothing where they are not known."""
    from lakemark._base.errors import LakemarkError
    from lakemark._base.fields import records
    from lakemark._base.ids import short
    from lakemark.capture.settle import read_receipt

    try:
        receipt = read_receipt(workspace, run) or {}
    except LakemarkError:  # a damaged receipt is told by `lakemark show`, the others are listed all the same
        return
    for file in records(receipt, "inputs", "data", "files"):
        if file.get("content") or not file.get("in_snapshot"):
            yield f"{table_name(str(file.get('path')))}@{short(str(file.get('sha256')))}"


def _row(run: Run, files: Iterable[str]) -> tuple[str, ...]:
    from lakemark._base.clock import now_ms
    from lakemark._base.ids import short
    from lakemark.cli.text import age, number, paint, plain, recent_time

    data = dict.fromkeys([*(f"{table_name(read.uri)}@{read.version}" for read in run.tables), *files])
    word = status_word(run.status)
    return (
        short(run.run_id),
        plain(run.name or "-"),
        paint(word, _STATUS_COLOURS[run.status]),
        recent_time(run.started_ms),
        age((run.ended_ms or now_ms()) - run.started_ms),
        plain(" ".join(f"{key}={number(value)}" for key, value in run.metrics.items()) or "-"),
        plain(" ".join(data) or "-"),
        plain(" ".join(f"{key}={value}" for key, value in run.params.items()) or "-"),
    )
