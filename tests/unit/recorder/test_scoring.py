"""Scoring stored models: as the real process, against scikit-learn's own functions."""

import json
import pickle
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from lakemark.recorder.scoring import _weighted, score
from lakemark.storage.objects import ObjectStore

ROWS = 120


def put_array(objects: ObjectStore, array: NDArray[Any]) -> str:
    buffer = BytesIO()
    np.save(buffer, array)
    return objects.put(buffer.getvalue())


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@pytest.fixture
def features() -> NDArray[np.float64]:
    return np.random.default_rng(3).normal(size=(ROWS, 3))


def request_for(
    objects: ObjectStore, metric: str, *, model: Any, features: NDArray[Any], labels: NDArray[Any], **cell: Any
) -> Any:
    return {
        "objects": str(objects.folder),
        "metric": metric,
        "arguments": {},
        "entry": None,
        "cells": [
            {
                "name": "one",
                "model": objects.put(pickle.dumps(model)),
                "features": {"sha256": put_array(objects, features), "format": "npy"},
                "labels": put_array(objects, labels),
                "keep": None,
                "method": "predict",
                "column": None,
                **cell,
            }
        ],
        "bootstrap": {"replicates": 25, "seed": 11},
    }


def by_hand(metric: str, labels: NDArray[Any], predictions: NDArray[Any]) -> list[float]:
    generator = np.random.RandomState(11)
    draws = [generator.randint(0, len(labels), size=len(labels), dtype=np.int64) for _ in range(25)]
    return [float(getattr(sklearn.metrics, metric)(labels[rows], predictions[rows])) for rows in draws]


@pytest.mark.parametrize(
    "metric",
    ["mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2_score", "median_absolute_error"],
)
def test_a_regression_is_resampled_as_scikit_learn_would(
    objects: ObjectStore, features: NDArray[np.float64], metric: str
) -> None:
    labels = features @ [1.0, 2.0, 0.0] + np.random.default_rng(4).normal(size=ROWS)
    model = LinearRegression().fit(features[:40], labels[:40])
    cell = score(request_for(objects, metric, model=model, features=features, labels=labels))["cells"]["one"]  # type: ignore[index]  # JSON
    predictions = model.predict(features)
    assert cell["value"] == cell["whole"] == getattr(sklearn.metrics, metric)(labels, predictions)
    assert cell["replicates"] == pytest.approx(by_hand(metric, labels, predictions))


@pytest.mark.parametrize(
    ("metric", "method", "column"),
    [
        ("accuracy_score", "predict", None),
        ("f1_score", "predict", None),
        ("roc_auc_score", "predict_proba", 1),
        ("roc_auc_score", "predict", None),
        ("average_precision_score", "predict_proba", 1),
        ("log_loss", "predict_proba", None),
        ("log_loss", "predict_proba", 1),
    ],
)
def test_a_classification_is_resampled_as_scikit_learn_would(
    objects: ObjectStore, features: NDArray[np.float64], *, metric: str, method: str, column: int | None
) -> None:
    labels = (features[:, 0] + np.random.default_rng(4).normal(size=ROWS) > 0).astype(np.int64)
    model = LogisticRegression().fit(features[:40], labels[:40])
    request = request_for(objects, metric, model=model, features=features, labels=labels, method=method, column=column)
    cell = score(request)["cells"]["one"]  # type: ignore[index]  # JSON
    predictions = getattr(model, method)(features)
    predictions = predictions if column is None else predictions[:, column]
    assert cell["value"] == getattr(sklearn.metrics, metric)(labels, predictions)
    assert cell["replicates"] == pytest.approx(by_hand(metric, labels, predictions))


@pytest.mark.parametrize(
    "metric",
    ["mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2_score", "roc_auc_score", "log_loss"],
)
def test_the_fast_way_counts_a_row_as_often_as_it_was_drawn(metric: str) -> None:
    generator = np.random.default_rng(8)
    labels = (np.arange(ROWS) % 2).astype(np.float64)
    predictions = (generator.integers(1, 8, size=ROWS) / 10).astype(np.float64)  # with ties
    rows = generator.integers(0, ROWS, size=ROWS)
    fast = _weighted(metric, labels, predictions)
    assert fast is not None
    expected = getattr(sklearn.metrics, metric)(labels[rows], predictions[rows])
    assert fast(np.bincount(rows, minlength=ROWS).astype(np.float64)) == pytest.approx(expected)


def test_arguments_reach_the_function(objects: ObjectStore, features: NDArray[np.float64]) -> None:
    labels = np.random.default_rng(4).integers(0, 3, size=ROWS)
    model = LogisticRegression().fit(features, labels)
    request = request_for(objects, "f1_score", model=model, features=features, labels=labels)
    request["arguments"] = {"average": "macro"}
    cell = score(request)["cells"]["one"]  # type: ignore[index]  # JSON
    assert cell["value"] == sklearn.metrics.f1_score(labels, model.predict(features), average="macro")


