"""`python -P -m lakemark.recorder PLAN.json [ARGUMENT ...]`: run the script that a plan names, with the hooks in place.

The script's arguments come by the command line and stand in no file, because they may hold secrets.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import sys
import threading
from pathlib import Path

from lakemark._base.errors import StorageError
from lakemark.recorder.launch import describe_error, run_entry, show_error
from lakemark.recorder.plan import Plan, read_plan
from lakemark.recorder.session import Session, open_session
from lakemark.recorder.stdin import watch_stdin
from lakemark.tracking.spool import Spool

_INTERRUPTED = 130
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the plan that the command line names and return the script's exit code."""
    plan = read_plan(Path(sys.argv[1]))
    plan = dataclasses.replace(plan, entry=dataclasses.replace(plan.entry, argv=tuple(sys.argv[2:])))
    _die_with_parent()
    process = os.getpid()
    session = open_session(plan, Spool(plan.spool), seed=True)
    watch_stdin(session.recording)
    code, error = _run(plan)
    if os.getpid() != process:  # a forked child that came to the script's end: the run is its parent's
        return code
    try:
        _conclude(session, plan, code=code, error=error)
    except KeyboardInterrupt:  # the parent settles what is written
        return _INTERRUPTED
    except StorageError as error:
        print(f"error: {error.message}: the end of the run was not written down", file=sys.stderr)  # noqa: T201
    return code


def _conclude(session: Session, plan: Plan, *, code: int, error: BaseException | None) -> None:
    """Wait for the script's threads, as the interpreter would, and write the last facts."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    status = "KILLED" if code == _INTERRUPTED else "FAILED" if code else "FINISHED"
    described = describe_error(error, project=plan.project) if error is not None and code else None
    session.close(status=status, exit_code=code, error=described)


def _run(plan: Plan) -> tuple[int, BaseException | None]:
    try:
        run_entry(plan.entry)
    except SystemExit as stop:
        return _exit_code(stop), stop
    except KeyboardInterrupt as stop:
        return _INTERRUPTED, stop
    except BaseException as error:  # noqa: BLE001 - the edge of the user's code: shown as Python would
        show_error(error)
        return 1, error
    return 0, None


def _exit_code(stop: SystemExit) -> int:
    """Return what Python would exit with; it prints what is not a number."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    print(stop.code, file=sys.stderr)  # noqa: T201 - as Python does
    return 1


def _die_with_parent() -> None:
    """On Linux, ask the kernel to end this process with the command that started it: a script left alone is no run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
