"""Fingerprints agree between processes, and see one changed label."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from lakemark.models.fingerprints import ModelFingerprint, fingerprint

_ZOO = Path(__file__).with_name("zoo.py")


def _digests(*arguments: str, hash_seed: str) -> dict[str, list[str | bool]]:
    done = subprocess.run(
        [sys.executable, str(_ZOO), *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str | bool]] = json.loads(done.stdout)
    return found


def test_two_processes_agree_and_one_changed_label_is_seen() -> None:
    first, second = _digests(hash_seed="1"), _digests(hash_seed="2")
    flipped = _digests("flip", hash_seed="1")

    assert len(first) >= 20
    assert [name for name in first if first[name] != second[name]] == []
    assert [name for name in first if first[name][0] == flipped[name][0]] == []
    assert [name for name in first if first[name][1]] == [], "nothing of scikit-learn and LightGBM is weak"


def test_floats_are_weights_and_everything_else_is_structure() -> None:
    frame, target = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    one, other = fingerprint(Ridge().fit(frame, target)), fingerprint(Ridge().fit(frame, target * 2))

    assert one.structure == other.structure
    assert one.weights != other.weights
    assert one.digest != other.digest
    assert (one.flavor, one.class_name) == ("sklearn", "sklearn.linear_model._ridge.Ridge")


def test_queries_do_not_change_a_model() -> None:
    frame, labels = np.random.RandomState(0).rand(200, 3), np.arange(200) % 2
    model = KNeighborsClassifier(algorithm="kd_tree").fit(frame, labels)
    before = fingerprint(model)
    model.predict(frame)

    assert fingerprint(model) == before


def test_verbosity_and_threads_do_not_count() -> None:
    frame, labels = np.random.RandomState(0).rand(50, 3), np.arange(50) % 2

    one = KNeighborsClassifier(n_jobs=1).fit(frame, labels)
    assert fingerprint(one) == fingerprint(KNeighborsClassifier(n_jobs=2).fit(frame, labels))
    assert fingerprint(one) != fingerprint(KNeighborsClassifier(n_neighbors=3).fit(frame, labels))


@pytest.mark.parametrize("name", ["mean_air_time_", "lead_time", "arrival_time_"])
def test_a_learned_value_that_sounds_like_a_duration_counts(name: str) -> None:
    one, other = LinearRegression(), LinearRegression()
    vars(one)[name], vars(other)[name] = 1.0, 2.0
    assert fingerprint(one).digest != fingerprint(other).digest


def test_what_a_lambda_does_counts() -> None:
    frame, target = np.arange(20.0).reshape(10, 2), np.zeros(10)
    double = make_pipeline(FunctionTransformer(lambda values: values * 2), Ridge()).fit(frame, target)
    triple = make_pipeline(FunctionTransformer(lambda values: values * 3), Ridge()).fit(frame, target)

    assert fingerprint(double).digest != fingerprint(triple).digest


def test_padding_of_structs_and_what_a_mask_hides_do_not_count() -> None:
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    blank, dirty = np.zeros(3, kind), np.frombuffer(b"\xff" * 48, kind).copy()
    dirty["a"], dirty["b"] = 0, 0
    assert blank.tobytes() != dirty.tobytes()
    assert fingerprint(blank) == fingerprint(dirty)

    shown = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    other = np.ma.masked_array([1.0, 9.0], mask=[False, True])
    assert fingerprint(shown) == fingerprint(other)


def test_circles_end() -> None:
    circle: list[object] = [1]
    circle.append(circle)

    assert fingerprint(circle) == fingerprint(circle)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a", "b", "c"}, {"a", "b", "d"}),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": True}),
        (1, 1.0),
        (np.array([1], "i4"), np.array([1], "i8")),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (pd.Index(["a", "b"]), pd.Index(["a", "c"])),
        (pd.Categorical(["a"], categories=["a", "b"]), pd.Categorical(["a"], categories=["a", "c"])),
        (partial(max, 1), partial(max, 2)),
        (np.array(["a", None], object), np.array(["a", "b"], object)),
        (np.random.RandomState(1), np.random.RandomState(2)),
    ],
)
def test_different_values_differ(one: object, other: object) -> None:
    assert fingerprint(one).digest != fingerprint(other).digest


def test_a_foreign_object_without_form_is_weak() -> None:
    foreign = _Foreign()
    found = fingerprint(foreign)

    assert isinstance(found, ModelFingerprint)
    assert found.weak
    assert found.flavor == "python"
    assert fingerprint(foreign).digest != found.digest, "what nobody can look into is never said to be equal"


def test_an_object_with_a_state_of_its_own_is_that_state() -> None:
    assert fingerprint(_Native(b"model")) == fingerprint(_Native(b"model"))
    assert fingerprint(_Native(b"model")).digest != fingerprint(_Native(b"other")).digest


class _Native:
    """Holds a model behind a handle, as bindings to C libraries do."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.handle = ctypes.c_void_p(id(self))
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {"content": bytearray(self.content), "lock": self.lock}


class _Foreign:
    """Refuses to say what it is made of."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("cannot be pickled")
