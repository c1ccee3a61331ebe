"""`python train.py` that calls the API: the run is captured from within, and settled when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lakemark
from lakemark._base.canonical import Json
from lakemark.config.home import Home, create_home
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.records import Run
from lakemark.tracking.store import Store, open_store

COMMAND = str(Path(sys.executable).with_name("lakemark"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return create_home(tmp_path)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    opened = open_store(home)
    yield opened
    opened.database.close()


def run_script(home: Home, script: str, *flags: str, code: int = 0) -> str:
    project = home.path.parent
    (project / "train.py").write_text(f"import lakemark\n{script}")
    done = subprocess.run(
        [sys.executable, "-W", "error", *flags, "train.py", "--lr", "0.1"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(Path(lakemark.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def receipt_of(home: Home, run: Run) -> dict[str, Json]:
    assert run.receipt is not None
    document: dict[str, Json] = json.loads(ObjectStore(home.objects).get(run.receipt))
    return document


def test_a_run_is_settled_when_its_block_ends(home: Home, store: Store) -> None:
    (home.path.parent / "plot.txt").write_text("a plot")
    run_script(
        home,
        "with lakemark.start_run('monday', experiment='delays', tags={'who': 'me'}):\n"
        "    lakemark.log_param('lr', 0.1)\n"
        "    lakemark.log_metric('auc', 0.5, step=1)\n"
        "    lakemark.log_metric('auc', 0.4, step=2)\n"
        "    lakemark.log_artifact('plot.txt', 'plots')\n"
        "assert lakemark.active_run() is None\n",
    )
    run = store.get_run("monday")
    assert (run.status, run.experiment, run.entry_point) == ("FINISHED", "delays", "train.py")
    assert (run.params, run.metrics, run.tags) == ({"lr": "0.1"}, {"auc": 0.4}, {"who": "me"})
    assert [point.value for point in store.list_metrics(run.run_id)] == [0.5, 0.4]
    assert (home.runs / run.run_id / "plots" / "plot.txt").read_text() == "a plot"
    assert list(home.spool.iterdir()) == []
    inputs = receipt_of(home, run)["inputs"]
    assert isinstance(inputs, dict)
    assert {part: inputs[part]["how"] for part in ("code", "env", "compute")} == dict.fromkeys(
        ("code", "env", "compute"), "observed"
    )


def test_an_exception_fails_the_run_and_is_kept_with_its_frames(home: Home, store: Store) -> None:
    said = run_script(
        home, "def fit():\n    raise ValueError('no rows')\nwith lakemark.start_run('monday'):\n    fit()\n", code=1
    )
    assert said.rstrip().endswith("ValueError: no rows")
    run = store.get_run("monday")
    assert run.status == "FAILED"
    outputs = receipt_of(home, run)["outputs"]
    assert isinstance(outputs, dict)
    error = outputs["error"]
    assert (error["type"], error["frames"][-1]["function"], error["frames"][-1]["line"]) == ("ValueError", "fit", 3)


@pytest.mark.parametrize(("ending", "status"), [("pass", "FINISHED"), ("raise ValueError('no')", "FAILED")])
def test_a_run_that_is_left_open_ends_with_the_program(home: Home, store: Store, ending: str, status: str) -> None:
    run_script(home, f"lakemark.log_metric('auc', 0.5)\n{ending}\n", code=0 if status == "FINISHED" else 1)
    (run,) = store.list_runs()
    assert (run.status, run.metrics, run.experiment) == (status, {"auc": 0.5}, "default")


def test_runs_one_after_another_are_runs_of_their_own(home: Home, store: Store) -> None:
    run_script(
        home, "for name in 'ab':\n    with lakemark.start_run(name):\n        lakemark.log_param('name', name)\n"
    )
    found = store.list_runs()
    assert [(run.name, run.params, run.parent_run_id, run.status) for run in found] == [
        ("b", {"name": "b"}, None, "FINISHED"),
        ("a", {"name": "a"}, None, "FINISHED"),
    ]


def test_an_environment_without_the_database_library_keeps_the_run_for_the_next_command(
    home: Home, store: Store
) -> None:
    # -S: no site-packages, the standard library and Lakemark's source are all there is
    run_script(home, "with lakemark.start_run('monday'):\n    lakemark.log_metric('auc', 0.5)\n", "-S")
    assert store.list_runs() == ()
    assert len(list(home.spool.iterdir())) == 1
    subprocess.run([COMMAND, "runs"], cwd=home.path.parent, check=True, capture_output=True)
    run = store.get_run("monday")
    assert (run.status, run.metrics) == ("FINISHED", {"auc": 0.5})
    completeness = receipt_of(home, run)["completeness"]
    assert isinstance(completeness, dict)
    assert {"fact": "capture", "why": "sqlalchemy is not installed in this environment"} in completeness["missing"]


def test_a_bad_setting_starts_nothing(home: Home, store: Store) -> None:
    (home.path.parent / "lakemark.toml").write_text("sede = 1\n")
    assert "did you mean 'seed'?" in run_script(home, "lakemark.start_run()\n", code=1)
    assert store.list_runs() == ()
    assert list(home.spool.iterdir()) == []