def test_text_labels_are_scored(objects: ObjectStore, features: NDArray[np.float64]) -> None:
    labels = np.where(features[:, 0] > 0, "late", "early")
    model = LogisticRegression().fit(features, labels)
    request = request_for(objects, "accuracy_score", model=model, features=features, labels=labels)
    answer = score(request)
    assert answer["rows"] == ROWS
    assert answer["cells"]["one"]["value"] == np.mean(model.predict(features) == labels)  # type: ignore[index]  # JSON


def test_only_kept_rows_count(objects: ObjectStore, features: NDArray[np.float64]) -> None:
    labels = features @ [1.0, 2.0, 0.0]
    labels[60:] += 100
    model = LinearRegression().fit(features[:60], labels[:60])
    keep = put_array(objects, np.arange(60))
    request = request_for(objects, "mean_absolute_error", model=model, features=features, labels=labels, keep=keep)
    answer = score(request)
    cell = answer["cells"]["one"]  # type: ignore[index]  # JSON
    assert answer["rows"] == 60
    assert cell["value"] == pytest.approx(0, abs=1e-9)
    assert cell["whole"] == pytest.approx(50)
    assert max(cell["replicates"]) < 1e-6


def test_a_draw_without_the_rare_class_has_no_value(objects: ObjectStore, features: NDArray[np.float64]) -> None:
    labels = np.zeros(ROWS, dtype=np.int64)
    labels[0] = 1
    model = LogisticRegression().fit(features, labels)
    request = request_for(
        objects, "roc_auc_score", model=model, features=features, labels=labels, method="predict_proba", column=1
    )
    request["cells"].append(request["cells"][0] | {"name": "other"})
    fast: Any = score(request)["cells"]
    request["arguments"] = {"max_fpr": None}
    slow: Any = score(request)["cells"]
    for cell in (fast["one"], slow["one"]):
        assert "NaN" in cell["replicates"]
        assert any(isinstance(value, float) for value in cell["replicates"])
    assert fast["one"] == fast["other"]


def run_process(request: Any, folder: Path) -> tuple[int, Any, str]:
    asked, answered = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lakemark.recorder.scoring", str(asked), str(answered)],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, json.loads(answered.read_text()), done.stderr


def test_the_process_answers_in_a_file(objects: ObjectStore, features: NDArray[np.float64], tmp_path: Path) -> None:
    labels = features[:, 0]
    model = LinearRegression().fit(features, labels)
    request = request_for(objects, "mean_absolute_error", model=model, features=features, labels=labels)
    code, answer, _ = run_process(request, tmp_path)
    assert (code, answer["rows"]) == (0, ROWS)
    assert answer == json.loads(json.dumps(score(request)))


def test_the_process_finds_classes_beside_the_script(
    objects: ObjectStore, features: NDArray[np.float64], *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "own_model_for_scoring.py").write_text(
        "class Always:\n    def predict(self, frame):\n        return [1.0] * len(frame)\n"
    )
    monkeypatch.syspath_prepend(folder)
    import own_model_for_scoring  # type: ignore[import-not-found]  # made above

    labels = np.zeros(ROWS)
    request = request_for(
        objects, "mean_absolute_error", model=own_model_for_scoring.Always(), features=features, labels=labels
    )
    request["entry"] = {"kind": "script", "name": "jobs/train.py"}
    code, answer, _ = run_process(request, tmp_path)
    assert code == 0
    assert answer["cells"]["one"]["value"] == 1.0


def test_a_model_that_does_not_fit_the_rows_is_an_answer(
    objects: ObjectStore, features: NDArray[np.float64], tmp_path: Path
) -> None:
    model = LinearRegression().fit(features[:, :2], features[:, 0])
    request = request_for(objects, "mean_absolute_error", model=model, features=features, labels=features[:, 0])
    code, answer, stderr = run_process(request, tmp_path)
    assert code == 1
    assert answer["error"]["type"] == "ValueError"
    assert "features" in answer["error"]["message"]
    assert stderr.startswith("ValueError: ")


def test_models_of_several_requests_are_drawn_alike(objects: ObjectStore, features: NDArray[np.float64]) -> None:
    labels = (features[:, 0] > 0).astype(np.int64)
    model = DummyClassifier(strategy="constant", constant=1).fit(features, labels)
    first = request_for(objects, "accuracy_score", model=model, features=features, labels=labels)
    second = request_for(objects, "accuracy_score", model=model, features=features * 2, labels=labels)
    assert score(first) == score(second)
