"""Run a script as the recorder does, with the hooks on models and randomness only; started by tests as a process.

`python drive.py PROJECT SCRIPT [ARGUMENTS]`, with a seed in LAKEMARK_TEST_SEED and a size limit in LAKEMARK_TEST_LIMIT.
"""

from __future__ import annotations

import os
import sys

from lakemark.recorder.imports import failures
from lakemark.recorder.launch import run_entry
from lakemark.recorder.modelhooks import conclude_models, install_models
from lakemark.recorder.plan import EntryPoint, Plan
from lakemark.recorder.recording import Recording
from lakemark.tracking.spool import Spool


def main() -> None:
    project, script, *arguments = sys.argv[1:]
    plan = Plan(
        run_id="run",
        home=f"{project}/.lakemark",
        project=project,
        cwd=project,
        entry=EntryPoint("script", script, tuple(arguments)),
        root_seed=int(os.environ.get("LAKEMARK_TEST_SEED", "7")),
        store_limit=int(os.environ.get("LAKEMARK_TEST_LIMIT", "100_000_000")),
    )
    recording = Recording(plan, Spool(plan.spool))
    with recording.quiet():
        install_models(recording)
    run_entry(plan.entry)
    with recording.quiet():
        conclude_models(recording)
    assert failures() == ()


if __name__ == "__main__":
    main()
