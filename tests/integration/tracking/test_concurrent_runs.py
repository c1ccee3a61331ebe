from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lakemark.config.home import create_home
from lakemark.tracking.records import RunKind
from lakemark.tracking.store import open_store

RUNS = 200

PROGRAM = """
import sys
from pathlib import Path
from lakemark.config.home import Home
from lakemark.tracking.records import Metric, Run, RunStatus
from lakemark.tracking.store import open_store

home, who, runs = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
store = open_store(home)
for number in range(runs):
    run_id = f"{who}{number:04x}".ljust(32, "0")
    store.create_run(Run(run_id=run_id, experiment=f"experiment {number % 5}", started_ms=number, name=who))
    store.settle_run(
        run_id, status=RunStatus.FINISHED, ended_ms=number, params={"number": str(number)},
        metrics=[Metric("auc", number / 7, 0, 1)], tags={}, tables=[], receipt=None, memo_key=None,
    )
store.database.close()
"""


def test_two_processes_write_200_runs_each_into_a_new_home_and_nothing_is_lost(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(home.path), who, str(RUNS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("a", "b")
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:  # both have imported what they need, and start together
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert ended == [("", 0), ("", 0)]
    store = open_store(home)
    found = store.list_runs(kinds=tuple(RunKind))
    assert {(run.name, run.params["number"], run.metrics["auc"]) for run in found} == {
        (who, str(number), number / 7) for who in ("a", "b") for number in range(RUNS)
    }
    assert len(found) == 2 * RUNS
    assert len(store.list_experiments()) == 5
    assert store.unsettled_runs() == ()
    store.database.close()
