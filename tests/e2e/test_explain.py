"""Why the score moved: the mixtures of two runs, really run."""

from __future__ import annotations

import math

import pytest
from deltalake import write_deltalake
from tests.e2e.conftest import Project, sales

pytestmark = pytest.mark.slow

TRAIN = """\
import sys
from deltalake import DeltaTable
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error

frame = DeltaTable("data/sales").to_pandas()
cut = int(len(frame) * 0.75)
train, test = frame[:cut], frame[cut:]
features = ["x", "y"]
model = Ridge(alpha=float(sys.argv[2])).fit(train[features], train["z"])
print(mean_absolute_error(test["z"], model.predict(test[features])))
"""


@pytest.fixture
def trained(project: Project) -> Project:
    """A project with the run `a`."""
    project.write("train.py", TRAIN)
    project.run("run", "--name", "a", "train.py", "--alpha", "1")
    return project


def test_the_change_is_shared_out_over_data_and_params(trained: Project) -> None:
    trained.land(100, start=200)
    trained.run("run", "--name", "b", "train.py", "--alpha", "500")
    refused = trained.run("explain", "a", "b", "--max-runs", "0", expect=2)
    assert "differs: data, params; 4 runs, 2 of them new" in refused.stderr
    assert "2 new runs are needed, --max-runs allows 0" in refused.stderr
    assert "hint: --max-runs 2" in refused.stderr
    assert len(trained.runs("--all")) == 2

    first = trained.json("explain", "a", "b")
    assert first["equal"] == ["code", "env"]
    reported = first["reported"]
    assert [reported["a"], reported["b"]] == [run["metrics"]["mean_absolute_error"] for run in trained.runs()][::-1]
    effects = {tuple(effect["factors"]): effect for effect in first["effects"]}
    assert effects.keys() == {("data",), ("params",)}
    assert effects["params",]["differences"] == ["alpha 1 → 500"]
    total = first["total"]["value"]
    assert math.isclose(sum(effect["value"] for effect in effects.values()), total, abs_tol=1e-12)
    assert math.isclose(total + first["evaluation_set_change"], reported["change"], abs_tol=1e-12)
    for effect in effects.values():
        assert effect["low"] <= effect["value"] <= effect["high"]
    assert first["common_rows"] == {"side": "b", "rows": 50, "dropped": 25}
    assert len(trained.runs("--all")) == 4
    assert {run["kind"] for run in trained.runs("--all")} == {"run", "counterfactual"}

    again = trained.run("explain", "a", "b", "--max-runs", "0")
    assert "all of them there already" in again.stderr
    assert "params" in again.stdout
    assert len(trained.runs("--all")) == 4


def test_a_mixture_that_cannot_run_is_said_and_the_rest_explained(trained: Project) -> None:
    rows = sales(300)
    write_deltalake(trained.table, rows.append_column("w", rows["x"]), mode="overwrite", schema_mode="overwrite")
    trained.write("train.py", TRAIN.replace('["x", "y"]', '["x", "w"]'))
    trained.run("run", "--name", "b", "train.py", "--alpha", "1")

    explanation = trained.json("explain", "a", "b")
    assert {tuple(effect["factors"]) for effect in explanation["effects"]} == {("data",), ("code",)}
    failed = {mixture["error"]: mixture["sides"] for mixture in explanation["mixtures"] if mixture["error"]}
    assert failed == {"KeyError: \"['w'] not in index\"": {"data": "a", "code": "b"}}
    assert any(note.startswith("some mixtures could not run, so 1 of the 2 orders") for note in explanation["notes"])


def test_code_alone_needs_no_new_run(trained: Project) -> None:
    trained.write("train.py", TRAIN.replace("Ridge(alpha=", "Ridge(fit_intercept=False, alpha="))
    trained.run("run", "--name", "b", "train.py", "--alpha", "1")
    told = trained.run("explain", "a", "b", "--max-runs", "0").stdout
    line = next(line for line in told.splitlines() if line.startswith("  code "))
    assert "100 %" in line
    assert "  train.py\n" in told


def test_two_runs_that_differ_in_nothing(bare: Project) -> None:
    bare.write("train.py", "import lakemark\nlakemark.log_metric('score', 0.5)\n")
    for name in ("a", "b"):
        bare.run("run", "--name", name, "train.py")
    done = bare.run("explain", "a", "b")
    assert "differs: nothing" in done.stderr
    assert "The same in both runs: data, code, params, env." in done.stdout
    assert "+0.0000" in done.stdout


IN_THE_PROJECT = """\
import json, sys
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error

frame = pd.read_csv("rows.csv")
cut = len(frame) * 3 // 4
train, test = frame[:cut], frame[cut:]
model = Ridge(alpha=float(sys.argv[2])).fit(train[["x", "y"]], train["z"])
error = mean_absolute_error(test["z"], model.predict(test[["x", "y"]]))
with open("metrics.json", "w") as file:
    json.dump({"mae": error}, file)
"""


def test_rows_and_outputs_in_the_project_are_no_code(project: Project) -> None:
    project.write("train.py", IN_THE_PROJECT)
    sales(200).to_pandas().to_csv(project.folder / "rows.csv", index=False)
    project.run("run", "--name", "a", "train.py", "--alpha", "1")
    sales(200, start=60).to_pandas().to_csv(project.folder / "rows.csv", index=False)
    project.run("run", "--name", "b", "train.py", "--alpha", "500")
    told = project.json("explain", "a", "b")
    assert told["equal"] == ["code", "env"]
    assert {tuple(effect["factors"]) for effect in told["effects"]} == {("data",), ("params",)}
    assert all(mixture["error"] is None for mixture in told["mixtures"])
    values = {tuple(mixture["sides"].values()): mixture["reported"] for mixture in told["mixtures"]}
    assert len(set(values.values())) == 4
    project.run("reproduce", "a", "--level", "5")
