"""Fit one model of each kind and print their fingerprints; started twice by test_fingerprints.py."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from lightgbm import Dataset, LGBMClassifier, train
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC

from lakemark.models.fingerprints import fingerprint


def models(*, flip: bool) -> Iterator[tuple[str, object]]:
    """Yield each kind of model, fitted on 300 rows; `flip` changes one label."""
    random = np.random.RandomState(0)
    x = random.rand(300, 5)
    y = (x[:, 0] + x[:, 1] + random.rand(300) * 0.3 > 1.1).astype(int)
    y[17] = 1 - y[17] if flip else y[17]
    frame = pd.DataFrame(x, columns=list("abcde"))
    frame["k"] = pd.Categorical(random.choice(["x", "y", "z"], 300))
    frame["s"] = random.choice(["u", "v"], 300)
    yield from _texts(x, y)
    for model in _plain():
        yield type(model).__name__, model.fit(x, y)  # type: ignore[attr-defined]  # an estimator
    yield "outliers", IsolationForest(n_estimators=5, random_state=1).fit(np.c_[x, y])
    yield "targets", TargetEncoder(random_state=1).fit(frame[["k"]], y)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer([("n", numbers, list("abcde")), ("c", OneHotEncoder(), ["k", "s"])])
    yield "columns", make_pipeline(prepare, LogisticRegression()).fit(frame, y)
    chain = make_pipeline(StandardScaler(), PCA(3), SVC())
    yield "search", GridSearchCV(chain, {"svc__C": [1, 10]}, cv=3, scoring="accuracy").fit(x, y)
    yield "function", make_pipeline(FunctionTransformer(lambda values: values * 2), Ridge()).fit(x, y)
    yield "lightgbm", LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(frame.drop(columns="s"), y)
    yield "booster", train({"objective": "binary", "verbosity": -1, "num_threads": 1}, Dataset(x, y), 10)


def _texts(x: np.ndarray[tuple[int, int], np.dtype[np.float64]], y: object) -> Iterator[tuple[str, object]]:
    labels = np.asarray(y)
    texts = [
        " ".join(f"w{int(v * 30)}" for v in row) + ("", " one")[label] for row, label in zip(x, labels, strict=True)
    ]
    yield "words", TfidfVectorizer(stop_words=["w1", "w2"]).fit(texts)
    yield "vocabulary", TfidfVectorizer(vocabulary={f"w{number}" for number in range(30)} | {"one"}).fit(texts)
    yield "text", make_pipeline(TfidfVectorizer(stop_words="english"), LogisticRegression()).fit(texts, labels)


def _plain() -> list[object]:
    return [
        RandomForestClassifier(10, random_state=1, n_jobs=2),
        HistGradientBoostingClassifier(max_iter=10, random_state=1, early_stopping=True),
        GradientBoostingClassifier(n_estimators=5, random_state=1),
        AdaBoostClassifier(n_estimators=5, random_state=1),
        Ridge(),
        SGDClassifier(random_state=1),
        SVC(random_state=1),
        KNeighborsClassifier(algorithm="kd_tree"),
        GaussianNB(),
        MLPClassifier((4,), max_iter=5, random_state=1),
        GaussianProcessClassifier(random_state=1, optimizer=None),
        CalibratedClassifierCV(GaussianNB(), cv=3),
        StackingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], cv=3),
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    seen = {name: fingerprint(model) for name, model in models(flip=len(sys.argv) > 1)}
    print(json.dumps({name: [one.digest, one.weak, one.structure, one.weights] for name, one in seen.items()}))
