"""What an ordinary script fits, predicts and scores is seen, and the script does not notice."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pytest

from lakemark._base.canonical import Json
from lakemark.models.frames import load, sniff
from lakemark.models.predictions import decode, exact_hash
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.spool import read_events

_DRIVER = Path(__file__).with_name("drive.py")

_REGRESSION = """
    import numpy as np, pandas as pd
    from lightgbm import LGBMRegressor
    from sklearn.metrics import mean_absolute_error, r2_score
    from sklearn.model_selection import train_test_split

    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=list("abc"))
    frame["k"] = pd.Categorical(random.choice(["x", "y"], 400))
    target = frame["a"] * 2 + random.normal(size=400)
    train, test, y_train, y_test = train_test_split(frame, target, random_state=1)
    model = LGBMRegressor(n_estimators=10, verbose=-1, random_state=4, n_jobs=1)
    model.fit(train, y_train)
"""


@dataclass(frozen=True)
class _Seen:
    """What one run of a script wrote and printed."""

    folder: Path
    events: list[Mapping[str, Json]]
    printed: str

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(self.folder / ".lakemark" / "objects")

    def of(self, event: str) -> list[Mapping[str, Json]]:
        return [dict(one) for one in self.events if one["event"] == event]

    def one(self, event: str) -> Mapping[str, Json]:
        (found,) = self.of(event)
        return found

    def array(self, digest: Json) -> list[object]:
        return cast("list[object]", decode(self.objects.get(str(digest))).tolist())

    def model(self, index: Json) -> object:
        (found,) = [one for one in self.of("model") if one["index"] == index]
        return pickle.loads(self.objects.get(str(found["blob"])))  # noqa: S301 - pickled by the script of this test

    def features(self, evaluation: Mapping[str, Json]) -> object:
        kept = evaluation["features"]
        assert isinstance(kept, dict)
        return load(str(kept["format"]), self.objects.get(str(kept["sha256"])))


def _write(folder: Path, code: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "train.py"
    script.write_text(code if code.startswith("import") else textwrap.dedent(code))
    return str(script)


def _python(*arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:lakemark", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _record(folder: Path, code: str, **environment: str) -> _Seen:
    script = _write(folder, code)
    printed = _python(str(_DRIVER), str(folder), script, cwd=folder, **environment)
    return _Seen(folder, [event for _, event in read_events(folder / ".lakemark" / "spool" / "run")], printed)


_ORDINARY = _REGRESSION + "    print(repr(mean_absolute_error(y_test, model.predict(test))))\n"


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> _Seen:
    """One recorded run of the ordinary script."""
    return _record(tmp_path_factory.mktemp("ordinary"), _ORDINARY)


def test_an_ordinary_script_is_seen_whole(ordinary: _Seen) -> None:
    seen = ordinary

    metric = seen.one("metric")
    assert (metric["key"], metric["step"], metric["how"]) == ("mean_absolute_error", 0, "observed")
    assert repr(metric["value"]) == seen.printed.strip()

    model = seen.one("model")
    assert (model["index"], model["flavor"], model["weak"]) == (0, "lightgbm", False)
    assert model["class_name"] == "lightgbm.sklearn.LGBMRegressor"

    evaluation = seen.one("evaluation")
    assert (evaluation["model"], evaluation["method"], evaluation["column"]) == (0, "predict", None)
    assert (evaluation["metric"], evaluation["arguments"], evaluation["rows"]) == ("mean_absolute_error", {}, 100)
    assert evaluation["where"] == "train.py:14"
    again = cast("_Predictor", seen.model(0)).predict(seen.features(evaluation))
    labels = np.array(seen.array(evaluation["labels"]), float)
    assert float(np.abs(labels - again).mean()) == pytest.approx(cast("float", metric["value"]), rel=1e-12)

    training = seen.one("training")
    assert (training["model"], training["rows"], training["columns"]) == (0, 300, ["a", "b", "c", "k"])
    trained, tested = seen.array(training["row_hashes"]), seen.array(evaluation["row_hashes"])
    assert (len(trained), len(tested)) == (300, 100)
    assert trained == sorted(set(trained))  # type: ignore[type-var]  # integers
    assert not set(trained) & set(tested)

    predictions = seen.one("predictions")
    assert (predictions["n"], predictions["sample"], predictions["method"]) == (100, 100, "predict")
    assert predictions["exact"] == exact_hash(again)
    assert sniff(seen.objects.get(str(predictions["features"]))) == "arrow"
    assert not seen.of("missing")


def test_seeds_are_seen_with_their_place(ordinary: _Seen) -> None:
    seeds = {(one["api"], one["value"], one["where"]) for one in ordinary.of("seed")}
    assert seeds == {
        ("numpy.random.default_rng", 3, "train.py:7"),
        ("sklearn.model_selection.train_test_split", 1, "train.py:11"),
        ("lightgbm.LGBMRegressor(random_state)", 4, "train.py:13"),
    }
    assert not ordinary.of("unseeded")


def test_train_and_test_scores_stay_apart_and_a_loop_counts_up(tmp_path: Path) -> None:
    code = """
    from sklearn.datasets import make_regression
    from sklearn.linear_model import Ridge
    from sklearn.metrics import mean_squared_error
    x, y = make_regression(60, 3, random_state=0)
    for alpha in (0.1, 1.0):
        model = Ridge(alpha=alpha).fit(x[:40], y[:40])
        mean_squared_error(y[:40], model.predict(x[:40]))
        mean_squared_error(y[40:], model.predict(x[40:]))
    """
    seen = _record(tmp_path, code)

    assert [(one["key"], one["step"]) for one in seen.of("metric")] == [
        ("mean_squared_error", 0),
        ("mean_squared_error_2", 0),
        ("mean_squared_error", 1),
        ("mean_squared_error_2", 1),
    ]
    assert [one["model"] for one in seen.of("evaluation")] == [0, 0, 1, 1]
    assert [one["index"] for one in seen.of("model")] == [0, 1]


def test_a_column_of_probabilities_is_traced_back(tmp_path: Path) -> None:
    code = """
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
    x, y = make_classification(200, random_state=0)
    model = LogisticRegression(random_state=5).fit(x[:100], y[:100])
    proba = model.predict_proba(x[100:])
    roc_auc_score(y[100:], proba[:, 1])
    log_loss(y[100:], y_proba=proba)
    accuracy_score(list(y[100:]), list(model.predict(x[100:])), normalize=True)
    roc_auc_score(y_true=y[100:], y_score=model.decision_function(x[100:]))
    accuracy_score(y[100:], proba[:, 1].copy() > 2)
    """
    seen = _record(tmp_path, code)

    evaluations = seen.of("evaluation")
    assert [(one["metric"], one["method"], one["column"]) for one in evaluations] == [
        ("roc_auc_score", "predict_proba", 1),
        ("log_loss", "predict_proba", None),
        ("accuracy_score", "predict", None),
        ("roc_auc_score", "decision_function", None),
        ("accuracy_score", None, None),
    ]
    assert [one["model"] for one in evaluations] == [0, 0, 0, 0, None]
    assert len({str(one["features"]) for one in evaluations[:4]}) == 1, "one frame, stored once"
    assert evaluations[2]["arguments"] == {"normalize": True}
    assert seen.one("predictions")["method"] == "predict_proba"


def test_a_prediction_that_was_changed_in_place_has_no_model(tmp_path: Path) -> None:
    code = _REGRESSION + (
        "    values = model.predict(test)\n    values[values < 0] = 0\n    mean_absolute_error(y_test, values)\n"
    )
    assert _record(tmp_path, code).one("evaluation")["model"] is None


def test_what_was_changed_after_the_prediction_has_no_model(tmp_path: Path) -> None:
    code = _REGRESSION + "    mean_absolute_error(y_test, np.clip(model.predict(test), -1, 1))\n"
    seen = _record(tmp_path, code)

    evaluation = seen.one("evaluation")
    assert (evaluation["model"], evaluation["features"], evaluation["labels"]) == (None, None, None)
    (missing,) = seen.of("missing")
    assert missing["fact"] == "model of an evaluation"
    assert str(missing["why"]).startswith("mean_absolute_error at train.py:14: what was scored is not")
    assert seen.one("metric")["key"] == "mean_absolute_error"
    assert seen.one("model")["index"] == 0, "the model that was fitted last is kept all the same"


def test_weights_and_extra_arguments_are_not_linked(tmp_path: Path) -> None:
    code = (
        _REGRESSION
        + """
    mean_absolute_error(y_test, model.predict(test), sample_weight=pd.Series(1.0, y_test.index))
    mean_absolute_error(y_test, model.predict(test, num_iteration=3))
    mean_absolute_error(y_test, model.predict(X=test, num_iteration=None))
    """
    )
    seen = _record(tmp_path, code)

    assert [one["model"] for one in seen.of("evaluation")] == [None, None, 0]
    assert [str(one["why"]).partition(": ")[2] for one in seen.of("missing")] == [
        "its argument sample_weight is not kept",
        "predict was called with more than the frame",
    ]


@pytest.mark.slow  # starts worker processes
def test_searches_and_cross_validation_are_one_model_each(tmp_path: Path) -> None:
    code = """
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score, make_scorer
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    x, y = make_classification(200, random_state=0)
    def own(model, x, y):
        return f1_score(y, model.predict(x))
    print(cross_val_score(RandomForestClassifier(5, random_state=3, n_jobs=2), x, y, scoring=own))
    chain = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(chain, {"logisticregression__C": [0.1, 1.0]}, scoring=make_scorer(f1_score), n_jobs=2)
    search.fit(x[:150], y[:150])
    print(accuracy_score(y[150:], search.predict(x[150:])), search.best_params_)
    """
    seen = _record(tmp_path, code)

    assert seen.one("metric")["key"] == "accuracy_score"
    assert seen.one("model")["name"] == "GridSearchCV"
    assert seen.one("training")["rows"] == 150
    assert seen.one("evaluation")["model"] == 0
    assert seen.printed == _python("train.py", cwd=tmp_path)


def test_score_methods_are_the_metric_that_they_are(tmp_path: Path) -> None:
    code = """
    from sklearn.datasets import make_classification, make_regression
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    x, y = make_classification(100, random_state=0)
    make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y).score(x, y)
    GridSearchCV(Ridge(), {"alpha": [1.0]}).fit(x, y).score(x, y)
    GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring="neg_mean_squared_error").fit(x, y).score(x, y)
    KMeans(2, n_init=1, random_state=0).fit(x).score(x)
    """
    seen = _record(tmp_path, code)

    assert [one["key"] for one in seen.of("metric")] == ["accuracy_score", "r2_score"]
    assert [(one["metric"], one["model"]) for one in seen.of("evaluation")] == [("accuracy_score", 0), ("r2_score", 1)]
    assert [one["name"] for one in seen.of("model")] == ["Pipeline", "GridSearchCV", "KMeans"]


def test_boosters_are_models(tmp_path: Path) -> None:
    code = """
    import numpy as np, lightgbm as lgb
    from sklearn.metrics import mean_absolute_error
    x = np.random.RandomState(0).rand(300, 3); y = x[:, 0] * 3
    data = lgb.Dataset(x[:200], y[:200]); valid = lgb.Dataset(x[200:], y[200:], reference=data)
    params = {"objective": "l1", "verbosity": -1, "num_threads": 1, "seed": 9}
    booster = lgb.train(params, data, 30, valid_sets=[valid], callbacks=[lgb.early_stopping(2, verbose=False)])
    mean_absolute_error(y[200:], booster.predict(x[200:], num_iteration=booster.best_iteration))
    """
    seen = _record(tmp_path, code)

    assert seen.one("evaluation")["model"] == 0
    assert seen.one("model")["class_name"] == "lightgbm.basic.Booster"
    assert seen.one("training")["rows"] == 200
    assert ("lightgbm.train(seed)", 9) in {(one["api"], one["value"]) for one in seen.of("seed")}


def test_a_model_that_is_fitted_again_is_kept_as_it_was_scored(tmp_path: Path) -> None:
    code = """
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import mean_absolute_error
    x = np.arange(40.0).reshape(20, 2); y = np.r_[np.zeros(10), np.ones(10)]
    model = LinearRegression().fit(x[:10], y[:10])
    mean_absolute_error(y[10:], model.predict(x[10:]))
    model.fit(x, y)
    stale = model.predict(x)
    model.fit(x[:5], y[:5])
    mean_absolute_error(y, stale)
    """
    seen = _record(tmp_path, code)

    assert [one["model"] for one in seen.of("evaluation")] == [0, None]
    assert [one["index"] for one in seen.of("model")] == [0, 1], "the one that was scored, and the one in use"
    scored = cast("_Predictor", seen.model(0))
    assert np.allclose(scored.predict(np.arange(20.0, 40.0).reshape(10, 2)), 0)
    assert np.allclose(np.array(seen.array(seen.one("predictions")["values"]), float), 0)
    assert "fitted again, before its predictions" in str(seen.one("missing")["why"])


def test_a_prediction_that_is_put_into_its_own_frame_is_traced(tmp_path: Path) -> None:
    code = (
        _REGRESSION
        + """
    test["p"] = model.predict(test)
    print(mean_absolute_error(y_test, test["p"]))
    """
    )
    seen = _record(tmp_path, code)

    evaluation = seen.one("evaluation")
    assert evaluation["model"] == 0
    assert list(cast("_Table", seen.features(evaluation)).columns) == ["a", "b", "c", "k"]


@pytest.mark.slow  # starts worker processes
def test_a_script_s_own_estimators_survive_workers_clones_and_signatures(tmp_path: Path) -> None:
    code = """
    import inspect, pickle
    import numpy as np
    from joblib import Parallel, delayed
    from sklearn import set_config
    from sklearn.base import BaseEstimator, RegressorMixin, clone
    from sklearn.linear_model import Ridge
    from sklearn.metrics import make_scorer, mean_absolute_error
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    set_config(enable_metadata_routing=True)

    class Mean(RegressorMixin, BaseEstimator):
        def __init__(self, shift=0.0):
            self.shift = shift
        def fit(self, X, y, sample_weight=None):
            self.mean_ = np.average(y, weights=sample_weight) + self.shift
            return self
        def predict(self, X):
            return np.full(len(X), self.mean_)

    x, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    print(inspect.signature(Mean.fit), inspect.signature(Ridge().fit), Mean.fit.__qualname__)
    print(inspect.signature(mean_absolute_error))
    print(Mean().set_fit_request(sample_weight=True).get_metadata_routing().fit.requests)
    print(clone(Mean(2.0)).get_params(), pickle.loads(pickle.dumps(Ridge(3))).alpha)
    scorer = pickle.loads(pickle.dumps(make_scorer(mean_absolute_error)))
    print(cross_val_score(Mean(), x, y, n_jobs=2, scoring=scorer))
    print(Parallel(n_jobs=2)(delayed(mean_absolute_error)(y, Mean(shift).fit(x, y).predict(x)) for shift in range(3)))
    chain = make_pipeline(StandardScaler(), Mean())
    print(hasattr(chain, "predict_proba"), hasattr(chain, "transform"), hasattr(chain, "predict"))
    print(mean_absolute_error(y, chain.fit(x, y).predict(x)))
    """
    seen = _record(tmp_path, code)

    assert seen.printed == _python("train.py", cwd=tmp_path)
    assert seen.of("evaluation")[-1]["model"] == 0
    assert seen.one("model")["name"] == "Pipeline"
    assert seen.one("model")["blob"] is not None


def test_results_are_the_plain_ones(ordinary: _Seen) -> None:
    assert ordinary.printed == _python("train.py", cwd=ordinary.folder)


def test_two_recorded_processes_agree(ordinary: _Seen, tmp_path: Path) -> None:
    again = _record(tmp_path, _ORDINARY, PYTHONHASHSEED="5")

    assert again.one("model")["fingerprint"] == ordinary.one("model")["fingerprint"]
    assert again.one("predictions")["values"] == ordinary.one("predictions")["values"]
    assert again.one("training")["row_hashes"] == ordinary.one("training")["row_hashes"]


def test_an_error_of_the_script_comes_through_a_hook(tmp_path: Path) -> None:
    code = """
    from sklearn.linear_model import Ridge
    from sklearn.metrics import mean_absolute_error
    def measure():
        mean_absolute_error([1], [1, 2])
    for work in (lambda: Ridge().fit([[1.0]], ["x"]), lambda: Ridge().predict([[1.0]]), measure):
        try:
            work()
        except Exception as error:
            print(type(error).__name__)
    """
    seen = _record(tmp_path, code)

    assert seen.printed.split() == ["ValueError", "NotFittedError", "ValueError"]
    assert not seen.of("metric")


def test_a_failure_of_ours_is_a_missing_fact(tmp_path: Path) -> None:
    code = """
    import numpy as np
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.metrics import mean_absolute_error
    class Odd(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            return self
        def predict(self, X):
            return np.zeros(len(X))
        def get_params(self, deep=True):
            raise RuntimeError("no params")
        def __reduce_ex__(self, protocol):
            raise RuntimeError("no pickle")
    print(mean_absolute_error([0.0, 1.0], Odd().fit([[1], [2]], [1, 2]).predict([[1], [2]])))
    """
    seen = _record(tmp_path, code)

    assert seen.printed == "0.5\n"
    facts = {str(one["fact"]): str(one["why"]) for one in seen.of("missing")}
    assert facts["fit"] == "RuntimeError: no params"
    assert facts["pickle of Odd"] == "RuntimeError: no pickle"
    assert seen.one("model")["blob"] is None


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    code = _REGRESSION + "    mean_absolute_error(y_test, model.predict(test))\n"
    seen = _record(tmp_path, code, LAKEMARK_TEST_LIMIT="1000")

    assert seen.one("evaluation")["features"] is None
    assert seen.one("model")["blob"] is None
    assert {str(one["fact"]) for one in seen.of("missing")} == {"evaluation frame", "pickle of LGBMRegressor"}


def test_a_fit_without_any_prediction_is_sampled_on_its_training_frame(tmp_path: Path) -> None:
    seen = _record(tmp_path, _REGRESSION)

    assert seen.one("predictions")["sample"] == 300
    assert seen.one("training")["model"] == 0


def test_tables_and_texts_are_no_metrics(tmp_path: Path) -> None:
    code = """
    from sklearn.metrics import classification_report, confusion_matrix, f1_score, roc_curve
    y = [0, 1, 1]
    classification_report(y, y), confusion_matrix(y, y), f1_score(y, y, average=None), roc_curve(y, y)
    """
    seen = _record(tmp_path, code)

    assert not seen.of("metric")
    assert not seen.of("evaluation")


class _Predictor(Protocol):
    """What is used of a model."""

    def predict(self, frame: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]: ...


class _Table(Protocol):
    """What is used of a frame."""

    columns: list[str]
