from typing import Any

import pytest

from lakemark.reproduce.noise import Band, grade_by_noise
from lakemark.reproduce.verdict import Level, Verdict

DIFFERS = Verdict(Level.DIFFERS, run_id="a", replay_run_id="b")


def receipt(**metrics: float) -> Any:
    return {"outputs": {"metrics": [{"key": key, "value": value} for key, value in metrics.items()]}}


@pytest.mark.parametrize(("moved", "level"), [(0.19, Level.STATISTICALLY_EQUIVALENT), (0.21, Level.DIFFERS)])
def test_two_standard_deviations_are_the_band(moved: float, level: Level) -> None:
    bands = [Band("rmse", 0.1, 5)]
    graded = grade_by_noise(DIFFERS, receipt(rmse=1.0), replay=receipt(rmse=1.0 + moved), bands=bands)
    assert graded.level is level


def test_every_metric_must_lie_inside() -> None:
    bands = [Band("rmse", 0.1, 5), Band("auc", 0.0, 5)]
    graded = grade_by_noise(DIFFERS, receipt(rmse=1.0, auc=0.8), replay=receipt(rmse=1.0, auc=0.81), bands=bands)
    assert graded.level is Level.DIFFERS
    assert "auc" in str(graded.reason)


def test_without_metrics_nothing_is_equivalent() -> None:
    assert grade_by_noise(DIFFERS, receipt(), replay=receipt(), bands=[]).level is Level.DIFFERS
