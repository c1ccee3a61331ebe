"""Settling a run: from the events in its spool to a receipt, pins and rows in the store.

Settling may stop at any point and be done again: the receipt depends on the events alone, the store takes a run's rows
in one transaction, and the spool goes last. `recover` settles the runs whose processes are gone.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from lakemark._base.canonical import Json, canonical
from lakemark._base.clock import now_ms
from lakemark._base.errors import LakemarkError, NotFoundError
from lakemark._base.fields import records, section
from lakemark.capture.code import CodeFacts, snapshot_files
from lakemark.capture.lock import make_lock
from lakemark.capture.receipt import Event, Receipt, RunFacts, assemble, is_nested, last_described
from lakemark.capture.workspace import Workspace
from lakemark.tracking.processes import is_alive
from lakemark.tracking.records import Metric, Run, RunKind, RunStatus, TableRead
from lakemark.tracking.spool import EVENTS_NAME, is_held, read_events
from lakemark.tracking.spooled import pending_spools

__all__ = ["read_receipt", "recover", "run_record", "settle"]

_LOGGER = logging.getLogger(__name__)

_GRACE_MS = 60_000
"""A spool without a first event is left alone this long: its process may just be starting."""


def settle(
    workspace: Workspace, run_id: str, *, status: RunStatus | None = None, memo_key: str | None = None
) -> Receipt:
    """Settle one run and return its receipt; where somebody else is settling it, wait and return theirs.

    Parameters
    ----------
    workspace : Workspace
        Where the run is.
    run_id : str
        The run; its spool must have a `created` event.
    status : RunStatus, optional
        How it ended, where the events do not say; KILLED if neither says.
    memo_key : str, optional
        The key under which a mixture was planned.
    """
    folder = workspace.home.spool / run_id
    with _alone(folder) as is_there:
        if is_there:
            return _settle(workspace, folder, status=status, memo_key=memo_key)
    receipt = read_receipt(workspace, workspace.store.get_run(run_id))
    if receipt is None:
        raise NotFoundError(f"run {run_id} has neither a spool nor a receipt", hint="lakemark runs lists the runs")
    return receipt


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep others from settling the run in `folder`; False where they have done it already."""
    try:
        handle = os.open(folder / "settling", os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield (folder / EVENTS_NAME).exists()
    finally:
        os.close(handle)


def _settle(workspace: Workspace, folder: Path, *, status: RunStatus | None, memo_key: str | None) -> Receipt:
    run_id = folder.name
    events = _inherited(workspace, [event for _, event in read_events(folder)])
    outcome = _outcome(events, status)
    receipt = assemble(events, _facts(workspace, events, memo_key), status=str(outcome))
    digest = workspace.objects.put(canonical(receipt))
    reads = _reads(receipt)
    if workspace.store.find_run(run_id) is None:
        workspace.store.create_run(run_record(events))
    _pin(workspace, run_id, reads)
    workspace.store.settle_run(
        run_id,
        status=outcome,
        ended_ms=cast("int", events[-1]["at"]),
        params=cast("Mapping[str, str]", section(receipt, "inputs", "params")["values"]),
        metrics=_metrics(events),
        tags={str(event["key"]): str(event["value"]) for event in events if event["event"] == "tag"},
        tables=reads,
        receipt=digest,
        memo_key=None if is_nested(events[0]) else str(receipt["inputs_digest"]),
        name=cast("str | None", receipt["name"]),
        experiment=last_described(events, "experiment"),
    )
    _move_artifacts(folder / "artifacts", workspace.home.runs / run_id)
    shutil.rmtree(folder, ignore_errors=True)
    return receipt


def recover(workspace: Workspace) -> list[str]:
    """Settle every run that has ended or whose processes are gone, and return their ids.

    What a killed process wrote is kept; the run is marked KILLED, which people are shown as interrupted. A run that
    cannot be settled stays where it is, with a warning, and is in nobody's way.
    """
    recovered = []
    for folder in pending_spools(workspace.home):
        try:
            if _settle_ended(workspace, folder):
                recovered.append(folder.name)
        except (LakemarkError, LookupError, OSError, TypeError, ValueError) as error:
            said = error.message if isinstance(error, LakemarkError) else f"{type(error).__name__}: {error}"
            _LOGGER.warning("warning: run %s could not be settled and stays in %s: %s", folder.name[:8], folder, said)
    return recovered + _close_lost(workspace)


def _settle_ended(workspace: Workspace, folder: Path) -> bool:
    events = [event for _, event in read_events(folder)]
    if not events or events[0]["event"] != "created":
        if _is_old(folder) and not is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return False
    if not _has_ended(events) and (is_held(folder) or _lives(events[0])):
        return False
    settle(workspace, folder.name)
    return True


def _close_lost(workspace: Workspace) -> list[str]:
    """Mark runs KILLED whose processes are gone and that have no spool: nothing more will be known of them."""
    lost = [
        run
        for run in workspace.store.unsettled_runs()
        if not (workspace.home.spool / run.run_id).exists()
        and not (run.pid is not None and is_alive(run.pid, run.process_start))
    ]
    for run in lost:
        workspace.store.settle_run(
            run.run_id,
            status=RunStatus.KILLED,
            ended_ms=run.started_ms,
            params={},
            metrics=(),
            tags={},
            tables=(),
            receipt=None,
            memo_key=None,
        )
    return [run.run_id for run in lost]


def _is_old(folder: Path) -> bool:
    try:
        return now_ms() - folder.stat().st_mtime * 1_000 > _GRACE_MS
    except FileNotFoundError:
        return False


def _has_ended(events: Sequence[Event]) -> bool:
    """Return True for a nested run that said that it ended: nobody else settles it, though its process may live."""
    return is_nested(events[0]) and events[-1]["event"] == "finished"


def _lives(created: Event) -> bool:
    return is_alive(cast("int", created["pid"]), str(created["process_start"]))


def _outcome(events: Sequence[Event], status: RunStatus | None) -> RunStatus:
    """Return how a run ended: failed if the process or the run's own block did."""
    said = [str(event["status"]) for event in events if event["event"] in ("ended", "finished")]
    if not said or events[-1]["event"] != "finished":
        return status or RunStatus.KILLED
    return next((RunStatus(word) for word in said if word != "FINISHED"), RunStatus.FINISHED)


def _inherited(workspace: Workspace, events: list[Event]) -> list[Event]:
    """Return the events of a nested run with its parent's code, environment and compute: they are one process."""
    parent = cast("str | None", events[0]["parent_run_id"])
    known = {event["event"] for event in events}
    run = workspace.store.find_run(parent) if parent is not None and "code" not in known else None
    receipt = read_receipt(workspace, run) if run is not None else None
    if receipt is None:
        return events
    inputs = section(receipt, "inputs")
    parts = (("code", "code"), ("environment", "env"), ("compute", "compute"), ("randomness", "randomness"))
    taken = [
        {"event": kind, "at": events[0]["at"], **section(inputs, part), "how": "inferred"}
        for kind, part in parts
        if kind not in known
    ]
    return [events[0], *taken, *events[1:]]


def run_record(events: Sequence[Event]) -> Run:
    """Return the run that a spool's `created` event speaks of."""
    created = events[0]
    entry = section(created, "entry")
    return Run(
        run_id=str(created["run_id"]),
        experiment=str(created["experiment"]),
        started_ms=cast("int", created["at"]),
        name=cast("str | None", created["name"]),
        kind=RunKind(str(created["kind"])),
        parent_run_id=cast("str | None", created["parent_run_id"]),
        entry_point=str(entry.get("name", "")),
        pid=cast("int", created["pid"]),
        process_start=str(created["process_start"]),
    )


def _facts(workspace: Workspace, events: Sequence[Event], memo_key: str | None) -> RunFacts:
    code = next((event for event in events if event["event"] == "code"), None)
    environment = next((event for event in reversed(events) if event["event"] == "environment"), None)
    files = _snapshot_files(workspace, code) if code is not None else {}
    if environment is None:
        return RunFacts(snapshot_files=files, memo_key=memo_key)
    lock = make_lock(
        [*records(environment, "packages"), *records(environment, "instrument_packages")],
        cache=workspace.home.cache,
        python_version=str(section(environment, "python")["version"]),
    )
    stored = workspace.objects.put(lock.text.encode())
    missing: list[Json] = [{"name": item.name, "why": item.why} for item in lock.missing]
    facts: dict[str, Json] = {"sha256": stored, "complete": lock.complete, "missing": missing}
    return RunFacts(lock=facts, snapshot_files=files, memo_key=memo_key)


def _snapshot_files(workspace: Workspace, code: Event) -> Mapping[str, str]:
    """Return the files in the snapshot; none where the repository is gone by now: the run is settled all the same."""
    try:
        return snapshot_files(CodeFacts.from_json(code), home=workspace.home)
    except LakemarkError:
        return {}


def _reads(receipt: Receipt) -> tuple[TableRead, ...]:
    data = section(receipt, "inputs", "data")
    return tuple(
        TableRead(
            str(row["uri"]), str(row["table_id"]), cast("int", row["version"]), cast("str | None", row["manifest"])
        )
        for row in cast("Sequence[Mapping[str, Json]]", data["tables"])
    )


def _pin(workspace: Workspace, run_id: str, reads: Sequence[TableRead]) -> None:
    for read in reads:
        if read.manifest is not None:
            workspace.pins.add(
                table_uri=read.uri,
                table_id=read.table_id,
                version=read.version,
                manifest=read.manifest,
                holder=run_id,
                reason="read by a run",
                created_ms=now_ms(),
            )


def _metrics(events: Sequence[Event]) -> list[Metric]:
    return [
        Metric(
            str(event["key"]),
            cast("float", event["value"]),
            cast("int", event.get("step") or 0),
            cast("int", event.get("timestamp") or event["at"]),
        )
        for event in events
        if event["event"] == "metric"
    ]


def _move_artifacts(source: Path, destination: Path) -> None:
    if source.is_dir():
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(destination, ignore_errors=True)  # of a settling that did not come to its end
        source.replace(destination)


def read_receipt(workspace: Workspace, run: Run) -> Receipt | None:
    """Return the receipt of a run; None where it has none yet."""
    if run.receipt is None:
        return None
    return cast("Receipt", json.loads(workspace.objects.get(run.receipt)))
