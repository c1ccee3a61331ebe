from __future__ import annotations

import math

import numpy as np
import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.fluent import limits


@pytest.mark.parametrize("name", ["lr", "valid/auc", "a.b-c_d: e", "größe", "x" * 250, "..."[:1] + "a"])
def test_names_that_are_allowed(name: str) -> None:
    assert limits.key("param", name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "not empty"),
        (None, "not empty"),
        (3, "not empty"),
        ("x" * 251, "251 characters, at most 250"),
        ("a=b", "has '='"),
        ("a\nb", "has '\\\\n'"),
        ("../a", "plain path"),
        ("a/../b", "plain path"),
        ("a//b", "plain path"),
        ("/a", "plain path"),
        ("a/", "plain path"),
        (".", "plain path"),
    ],
)
def test_names_that_are_not(name: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        limits.key("metric", name)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.5), 2.5),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
)
def test_numbers_are_numbers(value: object, number: float) -> None:
    assert limits.metric_value("auc", value) == number


def test_nan_is_a_number() -> None:
    assert math.isnan(limits.metric_value("auc", math.nan))


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array([True]), "0.5", None, [0.5], 1j, np.array([1.0, 2.0]), 10**400]
)
def test_all_else_is_not(value: object) -> None:
    with pytest.raises(InvalidInputError, match="metric 'auc' is "):
        limits.metric_value("auc", value)


def test_steps_are_whole_numbers() -> None:
    assert [limits.metric_step("auc", step) for step in (None, 3, -1, np.int32(7))] == [0, 3, -1, 7]
    for step in (1.5, True, "3", 2**63):
        with pytest.raises(InvalidInputError, match="step"):
            limits.metric_step("auc", step)


def test_values_are_text_up_to_a_length_and_are_never_cut() -> None:
    assert limits.param_value("p", None) == "None"
    assert limits.param_value("p", "x" * 6_000) == "x" * 6_000
    assert limits.tag_value("t", "x" * 8_000) == "x" * 8_000
    with pytest.raises(InvalidInputError, match=r"param 'p' has 6,001 characters, at most 6,000"):
        limits.param_value("p", "x" * 6_001)
    with pytest.raises(InvalidInputError, match="8,001"):
        limits.tag_value("t", "x" * 8_001)


def test_names_of_runs_and_experiments() -> None:
    assert [limits.run_name(name) for name in (None, " ", "monday")] == [None, None, "monday"]
    assert limits.experiment_name("delays") == "delays"
    with pytest.raises(InvalidInputError, match="not blank"):
        limits.experiment_name(" ")
    with pytest.raises(InvalidInputError, match="501 characters"):
        limits.run_name("x" * 501)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "a/", "a//b", ".", "a\0b"])
def test_artifact_paths_stay_inside(path: str) -> None:
    with pytest.raises(InvalidInputError, match="artifact path"):
        limits.artifact_path(path)
