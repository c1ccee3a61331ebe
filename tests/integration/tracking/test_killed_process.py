from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from lakemark.config.home import create_home
from lakemark.tracking.spool import Spool, read_events

PROGRAM = """
import lakemark

with lakemark.start_run():
    step = 0
    while True:
        lakemark.log_metric("auc", step / 7, step=step)
        print(step, flush=True)  # acknowledged: only what was printed must be there
        step += 1
"""


def test_every_acknowledged_point_survives_a_kill(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    folder = home.spool / ("a" * 32)
    spool = Spool(folder)
    spool.write("created", run_id=folder.name, name=None, experiment="default", parent_run_id=None)
    spool.close()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "LAKEMARK_RUN_FOLDER": str(folder)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    acknowledged = -1
    while acknowledged < 2_000:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    for line in process.stdout.read().splitlines(keepends=True):
        if line.endswith(b"\n"):
            acknowledged = int(line)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    points = [(event["step"], event["value"]) for _, event in read_events(folder) if event["event"] == "metric"]
    assert points[: acknowledged + 1] == [(step, step / 7) for step in range(acknowledged + 1)]
    assert len(points) - (acknowledged + 1) in (0, 1)  # one may have been written and not yet acknowledged
