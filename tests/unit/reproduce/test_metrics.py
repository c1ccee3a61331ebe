"""Which metric is explained, and where a receipt has it."""

from typing import Any

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.reproduce.metrics import choose_metric, find_evaluation, higher_is_better, reported_value


def receipt(*evaluations: tuple[str, float, int | None], **logged: float) -> dict[str, Any]:
    return {
        "outputs": {
            "evaluations": [
                {"metric": name, "arguments": {}, "value": value, "model": model} for name, value, model in evaluations
            ],
            "metrics": [{"key": key, "value": value, "step": 0} for key, value in logged.items()],
        }
    }


def test_the_only_evaluation_is_chosen() -> None:
    metric = choose_metric(receipt(("r2_score", 0.5, None)), receipt(("r2_score", 0.6, None)))
    assert (metric.name, metric.function) == ("r2_score", "r2_score")


def test_the_first_evaluation_of_a_model_is_chosen() -> None:
    a = receipt(("max_error", 9.0, None), ("r2_score", 0.5, 0), ("mean_squared_error", 2.0, 0))
    assert choose_metric(a, a).function == "r2_score"


def test_a_logged_value_names_the_evaluation_that_it_equals() -> None:
    a = receipt(("r2_score", 0.9, 0), ("r2_score", 0.5, 0), quality=0.5)
    b = receipt(("r2_score", 0.95, 0), ("r2_score", 0.6, 0), quality=0.6)
    metric = choose_metric(a, b, name="quality")
    assert (metric.function, metric.ordinal, metric.key) == ("r2_score", 1, "quality")
    found = find_evaluation(b, metric)
    assert found is not None
    assert found["value"] == 0.6
    assert choose_metric(a, b, name="r2_score#2") == metric
    assert choose_metric(a, b, name="r2_score#1").name == "r2_score"


def test_names_that_a_person_gave_come_before_names_that_the_recorder_gave() -> None:
    a = receipt(("r2_score", 0.9, 0), ("r2_score", 0.5, 0), r2_score=0.9, r2_score_2=0.5)
    for item in a["outputs"]["metrics"]:
        item["how"] = "observed"
    assert choose_metric(a, a).name == "r2_score"
    assert choose_metric(a, a, name="r2_score_2").ordinal == 1
    a["outputs"]["metrics"].append({"key": "quality", "value": 0.5, "step": 0, "how": "declared"})
    assert choose_metric(a, a, name="r2_score#2").name == "quality"


def test_in_another_run_the_logged_value_leads_to_the_evaluation() -> None:
    a = receipt(("r2_score", 0.9, 0), ("r2_score", 0.5, 0), quality=0.5)
    metric = choose_metric(a, a, name="quality")
    turned = receipt(("r2_score", 0.4, 0), ("r2_score", 0.8, 0), quality=0.4)
    assert reported_value(turned, metric) == 0.4


def test_the_only_logged_number_is_chosen() -> None:
    metric = choose_metric(receipt(profit=1.0), receipt(profit=2.0))
    assert (metric.name, metric.function) == ("profit", None)
    assert reported_value(receipt(profit=3.0), metric) == 3.0
    assert find_evaluation(receipt(profit=3.0), metric) is None


def test_the_last_step_is_the_value() -> None:
    a = receipt(profit=1.0)
    a["outputs"]["metrics"] = [
        {"key": "profit", "value": 5.0, "step": 2},
        {"key": "profit", "value": 1.0, "step": 1},
    ]
    assert reported_value(a, choose_metric(a, a)) == 5.0


def test_several_logged_numbers_must_be_told_apart() -> None:
    a = receipt(profit=1.0, cost=2.0)
    with pytest.raises(InvalidInputError, match="which metric is meant: profit, cost") as caught:
        choose_metric(a, a)
    assert caught.value.hint == "--metric profit"


def test_a_wrong_name_gets_the_nearest() -> None:
    a = receipt(("r2_score", 0.5, 0), profit=1.0)
    with pytest.raises(
        InvalidInputError, match="no metric 'r2_scor' in both runs; there are: r2_score, profit"
    ) as caught:
        choose_metric(a, a, name="r2_scor")
    assert caught.value.hint == "--metric r2_score"


def test_no_metric_in_common_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="no metric in common"):
        choose_metric(receipt(profit=1.0), receipt(cost=1.0))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("accuracy_score", True),
        ("matthews_corrcoef", True),
        ("mean_absolute_percentage_error", False),
        ("brier_score_loss", False),
        ("mean_tweedie_deviance", False),
        ("max_error", False),
        ("profit", None),
        (None, None),
    ],
)
def test_the_name_tells_which_way_is_better(function: str | None, expected: bool | None) -> None:
    assert higher_is_better(function) is expected
