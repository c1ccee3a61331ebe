"""`lakemark run`: evaluate code, and write the receipt."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakemark._base.errors import NotFoundError, nearest
from lakemark._base.ids import new_run_id
from lakemark.capture.child import run_child
from lakemark.capture.code import snapshot
from lakemark.capture.git import GitError
from lakemark.capture.receipt import Receipt
from lakemark.capture.settle import recover, run_record, settle
from lakemark.capture.workspace import Workspace
from lakemark.config.home import Home
from lakemark.recorder.plan import EntryPoint, Plan
from lakemark.recorder.secrets import redact_argv
from lakemark.tracking.processes import process_start
from lakemark.tracking.records import RunKind, RunStatus
from lakemark.tracking.spool import Spool, read_events

__all__ = [
    "Beginning",
    "Evaluation",
    "Request",
    "begin",
    "ended_by",
    "params_from_argv",
    "run",
    "write_exit",
    "write_snapshot",
]

_INTERRUPTED = 130
_FROM_OUTSIDE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM})
"""Signals by which a run is interrupted; by all others its process crashed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks `lakemark run` for.

    Parameters
    ----------
    entry : EntryPoint
        The script or module with its arguments.
    cwd : Path
        The working directory.
    python : Path
        The interpreter.
    name : str, optional
        What to call the run.
    environment : mapping of str to str
        The process's environment variables.
    stdout_to_stderr : bool, default False
        Keep stdout free of what the script prints.
    """

    entry: EntryPoint
    cwd: Path
    python: Path
    environment: Mapping[str, str]
    name: str | None = None
    stdout_to_stderr: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it.

    Parameters
    ----------
    run_id : str
        The run.
    exit_code : int
        The script's, minus a signal's number where one ended it.
    receipt : Receipt
        What went in and came out.
    """

    run_id: str
    exit_code: int
    receipt: Receipt


def run(workspace: Workspace, request: Request) -> Evaluation:
    """Run a script or module as it is, capture what it is made of, and settle the run.

    Raises
    ------
    NotFoundError
        If there is no such script or interpreter; nothing is written then.
    """
    _check(request)
    run_id = new_run_id()
    spool = begin(workspace, Beginning(run_id, request.entry, request.cwd, name=request.name))
    project = write_snapshot(spool, request.cwd, home=workspace.home)
    spool.close()
    plan = Plan(
        run_id=run_id,
        home=str(workspace.home.path),
        project=project,
        cwd=str(request.cwd),
        entry=request.entry,
        root_seed=workspace.settings.seed,
        sample_rows=workspace.settings.sample_rows,
        store_limit=workspace.settings.store_limit,
    )
    variables = {
        **request.environment,
        "LAKEMARK_HOME": str(workspace.home.path),
        "LAKEMARK_WAREHOUSE": workspace.settings.warehouse,
    }
    variables.setdefault("PYTHONHASHSEED", "0")
    code = run_child(plan, python=request.python, environment=variables, stdout_to_stderr=request.stdout_to_stderr)
    write_exit(plan.spool, code)
    receipt = settle(workspace, run_id, status=ended_by(code))
    recover(workspace)  # runs that the script nested in this one end with its process
    return Evaluation(run_id, code, receipt)


