"""Capture from within: a program that is under way calls `lakemark.start_run()`, and the same facts are written.

What happened before the call is not seen (reads, fits, seeds), and the receipt says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from lakemark._base.canonical import Json
from lakemark.capture.receipt import Receipt
from lakemark.capture.run import write_snapshot
from lakemark.capture.settle import recover, run_record, settle
from lakemark.capture.workspace import Workspace
from lakemark.config.home import Home
from lakemark.config.settings import Settings
from lakemark.recorder.plan import EntryPoint, Plan
from lakemark.recorder.session import Session, open_session
from lakemark.tracking.spool import Spool, read_events

__all__ = ["InProcessRun", "begin"]


class InProcessRun:
    """A captured run of the program that is under way.

    Parameters
    ----------
    workspace : Workspace
        Where the run is kept.
    session : Session
        The hooks.
    run_id : str
        The run.
    """

    def __init__(self, workspace: Workspace, session: Session, *, run_id: str) -> None:
        self._workspace = workspace
        self._session = session
        self._run_id = run_id

    @property
    def instruments(self) -> frozenset[str]:
        """Modules that are in this process for our sake."""
        return self._session.instruments

    def finish(self, status: str, error: Mapping[str, Json] | None = None) -> Receipt:
        """Take the hooks out, write the last facts, settle the run.

        Parameters
        ----------
        status : {"FINISHED", "FAILED", "KILLED"}
            How it ended.
        error : mapping, optional
            As `lakemark.recorder.launch.describe_error` writes it.
        """
        self._session.close(status=status, exit_code=0 if status == "FINISHED" else 1, error=error)
        receipt = settle(self._workspace, self._run_id)
        recover(self._workspace)  # runs that were nested in this one
        return receipt


def begin(run_folder: Path, home: Home, settings: Settings, *, known: frozenset[str]) -> InProcessRun:
    """Begin to capture the program that is under way.

    Parameters
    ----------
    run_folder : Path
        The run's spool folder, in which a `created` event stands already.
    home : Home
        Where the run is kept.
    settings : Settings
        What the person chose.
    known : frozenset of str
        Modules that the program had loaded before anything of ours was.
    """
    workspace = Workspace(home, settings)
    events = [event for _, event in read_events(run_folder)]
    record = run_record(events)
    workspace.store.create_run(record)
    entry = cast("Mapping[str, Json]", events[0]["entry"])
    cwd = str(events[0]["cwd"])
    spool = Spool(run_folder)
    project = write_snapshot(spool, Path(cwd), home=home)
    spool.write("missing", fact="data", why="what was read before start_run was not seen")
    plan = Plan(
        run_id=record.run_id,
        home=str(home.path),
        project=project,
        cwd=cwd,
        entry=EntryPoint(str(entry["kind"]), str(entry["name"]), tuple(cast("list[str]", entry["argv"]))),
        root_seed=settings.seed,
        sample_rows=settings.sample_rows,
        store_limit=settings.store_limit,
    )
    instruments = frozenset(sys.modules) - known
    session = open_session(plan, spool, seed=False, instruments=instruments)
    return InProcessRun(workspace, session, run_id=record.run_id)
