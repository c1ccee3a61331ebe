"""Scripts that call the API: run by plain `python`, or by the command, whose run they then take."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

FULL = """\
import pathlib
import lakemark
import numpy as np
from sklearn.linear_model import Ridge

with lakemark.start_run("full", tags={"team": "lake"}):
    lakemark.log_params({"alpha": 0.5, "fast": True})
    lakemark.log_param("kind", "ridge")
    for step in range(3):
        lakemark.log_metrics({"loss": 1 / (step + 1), "accuracy": step / 3}, step=step)
    lakemark.set_tag("who", "me")
    pathlib.Path("note.txt").write_text("a note")
    lakemark.log_artifact("note.txt", "notes")
    draw = np.random.default_rng(3)
    x = draw.normal(size=(60, 3))
    y = x @ [1.0, 2.0, 3.0] + draw.normal(size=60)
    model = Ridge(alpha=0.5).fit(x[:40], y[:40])
    lakemark.log_metric("error", float(np.abs(y[40:] - model.predict(x[40:])).mean()))
    lakemark.log_model(model, "ridge")
    with lakemark.start_run("part", nested=True):
        lakemark.log_metric("inner", 1)
    lakemark.log_metric("after", 2)
"""


def check_full(project: Project, name: str) -> None:
    """Check all that the script above has said, and that it can be had again."""
    whole, part = (next(run for run in project.runs() if run["name"] == wanted) for wanted in (name, "part"))
    assert (whole["status"], part["status"]) == ("FINISHED", "FINISHED")
    assert (whole["parent_run_id"], part["parent_run_id"]) == (None, whole["run_id"])
    assert {key: whole["params"][key] for key in ("alpha", "fast", "kind")} == {
        "alpha": "0.5",
        "fast": "True",
        "kind": "ridge",
    }
    assert whole["tags"] == {"team": "lake", "who": "me"}
    assert {key: whole["metrics"][key] for key in ("loss", "accuracy", "after")} == {
        "loss": 1 / 3,
        "accuracy": 2 / 3,
        "after": 2.0,
    }
    assert part["metrics"] == {"inner": 1.0}
    kept = project.home / "runs" / whole["run_id"]
    assert (kept / "notes" / "note.txt").read_text() == "a note"
    assert (kept / "ridge" / "model.pkl").is_file()

    receipt = project.receipt(whole["run_id"])
    inputs = receipt["inputs"]
    assert {part: inputs[part]["how"] for part in ("code", "env", "compute")} == dict.fromkeys(
        ("code", "env", "compute"), "observed"
    )
    assert {"numpy", "scikit-learn"} <= {row["name"] for row in inputs["env"]["packages"]}
    assert inputs["params"]["how"]["alpha"] == "declared"
    assert [row["api"] for row in inputs["randomness"]["seeds"]] == ["numpy.random.default_rng"]
    assert receipt["outputs"]["files_written"] == [str(project.folder / "note.txt")]
    assert project.receipt("part")["inputs"]["code"]["tree"] == inputs["code"]["tree"]

    verdict = project.json("reproduce", whole["run_id"], "--level", "4")
    assert verdict["level"] == 5
    assert {check["name"] for check in verdict["checks"] if check["same"] is False} <= {"seeds"}
    assert (project.folder / "note.txt").read_text() == "a note"
    done = project.run("reproduce", part["run_id"], expect=2)
    assert f"run part is a part of run {whole['run_id'][:8]}" in done.stderr
    assert {run["name"] for run in project.runs()} == {name, "part"}  # those of the replay are no runs of ours


def test_a_plain_script_is_captured_from_within(bare: Project) -> None:
    bare.write("train.py", FULL)
    bare.python("train.py")
    check_full(bare, "full")
    missing = [(row["fact"], row["why"]) for row in bare.receipt("full")["completeness"]["missing"]]
    assert ("data", "what was read before start_run was not seen") in missing


def test_under_the_command_the_script_takes_the_run_that_is_there(bare: Project) -> None:
    bare.write("train.py", FULL)
    bare.run("run", "--name", "named", "train.py", "--depth", "3")
    assert len(bare.runs()) == 2
    taken = next(run for run in bare.runs() if run["name"] != "part")
    assert taken["params"]["depth"] == "3"
    check_full(bare, taken["name"])


ENDS = """\
import sys
import lakemark

lakemark.start_run("ends", experiment="trial")
lakemark.log_metric("before", 1)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code", "status", "error"),
    [
        ("", 0, "FINISHED", None),
        ("raise ValueError('no rows')", 1, "FAILED", "ValueError: no rows"),
        ("with lakemark.start_run('b', nested=True):\n    raise KeyError('b')", 1, "FAILED", "KeyError: 'b'"),
        ("lakemark.end_run('FAILED')", 0, "FAILED", None),
        ("lakemark.log_param('a', 1)\nlakemark.log_param('a', 2)", 1, "FAILED", "cannot become '2'"),
        ("lakemark.log_metric('loss', 'low')", 1, "FAILED", "metric 'loss'"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -9, "KILLED", None),
    ],
)
def test_each_end_of_a_run_without_end_run(
    shared: Project, ending: str, code: int, status: str, error: str | None
) -> None:
    shared.write("ends.py", ENDS.format(ending=ending))
    done = shared.python("ends.py", expect=code)

    run = next(run for run in shared.runs() if run["name"] == "ends")
    assert (run["status"], run["experiment"], run["metrics"]) == (status, "trial", {"before": 1.0})
    found = shared.receipt(run["run_id"])["outputs"]["error"]
    if error is None:
        assert found is None
        assert done.stderr == ""
    else:
        assert error in f"{found['type']}: {found['message']}"
        assert found["frames"][0]["file"] == "ends.py"
        assert error in done.stderr
    shared.check_database()
