import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.capture.test_receipt import FACTS, example_events

from lakemark._base.canonical import canonical
from lakemark.capture.receipt import assemble
from lakemark.models.predictions import encode, exact_hash, rounded_hash
from lakemark.reproduce.verdict import Level, could_not_run, judge
from lakemark.storage.objects import ObjectStore


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def receipt(objects: ObjectStore, values: Any, *, model: str = "aa" * 32) -> Any:
    """Return a receipt whose model predicted these values."""
    made = json.loads(canonical(assemble(example_events(), FACTS, status="FINISHED")))
    made["outputs"]["models"] = [{"fingerprint": model, "class_name": "sklearn.linear_model.LinearRegression"}]
    made["outputs"]["metrics"] = [{"key": "rmse", "value": float(np.mean(values)), "step": 0}]
    made["outputs"]["predictions"] = {
        "values": objects.put(encode(values)),
        "exact": exact_hash(values),
        "rounded": rounded_hash(values),
    }
    return made


VALUES = np.array([1.0, 2.0, 3.0])


def test_an_equal_fingerprint_is_level_5(objects: ObjectStore) -> None:
    original = receipt(objects, VALUES)
    verdict = judge(original, copy.deepcopy(original), objects=objects)
    assert verdict.level is Level.SAME_MODEL
    assert all(check.same for check in verdict.checks)


def test_equal_predictions_of_another_model_are_level_4(objects: ObjectStore) -> None:
    verdict = judge(receipt(objects, VALUES), receipt(objects, VALUES, model="bb" * 32), objects=objects)
    assert verdict.level is Level.SAME_PREDICTIONS


def test_a_difference_below_the_tolerance_is_level_3(objects: ObjectStore) -> None:
    verdict = judge(receipt(objects, VALUES), receipt(objects, VALUES + 1e-7, model="bb" * 32), objects=objects)
    assert verdict.level is Level.NUMERICALLY_EQUAL
    assert verdict.max_abs_difference == pytest.approx(1e-7)


def test_a_difference_above_the_tolerance_is_level_1(objects: ObjectStore) -> None:
    verdict = judge(receipt(objects, VALUES), receipt(objects, VALUES + 1e-4, model="bb" * 32), objects=objects)
    assert verdict.level is Level.DIFFERS
    assert {check.name: check.same for check in verdict.checks}["metrics"] is False


def test_a_flipped_label_is_never_numerically_equal(objects: ObjectStore) -> None:
    old, new = np.array(["late", "late", "early"]), np.array(["late", "early", "early"])
    original, replay = (receipt(objects, VALUES, model=name * 32) for name in ("aa", "bb"))
    original["outputs"]["predictions"]["values"] = objects.put(encode(old))
    replay["outputs"]["predictions"]["values"] = objects.put(encode(new))
    verdict = judge(original, replay, objects=objects)
    assert (verdict.level, verdict.label_flips) == (Level.DIFFERS, 1)


def test_the_inputs_that_differ_are_named(objects: ObjectStore) -> None:
    original, replay = receipt(objects, VALUES), receipt(objects, VALUES * 2, model="bb" * 32)
    replay["inputs"]["data"]["tables"][0]["content"]["ordered"] = "another"
    verdict = judge(original, replay, objects=objects)
    assert "row order" in verdict.differences[0].detail
    assert {check.name: check.same for check in verdict.checks}["data"] is False


def test_a_run_without_a_model_is_judged_by_its_metrics(objects: ObjectStore) -> None:
    original = receipt(objects, VALUES)
    original["outputs"] |= {"models": [], "predictions": None}
    verdict = judge(original, copy.deepcopy(original), objects=objects)
    assert verdict.level is Level.NUMERICALLY_EQUAL
    assert "no fitted model" in str(verdict.reason)


def test_the_document_is_canonical_json(objects: ObjectStore) -> None:
    original = receipt(objects, VALUES)
    document = json.loads(canonical(judge(original, original, objects=objects).to_json()))
    assert (document["schema"], document["level"], document["title"]) == ("lakemark.verdict/1", 5, "bit-exact model")


def test_level_0_says_the_stage_and_the_reason(objects: ObjectStore) -> None:
    verdict = could_not_run(receipt(objects, VALUES), stage="data", reason="gone", hint="a backup")
    assert (verdict.level, verdict.reason, verdict.hint) == (Level.COULD_NOT_RUN, "data: gone", "a backup")


def scored(made: Any, value: float) -> Any:
    """Return a receipt with a score that was seen to be computed."""
    made["outputs"]["metrics"] = [{"key": "mean_absolute_error", "value": value, "step": 0, "how": "observed"}]
    return made


@pytest.mark.parametrize("model", ["aa" * 32, "bb" * 32])
def test_a_score_that_moved_is_neither_level_5_nor_level_4(objects: ObjectStore, model: str) -> None:
    original = scored(receipt(objects, VALUES), 0.5)
    verdict = judge(original, scored(receipt(objects, VALUES, model=model), 0.6), objects=objects)
    assert verdict.level is Level.DIFFERS
    assert "but not mean_absolute_error" in str(verdict.reason)


def test_a_logged_value_that_moved_may_be_seconds(objects: ObjectStore) -> None:
    original, replay = receipt(objects, VALUES), receipt(objects, VALUES)
    replay["outputs"]["metrics"][0] |= {"value": 7.0, "how": "declared"}
    assert judge(original, replay, objects=objects).level is Level.SAME_MODEL


def test_the_same_fingerprint_with_other_predictions_is_not_level_5(objects: ObjectStore) -> None:
    verdict = judge(receipt(objects, VALUES), receipt(objects, VALUES + 1), objects=objects)
    assert verdict.level is Level.DIFFERS
    assert verdict.reason == "the model is the same, but what it predicts is not"


def test_numerically_equal_predictions_may_move_a_score_by_as_little(objects: ObjectStore) -> None:
    original = scored(receipt(objects, VALUES), 0.5)
    near = receipt(objects, VALUES + 1e-7, model="bb" * 32)
    assert judge(original, scored(near, 0.5 + 1e-7), objects=objects).level is Level.NUMERICALLY_EQUAL
    assert judge(original, scored(near, 0.51), objects=objects).level is Level.DIFFERS


def test_data_that_is_not_kept_has_no_tick(objects: ObjectStore) -> None:
    original = receipt(objects, VALUES)
    original["completeness"]["missing"] = [{"fact": "data", "why": "standard input was read, and is not kept"}]
    verdict = judge(original, copy.deepcopy(original), objects=objects)
    (data,) = [check for check in verdict.checks if check.name == "data"]
    assert data.same is None
    assert data.detail.endswith("not known: standard input was read, and is not kept")
