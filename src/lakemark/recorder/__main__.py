"""`python -P -m lakemark.recorder PLAN.json [ARGUMENT ...]`: run the script that a plan names, with the hooks in place.

The script's arguments come by the command line and stand in no file, because they may hold secrets.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lakemark._base.errors import StorageError
from lakemark.recorder.confinement import confine_writes
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
    _confine(plan)
    process = os.getpid()
    session = open_session(plan, Spool(plan.spool), seed=True)
    watch_stdin(session.recording)
    sys.excepthook = _show  # the script may put another there, which then is the one to call
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
    _end_executors()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    status = "KILLED" if code == _INTERRUPTED else "FAILED" if code else "FINISHED"
    described = describe_error(error, project=plan.project) if error is not None and code else None
    session.close(status=status, exit_code=code, error=described)


def _report(error: BaseException) -> None:
    """Call the exception hook that the script may have put in, as the interpreter would."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception as another:  # noqa: BLE001 - the script's own code; its run is written down all the same
        show_error(error)
        show_error(another)


def _show(_kind: type[BaseException], error: BaseException, _frames: TracebackType | None) -> None:
    show_error(error)


def _end_executors() -> None:
    """Let pools of workers finish and end, as the interpreter does first: their threads wait for work for ever."""
    leaving: list[Callable[[], object]] = getattr(threading, "_threading_atexits", [])
    while leaving:
        with contextlib.suppress(Exception):  # the interpreter would go on as well
            leaving.pop()()


def _confine(plan: Plan) -> None:
    """In a replay, let nothing be written but in its own folders, the home, and the one for temporary files."""
    if plan.redirect is None:
        return
    chosen = tempfile.tempdir
    temporary = tempfile.gettempdir()
    tempfile.tempdir = chosen  # the script may still choose by TMPDIR
    confine_writes((str(Path(plan.redirect.scratch_root).parent), plan.home, temporary, "/dev", "/proc"))


def _run(plan: Plan) -> tuple[int, BaseException | None]:
    try:
        run_entry(plan.entry, import_roots=plan.redirect.import_roots if plan.redirect is not None else ())
    except SystemExit as stop:
        return _exit_code(stop), stop
    except KeyboardInterrupt as stop:
        return _INTERRUPTED, stop
    except BaseException as error:  # noqa: BLE001 - the edge of the user's code: shown as Python would
        _report(error)
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
