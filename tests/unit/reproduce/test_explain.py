"""Explaining a change, over a replayer that really trains small models in this process."""

import hashlib
import pickle
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import sklearn.metrics
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from lakemark._base.canonical import Json, canonical, digest
from lakemark._base.errors import InvalidInputError, LakemarkError
from lakemark.recorder.scoring import score
from lakemark.reproduce.explain import Options, explain
from lakemark.reproduce.explanation import Explanation
from lakemark.reproduce.mixtures import Plan
from lakemark.storage.objects import ObjectStore

ROWS = {0: 400, 1: 500}
TESTED = 150


def make_table(version: int) -> NDArray[np.float64]:
    """Return rows (two features, a region that only version 1 has, the label); version 1 appends to version 0."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(ROWS[1], 2))
    region = np.arange(ROWS[1]) % 4.0
    labels = 3 * features[:, 0] + features[:, 1] ** 2 + region + generator.normal(scale=0.3, size=ROWS[1])
    return np.column_stack([features, region, labels])[: ROWS[version]]


def hash_rows(rows: NDArray[np.float64]) -> NDArray[np.uint64]:
    hashes = [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8], "little") for row in rows]
    return np.array(hashes, dtype=np.uint64)


class ScriptError(Exception):
    """What a script raises where its data lacks something."""


class Workbench:
    """Runs inputs in this process: a table by its version, code by the name of its tree, params by argv."""

    def __init__(self, folder: Path) -> None:
        self.objects = ObjectStore(folder / "objects")
        self.receipts: dict[str, Mapping[str, Json]] = {}
        self.evaluated: list[str] = []
        self.scored: list[Mapping[str, Json]] = []

    def memo_key(self, inputs: Mapping[str, Json]) -> str:
        return digest(inputs)

    def find(self, memo_key: str) -> Mapping[str, Json] | None:
        return self.receipts.get(memo_key)

    def evaluate(self, inputs: Mapping[str, Json], *, name: str, parent_run_id: str) -> Mapping[str, Json]:
        self.evaluated.append(name)
        plain: Any = inputs
        tree = plain["code"]["tree"]
        if plain["env"]["lock"]["sha256"] == "gone":
            raise LakemarkError("environment: the lock has no hash for lightgbm\nand more")
        outputs: dict[str, Any] = {"wall_seconds": 2.0}
        status = "FINISHED"
        try:
            outputs |= self.train(
                tree, version=plain["data"]["tables"][0]["version"], argv=plain["code"]["entry"]["argv"]
            )
        except ScriptError as error:
            status = "FAILED"
            outputs["error"] = {"type": "KeyError", "message": f"while reading\n{error}"}
        receipt: dict[str, Any] = {
            "run_id": hashlib.sha256(f"{name}{len(self.receipts)}".encode()).hexdigest()[:32],
            "parent_run_id": parent_run_id,
            "status": status,
            "inputs": inputs,
            "outputs": outputs,
        }
        if status == "FINISHED":
            self.receipts[digest(inputs)] = receipt
        return receipt

    def train(self, tree: str, *, version: int, argv: list[str]) -> dict[str, Any]:
        rows = make_table(version)
        if tree == "region" and version == 0:
            raise ScriptError("'region'")
        if tree == "old" and version == 1:
            raise ScriptError("'old_name'")
        features = rows[:, :3] if tree == "region" else rows[:, :2]
        labels = rows[:, 3]
        learned, tested = slice(0, len(rows) - TESTED), slice(len(rows) - TESTED, None)
        if tree == "cheat":
            learned = slice(None)
        if tree == "fewer":
            tested = slice(len(rows) - 100, None)
        model: Any = DecisionTreeRegressor(max_depth=int(argv[1]), random_state=0)
        if tree == "boosted":
            model = lightgbm.LGBMRegressor(n_estimators=int(argv[1]), verbose=-1, n_jobs=1, min_child_samples=5)
        model.fit(features[learned], labels[learned])
        if tree == "boosted":
            model = model.booster_
        value = float(sklearn.metrics.mean_absolute_error(labels[tested], model.predict(features[tested])))
        if tree == "api":
            return {"metrics": [{"key": "mae", "value": value, "step": 0}]}
        return {
            "metrics": [{"key": "mae", "value": value, "step": 0}],
            "models": [{"index": 0, "blob": None if tree == "large" else self.objects.put(pickle.dumps(model))}],
            "trainings": [{"model": 0, "row_hashes": self.put(np.unique(hash_rows(rows[learned])))}],
            "evaluations": [
                {
                    "metric": "mean_absolute_error",
                    "arguments": {},
                    "value": value,
                    "rows": len(rows[tested]),
                    "model": 0,
                    "method": "predict",
                    "column": None,
                    "features": {"sha256": self.put(features[tested]), "format": "npy"},
                    "labels": self.put(labels[tested]),
                    "row_hashes": self.put(hash_rows(rows[tested])),
                }
            ],
        }

    def put(self, array: NDArray[Any]) -> str:
        buffer = BytesIO()
        np.save(buffer, array)
        return self.objects.put(buffer.getvalue())

    def score(self, request: Mapping[str, Json], *, inputs: Mapping[str, Json]) -> Mapping[str, Json]:
        canonical(request)
        assert inputs["code"]
        self.scored.append(request)
        asked: Any = request
        answer: Any = score(asked)
        return answer  # type: ignore[no-any-return]  # JSON

    def run(self, *, version: int = 0, tree: str = "plain", depth: int = 2, lock: str = "lock") -> Any:
        inputs: dict[str, Any] = {
            "data": {
                "tables": [
                    {
                        "uri": "/lake/trips",
                        "requested": None,
                        "version": version,
                        "table_id": "t",
                        "log_identity": f"log-{version}",
                        "rows": ROWS[version],
                    }
                ],
                "files": [],
            },
            "code": {
                "tree": tree,
                "entry": {"kind": "script", "name": "train.py", "argv": ["--depth", str(depth)]},
                "cwd": ".",
                "extra": [],
            },
            "env": {"python": {"version": "3.11"}, "lock": {"sha256": lock}, "packages": []},
            "params": {"values": {"depth": str(depth)}},
            "randomness": {"root_seed": 0, "hash_seed": "0"},
            "compute": {"threads": {}},
        }
        receipt = self.evaluate(inputs, name="run", parent_run_id="")
        self.evaluated.clear()
        return receipt


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def explained(bench: Workbench, a: Any, b: Any, **options: Any) -> Explanation:
    chosen = Options(**{"replicates": 60} | options)
    return explain(a, b, replayer=bench, objects=bench.objects, options=chosen)


def test_data_and_params_share_the_change_on_common_rows(bench: Workbench) -> None:
    a, b = bench.run(version=0, depth=1), bench.run(version=1, depth=5)
    result = explained(bench, a, b)
    assert len(bench.evaluated) == 2
    assert {effect.factors for effect in result.effects} == {("data",), ("params",)}
    assert result.common is not None
    assert (result.common.side, result.common.rows, result.common.dropped) == ("b", TESTED, 0)
    assert sum(effect.estimate.value for effect in result.effects) == pytest.approx(result.total.value)
    assert {effect.estimate.value > 0 for effect in result.effects} == {True, False}
    assert {effect.share for effect in result.effects} == {None}, "effects that cancel have no share"
    assert result.total.value == pytest.approx(result.compared.change)
    assert result.compared.after == pytest.approx(result.reported.after)
    assert result.compared.before != pytest.approx(result.reported.before)
    assert result.from_other_rows == pytest.approx(result.reported.change - result.total.value)
    params = next(effect for effect in result.effects if effect.factors == ("params",))
    assert params.estimate.is_detectable
    assert params.differences == ("depth 1 → 5",)
    assert (result.metric, result.higher_is_better) == ("mae", False)
    assert result.equal == ("code", "env")


def test_the_interval_holds_the_value_and_follows_the_seed(bench: Workbench) -> None:
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    result = explained(bench, a, b)
    for estimate in (result.total, *(effect.estimate for effect in result.effects)):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert explained(bench, a, b) == explained(bench, a, b)
    assert explained(bench, a, b, seed=1).total.low != result.total.low


def test_what_ran_is_not_run_again(bench: Workbench) -> None:
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    first = explained(bench, a, b)
    assert first.new_seconds == 4.0
    bench.evaluated.clear()
    second = explained(bench, a, b)
    assert bench.evaluated == []
    assert second.new_seconds == 0
    assert [mixture.is_new for mixture in second.mixtures] == [False] * 4
    assert second.effects == first.effects


def test_all_four_factors(bench: Workbench) -> None:
    a = bench.run(version=0, depth=2, tree="plain", lock="one")
    b = bench.run(version=1, depth=6, tree="boosted", lock="two")
    result = explained(bench, a, b)
    assert len(bench.evaluated) == 14
    assert len(bench.scored) == 4
    assert sum(effect.estimate.value for effect in result.effects) == pytest.approx(result.total.value)
    env = next(effect for effect in result.effects if effect.factors == ("env",))
    assert env.estimate.value == 0
    assert env.estimate.is_detectable is False


def test_the_plan_is_told_first_and_may_be_refused(bench: Workbench) -> None:
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    told: list[Plan] = []

    def refuse(plan: Plan) -> None:
        told.append(plan)
        raise InvalidInputError("too many")

    with pytest.raises(InvalidInputError, match="too many"):
        explained(bench, a, b, on_plan=refuse)
    assert bench.evaluated == []
    assert (len(told[0].missing), told[0].seconds) == (2, 4.0)


def test_each_run_and_the_scoring_are_told(bench: Workbench) -> None:
    lines: list[str] = []
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    explained(bench, a, b, progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["run 1 of 2", "run 2 of 2", "scoring 4 models on the same rows"]


def test_rows_that_a_model_was_trained_on_are_left_out(bench: Workbench) -> None:
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    result = explained(bench, a, b, evaluate_on="a")
    assert result.common is not None
    assert (result.common.side, result.common.rows, result.common.dropped) == ("a", TESTED - 100, 100)
    rows = make_table(0)[350:]
    model = pickle.loads(bench.objects.get(b["outputs"]["models"][0]["blob"]))  # noqa: S301 - made above
    expected = sklearn.metrics.mean_absolute_error(rows[:, 3], model.predict(rows[:, :2]))
    assert result.compared.after == pytest.approx(expected)


def test_code_that_trains_on_its_test_rows_is_found_out(bench: Workbench) -> None:
    a, b = bench.run(version=1, tree="plain"), bench.run(version=1, tree="cheat", depth=8)
    result = explained(bench, a, b)
    assert result.common is None
    assert result.total.low is None
    assert result.total.value == pytest.approx(result.reported.change)
    assert any("150 of the 150 test rows are rows that one of the models was trained on" in n for n in result.notes)


def test_code_that_tests_on_other_rows_cannot_be_held_fixed(bench: Workbench) -> None:
    result = explained(bench, bench.run(tree="plain"), bench.run(tree="fewer", depth=4))
    assert result.common is None
    assert any("code or params change which rows are tested on" in note for note in result.notes)
    assert sum(effect.estimate.value for effect in result.effects) == pytest.approx(result.reported.change)


def test_models_that_were_not_stored_cannot_be_scored(bench: Workbench) -> None:
    result = explained(bench, bench.run(tree="large"), bench.run(tree="large", depth=4))
    assert any("a model was not stored" in note for note in result.notes)
    assert result.effects[0].estimate.value == pytest.approx(result.reported.change)


def test_a_number_that_was_only_logged_has_no_rows(bench: Workbench) -> None:
    result = explained(bench, bench.run(tree="api"), bench.run(tree="api", depth=4))
    assert (result.metric, result.function, result.higher_is_better) == ("mae", None, None)
    assert any("only logged as a number" in note for note in result.notes)


def test_code_that_needs_new_data_leaves_the_orders_that_run(bench: Workbench) -> None:
    a, b = bench.run(version=0, tree="plain"), bench.run(version=1, tree="region")
    result = explained(bench, a, b)
    assert result.common is not None
    failed = [mixture for mixture in result.mixtures if mixture.error]
    assert [mixture.sides for mixture in failed] == [{"data": "a", "code": "b"}]
    assert failed[0].error == "KeyError: 'region'"
    assert {effect.factors for effect in result.effects} == {("data",), ("code",)}
    assert any("1 of the 2 orders" in note for note in result.notes)
    assert sum(effect.estimate.value for effect in result.effects) == pytest.approx(result.total.value)


def test_code_that_does_not_run_on_the_other_data_names_the_way_out(bench: Workbench) -> None:
    a, b = bench.run(version=0, tree="old"), bench.run(version=1, tree="plain", depth=5)
    result = explained(bench, a, b)
    assert result.common is None
    assert any("the script of A does not run on the data of B" in note for note in result.notes)
    assert any("--evaluate-on a" in note for note in result.notes)
    assert explained(bench, a, b, evaluate_on="a").common is not None


def test_factors_that_cannot_be_separated_are_one(bench: Workbench) -> None:
    a, b = bench.run(version=0, tree="old"), bench.run(version=1, tree="region")
    result = explained(bench, a, b)
    assert [effect.factors for effect in result.effects] == [("data", "code")]
    assert any(note.startswith("data and code cannot be separated: data of ") for note in result.notes)


def test_a_world_that_cannot_be_rebuilt_is_a_mixture_that_does_not_exist(bench: Workbench) -> None:
    a, b = bench.run(depth=2, version=0), bench.run(depth=6, version=1)
    b["inputs"]["env"]["lock"]["sha256"] = "gone"
    result = explained(bench, a, b)
    errors = {mixture.error for mixture in result.mixtures if mixture.error}
    assert errors == {"environment: the lock has no hash for lightgbm"}
    assert sum(effect.estimate.value for effect in result.effects) == pytest.approx(result.total.value)


def test_runs_that_differ_in_nothing_are_told_so(bench: Workbench) -> None:
    a, b = bench.run(), bench.run()
    b["outputs"]["evaluations"][0]["value"] += 0.25
    b["outputs"]["metrics"] = []
    result = explained(bench, a, b)
    assert result.effects == ()
    assert result.total.value == pytest.approx(0.25)
    assert any("the same in both runs" in note for note in result.notes)
    assert bench.evaluated == []


def test_a_stored_model_that_does_not_give_the_reported_value_is_told(bench: Workbench) -> None:
    a, b = bench.run(depth=2), bench.run(depth=6)
    b["outputs"]["metrics"] = []
    b["outputs"]["evaluations"][0]["value"] += 1.0
    assert any("do not give the value that was reported" in note for note in explained(bench, a, b).notes)


def test_a_run_that_failed_is_refused(bench: Workbench) -> None:
    a, b = bench.run(), bench.run(depth=5)
    b["status"] = "FAILED"
    with pytest.raises(InvalidInputError, match="is FAILED; only FINISHED runs can be explained"):
        explained(bench, a, b)


def test_one_run_twice_is_refused(bench: Workbench) -> None:
    a = bench.run()
    with pytest.raises(InvalidInputError, match="A and B are the same run"):
        explained(bench, a, a)


@pytest.mark.parametrize("options", [{"evaluate_on": "c"}, {"replicates": 1}, {"metric": "r2_score"}])
def test_bad_options_run_nothing(bench: Workbench, options: dict[str, Any]) -> None:
    a, b = bench.run(version=0, depth=2), bench.run(version=1, depth=6)
    with pytest.raises(InvalidInputError):
        explained(bench, a, b, **options)
    assert bench.evaluated == []


def test_the_json_form_is_canonical(bench: Workbench) -> None:
    result = explained(bench, bench.run(version=0, depth=2), bench.run(version=1, depth=6))
    document: Any = result.to_json()
    assert canonical(document)
    assert document["schema"] == "lakemark.explanation/1"
    assert document["total"]["value"] == result.total.value
    assert [item["sides"] for item in document["mixtures"]] == [
        {"data": "a", "params": "a"},
        {"data": "a", "params": "b"},
        {"data": "b", "params": "a"},
        {"data": "b", "params": "b"},
    ]
