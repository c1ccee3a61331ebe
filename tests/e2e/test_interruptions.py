"""Runs that are killed at any moment: found as interrupted, with all that they wrote, and nothing is damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, wait_for

from lakemark.config.home import Home
from lakemark.tracking.records import Run
from lakemark.tracking.store import open_store

pytestmark = pytest.mark.slow

SLOW = """\
import os, sys, time
import lakemark

points = int(sys.argv[1])
for step in range(points):
    lakemark.log_metric("loss", 1 / (step + 1), step=step)
with open("ready", "w") as file:
    file.write(str(os.getpid()))
time.sleep(120)
"""


def start_slow(
    project: Project, started: list[subprocess.Popen[str]], points: int
) -> tuple[subprocess.Popen[str], int]:
    """Start a run that waits after so many metrics; return the command's process and the script's id."""
    project.write("slow.py", SLOW)
    process = project.start("run", "--name", "slow", "slow.py", str(points))
    started.append(process)
    return process, int(wait_for(project.folder / "ready", process))


@pytest.mark.parametrize(("killed", "points"), [("command", 0), ("command", 50), ("script", 50), ("both", 50)])
def test_a_killed_run_is_found_as_interrupted(
    bare: Project, started: list[subprocess.Popen[str]], killed: str, points: int
) -> None:
    if killed == "command" and sys.platform != "linux":
        pytest.skip("only Linux ends a process with the one that started it; here the script goes on to its end")
    command, script = start_slow(bare, started, points)
    assert [run["status"] for run in bare.runs()] == ["RUNNING"]
    if killed in ("command", "both"):
        command.kill()
    if killed in ("script", "both"):
        os.kill(script, signal.SIGKILL)
    _, told = command.communicate(timeout=60)  # the pipes are closed when both processes are gone

    (run,) = bare.runs()
    assert (run["name"], run["status"], len(run["metrics"])) == ("slow", "KILLED", min(points, 1))
    bare.check_database()
    assert bare.runs() == [run]
    shown = bare.run("show", "slow").stdout
    assert shown.startswith(f"slow ({run['run_id'][:8]}) interrupted, ")
    receipt = bare.receipt("slow")
    assert [row["step"] for row in receipt["outputs"]["metrics"]] == list(range(points))
    assert receipt["inputs"]["code"]["how"] == "observed"
    missing = {row["fact"] for row in receipt["completeness"]["missing"]}
    assert {"environment", "compute", "outcome"} <= missing
    done = bare.run("reproduce", "slow", expect=2)
    assert "run slow is interrupted: only a finished run has outputs" in done.stderr
    if killed == "script":
        assert command.returncode == 128 + signal.SIGKILL
        assert f"run slow ({run['run_id'][:8]}) interrupted" in told
        assert "SIGKILL" in shown


def test_a_command_killed_while_it_takes_the_snapshot(
    bare: Project, started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/ready\nexec sleep 600\n")
    git.chmod(0o755)
    command = bare.start("run", "train.py", PATH=f"{git.parent}:{os.environ['PATH']}")
    started.append(command)
    sleeping = int(wait_for(tmp_path / "ready", command))
    command.kill()
    os.kill(sleeping, signal.SIGKILL)
    command.communicate()

    (run,) = bare.runs()
    assert run["status"] == "KILLED"
    bare.check_database()
    assert "no snapshot" in bare.run("show", run["run_id"]).stdout


def test_the_repository_may_be_gone_when_a_killed_run_is_found(
    bare: Project, started: list[subprocess.Popen[str]]
) -> None:
    command, script = start_slow(bare, started, 1)
    os.killpg(command.pid, signal.SIGKILL)
    os.kill(script, signal.SIGKILL)
    command.communicate()
    shutil.rmtree(bare.folder / ".git")
    assert [run["status"] for run in bare.runs()] == ["KILLED"]
    bare.check_database()


def test_interrupting_from_the_keyboard(bare: Project, started: list[subprocess.Popen[str]]) -> None:
    command, _ = start_slow(bare, started, 3)
    os.killpg(command.pid, signal.SIGINT)
    _, told = command.communicate()

    assert command.returncode == 130
    assert "Traceback" not in told
    assert "interrupted: loss 0.33333" in told  # the command settles it, and not the next one
    (run,) = bare.runs()
    assert (run["status"], run["metrics"]) == ("KILLED", {"loss": 1 / 3})
    error = bare.receipt("slow")["outputs"]["error"]
    assert (error["type"], error["frames"][-1]["file"], error["frames"][-1]["line"]) == (
        "KeyboardInterrupt",
        "slow.py",
        9,
    )
    bare.check_database()


def test_a_script_may_end_well_when_it_is_interrupted(bare: Project, started: list[subprocess.Popen[str]]) -> None:
    bare.write(
        "patient.py",
        "import time\ntry:\n    open('ready', 'w').write('1')\n    time.sleep(120)\n"
        "except KeyboardInterrupt:\n    print('stopped early')\n",
    )
    command = bare.start("run", "patient.py")
    started.append(command)
    wait_for(bare.folder / "ready", command)
    os.killpg(command.pid, signal.SIGINT)
    said, _ = command.communicate()
    assert (command.returncode, said) == (0, "stopped early\n")
    assert [run["status"] for run in bare.runs()] == ["FINISHED"]


def test_interrupting_a_reproduction_leaves_no_scratch_folder(
    bare: Project, started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    bare.write(
        "waits.py",
        f"import os, time\nif os.getcwd() != {str(bare.folder)!r}:\n"
        f"    open({str(tmp_path / 'outside')!r}, 'w').write('1')\n    open('ready', 'w').write('1')\n"
        "    time.sleep(120)\n",
    )
    bare.run("run", "--name", "waits", "waits.py")
    command = bare.start("reproduce", "waits", TMPDIR=str(scratch))
    started.append(command)
    while not list(scratch.glob("lakemark-world-*/project/ready")):
        assert command.poll() is None, command.communicate()
        time.sleep(0.01)
    os.killpg(command.pid, signal.SIGINT)
    command.communicate()

    assert command.returncode == 130
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "outside").exists()
    assert {run["kind"]: run["status"] for run in bare.runs("--all")} == {"run": "FINISHED", "replay": "KILLED"}
    bare.check_database()


def test_what_cannot_be_settled_is_in_nobodys_way(bare: Project) -> None:
    store = open_store(Home(bare.home))
    for name in ("lost", "damaged"):
        gone = Run(run_id=name[0] * 32, experiment="default", started_ms=1, name=name, pid=2**22 + 1, process_start="0")
        store.create_run(gone)
    store.database.close()
    damaged = bare.write(f".lakemark/spool/{'d' * 32}/events.jsonl", '{"event": "created", "at": 1}\n')

    done = bare.run("runs")
    assert f"warning: run dddddddd could not be settled and stays in {damaged.parent}: KeyError: " in done.stderr
    assert {line.split()[1]: line.split()[2] for line in done.stdout.splitlines()[1:]} == {
        "lost": "interrupted",
        "damaged": "running",
    }
    assert damaged.exists()
