"""Starting the recorder in a process of its own, in any interpreter."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import lakemark
from lakemark._base.writer import RUN_FOLDER_VARIABLE
from lakemark.recorder.plan import Plan, write_plan

__all__ = ["instrumented", "run_child"]

_PACKAGE = Path(lakemark.__file__).parent


def run_child(
    plan: Plan,
    *,
    python: Path,
    environment: Mapping[str, str],
    output: IO[bytes] | None = None,
    stdout_to_stderr: bool = False,
) -> int:
    """Run a plan in a process of its own and wait for it.

    Parameters
    ----------
    plan : Plan
        What to run; all of it but the arguments is written to `plan.json` in the run's spool folder.
    python : Path
        The interpreter. Where it is not our own, `lakemark` is put on its path by a folder that holds nothing else.
    environment : mapping of str to str
        All of the process's environment variables.
    output : binary file, optional
        Takes stdout and stderr; None inherits both.
    stdout_to_stderr : bool, default False
        Let what the script prints go to our stderr, where stdout is for a document of ours.

    Returns
    -------
    int
        The exit code; minus the signal's number where a signal ended the process.
    """
    plan.spool.mkdir(parents=True, exist_ok=True)
    plan_path = plan.spool / "plan.json"
    # arguments may hold secrets: they are given to the process and stand in no file
    write_plan(dataclasses.replace(plan, entry=dataclasses.replace(plan.entry, argv=())), plan_path)
    with instrumented(python, environment) as variables:
        process = subprocess.Popen(
            [str(python), "-P", "-m", "lakemark.recorder", str(plan_path), *plan.entry.argv],
            cwd=plan.cwd,
            env={**variables, RUN_FOLDER_VARIABLE: str(plan.spool)},
            stdout=sys.stderr if stdout_to_stderr else output,
            stderr=output,
            stdin=subprocess.DEVNULL if output is not None else None,
        )
        with _interrupts_go_to_the_child() if output is None else nullcontext():
            try:
                return process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise


@contextmanager
def instrumented(python: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield `environment` with `lakemark`, and nothing else of ours, importable by `python`."""
    variables = dict(environment)
    if python == Path(sys.executable):
        yield variables
        return
    with tempfile.TemporaryDirectory(prefix="lakemark-instrument-") as folder:
        (Path(folder) / "lakemark").symlink_to(_PACKAGE, target_is_directory=True)
        before = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = os.pathsep.join([folder, before] if before else [folder])
        yield variables


@contextmanager
def _interrupts_go_to_the_child() -> Iterator[None]:
    """Leave Ctrl-C, which the terminal sends to both processes, to the script; we go on to settle its run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