def _check(request: Request) -> None:
    path = request.cwd / request.entry.name
    if request.entry.kind == "script" and not path.is_file():
        folder = path.parent if path.parent.is_dir() else request.cwd
        near = nearest(path.name, [other.name for other in folder.glob("*.py")])
        told = ": it is a folder" if path.is_dir() else f"; did you mean {near!r}?" if near else ""
        raise NotFoundError(
            f"no script {request.entry.name} in {request.cwd}{told}",
            hint="lakemark run -m NAME runs a module instead",
            nearest=near,
        )
    if not os.access(request.python, os.X_OK) or request.python.is_dir():
        raise NotFoundError(f"no interpreter at {request.python}", hint="--python takes the path of a python program")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of a run before anything of it has run.

    Parameters
    ----------
    run_id : str
        The run.
    entry : EntryPoint
        What will be run.
    cwd : Path
        Where.
    name : str, optional
        What people call it.
    kind : RunKind, default RUN
        Why it is made.
    parent_run_id : str, optional
        The run that it repeats, or is a mixture of.
    how_started : {"command", "api"}
        By `lakemark run`, or by `lakemark.start_run()` in a program that is under way.
    """

    run_id: str
    entry: EntryPoint
    cwd: Path
    name: str | None = None
    kind: RunKind = RunKind.RUN
    parent_run_id: str | None = None
    how_started: str = "command"


def begin(workspace: Workspace, beginning: Beginning) -> Spool:
    """Open the spool of a new run and make the run known, so that it is found whatever happens next."""
    spool = Spool(workspace.home.spool / beginning.run_id)
    argv, redacted = redact_argv(beginning.entry.argv)
    pid = os.getpid()
    spool.write(
        "created",
        run_id=beginning.run_id,
        name=beginning.name,
        kind=str(beginning.kind),
        experiment=workspace.settings.experiment,
        parent_run_id=beginning.parent_run_id,
        pid=pid,
        process_start=process_start(pid) or "",
        entry={"kind": beginning.entry.kind, "name": beginning.entry.name, "argv": list(argv)},
        cwd=str(beginning.cwd),
        how_started=beginning.how_started,
    )
    workspace.store.create_run(run_record([event for _, event in read_events(spool.folder)]))
    for key, value in params_from_argv(argv).items():
        spool.write("param", key=key, value=value, how="inferred")
    for name in redacted:
        spool.write("missing", fact="params", why=f"the value of {name} looks like a secret and was not stored")
    return spool


def ended_by(exit_code: int) -> RunStatus:
    """Return the status of a run whose process ended without saying so itself.

    Parameters
    ----------
    exit_code : int
        The process's, minus a signal's number where one ended it.

    Examples
    --------
    >>> [str(ended_by(code)) for code in (0, 7, -signal.SIGKILL, -signal.SIGSEGV)]
    ['FINISHED', 'FAILED', 'KILLED', 'FAILED']
    """
    if -exit_code in _FROM_OUTSIDE or exit_code == _INTERRUPTED:
        return RunStatus.KILLED
    return RunStatus.FAILED if exit_code else RunStatus.FINISHED


def write_exit(folder: Path, exit_code: int) -> None:
    """Write down how a process ended, where it could not do so itself.

    Parameters
    ----------
    folder : Path
        The run's spool folder.
    exit_code : int
        The process's, minus a signal's number where one ended it.
    """
    if any(event["event"] == "finished" for _, event in read_events(folder)):
        return
    if exit_code < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-exit_code, f"signal {-exit_code}")
        why = f"the process was ended by {name} ({signal.strsignal(-exit_code) or 'a signal of the real-time kind'})"
    else:
        name = "Exit"
        why = f"the process ended with exit code {exit_code} and without the interpreter's shutdown"
    spool = Spool(folder)
    spool.write("exited", exit_code=exit_code, type=name, message=why)
    spool.close()


def write_snapshot(spool: Spool, cwd: Path, *, home: Home) -> str:
    """Take a snapshot of the code and return the project folder; a run goes on without one where git does not.

    Parameters
    ----------
    spool : Spool
        Of the run; takes the `code` event, or says what is missing.
    cwd : Path
        The working directory.
    home : Home
        Holds the private repository.
    """
    try:
        facts = snapshot(cwd, home=home, run_id=spool.folder.name)
    except GitError as error:
        spool.write("missing", fact="code", why=error.message)
        here = cwd.resolve()
        return str(next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here))
    spool.write("code", **facts.to_json())
    return facts.project


def params_from_argv(argv: Sequence[str]) -> dict[str, str]:
    """Read params off a command line, as most programs spell them.

    Examples
    --------
    >>> params_from_argv(["--learning-rate", "0.1", "--shift=-3", "--fast", "-n", "5", "depth=4", "data.csv"])
    {'learning_rate': '0.1', 'shift': '-3', 'fast': 'true', 'n': '5', 'depth': '4', 'argument_1': 'data.csv'}
    """
    params: dict[str, str] = {}
    positional = 0
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        if key.startswith("-") and key.strip("-"):
            if not equals:
                value = rest.pop(0) if rest and not _is_option(rest[0]) else "true"
            params[key.lstrip("-").replace("-", "_")] = value
        elif equals and key.replace(".", "_").isidentifier():
            params[key] = value
        else:
            positional += 1
            params[f"argument_{positional}"] = word
    return params


def _is_option(word: str) -> bool:
    return word.startswith("-") and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
