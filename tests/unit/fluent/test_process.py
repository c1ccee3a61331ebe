"""Inside `lakemark run`: the run is there already, and `LAKEMARK_RUN_FOLDER` names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakemark._base.canonical import Json
from lakemark.config.home import Home, create_home
from lakemark.tracking.spool import Spool, read_events

GIVEN = "a" * 32


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = create_home(tmp_path)
    spool = Spool(made.spool / GIVEN)
    spool.write(
        "created",
        run_id=GIVEN,
        name=None,
        kind="run",
        experiment="default",
        parent_run_id=None,
        pid=1,
        process_start="",
        entry={"kind": "script", "name": "train.py", "argv": []},
        cwd=str(tmp_path),
        project=str(tmp_path),
        how_started="command",
    )
    spool.close()
    return made


def run_script(home: Home, script: str, *, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import lakemark\n{script}"],
        cwd=home.path.parent,
        env={**os.environ, "LAKEMARK_RUN_FOLDER": str(home.spool / GIVEN)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def events(home: Home, run_id: str = GIVEN) -> list[dict[str, Json]]:
    hidden = ("at", "timestamp", "how")
    found = (event for _, event in read_events(home.spool / run_id) if event["event"] != "created")
    return [{key: value for key, value in event.items() if key not in hidden} for event in found]


def others(home: Home) -> list[dict[str, Json]]:
    """Return the `created` events of the runs that the script made, oldest first."""
    made = [path.name for path in home.spool.iterdir() if path.name != GIVEN]
    created = [dict(event) for run_id in made for _, event in read_events(home.spool / run_id) if "argv" in str(event)]
    return sorted(created, key=lambda event: str(event["name"]))


def test_the_first_start_takes_the_run_that_is_there(home: Home) -> None:
    said = run_script(
        home,
        "with lakemark.start_run(tags={'who': 'me'}) as run:\n"
        "    lakemark.log_metric('auc', 0.5, step=2)\n"
        "print(run.info.run_id, lakemark.active_run())",
    )
    assert said.split() == [GIVEN, "None"]
    assert events(home) == [
        {"event": "tag", "key": "who", "value": "me"},
        {"event": "metric", "key": "auc", "value": 0.5, "step": 2},
        {"event": "ended", "status": "FINISHED", "error": None},
    ]
    assert others(home) == []


def test_logging_without_a_run_takes_it_too_and_returns_the_param(home: Home) -> None:
    assert run_script(home, "print(lakemark.log_param('lr', 0.1)); lakemark.log_metric('auc', 1)") == "0.1\n"
    assert [event["event"] for event in events(home)] == ["param", "metric"]
    assert others(home) == []


def test_name_and_experiment_of_the_script_are_passed_on(home: Home) -> None:
    run_script(home, "lakemark.set_experiment('delays'); lakemark.start_run('monday')")
    assert events(home) == [{"event": "described", "name": "monday", "experiment": "delays"}]


def test_nested_runs_are_runs_of_their_own(home: Home) -> None:
    run_script(
        home,
        "with lakemark.start_run('outer'):\n"
        "    with lakemark.start_run('inner', nested=True, experiment='sweep') as inner:\n"
        "        lakemark.log_metric('auc', 1)\n"
        "        with lakemark.start_run('innermost', nested=True):\n"
        "            pass\n"
        "    lakemark.log_metric('auc', 2)\n",
    )
    inner, innermost = others(home)
    assert (inner["name"], inner["experiment"], inner["parent_run_id"], inner["how_started"]) == (
        "inner",
        "sweep",
        GIVEN,
        "api",
    )
    assert innermost["parent_run_id"] == inner["run_id"]
    assert [event.get("value") for event in events(home) if event["event"] == "metric"] == [2.0]
    kinds = [(event["event"], event.get("status")) for event in events(home, str(inner["run_id"]))]
    assert kinds == [("metric", None), ("finished", "FINISHED")]


def test_later_runs_lie_below_the_one_that_is_there(home: Home) -> None:
    run_script(home, "for name in 'abc':\n    with lakemark.start_run(name):\n        lakemark.log_param('name', name)")
    assert [(event["name"], event["parent_run_id"]) for event in others(home)] == [("b", GIVEN), ("c", GIVEN)]
    assert [event["value"] for event in events(home) if event["event"] == "param"] == ["a"]


def test_a_second_start_without_nested_is_refused(home: Home) -> None:
    run_script(
        home,
        "lakemark.start_run()\n"
        "try:\n    lakemark.start_run()\n"
        "except lakemark._base.errors.ConflictError as error:\n    assert 'nested=True' in error.hint\n"
        "else:\n    raise SystemExit(9)\n",
    )
    assert others(home) == []


def test_bad_input_starts_nothing(home: Home) -> None:
    for bad in ("'x' * 501", "'x', tags={'a=b': 1}", "'x', experiment=' '"):
        run_script(
            home,
            f"try:\n    lakemark.start_run({bad})\nexcept ValueError:\n    assert lakemark.active_run() is None\n"
            "else:\n    raise SystemExit(9)\n",
        )
    assert events(home) == []


def test_an_error_is_written_down_with_the_frames_of_the_user(home: Home) -> None:
    (home.path.parent / "train.py").write_text(
        "import lakemark\n\ndef fit():\n    raise ValueError('no rows')\n\n"
        "try:\n    with lakemark.start_run():\n        fit()\nexcept ValueError:\n    pass\n"
        "with lakemark.start_run('second'):\n    fit()\n"
    )
    run_script(home, "import runpy; runpy.run_path('train.py')", code=1)
    (ended,) = events(home)
    error = ended["error"]
    assert isinstance(error, dict)
    assert (ended["status"], error["type"], error["message"]) == ("FAILED", "ValueError", "no rows")
    assert [(frame["function"], frame["line"], frame["code"]) for frame in error["frames"]][-1] == (
        "fit",
        4,
        "raise ValueError('no rows')",
    )
    (second,) = others(home)
    assert [event["status"] for event in events(home, str(second["run_id"]))] == ["FAILED"]


def test_runs_left_open_end_with_the_process(home: Home) -> None:
    for ending, status in (("pass", "FINISHED"), ("raise ValueError('no')", "FAILED")):
        run_script(
            home,
            f"lakemark.start_run(); lakemark.start_run('{status}', nested=True)\n{ending}",
            code=0 if status == "FINISHED" else 1,
        )
        (created,) = (event for event in others(home) if event["name"] == status)
        assert [event["status"] for event in events(home, str(created["run_id"]))] == [status]
    assert events(home) == []  # how the given run ended is seen by the command


def test_the_exception_hook_of_the_program_is_still_called(home: Home) -> None:
    said = run_script(
        home,
        "import sys\nsys.excepthook = lambda kind, error, frames: print('mine', error)\n"
        "lakemark.start_run()\nraise ValueError('no')",
        code=1,
    )
    assert said == "mine no\n"


def test_ending_takes_a_status_and_is_quiet_without_a_run(home: Home) -> None:
    run_script(
        home,
        "lakemark.end_run()\nlakemark.start_run()\nlakemark.end_run('KILLED')\nlakemark.end_run()\n"
        "try:\n    lakemark.end_run('DONE')\nexcept ValueError as error:\n    assert \"'DONE'\" in str(error)\n"
        "else:\n    raise SystemExit(9)\n",
    )
    assert events(home) == [{"event": "ended", "status": "KILLED", "error": None}]


def test_a_thread_logs_to_the_run_of_the_process_and_its_own_runs_lie_below(home: Home) -> None:
    run_script(
        home,
        "import threading\n"
        "def work():\n"
        "    lakemark.log_metric('thread', 1)\n"
        "    with lakemark.start_run('own'):\n"
        "        lakemark.log_metric('own', 1)\n"
        "    lakemark.end_run()\n"
        "with lakemark.start_run():\n"
        "    thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "    lakemark.log_metric('main', 1)\n",
    )
    assert [event.get("key") for event in events(home)] == ["thread", "main", None]
    (own,) = others(home)
    assert (own["name"], own["parent_run_id"]) == ("own", GIVEN)


def test_a_forked_child_logs_to_the_run_and_never_ends_it(home: Home) -> None:
    run_script(
        home,
        "import os, sys\n"
        "with lakemark.start_run():\n"
        "    with lakemark.start_run('inner', nested=True):\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            lakemark.log_metric('child', 1)\n"
        "            sys.exit(0)\n"  # runs atexit, and leaves both blocks
        "        os.waitpid(child, 0)\n"
        "        lakemark.log_metric('parent', 1)\n",
    )
    (inner,) = others(home)
    assert [event.get("key") for event in events(home, str(inner["run_id"]))] == ["child", "parent", None]
    assert [event["event"] for event in events(home)] == ["ended"]


def test_a_child_that_is_forked_while_a_thread_logs_is_not_stuck(home: Home) -> None:
    run_script(
        home,
        "import os, signal, threading, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)  # that a fork beside threads is risky is the point\n"
        "done = threading.Event()\n"
        "def log():\n"
        "    while not done.is_set():\n"
        "        lakemark.log_metric('thread', 1)\n"
        "with lakemark.start_run():\n"
        "    threads = [threading.Thread(target=log, daemon=True) for _ in range(3)]\n"
        "    for thread in threads: thread.start()\n"
        "    for _ in range(20):\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            signal.alarm(5)\n"
        "            lakemark.log_metric('child', 1)\n"
        "            os._exit(0)\n"
        "        assert os.waitpid(child, 0)[1] == 0\n"
        "    done.set()\n"
        "    for thread in threads: thread.join()\n",
    )
    assert len([event for event in events(home) if event.get("key") == "child"]) == 20


def test_a_folder_that_is_gone_is_no_run(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    program = (
        "from lakemark.fluent.process import ActiveRuns; print(ActiveRuns()._take_given(None, None))"  # the quiet half
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=empty,
        env={**os.environ, "LAKEMARK_RUN_FOLDER": str(home.spool / "gone")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
    assert not (home.spool / "gone").exists()


def test_what_created_says_of_a_run(home: Home) -> None:
    (home.path.parent / "train.py").write_text(
        "import lakemark\nlakemark.start_run()\nlakemark.start_run('inner', nested=True)\n"
    )
    subprocess.run(
        [sys.executable, "train.py", "--lr", "0.1", "--password", "hunter2"],
        cwd=home.path.parent,
        env={**os.environ, "LAKEMARK_RUN_FOLDER": str(home.spool / GIVEN)},
        check=True,
    )
    (inner,) = others(home)
    assert inner["entry"] | {"argv": None} == {"kind": "script", "name": "train.py", "argv": None}  # type: ignore[operator] # a mapping
    assert "hunter2" not in json.dumps(inner)
    assert "0.1" in json.dumps(inner["entry"])
    assert (inner["cwd"], inner["kind"]) == (str(home.path.parent), "run")
