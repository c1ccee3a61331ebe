"""Why the score moved: the mixtures of two runs, really run."""

from __future__ import annotations

import math

import pyarrow as pa
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

    told = trained.run("explain", "a", "b").stdout
    assert "could not run: KeyError: \"['w'] not in index\"" in told
    assert "some mixtures could not run, so 1 of the 2 orders" in told.replace("\n  ", " ")
    explanation = trained.json("explain", "a", "b")
    assert {tuple(effect["factors"]) for effect in explanation["effects"]} == {("data",), ("code",)}
    failed = [mixture for mixture in explanation["mixtures"] if mixture["error"]]
    assert [mixture["sides"] for mixture in failed] == [{"data": "a", "code": "b"}]


def test_code_alone(trained: Project) -> None:
    trained.write("train.py", TRAIN.replace("Ridge(alpha=", "Ridge(fit_intercept=False, alpha="))
    trained.run("run", "--name", "b", "train.py", "--alpha", "1")
    told = trained.run("explain", "a", "b", "--max-runs", "0").stdout
    assert "code " in told
    assert "100 %" in told
    assert "train.py" in told


def test_two_runs_that_differ_in_nothing(trained: Project) -> None:
    trained.run("run", "--name", "b", "train.py", "--alpha", "1")
    done = trained.run("explain", "a", "b")
    assert "differs: nothing" in done.stderr
    assert "The same in both runs: data, code, params, env." in done.stdout
    assert "+0.0000" in done.stdout


def test_other_rows_that_the_script_never_read_are_no_cause(trained: Project) -> None:
    trained.write("notes.txt", "not code")
    write_deltalake(trained.folder / "data" / "other", pa.table({"x": [1]}))
    trained.run("run", "--name", "b", "train.py", "--alpha", "1")
    assert "mean_absolute_error" in trained.run("explain", "a", "b", "--max-runs", "0").stdout
